"""A solve that cannot go on ends in a named failure, never in a hang."""

import re

import pytest
import torch

from node_diag import Problem, check
from node_diag.errors import (
    MaxStepsError,
    NonFiniteError,
    ProblemError,
    SolveError,
    StepUnderflowError,
)
from node_diag.registry import SOLVERS
from node_diag.solvers.controller import Controller, Tolerance, starting_step
from node_diag.solvers.integrate import integrate
from node_diag.solvers.solution import Settings
from node_diag.solvers.tableau import Tableau

ONE = torch.tensor([1.0], dtype=torch.float64)


def solve(f, t1=10.0, graph="none", name="dopri5", z0=ONE, **options):
    ts = torch.tensor([0.0, t1], dtype=torch.float64)
    return integrate(
        f, z0, ts if graph != "none" else [0.0, t1], Settings(SOLVERS.load(name), **options), graph
    )


@pytest.mark.parametrize("graph", ["none", "frozen", "traced"])
@pytest.mark.parametrize("name", ["dopri5", "bosh3", "heun-euler", "tsit5"])
def test_blow_up_in_finite_time(graph, name):
    """z' = z² from 1 is infinite at t = 1: the step goes to zero there."""
    with pytest.raises(SolveError) as caught:
        solve(lambda t, z: z * z, graph=graph, name=name, max_steps=3000)
    # The solve itself is off by more than its tolerance of 1e-5 near the pole, heun-euler most.
    assert caught.value.t == pytest.approx(1.0, abs=1e-2)


def test_a_state_that_runs_away_is_said():
    """z = 1/(1 − t) has grown to 1e14 where steps are as short as t's spacing."""
    with pytest.raises(StepUnderflowError) as caught:
        solve(lambda t, z: z * z)
    assert re.search(r"the state is .*e\+1\d there and was 1\.0e\+00", caught.value.hint)
    problem = Problem(lambda t, z: z * z, ONE, (0.0, 10.0), lambda zs: zs.sum())
    with pytest.raises(ProblemError, match="the ODE blows up, or a loose solve left its solution"):
        check(problem)


@pytest.mark.parametrize("graph", ["none", "frozen", "traced"])
def test_nan_on_the_way(graph):
    with pytest.raises(SolveError) as caught:
        solve(lambda t, z: -1 / (2 * torch.sqrt(z - 0.5)), graph=graph)
    # z = 1/2 + (c - 3t/4)^{2/3} reaches 1/2 at t = 4/3 · (1/2)^{3/2} = 0.4714.
    assert caught.value.t == pytest.approx(0.4714, abs=1e-3)


@pytest.mark.parametrize("graph", ["none", "frozen", "traced"])
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_bad_in_the_step_that_would_be_the_last(graph, bad):
    """The first trial that meets it has been cut to end at t1, and has to be made smaller."""
    with pytest.raises(NonFiniteError, match=r"stage \d of 7 of step") as caught:
        solve(lambda t, z: torch.where(t > 0.5, bad, 1.0) * torch.tanh(z), t1=1.0, graph=graph)
    # The largest t that is still good; steps go down to a few ulp there.
    assert caught.value.t == pytest.approx(0.5, abs=1e-12)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_bad_from_the_start(bad):
    with pytest.raises(NonFiniteError):
        solve(lambda t, z: z * bad)


def test_fixed_steps_notice_overflow():
    with pytest.raises(NonFiniteError):
        solve(lambda t, z: z * z * 1e3, name="euler", step_size=0.1)


def test_max_steps():
    with pytest.raises(MaxStepsError, match="--max-steps") as caught:
        solve(lambda t, z: torch.cos(100 * t) * z, max_steps=50)
    assert 0 < caught.value.t < 10


def test_discontinuity_is_crossed():
    """A jump in f costs rejected steps but is no failure."""
    found = solve(lambda t, z: torch.where(t < 0.5, 1.0, -1.0) * torch.ones_like(z), t1=1.0)
    starts = found.grid.starts()
    across = max(i for i, start in enumerate(starts) if start < 0.5)
    # f is off by at most 2 over the one step across the jump, and exact everywhere else.
    assert abs(float(found.zs[-1]) - 1.0) <= 2 * found.grid.h[across]
    assert found.grid.h[across] < 1e-2
    assert found.n_rejected > 0


@pytest.mark.parametrize(
    "changes",
    [
        {"b": (0.5, 0.6)},
        {"c": (0.0, 0.9)},
        {"a": ((), (1.0, 0.0))},
        {"dense": ((1.0, -0.5), (0.0, 0.6))},
        {"e": (-0.5, 0.4), "error_order": 2},
        {"e": (-0.5, 0.5)},
    ],
)
def test_inconsistent_tableaus_are_refused(changes):
    heun = {
        "order": 2,
        "c": (0.0, 1.0),
        "a": ((), (1.0,)),
        "b": (0.5, 0.5),
        "dense": ((1.0, -0.5), (0.0, 0.5)),
        "dense_order": 2,
    }
    Tableau(**heun)
    with pytest.raises(ValueError, match="inconsistent tableau"):
        Tableau(**{**heun, **changes})


def test_controller_saturates_without_a_derivative():
    controller = Controller(exponent=5)
    ratio = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
    factor = controller.factor(ratio)
    assert float(factor.detach()) == pytest.approx(0.9 * 0.5 ** (-0.2))
    assert factor.requires_grad
    assert controller.factor(torch.tensor(0.0, requires_grad=True)) == 10.0
    assert controller.factor(torch.tensor(1e-30, dtype=torch.float64, requires_grad=True)) == 10.0
    assert controller.factor(torch.tensor(1e9, requires_grad=True)) == 0.2
    assert controller.factor(float("nan")) == 0.2
    assert controller.factor(0.9, ceiling=1.0) == pytest.approx(0.9 * 0.9 ** (-0.2))
    assert controller.factor(0.1, ceiling=1.0) == 1.0


def test_starting_step_by_hand():
    """z' = -z from 1: d0 = d1 = 1/(2 tol), h0 = 0.01, f1 = -(1 - h0), d2 = d0."""
    tolerance = Tolerance(1e-5, 1e-5)
    h = starting_step(lambda t, z: -z, 0.0, ONE, -ONE, 10.0, tolerance=tolerance, exponent=5)
    d = 1 / 2e-5
    assert float(h) == pytest.approx(min(1.0, (0.01 / d) ** 0.2), rel=1e-12)
