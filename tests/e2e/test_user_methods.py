"""Gradient methods from the user's own file: checked like ours, contained if they misbehave."""

import pytest
import torch
from torch import nn

from node_diag import Problem, check, gradient
from node_diag.errors import ProblemError, UsageError
from node_diag.loader import load

FILE = """
from node_diag.gradients.methods.aca import Aca


class Tenth(Aca):
    def backward(self, tape, cotangents):
        result = super().backward(tape, cotangents)
        names = [name for name in result.gradient.params if name.endswith("2.weight")]
        result.gradient.params[names[0]] *= 1.1
        return result


class Number(Aca):
    def backward(self, tape, cotangents):
        return 3


class Exits(Aca):
    def forward(self, field, z0, ts, setup):
        raise SystemExit(0)


class Forgets(Aca):
    def backward(self, tape, cotangents):
        result = super().backward(tape, cotangents)
        result.gradient.params.popitem()
        return result


class Shape(Aca):
    def backward(self, tape, cotangents):
        result = super().backward(tape, cotangents)
        result.gradient.z0 = result.gradient.z0[:-1]
        return result


class Start(Aca):
    def backward(self, tape, cotangents):
        result = super().backward(tape, cotangents)
        result.gradient.z0 *= 1.1
        return result


class Times(Aca):
    def __init__(self, add):
        self.add = add

    def backward(self, tape, cotangents):
        result = super().backward(tape, cotangents)
        result.gradient.ts = result.gradient.ts + 0.0
        result.gradient.ts[1] += self.add
        return result


late, undefined = Times(7.0), Times(float("nan"))
METHOD, number, exits, forgets, shape = Tenth(), Number(), Exits(), Forgets(), Shape()
start = Start()
aca, nothing = Aca(), object()
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(FILE)
    return str(path)


def named(report, code="ND201"):
    (finding,) = [f for f in report.findings if f.code == code]
    return finding


def test_ten_percent_in_one_layer_are_caught_and_the_layer_is_named(file):
    report = check(load("spiral", {}), methods=["aca", file], max_grad_error=1e-2, repeat=1)
    assert {m.name: m.verdict for m in report.methods} == {"aca": "pass", "mine": "fail"}
    finding = named(report)
    assert finding.method == "mine"
    assert "all of it in layers.2.weight" in finding.message
    # 1.1 is a rounded number and each product is rounded once: a few ulp.
    assert finding.evidence["by_tensor"] == {"layers.2.weight": pytest.approx(0.1, rel=1e-6)}
    assert "ND211" not in {f.code for f in report.findings}  # the same tensor, named once


@pytest.mark.parametrize(
    ("others", "advised"),
    [
        # The right one has run: what is new is a gate to mend it against.
        (["aca"], "--method aca,{file} --gate 'start.grad_error_discrete<=1e-06'"),
        ([], "--method aca,{file}"),
    ],
)
def test_what_is_advised_keeps_the_method_and_adds_something(file, others, advised):
    mine = f"{file}:start"
    report = check(load("linear", {}), methods=[*others, mine], repeat=1)
    assert named(report).advice.endswith(advised.format(file=mine))


class Wide(nn.Module):
    """20,152 parameters."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        sizes = [(2, 100), (100, 190), (190, 2)]
        layers = [layer for pair in sizes for layer in (nn.Linear(*pair), nn.Tanh())]
        self.net = nn.Sequential(*layers[:-1])

    def forward(self, t, y):
        return self.net(y**3)


@pytest.mark.slow
def test_twenty_thousand_parameters(file):
    z0 = torch.randn(16, 2, generator=torch.Generator().manual_seed(0))
    problem = Problem(Wide(), z0, torch.linspace(0.0, 2.0, 11), lambda zs: (zs**2).mean())
    report = check(problem, methods=["aca", file], dtype="float64", repeat=1)
    truths = report.references
    assert "16 random orthonormal directions" in truths.discrete.details["method"]
    assert truths.discrete.details["confidence"] == 0.999
    assert truths.discrete.details["relative_error_bound_in_any_tensor"] < 1e-6
    assert truths.continuous.details["tangents"]["distance"] < 1e-10
    assert truths.continuous.uncertainty < 1e-12
    assert report.method("aca").errors.discrete.relative_l2 < 1e-12
    assert "all of it in net.2.weight, which is off by 1.0e-01" in named(report).message


