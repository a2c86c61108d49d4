"""Several problems in one run of the installed command."""

import json
import os
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from node_diag.records import Report

QUICK = 'methods = ["aca"]\nrepeat = 1\nreport = ["json", "html", "junit"]\n'
EXACT = ("nfe_forward", "nfe_backward", "saved_bytes", "peak_bytes", "graph_depth")


@pytest.fixture
def configured(tmp_path):
    def write(problems: str, more: str = QUICK) -> None:
        (tmp_path / "pyproject.toml").write_text(
            f"[tool.node-diag]\n{more}problems = [{problems}]\n"
        )

    return write


def test_every_problem_is_checked_and_the_worst_exit_code_counts(node_diag, configured, tmp_path):
    (tmp_path / "broken.py").write_text("raise ValueError('no data')")
    configured(
        '"broken.py", "linear", {problem = "linear", name = "strict", max_grad_error = ["1e-9"]}'
    )
    done = node_diag("check", "-q", "--report-dir", "out")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line == (
        "error: broken: importing broken.py raised ValueError: no data (broken.py, line 1) "
        "(-v shows the traceback)"
    )
    out = tmp_path / "out"
    assert sorted(p.name for p in out.iterdir()) == [
        "index.html", "junit.xml", "linear", "strict", "summary.json",
    ]  # fmt: skip
    assert (out / "linear" / "report.html").exists()
    assert Report.load(out / "strict" / "report.json").problem.name == "strict"
    found = json.loads((out / "summary.json").read_text())
    assert {p["name"]: p["exit_code"] for p in found["problems"]} == {
        "broken": 2,
        "linear": 0,
        "strict": 1,
    }
    assert found["is_complete"] is True
    root = ET.parse(out / "junit.xml").getroot()
    assert (root.get("tests"), root.get("failures"), root.get("errors")) == ("3", "1", "1")
    assert done.stdout.splitlines()[-6].startswith("broken  2")
    said = "FAIL: 3 problems: 1 without limits, 1 failed, 1 could not run"
    assert done.stdout.splitlines()[-3:] == [said, "", "reports: out"]
    assert f"</span> {said[6:]}</h1>" in (out / "index.html").read_text()
    # Another name for one of them picks it alone, with its own options; a flag wins over those.
    alone = node_diag(
        "check", "strict", "-q", "--max-grad-error", "1e-3", "--output-format", "json"
    )
    assert alone.returncode == 0
    record = json.loads(alone.stdout)
    assert [gate["limit"] for gate in record["gates"]] == [1e-3]
    assert list(tmp_path.glob("reports/strict/*/report.json"))


def test_each_is_checked_as_if_it_were_alone(node_diag, configured, tmp_path):
    """Neighbours of one name, and a default dtype that one of them sets, do not reach the other."""
    module = (
        "import torch\nfrom torch import nn\nfrom node_diag import Problem\nimport size\n"
        "{first}\n"
        "class Net(nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.k = nn.Parameter(torch.full((size.N,), 0.5))\n"
        "    def forward(self, t, z):\n"
        "        return -self.k * z\n"
        "def problem():\n"
        "    return Problem(Net(), torch.ones(size.N), (0.0, 1.0), lambda zs: (zs**2).sum())\n"
    )
    for folder, first, n in (("one", "torch.set_default_dtype(torch.float64)", 3), ("two", "", 5)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "size.py").write_text(f"N = {n}\n")
        (tmp_path / folder / "ode.py").write_text(module.replace("{first}", first))
    configured(
        '{problem = "one/ode.py", name = "first"}, {problem = "two/ode.py", name = "second"}'
    )
    done = node_diag("check", "-q", "--dtype", "float32", "--output-format", "json")
    assert done.returncode == 0, done.stderr
    both = {r["problem"]["name"]: r for r in json.loads(done.stdout)["reports"]}
    assert [both[name]["problem"]["n_state"] for name in ("first", "second")] == [3, 5]
    alone = json.loads(
        node_diag("check", "second", "-q", "--dtype", "float32", "--output-format", "json").stdout
    )
    assert alone["methods"][0]["gradient"] == both["second"]["methods"][0]["gradient"]
    for key in EXACT:
        assert alone["methods"][0]["cost"][key] == both["second"]["methods"][0]["cost"][key]


def test_an_earlier_run_is_only_replaced_if_forced(node_diag, configured, tmp_path):
    configured('"linear", {problem = "linear", name = "other"}')
    assert node_diag("check", "-q", "--report-dir", "out", "--report", "json").returncode == 0
    configured('"linear"')
    refused = node_diag("check", "-q", "--report-dir", "out")
    assert refused.returncode == 2
    assert "--force" in refused.stderr
    assert (tmp_path / "out" / "other" / "report.json").exists()
    forced = node_diag("check", "-q", "--report-dir", "out", "--report", "json", "--force")
    assert forced.returncode == 0, forced.stderr
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["linear", "summary.json"]


def test_what_was_finished_is_kept_after_ctrl_c(configured, tmp_path):
    (tmp_path / "slow.py").write_text("import time\ntime.sleep(1000)\n")
    configured('"linear", "slow.py"')
    process = subprocess.Popen(
        [Path(sys.executable).parent / "node-diag", "check", "--report-dir", "out", "--report", "json"],
        cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True,
        env={k: v for k, v in os.environ.items() if not k.startswith(("NODE_DIAG_", "GITHUB_"))},
    )  # fmt: skip
    assert process.stderr is not None
    for line in process.stderr:
        if b"importing slow.py" in line:
            break
    time.sleep(0.3)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert b"interrupted; out holds the 1 of 2 that were finished" in errors
    assert b"Traceback" not in errors
    Report.load(tmp_path / "out" / "linear" / "report.json")
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["linear", "summary.json"]
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["is_complete"] is False


@pytest.mark.parametrize(
    ("problems", "arguments", "said"),
    [
        ('"linear", "linear"', (), "two problems called 'linear'"),
        ('"linear"', ("--set", "k=1"), "--set k=1 is for one PROBLEM"),
        (
            '{problem = "linear", gates = ["aca.nope<=1"]}',
            (),
            "error: linear: unknown metric 'nope'",
        ),
        ("", (), "there is nothing to check"),
    ],
)
def test_a_wrong_configuration_is_one_sentence(node_diag, configured, problems, arguments, said):
    configured(problems)
    done = node_diag("check", "-q", *arguments)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert said in line
