"""Which branch every non-smooth operation takes while f is evaluated."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from node_diag.measure.operations import Operations

_SIGN = {"relu", "leaky_relu", "elu", "abs", "prelu", "threshold", "selu", "rrelu"}
_RANGE = {
    *("clamp", "clamp_min", "clamp_max", "hardtanh", "relu6"),
    "hardshrink",
}
_OUTPUT = {
    *("gt", "lt", "ge", "le", "eq", "ne", "sign", "floor", "ceil", "round", "trunc", "frac"),
    *("floor_divide", "remainder", "fmod", "heaviside", "sgn", "argmax", "argmin", "bucketize"),
    "searchsorted",
}
_BETWEEN = {"hardsigmoid", "hardswish"}
"""With bends at −3 and 3."""
_CHOICE = {"maximum", "minimum", "fmax", "fmin"}
_INDEX = {
    *("max", "min", "sort", "topk", "max_pool2d_with_indices", "median", "kthvalue"),
    *("cummax", "cummin"),
}
_EXTREME = {"amax", "amin"}
_CONTINUOUS = (_SIGN | _RANGE | _CHOICE | _BETWEEN | _EXTREME | {"softshrink"}) - {
    "threshold",
    "hardshrink",
}
"""They bend where they change their branch, and cannot make f jump by themselves."""
_CAST, _READ, TO_INTEGERS = "_to_copy", "_local_scalar_dense", "to integers"
_WATCHED = _SIGN | _RANGE | _OUTPUT | _CHOICE | _INDEX | _BETWEEN | _EXTREME | {"softshrink", _CAST}

_COMPARISON = {"gt", "lt", "ge", "le", *_CHOICE}


SAME_SLOPE = 1e-12
"""Of two slopes: their product was rounded."""


class Branch(NamedTuple):
    """What one operation took.

    ``inputs`` are its arguments, if they were asked for: tensors and numbers.
    """

    name: str
    taken: Tensor
    inputs: tuple[Any, ...] = ()


Pattern = list[Branch]


class Watch(Operations):
    """Notes the branch every non-smooth operation takes, and what it takes it on.

    Attributes:
        pattern: the branches.
        margins: for each of them what changes sign where the branch changes, if that is known.
        reads: whether f takes a number out of a tensor.
        differentiates: whether f differentiates something itself, so that a kink makes it jump.
    """

    def __init__(self, *, inputs: bool = False) -> None:
        super().__init__()
        self.pattern: Pattern = []
        self.margins: list[Tensor | None] = []
        self.reads = self.differentiates = False
        self._inputs = inputs

    def given(self, func: Any, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """Copies where they are asked for, and of what an in-place operation leaves nothing of."""
        full = func.overloadpacket.__name__
        if _plain(full) not in _WATCHED or not (self._inputs or _plain(full) != full):
            return args
        return tuple(x.clone() if isinstance(x, Tensor) else x for x in args)

    def done(self, func: Any, args: tuple[Any, ...], found: Any) -> None:
        """Its branch, if it has any."""
        full = func.overloadpacket.__name__
        name = _plain(full)
        if name not in _WATCHED or (name in _CONTINUOUS and _of_integers(args[0])):
            self.reads = self.reads or full == _READ
            self.differentiates = self.differentiates or full.endswith("_backward")
            return
        taken = _taken(name, args, found)
        if taken is not None:
            shown = TO_INTEGERS if name == _CAST else name
            inputs = args if self._inputs else ()
            self.pattern.append(Branch(shown, taken.detach().clone(), inputs))
            self.margins.append(_margin(name, args, taken))


def _plain(name: str) -> str:
    """Without the sign of an in-place operation."""
    return name if name == _CAST else name.rstrip("_")


def _is_smooth(args: tuple[Any, ...]) -> bool:
    """Whether an elu(x, alpha, scale, input_scale) has one slope at 0: celu has, selu has not."""
    alpha, _, input_scale = (*args[1:4], *(1.0, 1.0, 1.0)[len(args[1:4]) :])
    return abs(alpha * input_scale - 1.0) < SAME_SLOPE


def _of_integers(value: Any) -> bool:
    """Of an index, say: it has no slope to change."""
    return isinstance(value, Tensor) and not value.is_floating_point()


def _taken(name: str, args: tuple[Any, ...], found: Any) -> Tensor | None:
    if name in _SIGN:
        return None if name == "elu" and _is_smooth(args) else args[0] > 0
    if name in _RANGE:
        return args[0] == found if isinstance(found, Tensor) else None
    if name in _BETWEEN:
        return (args[0] > -3).to(torch.int8) + (args[0] > 3)
    if name in _EXTREME and isinstance(found, Tensor):
        extreme = torch.amax if name == "amax" else torch.amin
        given, *dims = args
        return given == extreme(given, *dims[:1], keepdim=True)
    if name == "softshrink" and isinstance(found, Tensor):
        return found.sign()
    if name in _OUTPUT and isinstance(found, Tensor):
        return _step_of(name, args, found)
    if name in _CHOICE:
        return args[0] > args[1]
    if name in _INDEX and isinstance(found, tuple | list) and len(found) > 1:
        return found[1]
    if name == _CAST and isinstance(found, Tensor) and args[0].is_floating_point():
        return None if found.is_floating_point() or found.is_complex() else found
    return None


def _step_of(name: str, args: tuple[Any, ...], found: Tensor) -> Tensor:
    """What is constant between two jumps of an operation: of a remainder, the quotient."""
    if name == "frac":
        return torch.trunc(args[0])
    if name == "fmod":
        return torch.trunc(args[0] / args[1])
    return torch.floor(args[0] / args[1]) if name == "remainder" else found


def _margin(name: str, args: tuple[Any, ...], branch: Tensor) -> Tensor | None:
    if not isinstance(args[0], Tensor) or not args[0].is_floating_point():
        return None
    if name not in _SIGN | _COMPARISON:
        return None
    margin = args[0] - args[1] if name in _COMPARISON else args[0]
    return margin.detach().clone() if margin.shape == branch.shape else None


def may_jump(name: str) -> bool:
    """Whether what follows the operation may jump where its branch changes."""
    return name not in _CONTINUOUS


def same_operations(old: Pattern, new: Pattern) -> bool:
    """Whether f went through the same operations in both."""
    return [branch.name for branch in old] == [branch.name for branch in new]


def changed(old: Tensor, new: Tensor) -> Tensor:
    """Entries that are others; one that is if they cannot be told apart."""
    return old != new if old.shape == new.shape else torch.ones(1, dtype=torch.bool)


def changes(old: Pattern, new: Pattern) -> dict[int, int]:
    """Entries that changed their branch, by position of the operation in f."""
    if not same_operations(old, new):
        return {min(len(old), len(new)): 1}
    pairs = enumerate(zip(old, new, strict=True))
    found = {i: int(changed(a.taken, b.taken).sum()) for i, (a, b) in pairs}
    return {i: count for i, count in found.items() if count}


def swayed(here: Pattern, there: Pattern) -> list[Tensor] | None:
    """By operation, entries that were given something else; None if the operations are others."""
    if not same_operations(here, there):
        return None
    return [_given_otherwise(a, b) for a, b in zip(here, there, strict=True)]


def _given_otherwise(here: Branch, there: Branch) -> Tensor:
    every = torch.ones_like(here.taken, dtype=torch.bool)
    found = torch.zeros_like(every)
    for a, b in zip(here.inputs, there.inputs, strict=True):
        if not isinstance(a, Tensor):
            if a != b:
                return every
            continue
        differs = changed(a, b)
        try:
            found = found | differs.broadcast_to(found.shape)
        except RuntimeError:  # an index of the largest entry, say: all decide together
            if bool(differs.any()):
                return every
    return found
