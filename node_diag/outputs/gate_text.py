"""Gates as one line each."""

from __future__ import annotations

from node_diag.metric_names import COUNTED
from node_diag.outputs.numbers import exact, limit, uncertain
from node_diag.outputs.verdict import WORDS
from node_diag.records import Gate


def claim(gate: Gate) -> str:
    """What was held against what: ``aca.grad_error 2.8e-04 ± 1.2e-12 <= 1e-03``."""
    if gate.metric in COUNTED:
        return f"{gate.method}.{gate.metric} {exact(gate.value)} <= {exact(gate.limit)}"
    measured = uncertain(gate.value, gate.uncertainty)
    return f"{gate.method}.{gate.metric} {measured} <= {limit(gate.limit)}"


def word(gate: Gate) -> str:
    """How it came out."""
    return WORDS[gate.verdict]


def source(gate: Gate) -> str:
    """Where the limit comes from: ``--max-grad-error``, ``pyproject.toml: gates``."""
    return gate.source.removeprefix("flag ")


def reason(gate: Gate) -> str:
    """Why it came out so, unless the numbers say it: those of a failed limit do."""
    if gate.verdict == "pass" or (gate.verdict == "fail" and gate.value is not None):
        return ""
    return gate.reason
