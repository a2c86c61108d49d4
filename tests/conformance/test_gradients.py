"""Every gradient method of ours, on problems whose gradient is known."""

import math

import pytest
import torch
from torch import nn

from node_diag import Problem
from node_diag.gradients.base import Setup, run
from node_diag.references.base import flatten
from node_diag.registry import METHODS, SOLVERS
from node_diag.solvers.controller import largest_rms
from node_diag.solvers.solution import Settings

NAMES = [name for name in METHODS.names() if not METHODS.requires(name)]
DOUBLE = torch.float64


def gradient(problem, method, solver="dopri5", rtol=1e-9, **options):
    n_params = sum(p.numel() for p in problem.params.values())
    n = problem.layout.numel
    tableau = SOLVERS.load(solver)
    forward = Settings(tableau, rtol, rtol, **options)
    backward = Settings(tableau, rtol, rtol, norm=largest_rms([n, n, n_params]), **options)
    return run(method, METHODS.load(method), problem, Setup(forward, backward))


class Growth(nn.Module):
    """z' = k z cos(w t): non-autonomous, with the solution z0 exp(k (sin wt − sin wt0)/w)."""

    def __init__(self, k=0.8, w=1.5):
        super().__init__()
        self.k = nn.Parameter(torch.tensor(k, dtype=DOUBLE))
        self.w = nn.Parameter(torch.tensor(w, dtype=DOUBLE))

    def forward(self, t, z):
        return self.k * torch.cos(self.w * t) * z


def solution(ts, z0, params):
    k, w = params["k"], params["w"]
    growth = torch.exp(k * (torch.sin(w * ts[1:]) - torch.sin(w * ts[0])) / w)
    return growth.reshape(-1, *(1 for _ in z0.shape)) * z0


def weighted(zs):
    weights = torch.arange(1, len(zs) + 1, dtype=zs.dtype).reshape(-1, *(1 for _ in zs.shape[1:]))
    return (weights * zs**2).sum()


def truth(problem, exact):
    """Flat gradient (z0, params, ts) through the closed form."""
    z0 = problem.flat_z0().requires_grad_()
    ts = torch.tensor(problem.ts, dtype=DOUBLE, requires_grad=True)
    params = {name: p.detach().clone().requires_grad_() for name, p in problem.params.items()}
    loss = problem.loss(exact(ts, z0.reshape(problem.z0.shape), params))
    return torch.cat([g.reshape(-1) for g in torch.autograd.grad(loss, [z0, *params.values(), ts])])


def close(run_, expected, rel):
    found = torch.from_numpy(flatten(run_.gradient))
    assert float((found - expected).norm()) < rel * float(expected.norm()), (found, expected)


# Gradient error over rtol: median 20, largest 958 over 30 random problems; 1e3 rtol bounds it.
@pytest.mark.parametrize("solver", ["heun-euler", "bosh3", "dopri5", "tsit5"])
@pytest.mark.parametrize("method", NAMES)
@pytest.mark.parametrize(
    "ts", [(0.0, 1.1), (0.0, 0.3, 0.31, 0.9, 1.1), (1.1, 0.5, 0.2)], ids=["one", "many", "backward"]
)
def test_closed_form(method, solver, ts):
    rtol = 1e-6 if solver == "heun-euler" else 1e-9
    problem = Problem(Growth(), torch.tensor([[0.5, -1.0], [2.0, 0.1]], dtype=DOUBLE), ts, weighted)
    close(gradient(problem, method, solver, rtol), truth(problem, solution), 1e3 * rtol)


@pytest.mark.parametrize("method", NAMES)
@pytest.mark.parametrize(
    ("solver", "order"), [("euler", 1), ("midpoint", 2), ("heun", 2), ("rk4", 4)]
)
@pytest.mark.parametrize("ts", [(0.0, 1.0), (0.0, 0.4, 1.0)], ids=["one", "many"])
def test_fixed_steps_converge_to_the_closed_form(method, solver, order, ts):
    problem = Problem(Growth(), torch.tensor([1.0], dtype=DOUBLE), ts, weighted)
    expected = truth(problem, solution)
    errors = []
    for size in (0.05, 0.025):
        found = torch.from_numpy(
            flatten(gradient(problem, method, solver, step_size=size).gradient)
        )
        difference = found - expected
        if len(ts) > 2:
            # dL/dτ and, through it, dL/dt0 take the slope of the dense output, which is one order
            # less accurate and jumps where τ = 0.4 meets the grid.
            difference[-len(ts) :] = 0.0
        errors.append(float(difference.norm()))
    # Halving the step gains 2^order, less where h² terms still matter.
    assert errors[1] < errors[0] / 2 ** (order - 0.5)


