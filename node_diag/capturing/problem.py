"""A call of torchdiffeq → the problem it poses.

What the loss was is not known, and need not be: with the cotangents w_k that arrived,
L = Σ_k w_k · z(t_k) has the same gradient.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from node_diag.capturing.call import Call
from node_diag.errors import ProblemError
from node_diag.problem import Problem

LEAST_FLOAT32 = 1e-6
"""Tolerance below which an error estimate in float32 sees rounding only."""
SOLVERS = {
    "euler": "euler",
    "midpoint": "midpoint",
    "heun2": "heun",
    "rk4": "rk4",
    "adaptive_heun": "heun-euler",
    "bosh3": "bosh3",
    "dopri5": "dopri5",
}
"""torchdiffeq's name → ours."""


TOLD = ("method", "options", "adjoint_method", "adjoint_options")
MOST_SHOWN = 5
FIXED = ("euler", "midpoint", "heun", "rk4")
NO_TOLERANCE = 1e-12
"""What stands for a tolerance of zero."""


def problem_of(call: Call, name: str) -> Problem:
    """The problem whose gradient the call computed: same f, z0, times; L = Σ_k w_k · z(t_k).

    Raises:
        ProblemError: its state is of a precision that is not checked, or its f is not known.
    """
    if call.unknown:
        raise ProblemError(
            f"call {call.number} of torchdiffeq.{call.name} cannot be checked: {call.unknown}"
        )
    if call.changed and not call.is_adjoint:
        last = f"; --call {call.made} checks the last one" if call.made > call.number else ""
        raise ProblemError(
            f"call {call.number} of torchdiffeq.odeint cannot be checked: f was changed between "
            f"the call and its backward pass ({call.changed}), and its gradient is that of f as it "
            f"was{last}"
        )
    weights = [w[1:] for w in call.cotangents]  # what arrives at t0 is z0's own, whoever solves

    def loss(zs: Any) -> Tensor:
        parts = zs if isinstance(zs, tuple) else (zs,)
        products = [(w.to(z) * z).sum() for w, z in zip(weights, parts, strict=True)]
        return torch.stack(products).sum()

    first = _first(call)
    is_complex = first.is_complex()
    if first.dtype not in (torch.float32, torch.float64):
        raise ProblemError(
            f"the state of the captured call is {str(first.dtype).removeprefix('torch.')}; what "
            "can be checked is float32 and float64"
            + ("; solve for torch.view_as_real(y), and make it complex inside f" * is_complex)
        )
    remarks = remarks_of(call)
    found = Problem(
        call.func,
        call.y0,
        [float(t) for t in call.t],
        loss,
        name=name,
        params=None if isinstance(call.func, nn.Module) else call.leaves,
        description="; ".join(
            [
                f"call {call.number} of torchdiffeq.{call.name} in {name}, with the gradient that "
                "arrived at its states in the first backward pass: the loss here is their product "
                "with it, so what the script's own loss is off by at these states comes on top",
                *_made(call),
                *_computed(call),
                *_others(call),
                *remarks.values(),
            ]
        ),
    )
    if call.leaves:  # what they were at the time; they may have changed since
        found = found.to(found.dtype, found.device, copy=True)
        with torch.no_grad():
            for leaf, value in call.values.items():
                found.params[leaf].copy_(value)
    found.call, found.contexts, found.kept = call, tuple(call.computed), list(call.kept)
    found.settings, found.remarks = settings_of(call), remarks
    return found


def _made(call: Call) -> list[str]:
    """The arguments of the call that no option of a check stands for."""
    told = {k: v for k, v in call.arguments.items() if k in TOLD and v is not None}
    if call.adjoint_params is not None and "adjoint_params" in call.arguments:
        told["adjoint_params"] = call.adjoint_params
    if not told:
        return []
    return ["called with " + ", ".join(f"{name}={_shown(value)}" for name, value in told.items())]


def _shown(value: Any) -> str:
    """A value as it can be typed, of what is long its type."""
    if isinstance(value, dict):
        pairs = cast("dict[Any, Any]", value).items()
        return "{" + ", ".join(f"{key!r}: {_shown(x)}" for key, x in pairs) + "}"
    if isinstance(value, Tensor):
        return f"{float(value):g}" if value.numel() == 1 else f"a tensor of {value.numel()}"
    if isinstance(value, list) and len(cast("list[Any]", value)) > MOST_SHOWN:
        return f"{len(cast('list[Any]', value))} tensors"
    return repr(value) if isinstance(value, str | int | float | list) else type(value).__name__


