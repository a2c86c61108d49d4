"""Problems whose gradient is hard to know: each ends in the right words."""

import pytest
import torch
from torch import nn

from node_diag import Problem, check
from node_diag.loader import load
from node_diag.norms import norm
from node_diag.references.sensitivity import sensitivity_reference


def codes(report):
    return {finding.code for finding in report.findings}


def lorenz(t1):
    """As A z + x B z: a third of the operations of three separate equations."""
    a = torch.tensor([[-10, 10, 0], [28, -1, 0], [0, 0, -8 / 3]], dtype=torch.float64)
    b = torch.tensor([[0.0, 0, 0], [0, 0, -1], [0, 1, 0]], dtype=torch.float64)

    def f(t, z):
        return a @ z + z[0] * (b @ z)

    z0 = torch.ones(3, dtype=torch.float64)
    return Problem(f, z0, (0.0, t1), lambda zs: zs[-1].sum(), name="lorenz")


@pytest.mark.slow
def test_chaos_while_the_truth_is_still_known_is_judged():
    report = check(lorenz(15.0), methods=["aca"], rtol=1e-3, repeat=1)
    truth = report.references.continuous
    assert truth.kind == "sensitivity"
    assert truth.details["growth_of_perturbations"] > 10
    assert "ND303" not in codes(report)


@pytest.mark.slow
def test_a_stiff_problem_gets_an_implicit_reference_by_itself():
    """4,000 explicit steps for what the reference does in 90."""
    truth = sensitivity_reference(load("vanderpol", {"mu": 1000.0, "T": 4.5}))
    assert truth.details["solver"].startswith("Radau")
    # Steps at a tolerance of 1e-13, and round-off of a few ulp in each of a few hundred.
    assert norm(truth.bar) < 1e-11 * norm(truth.value)


class Relu(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 2))

    def forward(self, t, y):
        return self.net(y)


def test_kinks_are_said_and_no_error():
    z0 = torch.randn(4, 2, generator=torch.Generator().manual_seed(0))
    report = check(
        Problem(Relu(), z0, (0.0, 1.0, 3.0), lambda zs: (zs**2).mean()),
        dtype="float64", rtol=1e-6, repeat=1, methods=["aca", "adjoint"],
    )  # fmt: skip
    (kinks,) = [f for f in report.findings if f.code == "ND403"]
    assert kinks.evidence["crossings"]["relu"] > 0
    assert not [f for f in report.findings if f.severity == "error"]
    assert report.method("aca").errors.discrete.relative_l2 < 1e-7


def test_float32_is_split_into_precision_and_discretisation():
    z0 = torch.randn(4, 2, generator=torch.Generator().manual_seed(0))
    report = check(
        Problem(Relu(), z0, (0.0, 3.0), lambda zs: (zs**2).mean()), rtol=1e-3, repeat=1,
        methods=["aca"], target_error=0.1,
    )  # fmt: skip
    (split,) = [f for f in report.findings if f.code == "ND206"]
    evidence = split.evidence
    # Rounding to 24 bits is 6e-8; over a few dozen stages it stays below 1e-5.
    assert 1e-9 < evidence["precision"] < 1e-5
    assert evidence["error"] <= 1.01 * (evidence["precision"] + evidence["discretisation"])
    # The error is 0.012, as measured; without a target of its own that is more than is wanted.
    assert split.advice.startswith("the target of 0.1 is met as it is; below that, ")


def test_a_jump_that_the_state_decides_has_no_continuous_truth():
    problem = Problem(
        lambda t, z: torch.where(z < 1, torch.ones_like(z), 2 * torch.ones_like(z)),
        torch.zeros(1, dtype=torch.float64),
        (0.0, 2.0),
        lambda zs: zs[-1].sum(),
    )
    report = check(problem, methods=["aca"], max_grad_error=1e-3, repeat=1)
    assert report.gates[0].verdict == "inconclusive"
    assert "ND404" in codes(report)


