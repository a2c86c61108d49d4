"""The result in words: one headline and one sentence of numbers, the same in every output."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from node_diag.diagnosis.metrics import NOTICEABLE, WRONG, hidden
from node_diag.diagnosis.rule import WRONG_DERIVATIVE, accused
from node_diag.outputs.foreign import shorten
from node_diag.outputs.numbers import scientific, uncertain
from node_diag.records import (
    ErrorRecord,
    MethodRecord,
    MissingReference,
    Reference,
    Report,
    Verdict,
)

WORDS: dict[str, str] = {
    "pass": "pass",
    "fail": "FAIL",
    "inconclusive": "inconclusive",
    "info": "not judged",
}
"""Verdicts as they are printed; capitals make the one that matters stand out without colour."""


UNGATED: dict[str, str] = {**WORDS, "fail": "wrong", "info": "no limits set"}
"""The verdict on a report whose exit code is 0: what is wrong in it was not asked about."""


UNUSABLE = 2
"""Exit code of a check that ran and may not be relied on (ND413, ND414)."""


@dataclass(frozen=True)
class Headline:
    """What the run found.

    Attributes:
        verdict: the worst that can be said of it.
        word: that verdict as it is printed; FAIL only where the exit code says so too.
        title: a few words.
        sentence: the errors behind them.
        gates: how the gates came out; empty if none was set.
    """

    verdict: Verdict
    word: str
    title: str
    sentence: str
    gates: str


def headline(report: Report) -> Headline:
    """The verdict on a whole report."""
    wrong = _wrong(report)
    overall = _overall(report, wrong)
    gates = _gates_sentence(report, overall)
    word = (WORDS if report.summary.exit_code else UNGATED)[overall]
    return Headline(overall, word, _title(report, wrong), _sentence(report), gates)


def method_word(method: MethodRecord) -> str:
    """The verdict on one method as a word: that of its gates, else how far off it is.

    A wrong gradient stays one though it is within the limits that were set, or they could not be
    decided.
    """
    found = judgement(method)
    if method.status == "failed" or method.verdict == "info":
        return found
    if method.verdict in ("pass", "inconclusive") and method.accused:
        return found
    return WORDS[method.verdict]


def judgement(method: MethodRecord) -> str:
    """How far off a method is as a word, whatever its gates say: ``right``, ``off``, ``wrong``.

    Right means every tensor of it. The discrete truth can only accuse: being the derivative of the
    accepted steps does not make a gradient right, missing it makes one wrong that claims to be it.
    """
    if method.status == "failed":
        return "failed"
    if method.errors is None:
        return WORDS["info"]
    if method.accused:
        return "wrong"
    error = method.errors.continuous
    if error is None:
        return "wrong" if _misses_its_steps(method, method.errors.discrete) else WORDS["info"]
    off = error.judged
    if (error.uncertainty or 0.0) >= max(off, WRONG):
        return WORDS["inconclusive"]
    if not off <= WRONG:
        return "wrong"
    return "right" if off <= NOTICEABLE and not hidden(error) else "off"


def _misses_its_steps(method: MethodRecord, error: ErrorRecord | None) -> bool:
    if error is None:
        return False
    off = error.judged
    return math.isnan(off) or (method.constant_steps and off > WRONG + (error.uncertainty or 0.0))


def error_text(error: ErrorRecord | None) -> str:
    """A relative error with its uncertainty; ``abs`` where only the absolute one is known."""
    if error is None:
        return scientific(None)
    if error.relative_l2 is None:
        return f"{uncertain(error.absolute_l2, error.uncertainty)} abs"
    return uncertain(error.relative_l2, error.uncertainty)


def why_missing(reference: Reference | None) -> str:
    """Why there is no such reference; empty if there is one."""
    return reference.reason if isinstance(reference, MissingReference) else ""


def listed(names: Sequence[str]) -> str:
    """``a, b and c``."""
    shown = [shorten(name) for name in names]
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)


def _wrong(report: Report) -> list[str]:
    """Methods whose gradient must not be trusted, in the order of the report."""
    named = accused(report.findings)
    return [m.name for m in report.methods if m.verdict == "fail" or m.name in named]


def _overall(report: Report, wrong: list[str]) -> Verdict:
    verdicts = {gate.verdict for gate in report.gates} | {m.verdict for m in report.methods}
    if wrong or "fail" in verdicts or any(f.severity == "error" for f in report.findings):
        return "fail"
    if report.comparison and report.comparison.failed:
        return "fail"
    if "inconclusive" in verdicts or report.summary.exit_code:
        return "inconclusive"
    return "pass" if "pass" in verdicts or report.comparison else "info"


def _title(report: Report, wrong: list[str]) -> str:
    parts = _not_differentiated(report) + _accusations(report, wrong)
    if report.comparison and report.comparison.failed:
        parts.append("the baseline is not met")
        parts[0] = parts[0][:1].upper() + parts[0][1:] if len(parts) == 1 else parts[0]
    if parts:
        return "; ".join(parts)
    if any(f.severity == "error" for f in report.findings):
        codes = dict.fromkeys(f.code for f in report.findings if f.severity == "error")
        return f"Something is wrong that concerns every method ({', '.join(codes)})"
    if not any(m.errors and (m.errors.continuous or m.errors.discrete) for m in report.methods):
        return "No verdict: there is no reference to compare with"
    if not any(m.errors and m.errors.continuous for m in report.methods):
        return "No verdict: there is no continuous truth to hold the gradients against"
    undecided = [m.name for m in report.methods if m.verdict == "inconclusive"]
    if undecided:
        return f"{listed(undecided)} cannot be judged: the reference is not known well enough"
    n_warnings = sum(f.severity == "warning" for f in report.findings)
    if n_warnings:
        return f"No error was found, but {n_warnings} warning{'s' if n_warnings > 1 else ''}"
    return "Nothing wrong was found"


def _not_differentiated(report: Report) -> list[str]:
    """What autograd differentiates wrongly."""
    what = {f.evidence["function"] for f in report.findings if f.code == WRONG_DERIVATIVE}
    names = [{"f": "f", "loss": "the loss"}[one] for one in sorted(what)]
    return [f"Autograd does not give the derivative of {listed(names)}"] if names else []


def _accusations(report: Report, wrong: list[str]) -> list[str]:
    """What is said of the methods that must not be trusted; a missed limit is no wrong gradient."""
    named = accused(report.findings)
    failed = [m.name for m in report.methods if m.status == "failed"]
    bad = [name for name in wrong if name not in failed and name in named]
    missed = [name for name in wrong if name not in failed and name not in named]
    parts: list[str] = []
    if bad:
        parts.append(
            f"{listed(bad)} {_one(bad, 'returns a wrong gradient', 'return wrong gradients')}"
        )
    if missed:
        parts.append(f"{listed(missed)} missed {_one(missed, 'its limit', 'their limits')}")
    parts += _far_off(report, wrong)
    return parts + ([f"{listed(failed)} failed"] if failed else [])


def _far_off(report: Report, named: list[str]) -> list[str]:
    """Other methods with a large error: the wrong ones, the rest, and those wrong in one tensor."""
    errors = {
        m.name: m.errors.continuous
        for m in report.methods
        if m.errors and m.errors.continuous and m.name not in named
    }
    words = {m.name: method_word(m) for m in report.methods}
    far = {n: off for n, e in errors.items() if not (off := e.judged) <= NOTICEABLE}
    wrong = {name: off for name, off in far.items() if words[name] == "wrong"}
    rest = {name: off for name, off in far.items() if name not in wrong}
    parts = [
        f"{listed(list(group))} {_one(list(group), 'is', 'are')} {how} by "
        f"{'up to ' if len(group) > 1 else ''}{scientific(max(group.values(), key=_rank))}"
        for how, group in (("wrong", wrong), ("off", rest))
        if group
    ]
    for name, error in errors.items():
        if name not in far and (tensors := hidden(error)):
            worst, part = next(iter(tensors.items()))
            parts.append(
                f"{shorten(name)} is off by {scientific(part.relative_l2)} in {shorten(worst)}"
            )
    return parts


def _one(names: list[str], singular: str, plural: str) -> str:
    return singular if len(names) == 1 else plural


def _sentence(report: Report) -> str:
    """Errors of all methods, the smallest first."""
    for kind in ("continuous", "discrete"):
        errors = {m.name: getattr(m.errors, kind) for m in report.methods if m.errors}
        known = {name: error for name, error in errors.items() if error is not None}
        if known:
            pairs = sorted(known.items(), key=lambda pair: _rank(pair[1].judged))
            texts = [f"{shorten(name)} {error_text(error)}" for name, error in pairs]
            why = why_missing(report.references.continuous).rstrip(".")
            missing = f" There is no continuous one: {why}." if kind == "discrete" and why else ""
            return f"Relative error against the {kind} truth: {', '.join(texts)}.{missing}"
    reasons = [why_missing(report.references.continuous), why_missing(report.references.discrete)]
    return "; ".join(dict.fromkeys(filter(None, reasons))) or "No method returned a gradient."


def _rank(value: float) -> float:
    """Sort key; NaN is worse than anything."""
    return math.inf if math.isnan(value) else value


def _gates_sentence(report: Report, overall: Verdict) -> str:
    gates, total = report.gates, len(report.gates)
    if report.summary.exit_code == UNUSABLE:
        return "The exit code is 2 whatever the gates say: f cannot be trusted as it is."
    if not gates:
        return "No limit was set, so the exit code is 0." if overall == "fail" else ""
    if all(gate.verdict == "pass" for gate in gates):
        return "The gate passed." if total == 1 else f"All {total} gates passed."
    counts = {
        "failed": sum(gate.verdict == "fail" for gate in gates),
        "could not be decided": sum(gate.verdict in ("inconclusive", "info") for gate in gates),
    }
    parts = [f"{n} {word}" for word, n in counts.items() if n]
    return f"Of {total} gate{'s' if total > 1 else ''}, {' and '.join(parts)}."
