"""A finished sweep as files: page, pictures, tidy tables."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console

from node_diag.command_line import command_line
from node_diag.config import option_text
from node_diag.config_sources import resolve
from node_diag.outputs.console import say, show_command, show_left_out, show_table
from node_diag.outputs.formats.html import environment
from node_diag.outputs.numbers import NOTHING, count, duration, limit, size, uncertain
from node_diag.outputs.picture import Picture
from node_diag.outputs.table import LONGEST, Table, thinned
from node_diag.records.sweep import Sweep, SweepPoint
from node_diag.sweep import heat_map, work_precision
from node_diag.sweep.running import idle

PAGE, RECORD, POINTS = "report.html", "sweep.json", "points.csv"
PARQUET = "points.parquet"
ALWAYS = 3
"""Columns of the front besides its axes that are always printed."""
FIELDS = [name for name in SweepPoint.model_fields if name not in ("at", "method")]


def files(found: Sweep, *, parquet: bool = False) -> dict[str, bytes]:
    """Everything a sweep leaves behind, by relative path."""
    pictures = [*work_precision.pictures(found), *heat_map.pictures(found)]
    return {
        PAGE: _page(found, pictures),
        RECORD: (json.dumps(found.model_dump(mode="json"), indent=1) + "\n").encode(),
        POINTS: _tidy(found),
        **({PARQUET: _parquet(found)} if parquet else {}),
        **{path: content for p in pictures for path, content in p.files().items()},
    }


def show(found: Sweep, console: Console) -> None:
    """On a terminal: the front, and what is recommended."""
    say(summary(found), console)
    console.print()
    table = front(found)
    if table.rows:
        say(table.caption, console)
        show_table(table, console, ALWAYS + len(found.axes))
        show_left_out(table, console, ALWAYS + len(found.axes))
        console.print()
    sentence, *commands = advice(found)
    say(sentence, console)
    for one in commands:
        show_command(one, console)


def summary(found: Sweep) -> str:
    """What was run, in a sentence."""
    failed = sum(p.status == "failed" for p in found.points)
    unknown = sum(p.status == "ok" and p.error is None for p in found.points)
    axes = " × ".join(f"{len(values)} {name}" for name, values in found.axes.items())
    methods = "1 method" if len(found.methods) == 1 else f"{len(found.methods)} methods"
    return (
        f"{found.problem}: {axes} × {methods}, {count(len(found.points))} gradients"
        + (f", {failed} of them failed" if failed else "")
        + (f", {unknown} without a truth to hold them against" if unknown else "")
    )


def advice(found: Sweep) -> list[str]:
    """The cheapest point that meets the target, and its command."""
    if found.cheapest is None:
        return [f"None of them has an error of {limit(found.target_error)} or less for certain."]
    best = found.points[found.cheapest]
    return [
        f"Cheapest for a gradient error of {limit(found.target_error)}: {best.method} with "
        f"{_at(best)}, error {uncertain(best.error, best.uncertainty)} in {count(best.nfe)} "
        "evaluations of f",
        command(found, best),
    ]


def command(found: Sweep, point: SweepPoint) -> str:
    """The check of one point."""
    varied = {k: v for k, v in point.at.items() if k not in found.varied_options}
    options = {**found.options, **{k: v for k, v in point.at.items() if k in found.varied_options}}
    unseen = idle(options)
    asked = {name: value for name, value in options.items() if name not in unseen}
    asked["methods"] = [found.methods[point.method]]
    config = resolve(asked, {}, None)
    return command_line(found.spec, {**found.overrides, **varied}, config.config, config.sources)


def front(found: Sweep) -> Table:
    """Points that none beats."""
    rows = [
        (*_named(found, p), count(p.nfe), uncertain(p.error, p.uncertainty), size(p.saved_bytes))
        for p in (found.points[i] for i in found.front)
    ]
    seconds = [duration(found.points[i].seconds) for i in found.front]
    columns = ("nfe", "error ± uncertainty", "saved bytes")
    return _table(
        found, "No other setting is both cheaper and more accurate", columns, rows, seconds
    )


def everything(found: Sweep) -> Table:
    """All points."""
    rows = [
        (
            *_named(found, p), count(p.nfe),
            p.failure or p.no_truth or uncertain(p.error, p.uncertainty),
            size(p.saved_bytes), count(p.graph_depth),
        )
        for p in found.points
    ]  # fmt: skip
    seconds = [duration(p.seconds) for p in found.points]
    columns = ("nfe", "error ± uncertainty", "saved bytes", "graph depth")
    return _table(found, "All gradients", columns, rows, seconds)


def _named(found: Sweep, point: SweepPoint) -> tuple[str, ...]:
    return point.method, *(option_text(point.at[name]) for name in found.axes)


def _table(
    found: Sweep,
    caption: str,
    columns: tuple[str, ...],
    rows: list[tuple[str, ...]],
    seconds: list[str],
) -> Table:
    """With times, if any were taken."""
    headings = ("method", *found.axes, *columns)
    if any(one != NOTHING for one in seconds):
        headings += ("time",)
        rows = [(*row, one) for row, one in zip(rows, seconds, strict=True)]
    return Table(caption, headings, rows, frozenset(range(1 + len(found.axes))))


def _at(point: SweepPoint) -> str:
    return ", ".join(f"{name} {option_text(value)}" for name, value in point.at.items())


def _columns(found: Sweep) -> dict[str, list[Any]]:
    """One row for each gradient, one column for each quantity."""
    taken = {"method", *FIELDS}
    axes = {f"set.{name}" if name in taken else name: name for name in found.axes}
    return {
        **{column: [point.at[name] for point in found.points] for column, name in axes.items()},
        "method": [point.method for point in found.points],
        **{name: [getattr(point, name) for point in found.points] for name in FIELDS},
    }


def _tidy(found: Sweep) -> bytes:
    """Numbers in full; what is not known is empty."""
    columns = _columns(found)
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(columns)
    for row in zip(*columns.values(), strict=True):
        writer.writerow(["" if value is None else value for value in row])
    return buffer.getvalue().encode()


def _parquet(found: Sweep) -> bytes:
    """The same, with types: those of the fields, and text for an axis of several types."""
    import pyarrow
    from pyarrow import parquet

    def column(name: str, values: list[Any]) -> Any:
        if name in FIELDS:
            annotation = str(SweepPoint.model_fields[name].annotation)
            number = {"int": pyarrow.int64(), "float": pyarrow.float64()}
            kind = next((t for word, t in number.items() if word in annotation), pyarrow.string())
            return pyarrow.array(values, kind)
        try:
            return pyarrow.array(values)
        except (pyarrow.ArrowException, OverflowError):
            return pyarrow.array([option_text(value) for value in values])

    columns = {name: column(name, values) for name, values in _columns(found).items()}
    table = pyarrow.table(columns)
    sink = pyarrow.BufferOutputStream()
    parquet.write_table(table, sink)
    return sink.getvalue().to_pybytes()


def _page(found: Sweep, pictures: Sequence[Picture]) -> bytes:
    context: Mapping[str, Any] = {
        "title": f"Sweep of {found.problem}",
        "found": found,
        "summary": summary(found),
        "advice": advice(found),
        "figures": [picture.for_page("sweep") for picture in pictures],
        "front": front(found),
        "everything": thinned(everything(found), LONGEST),
        "times": any(point.repeats for point in found.points),
        "version": found.version,
    }
    return environment().get_template("sweep.html").render(context).encode()
