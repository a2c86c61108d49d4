"""Whether f is still what it was in the forward pass when the gradient arrives.

An adjoint evaluates f again going backward, as it is then: with the context of another batch, in
evaluation mode, with a weight that was cached without a graph. Nobody is told.
"""

from __future__ import annotations

import functools
import inspect
import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from node_diag import random_numbers
from node_diag.capturing.call import Autocast, Call
from node_diag.reachable.before import untouched
from node_diag.reachable.containers import tensors_in
from node_diag.reachable.graphs import ends_of
from node_diag.reachable.kept import ROUNDINGS


@dataclass(frozen=True)
class Evaluation:
    """The last one of a solve: its arguments, its value, and what f held then.

    Attributes:
        held: tensors by name, with how often each had been changed in place.
        modes: which modules were in training mode, by name.
    """

    t: Tensor
    y: Any
    value: Any
    held: Mapping[str, tuple[Tensor, int]]
    modes: Mapping[str, bool]


class Evaluations:
    """Is told the arguments and the value of every evaluation of a module.

    Hooks that are there already may give forward other arguments, and the caller another value.
    """

    def __init__(self, module: nn.Module, told: Callable[[Tensor, Any, Any], None]) -> None:
        self._told = told
        self._begun = threading.local()  # threads may share a module
        self._hooks: list[RemovableHandle] = []
        with suppress(Exception):  # a scripted module has none
            self._hooks.append(module.register_forward_pre_hook(self._before, prepend=True))
            self._hooks.append(module.register_forward_hook(self._after))

    def end(self) -> None:
        """Watch no longer."""
        for hook in self._hooks:
            hook.remove()

    def _before(self, _module: nn.Module, given: tuple[Any, ...]) -> None:
        self._begun.given = given

    def _after(self, _module: nn.Module, _given: tuple[Any, ...], value: Any) -> None:
        given: tuple[Any, ...] = vars(self._begun).pop("given", ())
        if len(given) == 2:
            self._told(*given, value)


class Follower:
    """Sees the evaluations of f in a solve."""

    def __init__(self, func: Any) -> None:
        self.func = func
        self._seen: tuple[Tensor, Any, Any] | None = None

    @contextmanager
    def following(self) -> Generator[Any]:
        """Inside it, f is watched; gives the f to be called."""
        if isinstance(self.func, nn.Module):
            watched = Evaluations(self.func, self._see)
            try:
                yield self.func
            finally:
                watched.end()
        elif inspect.isroutine(self.func):
            yield self._wrapped(self.func)
        else:  # an object, in which torchdiffeq looks for callbacks
            yield self.func

    def last(self) -> Evaluation | None:
        """The last evaluation; None where none was seen."""
        if self._seen is None:
            return None
        t, y, value = self._seen
        self._seen = None
        return Evaluation(cut(t), cut(y), cut(value), _held(self.func), _modes(self.func))

    def _see(self, t: Tensor, y: Any, value: Any) -> None:
        self._seen = t, y, value

    def _wrapped(self, func: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(func)
        def followed(t: Tensor, y: Any) -> Any:
            value = func(t, y)
            self._see(t, y, value)
            return value

        return followed


def changed(call: Call, last: Evaluation) -> str:
    """What is another now than in the forward pass, in words; empty if f is the same.

    Of an f that draws random numbers or gives another value each time it is not known.

    Args:
        call: with f as it is now.
        last: the last evaluation of the forward pass.
    """
    then = _flat(last.value)
    limit = ROUNDINGS * torch.finfo(then.dtype).eps * max(float(then.abs().max()), 1e-300)
    before = random_numbers.state()
    with random_numbers.kept(), untouched(call.func), torch.no_grad(), autocast(call):
        one = _flat(call.func(last.t.clone(), _clone(last.y)))
        if one.shape != then.shape or float((one - then).abs().max()) <= limit:
            return ""
        draws = random_numbers.state() != before
        other = one if draws else _flat(call.func(last.t.clone(), _clone(last.y)))
    if draws or not torch.equal(one, other):
        return ""
    return f"f({float(last.t):.4g}, z) gives another value than it did in the forward pass"


def difference(func: Any, last: Evaluation) -> str:
    """Which of its tensors and modes are others now, in words; empty if none is known."""
    held, modes = _held(func), _modes(func)
    others = [
        name
        for name, (x, version) in held.items()
        if name in last.held and (last.held[name][0] is not x or last.held[name][1] != version)
    ]
    found = [f"{', '.join(others)} {'is another' if len(others) == 1 else 'are others'}"] * bool(
        others
    )
    switched = {mode for name, mode in modes.items() if last.modes.get(name, mode) != mode}
    found += [f"it was put into {'training' if mode else 'evaluation'} mode" for mode in switched]
    return " and ".join(found)


class Reached:
    """Sees the first evaluation of f in a backward pass: which parameters it depends on there."""

    def __init__(self, module: nn.Module, call: Call) -> None:
        self.call = call
        self.own = {n: p for n, p in module.named_parameters() if p.requires_grad}
        self._watched = Evaluations(module, self._see)

    def stop(self) -> None:
        """Watch no longer."""
        self._watched.end()

    def _see(self, t: Tensor, y: Any, value: Any) -> None:
        if self.call.reached is not None or not torch.is_grad_enabled():
            return
        ends = ends_of(_parts(value), ())
        self.call.reached = cut(t), cut(y), {name: id(p) in ends for name, p in self.own.items()}


def unreached(call: Call) -> list[str]:
    """Parameters that f did not depend on in the backward pass, though by itself it does.

    To be asked once that pass is over, and with it what was cached around it.
    """
    copy = call.func
    if call.reached is None or not isinstance(copy, nn.Module):
        return []
    t, y, reached = call.reached
    before = random_numbers.state()
    with random_numbers.kept(), untouched(copy), torch.enable_grad(), autocast(call):
        ends = ends_of(_parts(copy(t, y)), ())
        if random_numbers.state() != before:  # it may leave out layers at random
            return []
    own = dict(copy.named_parameters())
    return [n for n, was in reached.items() if not was and n in own and id(own[n]) in ends]


def autocast(call: Call) -> AbstractContextManager[Any]:
    """As the call ran."""
    return under(call.autocast)


def under(found: Autocast | None) -> AbstractContextManager[Any]:
    """An autocast, entered once more."""
    return nullcontext() if found is None else torch.autocast(found[0], dtype=found[1])


def cut(x: Any) -> Any:
    """Copies that are in no graph, of a tensor or of the parts of a tuple."""
    return tuple(map(cut, x)) if isinstance(x, tuple | list) else x.detach().clone()


def _clone(x: Any) -> Any:
    return tuple(map(_clone, x)) if isinstance(x, tuple) else x.clone()


def _parts(x: Any) -> Sequence[Tensor]:
    return x if isinstance(x, tuple | list) else (x,)


def _flat(value: Any) -> Tensor:
    return torch.cat([part.detach().reshape(-1) for part in _parts(value)])


def _held(func: Any) -> dict[str, tuple[Tensor, int]]:
    if not isinstance(func, nn.Module):
        return {}
    parts = [(f"{path}." if path else "", part) for path, part in func.named_modules()]
    return {at + n: (x, x._version) for at, part in parts for n, x in tensors_in(part)}


def _modes(func: Any) -> dict[str, bool]:
    if not isinstance(func, nn.Module):
        return {}
    return {path: part.training for path, part in func.named_modules()}
