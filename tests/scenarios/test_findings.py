"""Every finding fires where it should and is silent next door; healthy problems get no errors."""

import pytest

from node_diag import check
from node_diag.diagnosis.again import COMMANDS
from node_diag.registry import FINDINGS
from tests.scenarios.cases import PAIRS
from tests.scenarios.healthy import HEALTHY

WRONG = '''
from node_diag.gradients.methods.direct import METHOD as direct


class Wrong:
    """Direct, with 10 % too much in z0."""

    discrete, constant_steps, reconstructs = True, True, False

    def forward(self, field, z0, ts, setup):
        return direct.forward(field, z0, ts, setup)

    def backward(self, tape, cotangents):
        found = direct.backward(tape, cotangents)
        found.gradient.z0 *= 1.1
        return found


METHOD = Wrong()


def with_k(problem):
    """z' = −k z over (0, 1), L = |z(1)|²."""
    shrunk = problem.z0 * (-2 * problem.params["k"]).exp()
    return float(problem.z0 @ shrunk), {"z0": 2 * shrunk, "k": -2 * problem.z0 @ shrunk}


def other_loss(problem):
    loss, found = with_k(problem)
    return 1.5 * loss, found


def without_k(problem):
    loss, found = with_k(problem)
    return loss, {**found, "k": 0.0}
'''


def found(scenario, tmp_path):
    (tmp_path / "wrong.py").write_text(WRONG)
    options = dict(scenario.options)
    options["methods"] = [
        m.replace("{wrong}", str(tmp_path / "wrong.py")) for m in options["methods"]
    ]
    return check(scenario.problem(), **options)


def test_every_finding_has_its_pair():
    assert {name.split("-")[0].upper() for name in FINDINGS.names()} == set(PAIRS)


@pytest.mark.parametrize("code", PAIRS)
def test_fires(code, tmp_path):
    report = found(PAIRS[code][0], tmp_path)
    mine = [finding for finding in report.findings if finding.code == code]
    assert mine, f"found {sorted({f.code for f in report.findings})} instead"
    for finding in mine:
        assert finding.evidence
        # One thing to try, that can be copied: a command where one could name the problem.
        assert any(one in finding.advice for one in COMMANDS)
        assert ("node-diag " in finding.advice) == bool(report.problem.source)


@pytest.mark.parametrize("code", PAIRS)
def test_is_silent_next_door(code, tmp_path):
    report = found(PAIRS[code][1], tmp_path)
    assert code not in {finding.code for finding in report.findings}


@pytest.mark.parametrize("name", HEALTHY)
def test_no_false_alarm(name):
    report = check(HEALTHY[name](), methods=["aca", "direct", "adjoint", "naive"], repeat=1)
    assert [f.code for f in report.findings if f.severity == "error"] == []
