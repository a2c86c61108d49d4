"""``node-diag show``: a problem, without solving it."""

from __future__ import annotations

import typer

from node_diag.commands import options


def show(problem: options.Problem, set_: options.Set = None) -> None:
    """Show a problem's equations, parameters, defaults and source; nothing is solved."""
    from node_diag import session

    typer.echo(session.describe(problem, set_ or []))
