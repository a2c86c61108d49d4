"""Field: f on flat states. The one place where evaluations of f are counted."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.overrides import TorchFunctionMode

from node_diag.errors import ProblemError
from node_diag.problem import Problem

FlatField = Callable[[Tensor, Tensor], Tensor]
ManyField = Callable[[Tensor, Tensor, Mapping[str, Tensor]], Tensor]


class Field:
    """f(t, z) of a problem for z of shape (D,), counting its evaluations.

    Attributes:
        nfe: evaluations so far.
        on_value: called with every value of f, for instruments.
        params: the tensors to differentiate with respect to, by name.
    """

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.params = problem.params
        self.nfe = 0
        self.on_value: Callable[[Tensor], None] | None = None
        self._func = problem.func
        self._layout = problem.layout
        self._is_vector = problem.layout.is_vector

    def __call__(self, t: Tensor, z: Tensor) -> Tensor:
        """dz/dt at (t, z), both cut to the problem's own shapes and back.

        Raises:
            ProblemError: f raised.
        """
        self.nfe += 1
        try:
            if self._is_vector:
                value = self._func(t, z)
            else:
                value = self._layout.flatten(self._func(t, self._layout.unflatten(z)))
        except Exception as error:
            raise ProblemError(
                f"f raised {type(error).__name__} at t = {float(t.detach()):.6g}: {error}"
            ) from error
        if self.on_value is not None:
            self.on_value(value)
        return value

    def with_params(self, params: Mapping[str, Tensor]) -> FlatField:
        """F as a function of flat states with other parameter values (not counted)."""
        layout, func = self._layout, self._func

        def call(t: Tensor, z: Tensor) -> Tensor:
            state = layout.unflatten(z)
            if isinstance(func, nn.Module):
                return layout.flatten(functional_call(func, dict(params), (t, state)))
            with _Substitute(self.params, params):
                return layout.flatten(func(t, state))

        return call

    def batched(self, own: Collection[str] | None = None) -> ManyField:
        """F for many (t, z, θ) at once: t (B,), z (B, D), θ → (B, D), by torch.func.vmap.

        Parameters named in ``own`` (default: all) come as (B, *shape), one value for each row;
        the others have one value for all rows. A function that cannot be vmapped raises on the
        first call.
        """
        rows = {name: 0 if own is None or name in own else None for name in self.params}

        def single(t: Tensor, z: Tensor, params: dict[str, Tensor]) -> Tensor:
            return self.with_params(params)(t, z)

        many = torch.func.vmap(single, in_dims=(0, 0, rows))
        if not rows:  # vmap wants a mapped leaf in every argument
            many_without = torch.func.vmap(self.with_params({}))
            return lambda t, z, params: many_without(t, z)
        return lambda t, z, params: many(t, z, dict(params))

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


class _Substitute(TorchFunctionMode):
    """Inside it, every torch call sees other tensors in the place of some given ones.

    It gives a plain function over closed-over tensors what functional_call gives a module.
    """

    def __init__(self, originals: Mapping[str, Tensor], replacements: Mapping[str, Tensor]) -> None:
        super().__init__()
        self._table = {id(originals[name]): value for name, value in replacements.items()}

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        return func(*self._swap(args), **self._swap(kwargs or {}))

    def _swap(self, value: Any) -> Any:
        if isinstance(value, Tensor):
            return self._table.get(id(value), value)
        if isinstance(value, tuple | list):
            return type(cast("list[Any]", value))(self._swap(item) for item in value)
        if isinstance(value, dict):
            return {key: self._swap(item) for key, item in cast("dict[Any, Any]", value).items()}
        return value


def validate(problem: Problem) -> None:
    """Evaluate f and the loss once and say in one sentence what cannot be used.

    Raises:
        ProblemError: f raises, returns the wrong type, shape or dtype, NaN, or changes its input;
            or the loss is no scalar.
    """
    z0 = problem.flat_z0()
    t0 = torch.tensor(problem.t0, dtype=problem.dtype, device=problem.device)
    state = problem.layout.unflatten(z0)
    with torch.no_grad():
        try:
            value = problem.func(t0, state)
        except Exception as error:
            raise ProblemError(
                f"f of '{problem.name}' raised {type(error).__name__} at t0: {error}"
            ) from error
        _check_value(problem, value)
        if not torch.equal(z0, problem.flat_z0()):
            raise ProblemError(
                "f changed the state it was given in place; use z.clone() or operations that do not"
            )
        problem.loss_of(z0.expand(len(problem.ts) - 1, -1))


def _check_value(problem: Problem, value: Any) -> None:
    layout = problem.layout
    if layout.is_tuple and not isinstance(value, tuple | list):
        raise ProblemError(f"f returned a {type(value).__name__} for a state that is a tuple")
    parts: tuple[Any, ...] = tuple(value) if layout.is_tuple else (value,)
    if len(parts) != len(layout.shapes):
        raise ProblemError(f"f returned {len(parts)} tensors for a state of {len(layout.shapes)}")
    for part, shape in zip(parts, layout.shapes, strict=True):
        if not isinstance(part, Tensor):
            raise ProblemError(f"f returned a {type(part).__name__}, not a tensor")
        if part.shape != shape:
            raise ProblemError(
                f"f returned shape {tuple(part.shape)} for a state of shape {tuple(shape)}"
            )
        if part.dtype != problem.dtype:
            raise ProblemError(
                f"f returned {part.dtype} for a {problem.dtype} state; "
                f"check as it trains (--dtype {str(part.dtype).split('.')[1]}) or remove the cast"
            )
        if not bool(torch.isfinite(part).all()):
            raise ProblemError("f is NaN or infinite at (t0, z0)")
