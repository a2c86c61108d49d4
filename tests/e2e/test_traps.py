"""Ways to make a check lie: each ends in the truth, or in the words that there is none."""

import math

import pytest
import torch
from torch import nn

from node_diag import Problem, check
from node_diag.errors import ProblemError

METHODS = """
import torch
from node_diag.gradients.methods.direct import METHOD as direct


class Base:
    discrete, constant_steps, reconstructs = True, True, False

    def forward(self, field, z0, ts, setup):
        return direct.forward(field, z0, ts, setup)

    def backward(self, tape, cotangents):
        return self.spoil(direct.backward(tape, cotangents), tape)

    def spoil(self, found, tape):
        return found


class Reversed(Base):
    def spoil(self, found, tape):
        found.gradient.params = dict(reversed(found.gradient.params.items()))
        return found


class Swapped(Base):
    def spoil(self, found, tape):
        a, b = found.gradient.params.values()
        found.gradient.params = {"b": a, "a": b}
        return found


class Extra(Base):
    def spoil(self, found, tape):
        found.gradient.params["c"] = found.gradient.z0
        return found


class Nan(Base):
    def spoil(self, found, tape):
        found.gradient.z0 = found.gradient.z0 * float("nan")
        return found


class Halves(Base):
    def spoil(self, found, tape):
        with torch.no_grad():
            for p in tape.field.params.values():
                p.mul_(0.5)
        return found


class Finer(Base):
    def forward(self, field, z0, ts, setup):
        from dataclasses import replace
        finer = replace(setup, forward=replace(setup.forward, rtol=1e-9, atol=1e-9))
        return direct.forward(field, z0, ts, finer)


class Wild(Base):
    def spoil(self, found, tape):
        found.reconstruction = ["not", "pairs"]
        return found


reversed_, swapped, extra, nan = Reversed(), Swapped(), Extra(), Nan()
halves, finer, wild = Halves(), Finer(), Wild()
"""


@pytest.fixture
def method(tmp_path):
    path = tmp_path / "methods.py"
    path.write_text(METHODS)
    return lambda name: f"{path}:{name}"


def number(x):
    return torch.tensor(x, dtype=torch.float64)


def two_parameters():
    a, b = number(1.0), number(0.5)
    return Problem(
        lambda t, z: -a * z + b * torch.cos(t), number([1.0]), (0.0, 2.0),
        lambda zs: zs[-1].sum(), params={"a": a, "b": b},
    )  # fmt: skip


def run(problem, *methods, **options):
    options.setdefault("max_grad_error", 1e-2)
    return check(problem, methods=methods, repeat=1, **options)


def verdicts(report):
    return {gate.method: gate.verdict for gate in report.gates}


def test_parameters_count_by_name_not_by_order(method):
    report = run(two_parameters(), method("reversed_"), method("swapped"), method("extra"))
    assert verdicts(report) == {"reversed_": "pass", "swapped": "fail", "extra": "fail"}
    assert "'c', which is no parameter" in report.method("extra").failure


def test_second_order_is_of_the_gradient_that_is_returned(method):
    report = run(
        two_parameters(), method("nan"), "direct", order=2, gates=["*.hvp_error<=1e-6"],
        max_grad_error=[],
    )  # fmt: skip
    assert verdicts(report) == {"nan": "inconclusive", "direct": "pass"}
    assert "another gradient" in report.method("nan").second_order.reason
    assert not report.passed
    (finding,) = [f for f in report.findings if f.code == "ND209"]
    assert finding.method == "nan"


def test_a_method_that_changes_the_parameters_spoils_its_own_row_only(method):
    report = run(two_parameters(), method("halves"), "direct", "aca")
    assert verdicts(report) == {"halves": "fail", "direct": "pass", "aca": "pass"}
    assert "changed the parameter" in report.method("halves").failure


def test_a_method_with_steps_of_its_own_is_not_held_against_ours(method):
    report = run(two_parameters(), method("finer"), "direct")
    assert report.method("finer").errors.discrete is None
    assert report.findings == [f for f in report.findings if f.code != "ND201"]
    assert report.passed


def test_whatever_a_method_returns_is_a_row(method):
    report = run(two_parameters(), method("wild"), "direct")
    assert report.method("wild").status == "failed"
    assert verdicts(report)["direct"] == "pass"


class Turning(nn.Module):
    """A complex buffer: the state is a point in the plane, turned and damped."""

    def __init__(self):
        super().__init__()
        self.register_buffer("rate", torch.tensor(-0.1 + 2j))
        self.k = nn.Parameter(torch.ones(()))

    def forward(self, t, z):
        return torch.view_as_real(self.k * self.rate * torch.view_as_complex(z))


def test_complex_buffers_keep_their_imaginary_part():
    """Re exp((−0.1 + 2i) 2) = e^−0.2 cos 4 = −0.535158."""
    problem = Problem(Turning(), torch.tensor([1.0, 0.0]), (0.0, 2.0), lambda zs: zs[-1, 0])
    report = run(problem, "aca", rtol=1e-8, dtype="float64")
    assert report.solution.loss == pytest.approx(-0.535158, abs=1e-6)
    assert report.passed


