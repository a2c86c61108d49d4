"""``node-diag check`` from its arguments to a written report."""

from __future__ import annotations

import contextlib
import shlex
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from node_diag.baselines import Asked, Baseline, Baselines
from node_diag.command_line import command_line, options, parse_assignments
from node_diag.config_file import CAPTURE, Entry, configuration_file, stem
from node_diag.config_sources import (
    SUGGESTED,
    Resolved,
    configured_problems,
    is_given,
    process_environment,
    resolve,
)
from node_diag.deadline import deadline
from node_diag.diagnosis.gates import gate_specs
from node_diag.errors import UsageError
from node_diag.outputs.base import ahead, prepare, write
from node_diag.outputs.base import load as load_formats
from node_diag.records import Report
from node_diag.streams import Progress, Streams

COMPARING = ("baseline", "max_slowdown", "ignore_config")
"""Options that only a check with a baseline has."""


@dataclass(frozen=True)
class Job:
    """One check to run.

    Attributes:
        name: what it is called in messages, and its folder in a run of several.
        is_named: whether the configuration gave that name; the report is called so then.
        spec: PROBLEM.
        overrides: keyword arguments of the problem.
        resolved: its options.
        baseline: the earlier report it is held against.
    """

    name: str
    is_named: bool
    spec: str
    overrides: Mapping[str, Any]
    resolved: Resolved
    baseline: Baseline | None = None


@dataclass(frozen=True)
class Plan:
    """The checks of one command, and the problems of a baseline that none of them is about."""

    jobs: list[Job]
    missing: list[str]
    report_dir: str | None


def plan(
    spec: str | None, assignments: list[str], flags: Mapping[str, Any], file: Path | None
) -> Plan:
    """What the command line, the environment and the configuration ask for together.

    Args:
        spec: PROBLEM, or the name the configuration gives to one; None: all that it lists.
        assignments: ``NAME=VALUE`` from ``--set``.
        flags: options by name.
        file: the configuration file, if one was named.

    Raises:
        UsageError: it is not clear what to check, or an option cannot be used.
    """
    source, environment = configuration_file(file), process_environment()
    listed = configured_problems(environment, source)
    if spec is None:
        chosen = listed
        _require_some(chosen, assignments)
    else:
        named = [entry for entry in listed if entry.is_named and entry.name == spec]
        chosen = named or [Entry(spec, stem(spec))]
    overrides = parse_assignments(assignments)
    jobs = [
        Job(
            entry.name,
            entry.is_named,
            entry.spec,
            {**entry.overrides, **overrides},
            resolve(flags, environment, source, entry),
        )
        for entry in chosen
    ]
    if flags.get("max_slowdown") is not None and not any(j.resolved.config.baseline for j in jobs):
        raise UsageError("--max-slowdown limits times beside a baseline's; add --baseline PATH")
    baselines, alone = Baselines(), spec is not None
    first = _making(jobs, spec, bool(listed), file)
    jobs = [
        replace(
            job,
            baseline=baselines.of(
                Asked(job.name, job.spec, job.resolved.config, job.overrides, alone, first)
            ),
        )
        for job in jobs
    ]
    # One that was picked on purpose does not make the others missing.
    missing = [] if spec is not None else baselines.missing()
    return Plan(jobs, missing, jobs[0].resolved.config.report_dir)


def _making(jobs: list[Job], spec: str | None, listed: bool, file: Path | None) -> str:
    """The command that makes the first baseline, but for its folder.

    A baseline that the configuration names is one of all problems that it lists.
    """
    job = jobs[0]
    sources = {k: v for k, v in job.resolved.sources.items() if k not in COMPARING}
    is_flag = is_given(job.resolved.sources.get("baseline", ""))
    if spec is not None and (is_flag or not listed):
        return command_line(job.spec, job.overrides, job.resolved.config, sources)
    flags = {k: v for k, v in sources.items() if is_given(v) and spec is None}
    named = ["--config", str(file)] if file else []
    return shlex.join(["node-diag", "check", *named, *options(job.resolved.config, flags)])


def _require_some(listed: list[Entry], assignments: list[str]) -> None:
    if not listed:
        raise UsageError(
            "there is nothing to check: name a PROBLEM (node-diag list problems), or list some "
            "under 'problems' in [tool.node-diag] of pyproject.toml"
        )
    if assignments:
        raise UsageError(
            f"--set {assignments[0]} is for one PROBLEM; name it, or set it in its configuration"
        )


