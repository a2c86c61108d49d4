"""What CI systems get: annotations, step summaries, and the files that run the command there."""

import json
import os
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
LINEAR = ("check", "linear", "-q", "-m", "aca", "--repeat", "1", "--report", "json")
ACTIONS = {"GITHUB_ACTIONS": "true"}


@pytest.fixture
def shell(tmp_path):
    """Run a step as GitHub would: bash, the installed command on the path, its variables set."""

    def run(script, **environment):
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("NODE_DIAG_", "GITHUB_"))}
        clean["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{clean['PATH']}"
        return subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script],
            cwd=tmp_path, env={**clean, **environment}, capture_output=True, text=True, timeout=500,
        )  # fmt: skip

    return run


def steps_of(path):
    (job,) = yaml.safe_load(path.read_text())["jobs"].values()
    return job["steps"]


def ours(steps):
    """Shell steps that can run here: what is installed from the network is installed already."""
    scripts = [step["run"] for step in steps if "run" in step]
    return [script for script in scripts if "pip install" not in script]


def test_the_workflow_checks_the_configured_problems(shell, tmp_path):
    workflow = ROOT / ".github" / "workflows" / "node-diag.yml"
    steps = steps_of(workflow)
    assert any("-c constraints.txt" in step.get("run", "") for step in steps)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    names = [
        entry if isinstance(entry, str) else entry.get("name", entry["problem"])
        for entry in tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["node-diag"][
            "problems"
        ]
    ]
    summary = tmp_path / "summary.md"
    summary.write_text("from another step\n")
    done = [shell(script, GITHUB_STEP_SUMMARY=str(summary), **ACTIONS) for script in ours(steps)]
    assert [d.returncode for d in done] == [0] * len(done), done[-1].stderr
    assert len(done) == 2
    (upload,) = (
        step["with"]["path"] for step in steps if "upload-artifact" in step.get("uses", "")
    )
    folder = tmp_path / upload
    found = json.loads((folder / "summary.json").read_text())
    assert [p["name"] for p in found["problems"]] == names
    assert all((folder / name / "report.html").exists() for name in names)
    assert (folder / "junit.xml").exists()
    text = summary.read_text()
    assert text.startswith("from another step\n")
    assert text.count("### node-diag `") == len(names)
    assert done[-1].stdout.count("::notice title=node-diag ") >= len(names)


def test_the_workflow_fails_with_its_gates(shell, tmp_path):
    (script,) = (
        s for s in ours(steps_of(ROOT / ".github/workflows/node-diag.yml")) if "check" in s
    )
    (tmp_path / "node-diag.yaml").write_text(
        "problems: [{problem: linear, methods: [aca], repeat: 1, max_grad_error: ['1e-9']}]\n"
    )
    done = shell(f"{script} --report json", **ACTIONS)
    assert done.returncode == 1
    assert "::error title=node-diag linear%3A gate FAIL::aca.grad_error 6.9e-06" in done.stdout


def test_other_repositories_can_use_it_as_a_pre_commit_hook(shell, tmp_path):
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    # What pre-commit demands of a hook.
    assert {"id", "name", "entry", "language"} <= hook.keys()
    assert (hook["language"], hook["pass_filenames"]) == ("python", False)
    assert shlex.split(hook["entry"])[0] == "node-diag"
    (tmp_path / "node-diag.yaml").write_text(
        "methods: [aca]\nrepeat: 1\nproblems: [{problem: linear, max_grad_error: ['1e-3']}]\n"
    )
    passed = shell(hook["entry"])
    assert passed.returncode == 0, passed.stderr
    assert passed.stderr == ""
    failed = shell(f"{hook['entry']} --max-grad-error 1e-9")
    assert failed.returncode == 1
    assert "aca.grad_error 6.9e-06" in failed.stdout
    pre_commit = subprocess.run(
        [sys.executable, "-m", "pre_commit", "validate-manifest", ROOT / ".pre-commit-hooks.yaml"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert pre_commit.returncode == 0, pre_commit.stdout


def test_annotations_follow_the_table_in_a_github_workflow(node_diag):
    arguments = (*LINEAR, "--max-grad-error", "1e-9")
    both = node_diag(*arguments, **ACTIONS).stdout
    assert both.index("method") < both.index("::error title=node-diag linear%3A gate FAIL::")
    # A format that was asked for is left alone.
    json.loads(node_diag(*arguments, "--output-format", "json", **ACTIONS).stdout)
    assert "::" not in node_diag(*arguments, "--output-format", "table", **ACTIONS).stdout
    assert "::" not in node_diag(*arguments).stdout
    only = node_diag(*arguments, "--output-format", "github").stdout
    assert all(line.startswith("::") for line in only.splitlines())


def test_a_summary_that_cannot_be_written_is_a_warning(node_diag, tmp_path):
    done = node_diag(*LINEAR, GITHUB_STEP_SUMMARY=str(tmp_path))
    assert done.returncode == 0
    assert (
        done.stderr == f"warning: cannot write to the step summary '{tmp_path}': Is a directory\n"
    )


def test_findings_can_be_left_out_and_the_report_says_so(node_diag):
    arguments = (
        "check",
        "vanderpol",
        "-q",
        "-m",
        "aca",
        "--rtol",
        "1e-3",
        "--repeat",
        "1",
        "--report",
        "json",
    )
    assert "ND204" in node_diag(*arguments).stdout
    done = node_diag(*arguments, "--ignore", "ND2")
    assert "ND204" not in done.stdout
    assert "Findings: ND2 left out." in done.stdout
    record = json.loads(node_diag(*arguments, "--select", "ND1", "--output-format", "json").stdout)
    assert (record["findings"], record["config"]["select"]) == ([], ["ND1"])
    assert "--select ND1" in record["command"]
    wrong = node_diag("check", "linear", "--ignore", "ND999")
    assert wrong.returncode == 2
    assert "unknown finding 'ND999'" in wrong.stderr
