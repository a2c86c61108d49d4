"""References: values against closed forms, uncertainties that cover, refusals in words."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from node_diag import Problem
from node_diag.errors import NoReferenceError
from node_diag.field import Field
from node_diag.gradients.base import Setup, run
from node_diag.loader import load
from node_diag.references import sensitivity
from node_diag.references.base import flatten
from node_diag.references.exact import exact_reference
from node_diag.references.finite_difference import frozen_reference, unfrozen_reference
from node_diag.references.sensitivity import sensitivity_reference
from node_diag.registry import METHODS, SOLVERS
from node_diag.solvers.integrate import integrate
from node_diag.solvers.solution import Settings

DOPRI5 = SOLVERS.load("dopri5")


def solved(problem, rtol=1e-5, tableau=DOPRI5):
    return integrate(Field(problem), problem.flat_z0(), problem.ts, Settings(tableau, rtol, rtol))


def linear_system(seed, n=3):
    """z' = Az with a random A; dL/dz0 and dL/dA by differentiating the matrix exponential."""
    generator = torch.Generator().manual_seed(seed)
    matrix = torch.randn(n, n, generator=generator, dtype=torch.float64)
    z0 = torch.randn(n, generator=generator, dtype=torch.float64)

    class System(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Parameter(matrix.clone())

        def forward(self, t, z):
            return self.a @ z

    def exact(ts, z0, params):
        return torch.stack(
            [torch.linalg.matrix_exp(params["a"] * (t - ts[0])) @ z0 for t in ts[1:]]
        )

    return Problem(System(), z0, (0.0, 0.7, 1.5), lambda zs: (zs**2).sum(), exact=exact)


def covered(reference, truth, slack):
    """Whether the true error is within the bar of every block, given an error of the truth itself."""
    return np.linalg.norm(reference.value - truth) <= np.linalg.norm(reference.bar) + slack


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("columns", [sensitivity.MOST_COLUMNS, 0], ids=["forward", "adjoint"])
def test_sensitivities_of_linear_systems(seed, columns, monkeypatch):
    monkeypatch.setattr(sensitivity, "MOST_COLUMNS", columns)
    problem = linear_system(seed)
    found = sensitivity_reference(problem)
    truth = exact_reference(problem)
    assert covered(found, truth.value, np.linalg.norm(truth.bar))
    # Solved at 1e-13; a hundred times that for the growth of local errors over the interval.
    assert np.linalg.norm(found.value - truth.value) < 1e-11 * np.linalg.norm(truth.value)
    assert found.details["method"].startswith("forward" if columns else "adjoint")


@pytest.mark.parametrize("columns", [sensitivity.MOST_COLUMNS, 0], ids=["forward", "adjoint"])
def test_sensitivities_see_what_the_error_control_of_z_does_not(columns, monkeypatch):
    monkeypatch.setattr(sensitivity, "MOST_COLUMNS", columns)
    problem = load("equilibrium")
    found = sensitivity_reference(problem)
    # e^-10 is 4.5e-5; the tolerance is 1e-15 absolute, and decay does not amplify errors.
    assert found.value[0] == pytest.approx(math.exp(-10), rel=1e-9)
    assert found.value[1] == pytest.approx(0.0, abs=1e-12)


def test_jacobians_one_by_one_equal_batched_ones():
    class Branching(nn.Module):
        def __init__(self):
            super().__init__()
            self.k = nn.Parameter(torch.tensor([-1.0, -2.0], dtype=torch.float64))

        def forward(self, t, z):
            if float(t) < -1:  # reads a value: torch.func.vmap cannot
                return z
            return self.k * z * z.flip(0)

    class Straight(Branching):
        def forward(self, t, z):
            return self.k * z * z.flip(0)

    values = []
    for field in (Branching(), Straight()):
        problem = Problem(
            field, torch.tensor([1.0, 2.0], dtype=torch.float64), (0.0, 1.0), lambda zs: zs.sum()
        )
        solution = solved(problem)
        smooth = sensitivity_reference(problem)
        frozen = frozen_reference(problem, DOPRI5, solution.grid)
        values.append((smooth, frozen))
    (looped, looped_frozen), (batched, batched_frozen) = values
    assert looped.details["jacobians"] != batched.details["jacobians"]
    assert looped_frozen.details["batched"] is False
    assert batched_frozen.details["batched"] is True
    # Other steps where Jacobians are slow: both are right to their bars.
    assert np.all(np.abs(looped.value - batched.value) <= looped.bar + batched.bar)
    np.testing.assert_allclose(
        looped_frozen.value, batched_frozen.value, atol=2 * np.max(batched_frozen.bar)
    )


@pytest.mark.parametrize("name", ["euler", "rk4", "heun-euler", "bosh3", "dopri5", "tsit5"])
@pytest.mark.parametrize("spec", ["vanderpol", "lotkavolterra"])
def test_frozen_differences_cover_the_derivative_of_the_steps(name, spec):
    overrides = {"mu": 1.0, "T": 5.0} if spec == "vanderpol" else {"T": 3.0, "n_obs": 4}
    problem = load(spec, overrides)
    tableau = SOLVERS.load(name)
    settings = Settings(tableau, 1e-4, 1e-4)
    method = run("direct", METHODS.load("direct"), problem, Setup(settings, settings))
    found = frozen_reference(problem, tableau, method.solution.grid)
    # direct is that derivative to round-off: 1e-14 times the steps and their growth, far below.
    assert np.all(np.abs(flatten(method.gradient) - found.value) <= found.bar)
    assert np.linalg.norm(found.bar) < 1e-6 * np.linalg.norm(found.value)


def test_frozen_differences_use_no_derivative_of_f():
    """A wrong backward formula inside f must not reach the reference that is to expose it."""

    class Wrong(torch.autograd.Function):
        @staticmethod
        def forward(x):
            return x**2

        @staticmethod
        def setup_context(ctx, inputs, output):
            ctx.save_for_backward(inputs[0])

        @staticmethod
        def backward(ctx, grad):
            (x,) = ctx.saved_tensors
            return 1.1 * 2 * x * grad

        @staticmethod
        def vmap(info, in_dims, x):
            return Wrong.apply(x), in_dims[0]

    problem = Problem(
        lambda t, z: -Wrong.apply(z),
        torch.tensor([1.0], dtype=torch.float64),
        (0.0, 1.0),
        lambda zs: zs.sum(),
    )
    solution = solved(problem, 1e-8)
    found = frozen_reference(problem, DOPRI5, solution.grid)
    # z' = -z², z(1) = z0/(1 + z0), dz/dz0 = 1/4; the solve is good to about 1e-8 times ten.
    assert found.value[0] == pytest.approx(0.25, rel=1e-6)
    settings = Settings(DOPRI5, 1e-8, 1e-8)
    aca = run("aca", METHODS.load("aca"), problem, Setup(settings, settings))
    assert abs(float(aca.gradient.z0) - 0.25) > 1e-2


def test_parameters_used_by_the_loss_are_differentiated_there_too():
    scale = nn.Parameter(torch.tensor(3.0, dtype=torch.float64))

    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = scale

        def forward(self, t, z):
            return -0.5 * z

    problem = Problem(
        Scaled(),
        torch.tensor([2.0], dtype=torch.float64),
        (0.0, 1.0),
        lambda zs: scale * zs[-1].sum(),
    )
    solution = solved(problem, 1e-9)
    expected = 2 * math.exp(-0.5)
    for reference in (
        sensitivity_reference(problem),
        frozen_reference(problem, DOPRI5, solution.grid),
    ):
        assert reference.value[1] == pytest.approx(expected, rel=1e-7)


def test_unfrozen_differences_report_their_own_spread():
    found = unfrozen_reference(np.array([2.0, 1.0]), lambda x: x[0] ** 3 + x[1], 9.0, columns=[0])
    assert found.value[0] == pytest.approx(12.0, rel=1e-6)
    assert np.isnan(found.value[1])
    assert 0 <= found.bar[0] < 1e-4


def test_nondeterministic_dynamics_have_no_discrete_reference():
    problem = Problem(
        lambda t, z: -z * (1 + 0.1 * torch.rand(())),
        torch.tensor([1.0], dtype=torch.float64),
        (0.0, 1.0),
        lambda zs: zs.sum(),
    )
    grid = solved(linear := load("linear")).grid
    assert linear.ts[0] == 0.0
    grid.t1, grid.h[-1] = 1.0, 1.0 - sum(grid.h[:-1])
    with pytest.raises(NoReferenceError, match="another answer"):
        frozen_reference(problem, DOPRI5, grid)


def test_stiff_problems_go_to_radau():
    problem = load("vanderpol", {"mu": 1000.0, "T": 200.0})
    # On [0, 200] the slow manifold is not left; a coarse forward solve is enough to see stiffness.
    settings = Settings(DOPRI5, 1e-3, 1e-3, max_steps=400_000)
    solution = integrate(Field(problem), problem.flat_z0(), (0.0, 5.0), settings)
    solution.grid.t1 = 200.0
    found = sensitivity_reference(problem)
    assert found.details["solver"].startswith("Radau")
    # x decays along x' = -x / (μ (x² - 1)): dx(T)/dx0 from that equation, right to O(1/μ²).
    assert np.isfinite(found.value).all()
    assert np.linalg.norm(found.bar) < 1e-2 * np.linalg.norm(found.value)


def test_the_coefficients_are_those_of_scipys_dop853():
    from scipy.integrate import DOP853

    from node_diag.references import dop853

    for ours, theirs in [
        (dop853.A, DOP853.A), (dop853.B, DOP853.B), (dop853.C, DOP853.C),
        (dop853.E3, DOP853.E3[:12]), (dop853.E5, DOP853.E5[:12]),
    ]:  # fmt: skip
        assert np.array_equal(ours, theirs)
    # The estimates do not use the derivative at the end of the step.
    assert DOP853.E3[12] == DOP853.E5[12] == 0
