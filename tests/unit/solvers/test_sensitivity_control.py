"""Steps that resolve the sensitivities: where the state alone shows nothing."""

import math

import pytest
import torch

from node_diag import Problem, gradient, solve
from node_diag.errors import UsageError
from node_diag.loader import load


def equilibrium(k):
    rate = torch.tensor([k], dtype=torch.float64)
    z0 = torch.zeros(1, dtype=torch.float64)
    return Problem(
        lambda t, z: rate * z, z0, (0.0, 10.0), lambda zs: zs[-1].sum(), params={"k": rate}
    )


@pytest.mark.parametrize("method", ["aca", "direct", "naive"])
@pytest.mark.parametrize("rtol", [1e-3, 1e-6])
def test_an_equilibrium_is_cured(method, rtol):
    """dL/dz0 = e⁻¹⁰: the error of the tangent is that of dL/dz0.

    Local errors of rtol in N steps add up to N rtol at the most.
    """
    found = gradient(equilibrium(-1.0), method, rtol=rtol, control="sensitivities")
    error = abs(float(found.gradient.z0[0]) - math.exp(-10)) / math.exp(-10)
    assert error < found.solution.n_accepted * rtol
    blind = gradient(equilibrium(-1.0), method, rtol=rtol)
    assert not abs(float(blind.gradient.z0[0]) - math.exp(-10)) < math.exp(-10)  # NaN too


def test_a_forced_parameter_is_seen_although_the_state_does_not_move():
    """z' = −z + θ sin 50t at z = 0, θ = 0: only dz/dθ moves, = 50 (e⁻ᵗ − cos 50t + …)/2501."""
    theta = torch.zeros(1, dtype=torch.float64)
    problem = Problem(
        lambda t, z: -z + theta * torch.sin(50 * t),
        torch.zeros(1, dtype=torch.float64), (0.0, 2.0), lambda zs: zs[-1].sum(),
        params={"theta": theta},
    )  # fmt: skip
    t, w = 2.0, 50.0
    exact = (w * math.exp(-t) - w * math.cos(w * t) + math.sin(w * t)) / (1 + w * w)
    found = gradient(problem, "aca", rtol=1e-6, control="sensitivities")
    error = abs(float(found.gradient.params["theta"]) - exact) / abs(exact)
    assert error < found.solution.n_accepted * 1e-6


def test_evaluations_are_counted_and_steps_are_constants():
    problem = load("vanderpol", {"mu": 1.0, "T": 5.0})
    plain, seeing = solve(problem), solve(problem, control="sensitivities")
    assert seeing.n_accepted >= plain.n_accepted
    # Five evaluations for each of the seven stages and more of every trial, then z once more.
    trials = seeing.n_accepted + seeing.n_rejected
    assert seeing.nfe >= 5 * 6 * trials + 6 * seeing.n_accepted
    naive, direct = (
        gradient(problem, m, control="sensitivities").gradient.z0 for m in ("naive", "direct")
    )
    # The same map; round-off of a few hundred operations.
    assert torch.allclose(naive, direct, rtol=1e-12, atol=0)


def test_observations_do_not_change_the_steps():
    few = load("vanderpol", {"mu": 1.0, "T": 5.0})
    many = Problem(few.func, few.z0, (0.0, 1.3, 2.6, 5.0), few.loss)
    one, other = (solve(p, control="sensitivities") for p in (few, many))
    assert one.grid.h == other.grid.h


def test_a_longest_step_is_kept():
    found = solve(equilibrium(-1.0), max_step=0.5)
    assert max(found.grid.h) <= 0.5
    assert found.n_accepted >= 20


@pytest.mark.parametrize("option", [{"control": "sensitivities"}, {"max_step": 0.1}])
def test_fixed_steps_are_not_controlled(option):
    with pytest.raises(UsageError, match="adaptive"):
        solve(equilibrium(-1.0), solver="rk4", **option)