def test_complex_parameters_are_refused():
    class Complex(nn.Module):
        def __init__(self):
            super().__init__()
            self.w = nn.Parameter(torch.tensor(1j))

        def forward(self, t, z):
            return z * self.w.real

    with pytest.raises(ProblemError, match="'w' is complex"):
        Problem(Complex(), torch.ones(1), (0.0, 1.0), lambda zs: zs.sum())


def test_a_closed_form_does_not_excuse_a_wrong_loss():
    k = number(1.0)
    problem = Problem(
        lambda t, z: -k * z, number([1.0]), (0.0, 1.0),
        lambda zs: (zs[-1] * zs[-1].detach()).sum(), params={"k": k},
        exact=lambda ts, z0, p: z0 * torch.exp(-p["k"] * (ts[1:] - ts[0]))[:, None],
    )  # fmt: skip
    report = run(problem, "aca", "direct")
    assert set(verdicts(report).values()) == {"inconclusive"}
    assert "ND205" in {f.code for f in report.findings}


class HalfSquare(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx, g):
        return g * ctx.saved_tensors[0]  # half of what it should be


def test_the_losss_own_parameters_are_looked_at():
    k = number(1.0)
    problem = Problem(
        lambda t, z: -k * z, number([1.0]), (0.0, 1.0),
        lambda zs: zs[-1].sum() + 5 * HalfSquare.apply(k), params={"k": k},
    )  # fmt: skip
    report = run(problem, "aca")
    (finding,) = [f for f in report.findings if f.code == "ND205"]
    assert "loss" in finding.message
    assert not report.passed


class Deep(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(2, 2) for _ in range(14))
        self.gain = nn.Parameter(torch.ones(()))

    def forward(self, t, z):
        for layer in self.layers:
            z = torch.tanh(layer(z))
        return self.gain.detach() * z


def test_the_smallest_of_many_tensors_is_looked_at():
    torch.manual_seed(0)
    problem = Problem(Deep().double(), number([1.0, 0.5]), (0.0, 1.0), lambda zs: zs.sum())
    report = run(problem, "aca", "adjoint", "naive")
    (finding,) = [f for f in report.findings if f.code == "ND205"]
    assert "gain" in finding.message
    # The adjoint and naive do not claim to be the derivative of the steps, but inherit it as well.
    assert sorted(finding.evidence["methods"]) == ["aca", "adjoint", "naive"]
    assert all(method.accused for method in report.methods)
    assert not report.passed


def test_a_parameter_that_moves_a_jump_has_no_known_gradient():
    """z' = k for t > τ: dL/dτ = −k, and autograd says 0."""
    k, tau = number(1.0), number(0.5)
    problem = Problem(
        lambda t, z: k * torch.where(t > tau, 1.0, 0.0) + 0 * z, number([0.0]), (0.0, 1.0),
        lambda zs: zs[-1].sum(), params={"k": k, "tau": tau},
    )  # fmt: skip
    report = run(problem, "aca")
    assert set(verdicts(report).values()) == {"inconclusive"}
    assert "tau" in report.references.continuous.reason


