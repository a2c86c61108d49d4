"""``node-diag list``: what there is."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from node_diag.commands import options
from node_diag.commands.options import ListFormat


class Kind(StrEnum):
    """What ``list`` can list."""

    problems = "problems"
    solvers = "solvers"
    methods = "methods"
    findings = "findings"
    metrics = "metrics"


def list_(
    kind: Annotated[
        Kind | None, typer.Argument(help="What to list; everything by default.")
    ] = None,
    output_format: options.Listing = ListFormat.table,
) -> None:
    """List problems, solvers, gradient methods, findings and what gates may limit."""
    from node_diag import catalogue

    shown = catalogue.entries([kind.value] if kind else [each.value for each in Kind])
    if output_format is ListFormat.json:
        import json

        typer.echo(json.dumps(shown, indent=1, ensure_ascii=False))
    else:
        typer.echo(catalogue.as_text(shown))
