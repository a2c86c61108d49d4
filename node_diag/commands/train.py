"""``node-diag train``: does the wrong gradient matter for this problem?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from node_diag.commands import options, printing
from node_diag.commands.options import Format


def train(  # noqa: PLR0913 - one parameter for each option
    problem: options.Problem,
    set_: options.Set = None,
    method: Annotated[
        list[str] | None,
        typer.Option(
            "--method",
            "-m",
            "--methods",
            help="Gradient methods to train with. [default: adjoint,aca,naive]",
        ),
    ] = None,
    steps: Annotated[int, typer.Option(help="Steps of the optimizer.")] = 100,
    seeds: Annotated[int, typer.Option(help="Starts, the same for every method.")] = 3,
    learning_rate: Annotated[float, typer.Option("--learning-rate", "--lr")] = 0.01,
    optimizer: Annotated[str, typer.Option(help="adam or sgd.")] = "adam",
    perturb: Annotated[
        float,
        typer.Option(help="How far each start is from the problem's parameters, relative."),
    ] = 0.1,
    truth_every: Annotated[
        int, typer.Option(help="Steps between looks at the true gradient; 0: none.")
    ] = 10,
    solver: options.Solver = None,
    rtol: options.Rtol = None,
    atol: options.Atol = None,
    step_size: options.StepSize = None,
    max_steps: options.MaxSteps = None,
    dtype: options.Dtype = None,
    report: options.Formats = None,
    report_dir: Annotated[
        Path | None, typer.Option(help="Report folder. [default: reports/<problem>/<time>]")
    ] = None,
    force: options.Force = False,
    output_format: options.OutputFormat = Format.table,
    open_: options.Open = False,
    config: options.Configuration = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress on stderr.")] = False,
    no_color: options.NoColor = False,
) -> None:
    """Train the same model from the same starts with each gradient method, and compare.

    The problem's own loss is minimized over its parameters. The report is that of a check of the
    untrained problem, with loss curves, final losses, what they cost, and the cosine between every
    method's gradient and the true one along the way.
    """
    from node_diag import session
    from node_diag.streams import Streams
    from node_diag.train import Plan
    from node_diag.train import train as run

    plan = Plan(steps, seeds, learning_rate, optimizer, perturb, truth_every)
    flags = {
        "methods": method,
        "solver": solver,
        "rtol": rtol,
        "atol": atol,
        "step_size": step_size,
        "max_steps": max_steps,
        "dtype": dtype,
        "report": report,
    }
    (job,) = session.plan(problem, set_ or [], flags, config).jobs
    streams = Streams(no_color=no_color, quiet=quiet)
    folder = report_dir or session.default_folder(job.name)
    found = run(job, plan, folder, force=force, streams=streams)
    printing.print_report(found, output_format, streams)
    printing.print_folder("report", folder, output_format, streams)
    if open_:
        printing.open_page(folder / "report.html", streams)
