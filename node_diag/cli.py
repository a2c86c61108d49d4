"""The command line: arguments in, exit code out. Heavy imports happen inside the commands."""

from __future__ import annotations

import gc
import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from node_diag import __version__
from node_diag.errors import NodeDiagError, own_frames
from node_diag.interrupts import insistent

if TYPE_CHECKING:
    from node_diag.records import Report

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Is the gradient your Neural ODE trains on right? Measured, with error bars and a cause.",
)
INTERRUPTED = 130
_told = {"verbose": False}
"""Options that are read where errors are printed."""
BUG = "this is a bug in node-diag; please report it with the lines above"


class Kind(StrEnum):
    """What ``list`` can list."""

    problems = "problems"
    solvers = "solvers"
    methods = "methods"
    findings = "findings"


class Format(StrEnum):
    """What goes to stdout."""

    table = "table"
    json = "json"
    markdown = "markdown"


class ListFormat(StrEnum):
    """How ``list`` prints."""

    table = "table"
    json = "json"


def _version(value: bool) -> None:
    if value:
        typer.echo(f"node-diag {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option(
            "--version", "-V", callback=_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Options that need no command; nothing at all shows the help."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help(), err=True)
        raise typer.Exit(2)


@app.command()
def check(  # noqa: PLR0913 - one parameter for each option
    problem: Annotated[
        str, typer.Argument(help="Built-in name, path/to/file.py[:attr] or module[:attr].")
    ],
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="NAME=VALUE", help="Keyword argument of the problem; repeatable."
        ),
    ] = None,
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
            help="Gradient error for which the cheapest setting is looked for. [default: 100 rtol]"
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
    max_grad_error: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[METHOD=]VALUE", help="Fail if a gradient error exceeds this; repeatable."
        ),
    ] = None,
    gate: Annotated[
        list[str] | None,
        typer.Option(
            metavar="METHOD.METRIC<=VALUE", help="Fail if a metric exceeds this; repeatable."
        ),
    ] = None,
    report: Annotated[
        list[str] | None,
        typer.Option(help="html, png, json, csv, md, junit. [default: html,png,json,csv]"),
    ] = None,
    report_dir: Annotated[
        Path | None, typer.Option(help="Report folder. [default: reports/<problem>/<time>]")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace an existing report folder.")
    ] = False,
    output_format: Annotated[Format, typer.Option(help="What to print on stdout.")] = Format.table,
    config: Annotated[
        Path | None, typer.Option(help="Configuration file instead of the one found.")
    ] = None,
    exit_zero: Annotated[
        bool, typer.Option("--exit-zero", help="Exit with 0 even if a gate fails.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress on stderr.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show tracebacks.")] = False,
    no_color: Annotated[bool, typer.Option("--no-color", help="No colours.")] = False,
) -> None:
    """Solve, run every gradient method, hold each against both truths, and write a report.

    Exit codes: 0 every gate passed (or none set), 1 a gate failed or could not be decided,
    2 could not run, 3 a bug in node-diag, 130 interrupted.
    """
    from node_diag import session

    _told["verbose"] = verbose
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
        "report": report,
        "report_dir": str(report_dir) if report_dir else None,
    }
    streams = session.Streams(no_color=no_color, quiet=quiet)
    found, folder = session.run(problem, set_ or [], flags, config, force=force, streams=streams)
    _print(found, output_format, streams)
    streams.note(f"report: {folder}")
    if found.summary.exit_code and not exit_zero:
        raise typer.Exit(found.summary.exit_code)


@app.command("list")
def list_(
    kind: Annotated[
        Kind | None, typer.Argument(help="What to list; everything by default.")
    ] = None,
    output_format: Annotated[ListFormat, typer.Option(help="How to print it.")] = ListFormat.table,
) -> None:
    """List problems, solvers, gradient methods and findings."""
    from node_diag import catalogue

    shown = catalogue.entries([kind.value] if kind else [each.value for each in Kind])
    if output_format is ListFormat.json:
        import json

        typer.echo(json.dumps(shown, indent=1, ensure_ascii=False))
    else:
        typer.echo(catalogue.as_text(shown))


@app.command()
def show(
    problem: Annotated[
        str, typer.Argument(help="Built-in name, path/to/file.py[:attr] or module[:attr].")
    ],
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="NAME=VALUE", help="Keyword argument of the problem; repeatable."
        ),
    ] = None,
) -> None:
    """Show a problem's equations, parameters, defaults and source; nothing is solved."""
    from node_diag import session

    typer.echo(session.describe(problem, set_ or []))


