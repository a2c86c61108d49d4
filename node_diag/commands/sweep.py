"""``node-diag sweep``: a grid of gradients, what they cost, and which one to take."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from node_diag.commands import options, printing
from node_diag.commands.options import Format

if TYPE_CHECKING:
    from node_diag.cells import Engine
    from node_diag.records.sweep import Sweep
    from node_diag.session import Job
    from node_diag.streams import Streams
    from node_diag.sweep.axes import Axis
    from node_diag.sweep.grid import Plan


def sweep(  # noqa: PLR0913 - one parameter for each option
    problem: options.Problem,
    over: Annotated[
        list[str],
        typer.Option(
            metavar="NAME=VALUES",
            help="What is varied: an option of check, an argument of the problem, or method; "
            "rtol=1e-3:1e-9:7, mu=1:5:5 or solver=rk23,dopri5. Repeatable.",
        ),
    ],
    set_: options.Set = None,
    method: Annotated[
        list[str] | None,
        typer.Option("--method", "-m", help="Gradient methods. [default: adjoint,aca,naive]"),
    ] = None,
    solver: options.Solver = None,
    rtol: options.Rtol = None,
    atol: options.Atol = None,
    step_size: options.StepSize = None,
    max_steps: options.MaxSteps = None,
    dtype: options.Dtype = None,
    device: Annotated[str | None, typer.Option(help="[default: cpu]")] = None,
    seed: Annotated[int | None, typer.Option(help="[default: 0]")] = None,
    target_error: Annotated[
        float | None,
        typer.Option(help="Gradient error the cheapest setting has to meet. [default: 1e-3]"),
    ] = None,
    times: Annotated[
        bool,
        typer.Option(
            "--times", help="Take times too, afterwards, one setting at a time with nothing else."
        ),
    ] = False,
    repeat: Annotated[
        int | None, typer.Option(help="Runs that times are medians of. [default: what fits]")
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Processes that work side by side. [default: one for each core]"),
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Dask scheduler whose workers do the work instead: tcp://…:8786.",
        ),
    ] = None,
    timeout: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", help="Give a setting up after so long. [default: never]"),
    ] = None,
    parquet: Annotated[
        bool, typer.Option("--parquet", help="Write points.parquet too (needs pyarrow).")
    ] = False,
    report_dir: Annotated[
        Path | None, typer.Option(help="Folder. [default: reports/sweep-<problem>/<time>]")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the sweep in --report-dir.")
    ] = False,
    output_format: options.OutputFormat = Format.table,
    open_: options.Open = False,
    config: options.Configuration = None,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    no_color: options.NoColor = False,
) -> None:
    """Run gradient methods over a grid of settings, and show how much accuracy costs how much work.

    Every finished setting is saved at once: interrupted at any moment, the same command with
    --resume goes on. A setting that fails is a result. Exit codes: 0 it was swept, 2 could not run.
    """
    from node_diag import session
    from node_diag.complaints import complaints
    from node_diag.errors import UsageError
    from node_diag.streams import Streams
    from node_diag.sweep import axes, grid

    complaints.verbose = verbose
    varied, methods = axes.parse(over)
    if methods and method:
        raise UsageError("methods are given twice, by --method and by --over method")
    flags = {
        "methods": method or methods,
        "solver": solver,
        "rtol": rtol,
        "atol": atol,
        "step_size": step_size,
        "max_steps": max_steps,
        "dtype": dtype,
        "device": device,
        "seed": seed,
        "target_error": target_error,
        "repeat": repeat,
        "timeout": timeout,
    }
    _once(varied, set_ or [], flags)
    (job,) = session.plan(problem, set_ or [], flags, config).jobs
    if resume and report_dir is None:
        raise UsageError("--resume goes on in a folder: name it with --report-dir")
    folder = report_dir or session.default_folder(f"sweep-{job.name}")
    if scheduler and workers:
        raise UsageError("--workers are processes of this machine: leave it out with --scheduler")
    if parquet:
        _require_parquet()
    streams = Streams(no_color=no_color, quiet=quiet)
    plan = grid.Plan(job, varied, times, _command(job, varied, times, flags))
    computed = _Computed(scheduler, workers, resume, parquet)
    found = _swept(plan, folder, computed, streams)
    _print(found, output_format, streams)
    printing.print_folder("report", folder, output_format, streams)
    if open_:
        from node_diag.sweep import showing

        printing.open_page(folder.absolute() / showing.PAGE, streams)


def _print(found: Sweep, output_format: Format, streams: Streams) -> None:
    from node_diag.sweep import printing as printed

    if output_format is Format.json:
        printing.print_lines([found.model_dump_json(indent=1)])
    elif output_format is Format.markdown:
        printing.print_lines([printed.markdown(found)])
    elif output_format is Format.github:
        printing.print_lines(printed.annotated(found))
    else:
        printed.show(found, streams.out)


@dataclass(frozen=True)
class _Computed:
    """Where and how, but not what."""

    scheduler: str | None
    workers: int | None
    resume: bool
    parquet: bool


def _swept(plan: Plan, folder: Path, how: _Computed, streams: Streams) -> Sweep:
    """Run it and write its folder."""
    from node_diag.complaints import complaints
    from node_diag.sweep import running

    target = folder.absolute()  # the module may go elsewhere
    kept = f"{folder} holds what was finished; go on with --resume --report-dir {folder}"

    def saved() -> None:
        complaints.kept = kept

    with streams.progress() as told:
        begun = running.begin(plan, target, told, streams.note, resume=how.resume)
        complaints.kept = "nothing was finished"
        with _engine(how.scheduler, how.workers, begun.study, told) as engine:
            found = running.sweep(begun, told, engine, note=streams.note, saved=saved)
        told("writing the report")
        from node_diag.outputs.folder import put_all, remove_others
        from node_diag.sweep import showing

        written = showing.files(found, parquet=how.parquet)
        put_all(target, written)
        # Of an earlier run with other axes or options, in the same folder.
        remove_others(target, written, showing.PARQUET)
    return found


@contextmanager
def _engine(
    scheduler: str | None, workers: int | None, study: str, told: Callable[[str], None]
) -> Generator[Engine]:
    """What computes: processes of this machine, or a cluster."""
    from node_diag.cells import local
    from node_diag.cluster import connected

    if scheduler is None:
        yield local(workers or 0)
    else:
        with connected(scheduler, study, told) as engine:
            yield engine


def _require_parquet() -> None:
    """Before anything is computed."""
    from importlib.util import find_spec

    from node_diag.errors import UsageError

    if find_spec("pyarrow") is None:
        raise UsageError("--parquet needs pyarrow: pip install 'node-diag[parquet]'")


def _once(varied: Sequence[Axis], set_: Sequence[str], flags: Mapping[str, Any]) -> None:
    """Nothing is both varied and set."""
    from node_diag.config import flag_of
    from node_diag.errors import UsageError

    given = {text.partition("=")[0].strip() for text in set_}
    for axis in varied:
        flag = flag_of(axis.name) if axis.is_option else f"--set {axis.name}"
        if (flags.get(axis.name) is not None) if axis.is_option else (axis.name in given):
            raise UsageError(f"{axis.name} is given twice, by {flag} and by --over {axis.name}")


def _command(job: Job, varied: Sequence[Axis], times: bool, flags: Mapping[str, Any]) -> str:
    """The line that does the same again."""
    from node_diag.command_line import command_line

    names = {axis.name for axis in varied}
    overrides = {k: v for k, v in job.overrides.items() if k not in names}
    # A configuration may hold more than this command has flags for, and says it again.
    sources = {k: v for k, v in job.resolved.sources.items() if k in flags and k not in names}
    line = command_line(job.spec, overrides, job.resolved.config, sources)
    words = [word for axis in varied for word in ("--over", axis.text)]
    last = ["--times"] if times else []
    return f"{line.replace('node-diag check', 'node-diag sweep', 1)} {shlex.join([*words, *last])}"
