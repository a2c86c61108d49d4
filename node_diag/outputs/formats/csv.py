"""Tables of methods, gradients, steps and trajectories with every digit (tables/*.csv)."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Sequence

from node_diag.outputs.foreign import plain
from node_diag.outputs.verdict import judgement
from node_diag.records import (
    ErrorRecord,
    GradientRecord,
    ReferenceRecord,
    Report,
)

Cell = float | str | bool | None
Rows = Iterable[Sequence[Cell]]
_FORMULA_STARTS = ("=", "+", "-", "@")
_COST = (
    "nfe_forward",
    "nfe_backward",
    "nvjp_backward",
    "n_steps_backward",
    "saved_bytes",
    "peak_bytes",
    "graph_depth",
    "live_graph_depth",
    "forward_s",
    "backward_s",
    "repeats",
    "spread_s",
)
_ERROR = ("relative_l2", "uncertainty", "absolute_l2", "max_abs", "cosine", "norm_ratio")


class Csv:
    """One file per table; an empty cell where there is no number, ``nan`` and ``inf`` as such."""

    def render(self, report: Report) -> dict[str, bytes]:
        """All tables."""
        tables = dict(_TABLES)
        if any(m.second_order for m in report.methods):
            tables["second_order"] = _second_order
        if report.training:
            tables["training"] = _training
        return {f"tables/{name}.csv": _encode(rows(report)) for name, rows in tables.items()}


def _encode(rows: Rows) -> bytes:
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerows([_cell(cell) for cell in row] for row in rows)
    return buffer.getvalue().encode()


def _cell(value: Cell) -> str:
    """A text that a spreadsheet would run as a formula gets an apostrophe in front."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str):
        return repr(value)
    text = plain(value)
    return f"'{text}" if text.startswith(_FORMULA_STARTS) else text


def _methods(report: Report) -> Rows:
    """One row per method."""
    truths = ("continuous", "discrete")
    yield (
        *("method", "status", "verdict", "judgement", "failure"),
        *(f"{truth}_{name}" for truth in truths for name in _ERROR),
        *("reconstruction_max_error", "reconstruction_initial_error", "reconstruction_measured"),
        *_COST,
    )
    for m in report.methods:
        errors = (getattr(m.errors, truth) if m.errors else None for truth in truths)
        yield (
            *(m.name, m.status, m.verdict, judgement(m), m.failure),
            *(cell for error in errors for cell in _fields(error, _ERROR)),
            *_fields(m.reconstruction, ("max_error", "initial_error", "measured")),
            *_fields(m.cost, _COST),
        )


def _fields(record: object, names: Sequence[str]) -> list[Cell]:
    return [getattr(record, name) if record else None for name in names]


def _gradient(report: Report) -> Rows:
    """One row per method, truth and parameter tensor."""
    yield "method", "truth", "tensor", "relative_l2", "uncertainty", "max_abs"
    for m in report.methods:
        for truth in ("continuous", "discrete"):
            error: ErrorRecord | None = getattr(m.errors, truth) if m.errors else None
            for tensor, e in (error.by_parameter if error else {}).items():
                yield m.name, truth, tensor, e.relative_l2, e.uncertainty, e.max_abs
            if error and (e := error.times):
                yield m.name, truth, "ts", e.relative_l2, e.uncertainty, e.max_abs


def _second_order(report: Report) -> Rows:
    """One row per method and tensor; Hessian-vector products against differences."""
    yield "method", "differentiated", "reason", "tensor", "relative_l2", "uncertainty", "max_abs"
    for m in report.methods:
        if (found := m.second_order) is None:
            continue
        if found.error is None:
            yield m.name, None, found.reason, None, None, None, None
            continue
        for tensor, e in found.error.by_parameter.items():
            yield (
                *(m.name, found.differentiated, None),
                *(tensor, e.relative_l2, e.uncertainty, e.max_abs),
            )


def _values(report: Report) -> Rows:
    """One row per entry of the gradient; references and methods side by side."""
    columns = {
        **{f"reference_{name}": g for name, g in _references(report).items()},
        **{m.name: m.gradient for m in report.methods if m.gradient},
    }
    yield "tensor", "index", *columns
    tensors = [entries(gradient) for gradient in columns.values()]
    for name in dict.fromkeys(name for found in tensors for name in found):
        values = [found.get(name, []) for found in tensors]
        length = max(map(len, values))
        for i in range(length):
            yield name, i, *(v[i] if i < len(v) else None for v in values)
    # A row without an index stands for each that is in arrays.npz alone.
    listed = {name for found in tensors for name in found}
    params = dict.fromkeys(name for g in columns.values() for name in g.params)
    for name in ["z0", *params]:
        if name not in listed:
            yield name, None, *(None for _ in columns)


def _references(report: Report) -> dict[str, GradientRecord]:
    found = {
        "continuous": report.references.continuous,
        "discrete": report.references.discrete,
        "unfrozen_differences": report.references.unfrozen,
    }
    return {n: ref.gradient for n, ref in found.items() if isinstance(ref, ReferenceRecord)}


def entries(gradient: GradientRecord) -> dict[str, list[float]]:
    """Gradient entries by tensor; those that went to arrays.npz are left out."""
    inner = {f"t[{i}]": [g] for i, g in enumerate(gradient.ts[1:-1], start=1)}
    return gradient.tensors() | inner


def _training(report: Report) -> Rows:
    """One row for every step of every run; the truth where it was looked at."""
    yield "method", "seed", "step", "loss", "nfe", "seconds", "cosine", "relative_error"
    for run in report.training.runs if report.training else []:
        truth = {p.step: (p.cosine, p.relative_error) for p in run.truth}
        for i, loss in enumerate(run.losses):
            spent = (run.nfe[i], run.seconds[i]) if i < len(run.nfe) else (None, None)
            yield run.method, run.seed, i, loss, *spent, *truth.get(i, (None, None))


def _steps(report: Report) -> Rows:
    yield "t", "h", "accepted"
    steps = report.series.steps
    yield from zip(steps.t, steps.h, steps.accepted, strict=True)


def _trajectories(report: Report) -> Rows:
    yield "curve", "t", *report.series.components, "relative_error"
    curves = {"forward": report.series.forward, **report.series.reconstruction}
    for name, curve in curves.items():
        errors = curve.error or [None] * len(curve.t)
        for t, z, error in zip(curve.t, curve.z, errors, strict=True):
            yield name, t, *z, error


_TABLES: dict[str, Callable[[Report], Rows]] = {
    "methods": _methods,
    "gradient_errors": _gradient,
    "gradient_values": _values,
    "steps": _steps,
    "trajectories": _trajectories,
}
OUTPUT = Csv()
