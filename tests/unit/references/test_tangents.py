"""Forward-mode derivatives of the flow as a second witness for many parameters."""

import numpy as np
import pytest
import torch

from node_diag.errors import NoReferenceError
from node_diag.gradients.base import loss_vjp
from node_diag.loader import load
from node_diag.references.adjoint_sensitivity import StoredTrajectory
from node_diag.references.base import slices
from node_diag.references.forward_sensitivity import solve_sensitivity
from node_diag.references.linearize import Linearized
from node_diag.references.sensitivity import sensitivity_reference
from node_diag.references.tangents import held_against_tangents


@pytest.fixture(scope="module")
def known():
    """The spiral's truth (1,000 parameters) by the adjoint equation, and its cotangents."""
    problem = load("spiral", {"hidden": 29, "batch": 2, "n_obs": 2})
    problem = problem.to(torch.float64, torch.device("cpu"))
    found = sensitivity_reference(problem)
    system = Linearized(problem)
    zs = solve_states(system, problem)
    cotangents, _ = loss_vjp(problem, torch.from_numpy(zs))
    return problem, system, found, cotangents.numpy()


def solve_states(system, problem):
    return np.stack(StoredTrajectory(system, problem.flat_z0().numpy(), problem.ts, 1e-13).states)


def test_they_agree_with_the_adjoint_equation(known):
    problem, system, found, cotangents = known
    n = slices(problem)["ts"].start
    bar, details = held_against_tangents(
        problem, system, found.value[:n], found.bar[:n], cotangents
    )
    # The tangents are solved to 1e-11 and little is amplified.
    assert details["tangents"]["distance"] < 1e-10
    assert np.array_equal(bar, found.bar[:n])


@pytest.mark.parametrize("tensor", ["params.layers.0.bias", "params.layers.1.weight", "z0"])
def test_an_error_of_ten_percent_in_one_tensor_widens_the_bar_over_it(known, tensor):
    problem, system, found, cotangents = known
    parts = slices(problem)
    n, part = parts["ts"].start, parts[tensor]
    wrong = found.value[:n].copy()
    wrong[part] *= 1.1
    bar, _ = held_against_tangents(problem, system, wrong, found.bar[:n], cotangents)
    assert np.linalg.norm((wrong - found.value[:n])[part]) <= np.linalg.norm(bar[part])


def test_what_forward_mode_cannot_do_is_said(known, monkeypatch):
    problem, system, found, cotangents = known
    n = slices(problem)["ts"].start

    def refuse(*_):
        raise NoReferenceError("DOP853 stopped at t = 1")

    monkeypatch.setattr("node_diag.references.tangents.march", refuse)
    bar, details = held_against_tangents(
        problem, system, found.value[:n], found.bar[:n], cotangents
    )
    assert details["tangents"] == "none: DOP853 stopped at t = 1"
    assert np.array_equal(bar, found.bar[:n])


def test_they_are_the_columns_of_the_forward_sensitivities():
    """A problem small enough for both: along every unit vector."""
    problem = load("vanderpol", {"T": 3.0})
    system = Linearized(problem)
    found = solve_sensitivity(system, problem.flat_z0().numpy(), problem.ts, 1e-13, stiff=False)
    cotangents, _ = loss_vjp(problem, torch.from_numpy(found.z))
    gradient = np.einsum("kd,kdq->q", cotangents.numpy(), found.s)
    _, details = held_against_tangents(
        problem, system, gradient, np.zeros(gradient.size), cotangents.numpy()
    )
    assert details["tangents"]["directions"] == 3
    # Tolerance 1e-11 of the tangents, amplified at most a hundredfold over half a period.
    assert details["tangents"]["distance"] < 1e-9
