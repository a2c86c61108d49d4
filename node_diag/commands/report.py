"""``node-diag report``: every output again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from node_diag.commands import options, printing
from node_diag.commands.options import Format


def report(
    record: Annotated[Path, typer.Argument(metavar="REPORT.json", help="The record of a check.")],
    formats: options.Formats = None,
    report_dir: Annotated[
        Path | None, typer.Option(help="Folder to write. [default: beside the record, replaced]")
    ] = None,
    force: options.Force = False,
    output_format: options.OutputFormat = Format.table,
    open_: options.Open = False,
    no_color: options.NoColor = False,
) -> None:
    """Redraw every output from a report.json; no ODE is solved."""
    from node_diag import redraw
    from node_diag.streams import Streams

    streams = Streams(no_color=no_color, quiet=False)
    found, folder = redraw.redraw(record, formats or [], report_dir, force=force)
    printing.print_report(found, output_format, streams)
    printing.print_folder("report", folder, output_format, streams)
    if open_:
        printing.open_page(folder / "report.html", streams)
