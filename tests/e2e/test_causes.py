"""Every gradient that is called wrong has a finding that names it, whatever the solver."""

import pytest
import torch

from node_diag import Problem, check
from node_diag.outputs.verdict import headline, method_word

CAUSES = ("ND1", "ND2")
NOTES = ("ND206", "ND210")
"""They say more of an error that another finding explains."""
FIXED = {"euler": (0.5, 0.1), "midpoint": (0.5,), "heun": (0.5,), "rk4": (0.5,)}
ADAPTIVE = {
    "heun-euler": (1e-2, 1e-3), "bosh3": (1e-2, 1e-4), "dopri5": (1e-2, 1e-3, 1e-5),
    "tsit5": (1e-2, 1e-3, 1e-5),
}  # fmt: skip
FAST = {"linear": {}, "equilibrium": {}}
OSCILLATING = {"vanderpol": {"mu": 1, "T": 5}}
SAMPLED = [
    ("threebody", {"T": 0.5}, "bosh3", "rtol", 1e-4),
    ("threebody", {}, "heun", "step_size", 0.1),
    ("spiral", {}, "heun-euler", "rtol", 1e-2),
    ("spiral", {}, "rk4", "step_size", 0.5),
    ("lotkavolterra", {}, "euler", "step_size", 0.1),
    ("lotkavolterra", {}, "dopri5", "rtol", 1e-3),
]
"""Of the problems that take half a minute each, the settings that were found wanting."""


def _grid(problems):
    for spec, overrides in problems.items():
        for solver, values in (FIXED | ADAPTIVE).items():
            for value in values:
                option = "step_size" if solver in FIXED else "rtol"
                name = f"{spec}-{solver}-{value:g}"
                yield pytest.param(spec, overrides, {"solver": solver, option: value}, id=name)


def named(report):
    """Methods that some cause names."""
    for finding in report.findings:
        if finding.code.startswith(CAUSES) and finding.code not in NOTES:
            yield from [finding.method, *finding.evidence.get("methods", [])]


def unexplained(report):
    wrong = {m.name for m in report.methods if method_word(m) in ("wrong", "off", "failed")}
    return wrong - set(named(report))


@pytest.mark.parametrize(("spec", "overrides", "options"), list(_grid(FAST)))
def test_every_wrong_gradient_has_a_cause(checked, spec, overrides, options):
    assert unexplained(checked(spec, overrides, **options)) == set()


@pytest.mark.slow
@pytest.mark.parametrize(("spec", "overrides", "options"), list(_grid(OSCILLATING)))
def test_every_wrong_gradient_of_van_der_pol_has_one(checked, spec, overrides, options):
    assert unexplained(checked(spec, overrides, **options)) == set()


@pytest.mark.slow
@pytest.mark.parametrize(("spec", "overrides", "solver", "option", "value"), SAMPLED)
def test_so_has_every_one_of_larger_problems(checked, spec, overrides, solver, option, value):
    assert unexplained(checked(spec, overrides, solver=solver, **{option: value})) == set()


@pytest.mark.parametrize("method", ["naive", "adjoint"])
def test_a_cause_needs_no_other_method(checked, method):
    # Step 0.5 of e^{t}: midpoint's growth over T = 2 is off by some per cent, in either method.
    report = checked("linear", {"k": -1.5}, solver="midpoint", step_size=0.5, methods=method)
    assert method_word(report.method(method)) != "right"
    assert unexplained(report) == set()


def test_a_state_far_below_atol():
    """Steps grow tenfold, and the gradient is off by less than 10 %: between two findings once."""
    w = torch.tensor(2.0, dtype=torch.float64)
    problem = Problem(
        lambda t, z: -w * z * torch.cos(t), torch.tensor([1e-12], dtype=torch.float64), (0.0, 3.0),
        lambda zs: zs[-1].sum(), params={"w": w},
    )  # fmt: skip
    report = check(problem, methods=["aca"], repeat=1)
    assert method_word(report.method("aca")) == "off"
    (finding,) = [f for f in report.findings if f.code == "ND203"]
    assert finding.severity == "warning"
    assert finding.evidence["methods"] == ["aca"]
    assert "control='sensitivities'" in finding.advice


