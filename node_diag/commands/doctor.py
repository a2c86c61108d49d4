"""``node-diag doctor``: whether everything it needs is there."""

from __future__ import annotations

import typer

from node_diag.commands import options
from node_diag.commands.options import ListFormat


def doctor(
    config: options.Configuration = None,
    output_format: options.Listing = ListFormat.table,
) -> None:
    """Show versions, devices, the configuration and where it comes from.

    Exit codes: 0 a check can run, 2 something essential is broken.
    """
    from node_diag import doctor as examination

    typer.echo("… importing torch", err=True)
    found = examination.examine(config)
    if output_format is ListFormat.json:
        typer.echo(examination.as_json(found))
    else:
        typer.echo(examination.as_text(found))
    if found.is_broken:
        raise typer.Exit(2)
