"""Who makes a NaN: f, the loss, or the method; never one of the other two."""

import pytest
import torch

from node_diag import Problem, check
from node_diag.outputs.verdict import headline
from tests.scenarios.cases import SQRT, builtin, decay, plain, tensor

OWN = """
from node_diag.gradients.methods.aca import Aca


class Overflow(Aca):
    def backward(self, tape, cotangents):
        result = super().backward(tape, cotangents)
        result.gradient.z0 *= float("inf")
        return result


METHOD = Overflow()
"""


def blamed(report, method):
    (finding,) = [f for f in report.findings if f.code == "ND209" and f.method == method]
    return finding


def test_a_method_of_ones_own(tmp_path):
    (tmp_path / "overflow.py").write_text(OWN)
    mine = str(tmp_path / "overflow.py")
    report = check(decay()(), methods=["aca", mine], repeat=1)
    finding = blamed(report, "overflow")
    assert finding.evidence["source"] == "method"
    assert "look at f" not in finding.advice
    assert f"methods=['direct', '{mine}']" in finding.advice


@pytest.mark.parametrize("method", ["aca", "adjoint", "naive"])
def test_f(method):
    """The adjoint ends without a gradient, by f's derivative and not by an unstable reverse flow."""
    report = check(SQRT(), methods=[method], repeat=1)
    assert blamed(report, method).evidence["source"] == "f"
    assert not any(f.code == "ND102" for f in report.findings)


def test_one_cause_is_one_finding():
    report = check(SQRT(), methods=["aca", "naive", "direct"], repeat=1)
    finding = blamed(report, None)
    assert finding.evidence["methods"] == ["aca", "naive", "direct"]
    assert finding.message.startswith("aca, naive, direct: ")
    assert headline(report).title == "aca, naive and direct return wrong gradients"


def test_the_loss():
    # The second entry stays at 0, where the slope of the root is infinite.
    make = plain(
        lambda t, z: torch.stack([-z[0], 0 * z[1]]), tensor(1.0, 0.0),
        loss=lambda zs: zs[-1, 0] + zs[-1, 1].sqrt(),
    )  # fmt: skip
    report = check(make(), methods=["aca"], repeat=1)
    finding = blamed(report, "aca")
    assert finding.evidence["source"] == "loss"
    assert "in the loss" in finding.advice


def test_an_unstable_reverse_flow_is_no_nan():
    report = check(builtin("vanderpol", mu=5)(), methods=["adjoint"], repeat=1)
    codes = {f.code for f in report.findings}
    assert "ND102" in codes
    assert "ND209" not in codes


def test_one_cause_is_one_finding_for_who_has_a_gradient_and_who_has_none():
    z0 = torch.tensor([1.0], dtype=torch.float64)
    problem = Problem(
        lambda t, z: -z, z0, (0.0, 1.0), lambda zs: zs.sum() + torch.sqrt((zs * 0).sum())
    )
    report = check(problem, methods=["adjoint", "aca"], repeat=1)
    (finding,) = [f for f in report.findings if f.code == "ND209"]
    assert finding.evidence["methods"] == ["adjoint", "aca"]
    assert "ND407" not in {f.code for f in report.findings}