GARBAGE = """
from node_diag.gradients.methods.aca import Aca


class Twice(Aca):
    discrete = constant_steps = False

    def backward(self, tape, cotangents):
        result = super().backward(tape, cotangents)
        result.gradient.z0 *= 2
        return result


METHOD = Twice()
"""


def test_a_method_of_ones_own_that_claims_nothing(checked, tmp_path):
    (tmp_path / "twice.py").write_text(GARBAGE)
    report = checked("linear", methods=f"{tmp_path / 'twice.py'},aca")
    assert unexplained(report) == set()
    (finding,) = [f for f in report.findings if f.code == "ND201"]
    assert finding.method == "twice"
    assert "the method itself is wrong" in finding.message


def test_a_lost_state_is_not_cured_by_a_method_that_was_worse(checked):
    """Euler's step 0.5 ruins both directions: aca is further off than the adjoint."""
    report = checked("linear", solver="euler", step_size=0.5)
    far = {m.name: m.errors.continuous.relative_l2 for m in report.methods}
    assert far["aca"] > far["adjoint"] > 0.1
    (finding,) = [f for f in report.findings if f.code == "ND101"]
    assert finding.severity == "warning"  # the steps are to blame, for both
    # What is advised instead was run, or is said to come first.
    assert "on better steps; the error is then" in finding.advice or "finer" in finding.advice
    assert "--step-size" in finding.advice


def test_how_far_to_tighten_the_backward_solve_was_seen(checked):
    report = checked("equilibrium", methods="adjoint,aca", control="sensitivities")
    (finding,) = [f for f in report.findings if f.code == "ND103"]
    last = report.method("adjoint").tightened[-1]
    # An error of 1 % is what the finding is about, and the target is 100 rtol.
    assert last.met
    assert last.error + last.uncertainty <= 1e-3
    assert f"--adjoint-rtol {last.adjoint_rtol:g}".replace("e-0", "e-") in finding.advice
    assert f"off by {last.error:.1e}" in finding.message


class Off(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return -x

    @staticmethod
    def backward(ctx, cotangent):
        return -1.1 * cotangent


def test_what_autograd_gets_wrong_is_the_headline_and_no_method_is_accused(tmp_path):
    (tmp_path / "twice.py").write_text(GARBAGE.replace("False", "True"))
    mine = str(tmp_path / "twice.py")
    z0 = torch.tensor([1.0, 2.0], dtype=torch.float64)
    problem = Problem(lambda t, z: Off.apply(z), z0, (0.0, 1.0), lambda zs: zs[-1].sum())
    report = check(problem, methods=["aca", "direct", mine], repeat=1)
    assert headline(report).title.startswith("Autograd does not give the derivative of f; ")
    blamed = [f.method for f in report.findings if f.code == "ND201"]
    assert blamed == ["twice"]  # off by a factor of its own besides
    assert unexplained(report) == set()


@pytest.mark.parametrize("cut", [True, False])
def test_step_size_terms_where_the_time_is_cut(cut):
    k = torch.tensor(1.0, dtype=torch.float64)
    z0 = torch.tensor([1.0, 0.0], dtype=torch.float64)

    def f(t, z):
        return -k * z + torch.sin(t.detach() if cut else t)

    problem = Problem(f, z0, (0.0, 2.0), lambda zs: zs[-1].sum(), params={"k": k})
    report = check(problem, methods=["aca", "naive"], repeat=1)
    found = {f.code: f for f in report.findings}
    if cut:
        assert "(ND207)" in found["ND202"].message
        assert found["ND207"].severity == "warning"
        assert "naive is off by" in found["ND207"].message
    else:
        # 7e-6 of error, below the 1 % from which a gradient is called off: no warning.
        assert {f.code for f in report.findings if f.severity != "info"} == set()
