"""Growth along the trajectory, and what it predicts for a reverse-time solve."""

import math

import pytest
import torch
from torch import Tensor

from node_diag import Problem
from node_diag.config_sources import resolve
from node_diag.field import Field
from node_diag.inspection import stability
from node_diag.loader import load
from node_diag.preparation import make_setup
from node_diag.registry import SOLVERS
from node_diag.solvers.integrate import integrate


def inspected(problem, **flags):
    setup = make_setup(problem, resolve(flags, {}, None).config)
    solution = integrate(Field(problem), problem.flat_z0(), problem.ts, setup.forward)
    return stability.inspect(problem, setup, solution)


def linear(matrix, z0, ts=(0.0, 2.0)):
    a = torch.tensor(matrix, dtype=torch.float64)
    return Problem(
        lambda t, z: z @ a.T, torch.tensor(z0, dtype=torch.float64), ts, lambda zs: zs[-1].sum()
    )


def test_growth_of_a_linear_flow_is_its_matrix_exponential():
    """z' = diag(1, −3) z: ‖Φ(t1 ← t0)‖ = e², ‖Φ(t0 ← t1)‖ = e⁶.

    Constant Jacobians make Magnus' maps exact; a few dozen products leave a few dozen ulp.
    """
    found = inspected(linear([[1.0, 0.0], [0.0, -3.0]], [1.0, 1.0]))
    assert found.log10_growth[-1] == pytest.approx(2 / math.log(10), rel=1e-12)
    assert found.log10_reverse_growth[0] == pytest.approx(6 / math.log(10), rel=1e-12)
    assert found.contraction_rate == pytest.approx(3.0, rel=1e-12)
    assert found.expansion_rate == pytest.approx(1.0, rel=1e-12)
    # a(t0) = (e², e⁻⁶), a(t1) = (1, 1)
    assert found.log10_cotangent[-1] == pytest.approx(math.log10(math.sqrt(2)), abs=1e-12)
    assert found.log10_cotangent[0] == pytest.approx(
        math.log10(math.hypot(math.exp(2), math.exp(-6))), rel=1e-12
    )


def test_backward_in_time_contraction_is_expansion():
    found = inspected(linear([[-1.0, 0.0], [0.0, -3.0]], [1.0, 1.0], (2.0, 0.0)))
    assert found.log10_growth[-1] == pytest.approx(6 / math.log(10), rel=1e-12)


def test_growth_of_van_der_pol_is_that_of_the_sensitivity_equations():
    """‖S‖_F/√2 ≤ ‖S‖₂ ≤ ‖S‖_F; the steps resolve J to a few per cent."""
    problem = load("vanderpol", {"mu": 1.0, "T": 5.0})
    from node_diag.references.sensitivity import sensitivity_reference

    frobenius = math.sqrt(2) * sensitivity_reference(problem).details["growth_of_perturbations"]
    growth = 10 ** inspected(problem).log10_growth[-1]
    assert frobenius / math.sqrt(2) * 0.95 < growth < frobenius * 1.05


def test_prediction_starts_again_at_every_observation():
    fast = [[-8.0]]
    once = inspected(linear(fast, [1.0], (0.0, 2.0)))
    often = inspected(linear(fast, [1.0], tuple(i / 10 for i in range(21))))
    # Over 2 errors grow e¹⁶-fold, over 0.1 e⁰·⁸-fold, give or take a step that reaches further.
    assert max(once.predicted_error) > 1e5 * 1e-5
    assert max(often.predicted_error) < 1e3 * 1e-5


class Rows(torch.nn.Module):
    def __init__(self, mix: float) -> None:
        super().__init__()
        self.mix = mix

    def forward(self, t: Tensor, z: Tensor) -> Tensor:
        return -z + self.mix * z.mean(0, keepdim=True)


@pytest.mark.parametrize(("mix", "blocks"), [(0.0, 3), (0.5, 1)])
def test_rows_of_a_batch_are_blocks_if_they_do_not_see_each_other(mix, blocks):
    z0 = torch.arange(6, dtype=torch.float64).reshape(3, 2)
    found = inspected(Problem(Rows(mix), z0, (0.0, 1.0), lambda zs: zs.sum()))
    assert found.blocks == blocks
    # −1 in every direction but that of the mean, −1 + mix in that.
    assert found.log10_growth[-1] == pytest.approx((mix - 1) / math.log(10), rel=1e-9)


@pytest.mark.parametrize(
    ("solver", "interval"),
    # Hairer and Wanner, Solving ODEs II, IV.2: 2 for order 1 and 2 in as many stages, 2.51 for
    # order 3, 2.785 for order 4; Dormand–Prince 3.31.
    [("euler", 2.0), ("midpoint", 2.0), ("bosh3", 2.51), ("rk4", 2.785), ("dopri5", 3.31)],
)
def test_stability_intervals(solver, interval):
    assert stability.stability_interval(SOLVERS.load(solver)) == pytest.approx(interval, abs=0.02)


def test_steps_taken_together_are_as_stiff_as_one_by_one(monkeypatch):
    """z' = −200 (z − cos t): stability limits about 2 · 200 / 3.3 steps, looked at in groups of 4."""
    problem = Problem(
        lambda t, z: -200 * (z - torch.cos(t)),
        torch.ones(1, dtype=torch.float64),
        (0.0, 2.0),
        lambda zs: zs[-1].sum(),
    )
    alone = inspected(problem, rtol=1e-3)
    monkeypatch.setattr(stability, "MOST_STEPS", 30)
    together = inspected(problem, rtol=1e-3)
    assert len(together.t) == 31 < len(alone.t) / 3
    assert alone.stability_share > 0.8
    assert together.stability_share > 0.8
    # One step before t1 nothing has grown yet: √4 or √5 errors of a step against one, while z
    # and with it the tolerance changes by less than 0.1.
    assert together.predicted_error[-2] == pytest.approx(2 * alone.predicted_error[-2], rel=0.25)
