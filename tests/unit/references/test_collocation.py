"""Radau IIA of order 13 for stiff problems: coefficients, order, the layer that only S has."""

import numpy as np
import pytest
import torch

from node_diag import Problem
from node_diag.errors import NoReferenceError
from node_diag.references.collocation import STAGES, radau, solve_collocation
from node_diag.references.linearize import Linearized
from node_diag.references.sensitivity import sensitivity_reference


def test_three_stages_are_the_published_ones():
    """Hairer & Wanner, Solving ODEs II, table IV.5.6."""
    c, a = radau(3)
    r = np.sqrt(6)
    assert c == pytest.approx([(4 - r) / 10, (4 + r) / 10, 1.0], rel=1e-14)
    assert a[2] == pytest.approx([(16 - r) / 36, (16 + r) / 36, 1 / 9], rel=1e-14)
    assert a[0, 0] == pytest.approx((88 - 7 * r) / 360, rel=1e-14)


def test_weights_integrate_what_they_should():
    """C(s) at every node, and order 2s − 1 at the last: ∫ x^q dx = 1 / (q + 1)."""
    c, a = radau(STAGES)
    for q in range(STAGES):
        assert a @ c**q == pytest.approx(c ** (q + 1) / (q + 1), rel=1e-12)
    for q in range(2 * STAGES - 1):
        assert a[-1] @ c**q == pytest.approx(1 / (q + 1), rel=1e-12)


def decaying(rate):
    """z' = −rate (z − cos t) − sin t from z(0) = 1: z = cos t, ∂z/∂z0 = e^(−rate t)."""
    k = torch.tensor(rate, dtype=torch.float64)
    return Problem(
        lambda t, z: -k * (z - torch.cos(t)) - torch.sin(t),
        torch.ones(1, dtype=torch.float64),
        (0.0, 1.0),
        lambda zs: zs.sum(),
        params={"k": k},
    )


@pytest.mark.parametrize("rate", [1.0, 1e2, 1e5])
def test_a_layer_of_s_alone_is_resolved(rate):
    system = Linearized(decaying(rate))
    one = np.ones(1)
    for end in (3 / rate, 1.0):
        z, s, _ = solve_collocation(
            system, 0.0, end, one, np.eye(1, 2), 1e-13, first=True, jitter=0.0
        )
        # Newton leaves a few ulp of the terms rate · z, which the equation divides by rate again.
        assert z[0] == pytest.approx(np.cos(end), rel=1e-13)
        # Tolerance 1e-13, of S(0) = 1, and ten times that for what the steps amplify.
        assert s[0, 0] == pytest.approx(np.exp(-rate * end), abs=1e-12)
        assert abs(s[0, 1]) <= 1e-12  # z does not depend on the rate


def test_what_newton_cannot_solve_is_said():
    problem = Problem(
        lambda t, z: z**2, torch.ones(1, dtype=torch.float64), (0.0, 2.0), lambda zs: zs.sum()
    )
    system = Linearized(problem)
    with (
        np.errstate(all="ignore"),
        pytest.raises(NoReferenceError, match="Radau stopped at t = 1"),
    ):
        solve_collocation(system, 0.0, 2.0, np.ones(1), np.eye(1), 1e-13, first=True, jitter=0)


def test_robertsons_problem_keeps_its_mass():
    """Kinetics over nine decades of rates. Σz is conserved, so Σ_i ∂z_i/∂z0 = 1, Σ_i ∂z_i/∂k = 0;
    and the truth says so of its own accuracy."""
    k = torch.tensor([0.04, 3e7, 1e4], dtype=torch.float64)

    def f(t, z):
        a, b, c = z
        first, second, third = k[0] * a, k[1] * b * b, k[2] * b * c
        return torch.stack([third - first, first - second - third, second])

    z0 = torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64)
    mass = Problem(f, z0, (0.0, 20.0), lambda zs: zs[-1].sum(), params={"k": k})
    found = sensitivity_reference(mass)
    assert found.details["solver"].startswith("Radau")
    exact = np.array([1, 1, 1, 0, 0, 0, 0, 0])
    assert np.linalg.norm(found.value - exact) <= np.linalg.norm(found.bar)
    # 125 steps, each with a round-off of a few ulp: 4 √125 · 2.2e-16 · √3 is 1.7e-14.
    assert np.linalg.norm(found.bar) < 1e-12
