"""What a library's own users change, in its words, where a method of theirs is to be another."""

from __future__ import annotations

FIRST_STEP = (
    'pass options={"first_step": …} to its odeint, or hold the step sizes constant',
    "aca",
)
CONSTANT_STEPS = {
    "torchode": (
        "pass backprop_through_step_size_control=False to its AutoDiffAdjoint",
        "torchode-frozen",
    ),
    "torchdiffeq": FIRST_STEP,
    "captured-backprop": FIRST_STEP,
}
"""How a library's method is kept from derivatives of its step sizes, and the one to run."""

_ODEINT = ("call torchdiffeq's odeint in the place of odeint_adjoint", "torchdiffeq")
STORING = {
    "captured": _ODEINT,
    "torchdiffeq-adjoint": _ODEINT,
    "torchdiffeq-seminorm": _ODEINT,
    "torchode-backsolve": (
        "take torchode's AutoDiffAdjoint in the place of BacksolveAdjoint",
        "torchode",
    ),
    "torchode-joint-backsolve": (
        "take torchode's AutoDiffAdjoint in the place of JointBacksolveAdjoint",
        "torchode",
    ),
}
"""How a library's users get the states stored, and the method that does."""

_MORE = (
    "name them in its adjoint_params besides f's own parameters, but for those they were computed "
    "from, which would count twice (node_diag.capture() checks a call that does), or call odeint",
    "torchdiffeq",
)
_OWN_ONLY = "it differentiates the parameters of f alone, so take one that goes through the graph"
LEFT_OUT = {
    "torchdiffeq-adjoint": _MORE,
    "torchdiffeq-seminorm": _MORE,
    **dict.fromkeys(("torchode-backsolve", "torchode-joint-backsolve"), (_OWN_ONLY, "torchode")),
    **dict.fromkeys(("torchdiffeqpack-aca", "torchdiffeqpack-mali"), (_OWN_ONLY, "direct")),
}
"""How a library's users get a gradient in what f holds and is not among its parameters."""
