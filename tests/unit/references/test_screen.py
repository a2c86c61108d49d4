"""Derivatives of f that are wrong in a small part of the state space, between any sampled points."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from node_diag import Problem, check
from node_diag.inspection.derivatives import look_closer
from node_diag.references.linearize import Linearized
from node_diag.references.sensitivity import sensitivity_reference


class Sine(torch.autograd.Function):
    """sin z, whose backward formula returns nothing for z within 0.04 of 1.05."""

    @staticmethod
    def forward(ctx, z):
        ctx.save_for_backward(z)
        return torch.sin(z)

    @staticmethod
    def backward(ctx, g):
        (z,) = ctx.saved_tensors
        return torch.where((z - 1.05).abs() < 0.04, 0.0, torch.cos(z)) * g


class Layers(nn.Module):
    """D = 6 and 6 · 60 weights: D (D + P) > 2000, so the adjoint equation is solved."""

    def __init__(self, sine):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.sine = sine
        self.weight = nn.Parameter(0.01 * torch.randn(6, 60, generator=generator).double())

    def forward(self, t, z):
        driven = torch.cat([1 + self.sine(z[:1]), -z[1:]])
        return driven + torch.tanh(z @ self.weight) @ self.weight.T


def through(sine):
    """z' = 1 + sin z crosses the region within a hundredth of the interval."""
    z0 = torch.tensor([0.0], dtype=torch.float64)
    return Problem(lambda t, z: 1 + sine(z), z0, (0.0, 2.0), lambda zs: zs.sum())


def layers(sine):
    return Problem(
        Layers(sine), torch.zeros(6, dtype=torch.float64), (0.0, 2.0), lambda zs: zs.square().sum()
    )


@pytest.mark.parametrize("make", [through, layers])
def test_a_small_region_is_seen_where_the_reference_steps_through_it(make):
    problem = make(Sine.apply)
    suspects = sensitivity_reference(problem).suspects
    assert suspects
    assert all(abs(z[0] - 1.05) < 0.04 for _, z in suspects)
    assert {one.input for one in look_closer(problem, suspects)} == {"z"}


class Scaled(torch.autograd.Function):
    """s z, whose backward formula returns nothing for s while z is within 0.04 of 1.05."""

    @staticmethod
    def forward(ctx, z, s):
        ctx.save_for_backward(z, s)
        return s * z

    @staticmethod
    def backward(ctx, g):
        z, s = ctx.saved_tensors
        return s * g, torch.where((z - 1.05).abs() < 0.04, 0.0, z) * g


class ScaledLayers(Layers):
    """The first component is driven through a parameter of its own."""

    def __init__(self, product):
        super().__init__(torch.sin)
        self.scale = nn.Parameter(torch.ones(1).double())
        self.product = product

    def forward(self, t, z):
        driven = torch.cat([1 + self.product(z[:1], self.scale), -z[1:]])
        return driven + torch.tanh(z @ self.weight) @ self.weight.T


def test_a_small_region_is_seen_where_it_is_a_parameters_derivative():
    z0 = torch.zeros(6, dtype=torch.float64)

    def of(product):
        return Problem(ScaledLayers(product), z0, (0.0, 2.0), lambda zs: zs.square().sum())

    problem = of(Scaled.apply)
    suspects = sensitivity_reference(problem).suspects
    assert len(suspects) > 1
    assert all(abs(z[0] - 1.05) < 0.04 for _, z in suspects)
    assert {one.input for one in look_closer(problem, suspects)} == {"scale"}
    assert sensitivity_reference(of(torch.mul)).suspects == []


@pytest.mark.parametrize("make", [through, layers])
def test_a_right_formula_is_not_suspected(make):
    assert sensitivity_reference(make(torch.sin)).suspects == []


@pytest.mark.parametrize(
    "f",
    [
        lambda t, z: 1 + z.abs(),
        lambda t, z: torch.relu(z) + torch.relu(0.3 - z),
        lambda t, z: torch.floor(3 * t) - z,
        lambda t, z: torch.where(z < 0.1, 1.0, 2.0).double() + 0 * z,
        lambda t, z: torch.tanh(1e4 * z) - z + 1.5,
    ],
    ids=["abs", "relu", "jump in time", "jump in the state", "steep"],
)
def test_kinks_and_jumps_are_not_suspected(f):
    z0 = torch.tensor([-0.5], dtype=torch.float64)
    problem = Problem(f, z0, (0.0, 1.0), lambda zs: zs.sum())
    assert sensitivity_reference(problem).suspects == []


def test_there_is_no_truth_then_and_nobody_is_right():
    report = check(through(Sine.apply), methods=["aca", "adjoint"], repeat=1, max_grad_error="1")
    (found,) = [f for f in report.findings if f.code == "ND205"]
    assert math.isclose(found.evidence["autograd"], 0.0)
    assert report.references.continuous.kind == "none"
    assert [gate.verdict for gate in report.gates] == ["inconclusive", "inconclusive"]
    assert report.summary.exit_code == 1


class Gate(torch.autograd.Function):
    """The identity in g, whose generated batching rule gives every row the sum over all."""

    generate_vmap_rule = True

    @staticmethod
    def forward(g, t):
        return g.clone()

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(inputs[1])

    @staticmethod
    def backward(ctx, v):
        (t,) = ctx.saved_tensors
        return torch.where(t > 0.3, 1.0 * v, v), None


class Gated(nn.Module):
    def __init__(self):
        super().__init__()
        self.g = nn.Parameter(torch.full((4,), 0.7).double())

    def forward(self, t, z):
        return Gate.apply(self.g, t) * torch.cos(z)


def test_products_of_a_batch_are_those_one_by_one():
    z0 = torch.tensor([0.5, -0.3, 0.8, 1.0], dtype=torch.float64)
    system = Linearized(Problem(Gated(), z0, (0.0, 1.0), lambda zs: zs[-1].sum()))
    ts, zs = np.linspace(0, 1, 5), np.random.default_rng(0).normal(size=(5, 4))
    found = system.vjp_params(ts, zs, np.ones((5, 4)))
    # A sum of five cosines, each right to an ulp.
    np.testing.assert_allclose(found, np.cos(zs).sum(0), rtol=1e-14)
