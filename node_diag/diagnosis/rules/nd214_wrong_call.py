"""A captured call whose gradient is not that of its f, for a reason that is known.

``odeint_adjoint`` evaluates f again in its backward pass, as it is then, and differentiates what
adjoint_params names, as often as it is named. So a context that was changed for the next batch,
``f.eval()`` for a test loss, a tensor that is named twice or beside one that it was computed from,
and a weight that f keeps of an evaluation without a graph give a gradient that is nobody's, and
torchdiffeq says nothing.

Detected: while the script runs. f is evaluated once more when the gradient arrives, and compared
with its last evaluation in the forward pass; the graph of its first evaluation in the backward pass
is searched for its parameters; f with what it held before its first evaluation is differentiated at
once, and after an evaluation without a graph (see ND414); adjoint_params is compared with what f
reads. Such a call is not made again by the check: with the f that was captured it would come out as
another.

What to do: mend the call in the script. The other methods show what its gradient should be.
"""

from collections.abc import Iterable

from node_diag.diagnosis.again import command
from node_diag.diagnosis.rule import Rule
from node_diag.errors import WRONG_CALL
from node_diag.records import Finding, Report


def detect(rule: Rule, report: Report) -> Iterable[Finding]:
    """One finding for the call, if it is wrong."""
    lost = bool(report.inspection and report.inspection.repeatability.kept)  # by the others as well
    for method in report.methods:
        start, _, why = (method.failure or "").partition(": ")
        if start == WRONG_CALL:
            yield rule.finding(
                f"{method.name}: the gradient that the script got is not that of f: {why}",
                f"mend f in the script, and look again with {command(report)}"
                if lost
                else "mend the call in the script and capture it again; what its gradient should "
                f"be is {command(report, method='torchdiffeq')}",
                method.name,
                reason=why,
            )


RULE = Rule("ND214", "error", detect)
