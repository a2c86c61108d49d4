"""Autograd does not see how f depends on the time.

float(t), t.item() or t.numpy() (a table that is interpolated with numpy, say) cut the time out of
the graph. The gradients in z0 and the parameters do not go through it with constant steps; those
in all times do, and so does the naive method, whose steps move.

Detected: along t, autograd and differences of f disagree.

What to do: use torch operations on t if gradients in times matter, or if you train with naive;
else nothing. It is a warning where naive is off by more than 1 %.
"""

from collections.abc import Iterable

from node_diag.diagnosis.accepted_steps import accepted_steps, elsewhere
from node_diag.diagnosis.again import command, show
from node_diag.diagnosis.rule import Rule, off_truth
from node_diag.records import Finding, Report


def detect(rule: Rule, report: Report) -> Iterable[Finding]:
    """One finding."""
    steps = accepted_steps(report)
    moved = [
        m for m in report.methods if not m.constant_steps and m.discrete and elsewhere(m, steps)
    ]
    for wrong in report.inspection.derivatives if report.inspection else []:
        if wrong.input != "t":
            continue
        affected = "".join(f", and {m.name} is off by {off_truth(m)}" for m in moved)
        finding = rule.finding(
            f"f depends on t, but autograd says that its derivative is {wrong.autograd:.6g}, "
            f"differences say {wrong.differences:.6g}: dL/dts of methods that go through t lack "
            f"that part{affected}",
            "use torch operations on t (not float(t), .item() or numpy) if gradients in times "
            "matter; with constant steps z0 and the parameters are not affected"
            + (
                f": {command(report, method='aca,adjoint')}"
                if moved
                else f". The problem is shown by {show(report)}"
            ),
            None,
            methods=[m.name for m in moved],
            t=wrong.t,
            autograd=wrong.autograd,
            differences=wrong.differences,
        )
        yield finding.model_copy(update={"severity": "warning"}) if moved else finding


RULE = Rule("ND207", "info", detect)
