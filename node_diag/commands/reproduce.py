"""``node-diag reproduce``: the experiments of the source documents."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from node_diag.commands import options, printing

FOLDER = Path("reports/reproduce")


def reproduce(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME]...", help="What to run; without any they are listed."),
    ] = None,
    all_: Annotated[bool, typer.Option("--all", help="Run all of them.")] = False,
    report_dir: Annotated[
        Path, typer.Option(help="Where results and pages go; finished parts there are kept.")
    ] = FOLDER,
    force: Annotated[bool, typer.Option("--force", help="Compute finished parts again.")] = False,
    open_: options.Open = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress on stderr.")] = False,
    no_color: options.NoColor = False,
) -> None:
    """Run published experiments again: our number beside theirs, with tables and figures.

    Interrupted at any moment, the same command goes on where it was. Exit codes: 0 everything was
    computed, 1 a part failed, 2 could not run.
    """
    from node_diag.registry import EXPERIMENTS

    if not names and not all_:
        listed = EXPERIMENTS.descriptions()
        width = max(map(len, listed))
        typer.echo("\n".join(f"{name:<{width}}  {text}" for name, text in listed.items()))
        return
    chosen = EXPERIMENTS.names() if all_ else [EXPERIMENTS.canonical(n) for n in names or []]

    from node_diag.complaints import complaints
    from node_diag.experiments import rendering, running
    from node_diag.streams import Streams

    streams = Streams(no_color=no_color, quiet=quiet)
    running.check_needs(chosen)
    running.check_folder(report_dir)
    complaints.kept = f"{report_dir} holds the parts that were finished; the same command goes on"
    with streams.progress() as told:
        done = running.reproduce(chosen, report_dir, told, again=force)
    printing.print_lines(rendering.lines(done))
    page = report_dir / (rendering.PAGE if len(done) > 1 else f"{done[0].name}/{rendering.PAGE}")
    printing.print_folder("report", page, options.Format.table, streams)
    if open_:
        printing.open_page(page, streams)
    if any(found.failed for found in done):
        raise typer.Exit(1)
