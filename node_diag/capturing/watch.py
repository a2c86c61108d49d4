"""``odeint`` and ``odeint_adjoint``, watched.

The first call whose result receives a gradient is kept: f, z0, the times, the settings, and
∂L/∂z at those times.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from types import FunctionType
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.autograd.graph import register_multi_grad_hook

from node_diag.capturing.call import Call
from node_diag.capturing.containers import tensors_in
from node_diag.capturing.leaves import copy_of, held_by, leaves_of, moments, sources_of
from node_diag.capturing.twice import counted
from node_diag.errors import UsageError

NAMES = ("odeint", "odeint_adjoint")


class EnoughError(BaseException):
    """Ends the script once what it was run for is known."""


@dataclass
class Watch:
    """Calls that are watched.

    Attributes:
        number: the first one that is wanted.
        ends: whether the script ends as soon as its gradient has arrived.
        seen: calls that can be differentiated, so far.
        call: the one that was kept.
        is_over: whether the backward pass in which its gradient arrived has ended.
    """

    number: int = 1
    ends: bool = False
    seen: int = 0
    call: Call | None = None
    is_over: bool = False

    def wrap(self, name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        """``odeint`` or ``odeint_adjoint``, watched."""

        def watched(func: Any, y0: Any, t: Tensor, **arguments: Any) -> Any:
            if self.is_over and self.ends:
                raise EnoughError  # the script caught the first one
            given = arguments.get("adjoint_params")
            if given is not None and not isinstance(given, Tensor):
                arguments["adjoint_params"] = tuple(given)  # it may be a generator
            found = original(func, y0, t, **arguments)
            if not self.is_over and arguments.get("event_fn") is None:
                self._note(Call(name, func, y0, t, arguments, autocast=_autocast()), found)
            return found

        watched.__qualname__ = f"node_diag watches {name}"
        return watched

    def _note(self, call: Call, found: Any) -> None:
        parts = list(found) if isinstance(found, tuple) else [found]
        live = [x for x in parts if x.requires_grad]
        if not live:
            return
        self.seen += 1
        if self.seen < self.number:
            return
        call.number = self.seen
        call.y0 = tuple(map(_cut, call.y0)) if isinstance(call.y0, tuple) else _cut(call.y0)
        call.t = _cut(call.t)

        def arrived(grads: Sequence[Tensor | None]) -> None:
            # A backward pass reaches the last call first; the one that is kept is the first.
            if self.is_over or (self.call is not None and self.call.number <= call.number):
                return
            given = dict(zip(map(id, live), grads, strict=True))
            for part in parts:
                grad = given.get(id(part))
                call.cotangents.append(torch.zeros_like(part) if grad is None else _cut(grad))
            if self.call is None:
                engine: Any = torch.autograd.Variable
                engine._execution_engine.queue_callback(self._end)
            self.call = call
            call.made = self.seen
            _keep(call)

        register_multi_grad_hook(live, arrived)

    def _end(self) -> None:
        self.is_over = True
        if self.ends:
            raise EnoughError


@contextmanager
def watching(watch: Watch) -> Generator[Watch]:
    """Inside it, torchdiffeq's ``odeint`` and ``odeint_adjoint`` are watched.

    Raises:
        UsageError: torchdiffeq is not installed.
    """
    if find_spec("torchdiffeq") is None:
        raise UsageError(
            "capture watches calls of torchdiffeq, which is not installed: pip install torchdiffeq"
        )
    import torchdiffeq
    from torchdiffeq._impl import adjoint

    with ExitStack() as stack:
        # Its own adjoint calls odeint as well; that is none of the script's calls.
        stack.enter_context(patch.object(adjoint, "odeint", _copied(torchdiffeq.odeint)))
        for name in NAMES:
            function = getattr(torchdiffeq, name)
            stack.enter_context(_replaced(function, watch.wrap(name, _copied(function))))
        yield watch


def _copied(function: Any) -> Any:
    found = FunctionType(function.__code__, function.__globals__, function.__name__)
    found.__defaults__, found.__kwdefaults__ = function.__defaults__, function.__kwdefaults__
    return found


@contextmanager
def _replaced(function: Any, by: Callable[..., Any]) -> Generator[None]:
    """Inside it, a function does what another does, wherever it is called from.

    Names for it may be anywhere by now (in modules, partials, classes, closures), so it is the
    function itself that changes.
    """
    before = function.__code__, function.__defaults__, function.__kwdefaults__
    function.__globals__[by.__qualname__] = by
    passed_on = f"lambda *args, **named: globals()[{by.__qualname__!r}](*args, **named)"
    function.__defaults__ = function.__kwdefaults__ = None
    function.__code__ = eval(passed_on).__code__
    try:
        yield
    finally:
        function.__code__, function.__defaults__, function.__kwdefaults__ = before
        del function.__globals__[by.__qualname__]


def _keep(call: Call) -> None:
    """Hold on to the parameters as they are, and to which of them are differentiated."""
    told = call.arguments.get("adjoint_params")
    if told is not None:
        told = tuple(told)
    if isinstance(call.func, nn.Module):
        if _keep_module(call, call.func, told):
            return
        if told is None:  # what torchdiffeq takes where it is not told
            told = tuple(call.func.parameters())
    _keep_function(call, told)


def _keep_module(call: Call, module: nn.Module, told: tuple[Tensor, ...] | None) -> bool:
    """By a copy of it; not if it has none of its own, or reads what it is told of elsewhere."""
    own = tuple(module.parameters()) if told is None else told
    held = held_by(module, moments(call.t), call.y0, own)
    named = {**dict(module.named_parameters()), **held.all}
    try:
        copied = copy_of(module, held)
        elsewhere = {id(x) for x in leaves_of(copied, call.t[0], call.y0).values()}
    except Exception:  # it holds a lock, say
        return False
    elsewhere |= {id(x) for part in module.modules() for _, x in tensors_in(part)}
    shared = set(map(id, copied.parameters())) & set(map(id, module.parameters()))
    if shared or (elsewhere & set(map(id, told or ()))) - set(map(id, named.values())):
        return False
    call.computed, call.prepared = list(held.contexts), list(held.prepared)
    call.counted = counted(named, held.all, own)
    if held.all:
        told = (*own, *held.prepared.values())
    _tell(call, named, told)
    call.func = copied
    return True


def _keep_function(call: Call, told: tuple[Tensor, ...] | None) -> None:
    """By the tensors it reads."""
    func = call.func
    named = leaves_of(func, call.t[0], call.y0, told or ())
    left = set(map(id, named.values()))
    if told is not None:
        computed = {name: x for name, x in named.items() if not x.is_leaf}
        call.counted = counted(named, computed, told)
        known = set(map(id, told))
        made = [x for x in computed.values() if sources_of(x, told).keys() <= known]
        behind = {
            leaf
            for x in computed.values()
            for leaf in sources_of(x, [p for p in told if p is not x])
        } - left
        told = (*(p for p in told if id(p) not in behind), *made)
    others = [(i, p) for i, p in enumerate(told or ()) if p.requires_grad and id(p) not in left]
    named |= {f"adjoint_params[{i}]": p for i, p in others}
    call.leaves = named
    call.values = {name: _cut(p) for name, p in named.items()}
    _tell(call, named, told)
    if isinstance(func, nn.Module):
        call.func = partial(func)


def _tell(call: Call, named: Mapping[str, Tensor], told: tuple[Tensor, ...] | None) -> None:
    if told is not None:
        wanted = set(map(id, told))
        call.adjoint_params = [name for name, p in named.items() if id(p) in wanted]


def _autocast() -> tuple[str, torch.dtype] | None:
    for device in ("cuda", "cpu"):
        if torch.is_autocast_enabled(device):
            return device, torch.get_autocast_dtype(device)
    return None


def _cut(x: Tensor) -> Tensor:
    return x.detach().clone()
