"""A finished sweep on stdout: for a person, as Markdown, or as annotations."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from rich.console import Console

from node_diag.outputs import github
from node_diag.outputs.console import say, show_command, show_left_out, show_table
from node_diag.outputs.formats.md import as_markdown, code, escaped
from node_diag.outputs.numbers import count
from node_diag.outputs.table import Table
from node_diag.records.sweep import Sweep
from node_diag.sweep.showing import (
    MOST_REASONS,
    PAGE,
    advice,
    failures,
    for_each,
    front,
    summary,
)

ALWAYS = 3
"""Columns of the front besides its axes that are always printed."""
MOST_ROWS = 40
"""Of the table."""


def show(found: Sweep, console: Console) -> None:
    """On a terminal: the front, or the cheapest setting for every problem, and what to use."""
    say(summary(found), console)
    for sentence in failures(found, MOST_REASONS):
        say(sentence, console, indent=2)
    console.print()
    table = _table(found)
    if table.rows:
        say(table.caption, console)
        show_table(_first(table), console, ALWAYS + len(found.axes))
        if more := _more(table):
            say(more, console)
        show_left_out(table, console, ALWAYS + len(found.axes))
        console.print()
    sentence, *commands = advice(found)
    say(sentence, console)
    for one in commands:
        show_command(one, console)


def markdown(found: Sweep) -> str:
    """The same, to be put into a pull request."""
    table = _table(found)
    sentence, *commands = advice(found)
    parts = [
        f"### node-diag sweep {code(found.problem)}",
        escaped(summary(found)),
        "\n".join(f"- {escaped(one)}" for one in failures(found, MOST_REASONS)),
        *([f"**{escaped(table.caption)}**", as_markdown(_first(table))] if table.rows else []),
        escaped(_more(table)),
        "  \n".join([escaped(sentence), *map(code, commands)]),
    ]
    return "\n\n".join(filter(None, parts))


def annotated(found: Sweep) -> Iterator[str]:
    """For GitHub: why gradients failed, and what to use."""
    name = f"sweep of {found.problem}"
    for reason in failures(found, MOST_REASONS):
        yield github.command("warning", name, reason, github.file_of(found.spec))
    message = " ".join([summary(found) + ".", *advice(found)])
    yield github.command("notice", name, message, github.file_of(found.spec))


def _table(found: Sweep) -> Table:
    """The front, where there is one problem, or none of them has a setting that is enough."""
    each = for_each(found) if len(found.choices) > 1 else None
    return each if each and each.rows else front(found)


def _first(table: Table) -> Table:
    return replace(table, rows=table.rows[:MOST_ROWS])


def _more(table: Table) -> str:
    others = len(table.rows) - MOST_ROWS
    return f"and {count(others)} more: {PAGE}" if others > 0 else ""
