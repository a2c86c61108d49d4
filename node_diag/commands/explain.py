"""``node-diag explain``: what findings mean."""

from __future__ import annotations

from typing import Annotated

import typer


def explain(
    code: Annotated[
        list[str] | None,
        typer.Argument(help="Codes of findings, such as ND101 ND203, or ND1. [default: list them]"),
    ] = None,
) -> None:
    """Explain findings: what they mean, how they are detected, what to do."""
    from node_diag import catalogue

    if code:
        typer.echo(catalogue.explain(code))
    else:
        typer.echo(catalogue.as_text(catalogue.entries(["findings"])))
