"""Hessian-vector products are wrong although they can be computed.

Double backward goes through formulas that a gradient never touches: the backward passes of custom
functions, and anything detached on the way. It returns numbers even so.

Detected: with --order 2, the product of a method's Hessian with a random vector is further than
1e-6 and than ten times its uncertainty from differences of the method's own gradient; of a
library's method also further than ten times what its gradient is off from that of its steps.

What to do: look for a custom torch.autograd.Function whose backward is not differentiable itself
(save what it needs, use torch operations only), and for detach() in it. If it is only a library's
method, that backward pass is the library's: differentiate twice with another method.
"""

from collections.abc import Iterable

from node_diag.diagnosis.again import command
from node_diag.diagnosis.metrics import NOTICEABLE
from node_diag.diagnosis.rule import Rule, discrete
from node_diag.records import ErrorRecord, Finding, MethodRecord, Report
from node_diag.registry import METHODS

ROUND_OFF = 1e-6
LOST = 0.5
"""A product further off than this is not that of a Hessian."""


def detect(rule: Rule, report: Report) -> Iterable[Finding]:
    """One finding for each method whose products are off."""
    found = [(method, error) for method in report.methods if (error := _off(method)) is not None]
    by_f = any(method.own_steps is None for method, _ in found)
    for method, error in found:
        library = method.own_steps is not None and not by_f
        off, uncertainty = error.relative_l2 or 0.0, error.uncertainty or 0.0
        finding = rule.finding(
            f"{method.name}: its Hessian-vector product is off by {off:.1e} from differences of "
            f"its own gradient (known to {uncertainty:.1e})",
            _theirs(report, method, off) if library else _of_f(report, method),
            method.name,
            hvp_error=off,
            uncertainty=uncertainty,
        )
        small = library and off <= NOTICEABLE
        yield finding.model_copy(update={"severity": "info"}) if small else finding


def _off(method: MethodRecord) -> ErrorRecord | None:
    """How far its product is off; None if nothing is known of it, or it is right."""
    error = method.second_order.error if method.second_order else None
    if error is None or error.relative_l2 is None:
        return None
    own = (discrete(method) or 0.0) if method.own_steps else 0.0
    least = max(ROUND_OFF, 10 * (error.uncertainty or 0.0), 10 * own)
    return error if error.relative_l2 > least else None


def _of_f(report: Report, method: MethodRecord) -> str:
    again = command(report, method=method.name, order=2)
    return f"look for a custom backward pass inside f that cannot be differentiated itself: {again}"


def _theirs(report: Report, method: MethodRecord, off: float) -> str:
    library, other = METHODS.requires(method.name), command(report, method="direct", order=2)
    if off > LOST:
        return f"{library} cannot be differentiated twice this way, another method can: {other}"
    return f"{library} leaves some of its step-size search in the graph; without it: {other}"


RULE = Rule("ND208", "error", detect)
