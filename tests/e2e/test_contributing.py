"""The examples of CONTRIBUTING.md, as they are written, in a copy of the package."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from node_diag.registry import FINDINGS, finding_codes

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "CONTRIBUTING.md").read_text()
EXAMPLES = dict(re.findall(r"^### [^\n]*`(\S+\.py)`\n\n```python\n(.*?)^```$", TEXT, re.M | re.S))
FIRES = """
from pathlib import Path
from node_diag.records import Report
from node_diag.registry import FINDINGS
rule, report = FINDINGS.load("nd299-many-rejections"), Report.load(Path("out/report.json"))
assert not list(rule.detect(rule, report))
report.solution.n_rejected = report.solution.n_accepted + 1
(finding,) = rule.detect(rule, report)
print(finding.code, finding.message, finding.advice)
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """Run Python with the copy in the place of the package."""
    scratch = tmp_path_factory.mktemp("scratch")
    for folder in ("node_diag", "problems"):
        shutil.copytree(
            ROOT / folder, scratch / folder, ignore=shutil.ignore_patterns("__pycache__")
        )
    for path, text in EXAMPLES.items():
        assert not (scratch / path).exists()
        (scratch / path).write_text(text)
    work = tmp_path_factory.mktemp("work")

    def run(*arguments):
        environment = {
            k: v for k, v in os.environ.items() if not k.startswith(("NODE_DIAG_", "GITHUB_"))
        }
        return subprocess.run(
            [sys.executable, *arguments], cwd=work, capture_output=True, text=True, check=False,
            env={**environment, "PYTHONPATH": str(scratch)},
        )  # fmt: skip

    return run


def test_there_are_the_examples_that_this_tests():
    folders = {str(Path(path).parent) for path in EXAMPLES}
    assert folders == {
        "problems", "node_diag/solvers/tableaus", "node_diag/diagnosis/rules",
        "node_diag/outputs/formats",
    }  # fmt: skip


def test_the_code_of_the_finding_is_free():
    (code,) = re.findall(r'Rule\("(ND\d+)"', TEXT)
    assert code not in finding_codes()
    assert not [name for name in FINDINGS.names() if name.startswith(code.lower())]


def test_they_are_listed_and_work(python):
    listed = python("-m", "node_diag", "list").stdout
    for line in ("pendulum", "Pendulum θ″", "ralston", "ND299", "One sentence that"):
        assert line in listed
    arguments = ("--solver", "ralston", "-m", "aca", "--repeat", "1", "--report", "json,latex")
    done = python(
        "-m", "node_diag", "check", "pendulum", *arguments, "-q", "--set", "omega=1",
        "--report-dir", "out", "--gate", "aca.grad_error_discrete<=1e-6",
    )  # fmt: skip
    # The derivative of the steps, whatever their error; their differences are known to about 1e-9.
    assert done.returncode == 0, done.stdout + done.stderr
    # The rules know a fixed-step solver that they never heard of: no tolerance is advised.
    assert "take smaller steps" in done.stdout
    fired = python("-c", FIRES)
    assert fired.returncode == 0, fired.stderr
    assert fired.stdout.startswith("ND299 more trials were rejected than accepted try another")
    written = python("-c", "print(open('out/errors.tex').read())").stdout
    assert re.fullmatch(r"\\verb\|aca\| & \S+ ± \S+ \\\\\n", written)
