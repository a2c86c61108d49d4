"""``odeint`` and ``odeint_adjoint``, watched.

The first call whose result receives a gradient is kept: f, z0, the times, the settings, and
∂L/∂z at those times.
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from types import FunctionType
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.autograd.graph import register_multi_grad_hook

from node_diag.capturing.call import Autocast, Call
from node_diag.capturing.keeping import keep, keep_module, kept
from node_diag.capturing.later import (
    Evaluation,
    Follower,
    Reached,
    changed,
    cut,
    difference,
)
from node_diag.errors import UsageError, said
from node_diag.reachable.before import Before, FirstValues

NAMES = ("odeint", "odeint_adjoint")
EAGER = 4
"""Calls of odeint, from the first that is wanted, of whose f a copy is made at once: a graph gives
the gradient of f as it was. Of later ones f is copied when the gradient arrives."""


class EnoughError(BaseException):
    """Ends the script once what it was run for is known."""


def enough() -> BaseException:
    """What ends the script; in a thread of it what ends that without a word."""
    is_main = threading.current_thread() is threading.main_thread()
    return EnoughError() if is_main else SystemExit()


@dataclass
class Watch:
    """Calls that are watched.

    Attributes:
        number: the first one that is wanted.
        ends: whether the script ends as soon as its gradient has arrived.
        seen: calls that can be differentiated, so far.
        call: the one that was kept.
        is_over: whether the backward pass in which its gradient arrived has ended.
        reached: what watches that pass.
        firsts: what every f held before it was first evaluated, as far as was seen.
    """

    number: int = 1
    ends: bool = False
    seen: int = 0
    call: Call | None = None
    is_over: bool = False
    reached: Reached | None = None
    firsts: FirstValues = field(default_factory=FirstValues)

    def wrap(self, name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        """``odeint`` or ``odeint_adjoint``, watched."""

        def watched(func: Any, y0: Any, t: Tensor, **arguments: Any) -> Any:
            if self.is_over and self.ends:
                raise enough()  # the script caught the first one
            given = arguments.get("adjoint_params")
            if given is not None and not isinstance(given, Tensor):
                arguments["adjoint_params"] = tuple(given)  # it may be a generator
            if self.is_over or arguments.get("event_fn") is not None:
                return original(func, y0, t, **arguments)
            follower = Follower(func)
            with self.firsts.solving(func) as before, follower.following() as followed:
                found = original(followed, y0, t, **arguments)
            call = Call(name, func, y0, t, arguments, autocast=_autocast())
            self._note(call, found, follower.last(), before)
            return found

        watched.__qualname__ = f"node_diag watches {name} ({id(self)})"  # others may watch as well
        return watched

    def _note(self, call: Call, found: Any, last: Evaluation | None, before: Before) -> None:
        parts = list(found) if isinstance(found, tuple) else [found]
        live = [x for x in parts if x.requires_grad]
        if not live:
            return
        self.seen += 1
        if self.seen < self.number:
            return
        call.number = self.seen
        call.y0, call.t = cut(call.y0), cut(call.t)
        func = call.func
        if not call.is_adjoint and self.seen < self.number + EAGER:
            with suppress(Exception):  # then when the gradient arrives
                keep_module(call)

        def arrived(grads: Sequence[Tensor | None]) -> None:
            # A backward pass reaches the last call first; the one that is kept is the first.
            if self.is_over or (self.call is not None and self.call.number <= call.number):
                return
            given = dict(zip(map(id, live), grads, strict=True))
            for part in parts:
                grad = given.get(id(part))
                call.cotangents.append(torch.zeros_like(part) if grad is None else cut(grad))
            call.autocast_back = _autocast()
            if self.call is None:
                engine: Any = torch.autograd.Variable
                engine._execution_engine.queue_callback(self._end)
            self.call = call
            call.made = self.seen
            self._keep(call, func, last, before)

        if len(live) == 1:  # the other hook is not told where a backward pass starts at them

            def alone(grad: Tensor) -> None:
                arrived([grad])

            live[0].register_hook(alone)
        else:
            register_multi_grad_hook(live, arrived)

    def _keep(self, call: Call, func: Any, last: Evaluation | None, before: Before) -> None:
        """Whatever f does when it is asked, the script goes on."""
        try:
            call.kept = kept(call, func, before)
            if call.kept and isinstance(func, nn.Module):
                call.func = func
                with before.again():
                    keep(call)
            elif call.func is func:
                keep(call)
            if last is not None and not call.kept and (what := changed(call, last)):
                call.changed = difference(func, last) or what
            self.stop()  # of a later call, whose gradient came first
            if call.is_adjoint and isinstance(func, nn.Module):
                self.reached = Reached(func, call)
        except Exception as error:
            call.unknown = f"f raised {said(error)} when it was evaluated once more"

    def stop(self) -> None:
        """Leave f alone, also where its backward pass raised."""
        if self.reached is not None:
            self.reached.stop()
            self.reached = None

    def _end(self) -> None:
        self.is_over = True
        self.stop()
        if self.ends:
            raise enough()


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
        stack.callback(watch.stop)
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
    attributes = dict(vars(function))
    function.__globals__[by.__qualname__] = by
    passed_on = f"lambda *args, **named: globals()[{by.__qualname__!r}](*args, **named)"
    function.__signature__ = inspect.signature(function)  # for who asks for options
    function.__defaults__ = function.__kwdefaults__ = None
    function.__code__ = eval(passed_on).__code__
    try:
        yield
    finally:
        vars(function).clear()
        vars(function).update(attributes)
        function.__code__, function.__defaults__, function.__kwdefaults__ = before
        del function.__globals__[by.__qualname__]


def _autocast() -> Autocast | None:
    for device in ("cuda", "cpu"):
        if torch.is_autocast_enabled(device):
            return device, torch.get_autocast_dtype(device)
    return None