@pytest.mark.parametrize("method", NAMES)
def test_linear_signs(method):
    k = torch.tensor(0.7, dtype=DOUBLE)
    problem = Problem(
        lambda t, z: k * z,
        torch.tensor([1.5], dtype=DOUBLE),
        (0.0, 1.0),
        lambda zs: zs[-1].square().sum(),
        params={"k": k},
    )
    found = gradient(problem, method).gradient
    growth = math.exp(2 * 0.7)
    assert found.t0 < 0 < found.t1
    expected = {"z0": 3 * growth, "k": 2 * 1.5**2 * growth, "t1": 2 * 0.7 * 1.5**2 * growth}
    assert float(found.z0) == pytest.approx(expected["z0"], rel=1e-6)
    assert float(found.params["k"]) == pytest.approx(expected["k"], rel=1e-6)
    assert found.t1 == pytest.approx(expected["t1"], rel=1e-6)
    assert found.t0 == pytest.approx(-expected["t1"], rel=1e-6)


@pytest.mark.parametrize("method", NAMES)
def test_tuple_states(method):
    """(x, y) with x' = y, y' = −x: rotation, so L = x(T) has the gradient (cos T, sin T)."""
    z0 = (torch.tensor([1.0, 0.5], dtype=DOUBLE), torch.tensor([[0.0, 2.0]], dtype=DOUBLE))
    problem = Problem(
        lambda t, z: (z[1].reshape(2), -z[0].reshape(1, 2)),
        z0,
        (0.0, 2.0),
        lambda zs: zs[0][-1].sum(),
    )
    found = gradient(problem, method).gradient.z0
    expected = torch.tensor([math.cos(2)] * 2 + [math.sin(2)] * 2, dtype=DOUBLE)
    assert float((found - expected).norm()) < 1e3 * 1e-9


@pytest.mark.parametrize("method", NAMES)
def test_odd_problems(method):
    """0-d state, unused parameter, no parameters, f without z, loss without z."""
    unused = torch.tensor(2.0, dtype=DOUBLE)
    scalar = Problem(
        lambda t, z: -z,
        torch.tensor(1.0, dtype=DOUBLE),
        (0.0, 1.0),
        lambda zs: zs[-1],
        params={"unused": unused},
    )
    found = gradient(scalar, method).gradient
    assert float(found.z0) == pytest.approx(math.exp(-1), rel=1e-6)
    assert float(found.params["unused"]) == 0.0
    clock = Problem(
        lambda t, z: torch.cos(t).expand(1),
        torch.tensor([1.0], dtype=DOUBLE),
        (0.0, 1.0),
        lambda zs: zs[-1].sum(),
    )
    found = gradient(clock, method).gradient
    assert float(found.z0) == pytest.approx(1.0, abs=1e-9)
    assert found.t1 == pytest.approx(math.cos(1.0), rel=1e-6)
    assert found.t0 == pytest.approx(-1.0, rel=1e-6)
    blind = Problem(
        lambda t, z: -z,
        torch.tensor([1.0], dtype=DOUBLE),
        (0.0, 1.0),
        lambda zs: torch.zeros((), dtype=DOUBLE),
    )
    assert float(gradient(blind, method).gradient.z0) == 0.0


@pytest.mark.parametrize("method", NAMES)
def test_parameters_in_the_loss(method):
    weight = torch.tensor(3.0, dtype=DOUBLE)
    problem = Problem(
        lambda t, z: -weight * z,
        torch.tensor([1.0], dtype=DOUBLE),
        (0.0, 1.0),
        lambda zs: weight * zs[-1].sum(),
        params={"w": weight},
    )
    # L = w e^{-w}, dL/dw = (1 − w) e^{-w}.
    assert float(gradient(problem, method).gradient.params["w"]) == pytest.approx(
        -2 * math.exp(-3), rel=1e-6
    )


