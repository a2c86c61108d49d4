"""The commands that findings advise are run: they are valid, and cure what they claim to cure."""

import json
import re
import shlex
from pathlib import Path

import pytest
from typer.main import get_command

from node_diag.cli import app
from node_diag.config import resolve
from node_diag.loader import load
from node_diag.pipeline import Request, run_check
from tests.scenarios.cases import PAIRS
from tests.scenarios.test_findings import WRONG

CURED = ("ND101", "ND102", "ND103", "ND104", "ND202", "ND203", "ND204")
"""The advice is a remedy; for others it is a way to see more, or needs a change of the module."""
BROKEN = ("ND413",)
"""The module has to be mended first: exit code 2."""
LONG = ("ND101", "ND102", "ND103", "ND104", "ND202", "ND204")
VALID = ("ND210", "ND303", "ND402", "ND403", "ND405", "ND406", "ND408")
"""They only let one see more and take a minute each; that they are commands has to do."""
ROOT = Path(__file__).parents[2]
MODULE = """
import sys

sys.path.insert(0, {root!r})
from tests.scenarios.cases import PAIRS

problem = PAIRS[{code!r}][0].problem
"""


def advised(report, code):
    """Commands of the findings with a code, without the program's name."""
    for finding in report.findings:
        if finding.code == code:
            found = re.search(r"node-diag ((check|show) .*)$", finding.advice)
            assert found, finding.advice
            yield shlex.split(found[1])


def marked(code):
    return pytest.param(code, marks=pytest.mark.slow) if code in LONG else code


@pytest.mark.parametrize("code", [marked(code) for code in PAIRS])
def test_advice_can_be_followed(code, tmp_path, node_diag):
    spec = str(tmp_path / "scenario.py")
    (tmp_path / "scenario.py").write_text(MODULE.format(root=str(ROOT), code=code))
    (tmp_path / "wrong.py").write_text(WRONG)
    options = dict(PAIRS[code][0].options)
    options["methods"] = [
        m.replace("{wrong}", str(tmp_path / "wrong.py")) for m in options["methods"]
    ]
    config = resolve(options, {}, None).config
    report = run_check(Request(load(spec), config, spec))
    commands = list(advised(report, code))
    assert commands
    for i, words in enumerate(commands):
        if code in VALID:
            assert words[0] in ("check", "show")
            get_command(app).commands[words[0]].make_context(words[0], words[1:])
            continue
        folder = tmp_path / f"again{i}"
        rest = ["--repeat", 1, "--report", "json", "--report-dir", folder, "-q"]
        done = node_diag(*words, *(rest if words[0] == "check" else []))
        assert done.returncode in ((2,) if code in BROKEN else (0, 1)), done.stderr
        if code in CURED:
            again = json.loads((folder / "report.json").read_text())
            assert code not in {finding["code"] for finding in again["findings"]}


def test_what_is_recommended_meets_the_tightest_gate(checked):
    report = checked("linear", methods="aca", max_grad_error="1e-6", gates="aca.grad_error<=1e-7")
    found = report.recommendation
    best = found.candidates[found.best]
    assert found.target == 1e-7  # the default would be 100 rtol = 1e-3
    assert best.error + best.uncertainty <= 1e-7
