"""Every finding fires where it should and is silent next door; healthy problems get no errors.

The commands that findings advise are run: they are valid, and cure what they claim to cure.
"""

import json
import re
import shlex
from pathlib import Path

import pytest
from typer.main import get_command

from node_diag import check
from node_diag.cli import app
from node_diag.config_sources import resolve
from node_diag.diagnosis.again import COMMANDS
from node_diag.diagnosis.rule import diagnose
from node_diag.loader import load
from node_diag.pipeline import Request, run_check
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


MODULE = """
import sys

sys.path.insert(0, {root!r})
from tests.scenarios.cases import PAIRS

problem = PAIRS[{code!r}][0].problem
"""
ROOT = Path(__file__).parents[2]
CURED = ("ND101", "ND102", "ND103", "ND104", "ND202", "ND203", "ND204")
"""The advice is a remedy; for others it is a way to see more, or needs a change of the module."""
LONG = ("ND101", "ND102", "ND103", "ND104", "ND202", "ND204")
BROKEN = ("ND413", "ND414")
"""The module has to be mended first: exit code 2."""
VALID = ("ND210", "ND303", "ND402", "ND403", "ND405", "ND406", "ND408")
"""They only let one see more and take a minute each; that they are commands has to do."""


def options_of(scenario, folder):
    """Options of a scenario, with the file of wrong methods that it may name."""
    (folder / "wrong.py").write_text(WRONG)
    methods = [m.replace("{wrong}", str(folder / "wrong.py")) for m in scenario.options["methods"]]
    return {**scenario.options, "methods": methods}


@pytest.fixture(scope="module")
def firing(tmp_path_factory):
    """``firing("ND101")`` → Report of the first of its pair, from a file, made once."""
    made = {}

    def report(code):
        if code not in made:
            folder = tmp_path_factory.mktemp(code)
            (folder / "scenario.py").write_text(MODULE.format(root=str(ROOT), code=code))
            config = resolve(options_of(PAIRS[code][0], folder), {}, None).config
            spec = str(folder / "scenario.py")
            made[code] = run_check(Request(load(spec), config, spec))
        return made[code]

    return report


def with_code(code, findings):
    return [finding for finding in findings if finding.code == code]


def test_every_finding_has_its_pair():
    assert {name.split("-")[0].upper() for name in FINDINGS.names()} == set(PAIRS)


@pytest.mark.parametrize("code", PAIRS)
def test_fires(code, firing):
    report = firing(code)
    mine = with_code(code, report.findings)
    assert mine, f"found {sorted({f.code for f in report.findings})} instead"
    for finding in mine:
        assert finding.evidence
        assert re.search(r"node-diag (check|show) ", finding.advice)
    # Of a problem that a program made there is no name for a command line: a call is advised.
    made = report.problem.model_copy(update={"source": ""})
    nameless = with_code(code, diagnose(report.model_copy(update={"problem": made})))
    assert len(nameless) == len(mine)
    for finding in nameless:
        # One thing to try, that can be copied.
        assert any(one in finding.advice for one in COMMANDS[1:])
        assert "node-diag " not in finding.advice


def marked(code):
    return pytest.param(code, marks=pytest.mark.slow) if code in LONG else code


@pytest.mark.parametrize("code", [marked(code) for code in PAIRS])
def test_advice_can_be_followed(code, firing, node_diag, tmp_path):
    advised = [
        shlex.split(re.search(r"node-diag ((check|show) .*)$", finding.advice)[1])
        for finding in with_code(code, firing(code).findings)
    ]
    assert advised
    for i, words in enumerate(advised):
        if code in VALID:
            get_command(app).commands[words[0]].make_context(words[0], words[1:])
            continue
        folder = tmp_path / f"again{i}"
        rest = ["--repeat", 1, "--report", "json", "--report-dir", folder, "-q"]
        done = node_diag(*words, *(rest if words[0] == "check" else []))
        assert done.returncode in ((2,) if code in BROKEN else (0, 1)), done.stderr
        if code in CURED:
            again = json.loads((folder / "report.json").read_text())
            assert code not in {finding["code"] for finding in again["findings"]}


def test_chaos_is_inconclusive_with_the_growth_as_evidence(firing):
    report = firing("ND303")
    assert not report.passed
    assert {gate.verdict for gate in report.gates} == {"inconclusive"}
    (finding,) = with_code("ND303", report.findings)
    # The largest Lyapunov exponent is 0.906; over a finite time and from z0 the mean rate is less.
    assert 0.4 < finding.evidence["growth_rate"] < 1.2
    assert with_code("ND301", report.findings) == []


@pytest.mark.parametrize("code", PAIRS)
def test_is_silent_next_door(code, tmp_path):
    scenario = PAIRS[code][1]
    report = check(scenario.problem(), **options_of(scenario, tmp_path))
    assert with_code(code, report.findings) == []


@pytest.mark.parametrize("name", HEALTHY)
def test_no_false_alarm(name):
    report = check(HEALTHY[name](), methods=["aca", "direct", "adjoint", "naive"], repeat=1)
    assert [f.code for f in report.findings if f.severity == "error"] == []
