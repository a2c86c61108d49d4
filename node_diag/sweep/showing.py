"""A finished sweep as files: page, pictures, tidy tables."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

from node_diag.command_line import command_line
from node_diag.config import option_text
from node_diag.config_sources import resolve
from node_diag.outputs.formats.html import environment
from node_diag.outputs.numbers import NOTHING, count, duration, limit, size, uncertain
from node_diag.outputs.picture import Picture
from node_diag.outputs.table import LONGEST, Table, thinned
from node_diag.records.sweep import Sweep, SweepPoint
from node_diag.sweep import along, heat_map, work_precision
from node_diag.sweep.choosing import looked_at
from node_diag.sweep.grid import idle

PAGE, RECORD, POINTS = "report.html", "sweep.json", "points.csv"
PARQUET = "points.parquet"
MOST_REASONS = 3
"""Why gradients failed, on a terminal; problems that a caption names."""
FIELDS = [name for name in SweepPoint.model_fields if name not in ("at", "method")]


def files(found: Sweep, *, parquet: bool = False) -> dict[str, bytes]:
    """Everything a sweep leaves behind, by relative path."""
    pictures = [p for kind in (work_precision, along, heat_map) for p in kind.pictures(found)]
    return {
        PAGE: _page(found, pictures),
        RECORD: (json.dumps(found.model_dump(mode="json"), indent=1) + "\n").encode(),
        POINTS: _tidy(found),
        **({PARQUET: _parquet(found)} if parquet else {}),
        **{path: content for p in pictures for path, content in p.files().items()},
    }


def summary(found: Sweep) -> str:
    """What was run, in a sentence."""
    failed = sum(p.status == "failed" for p in found.points)
    unknown = sum(p.status == "ok" and p.error is None for p in found.points)
    axes = " × ".join(f"{name} ({len(values)})" for name, values in found.axes.items())
    return (
        f"{found.problem}: {axes} × {_many(len(found.methods), 'method')}, "
        f"{_many(len(found.points), 'gradient')}"
        + (f", {failed} of them failed" if failed else "")
        + (f", {unknown} without a truth to hold them against" if unknown else "")
    )


def failures(found: Sweep, most: int) -> list[str]:
    """Why gradients failed or have no truth, the most frequent reasons first."""
    by_reason: dict[str, list[SweepPoint]] = {}
    for point in found.points:
        if reason := point.failure or point.no_truth:
            by_reason.setdefault(reason, []).append(point)
    ranked = sorted(by_reason.items(), key=lambda item: -len(item[1]))
    sentences = [
        f"{_many(len(points), 'gradient')}, {_setting(found, points[0])}"
        f"{' first' if len(points) > 1 else ''}: {reason}"
        for reason, points in ranked[:most]
    ]
    if len(ranked) > most:
        sentences.append(f"{_many(len(ranked) - most, 'other reason')}: {POINTS}")
    return sentences


def advice(found: Sweep) -> list[str]:
    """What meets the target for the fewest evaluations, and its command."""
    target = limit(found.target_error)
    if len(found.choices) > 1:
        return _advice_for_all(found, target)
    best = found.choices[0].cheapest
    if best is None:
        return [f"None of them has an error of {target} or less for certain{_closest(found)}."]
    point = found.points[best]
    return [
        f"Cheapest for a gradient error of {target}: {_setting(found, point)}, "
        f"error {uncertain(point.error, point.uncertainty)} in {count(point.nfe)} evaluations of f",
        command(found, point),
    ]


def _advice_for_all(found: Sweep, target: str) -> list[str]:
    problems = f"every {' and '.join(found.choices[0].at)}"
    if not found.everywhere:
        return [
            f"No setting has an error of {target} or less for certain at {problems}"
            f"{_closest(found) if all(c.cheapest is None for c in found.choices) else ''}."
        ]
    points = [found.points[i] for i in found.everywhere]
    worst = max(points, key=lambda point: point.worst or 0.0)
    there = found.choices[0].at.keys()
    own = {k: v for k, v in looked_at(found, worst.at, worst.method).items() if k not in there}
    where = _at({name: worst.at[name] for name in there})
    together = sum(point.nfe or 0 for point in points)
    return [
        f"Cheapest for a gradient error of {target} at {problems}: {worst.method}"
        f"{_with(own)}, error {uncertain(worst.error, worst.uncertainty)} "
        f"at most (at {where}), in {count(together)} evaluations of f together",
        command(found, worst),
    ]


def _closest(found: Sweep) -> str:
    """How far from it the best one is."""
    known = [point for point in found.points if point.error is not None]
    if not known:
        return ""
    best = min(known, key=lambda point: point.worst or 0.0)
    return (
        f"; closest is {_setting(found, best)}, error {uncertain(best.error, best.uncertainty)} in "
        f"{count(best.nfe)} evaluations of f"
    )


def command(found: Sweep, point: SweepPoint) -> str:
    """The check of one point."""
    varied = {k: v for k, v in point.at.items() if k not in found.varied_options}
    options = {**found.options, **{k: v for k, v in point.at.items() if k in found.varied_options}}
    unseen = idle(options, found.methods[point.method])
    asked = {name: value for name, value in options.items() if name not in unseen}
    asked["methods"] = [found.methods[point.method]]
    config = resolve(asked, {}, None)
    return command_line(found.spec, {**found.overrides, **varied}, config.config, config.sources)


def front(found: Sweep) -> Table:
    """Points that none beats, for one problem after the other."""
    points = [found.points[i] for choice in found.choices for i in choice.front]
    caption = "No other setting is both cheaper and more accurate"
    if len(found.choices) > 1:
        caption += f" at the same {' and '.join(found.choices[0].at)}"
    return _chosen(found, caption, points)


def for_each(found: Sweep) -> Table:
    """The cheapest point for every problem that has one."""
    points = [found.points[c.cheapest] for c in found.choices if c.cheapest is not None]
    names, target = " and ".join(found.choices[0].at), limit(found.target_error)
    caption = f"Cheapest for a gradient error of {target} at each {names}"
    if missing := [choice.at for choice in found.choices if choice.cheapest is None]:
        some = "; ".join(_at(at) for at in missing[:MOST_REASONS])
        others = len(missing) - MOST_REASONS
        more = f" and at {others} more" if others > 0 else ""
        caption += f"; nothing reaches it at {some}{more}"
    return _chosen(found, caption, points)


def _chosen(found: Sweep, caption: str, points: Sequence[SweepPoint]) -> Table:
    rows = [
        (*_named(found, p), count(p.nfe), uncertain(p.error, p.uncertainty), size(p.saved_bytes))
        for p in points
    ]
    columns = ("nfe", "error ± uncertainty", "saved bytes")
    return _table(found, caption, columns, rows, [duration(p.seconds) for p in points])


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
    read = looked_at(found, point.at, point.method)
    return (
        point.method,
        *(option_text(read[name]) if name in read else NOTHING for name in found.axes),
    )


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


def _at(at: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {option_text(value)}" for name, value in at.items())


def _setting(found: Sweep, point: SweepPoint) -> str:
    return f"{point.method}{_with(looked_at(found, point.at, point.method))}"


def _with(at: Mapping[str, Any]) -> str:
    return f" with {_at(at)}" if at else ""


def _many(number: int, what: str) -> str:
    return f"{count(number)} {what}{'' if number == 1 else 's'}"


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
        "for_each": thinned(for_each(found), LONGEST) if len(found.choices) > 1 else None,
        "failures": failures(found, LONGEST),
        "front": thinned(front(found), LONGEST),
        "everything": thinned(everything(found), LONGEST),
        "times": any(point.repeats for point in found.points),
        "version": found.version,
    }
    return environment().get_template("sweep.html").render(context).encode()
