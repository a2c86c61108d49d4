"""Continuous reference from a problem's closed form, differentiated by autograd in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from node_diag.errors import ProblemError, reraise_interrupt, said
from node_diag.gradients.base import loss_vjp
from node_diag.gradients.vjp import derivatives
from node_diag.norms import norm
from node_diag.problem import Problem
from node_diag.references.base import Reference, Vector, assemble, flat_inputs, slices

EPS = float(np.finfo(np.float64).eps)


def exact_reference(problem: Problem) -> Reference:
    """dL/dz0, dL/dθ and dL/dts through z(ts[1:]) = exact(ts, z0, params).

    Uncertainty: the closed form is evaluated in a few operations, each right to a few ulp, which
    is the same as evaluating it exactly at inputs that are off by a few ulp. So the bar is four
    times the largest change seen when every input moves by one ulp in eight random sign patterns,
    plus 16 ulp of the value for the last operations.
    """
    base = flat_inputs(problem)
    value = _gradient(problem, base)
    generator = np.random.default_rng(0)
    signs = generator.choice([-1.0, 1.0], size=(8, base.size))
    moved = [_gradient(problem, base * (1 + EPS * row)) for row in signs]
    bar = 4 * np.max(np.abs(np.asarray(moved) - value), axis=0) + 16 * EPS * np.abs(value)
    return Reference("exact", value, bar, {"method": "closed form, differentiated by autograd"})


DISAGREE = 1e-6
"""Relative distance from the sensitivity equations that is no cancellation any more."""


def held_against(closed_form: Reference, other: Reference, *, keep: bool) -> Reference:
    """The closed form, its bar widened by its distance from the sensitivity equations.

    A closed form may lose digits in cancellation that moving its inputs does not show, and it may
    simply be another problem's. Where the sensitivity equations know better, they are taken.

    Args:
        closed_form: from :func:`exact_reference`.
        other: from the sensitivity equations.
        keep: take the closed form even so.
    """
    gap = np.abs(closed_form.value - other.value)
    size = norm(other.value)
    distance = norm(gap) / size if size else norm(gap)
    details: dict[str, Any] = {"distance_from_sensitivities": distance}
    wide = np.maximum(
        closed_form.bar, np.where(gap > closed_form.bar + other.bar, gap + other.bar, 0.0)
    )
    if keep or norm(wide) <= max(norm(other.bar), norm(closed_form.bar)):
        return Reference("exact", closed_form.value, wide, {**closed_form.details, **details})
    if distance > DISAGREE:
        details["closed_form_disagrees"] = True
        return Reference("sensitivity", other.value, other.bar, {**other.details, **details})
    either = np.maximum(other.bar, gap)
    return Reference("sensitivity", other.value, either, {**other.details, **details})


def _gradient(problem: Problem, inputs: Vector) -> Vector:
    parts = {
        name: torch.tensor(inputs[part], dtype=torch.float64, requires_grad=True)
        for name, part in slices(problem).items()
    }
    z0, ts = parts["z0"], parts["ts"]
    leaves = {name: parts[f"params.{name}"] for name in problem.params}
    shaped = {name: leaves[name].reshape(p.shape) for name, p in problem.params.items()}
    zs = _closed_form(problem, ts, z0, shaped)
    cotangents, direct = loss_vjp(problem, zs)
    inputs_ = [z0, *leaves.values(), ts]
    total = (zs * cotangents.double()).sum()
    found = derivatives(total, inputs_)
    filled = [
        np.zeros(x.numel()) if g is None else g.numpy() for x, g in zip(inputs_, found, strict=True)
    ]
    params = dict(zip(leaves, filled[1:-1], strict=True))
    for name, extra in direct.items():
        params[name] = params[name] + extra.double().cpu().numpy().ravel()
    return assemble(filled[0], params, filled[-1])


def _closed_form(problem: Problem, ts: Tensor, z0: Tensor, params: dict[str, Tensor]) -> Tensor:
    if problem.exact is None:
        raise ProblemError(f"problem '{problem.name}' has no closed form (exact=...)")
    try:
        states = problem.exact(ts, problem.layout.unflatten(z0), params)
        zs = problem.layout.flatten(states, lead=1)
    except BaseException as error:
        reraise_interrupt(error)
        raise ProblemError(f"exact raised {said(error)}") from error
    expected = (len(problem.ts) - 1, problem.layout.numel)
    if tuple(zs.shape) != expected:
        raise ProblemError(f"exact returned states of shape {tuple(zs.shape)}, not {expected}")
    return zs
