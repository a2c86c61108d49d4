"""Which branch every non-smooth operation takes while f is evaluated."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from node_diag.measure.operations import Operations

_SIGN = {"relu", "relu_", "leaky_relu", "elu", "abs", "prelu", "threshold", "celu", "selu", "rrelu"}
_RANGE = {"clamp", "clamp_min", "clamp_max", "hardtanh", "relu6", "hardsigmoid", "hardswish"}
_OUTPUT = {
    *("gt", "lt", "ge", "le", "eq", "ne", "sign", "floor", "ceil", "round", "trunc", "frac"),
    *("floor_divide", "remainder", "fmod", "heaviside", "sgn", "argmax", "argmin", "bucketize"),
}
_CHOICE = {"maximum", "minimum", "fmax", "fmin"}
_INDEX = {"max", "min", "sort", "topk", "max_pool2d_with_indices", "median", "kthvalue"}

_COMPARISON = {"gt", "lt", "ge", "le", *_CHOICE}

Pattern = list[tuple[str, Tensor]]


class Watch(Operations):
    """Notes the branch every non-smooth operation takes.

    Attributes:
        pattern: names and branches.
        margins: for each of them what changes sign where the branch changes, if that is known.
        reads: whether f takes a number out of a tensor.
    """

    def __init__(self) -> None:
        super().__init__()
        self.pattern: Pattern = []
        self.margins: list[Tensor | None] = []
        self.reads = False

    def done(self, func: Any, args: tuple[Any, ...], found: Any) -> None:
        """Its branch, if it has any."""
        name = func.overloadpacket.__name__
        self.reads = self.reads or name == "_local_scalar_dense"
        branch = _branch(name, args, found)
        if branch is not None:
            self.pattern.append((name.rstrip("_"), branch.detach().clone().reshape(-1)))
            self.margins.append(_margin(name.rstrip("_"), args, branch))


def _branch(name: str, args: tuple[Any, ...], found: Any) -> Tensor | None:
    name = name.rstrip("_")
    if name in _SIGN:
        return args[0] > 0
    if name in _RANGE:
        return args[0] == found if isinstance(found, Tensor) else None
    if name in _OUTPUT and isinstance(found, Tensor):
        return torch.trunc(args[0] / args[1]) if name in ("remainder", "fmod") else found
    if name in _CHOICE:
        return args[0] > args[1]
    if name in _INDEX and isinstance(found, tuple | list) and len(found) > 1:
        return found[1]
    return None


def _margin(name: str, args: tuple[Any, ...], branch: Tensor) -> Tensor | None:
    if not isinstance(args[0], Tensor) or not args[0].is_floating_point():
        return None
    if name not in _SIGN | _COMPARISON:
        return None
    margin = args[0] - args[1] if name in _COMPARISON else args[0]
    return margin.detach().clone().reshape(-1) if margin.shape == branch.shape else None


def changes(old: Pattern, new: Pattern) -> dict[int, int]:
    """Entries that changed their branch, by position of the operation in f."""
    if [name for name, _ in old] != [name for name, _ in new]:
        return {min(len(old), len(new)): 1}
    found = {
        i: int((a != b).sum()) if a.shape == b.shape else 1
        for i, ((_, a), (_, b)) in enumerate(zip(old, new, strict=True))
    }
    return {i: count for i, count in found.items() if count}
