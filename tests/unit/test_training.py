"""Training follows the gradient it is given, from starts that every method shares."""

import math

import pytest
import torch

from node_diag.config_sources import resolve
from node_diag.errors import NonFiniteError, ProblemError
from node_diag.gradients.methods.aca import METHOD as ACA
from node_diag.gradients.methods.direct import METHOD as DIRECT
from node_diag.loader import load
from node_diag.preparation import make_setup
from node_diag.training import Schedule, fit, perturb

RTOL = 1e-8


def setup(problem):
    return make_setup(problem, resolve({"rtol": RTOL}, {}, None).config)


def test_a_step_of_descent_is_the_learning_rate_times_the_gradient():
    problem = load("linear", {"k": 0.5, "T": 2.0})
    found = fit("aca", ACA, problem, setup(problem), Schedule(1, 0.01, "sgd", 1))
    slope = 2 * 2.0 * math.exp(2 * 0.5 * 2.0)  # dL/dk of exp(2kT)
    # The gradient is right to a few times rtol.
    assert found.params["k"][0] == pytest.approx(0.5 - 0.01 * slope, rel=100 * RTOL)
    assert found.losses[0] == pytest.approx(math.exp(2.0), rel=100 * RTOL)
    assert found.final_loss == pytest.approx(math.exp(4 * found.params["k"][0]), rel=1e-9)
    (point,) = found.truth
    assert point.cosine == pytest.approx(1, abs=1e-12)  # of one number
    assert point.relative_error < 100 * RTOL
    assert found.nfe[0] > 0


def test_starts_are_the_same_for_every_method_and_differ_between_seeds():
    def start(seed):
        problem = load("spiral", {"hidden": 4})
        perturb(problem, 0.1, seed)
        return torch.cat([p.detach().reshape(-1) for p in problem.params.values()])

    assert torch.equal(start(1), start(1))
    assert not torch.equal(start(1), start(2))


def test_aca_and_direct_train_to_the_same_parameters():
    ends = []
    for name, method in (("aca", ACA), ("direct", DIRECT)):
        problem = load("lotkavolterra", {"T": 2.0})
        ends.append(fit(name, method, problem, setup(problem), Schedule(5, 0.05)).params)
    # Gradients that agree to round-off; five steps of Adam divide by their size.
    assert ends[0].keys() == ends[1].keys()
    for name, values in ends[0].items():
        assert values == pytest.approx(ends[1][name], rel=1e-9)


class Broken:
    """A gradient that is NaN from the second step on, or a solve that fails there."""

    discrete = constant_steps = True
    reconstructs = False

    def __init__(self, fails):
        self.fails, self.calls = fails, 0
        self.forward = ACA.forward

    def backward(self, tape, cotangents):
        self.calls += 1
        found = ACA.backward(tape, cotangents)
        if self.calls > 1:
            if self.fails:
                raise NonFiniteError("f is nan at t = 1", 1.0)
            found.gradient.params = {n: g * math.nan for n, g in found.gradient.params.items()}
        return found


@pytest.mark.parametrize(
    ("fails", "why"), [(True, "step 1: non-finite"), (False, "step 1: the gradient is not finite")]
)
def test_what_ends_a_training_is_its_result(fails, why):
    problem = load("linear")
    found = fit("mine", Broken(fails), problem, setup(problem), Schedule(5, 0.01))
    assert found.status == "failed"
    assert found.failure.startswith(why)
    assert found.final_loss is None
    assert len(found.nfe) == 1


def test_without_parameters_there_is_nothing_to_train():
    from node_diag import Problem

    problem = Problem(lambda t, z: -z, torch.ones(1).double(), (0.0, 1.0), lambda zs: zs.sum())
    with pytest.raises(ProblemError, match="nothing to train"):
        fit("aca", ACA, problem, setup(problem), Schedule(1, 0.1))


def test_the_final_loss_is_that_of_the_flow_also_with_fixed_steps():
    problem = load("linear", {"k": -1.0, "T": 1.0})
    coarse = make_setup(problem, resolve({"solver": "euler", "step_size": 0.5}, {}, None).config)
    found = fit("aca", ACA, problem, coarse, Schedule(1, 1e-12, "sgd"))
    assert found.losses[0] == 0.25**2  # (1 − ½)⁴
    assert found.final_loss == pytest.approx(
        math.exp(-2), rel=1e-8
    )  # a step of 1e-12 moves nothing


def test_a_truth_that_cannot_be_evaluated_ends_no_training(monkeypatch):
    from node_diag import training

    def fails(problem):
        raise ProblemError("f raised ValueError: no")

    monkeypatch.setattr(training, "sensitivity_reference", fails)
    problem = load("linear")
    found = fit("aca", ACA, problem, setup(problem), Schedule(2, 0.01, "adam", 1))
    assert found.status == "ok"
    assert "ValueError: no" in found.no_truth
