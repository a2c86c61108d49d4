"""Field: f on flat states. The one place where evaluations of f are counted."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from node_diag.errors import ProblemError, reraise_interrupt, said, when
from node_diag.problem import Problem
from node_diag.promotion import in_precision
from node_diag.reachable.before import Before
from node_diag.reachable.kept import lost, spots
from node_diag.substitute import substituted

FlatField = Callable[[Tensor, Tensor], Tensor]
ManyField = Callable[[Tensor, Tensor, Mapping[str, Tensor]], Tensor]


MIXED = (
    "; the check runs in float64, and a tensor that is neither a parameter nor a buffer of the "
    "module stays as it is: register it (register_buffer, params=), or check with --dtype float32"
)


class Field:
    """f(t, z) of a problem for z of shape (D,), counting its evaluations.

    Attributes:
        nfe: evaluations so far.
        on_value: called with (t, z, value) of every evaluation, for instruments; what it returns is
            used as the value.
        params: the tensors to differentiate with respect to, by name.
        any_precision: whether f may return another precision than the state's, as under autocast.
    """

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.params = problem.params
        self.nfe = 0
        self.on_value: Callable[[Tensor, Tensor, Tensor], Tensor] | None = None
        self.any_precision = False
        self._func = problem.func
        self._layout = problem.layout
        self._is_vector = problem.layout.is_vector
        self._copies = bool(problem.mutated)
        self._cuts_time = False
        self._as_it_is = self._is_vector and not self._copies and problem.computes_in is None

    def __call__(self, t: Tensor, z: Tensor) -> Tensor:
        """dz/dt at (t, z), both cut to the problem's own shapes and back.

        Raises:
            ProblemError: f raised, or changed z in place.
        """
        self.nfe += 1
        version, asked = z._version, z.requires_grad
        try:
            value = self._value(t.detach() if self._cuts_time else t, z)
            if not isinstance(value, Tensor):
                raise TypeError(f"it returned a {type(value).__name__}, not a tensor")
        except BaseException as error:
            reraise_interrupt(error)
            if t.requires_grad and not self._cuts_time and self._works_without_time_gradient(t, z):
                return self(t, z)
            raise ProblemError(f"f raised {said(error)}{when(t)}") from error
        if z.requires_grad is not asked:  # f asked it for a gradient, as a Hamiltonian does
            z.requires_grad_(asked)
        if z._version != version and not self._copies:
            raise ProblemError(
                f"f changed the state it was given in place{when(t)}; use z.clone() or operations "
                "that do not"
            )
        if value.shape != z.shape or (value.dtype is not z.dtype and not self.any_precision):
            raise ProblemError(
                f"f returned {value.dtype} of shape {tuple(value.shape)} for a {z.dtype} state of "
                f"shape {tuple(z.shape)}{when(t)}"
            )
        if value.requires_grad and not torch.is_grad_enabled():
            value = value.detach()  # f switched gradients on by itself, or returned a parameter
        return value if self.on_value is None else self.on_value(t, z, value)

    def _value(self, t: Tensor, z: Tensor) -> Any:
        if self._as_it_is:  # which is what most are, and nothing is called more often
            return self._func(t, z)
        if self.problem.computes_in is None:
            return self._plain_value(t, z)
        with in_precision(self.problem.computes_in):
            return self._plain_value(t, z)

    def _plain_value(self, t: Tensor, z: Tensor) -> Any:
        if self._copies:
            t, z = t.clone(), z.clone()
        if self._is_vector:
            return self._func(t, z)
        return self._layout.flatten(self._func(t, self._layout.unflatten(z)))

    def _works_without_time_gradient(self, t: Tensor, z: Tensor) -> bool:
        """Whether f wants t without a graph (``t.numpy()``), as it gets it from most libraries."""
        try:
            with torch.no_grad():
                self._value(t.detach(), z)
        except Exception:
            return False
        self.nfe -= 1
        self._cuts_time = True
        return True

    def with_params(self, params: Mapping[str, Tensor]) -> FlatField:
        """F as a function of flat states with other parameter values (not counted)."""
        layout, func, own = self._layout, self._func, dict(params)
        precision = self.problem.computes_in
        if isinstance(func, nn.Module):
            module = func

            def inner(t: Tensor, state: Any) -> Any:
                return functional_call(module, own, (t, state))
        else:
            inner = substituted(func, self.params, own)

        def call(t: Tensor, z: Tensor) -> Tensor:
            try:
                if self._copies:
                    t, z = t.clone(), z.clone()
                with in_precision(precision):
                    return layout.flatten(inner(t, layout.unflatten(z)))
            except BaseException as error:
                reraise_interrupt(error)
                raise ProblemError(f"f raised {said(error)} off the trajectory") from error

        return call

    def batched(self, own: Collection[str] | None = None) -> ManyField:
        """F for many (t, z, θ) at once: t (B,), z (B, D), θ → (B, D), by torch.func.vmap.

        Parameters named in ``own`` (default: all) come as (B, *shape), one value for each row;
        the others have one value for all rows. A function that cannot be vmapped raises on the
        first call. What f assigns meanwhile (a term that it adds up) is put back: a tensor of the
        transform is of no use outside of it.
        """
        rows = {name: 0 if own is None or name in own else None for name in self.params}

        def single(t: Tensor, z: Tensor, params: dict[str, Tensor]) -> Tensor:
            return self.with_params(params)(t, z)

        # Buffers too, one for each row: batch normalisation updates them in place.
        buffers = _buffers(self._func)
        rows |= dict.fromkeys(buffers, 0)
        many = torch.func.vmap(single, in_dims=(0, 0, rows))
        without = torch.func.vmap(self.with_params({}))
        assigns = True

        def call(t: Tensor, z: Tensor, params: Mapping[str, Tensor]) -> Tensor:
            nonlocal assigns
            own = {name: b.repeat(len(z), *[1] * b.dim()) for name, b in buffers.items()}
            before = Before(self._func) if assigns else None
            try:  # vmap wants a mapped leaf in every argument
                return many(t, z, {**params, **own}) if rows else without(t, z)
            finally:
                if before is not None:  # what can be vmapped does the same at every call
                    assigns = not before.is_same()
                    before.restore()

        return call

    def looped(self, own: Collection[str] | None = None) -> ManyField:
        """The same as :meth:`batched` by a Python loop, for what cannot be vmapped."""

        def many(t: Tensor, z: Tensor, params: Mapping[str, Tensor]) -> Tensor:
            rows = [
                self.with_params(
                    {name: p[i] if own is None or name in own else p for name, p in params.items()}
                )(t[i], z[i])
                for i in range(len(z))
            ]
            return torch.stack(rows)

        return many


def _buffers(func: Any) -> dict[str, Tensor]:
    return dict(func.named_buffers()) if isinstance(func, nn.Module) else {}


def validate(problem: Problem) -> None:
    """Evaluate f and the loss once and say in one sentence what cannot be used.

    What f changes in place is noted in ``problem.mutated``, what it keeps in ``problem.kept``.

    Raises:
        ProblemError: f raises, returns the wrong type, shape or dtype, or NaN; or the loss is no
            scalar.
    """
    z0 = problem.flat_z0()
    t0 = torch.tensor(problem.t0, dtype=problem.dtype, device=problem.device)
    before = Before(problem.func)
    with torch.no_grad():
        try:
            with in_precision(problem.computes_in):
                value = problem.func(t0, problem.layout.unflatten(z0))
        except BaseException as error:
            reraise_interrupt(error)
            hint = MIXED if "dtype" in str(error) and problem.dtype == torch.float64 else ""
            if not hint and isinstance(error, TypeError | RuntimeError):
                shapes = ", ".join(str(tuple(shape)) for shape in problem.layout.shapes)
                hint = f"; it is called as f(t, z) with t of shape () and z of shape {shapes}"
                if "positional argument" in str(error) and not isinstance(problem.func, nn.Module):
                    hint += " and nothing else: it closes over the tensors of params"
            raise ProblemError(f"f of '{problem.name}' raised {said(error)} at t0{hint}") from error
        _check_value(problem, value)
        # An in-place operation counts the version up, also one that left 0 at 0; .data does not.
        arguments = {"state": (z0, problem.flat_z0()), "time": (t0, t0.new_tensor(problem.t0))}
        problem.mutated = [
            name for name, (x, was) in arguments.items() if x._version or not torch.equal(x, was)
        ]
        problem.loss_of(z0.repeat(len(problem.ts) - 1, 1))
    with in_precision(problem.computes_in):
        state = problem.layout.unflatten(problem.flat_z0())
        lost_now = lost(problem.func, spots(t0, problem.t1, state), problem.params, before)
    problem.kept = problem.kept or lost_now  # one that was evaluated before keeps it already
    _require_all_params(problem)


def _require_all_params(problem: Problem) -> None:
    """A plain function must name every tensor it is to be differentiated in.

    Raises:
        ProblemError: it closes over one that is not in ``params``.
    """
    if isinstance(problem.func, nn.Module):
        return
    with torch.enable_grad():
        t0 = torch.tensor(problem.t0, dtype=problem.dtype, device=problem.device)
        field = Field(problem)
        held = held_leaves(field, t0, problem.flat_z0())
        others = {name: p.detach().clone() for name, p in problem.params.items()}
        z0 = problem.flat_z0()
        replaced = field.with_params(others)(t0, z0)
    known = {p.data_ptr(): name for name, p in problem.params.items()}
    for leaf in leaves(replaced):
        if name := known.get(leaf.data_ptr()):
            raise ProblemError(
                f"f uses a tensor that was computed from params['{name}'] outside of f; "
                "compute it inside, so that it follows the parameter"
            )
    strangers = [leaf for leaf in held if leaf.data_ptr() not in known]
    if strangers and problem.call is not None:
        raise ProblemError(
            f"f of the captured call uses a tensor of shape {tuple(strangers[0].shape)} that "
            "requires grad, and is not found where f could hold it: keep it, or what is computed "
            "from it, as an attribute of f"
        )
    if strangers:
        raise ProblemError(
            f"f uses a tensor of shape {tuple(strangers[0].shape)} that requires grad but is "
            "not in params: pass Problem(..., params={'name': tensor}), or detach it"
        )


def held_leaves(f: FlatField, t: Tensor, z: Tensor) -> list[Tensor]:
    """Leaf tensors that f holds, told by their memory: those that two evaluations have in common.

    What it makes anew, and the state it was given, may be leaves as well (``z.requires_grad_()``).
    """
    values = [f(t.clone(), z.clone()) for _ in range(2)]
    first, second = ({leaf.data_ptr(): leaf for leaf in leaves(value)} for value in values)
    return [leaf for where, leaf in first.items() if where in second]


def leaves(value: Tensor) -> list[Tensor]:
    """Leaf tensors that a value was computed from."""
    if value.grad_fn is None:
        return [value] if value.requires_grad else []
    found: list[Tensor] = []
    stack, seen = [value.grad_fn], set[Any]()
    while stack:
        node: Any = stack.pop()
        if node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):
            found.append(node.variable)
        stack.extend(parent for parent, _ in node.next_functions if parent is not None)
    return found


def _check_value(problem: Problem, value: Any) -> None:
    layout = problem.layout
    if layout.is_tuple and not isinstance(value, tuple | list):
        raise ProblemError(
            f"f returned a {type(value).__name__} for a state that is a tuple; return a tuple of "
            "their derivatives"
        )
    parts: tuple[Any, ...] = tuple(value) if layout.is_tuple else (value,)
    if len(parts) != len(layout.shapes):
        raise ProblemError(
            f"f returned {len(parts)} tensors for a state of {len(layout.shapes)}; return one each"
        )
    for part, shape in zip(parts, layout.shapes, strict=True):
        if not isinstance(part, Tensor):
            raise ProblemError(
                f"f returned a {type(part).__name__}, not a tensor; return dz/dt in z's shape "
                f"{tuple(shape)}"
            )
        if part.shape != shape:
            raise ProblemError(
                f"f returned shape {tuple(part.shape)} for a state of shape {tuple(shape)}; dz/dt "
                "must have the shape of z"
            )
        if part.dtype != problem.dtype:
            remedy = (
                f"check as it trains (--dtype {str(part.dtype).split('.')[1]}) or remove the cast"
            )
            if part.dtype not in (torch.float32, torch.float64):
                remedy = "return the state's own dtype"
            if torch.is_autocast_enabled(part.device.type):
                remedy = (
                    "the check was started under torch.autocast: start it outside, and to check f "
                    "under it, enter it inside f and return value.to(z.dtype)"
                )
            raise ProblemError(f"f returned {part.dtype} for a {problem.dtype} state; {remedy}")
        if not bool(torch.isfinite(part).all()):
            raise ProblemError(
                f"f is NaN or infinite at t0 = {problem.t0:g} and the initial state; evaluate "
                "func(t0, z0) by itself to see where that arises"
            )
