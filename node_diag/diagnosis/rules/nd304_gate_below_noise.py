"""A limit is below what the reference can tell.

A gate passes only if the error plus the reference's uncertainty is within the limit. Where the
uncertainty alone is larger, nothing could pass: the check asks for more digits than are known.

Detected: a gate is inconclusive and the uncertainty of its value is larger than half its limit.

What to do: raise the limit, or make the truth better known: a closed form (exact=...), a shorter
interval, float64.
"""

from collections.abc import Iterable

from node_diag.diagnosis.again import command
from node_diag.diagnosis.rule import Rule
from node_diag.records import Finding, Report


def detect(rule: Rule, report: Report) -> Iterable[Finding]:
    """One finding for each such gate."""
    for gate in report.gates:
        if gate.verdict != "inconclusive" or gate.uncertainty is None or gate.value is None:
            continue
        if not gate.uncertainty > gate.limit / 2:
            continue
        needed = f"{2 * (gate.value + gate.uncertainty):.0e}"
        yield rule.finding(
            f"{gate.method}: {gate.metric} is known to ± {gate.uncertainty:.1e}, so a limit of "
            f"{gate.limit:.1e} cannot be decided",
            f"raise the limit to {needed} or more: "
            f"{command(report, gates=[f'{gate.method}.{gate.metric}<={needed}'])}",
            gate.method,
            limit=gate.limit,
            uncertainty=gate.uncertainty,
        )


RULE = Rule("ND304", "warning", detect)
