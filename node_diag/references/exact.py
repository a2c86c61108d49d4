"""Continuous reference from a problem's closed form, differentiated by autograd in float64."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from node_diag.errors import NoReferenceError, ProblemError, reraise_interrupt, said
from node_diag.gradients.base import loss_vjp
from node_diag.gradients.vjp import derivatives
from node_diag.norms import norm
from node_diag.problem import Problem
from node_diag.references.base import Kind, Reference, Vector, assemble, flat_inputs, slices
from node_diag.references.by_values import slope

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


SIDES = 0.1
"""Part of the distance within which a witness is at one of two ends, and must itself be known."""


def held_against(
    problem: Problem, closed_form: Reference, other: Reference, *, keep: bool
) -> Reference:
    """The closed form, its bar widened by its distance from the sensitivity equations.

    A closed form may lose digits in cancellation that moving its inputs does not show, and it may
    simply be another problem's; the sensitivity equations may go by a wrong derivative of f. Where
    they disagree a third witness decides, which uses values of f and the loss only.

    Args:
        problem: float64, on the CPU.
        closed_form: from :func:`exact_reference`.
        other: from the sensitivity equations.
        keep: take the closed form unless it is known better.

    Raises:
        NoReferenceError: they disagree, and the witness does not side with one of them.
    """
    gap = np.abs(closed_form.value - other.value)
    size = norm(other.value)
    distance = norm(gap) / size if size else norm(gap)
    details: dict[str, Any] = {
        "distance_from_sensitivities": distance,
        "loss": other.details.get("loss"),
    }
    wide = np.maximum(
        closed_form.bar, np.where(gap > closed_form.bar + other.bar, gap + other.bar, 0.0)
    )
    agree = norm(wide) <= max(norm(other.bar), norm(closed_form.bar))
    doubts = other.suspects
    if distance > DISAGREE and not agree:
        side, why = _side(problem, closed_form.value, other.value)
        if side == "exact":
            details["sensitivities_disagree"] = True
            details = {**closed_form.details, **details}
            value, bar = closed_form.value, closed_form.bar
            return Reference("exact", value, bar, details, suspects=doubts)
        if side is None and not keep:
            raise NoReferenceError(
                f"the closed form and the sensitivity equations differ by {distance:.1e} "
                f"(relative), and {why}",
                details,
            )
    if keep or agree:
        details = {**closed_form.details, **details}
        return Reference("exact", closed_form.value, wide, details, suspects=doubts)
    if distance > DISAGREE:
        details["closed_form_disagrees"] = True
    bar = other.bar if distance > DISAGREE else np.maximum(other.bar, gap)
    return Reference("sensitivity", other.value, bar, {**other.details, **details}, suspects=doubts)


def confirmed(problem: Problem, closed_form: Reference) -> Reference:
    """A closed form beside which there are no sensitivities, unless values of f contradict it.

    Raises:
        NoReferenceError: they do.
    """
    main = slice(0, slices(problem)["ts"].start)
    size = norm(closed_form.value[main])
    if not 0 < size < math.inf:
        return closed_form
    try:
        seen, bar = slope(problem, closed_form.value[main] / size)
    except (NoReferenceError, ProblemError):
        return closed_form
    if abs(seen - size) > DISAGREE * size + 10 * bar + norm(closed_form.bar[main]):
        raise NoReferenceError(
            f"the closed form's gradient is {size:.6g} along itself, differences of the loss of "
            f"accurate solves say {seen:.6g}; correct exact=..., or leave it out"
        )
    return closed_form


def _side(problem: Problem, closed_form: Vector, other: Vector) -> tuple[Kind | None, str]:
    """Who is right where two gradients disagree, or why nobody knows.

    They differ most along their difference: the slope there is at one end or at the other.
    """
    main = slice(0, slices(problem)["ts"].start)
    gap = (other - closed_form)[main]
    distance = norm(gap)
    if not distance > DISAGREE * norm(other[main]):
        return "sensitivity", ""  # in the times alone, where values of f are all they use
    line = gap / distance
    try:
        seen, bar = slope(problem, line)
    except (NoReferenceError, ProblemError) as error:
        return None, f"no differences of the loss tell which one is right: {error}"
    ends: dict[Kind, Vector] = {"exact": closed_form[main], "sensitivity": other[main]}
    for kind, gradient in ends.items():
        if abs(seen - float(gradient @ line)) + bar <= SIDES * distance:
            return kind, ""
    said = " or ".join(f"{float(gradient @ line):.6g}" for gradient in ends.values())
    return None, (
        f"differences of the loss side with neither: along the line of their difference it is "
        f"{said}, differences say {seen:.6g} ± {bar:.1e}"
    )


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
