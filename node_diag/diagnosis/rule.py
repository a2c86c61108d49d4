"""A finding's rule: a stable code, what it means, and a detector over the record of a run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from node_diag.records import (
    Candidate,
    ErrorRecord,
    Finding,
    MethodRecord,
    ParameterError,
    Report,
    Severity,
)
from node_diag.registry import FINDINGS, METHODS, code_of

SECOND_DERIVATIVES = "ND208"
WRONG_DERIVATIVE = "ND205"
OF_SEVERAL = (WRONG_DERIVATIVE, "ND209")
"""Findings whose evidence names the methods that one cause makes wrong."""
MOST_NAMED = 5


@dataclass(frozen=True)
class Rule:
    """One file in ``diagnosis/rules`` that defines ``RULE``; the file's docstring explains it.

    Attributes:
        code: stable, never reused.
        detect: Report (without findings) → findings.
    """

    code: str
    severity: Severity
    detect: Callable[[Rule, Report], Iterable[Finding]]

    def finding(
        self, message: str, advice: str, method: str | None = None, **evidence: Any
    ) -> Finding:
        """A finding of this rule."""
        return Finding(
            code=self.code,
            severity=self.severity,
            method=method,
            message=message,
            evidence=evidence,
            advice=advice,
        )


def is_wanted(code: str, select: Sequence[str], ignore: Sequence[str]) -> bool:
    """Whether a finding was asked for.

    Both hold beginnings of codes. The longer one that fits decides; of two equal ones, ``ignore``.
    """
    chosen = max((len(prefix) for prefix in select if code.startswith(prefix)), default=-1)
    left_out = max((len(prefix) for prefix in ignore if code.startswith(prefix)), default=-1)
    return chosen > left_out or (left_out < 0 and not select)


def diagnose(report: Report) -> list[Finding]:
    """Findings of all rules that were asked for, errors first, then by code."""
    rank = {"error": 0, "warning": 1, "info": 2}
    config = report.config
    wanted = [n for n in FINDINGS.names() if is_wanted(code_of(n), config.select, config.ignore)]
    rules: list[Rule] = [FINDINGS.load(name) for name in wanted]
    found = [finding for rule in rules for finding in rule.detect(rule, report)]
    return sorted(found, key=lambda finding: (rank[finding.severity], finding.code))


def accused(findings: Iterable[Finding]) -> set[str | None]:
    """Methods with an error in their gradient; one in their second derivatives is another thing.

    Also those that share their cause with others, as autograd that does not differentiate f.
    """
    errors = [f for f in findings if f.severity == "error" and f.code != SECOND_DERIVATIVES]
    several = (f.evidence.get("methods", []) for f in errors if f.code in OF_SEVERAL)
    return {f.method for f in errors}.union(*several)


def judged(error: ErrorRecord | ParameterError | None) -> float | None:
    """The error that is judged, of one that may be missing."""
    return error.judged if error else None


def continuous(method: MethodRecord) -> float | None:
    """A method's error against the continuous truth."""
    return judged(method.errors.continuous) if method.errors else None


def discrete(method: MethodRecord) -> float | None:
    """A method's error against the discrete truth."""
    return judged(method.errors.discrete) if method.errors else None


def known(value: float | None, bar: float | None) -> str:
    """A number with its uncertainty: ``2.8e-04 ± 1.2e-12``."""
    if value is None:
        return "an unknown amount"
    return f"{value:.1e}" + (f" ± {bar:.1e}" if bar else "")


def off_truth(method: MethodRecord) -> str:
    """A method's error against the continuous truth as text."""
    error = method.errors.continuous if method.errors else None
    return known(judged(error), error.uncertainty if error else None)


def off_steps(method: MethodRecord) -> str:
    """A method's error against the discrete truth as text."""
    error = method.errors.discrete if method.errors else None
    return known(judged(error), error.uncertainty if error else None)


def stored(report: Report) -> MethodRecord | None:
    """A method that differentiates the accepted steps with their sizes constant, if one ran."""
    for name in ("aca", "direct"):
        for method in report.methods:
            if method.name == name and method.status == "ok":
                return method
    return None


def is_own(report: Report, method: MethodRecord) -> bool:
    """Whether a method is of a file of the person's own."""
    return method.name not in METHODS.names()


def candidates(report: Report) -> list[Candidate]:
    """Settings that were tried out in the search for the cheapest one."""
    return report.recommendation.candidates if report.recommendation else []


def listed(names: Sequence[str]) -> str:
    """The first of them, and how many more there are."""
    more = len(names) - MOST_NAMED
    return ", ".join(names[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
