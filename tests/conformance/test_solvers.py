"""Every solver in the registry: order, dense output, error estimate, grid, both steppers."""

import math

import numpy as np
import pytest
import torch

from node_diag import Problem
from node_diag.field import Field
from node_diag.registry import SOLVERS
from node_diag.solvers.integrate import integrate
from node_diag.solvers.replay import redo_step, replay
from node_diag.solvers.runge_kutta import GraphStepper, InPlaceStepper
from node_diag.solvers.solution import Grid, Settings

NAMES = SOLVERS.names()
ADAPTIVE = [name for name in NAMES if SOLVERS.load(name).adaptive]
FIXED = [name for name in NAMES if not SOLVERS.load(name).adaptive]


def field(t, z):
    """z' = -2 t z² has the solution 1 / (t² + 1/z0): nonlinear, and t matters."""
    return -2 * t * z * z


def truth(t, z0=1.0):
    return 1 / (t**2 + 1 / z0)


def problem(t0=0.0, t1=1.0, ts=None):
    ts = ts or (t0, t1)
    z0 = torch.tensor([truth(ts[0])], dtype=torch.float64)
    return Problem(field, z0, ts, lambda zs: zs.sum())


def uniform(n, t0=0.0, t1=1.0):
    return Grid(t0, t1, [(t1 - t0) / n] * n, [n - 1])


def slope(sizes, errors):
    """Least-squares order from errors at step sizes, all well above round-off."""
    assert min(errors) > 1e-13
    return np.polyfit(np.log(sizes), np.log(errors), 1)[0]


@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_order_of_convergence(name, backward):
    tableau = SOLVERS.load(name)
    t0, t1 = (1.0, 0.2) if backward else (0.2, 1.0)
    counts = (16, 24, 32, 48) if tableau.order >= 4 else (32, 48, 64, 96)
    z0 = torch.tensor([truth(t0)], dtype=torch.float64)
    ts = torch.tensor([t0, t1], dtype=torch.float64)
    errors = [
        abs(float(replay(tableau, field, uniform(n, t0, t1), z0, ts)[-1, 0]) - truth(t1))
        for n in counts
    ]
    found = slope([1 / n for n in counts], errors)
    # The next term of the error is smaller by a factor of about 4h (f'' over f'), h ≤ 0.05 here, so
    # the slope between neighbouring grids is off by log(1 + 4h)/log 1.5 ≈ 0.4 at most.
    assert tableau.order - 0.4 < found < tableau.order + 0.4


@pytest.mark.parametrize("name", NAMES)
def test_order_of_the_dense_output(name):
    tableau = SOLVERS.load(name)
    sizes = [0.05, 0.035, 0.025, 0.018]
    errors = []
    for h in sizes:
        z0 = torch.tensor([truth(0.4)], dtype=torch.float64)
        taus = [0.4 + h * theta for theta in (0.3, 0.5, 0.8)]
        _, inside = redo_step(tableau, field, 0.4, z0, h, taus)
        errors.append(max(abs(float(z) - truth(t)) for z, t in zip(inside, taus, strict=True)))
    found = slope(sizes, errors)
    # One step: the error of an extension of order q is O(h^{q+1}).
    assert found > tableau.dense_order + 1 - 0.4


@pytest.mark.parametrize("name", ADAPTIVE)
def test_order_of_the_error_estimate(name):
    tableau = SOLVERS.load(name)
    sizes = [0.2, 0.15, 0.1, 0.075]
    estimates = []
    for h in sizes:
        stepper = GraphStepper(tableau, field)
        z0 = torch.tensor([truth(0.4)], dtype=torch.float64)
        trial = stepper.trial(0.4, z0, h, stepper.derivative(0.4, z0))
        estimates.append(abs(float(trial.error)))
    # The controller takes the ratio to the power 1/q: the estimate has to be O(h^q).
    assert slope(sizes, estimates) == pytest.approx(tableau.error_order, abs=0.5)