@app.command()
def explain(code: Annotated[str, typer.Argument(help="A finding's code, such as ND101.")]) -> None:
    """Explain a finding: what it means, how it is detected, what to do."""
    from node_diag import catalogue

    typer.echo(catalogue.explain(code))


@app.command()
def report(
    record: Annotated[Path, typer.Argument(metavar="REPORT.json", help="The record of a check.")],
    formats: Annotated[
        list[str] | None,
        typer.Option(
            "--report", help="html, png, json, csv, md, junit. [default: html,png,json,csv]"
        ),
    ] = None,
    report_dir: Annotated[
        Path | None, typer.Option(help="Folder to write. [default: beside the record, replaced]")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace an existing report folder.")
    ] = False,
    output_format: Annotated[Format, typer.Option(help="What to print on stdout.")] = Format.table,
    no_color: Annotated[bool, typer.Option("--no-color", help="No colours.")] = False,
) -> None:
    """Redraw every output from a report.json; no ODE is solved."""
    from node_diag import redraw
    from node_diag.streams import Streams

    streams = Streams(no_color=no_color, quiet=False)
    found, folder = redraw.redraw(record, formats or [], report_dir, force=force)
    _print(found, output_format, streams)
    streams.note(f"report: {folder}")


def _print(found: Report, output_format: Format, streams: Any) -> None:
    try:
        _print_as(found, output_format, streams)
        sys.stdout.flush()
    except BrokenPipeError:  # nobody reads on, but the exit code still counts
        from node_diag.streams import unread

        unread(sys.stdout)


def _print_as(found: Report, output_format: Format, streams: Any) -> None:
    if output_format is Format.json:
        sys.stdout.write(found.to_json())
    elif output_format is Format.markdown:
        from node_diag.registry import OUTPUTS

        (text,) = OUTPUTS.load("md").render(found).values()
        sys.stdout.write(text.decode())
    else:
        from node_diag.outputs.terminal import print_report

        print_report(found, streams.out)


def main() -> None:
    """Entry point: run a command and turn what it raises into an exit code."""
    # Closed by whoever started us, they are None.
    sys.stdout = sys.stdout or Path(os.devnull).open("w")  # noqa: SIM115 - for the whole process
    sys.stderr = sys.stderr or Path(os.devnull).open("w")  # noqa: SIM115
    code = _run()
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nobody reads on
    except OSError as error:
        sys.stderr.write(f"error: cannot write to stdout: {error.strerror}\n")
        os._exit(2)
    if code == INTERRUPTED:
        sys.stderr.write("interrupted; nothing was written\n")
    gc.freeze()  # or the interpreter looks through all of torch for cycles on its way out: 0.6 s
    sys.exit(code)


def _run() -> int:
    try:
        with insistent():
            code = app(standalone_mode=False)
    except typer.Abort:
        return INTERRUPTED
    except typer.TyperException as error:
        sys.stderr.write(f"error: {_usage_sentence(error)}\n")
        return 2
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        return 0
    except OSError as error:
        sys.stderr.write(f"error: {error.strerror or error}\n")
        return 2
    except NodeDiagError as error:
        cause = error.__cause__
        hint = " (-v shows the traceback)" if cause and own_frames(cause) else ""
        sys.stderr.write(f"error: {error}{'' if _told['verbose'] else hint}\n")
        if _told["verbose"] and cause is not None:
            _show_user_traceback(cause)
        return error.exit_code
    except Exception:
        import traceback

        traceback.print_exc()
        sys.stderr.write(f"{BUG}\n")
        return 3
    return code if isinstance(code, int) else 0


def _usage_sentence(error: typer.TyperException) -> str:
    """What is wrong with the command line, and where its help is."""
    text = error.format_message().replace("Value error, ", "").strip()
    context = getattr(error, "ctx", None)
    path = context.command_path if context else "node-diag"
    end = "" if text.endswith((".", "?")) else "."
    return f"{text[:1].lower()}{text[1:]}{end} Run '{path} --help'."


def _show_user_traceback(error: BaseException) -> None:
    """The traceback of the person's own code, without the frames of node-diag and torch above."""
    import traceback

    frames = traceback.extract_tb(error.__traceback__)
    own = own_frames(error)
    kept = frames[frames.index(own[0]) :] if own else frames
    lines = ["Traceback (most recent call last):\n", *traceback.format_list(kept)]
    sys.stderr.write("".join([*lines, *traceback.format_exception_only(error)]))
