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

from node_diag.diagnosis.again import command
from node_diag.diagnosis.rule import Rule, discrete
from node_diag.diagnosis.rules.nd201_misses_discrete_truth import misses
from node_diag.records import Finding, MethodRecord, Report


def detect(rule: Rule, report: Report) -> Iterable[Finding]:
    """One finding for each input whose derivative is wrong."""
    for wrong in report.inspection.derivatives if report.inspection else []:
        if wrong.input == "t":  # ND207
            continue
        yield rule.finding(
            f"autograd does not differentiate {wrong.function} in {wrong.input}: along a random "
            f"line at t = {wrong.t:.4g} it says {wrong.autograd:.6g}, differences say "
            f"{wrong.differences:.6g} ± {wrong.uncertainty:.1e}",
            "look for detach(), .data, .item(), float(), numpy, no_grad or a backward formula in "
            + (
                f"it; the problem is shown by node-diag show {report.config.problem}"
                if report.config.reference == "fd"
                else "it; the discrete truth uses values only: " + command(report, reference="fd")
            ),
            None,
            methods=_inheriting(report),
            function=wrong.function,
            input=wrong.input,
            t=wrong.t,
            autograd=wrong.autograd,
            differences=wrong.differences,
            uncertainty=wrong.uncertainty,
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
