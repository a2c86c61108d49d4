"""Kinks and jumps along the trajectory: counted, located, told apart."""

import pytest
import torch

from node_diag import Problem
from node_diag.field import Field
from node_diag.inspection import switches
from node_diag.registry import SOLVERS
from node_diag.solvers.integrate import integrate
from node_diag.solvers.solution import Settings

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
        (lambda t, z: torch.ones_like(z) + (z > 1).long(), True),
        (lambda t, z: torch.as_tensor((z.numpy() > 1) + 1.0), True),
    ],
    ids=["where z", "t >", "floor z", "if z", "cast", "numpy"],
)
def test_jumps_are_told_from_kinks_and_by_what_decides(func, in_state):
    found = [one for one in inspect(func) if one.jump]
    assert found
    # From 1 to 2, relative to the larger one, wherever else f is larger.
    assert found[0].jump == pytest.approx(0.5, abs=1e-6)
    assert found[0].times[0] == pytest.approx(1.0, abs=1e-3)
    assert any(one.in_state for one in found) == in_state


def test_a_branch_cut_is_a_jump():
    """The heading atan2(y, x) of a point that goes round goes from π to −π."""
    found = inspect(
        lambda t, z: torch.stack([-z[1], z[0], torch.atan2(z[1], z[0])]), (1.0, 0.0, 0.0), 6.0
    )
    (jump,) = [one for one in found if one.jump]
    assert jump.in_state
    assert jump.times == [pytest.approx(3.14159265, abs=1e-4)]  # ten tolerances of 1e-6 and more
    assert jump.jump == pytest.approx(2.0, rel=0.01)


def test_a_small_component_may_jump_beside_a_large_one():
    def func(t, z):
        return torch.stack([1e7 * torch.cos(t), torch.where(z[1] < 1, 1.0, 2.0)])

    assert any(one.jump and one.in_state for one in inspect(func, (0.0, 0.0)))


def test_a_ramp_is_no_jump():
    """f is zero before it; relative to that anything is large."""
    found = inspect(lambda t, z: torch.relu(t - 0.5) * torch.ones_like(z))
    assert [one.jump for one in found] == [0.0]


def test_a_parameter_may_move_a_jump():
    tau, k = (torch.tensor(x, dtype=torch.float64) for x in (0.7, 2.0))
    z0 = torch.zeros(1, dtype=torch.float64)
    problem = Problem(
        lambda t, z: k * torch.where(t > tau, 1.0, 0.0) + 0 * z, z0, (0.0, 1.0),
        lambda zs: zs.sum(), params={"k": k, "tau": tau},
    )  # fmt: skip
    solution = integrate(Field(problem), z0, problem.ts, Settings(DOPRI5, 1e-6, 1e-6))
    (found,) = switches.inspect(problem, DOPRI5, solution)
    assert (found.in_state, found.by_parameter) == (False, "tau")


def test_a_kink_in_the_time_alone():
    (found,) = inspect(lambda t, z: torch.abs(t - 1) - z)
    assert found.jump == 0
    assert found.times == [pytest.approx(1.0, abs=1e-6)]


def test_a_pulse_elsewhere_makes_no_jump_small():
    # f is 1e7 for a moment at t = 0, and jumps by 0.75 where z crosses 1.5.
    def f(t, z):
        pulse = 1e7 * torch.exp(-1e7 * t)
        return 1 - 0.5 * torch.where(z > 1.5, 1.0, 0.0).to(z) * z + pulse

    found = [one for one in inspect(f, t1=1.0) if one.jump]
    assert found
    assert all(one.in_state for one in found)


def test_a_component_that_is_zero_elsewhere_may_jump():
    # At the points that are looked at, the second component never leaves zero.
    def f(t, z):
        inside = (z[0] > 0.9) & (z[0] < 0.902)
        return torch.stack([1 + t, torch.where(inside, 500.0, 0.0).to(z)])

    start = torch.tensor((0.0, 0.0), dtype=torch.float64)
    problem = Problem(f, start, (0.0, 1.5), lambda zs: zs.sum())
    from node_diag.solvers.tableaus.rk4 import TABLEAU as RK4

    solution = integrate(Field(problem), start, problem.ts, Settings(RK4, step_size=0.05))
    found = [one for one in switches.inspect(problem, RK4, solution) if one.jump]
    assert found
    # All of it, from 0 to 500; the other component's value beside it does not count.
    assert max(one.jump for one in found) == pytest.approx(1.0, abs=1e-6)


def test_the_slope_of_a_remainder_is_no_switch():
    found = inspect(lambda t, z: 1 + torch.frac(3 * t).expand(1), t1=1.9)
    assert sum(one.crossings for one in found) == 5  # 3t from 0 to 5.7


@pytest.mark.parametrize(
    ("function", "bends"),
    [
        (torch.nn.functional.elu, False),
        (lambda x: torch.nn.functional.elu(x, 0.5), True),
        (torch.nn.functional.celu, False),
        (lambda x: torch.nn.functional.celu(x, 0.3), False),
        (torch.nn.functional.selu, True),
    ],
)
def test_only_an_elu_with_two_slopes_has_a_kink(function, bends):
    """Its slope is 1 above zero and alpha below; that of celu is 1 on both sides."""
    found = inspect(lambda t, z: 1 + 0.1 * function(z), z0=(-1.0,))
    assert [one.crossings for one in found] == ([1] if bends else [])


def test_a_jump_by_the_time_is_another_than_one_by_the_state():
    found = inspect(lambda t, z: 1.0 + (z > 1.0).double() + 2 * (t > 1.3).double())
    assert [(one.operation, one.in_state) for one in found] == [("gt", True), ("gt", False)]
    assert found[0].times == [pytest.approx(1.0, abs=1e-3)]
    assert found[1].times == [pytest.approx(1.3, abs=1e-9)]


def test_an_index_has_no_kink():
    steps = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)

    def f(t, z):
        return steps[(2 * t).floor().long().clamp(0, 2)] + 0 * z

    found = inspect(f, t1=1.75)
    assert {one.operation for one in found} == {"floor", "to integers"}
    assert all(one.jump for one in found)
