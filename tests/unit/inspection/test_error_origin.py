"""The drift of aᵀ S v + ∂L/∂θ · v: nothing where the pass is right, the error where it is not."""

import numpy as np
import pytest
import torch

from node_diag import Problem
from node_diag.config_sources import resolve
from node_diag.gradients.base import run
from node_diag.gradients.methods.aca import METHOD as ACA
from node_diag.gradients.methods.adjoint import METHOD as ADJOINT
from node_diag.gradients.trail import TrailPoint
from node_diag.inspection.error_origin import Suspect, inspect
from node_diag.loader import load
from node_diag.preparation import make_setup
from node_diag.references.base import flatten
from node_diag.references.sensitivity import sensitivity_reference


def suspect(method, problem, **flags):
    setup = make_setup(problem, resolve(flags, {}, None).config)
    found = run("x", method, problem, setup)
    size = -len(problem.ts)
    return Suspect(flatten(found.gradient)[:size], found.backward.trail)


@pytest.mark.parametrize(
    ("name", "overrides", "flags"),
    [
        ("vanderpol", {"mu": 1.0, "T": 5.0}, {"rtol": 1e-3}),
        ("lotkavolterra", {}, {"rtol": 1e-3}),
        ("threebody", {}, {"rtol": 1e-4}),
        ("linear", {}, {"solver": "euler", "step_size": 0.1}),
    ],
)
@pytest.mark.parametrize("method", [ACA, ADJOINT])
def test_shares_add_up_to_the_error(name, overrides, flags, method):
    """To what the tangents are right to, 1e-8 relative, over an error of 1e-4 and more."""
    problem = load(name, overrides)
    one = suspect(method, problem, **flags)
    origin = inspect(problem, sensitivity_reference(problem), {"x": one})["x"]
    assert origin.share[0] == 0.0
    assert origin.share[-1] == pytest.approx(1.0, abs=1e-4)
    assert origin.t[0] == problem.t1
    assert origin.t[-1] == problem.t0


def test_an_error_is_found_where_it_was_put():
    """The adjoint state is knocked off course at t = 1.2, and nowhere else."""
    a = torch.tensor([[-0.5, 1.0], [-1.0, 0.2]], dtype=torch.float64)
    z0 = torch.tensor([1.0, 0.5], dtype=torch.float64)
    problem = Problem(lambda t, z: z @ a.T, z0, (0.0, 3.0), lambda zs: zs[-1].square().sum())
    truth = sensitivity_reference(problem)
    one = suspect(ACA, problem, rtol=1e-10)
    kick = np.array([0.3, -0.2])
    trail = []
    for point in one.trail:
        off = np.zeros(2)
        if point.t < 1.2:  # what a kick at 1.2 has become by then: exp(Aᵀ (1.2 − t)) kick
            off = torch.linalg.matrix_exp(a.T * (1.2 - point.t)).numpy() @ kick
        trail.append(TrailPoint(point.t, point.included, point.adj_z + off, point.params))
    gradient = one.gradient + torch.linalg.matrix_exp(a.T * 1.2).numpy() @ kick
    origin = inspect(problem, truth, {"x": Suspect(gradient, trail)})["x"]
    assert origin.start <= 1.2 <= origin.end
    assert origin.most == pytest.approx(1.0, abs=1e-6)  # ACA's own error is 1e-9


def test_nothing_is_said_of_a_trail_that_does_not_lead_to_the_error():
    problem = load("linear", {})
    one = suspect(ACA, problem, rtol=1e-3)
    lost = Suspect(one.gradient * 1.5, one.trail)
    assert inspect(problem, sensitivity_reference(problem), {"x": lost}) == {}
