"""A finished sweep as files: page, pictures, tidy tables."""

from __future__ import annotations

import csv
import io
import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from node_diag.config import LISTS, flag_of, option_text
from node_diag.outputs.formats.html import environment
from node_diag.outputs.numbers import count, duration, limit, size, uncertain
from node_diag.outputs.picture import Picture
from node_diag.outputs.table import LONGEST, Table, thinned
from node_diag.records.sweep import Sweep, SweepPoint
from node_diag.sweep import heat_map, work_precision

PAGE, RECORD, POINTS = "report.html", "sweep.json", "points.csv"
FIELDS = [name for name in SweepPoint.model_fields if name not in ("at", "method")]


def files(found: Sweep) -> dict[str, bytes]:
    """Everything a sweep leaves behind, by relative path."""
    pictures = [*work_precision.pictures(found), *heat_map.pictures(found)]
    return {
        PAGE: _page(found, pictures),
        RECORD: (json.dumps(found.model_dump(mode="json"), indent=1) + "\n").encode(),
        POINTS: _tidy(found),
        **{path: content for p in pictures for path, content in p.files().items()},
    }


def lines(found: Sweep) -> list[str]:
    """For a terminal: the front, and what is recommended."""
    table = front(found)
    widths = [max(map(len, column)) for column in zip(table.columns, *table.rows, strict=True)]

    def line(row: Sequence[str]) -> str:
        cells = [
            cell.ljust(width) if i in table.words else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        return "  ".join(cells).rstrip()

    return [summary(found), "", table.caption, line(table.columns), *map(line, table.rows), "",
            *advice(found)]  # fmt: skip


def summary(found: Sweep) -> str:
    """What was run, in a sentence."""
    failed = sum(p.status == "failed" for p in found.points)
    unknown = sum(p.status == "ok" and p.error is None for p in found.points)
    axes = " × ".join(f"{len(values)} {name}" for name, values in found.axes.items())
    n = len(found.points)
    return (
        f"{found.problem}: {axes} × {len(found.methods)} methods, {count(n)} gradients"
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
        f"  {command(found, best)}",
    ]


def command(found: Sweep, point: SweepPoint) -> str:
    """The check of one point."""
    words = ["node-diag", "check", found.spec]
    varied = {k: v for k, v in point.at.items() if k not in found.varied_options}
    for name, value in {**found.overrides, **varied}.items():
        words += ["--set", f"{name}={value}"]
    options = {**found.options, **{k: v for k, v in point.at.items() if k in found.varied_options}}
    for name, value in {**options, "methods": [found.methods[point.method]]}.items():
        text = ",".join(value) if name in LISTS else option_text(value)
        words += [flag_of(name), text]
    return shlex.join(words)


def front(found: Sweep) -> Table:
    """Points that none beats."""
    rows = [
        (
            p.method, *(option_text(p.at[name]) for name in found.axes), count(p.nfe),
            uncertain(p.error, p.uncertainty), size(p.saved_bytes), duration(p.seconds),
        )
        for p in (found.points[i] for i in found.front)
    ]  # fmt: skip
    columns = ("method", *found.axes, "nfe", "error ± uncertainty", "saved bytes", "time")
    if all(row[-1] == "–" for row in rows):
        rows, columns = [row[:-1] for row in rows], columns[:-1]
    words = frozenset({0, *(1 + i for i in range(len(found.axes)))})
    return Table("No other setting is both cheaper and more accurate", columns, rows, words)


def everything(found: Sweep) -> Table:
    """All points."""
    rows = [
        (
            p.method, *(option_text(p.at[name]) for name in found.axes), count(p.nfe),
            p.failure or p.no_truth or uncertain(p.error, p.uncertainty), size(p.saved_bytes),
            count(p.graph_depth), duration(p.seconds),
        )
        for p in found.points
    ]  # fmt: skip
    columns = (
        *("method", *found.axes, "nfe", "error ± uncertainty", "saved bytes"),
        *("graph depth", "time"),
    )
    words = frozenset({0, *(1 + i for i in range(len(found.axes)))})
    return Table("All gradients", columns, rows, words)


def _at(point: SweepPoint) -> str:
    return ", ".join(f"{name} {option_text(value)}" for name, value in point.at.items())


def _tidy(found: Sweep) -> bytes:
    """One row for each gradient, one column for each quantity, numbers in full."""
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([*found.axes, "method", *FIELDS])
    for point in found.points:
        values = [getattr(point, name) for name in FIELDS]
        at = [point.at[name] for name in found.axes]
        writer.writerow([*at, point.method, *("" if v is None else v for v in values)])
    return buffer.getvalue().encode()


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