@pytest.mark.parametrize(
    ("attribute", "message"),
    [
        ("number", "backward returned a int, not a Backward"),
        ("exits", "forward raised SystemExit: 0 (mine.py, line"),
        ("forgets", "backward returned a gradient that is a NoneType for mu, which has shape ()"),
        ("shape", "backward returned a gradient of shape (1,) for z0, which has shape (2,)"),
    ],
)
def test_a_method_that_misbehaves_is_a_failed_row(file, attribute, message):
    report = check(
        load("vanderpol", {"T": 1.0}), methods=["aca", f"{file}:{attribute}"], repeat=1,
        max_grad_error=1e-2,
    )  # fmt: skip
    row = report.method(attribute)
    assert row.status == "failed"
    assert message in row.failure
    assert report.method("aca").status == "ok"
    assert not report.passed


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("nowhere.py", UsageError, "there is no file 'nowhere.py'"),
        ("{file}:nobody", UsageError, "has no attribute 'nobody'"),
        ("{file}:nothing", ProblemError, "has no forward"),
        ("{file}:aca", UsageError, "would be called 'aca' in the report"),
    ],
)
def test_what_is_no_method_is_said(file, name, error, message):
    with pytest.raises(error, match=message.replace("(", r"\(")):
        check(load("vanderpol", {"T": 1.0}), methods=["aca", name.format(file=file)], repeat=1)


def test_gates_know_its_name(file):
    report = check(
        load("linear", {}), methods=[f"{file}:shape", "aca"], gates=["shape.grad_error<=1"],
        repeat=1,
    )  # fmt: skip
    assert [gate.method for gate in report.gates] == ["shape"]


def test_one_gradient_by_it(file):
    problem = load("spiral", {})
    mine, ours = gradient(problem, file), gradient(problem, "aca")
    name = "layers.2.weight"
    assert mine.method == "mine"
    assert torch.allclose(mine.gradient.params[name], 1.1 * ours.gradient.params[name])


def test_a_derivative_in_an_observation_time_that_is_wrong_or_nan_is_found(file):
    problem = load("spiral", {})
    mine = [f"{file}:late", f"{file}:undefined"]
    report = check(problem, methods=["aca", *mine], max_grad_error=1e-2, repeat=1)
    wrong, nan = named(report), named(report, "ND209")
    assert (wrong.method, nan.method) == ("late", "undefined")
    assert wrong.evidence["worst"] == "ts[1]"
    assert "aca,late" not in wrong.advice
    assert "aca is right" in wrong.advice
    assert nan.evidence["tensors"] == ["ts[1]"]
    verdicts = {gate.method: gate.verdict for gate in report.gates}
    # The limit is on z0 and the parameters, which are right; NaN passes nothing.
    assert verdicts == {"aca": "pass", "late": "pass", "undefined": "inconclusive"}
    assert not report.passed


SMALL = """
import torch
from node_diag import Problem, gradient

w = torch.tensor([3.0, -2.0], dtype=torch.float64)
g = torch.tensor(1.0, dtype=torch.float64)


def f(t, z):
    return -w * z + 0.01 * g * torch.sin(z)


problem = Problem(f, torch.ones(2, dtype=torch.float64), (0.0, 2.0), lambda zs: zs.sum(),
                  params={"w": w, "g": g})


def gradients(problem, factor):
    found = gradient(problem, "direct", rtol=1e-8, atol=1e-8)
    values = {**found.gradient.params, "z0": found.gradient.z0}
    values["g"] = values["g"] * factor
    return found.loss, values


def right(problem):
    return gradients(problem, 1.0)


def small(problem):
    return gradients(problem, 1.1)


def lost(problem):
    return gradients(problem, float("nan"))
"""


def test_a_small_tensor_of_a_function_is_held_against_its_own_truth(tmp_path):
    """Ten per cent of a thousandth of the norm: the whole is right, and one parameter is not."""
    path = tmp_path / "small.py"
    path.write_text(SMALL)
    mine = [f"{path}:right", f"{path}:small"]
    report = check(load(str(path), {}), methods=["aca", *mine], rtol=1e-8, atol=1e-8, repeat=1)
    assert report.method("small").errors.continuous.relative_l2 < 1e-2
    finding = named(report, "ND211")
    assert finding.method == "small"
    # 1.1 of what is right to 1e-6, the tolerance times the growth of the solve.
    assert finding.evidence["by_tensor"] == {"g": pytest.approx(0.1, abs=1e-4)}
    assert "look at its formula" in finding.advice
    assert "it is off in g by" in finding.message  # from more than 10 % on it is wrong


def test_half_of_a_small_tensor_is_wrong(tmp_path):
    path = tmp_path / "small.py"
    path.write_text(SMALL + "\n\ndef half(problem):\n    return gradients(problem, 0.5)\n")
    mine = f"{path}:half"
    report = check(load(str(path), {}), methods=["aca", mine], rtol=1e-8, atol=1e-8, repeat=1)
    assert "it is wrong in g by" in named(report, "ND211").message


def test_a_nan_of_a_function_is_not_laid_to_f(tmp_path):
    path = tmp_path / "small.py"
    path.write_text(SMALL)
    report = check(load(str(path), {}), methods=["aca", f"{path}:lost"], repeat=1)
    finding = named(report, "ND209")
    assert finding.evidence["tensors"] == ["g"]
    assert finding.advice.startswith("look at how it computes that")
