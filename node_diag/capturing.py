"""The very call a training script makes to torchdiffeq, and the problem it poses.

``odeint`` and ``odeint_adjoint`` are watched while the script runs. The first call whose result
receives a gradient is kept: f, z0, the times, the settings, and ∂L/∂z at those times. What the loss
was is not known beyond that, and need not be: with the cotangents w_k that arrived,
L = Σ_k w_k · z(t_k) has the same gradient.
"""

from __future__ import annotations

import copy
import shlex
import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any, cast
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.autograd.graph import register_multi_grad_hook

from node_diag.errors import ProblemError, UsageError, reraise_interrupt, said
from node_diag.problem import Problem

LEAST_FLOAT32 = 1e-6
"""Tolerance below which an error estimate in float32 sees rounding only."""
NAMES = ("odeint", "odeint_adjoint")
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


@dataclass
class Call:
    """One call of torchdiffeq.

    Attributes:
        name: ``odeint`` or ``odeint_adjoint``.
        func, y0, t: its arguments; y0 and t cut from the graph.
        arguments: its keyword arguments.
        number: it was the n-th call whose result can be differentiated.
        adjoint_params: names of the parameters it was told to differentiate; empty: all.
        cotangents: ∂L/∂y at all times, for every part of a tuple state, once they have arrived.
    """

    name: str
    func: Any
    y0: Any
    t: Tensor
    arguments: dict[str, Any]
    number: int
    adjoint_params: list[str] = field(default_factory=list[str])
    cotangents: list[Tensor] = field(default_factory=list[Tensor])

    @property
    def is_adjoint(self) -> bool:
        """Whether its gradient comes from a second solve."""
        return self.name == "odeint_adjoint"

    @property
    def method(self) -> str:
        """Torchdiffeq's solver."""
        return self.arguments.get("method") or "dopri5"


class _EnoughError(BaseException):
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
                raise _EnoughError

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

    with ExitStack() as stack:
        for name in NAMES:
            original = getattr(torchdiffeq, name)
            watched = watch.wrap(name, original)
            for module, held in _holders(original):
                stack.enter_context(patch.object(module, held, watched))
        yield watch


def _holders(function: Any) -> list[tuple[ModuleType, str]]:
    """Where a function of torchdiffeq can be called from: all modules that have imported it.

    Its own adjoint calls ``odeint`` as well; that is none of the script's calls.
    """
    found: list[tuple[ModuleType, str]] = []
    for module in list(sys.modules.values()):
        name = str(getattr(module, "__name__", ""))
        if not name.startswith("torchdiffeq._impl"):
            entries = list(getattr(module, "__dict__", {}).items())
            found += [(module, held) for held, value in entries if value is function]
    return found


@cache
def run_script(path: str, args: str = "", call: int = 1) -> Call:
    """Run a training script until the wanted call has its gradient.

    Args:
        path: the script.
        args: its arguments, as a shell would take them.
        call: the first call that is wanted, counting those that can be differentiated.

    Raises:
        UsageError: there is no such script, or ``call`` is no number from 1 on.
        ProblemError: it raised, or ended without such a call.
    """
    script = Path(path)
    if not script.is_file():
        raise UsageError(f"there is no script '{path}'")
    if call < 1:
        raise UsageError(f"--call {call}: calls are counted from 1")
    watch = Watch(number=call, ends=True)
    with watching(watch):
        _execute(script, shlex.split(args))
    if watch.call is None:
        raise ProblemError(_nothing(path, watch))
    return watch.call


def _nothing(path: str, watch: Watch) -> str:
    if not watch.seen:
        return (
            f"{path} ended without a call of torchdiffeq's odeint or odeint_adjoint that can be "
            "differentiated: nothing in it required a gradient"
        )
    if watch.seen < watch.number:
        return f"{path} ended after {watch.seen} such calls, before call {watch.number}"
    return (
        f"{path} called torchdiffeq {watch.seen} times, but no gradient arrived at call "
        f"{watch.number} or later: was loss.backward() reached?"
    )


def _execute(script: Path, args: list[str]) -> None:
    """As ``python script args``, up to the call that is wanted."""
    main = ModuleType("__main__")
    main.__file__ = str(script)
    folder = str(script.parent.resolve())
    with ExitStack() as stack:
        stack.enter_context(patch.object(sys, "argv", [str(script), *args]))
        # Not patch.dict, which would take out again what the script imports.
        stack.callback(sys.modules.__setitem__, "__main__", sys.modules["__main__"])
        sys.modules["__main__"] = main
        stack.enter_context(patch.dict("os.environ", {"MPLBACKEND": "Agg"}))
        stack.enter_context(torch.enable_grad())
        if folder not in sys.path:  # and it stays: f may import its neighbours when it is called
            sys.path.insert(0, folder)
        try:
            code = compile(script.read_bytes(), str(script), "exec")
            exec(code, main.__dict__)
        except _EnoughError:
            return
        except SystemExit as error:
            if error.code not in (None, 0):
                raise ProblemError(f"{script} ended with exit code {error.code}") from error
        except BaseException as error:
            reraise_interrupt(error)
            raise ProblemError(f"{script} raised {said(error)}") from error


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


def _named(call: Call) -> list[str]:
    """Which of its module's parameters a call was told to differentiate; empty: all."""
    given = call.arguments.get("adjoint_params")
    if given is None or not isinstance(call.func, nn.Module):
        return []
    call.arguments["adjoint_params"] = given = tuple(given)  # it may be a generator
    wanted = set(map(id, given))
    return [name for name, p in call.func.named_parameters() if id(p) in wanted]


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
    if found["solver"] in ("euler", "midpoint", "heun", "rk4"):
        size = (given.get("options") or {}).get("step_size")
        gaps = call.t[1:] - call.t[:-1]
        found["step_size"] = float(gaps.abs().max() if size is None else size)
    return found


def _least(value: Any, default: float) -> float:
    if isinstance(value, Tensor):
        return float(value.min())
    return default if value is None else float(value)


def _cut(x: Tensor) -> Tensor:
    return x.detach().clone()


def _copy(func: Any) -> Any:
    """A module as it is now; the module itself if it cannot be copied."""
    try:
        return copy.deepcopy(func) if isinstance(func, nn.Module) else func
    except Exception:
        return func
