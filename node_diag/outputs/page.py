"""What the HTML page shows, as plain data: the template only arranges it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from node_diag.diagnosis.again import COMMANDS
from node_diag.outputs import gate_text
from node_diag.outputs.foreign import plain
from node_diag.outputs.numbers import NOTHING, count, duration, general, scientific, size, uncertain
from node_diag.outputs.table import LONGEST, Table
from node_diag.outputs.values import show
from node_diag.outputs.verdict import error_text
from node_diag.records import (
    Cost,
    Finding,
    GradientRecord,
    MissingReference,
    ReferenceRecord,
    Report,
)

_KINDS = {
    "exact": "closed form",
    "sensitivity": "sensitivity equations",
    "finite-difference": "finite differences",
}
_SMALL = 16
"""Entries of a tensor that is shown entry by entry."""


def facts(report: Report) -> list[tuple[str, str]]:
    """The solve in a few numbers."""
    config, solution, problem = report.config, report.solution, report.problem
    steps = f"{count(solution.n_accepted)} accepted, {count(solution.n_rejected)} rejected"
    return [
        ("solver", config.solver),
        ("tolerances", f"rtol {general(config.rtol)}, atol {general(config.atol)}")
        if config.step_size is None
        else ("step size", general(config.step_size)),
        ("precision", config.dtype),
        ("interval", f"t0 = {general(problem.t0)}, t1 = {general(problem.t1)}"),
        ("size", f"{_many(problem.n_state, 'state')}, {_many(problem.n_params, 'parameter')}"),
        ("loss", general(solution.loss)),
        ("steps", steps),
        ("evaluations of f", count(solution.nfe)),
    ]


def _many(n: int, noun: str) -> str:
    return f"{count(n)} {noun}{'' if n == 1 else 's'}"


def advice(finding: Finding) -> tuple[str, str]:
    """What to do, and the command that does it (empty if there is none)."""
    starts = [finding.advice.find(one) for one in COMMANDS if one in finding.advice]
    at = min(starts, default=len(finding.advice))
    return finding.advice[:at].rstrip(), finding.advice[at:]


def evidence(finding: Finding) -> list[tuple[str, str]]:
    """What the finding rests on, apart from what its message quotes."""
    return [
        (name.replace("_", " "), show(value))
        for name, value in finding.evidence.items()
        if not (isinstance(value, str) and value in finding.message)  # which has said it
    ]


def gates(report: Report) -> Table:
    """One row per gate."""
    rows = [
        (
            f"{g.method}.{g.metric}",
            uncertain(g.value, g.uncertainty),
            f"≤ {gate_text.limit(g.limit)}",
            gate_text.word(g),
            gate_text.source(g),
            gate_text.reason(g),
        )
        for g in report.gates
    ]
    columns = ("gate", "measured", "limit", "verdict", "limit from", "reason")
    return Table("Gates: limits and how they were met", columns, rows, frozenset({0, 3, 4, 5}))


def own_steps(report: Report) -> Table | None:
    """What libraries solved by themselves; None if none did."""
    rows = [
        (
            m.name,
            scientific(own.loss - report.solution.loss),
            f"{count(own.n_accepted)} + {count(own.n_rejected)}",
            error_text(own.distance),
            error_text(m.errors.discrete if m.errors else None),
        )
        for m in report.methods
        if (own := m.own_steps)
    ]
    columns = (
        *("method", "its loss − ours", "steps + rejected", "its steps vs continuous truth"),
        "its gradient vs its steps",
    )
    note = (
        "A library chooses its own steps. Their derivative, sizes held constant, is the discrete "
        "truth its gradient is held against: the first distance is the solver's, the second the "
        "gradient method's."
    )
    return Table("What the libraries solved", columns, rows, note=note) if rows else None


def costs(report: Report) -> Table:
    """Everything that was counted and timed."""
    columns = (
        *("method", "nfe fwd + bwd", "vjps", "backward steps", "saved", "peak"),
        *("graph depth", "alive at once", "time fwd + bwd", "spread"),
    )
    rows = [(m.name, *_cost_cells(m.cost)) for m in report.methods if m.cost]
    repeats = sorted({m.cost.repeats for m in report.methods if m.cost})
    runs = " to ".join(str(n) for n in dict.fromkeys((repeats[0], repeats[-1]))) if rows else ""
    note = f"Times are medians of {runs} runs; counts and bytes are exact." if rows else ""
    return Table("Counts, bytes and times of every method", columns, rows, note=note)


def _cost_cells(cost: Cost) -> tuple[str, ...]:
    return (
        f"{count(cost.nfe_forward)} + {count(cost.nfe_backward)}",
        count(cost.nvjp_backward),
        count(cost.n_steps_backward),
        size(cost.saved_bytes),
        size(cost.peak_bytes),
        count(cost.graph_depth),
        count(cost.live_graph_depth),
        f"{duration(cost.forward_s)} + {duration(cost.backward_s)}",
        duration(cost.spread_s),
    )


@dataclass(frozen=True)
class ReferenceView:
    """One reference as the page shows it."""

    title: str
    is_truth: bool
    meaning: str
    missing: str
    facts: list[tuple[str, str]]


def references(report: Report) -> list[ReferenceView]:
    """Both truths, and the differences that are none."""
    found = report.references
    views = [
        _view(
            "Continuous truth",
            "The derivative of the exact flow. Every method is judged against it.",
            found.continuous,
        ),
        _view(
            "Discrete truth",
            "The derivative of the number the solver returns, accepted steps held constant. "
            "aca and direct have to hit it, with fixed steps naive as well; the adjoint is not "
            "judged against it.",
            found.discrete,
        ),
    ]
    if found.unfrozen:
        meaning = (
            "Finite differences through the adaptive solver: what one would try first. They "
            "contain the derivative of the step-size control, so no method is judged by them."
        )
        view = _view("Unfrozen finite differences: not a truth", meaning, found.unfrozen)
        bias = _bias(found.unfrozen, found.continuous)
        views.append(ReferenceView(view.title, False, meaning, view.missing, [*view.facts, *bias]))
    return views


def _view(title: str, meaning: str, reference: ReferenceRecord | MissingReference) -> ReferenceView:
    if isinstance(reference, MissingReference):
        return ReferenceView(title, True, meaning, reference.reason, [])
    known = [
        ("obtained by", _KINDS[reference.kind]),
        ("relative uncertainty", scientific(reference.uncertainty)),
        ("absolute uncertainty", scientific(reference.absolute_uncertainty)),
        ("norm of the gradient", general(reference.norm)),
    ]
    details = [
        (name.replace("_", " "), show(_worded(value)))
        for name, value in reference.details.items()
        if name != "v_curve"  # which is a figure
    ]
    return ReferenceView(title, True, meaning, "", known + details)


def _worded(value: Any) -> Any:
    """A mapping with words for keys instead of identifiers."""
    if not isinstance(value, Mapping):
        return value
    pairs = cast("Mapping[Any, Any]", value).items()
    return {str(key).replace("_", " "): item for key, item in pairs}


def _bias(
    unfrozen: ReferenceRecord | MissingReference, truth: ReferenceRecord | MissingReference
) -> list[tuple[str, str]]:
    """How far the unfrozen differences are from the truth."""
    if isinstance(unfrozen, MissingReference) or isinstance(truth, MissingReference):
        return []
    ours, theirs = flat(unfrozen.gradient), flat(truth.gradient)
    if ours is None or theirs is None or len(ours) != len(theirs) or not truth.norm:
        return []
    gap = math.hypot(*(a - b for a, b in zip(ours, theirs, strict=True))) / truth.norm
    return [("distance from the continuous truth", f"{scientific(gap)} (relative)")]


def flat(gradient: GradientRecord) -> list[float] | None:
    """z0 and all parameters in one list; None if some went to arrays.npz."""
    parts = [gradient.z0, *gradient.params.values()]
    return None if None in parts else [x for part in parts if part is not None for x in part]


def gradient_values(report: Report) -> Table:
    """Entries of all gradients side by side, of the tensors that are small enough to read."""
    named = {
        "continuous truth": report.references.continuous,
        "discrete truth": report.references.discrete,
    }
    columns = {n: r.gradient for n, r in named.items() if isinstance(r, ReferenceRecord)}
    columns |= {m.name: m.gradient for m in report.methods if m.gradient}
    tensors = [gradient.tensors() for gradient in columns.values()]
    rows: list[tuple[str, ...]] = []
    left_out = 0
    for name in dict.fromkeys(name for found in tensors for name in found):
        length = max(len(found.get(name, [])) for found in tensors)
        if length > _SMALL or len(rows) + length > LONGEST:
            left_out += 1
            continue
        for i in range(length):
            label = f"{name}[{i}]" if length > 1 else name
            rows.append((label, *(_entry(found.get(name, []), i) for found in tensors)))
    note = f"{left_out} larger tensors are in tables/gradient_values.csv." if left_out else ""
    return Table("Gradient, entry by entry", ("entry", *columns), rows, note=note)


def _entry(values: list[float], i: int) -> str:
    return f"{values[i]:.9g}" if i < len(values) else NOTHING


def configuration(report: Report) -> Table:
    """Every effective value and where it came from."""
    values = report.config.model_dump(exclude={"sources"})
    given = report.config.sources
    # --max-grad-error is a way to write a gate.
    gates = {"gates": given["max_grad_error"]} if "max_grad_error" in given else {}
    sources = {"problem": "argument", "overrides": "--set", **gates, **given}
    rows = [(name, show(value), sources.get(name, "default")) for name, value in values.items()]
    return Table("Configuration", ("setting", "value", "from"), rows, frozenset({0, 1, 2}))


def environment(report: Report) -> list[tuple[str, str]]:
    """Where it was run."""
    rows = {"node-diag": report.tool.version, **report.environment.model_dump()}
    return [(name, plain(str(value))) for name, value in rows.items()]