def test_an_f_of_seven_digits_is_named():
    class Single(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = nn.Linear(2, 2)

        def forward(self, t, z):
            return torch.tanh(z.float() @ self.net.weight.float().T).double()

    torch.manual_seed(0)
    problem = Problem(Single().double(), number([1.0, 0.5]), (0.0, 1.0), lambda zs: zs.sum())
    report = run(problem, "aca")
    assert set(verdicts(report).values()) == {"inconclusive"}
    assert "float32" in report.references.continuous.reason
    assert [f.code for f in report.findings if f.severity == "error"] == []


def test_a_float32_branch_inside_f_is_no_wrong_derivative():
    """Below a float32 quantum its differences are flat, and look as exact as any."""

    class Mixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(2, 8), nn.Linear(8, 2)
            self.k = nn.Parameter(number(1.0))

        def forward(self, t, z):
            single = nn.functional.linear(z.float(), self.a.weight.float(), self.a.bias.float())
            return -self.k * z + self.b(torch.tanh(single).double())

    torch.manual_seed(1)
    problem = Problem(Mixed().double(), number([0.3, -0.7]), (0.0, 1.0), lambda zs: zs.sum())
    report = run(problem, "aca")
    assert set(verdicts(report).values()) == {"inconclusive"}
    assert "float32" in report.references.discrete.reason
    assert [f.code for f in report.findings if f.severity == "error"] == []


def test_a_short_dose_is_seen_where_f_cannot_be_vmapped():
    """A box of a two-hundredth of the interval."""
    k = number(1.0)

    def f(t, z):
        return -z + k * (1.0 if 1.4 < float(t.detach()) < 1.425 else 0.0)

    problem = Problem(f, number([0.0]), (0.0, 5.0), lambda zs: zs[-1].sum(), params={"k": k})
    truth = run(problem, "aca", solver="rk4", step_size=0.025).references.continuous
    assert truth.kind == "sensitivity"
    # dL/dk = e^−3.575 − e^−3.6
    exact = 2.7182818284590452**-3.575 - 2.7182818284590452**-3.6
    assert abs(truth.gradient.params["k"][0] - exact) <= truth.absolute_uncertainty + 1e-12


def test_what_was_computed_once_and_kept_trains_nothing():
    """As odeint_adjoint leaves it behind, whose forward pass has no graph."""

    class Cached(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Parameter(torch.randn(2, 2, dtype=torch.float64))
            with torch.no_grad():
                self.kept = self.a - self.a.T

        def forward(self, t, z):
            return z @ self.kept

    problem = Problem(Cached(), number([1.0, 0.5]), (0.0, 1.0), lambda zs: zs.square().sum())
    report = run(problem, "aca")
    (finding,) = [f for f in report.findings if f.code == "ND409"]
    assert "nothing of f can be trained" in finding.message
    assert finding.severity == "error"


def test_one_tensor_has_one_name():
    k = number(1.0)
    with pytest.raises(ProblemError, match="the same tensor"):
        Problem(
            lambda t, z: -k * z, number([1.0]), (0.0, 1.0), lambda zs: zs.sum(),
            params={"k": k, "rate": k},
        )  # fmt: skip


@pytest.mark.parametrize(
    "f",
    [
        lambda t, z: torch.as_tensor(__import__("numpy").tanh(z.numpy())),
        lambda t, z: -z.clamp_(min=0) if z.requires_grad else -z,
    ],
    ids=["numpy", "in place"],
)
def test_an_f_that_autograd_cannot_follow_is_a_failed_row(f):
    report = run(Problem(f, number([1.0]), (0.0, 1.0), lambda zs: zs.sum()), "direct")
    assert report.method("direct").status == "failed"
    assert not report.passed


def test_a_loss_of_1e300_is_a_result():
    a = number(1.0)
    problem = Problem(
        lambda t, z: -a * z, number([1.0]), (0.0, 1.0), lambda zs: 1e300 * (zs**2).sum(),
        params={"a": a},
    )  # fmt: skip
    report = run(problem, "adjoint", "aca")
    assert verdicts(report)["aca"] in ("pass", "inconclusive")


class Clocked(nn.Module):
    """The time leaves the graph: no gradient in times is right, and those in z0 and θ are."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Linear(2, 2)

    def forward(self, t, z):
        return torch.tanh(self.net(z)) + math.sin(3 * float(t))


def test_a_time_that_autograd_does_not_see_makes_no_gradient_wrong():
    problem = Problem(Clocked().double(), number([1.0, 0.5]), (0.0, 1.0), lambda zs: zs.sum())
    report = run(problem, "aca", "direct")
    assert {f.code: f.severity for f in report.findings if f.code in ("ND201", "ND207")} == {
        "ND207": "info"
    }
    assert not any(method.accused for method in report.methods)
    assert report.passed


def test_a_loss_that_is_cut_off_is_not_said_to_ignore_the_states():
    k = number(1.0)
    problem = Problem(
        lambda t, z: -k * z, number([1.0]), (0.0, 1.0),
        lambda zs: zs.detach().square().mean().requires_grad_(), params={"k": k},
    )  # fmt: skip
    found = {f.code for f in run(problem, "aca").findings}
    assert "ND205" in found
    assert "ND411" not in found


def test_a_perturbation_that_makes_another_problem_ends_early():
    """w = 1e-12 moved by 1e-6 is a million times as stiff: 100,000 trials, for nothing."""
    w = number(1e-12)
    problem = Problem(
        lambda t, z: -w * z * 1e12, number([1e-15]), (0.0, 1.0), lambda zs: zs.sum(),
        params={"w": w},
    )  # fmt: skip
    report = run(problem, "aca")
    assert "takes more than" in report.references.unfrozen.reason
    assert report.method("aca").errors.continuous.relative_l2 < 1e-3


class Product(torch.autograd.Function):
    """A right backward formula of one's own, of a closed-over tensor."""

    @staticmethod
    def forward(ctx, w, z):
        ctx.save_for_backward(w, z)
        return w * z

    @staticmethod
    def backward(ctx, g):
        w, z = ctx.saved_tensors
        return (g * z).sum(), g * w


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_a_backward_formula_of_a_plain_functions_parameter(dtype):
    w = torch.tensor(0.7, dtype=dtype)
    problem = Problem(
        lambda t, z: -Product.apply(w, z), torch.tensor([1.0, 2.0], dtype=dtype), (0.0, 1.0),
        lambda zs: zs.square().sum(), params={"w": w},
    )  # fmt: skip
    before = torch.autograd.Function.__dict__["apply"]
    report = run(problem, "aca", "direct")
    assert report.passed
    assert not any(f.severity == "error" for f in report.findings)
    assert torch.autograd.Function.__dict__["apply"] is before