@pytest.mark.parametrize("name", NAMES)
def test_dense_output_is_the_step_at_its_ends(name):
    tableau = SOLVERS.load(name)
    z0 = torch.tensor([0.7], dtype=torch.float64)
    z1, (start, end) = redo_step(tableau, field, 0.3, z0, 0.1, [0.3, 0.4])
    # θ = 0.1/0.1 is 1 to an ulp, and dense(1) = b to 1e-13 by the tableau's own check.
    assert float(start) == pytest.approx(float(z0), abs=1e-14)
    assert float(end) == pytest.approx(float(z1), abs=1e-13)


@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("name", ADAPTIVE)
def test_tolerance_is_met_and_costs(name, backward):
    span = (1.5, 0.0) if backward else (0.0, 1.5)
    errors, accepted = [], []
    for rtol in (1e-4, 1e-6, 1e-8):
        p = problem(*span)
        solution = integrate(Field(p), p.flat_z0(), p.ts, Settings(SOLVERS.load(name), rtol, rtol))
        errors.append(abs(float(solution.zs[-1, 0]) - truth(span[1])))
        accepted.append(solution.n_accepted)
        # Local errors of at most rtol over N steps of a flow that at most doubles them.
        assert errors[-1] < 2 * solution.n_accepted * rtol
    assert accepted[0] < accepted[1] < accepted[2]
    assert errors[2] < errors[0] / 100


@pytest.mark.parametrize("name", NAMES)
def test_observations_leave_the_grid_alone_and_t1_is_hit(name):
    settings = Settings(SOLVERS.load(name), 1e-6, 1e-6)
    plain, watched = problem(ts=(0.0, 1.3)), problem(ts=(0.0, 0.11, 0.5, 0.77, 1.2999, 1.3))
    a = integrate(Field(plain), plain.flat_z0(), plain.ts, settings)
    b = integrate(Field(watched), watched.flat_z0(), watched.ts, settings)
    assert a.grid.h == b.grid.h
    assert torch.equal(a.zs[-1], b.zs[-1])
    assert torch.equal(b.zs[-1], b.checkpoints[-1])
    assert a.grid.starts()[-1] + a.grid.h[-1] == pytest.approx(1.3, abs=1e-15)
    tableau = SOLVERS.load(name)
    h = max(a.grid.h)
    # The extension's own error over a step, with the constants of 1/(t² + 1) at most about one.
    bound = 10 * h ** (tableau.dense_order + 1) + 100 * h**tableau.order
    for t, z in zip(watched.ts[1:], b.zs[:, 0], strict=True):
        assert abs(float(z) - truth(t)) < bound


@pytest.mark.parametrize("name", ADAPTIVE)
def test_evaluations_are_counted_exactly(name):
    tableau = SOLVERS.load(name)
    p = problem(t1=3.0)
    f = Field(p)
    solution = integrate(f, p.flat_z0(), p.ts, Settings(tableau, 1e-5, 1e-5))
    trials = solution.n_accepted + solution.n_rejected
    # s − 1 a trial, its first stage being known; f(t0, z0) and one for the starting step; without
    # FSAL one more for each new step but none after the last.
    extra = 0 if tableau.fsal else solution.n_accepted - 1
    assert f.nfe == trials * (tableau.stages - 1) + 2 + extra


@pytest.mark.parametrize("name", FIXED)
def test_fixed_steps(name):
    tableau = SOLVERS.load(name)
    p = problem(t1=1.05)
    f = Field(p)
    solution = integrate(f, p.flat_z0(), p.ts, Settings(tableau, step_size=0.1))
    assert solution.n_accepted == 11
    assert solution.grid.h[:10] == [0.1] * 10
    assert solution.grid.h[10] == pytest.approx(0.05, abs=1e-15)
    assert f.nfe == 11 * tableau.stages
    whole = problem(t1=1.0)
    # Ten times 0.1 is 1 but for an ulp: no eleventh step of length 1e-16.
    assert (
        integrate(
            Field(whole), whole.flat_z0(), whole.ts, Settings(tableau, step_size=0.1)
        ).n_accepted
        == 10
    )


