"""``node-diag explain``: what a finding means."""

from __future__ import annotations

from typing import Annotated

import typer


def explain(code: Annotated[str, typer.Argument(help="A finding's code, such as ND101.")]) -> None:
    """Explain a finding: what it means, how it is detected, what to do."""
    from node_diag import catalogue

    typer.echo(catalogue.explain(code))
