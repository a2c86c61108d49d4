"""``node-diag check``: one problem, or all that the configuration lists."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from node_diag.commands import options, printing
from node_diag.commands.options import Format

if TYPE_CHECKING:
    from node_diag.outputs.run_index import Run
    from node_diag.records import Report
    from node_diag.session import Job, Plan
    from node_diag.streams import Streams


def check(  # noqa: PLR0913 - one parameter for each option
    problem: Annotated[
        str | None,
        typer.Argument(
            help=f"{options.PROBLEM} [default: all problems that the configuration lists]",
            show_default=False,
        ),
    ] = None,
    set_: options.Set = None,
    solver: Annotated[
        str | None,
        typer.Option(
            help="euler, midpoint, heun, rk4; heun-euler=rk12, bosh3=rk23, dopri5=rk45, tsit5. "
            "[default: dopri5]"
        ),
    ] = None,
    rtol: Annotated[float | None, typer.Option(help="Relative tolerance. [default: 1e-5]")] = None,
    atol: Annotated[float | None, typer.Option(help="Absolute tolerance. [default: rtol]")] = None,
    adjoint_rtol: Annotated[
        float | None, typer.Option(help="Of the reverse-time solve. [default: rtol]")
    ] = None,
    adjoint_atol: Annotated[
        float | None, typer.Option(help="Of the reverse-time solve. [default: atol]")
    ] = None,
    step_size: Annotated[
        float | None,
        typer.Option(help="For fixed-step solvers. [default: a hundredth of the interval]"),
    ] = None,
    max_step: Annotated[
        float | None, typer.Option(help="Longest step of adaptive solvers. [default: no bound]")
    ] = None,
    control: Annotated[
        str | None,
        typer.Option(
            help="What the error control looks at: state, or sensitivities (the state and two "
            "tangents of it). [default: state]"
        ),
    ] = None,
    max_steps: Annotated[
        int | None, typer.Option(help="Give a solve up after so many trials. [default: 100000]")
    ] = None,
    method: Annotated[
        list[str] | None,
        typer.Option(
            "--method",
            "-m",
            help="Gradient methods, or path/to/file.py[:ATTRIBUTE]; repeatable or comma-separated. "
            "[default: adjoint,aca,naive]",
        ),
    ] = None,
    reference: Annotated[
        str | None,
        typer.Option(help="Continuous reference: auto, exact, sensitivity or fd. [default: auto]"),
    ] = None,
    order: Annotated[
        int | None,
        typer.Option(help="2: check Hessian-vector products of every method too. [default: 1]"),
    ] = None,
    target_error: Annotated[
        float | None,
        typer.Option(
            help="Gradient error for which the cheapest setting is looked for. "
            "[default: 100 rtol, at most 0.01, or the tightest limit on gradient errors]"
        ),
    ] = None,
    dtype: Annotated[
        str | None, typer.Option(help="float64 or float32. [default: float64]")
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="Device the methods run on. [default: cpu]")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Seeds torch before the problem is loaded. [default: 0]")
    ] = None,
    repeat: Annotated[
        int | None,
        typer.Option(
            help="Runs that wall times are medians of. [default: what fits into 0.5 s, at most 5]"
        ),
    ] = None,
    max_grad_error: options.MaxGradError = None,
    gate: options.Gates = None,
    baseline: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|DIR",
            help="Fail if something got worse since this report.json, report folder or run.",
        ),
    ] = None,
    max_slowdown: options.MaxSlowdown = None,
    ignore_config: options.IgnoreConfig = False,
    select: Annotated[
        list[str] | None,
        typer.Option(metavar="CODES", help="Only these findings, such as ND1,ND204."),
    ] = None,
    ignore: Annotated[
        list[str] | None,
        typer.Option(metavar="CODES", help="Not these findings; the longer code decides."),
    ] = None,
    timeout: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", help="Give a problem up after so long. [default: never]"),
    ] = None,
    report: options.Formats = None,
    report_dir: Annotated[
        Path | None,
        typer.Option(
            help="Report folder. [default: reports/<problem>/<time>; of several, "
            "reports/<time>/<name>]"
        ),
    ] = None,
    force: options.Force = False,
    output_format: Annotated[
        Format | None,
        typer.Option(
            help="What to print on stdout. [default: table, in a GitHub workflow with annotations]"
        ),
    ] = None,
    open_: options.Open = False,
    config: options.Configuration = None,
    exit_zero: options.ExitZero = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    no_color: options.NoColor = False,
) -> None:
    """Solve, run every gradient method, hold each against both truths, and write a report.

    Exit codes: 0 every gate passed (or none set), 1 a gate failed or could not be decided, or
    something is worse than the baseline, 2 could not run, 3 a bug in node-diag, 130 interrupted;
    of several problems, the worst.
    """
    from node_diag import session
    from node_diag.complaints import complaints
    from node_diag.streams import Streams

    complaints.verbose, complaints.exit_zero = verbose, exit_zero
    flags = {
        "solver": solver,
        "rtol": rtol,
        "atol": atol,
        "adjoint_rtol": adjoint_rtol,
        "adjoint_atol": adjoint_atol,
        "step_size": step_size,
        "max_step": max_step,
        "control": control,
        "max_steps": max_steps,
        "methods": method,
        "reference": reference,
        "order": order,
        "target_error": target_error,
        "dtype": dtype,
        "device": device,
        "seed": seed,
        "repeat": repeat,
        "max_grad_error": max_grad_error,
        "gates": gate,
        "baseline": baseline,
        "max_slowdown": max_slowdown,
        "ignore_config": ignore_config or None,
        "select": select,
        "ignore": ignore,
        "timeout": timeout,
        "report": report,
        "report_dir": str(report_dir) if report_dir else None,
    }
    plan = session.plan(problem, set_ or [], flags, config)
    streams = Streams(no_color=no_color, quiet=quiet)
    show = Show(output_format, streams)
    if problem is not None:
        code, page = one(plan.jobs[0], plan.report_dir, force, show)
    else:
        code, page = _several(plan, force, show)
    if open_:
        printing.open_page(page, streams)
    if code and not (exit_zero and code == 1):
        raise typer.Exit(code)


class Show:
    """Where reports go as they are finished: stdout, and the summary of a GitHub workflow."""

    def __init__(self, output_format: Format | None, streams: Streams) -> None:
        self.format = output_format or Format.table
        self.streams = streams
        self._annotates = output_format is None and printing.in_github_actions()

    def report(self, found: Report) -> None:
        """A report of its own, or one of several that are not printed together."""
        printing.print_report(found, self.format, self.streams)
        if self._annotates:
            printing.print_report(found, Format.github, self.streams)
        printing.add_to_step_summary(printing.markdown(found), self.streams)

    def one_of_several(self, found: Report) -> None:
        """JSON is one object, so it waits for the end; everything else is shown at once."""
        if self.format is Format.json:
            printing.add_to_step_summary(printing.markdown(found), self.streams)
            return
        self.report(found)
        if self.format is not Format.github:
            printing.print_lines([""])

    def where(self, what: str, folder: Path) -> None:
        """Where it was written."""
        printing.print_folder(what, folder, self.format, self.streams)

    def run(self, found: Run) -> None:
        """What is left to say at the end of several."""
        from node_diag.outputs import run_index

        if self.format is Format.json:
            import json

            text = json.dumps(run_index.record(found), indent=1, ensure_ascii=False)
            printing.print_lines([text])
        elif self.format is Format.table:
            printing.print_lines(run_index.lines(found))
        troubles = run_index.troubles(found)
        if self._annotates or self.format is Format.github:
            from node_diag.outputs.github import trouble

            printing.print_lines(trouble(name, why) for name, why in troubles)
        if troubles:
            from node_diag.outputs.formats.md import escaped

            lines = [f"- **{escaped(name)}**: {escaped(why)}" for name, why in troubles]
            printing.add_to_step_summary("\n".join(lines) + "\n", self.streams)


def one(job: Job, report_dir: str | None, force: bool, show: Show) -> tuple[int, Path]:
    """Check one problem, write its report and show it; the exit code and the page."""
    from node_diag import session

    folder = Path(report_dir) if report_dir else session.default_folder(job.name)
    found = session.run(job, folder, force=force, streams=show.streams)
    show.report(found)
    show.where("report", folder)
    return found.summary.exit_code, folder / "report.html"


def _several(plan: Plan, force: bool, show: Show) -> tuple[int, Path]:
    from node_diag import session
    from node_diag.several import run_all

    folder = Path(plan.report_dir) if plan.report_dir else session.default_folder()
    found = run_all(plan, folder, force=force, streams=show.streams, show=show.one_of_several)
    show.run(found)
    show.where("reports", folder)
    return found.exit_code, folder / "index.html"
