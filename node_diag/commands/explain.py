"""``node-diag explain``: what findings mean."""

from __future__ import annotations

from typing import Annotated

import typer


def explain(
    code: Annotated[list[str], typer.Argument(help="Codes of findings, such as ND101 ND203.")],
) -> None:
    """Explain findings: what they mean, how they are detected, what to do."""
    from node_diag import catalogue

    typer.echo(catalogue.explain(code))
