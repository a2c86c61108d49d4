"""A parameter gets no gradient, or a trained tensor is no parameter.

A parameter that f does not use (a layer that forward forgets, a .data or detach() on the way) stays
where it is for ever. A tensor that f uses and that requires a gradient, but is held in a list or
was assigned as a plain attribute, is not in .parameters(): an optimiser of those does not see it,
an adjoint gives it no gradient, and its gradient is in no method's result.

Detected: autograd goes from neither f at five points of the trajectory nor the loss to a parameter,
which they may still read; or its graph of f ends, each time, in a tensor that is no parameter. An
error where no parameter is left.

What to do: use it or remove it; register tensors with nn.Parameter, lists with nn.ParameterList or
nn.ModuleList.
"""

from collections.abc import Iterable

from node_diag.diagnosis.again import show
from node_diag.diagnosis.rule import Rule, listed
from node_diag.records import Finding, Report, label


def detect(rule: Rule, report: Report) -> Iterable[Finding]:
    """One finding for each of the two."""
    inspection = report.inspection
    found = inspection.dependence if inspection else None
    if inspection is None or found is None:
        return
    look = show(report)
    # One that f uses where autograd does not see it is ND205's, or ND414's.
    hidden = {wrong.input for wrong in inspection.derivatives}
    hidden |= set(map(label, inspection.repeatability.kept))
    unreached = [name for name in found.unreached if label(name) not in hidden]
    read = [name for name in unreached if name in found.without_gradient]
    unused = [name for name in unreached if name not in read]
    if unused:
        nothing = len(unused) == len(report.problem.params)
        found_one = rule.finding(
            f"{listed(unused)} cannot get a gradient: evaluating f and the loss does not use "
            f"{'it' if len(unused) == 1 else 'them'}"
            + (", and f has no other parameter: nothing of f can be trained" if nothing else ""),
            "use it in forward each time (a value that was computed once and kept is cut off), or "
            f"remove it; all parameters are shown by {look}",
            None,
            parameters=unused,
        )
        yield found_one.model_copy(update={"severity": "error"}) if nothing else found_one
    if read:
        yield rule.finding(
            f"{listed(read)} cannot get a gradient: only operations through which none flows use "
            f"{'it' if len(read) == 1 else 'them'} (a comparison, an index, detach(), a derivative "
            f"that {'it drops' if len(read) == 1 else 'they drop'} out of)",
            f"make what it does smooth, or hold it fixed; all parameters are shown by {look}",
            None,
            parameters=read,
        )
    if found.unregistered:
        one = len(found.unregistered) == 1
        yield rule.finding(
            f"f uses {listed(found.unregistered)}, which {'requires' if one else 'require'} a "
            f"gradient but {'is' if one else 'are'} not among the module's parameters: an adjoint "
            f"that takes those gives {'it' if one else 'them'} none, and an optimiser of those "
            f"does not change {'it' if one else 'them'}",
            "if it is to be f's own, register it: a tensor as nn.Parameter, those in a list or "
            "dict as nn.ParameterList or nn.ParameterDict, layers as nn.ModuleList or "
            f"nn.ModuleDict; what is registered is shown by {look}",
            None,
            tensors=found.unregistered,
        )


RULE = Rule("ND409", "warning", detect)
