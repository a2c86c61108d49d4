"""A method gives a tensor no gradient at all, though it has one.

A parameter that was left out of ``adjoint_params``, a context that f holds and an encoder made (it
is in no ``.parameters()``), a detach() in a hand-written backward pass, a
key that a function does not compute: the optimizer never moves that tensor, and nothing says so.

Detected: every entry that a method gives for a tensor is zero (its relative error is 1 exactly),
and the continuous truth, known to 10 % or better, is not; and autograd gets f right in it.

What to do: name the tensor among the parameters that the method is to differentiate.
"""

from collections.abc import Iterable

from node_diag.diagnosis.again import command
from node_diag.diagnosis.left_out import left_out
from node_diag.diagnosis.libraries import LEFT_OUT
from node_diag.diagnosis.rule import Rule
from node_diag.records import Finding, MethodRecord, Report

MOST_NAMED = 5


def detect(rule: Rule, report: Report) -> Iterable[Finding]:
    """One finding for each method that leaves something out."""
    for method in report.methods:
        if names := left_out(report, method):
            more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
            yield rule.finding(
                f"{method.name}: it gives no gradient at all, exactly 0, for "
                f"{', '.join(names[:MOST_NAMED])}{more}, "
                f"{'which has one' if len(names) == 1 else 'which have one'}",
                _advice(report, method),
                method.name,
                tensors=names,
            )


def _advice(report: Report, method: MethodRecord) -> str:
    if method.name == "captured":
        return (
            "add them to adjoint_params of the call in the script, or register what is f's own "
            "(nn.Parameter, nn.ModuleList: its parameters are there if adjoint_params is left "
            "out), none together with one it was computed from, which would count twice; without "
            "an adjoint it is " + command(report, method="torchdiffeq")
        )
    if method.name in LEFT_OUT:
        how, other = LEFT_OUT[method.name]
        return f"{how}: {command(report, method=other)}"
    return (
        "name them among what the method differentiates, and look for a detach() on the way: "
        + command(report, method=f"aca,{method.name}")
    )


RULE = Rule("ND212", "error", detect)
