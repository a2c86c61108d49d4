"""Most of a gradient's error arises in a small part of the interval.

For the exact flow the pairing of the adjoint state with the tangent of the trajectory is the same
at all times. What a backward pass gets wrong makes it drift, there and nowhere else, and the drift
adds up to the error.

Detected: a method is off by more than 1 %, and more than half of that arises in a tenth of the
interval (or in one recorded step of the backward pass).

What to do: look at the trajectory there. More observation times, a bound on the step or a tighter
tolerance help where it is; a stored trajectory helps if it is the reverse-time state that is lost.
"""

from collections.abc import Iterable

from node_diag.diagnosis.again import command
from node_diag.diagnosis.rule import Rule, continuous, off_truth
from node_diag.records import Finding, Report

MOST = 0.5
CANCELS = 1.5
"""Shares above this cancel with others, so no single place is to blame."""


def detect(rule: Rule, report: Report) -> Iterable[Finding]:
    """One finding for each method whose error has a place."""
    for method in report.methods:
        origin, error = method.error_origin, continuous(method)
        if origin is None or error is None or not MOST < origin.most < CANCELS:
            continue
        # Shares above one have others against them; together they are the error.
        share = f"{origin.most:.0%}" if origin.most <= 1 else "all"
        others = "" if origin.most <= 1 else "; other parts cancel each other"
        yield rule.finding(
            f"{method.name}: {share} of its error of {off_truth(method)} arises between "
            f"t = {origin.start:.4g} and {origin.end:.4g}{others}",
            "look at the trajectory and the steps there: " + command(report, method=method.name),
            method.name,
            start=origin.start,
            end=origin.end,
            share=origin.most,
            gradient_error=error,
        )


RULE = Rule("ND210", "info", detect)
