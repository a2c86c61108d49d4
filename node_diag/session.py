"""``node-diag check`` from its arguments to a written report."""

from __future__ import annotations

import ast
import contextlib
import shlex
import sys
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from node_diag.config import (
    CheckConfig,
    Resolved,
    find_file,
    option_text,
    process_environment,
    resolve,
)
from node_diag.errors import UsageError
from node_diag.outputs.base import prepare, write
from node_diag.records import Report
from node_diag.streams import Streams

__all__ = ["Streams", "describe", "run"]


def run(
    spec: str,
    assignments: list[str],
    flags: Mapping[str, Any],
    file: Path | None,
    *,
    force: bool,
    streams: Streams,
) -> tuple[Report, Path]:
    """Check a problem and write its report folder.

    Raises:
        UsageError, ProblemError: it could not run; nothing was written.
    """
    overrides = parse_assignments(assignments)
    if file is not None and not file.is_file():
        raise UsageError(f"there is no configuration file '{file}'")
    resolved = resolve(flags, process_environment(), file or find_file(Path.cwd()))
    config = resolved.config
    folder = Path(config.report_dir) if config.report_dir else _default_folder(spec)
    prepare(folder, force=force)
    # What the module prints is not the result: stdout is for that alone.
    with streams.progress() as progress, contextlib.redirect_stdout(sys.stderr):
        progress("importing torch")
        found = _check(spec, overrides, resolved, progress)
        progress("writing the report")
        write(found, folder, config.report, force=force)
    return found, folder


def _check(spec: str, overrides: dict[str, Any], resolved: Resolved, progress: Any) -> Report:
    import gc

    import torch

    from node_diag.loader import load
    from node_diag.pipeline import Request, gate_specs, run_check

    config = resolved.config
    gate_specs(config, resolved.sources)  # a misspelt gate is told before the work, not after
    gc.freeze()  # the modules imported so far stay; the collector need not go through them again
    torch.manual_seed(config.seed)
    problem = load(spec, overrides)
    torch.set_default_device(None)  # the module may have set one, which is not for our tensors
    request = Request(
        problem,
        config,
        spec,
        overrides,
        resolved.sources,
        command_line(spec, overrides, config, resolved.sources),
    )
    return run_check(request, progress)


def describe(spec: str, assignments: list[str]) -> str:
    """Text of ``node-diag show``."""
    import inspect

    from node_diag.loader import load

    problem = load(spec, parse_assignments(assignments))
    doc = inspect.getdoc(inspect.getmodule(type(problem.func))) or ""
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


def parse_assignments(assignments: list[str]) -> dict[str, Any]:
    """``["mu=2", "name=x"]`` → ``{"mu": 2, "name": "x"}``.

    Raises:
        UsageError: an entry has no name or no '='.
    """
    found: dict[str, Any] = {}
    for text in assignments:
        name, separator, value = text.partition("=")
        if not separator or not name.strip().isidentifier():
            raise UsageError(f"--set {text}: write it as NAME=VALUE")
        found[name.strip()] = _literal(value.strip())
    return found


def _literal(text: str) -> Any:
    named = {"true": True, "false": False, "none": None, "null": None}
    if text.lower() in named:
        return named[text.lower()]
    try:
        value = ast.literal_eval(text)
    except Exception:  # not a literal: unhashable keys, too deep, …
        return text
    return value if isinstance(value, int | float | str | bool | list | tuple | dict) else text


def command_line(
    spec: str, overrides: Mapping[str, Any], config: CheckConfig, sources: Mapping[str, str]
) -> str:
    """The line that runs the same check again, wherever a value came from."""
    words = ["node-diag", "check", spec]
    for name, value in overrides.items():
        is_word = isinstance(value, str) and _literal(value) == value
        words += ["--set", f"{name}={value}" if is_word else f"{name}={value!r}"]
    flag = {"methods": "method", "gates": "gate"}
    for name in CheckConfig.model_fields:
        value = getattr(config, name)
        if name in ("report", "report_dir") or name not in sources:
            continue
        if name == "methods":
            value = [",".join(value)]
        for one in value if isinstance(value, list) else [value]:
            words += [f"--{flag.get(name, name).replace('_', '-')}", option_text(one)]
    return shlex.join(words)


def _default_folder(spec: str) -> Path:
    name = Path(spec.partition(":")[0]).stem or "problem"
    stamp = datetime.now().astimezone().strftime("%Y%m%d-%H%M%S")
    folder = Path("reports", name, stamp)
    number = 2
    while folder.exists():
        folder = Path("reports", name, f"{stamp}-{number}")
        number += 1
    return folder
