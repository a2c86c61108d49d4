"""Closed forms: believed if they solve the equations."""

import math

import numpy as np
import pytest
import torch

from node_diag import Problem
from node_diag.references.exact import exact_reference, held_against
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
    found = held_against(exact_reference(problem), sensitivity_reference(problem), keep=False)
    error = np.linalg.norm(found.value[:2] - truth(k))
    assert error <= np.linalg.norm(found.bar[:2])
    assert error < 1e-9
    assert bool(found.details.get("closed_form_disagrees")) == (k < 1e-5)


def test_a_closed_form_of_another_problem_is_put_aside():
    problem = growing(0.5, other_problem)
    found = held_against(exact_reference(problem), sensitivity_reference(problem), keep=False)
    assert found.kind == "sensitivity"
    assert found.details["closed_form_disagrees"]
    assert np.linalg.norm(found.value[:2] - truth(0.5)) <= np.linalg.norm(found.bar[:2])


def test_a_closed_form_that_was_asked_for_is_kept_with_its_distance_as_bar():
    problem = growing(0.5, other_problem)
    kept = held_against(exact_reference(problem), sensitivity_reference(problem), keep=True)
    assert kept.kind == "exact"
    assert np.linalg.norm(kept.value[:2] - truth(0.5)) <= np.linalg.norm(kept.bar[:2])
