"""Problem: dynamics, initial state, observation times and loss, checked when it is made."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from node_diag.errors import ProblemError, reraise_interrupt, said
from node_diag.layout import Layout, State
from node_diag.promotion import in_precision
from node_diag.substitute import copied, elsewhere, move, substituted, tensors_of

Dynamics = Callable[[Tensor, Any], Any]
Loss = Callable[[Any], Tensor]
Exact = Callable[[Tensor, Any, Mapping[str, Tensor]], Any]


class Problem:
    """An initial value problem with a scalar loss of the states it is observed in.

        dz/dt = f(t, z, θ),   z(t0) = z0,   L = loss(z(ts[1]), …, z(ts[-1]))

    Args:
        func: f as ``func(t, z)``, an ``nn.Module`` (its trainable parameters count) or a callable.
            t is a 0-d tensor of z's dtype and device, as in torchdiffeq.
        z0: initial state, a floating-point tensor of any shape or a tuple of tensors.
        ts: (t0, …, t1), strictly increasing or strictly decreasing.
        loss: ``loss(zs)`` → scalar; zs are the states at ``ts[1:]``, stacked along a first axis
            (a tuple of such for a tuple state).
        name: what reports call it.
        params: for a callable, the tensors it closes over, by name. They are made to require a
            gradient: f reads these very tensors.
        exact: closed form ``exact(ts, z0, params)`` → states at ``ts[1:]``, differentiable in all
            three; its derivatives then serve as the reference gradient.
        description: one line for reports.
        autonomous: what f is meant to be, if that is to be checked: whether it ignores t.

    Attributes:
        mutated: arguments that f was seen to change in place (``state``, ``time``); it then gets
            copies of both.
        kept: parameters whose gradient f loses once it was evaluated without one: it keeps what it
            computes from them, see :mod:`.reachable.kept`.
        call: the library's call it was captured from, see :mod:`.capturing.problem`.
        settings: options of a check that it comes with, where no others are asked for.
        remarks: of those, how they are not quite what it came from.
        contexts: names in ``params`` of what a module holds that was computed from other tensors;
            no library finds them among the module's parameters.
        computes_in: another precision than its own, see :mod:`.promotion`; None in its own.

    Raises:
        ProblemError: an argument cannot be used; the sentence says which and why.
    """

    def __init__(  # noqa: PLR0913 - what a problem is
        self,
        func: Dynamics,
        z0: State,
        ts: Sequence[float] | Tensor,
        loss: Loss,
        *,
        name: str = "problem",
        params: Mapping[str, Tensor] | None = None,
        exact: Exact | None = None,
        description: str = "",
        autonomous: bool | None = None,
    ) -> None:
        self.func = func
        self.autonomous = autonomous
        self.z0 = _checked_state(z0)
        self.ts = _checked_times(ts)
        self.loss = loss
        self.name = str(name)
        self.exact = exact
        self.description = str(description)
        self.mutated: list[str] = []
        self.kept: list[str] = []
        self.computes_in: torch.dtype | None = None
        self.source = ""
        self.overrides: dict[str, Any] = {}
        self.call: Any = None
        self.settings: dict[str, Any] = {}
        self.remarks: dict[str, str] = {}
        self.contexts: tuple[str, ...] = ()
        self.arguments: dict[str, Any] = {}
        for what, function in (("func", func), ("loss", loss)):
            if isinstance(function, type):
                made = f"{function.__name__}(...)"
                raise ProblemError(f"{what} is the class {function.__name__}; pass {made}")
            if not callable(function):
                raise ProblemError(f"{what} is a {type(function).__name__}, not a callable")
        self.params = _checked_params(func, params)
        parts = self.z0 if isinstance(self.z0, tuple) else (self.z0,)
        self.layout = Layout(tuple(part.shape for part in parts), isinstance(self.z0, tuple))
        self.dtype = parts[0].dtype
        self.device = parts[0].device

    @property
    def t0(self) -> float:
        """Start of the solve."""
        return self.ts[0]

    @property
    def t1(self) -> float:
        """End of the solve."""
        return self.ts[-1]

    def flat_z0(self) -> Tensor:
        """z0 as a vector of D entries, cut from any graph."""
        return self.layout.flatten(self.z0).detach().clone()

    def loss_of(self, zs: Tensor) -> Tensor:
        """Loss of flat observed states (K, D).

        Raises:
            ProblemError: the loss raised, or is no finite-shaped scalar tensor.
        """
        try:
            with in_precision(self.computes_in):
                value = self.loss(self.layout.unflatten(zs))
        except BaseException as error:
            reraise_interrupt(error)
            shape = tuple(self.layout.shapes[0])
            given = "a tuple" if self.layout.is_tuple else f"of shape {(len(self.ts) - 1, *shape)}"
            raise ProblemError(
                f"loss raised {said(error)}; its argument is {given}: the states at ts[1:], "
                "without z0"
            ) from error
        if not isinstance(cast("Any", value), Tensor):
            raise ProblemError(
                f"loss returned a {type(value).__name__}, not a scalar tensor; return the tensor "
                "itself, without .item() or .numpy()"
            )
        if value.numel() != 1:
            raise ProblemError(
                f"loss returned a tensor of shape {tuple(value.shape)}; it must be a scalar: end "
                "it in .mean() or .sum()"
            )
        if not value.is_floating_point():
            raise ProblemError(
                f"loss returned {value.dtype}; it must be a real floating-point scalar"
            )
        return value.reshape(())

    def to(self, dtype: torch.dtype, device: torch.device, *, copy: bool = False) -> Problem:
        """The same problem in another precision or on another device; self is left alone.

        The parameters move with it wherever they are used: in func, and in a loss that closes over
        them.

        Args:
            dtype: of the state and the parameters.
            device: where they are.
            copy: also if nothing has to change, so that z0 and the parameters are nobody else's.
        """
        same = dtype == self.dtype and device == self.device and self._params_match(dtype, device)
        if same and not copy:
            return self
        func, params, table = self._moved_func(dtype, device)
        moved = tuple(
            part.detach().to(dtype=dtype, device=device, copy=copy)
            for part in (self.z0 if isinstance(self.z0, tuple) else (self.z0,))
        )
        other = Problem(
            func,
            moved if isinstance(self.z0, tuple) else moved[0],
            self.ts,
            substituted(self.loss, *table),
            name=self.name,
            params=params,
            exact=self.exact,
            description=self.description,
            autonomous=self.autonomous,
        )
        other.source, other.arguments = self.source, self.arguments
        other.overrides = self.overrides
        other.call, other.settings, other.remarks = self.call, self.settings, self.remarks
        other.mutated, other.kept, other.contexts = self.mutated, self.kept, self.contexts
        other.computes_in = self.computes_in if dtype == self.dtype else dtype
        return other

    def _moved_func(
        self, dtype: torch.dtype, device: torch.device
    ) -> tuple[Dynamics, dict[str, Tensor] | None, tuple[dict[str, Tensor], dict[str, Tensor]]]:
        """Func and params elsewhere, and the tensors whose place they take."""
        if isinstance(self.func, nn.Module):
            originals = tensors_of(self.func)
            try:
                func = copied(self.func)
                if set(map(id, tensors_of(func).values())) & set(map(id, originals.values())):
                    raise TypeError("its copy shares tensors with it")
                move(func, dtype, device)
            except (
                Exception
            ):  # a lock, or a tensor computed from others, or a copy of its own: leave it
                others = {name: elsewhere(x, dtype, device) for name, x in originals.items()}
                params = {name: others[name] for name in self.params}
                return substituted(self.func, originals, others), params, (originals, others)
            return func, None, (originals, tensors_of(func))
        params = {name: elsewhere(p, dtype, device) for name, p in self.params.items()}
        return substituted(self.func, self.params, params), params, (self.params, params)

    def _params_match(self, dtype: torch.dtype, device: torch.device) -> bool:
        return all(p.dtype == dtype and p.device == device for p in self.params.values())


def _checked_state(z0: Any) -> State:
    parts = tuple(z0) if isinstance(z0, tuple | list) else (z0,)
    if not parts:
        raise ProblemError("z0 is an empty tuple")
    for part in parts:
        if not isinstance(part, Tensor):
            raise ProblemError(
                f"z0 is a {type(part).__name__}, not a tensor or a tuple of tensors: "
                "wrap it in torch.tensor(..., dtype=torch.float64)"
            )
        if not part.is_floating_point():
            raise ProblemError(f"z0 is {part.dtype}; it must be a real floating-point tensor")
        if part.numel() == 0:
            raise ProblemError(f"z0 has shape {tuple(part.shape)}: there is no state to solve for")
        if part.dtype != parts[0].dtype or part.device != parts[0].device:
            raise ProblemError("the parts of z0 differ in dtype or device")
        if not bool(torch.isfinite(part).all()):
            raise ProblemError("z0 contains NaN or infinity")
    return parts if isinstance(z0, tuple | list) else z0


def _checked_times(ts: Sequence[float] | Tensor) -> tuple[float, ...]:
    try:
        times = tuple(float(t) for t in ts)
    except (TypeError, ValueError) as error:
        raise ProblemError("ts must be a sequence of numbers (t0, ..., t1)") from error
    if len(times) < 2:
        raise ProblemError(f"ts needs at least two entries (t0, t1); it has {len(times)}")
    if not all(math.isfinite(t) for t in times):
        raise ProblemError("ts contains NaN or infinity")
    steps = [later - earlier for earlier, later in itertools.pairwise(times)]
    for i, step in enumerate(steps):
        if step == 0 or (step > 0) != (steps[0] > 0):
            raise ProblemError(
                "ts must be strictly increasing or strictly decreasing; it has "
                f"{times[i + 1]:g} after {times[i]:g}"
            )
    return times


def _checked_params(func: Any, params: Mapping[str, Tensor] | None) -> dict[str, Tensor]:
    if isinstance(func, nn.Module):
        if params is not None:
            raise ProblemError(
                "params is for plain callables; func is an nn.Module and has its own"
            )
        own: dict[str, Tensor] = {n: p for n, p in func.named_parameters() if p.requires_grad}
        for name, p in own.items():
            if p.is_complex():
                raise ProblemError(
                    f"parameter '{name}' is complex; hold it as torch.view_as_real(...) and make "
                    "it complex inside f"
                )
        return own
    named = {str(name): p for name, p in (params or {}).items()}
    owners: dict[int, str] = {}
    for name, p in named.items():
        if (other := owners.setdefault(id(p), name)) != name:
            raise ProblemError(f"params['{other}'] and params['{name}'] are the same tensor")
        if not isinstance(cast("Any", p), Tensor) or not p.is_floating_point():
            raise ProblemError(f"params['{name}'] is not a floating-point tensor")
        if not p.requires_grad:
            if not p.is_leaf:
                raise ProblemError(f"params['{name}'] is computed from other tensors; pass a leaf")
            p.requires_grad_(True)
    return named
