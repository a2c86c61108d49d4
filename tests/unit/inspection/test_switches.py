"""Kinks and jumps along the trajectory: counted, located, told apart."""

import pytest
import torch

from node_diag import Problem
from node_diag.field import Field
from node_diag.inspection import switches
from node_diag.registry import SOLVERS
from node_diag.solvers.integrate import Settings, integrate

DOPRI5 = SOLVERS.load("dopri5")


def inspect(func, z0=(0.0,), t1=2.0):
    start = torch.tensor(z0, dtype=torch.float64)
    problem = Problem(func, start, (0.0, t1), lambda zs: zs.sum())
    solution = integrate(Field(problem), start, problem.ts, Settings(DOPRI5, 1e-6, 1e-6))
    return switches.inspect(problem, DOPRI5, solution)


def test_smooth_dynamics_have_none():
    assert inspect(lambda t, z: torch.tanh(z) + torch.cos(t)) == []


def test_a_kink_is_found_where_it_is():
    (found,) = inspect(lambda t, z: 1 + torch.relu(z - 1))
    assert found.operation == "relu"
    assert found.crossings == 1
    # z = t until z = 1, but the step across the kink bends z by some ten tolerances of 1e-6.
    assert found.times == [pytest.approx(1.0, abs=1e-4)]
    assert found.jump == 0


def test_every_entry_that_crosses_counts():
    (found,) = inspect(lambda t, z: 1 + 0 * torch.abs(z), z0=(-0.5, -1.0, 5.0))
    assert found.crossings == 2
    assert found.times == [pytest.approx(0.5, abs=1e-6), pytest.approx(1.0, abs=1e-6)]


@pytest.mark.parametrize(
    ("func", "in_state"),
    [
        (lambda t, z: torch.where(z < 1, torch.ones_like(z), 2 * torch.ones_like(z)), True),
        (lambda t, z: torch.ones_like(z) * (1 + (t > 1)), False),
        (lambda t, z: 1 + torch.floor(z), True),
        (lambda t, z: (2 if float(z[0]) > 1 else 1) * torch.ones_like(z), True),
    ],
    ids=["where z", "t >", "floor z", "if z"],
)
def test_jumps_are_told_from_kinks_and_by_what_decides(func, in_state):
    found = [one for one in inspect(func) if one.jump]
    assert found
    # From 1 to 2, relative to the sum of both.
    assert found[0].jump == pytest.approx(1 / 3, abs=1e-6)
    assert found[0].times[0] == pytest.approx(1.0, abs=1e-3)
    assert any(one.in_state for one in found) == in_state


def test_a_kink_in_the_time_alone():
    (found,) = inspect(lambda t, z: torch.abs(t - 1) - z)
    assert found.jump == 0
    assert found.times == [pytest.approx(1.0, abs=1e-6)]
