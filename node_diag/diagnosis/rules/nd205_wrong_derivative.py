"""Autograd does not give the derivative of f, or of the loss.

A detach() too many, .data, .item(), numpy or torch.no_grad inside f, or a wrong backward formula:
then every gradient method returns the gradient of something else, and they agree on it. Measured
with values of f only, along random lines at five points of the trajectory, and at the points among
all at which the sensitivity equations take a derivative where two values of f contradict it by more
than 1e-4.

Detected: autograd and central differences of f (or of the loss) disagree by more than ten times the
uncertainty of the differences and more than 1e-5, at two of these points at least.

What to do: look for what cuts the graph in f. If it is meant (a fixed target, a straight-through
estimator), the gradient is meant to be wrong and this finding may be ignored.
"""

from collections.abc import Iterable

from node_diag.diagnosis.again import command, show
from node_diag.diagnosis.rule import Rule, discrete, listed
from node_diag.diagnosis.rules.nd201_misses_discrete_truth import misses
from node_diag.records import Finding, MethodRecord, Report


def detect(rule: Rule, report: Report) -> Iterable[Finding]:
    """One finding for f and one for the loss, whatever inputs it is wrong in."""
    found = report.inspection.derivatives if report.inspection else []
    for function in ("f", "loss"):
        # A wrong derivative in t is ND207's.
        every = [one for one in found if one.function == function and one.input != "t"]
        if not every:
            continue
        wrong = every[0]
        inputs = [one.input for one in every]
        yield rule.finding(
            f"autograd does not differentiate {function} in {listed(inputs)}: along a random line "
            f"in {wrong.input} at t = {wrong.t:.4g} it says {wrong.autograd:.6g}, differences say "
            f"{wrong.differences:.6g} ± {wrong.uncertainty:.1e}",
            "look for detach(), .data, .item(), float(), numpy, no_grad or a backward formula in "
            f"it; {_meanwhile(report)}",
            None,
            methods=_inheriting(report),
            function=function,
            input=wrong.input,
            inputs=inputs,
            t=wrong.t,
            autograd=wrong.autograd,
            differences=wrong.differences,
            uncertainty=wrong.uncertainty,
        )


def _meanwhile(report: Report) -> str:
    """What there is to hold a gradient against until f is mended."""
    gated = any(gate.metric == "grad_error_discrete" for gate in report.gates)
    judged = next((m.name for m in report.methods if discrete(m) is not None), None)
    if gated or judged is None:
        return f"the problem is shown by {show(report)}"
    gate = f"{judged}.grad_error_discrete<=1e-2"
    return "the discrete truth uses values only, so a gate on it knows when that is mended: " + (
        command(report, gates=[gate])
    )


def _inheriting(report: Report) -> list[str]:
    """Methods that are wrong for it.

    Those that miss the derivative of their own steps, which is taken from values of f; and, as
    autograd serves them as well, others that are as far from it; those that are much further have
    an error of their own, which hides what they inherit.
    """
    missing = [method for method in report.methods if misses(report, method)]
    sizes = [discrete(method) or 0.0 for method in missing]

    def inherits(method: MethodRecord) -> bool:
        error = discrete(method) or 0.0
        return any(size / 2 < error < 2 * size for size in sizes)

    return [m.name for m in report.methods if m in missing or inherits(m)]


RULE = Rule("ND205", "error", detect)