@pytest.mark.parametrize("method", [name for name in NAMES if METHODS.load(name).discrete])
def test_euler_is_a_residual_network(method):
    """Backprop through z ← z + h f(z), written with plain layers, to round-off."""
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Linear(3, 16), nn.Tanh(), nn.Linear(16, 3)).double()

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = layers

        def forward(self, t, z):
            return self.layers(z)

    z0 = torch.randn(4, 3, dtype=DOUBLE)
    problem = Problem(Block(), z0, (0.0, 1.0), lambda zs: zs[-1].square().mean())
    found = gradient(problem, method, "euler", step_size=0.125).gradient
    z = z0.clone().requires_grad_()
    state = z
    for _ in range(8):
        state = state + 0.125 * layers(state)
    expected = torch.autograd.grad(state.square().mean(), [z, *layers.parameters()])
    # Sums in another order: a few ulp for each of the eight blocks.
    torch.testing.assert_close(found.z0.reshape(4, 3), expected[0], rtol=1e-13, atol=1e-15)
    for mine, theirs in zip(found.params.values(), expected[1:], strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("solver", SOLVERS.names())
@pytest.mark.parametrize(
    "ts", [(0.0, 1.7), (0.0, 0.2, 0.21, 1.0, 1.7), (0.0, -1.3)], ids=["one", "many", "backward"]
)
def test_aca_is_direct_and_on_fixed_steps_naive_too(solver, ts):
    torch.manual_seed(1)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3)).double()

        def forward(self, t, z):
            return self.net(torch.cat([z, t.reshape(1)]))

    problem = Problem(Net(), torch.randn(3, dtype=DOUBLE), ts, weighted)
    methods = ["aca", "direct"] + ([] if SOLVERS.load(solver).adaptive else ["naive"])
    runs = [gradient(problem, method, solver, 1e-4) for method in methods]
    assert all(r.solution.grid == runs[0].solution.grid for r in runs)
    first = flatten(runs[0].gradient)
    for other in runs[1:]:
        # The same vjps, added up in another order over at most some hundred steps.
        assert abs(flatten(other.gradient) - first).max() <= 1e-12 * abs(first).max()


def test_naive_is_the_derivative_of_the_adaptive_solve():
    """Differences through the unfrozen solve measure the same quantity, controller included."""
    k = torch.tensor(1.3, dtype=DOUBLE)

    def problem_at(value, start):
        k.data.fill_(value)
        return Problem(
            lambda t, z: torch.sin(k * z + t),
            torch.tensor([start], dtype=DOUBLE),
            (0.0, 3.0),
            lambda zs: zs[-1].square().sum(),
            params={"k": k},
        )

    found = gradient(problem_at(1.3, 0.4), "naive", rtol=1e-4)
    direct = gradient(problem_at(1.3, 0.4), "direct", rtol=1e-4)
    h = 1e-6
    dz0 = (
        gradient(problem_at(1.3, 0.4 + h), "aca", rtol=1e-4).loss
        - gradient(problem_at(1.3, 0.4 - h), "aca", rtol=1e-4).loss
    ) / (2 * h)
    dk = (
        gradient(problem_at(1.3 + h, 0.4), "aca", rtol=1e-4).loss
        - gradient(problem_at(1.3 - h, 0.4), "aca", rtol=1e-4).loss
    ) / (2 * h)
    k.data.fill_(1.3)
    # Central differences at 1e-6: truncation 1e-12, round-off 1e-16/1e-6 = 1e-10; both times ten.
    assert float(found.gradient.z0) == pytest.approx(dz0, rel=1e-8)
    assert float(found.gradient.params["k"]) == pytest.approx(dk, rel=1e-8)
    assert abs(float(direct.gradient.params["k"]) - dk) > 1e-6 * abs(dk)


def test_retry_of_a_clipped_step_keeps_its_size_constant():
    """A first trial that reaches past t1 and is rejected must not leave t1 − t in the graph."""
    problem = Problem(
        lambda t, z: -50 * (z - torch.cos(t)),
        torch.tensor([3.0], dtype=DOUBLE),
        (0.0, 0.4),
        lambda zs: zs[-1].sum(),
    )
    runs = [gradient(problem, method, rtol=1e-3, first_step=0.4) for method in ("aca", "direct")]
    assert runs[0].solution.rejected[0][1] == pytest.approx(0.4)
    torch.testing.assert_close(runs[0].gradient.ts, runs[1].gradient.ts, rtol=1e-12, atol=1e-14)
    assert flatten(runs[0].gradient) == pytest.approx(flatten(runs[1].gradient), rel=1e-12)
