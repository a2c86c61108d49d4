"""Autograd does not see how f depends on the time.

float(t), t.item() or t.numpy() (a table that is interpolated with numpy, say) cut the time out of
the graph. The gradients in z0 and the parameters do not go through it with constant steps; dL/dt0
and the gradients in the observation times do, and so does the naive method, whose steps move.

Detected: along t, autograd and differences of f disagree.

What to do: use torch operations on t if gradients in times matter; else nothing.
"""

from collections.abc import Iterable

from node_diag.diagnosis.rule import Rule, command
from node_diag.records import Finding, Report


def detect(rule: Rule, report: Report) -> Iterable[Finding]:
    """One finding."""
    for wrong in report.inspection.derivatives if report.inspection else []:
        if wrong.input == "t":
            yield rule.finding(
                f"f depends on t, but autograd says that its derivative is {wrong.autograd:.6g}, "
                f"differences say {wrong.differences:.6g}: dL/dt0 of methods that go through t "
                "lacks that part",
                "use torch operations on t if gradients in times matter; z0 and the parameters are "
                f"not affected: {command(report, method='aca,adjoint')}",
                None,
                t=wrong.t,
                autograd=wrong.autograd,
                differences=wrong.differences,
            )


RULE = Rule("ND207", "info", detect)
