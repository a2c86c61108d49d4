"""``node-diag init``: a problem module to start from."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class System(StrEnum):
    """CI systems there is a starter for."""

    github = "github"


def init(
    file: Annotated[Path, typer.Argument(metavar="FILE.py", help="The module to write.")],
    ci: Annotated[
        System | None,
        typer.Option(
            "--ci", help="Write .github/workflows/node-diag.yml too. [default: only print it]"
        ),
    ] = None,
) -> None:
    """Write a problem module to start from, and what checks it in CI. Nothing is overwritten."""
    from node_diag import starter

    written = starter.write(file, with_workflow=ci is System.github)
    for path in written:
        typer.echo(f"wrote {path}", err=True)
    typer.echo(f"try it: node-diag check {file}", err=True)
    if asked := starter.asked():
        typer.echo(f"note: {asked}", err=True)
    if ci is None:
        typer.echo(starter.workflow(file), nl=False)
