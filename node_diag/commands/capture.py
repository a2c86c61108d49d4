"""``node-diag capture``: the gradient a training script computes, checked as it is."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from node_diag.commands import options, printing
from node_diag.commands.check import Show, one
from node_diag.commands.options import Format


def capture(  # noqa: PLR0913 - one parameter for each option
    script: Annotated[str, typer.Argument(help="A training script that uses torchdiffeq.")],
    args: Annotated[list[str] | None, typer.Argument(help="Its own arguments.")] = None,
    call: Annotated[
        int,
        typer.Option(
            help="Which of its calls of odeint or odeint_adjoint, counting those that are "
            "differentiated; later ones if no gradient arrives at it."
        ),
    ] = 1,
    method: Annotated[
        list[str] | None,
        typer.Option(
            "--method",
            "-m",
            help="Gradient methods. [default: the call itself, torchdiffeq, aca]",
        ),
    ] = None,
    max_grad_error: options.MaxGradError = None,
    gate: options.Gates = None,
    timeout: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", help="Give up after so long. [default: never]"),
    ] = None,
    report: options.Formats = None,
    report_dir: Annotated[
        Path | None, typer.Option(help="Report folder. [default: reports/<script>/<time>]")
    ] = None,
    force: options.Force = False,
    output_format: Annotated[Format | None, typer.Option(help="What to print on stdout.")] = None,
    open_: options.Open = False,
    exit_zero: options.ExitZero = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    no_color: options.NoColor = False,
) -> None:
    """Run a training script up to the gradient of an ODE solve, and check that gradient.

    The script is not changed. It runs until the call of torchdiffeq's odeint or odeint_adjoint has
    received its cotangents; then it is ended, and that very call is checked: its f, z0, times,
    tolerances and options. Options of node-diag go before SCRIPT, those of the script after it.
    Exit codes are those of check.
    """
    from node_diag import session
    from node_diag.command_line import assignment
    from node_diag.complaints import complaints
    from node_diag.config_file import CAPTURE
    from node_diag.streams import Streams

    complaints.verbose, complaints.exit_zero = verbose, exit_zero
    streams = Streams(no_color=no_color, quiet=quiet)
    words = {"call": call, **({"args": shlex.join(args)} if args else {})}
    asked = [assignment(name, value) for name, value in words.items()]
    found = session.captured(script, asked, timeout, streams)
    flags = {
        "methods": method or [found, "torchdiffeq", "aca"],
        "max_grad_error": max_grad_error,
        "gates": gate,
        "timeout": timeout,
        "report": report,
        "report_dir": str(report_dir) if report_dir else None,
    }
    plan = session.plan(f"{CAPTURE}{script}", asked, flags, None)
    code, page = one(plan.jobs[0], plan.report_dir, force, Show(output_format, streams))
    if open_:
        printing.open_page(page, streams)
    if code and not (exit_zero and code == 1):
        raise typer.Exit(code)
