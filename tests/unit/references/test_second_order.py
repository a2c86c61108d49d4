"""Hessian-vector products of methods whose gradient can be differentiated again."""

import numpy as np
import pytest
import torch

from node_diag import Problem, check
from node_diag.config import CheckConfig
from node_diag.field import Field
from node_diag.gradients.methods import aca, adjoint, direct, naive
from node_diag.preparation import make_setup
from node_diag.references.second_order import second_order
from node_diag.solvers.integrate import integrate


def logistic(f=None):
    """z' = k z (1 − z), L = z(1)²."""
    k = torch.tensor(1.3, dtype=torch.float64)
    return Problem(
        f or (lambda t, z: k * z * (1 - z)),
        torch.tensor([0.2], dtype=torch.float64),
        (0.0, 1.0),
        lambda zs: (zs**2).sum(),
        params={"k": k},
    )


def products(method, problem, **options):
    setup = make_setup(problem, CheckConfig(**options))
    grid = integrate(Field(problem), problem.flat_z0(), problem.ts, setup.forward).grid
    return second_order(method, problem, setup, grid)


def exact_hessian():
    """Of L = z(1)² in (z0, k) through the closed form z(1) = z0 / (z0 + (1 − z0) e^(−k))."""

    def loss(x):
        return (x[0] / (x[0] + (1 - x[0]) * torch.exp(-x[1]))) ** 2

    x = torch.tensor([0.2, 1.3], dtype=torch.float64)
    return torch.autograd.functional.hessian(loss, x).numpy()


@pytest.mark.parametrize("method", [direct.METHOD, naive.METHOD])
def test_products_agree_with_differences_of_the_gradient(method):
    found = products(method, logistic(), rtol=1e-4)
    assert np.linalg.norm(found.product - found.value) <= np.linalg.norm(found.bar)
    assert np.linalg.norm(found.bar) < 1e-3 * np.linalg.norm(found.value)


def test_products_approach_the_exact_hessian():
    found = products(direct.METHOD, logistic(), rtol=1e-10, atol=1e-12)
    v = found.product @ np.linalg.inv(exact_hessian())  # the random line, if all is right
    reach = np.abs(np.random.default_rng(5).standard_normal(2))
    # Second derivatives of the flow are right to a hundred tolerances or so.
    assert np.abs(v) == pytest.approx(
        np.array([0.2, 1.3]) * reach / np.sqrt(np.mean(reach**2)), rel=1e-7
    )


@pytest.mark.parametrize("method", [aca.METHOD, adjoint.METHOD])
def test_methods_without_a_graph_say_so(method):
    assert "leaves no graph" in products(method, logistic())


class Detached(torch.autograd.Function):
    """x², with a backward pass that is right and takes x for a constant."""

    @staticmethod
    def forward(ctx, x):
        ctx.kept = x.detach()
        return x * x

    @staticmethod
    def backward(ctx, *cotangents):
        return 2 * ctx.kept * cotangents[0]


class Once(Detached):
    """torch.autograd.grad leaves such a part out of the second derivative, without a word."""

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, *cotangents):
        return 2 * ctx.kept * cotangents[0]


class Numpy(Detached):
    @staticmethod
    def backward(ctx, *cotangents):
        return 2 * ctx.kept * torch.from_numpy(cotangents[0].numpy())


@pytest.mark.parametrize("square", [Detached, Once])
def test_a_backward_pass_that_is_right_once_only_is_found(square):
    report = check(
        logistic(lambda t, z: -square.apply(z)), methods=["direct", "aca"], order=2, repeat=1,
        gates=["direct.hvp_error<=1e-3"],
    )  # fmt: skip
    assert report.method("direct").errors.discrete.relative_l2 < 1e-8
    (finding,) = [f for f in report.findings if f.code == "ND208"]
    assert finding.method == "direct"
    assert finding.evidence["hvp_error"] > 0.1
    assert not report.passed


def test_a_backward_pass_that_can_be_differentiated_once_only_says_so():
    report = check(logistic(lambda t, z: -Numpy.apply(z)), methods=["direct"], order=2, repeat=1)
    assert report.method("direct").errors.discrete.relative_l2 < 1e-8
    found = report.method("direct").second_order
    assert found.error is None
    assert "Can't call numpy() on Tensor that requires grad" in found.reason


def test_a_linear_problem_has_a_hessian_and_a_loss_of_nothing_none():
    k = torch.tensor(0.5, dtype=torch.float64)
    one = torch.ones(1, dtype=torch.float64)
    flat = Problem(lambda t, z: k * z, one, (0.0, 1.0), lambda zs: 0 * zs.sum(), params={"k": k})
    found = products(direct.METHOD, flat)
    assert not found.product.any()
    assert not found.value.any()


def test_without_being_asked_for_nothing_is_done():
    report = check(logistic(), methods=["direct"], repeat=1)
    assert report.method("direct").second_order is None