@pytest.mark.parametrize("name", NAMES)
def test_steppers_agree_to_the_last_bit(name):
    tableau = SOLVERS.load(name)
    generator = torch.Generator().manual_seed(1)
    matrix = torch.randn(5, 5, generator=generator, dtype=torch.float64)
    z0 = torch.randn(5, generator=generator, dtype=torch.float64)

    def f(t, z):
        return torch.sin(matrix @ z + t)

    plain, graph = InPlaceStepper(tableau, f, z0), GraphStepper(tableau, f)
    k0 = f(torch.tensor(0.2, dtype=torch.float64), z0)
    a, b = plain.trial(0.2, z0, 0.31, k0), graph.trial(0.2, z0, 0.31, k0)
    assert torch.equal(a.z1, b.z1)
    assert (a.error is None) or torch.equal(a.error, b.error)
    assert torch.equal(plain.interpolate(z0, 0.31, a, 0.4), graph.interpolate(z0, 0.31, b, 0.4))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("graph", ["none", "frozen", "traced"])
def test_all_graphs_take_the_same_steps(name, graph):
    p = problem(ts=(0.0, 0.4, 1.7))
    settings = Settings(SOLVERS.load(name), 1e-5, 1e-5)
    plain = integrate(Field(p), p.flat_z0(), p.ts, settings)
    ts = torch.tensor(p.ts, dtype=torch.float64, requires_grad=True)
    times = p.ts if graph == "none" else ts
    other = integrate(Field(p), p.flat_z0().requires_grad_(graph != "none"), times, settings, graph)
    if graph == "traced":
        # Step sizes are tensors there: torch's power may differ from Python's by an ulp, which the
        # controller passes on from step to step.
        assert other.grid.h == pytest.approx(plain.grid.h, rel=1e-9)
        torch.testing.assert_close(plain.zs, other.zs.detach(), rtol=1e-12, atol=0)
    else:
        assert plain.grid == other.grid
        assert torch.equal(plain.zs, other.zs.detach())


@pytest.mark.parametrize("name", NAMES)
def test_replay_gives_what_the_solve_gave(name):
    p = problem(ts=(0.0, 0.4, 1.7))
    tableau = SOLVERS.load(name)
    solution = integrate(Field(p), p.flat_z0(), p.ts, Settings(tableau, 1e-5, 1e-5))
    ts = torch.tensor(p.ts, dtype=torch.float64)
    again = replay(tableau, field, solution.grid, p.flat_z0(), ts)
    # The same products; only t1 − t is rounded once more.
    torch.testing.assert_close(again, solution.zs, rtol=1e-14, atol=0)
    many = replay(
        tableau,
        lambda t, z: field(t[:, None], z),
        solution.grid,
        p.flat_z0().expand(3, 1),
        ts[:, None].expand(-1, 3),
    )
    torch.testing.assert_close(many, solution.zs[:, None].expand(-1, 3, -1), rtol=1e-13, atol=0)


@pytest.mark.parametrize("name", NAMES)
def test_float32_states_stay_float32(name):
    p = Problem(field, torch.tensor([1.0]), (0.0, 1.0), lambda zs: zs.sum())
    seen = set()

    def f(t, z):
        seen.add((t.dtype, z.dtype, t.ndim))
        return field(t, z)

    solution = integrate(f, p.flat_z0(), p.ts, Settings(SOLVERS.load(name), 1e-4, 1e-4))
    assert seen == {(torch.float32, torch.float32, 0)}
    assert solution.zs.dtype == torch.float32
    assert math.isfinite(float(solution.zs[-1]))
