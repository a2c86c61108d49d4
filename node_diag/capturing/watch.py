"""``odeint`` and ``odeint_adjoint``, watched.

The first call whose result receives a gradient is kept: f, z0, the times, the settings, and
∂L/∂z at those times.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from types import FunctionType
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.autograd.graph import register_multi_grad_hook

from node_diag.capturing.call import Call
from node_diag.errors import UsageError

NAMES = ("odeint", "odeint_adjoint")


class EnoughError(BaseException):
    """Ends the script once what it was run for is known."""


@dataclass
class Watch:
    """Calls that are watched.

    Attributes:
        number: the first one that is wanted.
        ends: whether the script ends as soon as its gradient arrives; else it goes on, and a copy
            of the module is kept, since its parameters will change.
        seen: calls that can be differentiated, so far.
        call: the one that was kept.
    """

    number: int = 1
    ends: bool = False
    seen: int = 0
    call: Call | None = None

    def wrap(self, name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        """``odeint`` or ``odeint_adjoint``, watched."""

        def watched(func: Any, y0: Any, t: Tensor, **arguments: Any) -> Any:
            found = original(func, y0, t, **arguments)
            if self.call is None and arguments.get("event_fn") is None:
                self._note(Call(name, func, y0, t, arguments, 0), found)
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
        call.adjoint_params = _named(call)
        if not self.ends:
            call.func = _copy(call.func)
        call.y0 = tuple(map(_cut, call.y0)) if isinstance(call.y0, tuple) else _cut(call.y0)
        call.t = _cut(call.t)

        def arrived(grads: Sequence[Tensor | None]) -> None:
            if self.call is not None:
                return
            given = dict(zip(map(id, live), grads, strict=True))
            for part in parts:
                grad = given.get(id(part))
                call.cotangents.append(torch.zeros_like(part) if grad is None else _cut(grad))
            self.call = call
            if self.ends:
                raise EnoughError

        register_multi_grad_hook(live, arrived)


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


def _named(call: Call) -> list[str]:
    """Which of its module's parameters a call was told to differentiate; empty: all."""
    given = call.arguments.get("adjoint_params")
    if given is None or not isinstance(call.func, nn.Module):
        return []
    call.arguments["adjoint_params"] = given = tuple(given)  # it may be a generator
    wanted = set(map(id, given))
    return [name for name, p in call.func.named_parameters() if id(p) in wanted]


def _cut(x: Tensor) -> Tensor:
    return x.detach().clone()


def _copy(func: Any) -> Any:
    """A module as it is now; the module itself if it cannot be copied."""
    try:
        return copy.deepcopy(func) if isinstance(func, nn.Module) else func
    except Exception:
        return func