def run(job: Job, folder: Path, *, force: bool, streams: Streams) -> Report:
    """Check a problem and write its report folder.

    Raises:
        UsageError, ProblemError: it could not run; nothing was written.
        UnmatchedGateError: a gate cannot be decided; nothing was run.
    """
    config = job.resolved.config
    gate_specs(config, job.resolved.sources)  # a wrong gate is told before the work, not after
    folder = folder.absolute()  # the module may go elsewhere
    prepare(folder, force=force)
    drawer = ahead(config.report)
    try:
        # What the module prints is not the result: stdout is for that alone.
        with streams.progress() as progress, contextlib.redirect_stdout(sys.stderr):
            progress("importing torch")
            load = partial(load_formats, config.report) if drawer is None else lambda: None
            found = examine(job, progress, load)
            if job.baseline is not None:
                found.comparison = job.baseline.judge(found, job.name, config.max_slowdown)
                failed = int(found.comparison.failed > 0)
                found.summary.exit_code = max(found.summary.exit_code, failed)
            progress("writing the report")
            write(found, folder, config.report, force=force, drawer=drawer)
    finally:
        if drawer is not None:
            drawer.end()
    return found


def examine(job: Job, progress: Progress, meanwhile: Callable[[], None] = lambda: None) -> Report:
    """Check a problem; nothing is written.

    Args:
        job: what to check.
        progress: told every stage.
        meanwhile: something to do while another process computes.
    """
    import gc

    import torch

    from node_diag.loader import load
    from node_diag.pipeline import Request, run_check

    resolved = job.resolved
    config = resolved.config
    gc.freeze()  # the modules imported so far stay; the collector need not go through them again
    torch.manual_seed(config.seed)
    overrides = dict(job.overrides)
    progress(f"importing {job.spec}")
    with deadline(config.timeout, lambda: progress.stage):
        problem = load(job.spec, overrides)
        if job.is_named:
            problem.name = job.name
        config = config.suggested(problem.settings, resolved.sources)
        torch.set_default_device(None)  # the module may have set one, which is not for our tensors
        asked = resolved.sources
        # A baseline knows a problem by the name that the configuration gives it.
        own = {k: v for k, v in asked.items() if not (job.is_named and k in COMPARING)}
        line = command_line(job.spec, overrides, config, own)
        changed = {k: v for k, v in problem.settings.items() if getattr(config, k) == v}
        sources = {**{k: problem.remarks.get(k, SUGGESTED) for k in changed}, **asked}
        request = Request(problem, config, job.spec, overrides, sources, line)
        return run_check(request, progress, meanwhile)


def captured(script: str, assignments: list[str], timeout: float | None, streams: Streams) -> str:
    """Run a training script up to the gradient that is wanted; what its method is called.

    Raises:
        UsageError, ProblemError: there is no such script or call, or the script raised.
    """
    from node_diag.loader import load

    with streams.progress() as progress, contextlib.redirect_stdout(sys.stderr):
        progress(f"running {script}")
        with deadline(timeout, lambda: progress.stage):
            return load(f"{CAPTURE}{script}", parse_assignments(assignments)).call.checked_by


def describe(spec: str, assignments: list[str]) -> str:
    """Text of ``node-diag show``."""
    import inspect

    from node_diag.loader import load

    problem = load(spec, parse_assignments(assignments))
    is_function = inspect.isroutine(problem.func)
    doc = inspect.getdoc(problem.func if is_function else inspect.getmodule(type(problem.func)))
    shapes = ", ".join(str(tuple(shape)) for shape in problem.layout.shapes)
    lines = [
        f"{problem.name}: {problem.description}".rstrip(": "),
        *(["", doc] if doc and "torch" not in type(problem.func).__module__ else []),
        "",
        f"state    {shapes}, {problem.layout.numel} numbers, {problem.dtype}",
        f"times    {', '.join(f'{t:g}' for t in problem.ts[:6])}" + " …" * (len(problem.ts) > 6),
        f"source   {problem.source}",
        f"--set    {', '.join(f'{k}={v}' for k, v in problem.arguments.items()) or 'nothing'}",
        f"exact    {'closed form' if problem.exact else 'no closed form'}",
        "parameters" if problem.params else "parameters  none",
    ]
    for name, p in problem.params.items():
        value = f" = {float(p.detach()):g}" if p.numel() == 1 else ""
        lines.append(f"  {name}  {tuple(p.shape)}{value}")
    return "\n".join(lines)


def default_folder(*parts: str) -> Path:
    """A folder in ``reports`` that is not there yet: the parts, and the time."""
    parent = Path("reports", *parts)
    # Down to the millisecond: two checks may well begin in the same second.
    stamp = datetime.now().astimezone().strftime("%Y%m%d-%H%M%S-%f")[:-3]
    folder = parent / stamp
    number = 2
    while folder.exists():
        folder = parent / f"{stamp}-{number}"
        number += 1
    return folder