def _computed(call: Call) -> list[str]:
    """That some parameters are none of the script's."""
    found: list[str] = []
    for names, source, place in (
        (call.computed, "the script made before", ""),
        (call.prepared, "was computed from parameters before", ", in the place of those"),
    ):
        if names:
            one = len(names) == 1
            found.append(
                f"{', '.join(names)}, which {source} and f holds, {'is' if one else 'are'} checked "
                f"as {'a parameter' if one else 'parameters'} of f{place}"
            )
    return found


def _others(call: Call) -> list[str]:
    """That the same backward pass may go through more calls than this one."""
    more = call.made - call.number
    if not more:
        return []
    calls = "another such call" if more == 1 else f"{more} more such calls"
    return [f"the script had made {calls} by then, which --call {call.number + 1} checks"]


def settings_of(call: Call) -> dict[str, Any]:
    """Options of a check that are those of the call, or as near to them as there are."""
    given, first = call.arguments, _first(call)
    rtol, atol = _tolerance(given.get("rtol"), 1e-7), _tolerance(given.get("atol"), 1e-9)
    if first.dtype is torch.float32:  # its roundings alone are more than that, and ours sees it
        rtol, atol = max(rtol, LEAST_FLOAT32), max(atol, LEAST_FLOAT32 / 10)
    found: dict[str, Any] = {
        "solver": SOLVERS.get(call.method, "dopri5"),
        "rtol": rtol,
        "atol": atol,
        "adjoint_rtol": _tolerance(given.get("adjoint_rtol"), rtol),
        "adjoint_atol": _tolerance(given.get("adjoint_atol"), atol),
        "dtype": str(first.dtype).removeprefix("torch."),
        "device": str(first.device),
    }
    if found["solver"] in FIXED:
        found["step_size"] = _step_size(call)
    elif "max_step" in call.options:
        found["max_step"] = float(call.options["max_step"])
    return found


def remarks_of(call: Call) -> dict[str, str]:
    """Where the settings of a check are not those of the call, by option."""
    found: dict[str, str] = {}
    own = settings_of(call)
    if call.method not in SOLVERS:
        found["solver"] = (
            f"the call's solver {call.method} is none of ours: the other methods use dopri5"
        )
    tolerances = () if own["solver"] in FIXED else (("rtol", 1e-7), ("atol", 1e-9))
    for name, usual in tolerances:
        text = _text(call.arguments.get(name, usual))
        if text != _text(own[name]):
            found[name] = f"the call's {name} is {text}: the other methods use {own[name]:g}"
    if call.method in SOLVERS and "grid_constructor" in call.options:
        found["step_size"] = (
            f"the call's grid_constructor is its own: the other methods use steps of "
            f"{own['step_size']:g}"
        )
    if call.autocast is not None:
        what = str(call.autocast[1]).removeprefix("torch.")
        found["dtype"] = f"the call ran under autocast to {what}: the other methods do not"
    return found


def _first(call: Call) -> Tensor:
    return call.y0[0] if isinstance(call.y0, tuple) else call.y0


def _step_size(call: Call) -> float:
    """The longest step of its grid."""
    ends = call.t
    if (construct := call.options.get("grid_constructor")) is not None:
        ends = construct(call.func, call.y0, call.t)
    elif (size := call.options.get("step_size")) is not None:
        return float(size)
    return float((ends[1:] - ends[:-1]).abs().max())


def _tolerance(value: Any, usual: float) -> float:
    """One number for a tolerance that may be one for every entry or part."""
    if value is None:
        return usual
    if isinstance(value, Tensor):
        return max(float(value.min()), NO_TOLERANCE)
    if isinstance(value, Sequence):
        return min(_tolerance(one, usual) for one in cast("Sequence[Any]", value))
    return max(float(value), NO_TOLERANCE)


def _text(value: Any) -> str:
    if isinstance(value, Tensor) and value.numel() == 1:
        value = float(value)
    return f"{value:g}" if isinstance(value, float | int) else "one for every part"
