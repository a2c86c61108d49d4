"""``node-diag compare``: two earlier checks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from node_diag.commands import options, printing
from node_diag.commands.options import Format

WHERE = "A report.json, its folder, or the folder of a run of several problems"


def compare(
    base: Annotated[Path, typer.Argument(help=f"{WHERE}: what it was.")],
    new: Annotated[Path, typer.Argument(help=f"{WHERE}: what it is now.")],
    max_slowdown: options.MaxSlowdown = None,
    ignore_config: options.IgnoreConfig = False,
    output_format: options.OutputFormat = Format.table,
    exit_zero: options.ExitZero = False,
    no_color: options.NoColor = False,
) -> None:
    """Compare two checks, or two runs of several; no ODE is solved.

    Exit codes: 0 nothing got worse, 1 something did, is missing or cannot be told, 2 they cannot
    be compared.
    """
    from node_diag import comparison
    from node_diag.streams import Streams

    found = comparison.compare_paths(
        base, new, max_slowdown=max_slowdown, ignore_config=ignore_config
    )
    streams = Streams(no_color=no_color, quiet=False)
    if output_format is Format.table:
        printing.patiently(lambda: comparison.print_table(found, streams))
    else:
        printing.print_lines(comparison.lines(found, output_format.value))
    if found.exit_code and not exit_zero:
        raise typer.Exit(found.exit_code)