def test_a_dose_that_the_time_decides_has_one():
    """z' = −a z + k 1[2 < t < 3]: dL/dz0 and dL/dk of z(5)² in closed form."""
    k = torch.tensor(0.7, dtype=torch.float64)
    problem = Problem(
        lambda t, z: -0.5 * z + k * ((t > 2) & (t < 3)),
        torch.ones(1, dtype=torch.float64),
        (0.0, 5.0),
        lambda zs: (zs**2).sum(),
        params={"k": k},
    )
    truth = check(problem, methods=["aca"], repeat=1).references.continuous
    e = torch.exp(torch.tensor([-2.5, -1.5, -1.0], dtype=torch.float64)).tolist()
    gain = (e[2] - e[1]) / 0.5
    z = e[0] + 0.7 * gain
    assert truth.kind == "sensitivity"
    # The jump is passed in steps of 1e-14 of the interval, its place is known to an ulp.
    assert truth.gradient.z0 == pytest.approx([2 * z * e[0]], rel=1e-11)
    assert truth.gradient.params["k"] == pytest.approx([2 * z * gain], rel=1e-11)


def test_a_cut_graph_never_passes_a_gate():
    k = torch.tensor(0.5, dtype=torch.float64)
    problem = Problem(
        lambda t, z: -k * z * z.detach(),
        torch.ones(1, dtype=torch.float64),
        (0.0, 1.0),
        lambda zs: (zs**2).sum(),
        params={"k": k},
    )
    report = check(problem, methods=["adjoint", "aca"], max_grad_error=1e-3, repeat=1)
    assert not report.passed
    assert "ND205" in codes(report)
    assert not {"ND201", "ND202"} & codes(report)  # what follows from it


def test_zero_gradients_are_judged_absolutely():
    problem = Problem(
        lambda t, z: -z, torch.ones(2, dtype=torch.float64), (0.0, 1.0), lambda zs: 0 * zs.sum()
    )
    report = check(problem, methods=["aca"], max_grad_error=1e-6, repeat=1)
    assert report.passed
    assert report.method("aca").errors.continuous.relative_l2 is None
    assert report.method("aca").errors.continuous.absolute_l2 == 0


def test_a_small_component_that_is_lost_in_reverse_time_is_named():
    """z₁ = 1e-4 y of a y that contracts e¹⁰-fold; beside z₀ = 1 nobody sees that it is gone."""
    k = torch.tensor(1.0, dtype=torch.float64)

    def f(t, z):
        y = z[1] / 1e-4
        return torch.stack([0 * z[0], -5e-4 * (y + y**3 - k * torch.cos(t))])

    z0 = torch.tensor([1.0, 1e-4], dtype=torch.float64)
    problem = Problem(f, z0, (0.0, 1.2), lambda zs: zs[-1][1] / 1e-4, params={"k": k})
    report = check(problem, methods=["adjoint", "aca"], rtol=1e-5, atol=1e-9, repeat=1)
    path = report.method("adjoint").reconstruction
    assert path.max_error < 1e-2 < path.component_error
    assert path.component == 1
    (finding,) = [f for f in report.findings if f.code == "ND101"]
    assert "entry 1" in finding.message
    assert "ND103" not in codes(report)


def test_a_random_f_is_said_to_be_that_and_nothing_else():
    """Its noise looks like jumps, kinks and wrong derivatives to whatever compares values."""
    net = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Dropout(0.3), nn.Linear(8, 2)).double()

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = net

        def forward(self, t, z):
            return self.net(z)

    problem = Problem(
        Net(), torch.ones(2, dtype=torch.float64), (0.0, 1.0), lambda zs: zs[-1].sum()
    )
    report = check(
        problem, methods=["aca"], solver="rk4", step_size=0.1, max_grad_error=1e-2, repeat=1
    )
    assert codes(report) == {"ND401"}
    assert report.summary.exit_code == 1
    assert report.inspection.switches == []
    assert report.inspection.dependence is not None
