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


def problem_of(call: Call, name: str) -> Problem:
    """The problem whose gradient the call computed: same f, z0, times; L = Σ_k w_k · z(t_k)."""
    weights = [w[1:] for w in call.cotangents]  # what arrives at t0 is z0's own, whoever solves

    def loss(zs: Any) -> Tensor:
        parts = zs if isinstance(zs, tuple) else (zs,)
        products = [(w.to(z) * z).sum() for w, z in zip(weights, parts, strict=True)]
        return torch.stack(products).sum()

    found = Problem(
        call.func,
        call.y0,
        [float(t) for t in call.t],
        loss,
        name=name,
        params=_params(call),
        description=f"call {call.number} of torchdiffeq.{call.name} in {name}",
    )
    found.call = call
    found.settings = settings_of(call)
    return found


def _params(call: Call) -> dict[str, Tensor] | None:
    """Of a function those that were named as adjoint_params; a module has its own."""
    if isinstance(call.func, nn.Module):
        return None
    given = cast("Sequence[Tensor]", call.arguments.get("adjoint_params") or ())
    return {f"adjoint_params[{i}]": p for i, p in enumerate(given) if p.requires_grad}


def settings_of(call: Call) -> dict[str, Any]:
    """Options of a check that are those of the call."""
    given = call.arguments
    first = call.y0[0] if isinstance(call.y0, tuple) else call.y0
    rtol, atol = _least(given.get("rtol"), 1e-7), _least(given.get("atol"), 1e-9)
    if first.dtype is torch.float32:  # its roundings alone are more than that, and ours sees it
        rtol, atol = max(rtol, LEAST_FLOAT32), max(atol, LEAST_FLOAT32 / 10)
    found = {
        "solver": SOLVERS.get(call.method, "dopri5"),
        "rtol": rtol,
        "atol": atol,
        "adjoint_rtol": _least(given.get("adjoint_rtol"), rtol),
        "adjoint_atol": _least(given.get("adjoint_atol"), atol),
        "dtype": str(first.dtype).removeprefix("torch."),
        "device": str(first.device),
    }
    options = given.get("options") or {}
    if found["solver"] not in ("euler", "midpoint", "heun", "rk4"):
        if "max_step" in options:
            found["max_step"] = float(options["max_step"])
    else:
        size = options.get("step_size")
        gaps = call.t[1:] - call.t[:-1]
        found["step_size"] = float(gaps.abs().max() if size is None else size)
    return found


def _least(value: Any, default: float) -> float:
    if isinstance(value, Tensor):
        return float(value.min())
    return default if value is None else float(value)
