"""Closed forms: believed if they solve the equations."""

import math

import numpy as np
import pytest
import torch

from node_diag import Problem
from node_diag.errors import NoReferenceError
from node_diag.references.by_values import slope
from node_diag.references.exact import confirmed, exact_reference, held_against
from node_diag.references.sensitivity import sensitivity_reference


def growing(k, exact):
    """z' = kz + 1 from z0 = 1 over one unit of time, L = z(1)²."""
    rate = torch.tensor(k, dtype=torch.float64)
    return Problem(
        lambda t, z: rate * z + 1,
        torch.tensor([1.0], dtype=torch.float64),
        (0.0, 1.0),
        lambda zs: (zs**2).sum(),
        params={"k": rate},
        exact=exact,
    )


def cancelling(ts, z0, params):
    growth = torch.exp(params["k"] * (ts[1:] - ts[0])).reshape(-1, 1)
    return z0 * growth + (growth - 1) / params["k"]


def other_problem(ts, z0, params):
    return z0 * torch.exp(params["k"] * (ts[1:] - ts[0])).reshape(-1, 1)


def truth(k):
    """By the series of (e^k − 1)/k and its derivative, which do not cancel."""
    slope = sum(k**n / math.factorial(n + 1) for n in range(30))
    slope_k = sum(n * k ** (n - 1) / math.factorial(n + 1) for n in range(1, 30))
    z = math.exp(k) + slope
    return np.array([2 * z * math.exp(k), 2 * z * (math.exp(k) + slope_k)])


@pytest.mark.parametrize("k", [0.5, 1e-3, 1e-6, 1e-9])
def test_cancellation_in_a_closed_form_is_not_believed(k):
    problem = growing(k, cancelling)
    found = held_against(
        problem, exact_reference(problem), sensitivity_reference(problem), keep=False
    )
    error = np.linalg.norm(found.value[:2] - truth(k))
    assert error <= np.linalg.norm(found.bar[:2])
    assert error < 1e-9
    assert bool(found.details.get("closed_form_disagrees")) == (k < 1e-5)


def test_a_closed_form_of_another_problem_is_put_aside():
    problem = growing(0.5, other_problem)
    found = held_against(
        problem, exact_reference(problem), sensitivity_reference(problem), keep=False
    )
    assert found.kind == "sensitivity"
    assert found.details["closed_form_disagrees"]
    assert np.linalg.norm(found.value[:2] - truth(0.5)) <= np.linalg.norm(found.bar[:2])


def test_a_closed_form_that_was_asked_for_is_kept_with_its_distance_as_bar():
    problem = growing(0.5, other_problem)
    kept = held_against(
        problem, exact_reference(problem), sensitivity_reference(problem), keep=True
    )
    assert kept.kind == "exact"
    assert np.linalg.norm(kept.value[:2] - truth(0.5)) <= np.linalg.norm(kept.bar[:2])


class Halved(torch.autograd.Function):
    """−z, with a backward formula that is right above 0.6 only."""

    @staticmethod
    def forward(ctx, z):
        ctx.save_for_backward(z)
        return -z

    @staticmethod
    def backward(ctx, g):
        (z,) = ctx.saved_tensors
        return torch.where(z < 0.6, -0.5 * g, -g)


def decaying(func, exact):
    """z' = −z from 1 over one unit of time, L = z(1): dL/dz0 = e⁻¹."""
    z0 = torch.tensor([1.0], dtype=torch.float64)
    return Problem(func, z0, (0.0, 1.0), lambda zs: zs.sum(), exact=exact)


def test_a_right_closed_form_outlives_wrong_sensitivities():
    problem = decaying(
        lambda t, z: Halved.apply(z), lambda ts, z0, p: z0 * torch.exp(ts[0] - ts[1:])[:, None]
    )
    other = sensitivity_reference(problem)
    assert abs(other.value[0] - math.exp(-1)) > 0.1
    found = held_against(problem, exact_reference(problem), other, keep=False)
    assert found.kind == "exact"
    assert abs(found.value[0] - math.exp(-1)) <= found.bar[0]


def test_the_sensitivities_jump_where_the_state_crosses_a_switch():
    """z' = 1 below 1 and 2 above: z(2) = 1 + 2 (2 − (1 − z0)), so dz/dz0 = 2."""
    problem = Problem(
        lambda t, z: torch.where(z < 1, 1.0, 2.0).double() + 0 * z,
        torch.tensor([0.2], dtype=torch.float64),
        (0.0, 2.0),
        lambda zs: zs.sum(),
        exact=lambda ts, z0, p: (1 + 2 * (ts[1:] - (1 - z0)))[:, None],
    )
    found = held_against(
        problem, exact_reference(problem), sensitivity_reference(problem), keep=False
    )
    assert (found.kind, found.value[0]) == ("exact", 2.0)


def test_where_both_are_wrong_nobody_is_believed():
    problem = decaying(
        lambda t, z: Halved.apply(z),
        lambda ts, z0, p: z0 * torch.exp(2 * (ts[0] - ts[1:]))[:, None],
    )
    with pytest.raises(NoReferenceError, match="side with neither"):
        held_against(problem, exact_reference(problem), sensitivity_reference(problem), keep=False)


def test_a_wrong_closed_form_alone_is_not_believed():
    wrong = decaying(
        lambda t, z: -z, lambda ts, z0, p: z0 * torch.exp(2 * (ts[0] - ts[1:]))[:, None]
    )
    with pytest.raises(NoReferenceError, match="correct exact="):
        confirmed(wrong, exact_reference(wrong))
    right = decaying(lambda t, z: -z, lambda ts, z0, p: z0 * torch.exp(ts[0] - ts[1:])[:, None])
    assert confirmed(right, exact_reference(right)).kind == "exact"


@pytest.mark.parametrize("direction", [(1.0, 0.0), (0.0, 1.0), (0.6, -0.8)])
def test_the_slope_by_values_is_within_its_bar(direction):
    """Solves to 1e-13 at steps of 7e-5 and more, of a loss of size 7: quotients to 1e-8."""
    problem = growing(0.5, None)
    seen, bar = slope(problem, np.array(direction))
    error = abs(seen - truth(0.5) @ np.array(direction))
    assert error <= bar + 1e-8
    assert bar < 1e-6
