"""``init``, ``doctor`` and ``--open`` through the installed command."""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from node_diag import starter


def test_the_module_it_writes_passes_the_gates_it_suggests(node_diag, tmp_path):
    made = node_diag("init", "mine.py")
    assert made.returncode == 0, made.stderr
    steps = yaml.safe_load(made.stdout)["jobs"]["gradients"]["steps"]
    (command,) = (step["run"] for step in steps if "node-diag check" in step.get("run", ""))
    assert not (tmp_path / ".github").exists()
    before = (tmp_path / "mine.py").read_text()
    checked = node_diag(*shlex.split(command)[1:], "-q", "--output-format", "json")
    assert checked.returncode == 0, checked.stderr
    record = json.loads(checked.stdout)
    assert [gate["verdict"] for gate in record["gates"]] == ["pass", "pass"]
    assert record["problem"]["n_params"] > 0
    assert len(record["problem"]["ts"]) > 2
    assert record["findings"] == []
    assert (tmp_path / "node-diag-report" / "junit.xml").exists()
    assert (tmp_path / "mine.py").read_text() == before
    # As it trains, too.
    single = node_diag(
        "check", "mine.py", "-q", "--dtype", "float32", "--report", "json", "--set", "batch=2"
    )
    assert single.returncode == 0, single.stderr


def test_with_ci_it_writes_the_workflow(node_diag, tmp_path):
    made = node_diag("init", "models/../ode.py", "--ci", "github")
    assert made.returncode == 2  # there is no folder 'models'
    assert "there is no folder 'models/..'; make it first" in made.stderr
    assert list(tmp_path.iterdir()) == []
    made = node_diag("init", "ode.py", "--ci", "github")
    assert made.returncode == 0, made.stderr
    assert made.stdout == ""
    assert (
        "node-diag check ode.py"
        in (tmp_path / ".github" / "workflows" / "node-diag.yml").read_text()
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("mine.py",), "'mine.py' is there already; nothing was written"),
        (("mine.txt",), "not a Python file"),
        (("no/where.py",), "there is no folder 'no'; make it first"),
        (("new.py", "--ci", "gitlab"), "invalid value for '--ci'"),
    ],
)
def test_nothing_is_overwritten(node_diag, tmp_path, arguments, said):
    (tmp_path / "mine.py").write_text("x = 1")
    done = node_diag("init", *arguments)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert said in line
    assert [p.name for p in tmp_path.iterdir()] == ["mine.py"]
    assert (tmp_path / "mine.py").read_text() == "x = 1"


def test_a_workflow_that_is_there_stops_the_module_too(node_diag, tmp_path):
    (tmp_path / ".github" / "workflows").mkdir(parents=True)
    (tmp_path / ".github" / "workflows" / "node-diag.yml").write_text("mine")
    assert node_diag("init", "new.py", "--ci", "github").returncode == 2
    assert not (tmp_path / "new.py").exists()


def test_doctor_says_where_every_value_comes_from(node_diag, tmp_path):
    (tmp_path / "node-diag.yaml").write_text("rtol: 1.0e-4\nproblems: [linear, spiral]\n")
    done = node_diag("doctor", "--output-format", "json", NODE_DIAG_SOLVER="tsit5")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    facts = {fact["name"]: fact["text"] for fact in found["facts"]}
    assert facts["python"] == ".".join(map(str, sys.version_info[:3]))
    assert {
        "node-diag",
        "torch",
        "numpy",
        "scipy",
        "matplotlib",
        "torchdiffeq",
        "device",
    } <= facts.keys()
    assert found["settings"]["rtol"] == {"value": 1e-4, "from": "node-diag.yaml: rtol"}
    assert found["settings"]["solver"] == {"value": "tsit5", "from": "environment NODE_DIAG_SOLVER"}
    assert found["settings"]["seed"] == {"value": 0, "from": "default"}
    assert found["problems"] == ["linear", "spiral"]
    assert "importing torch" in done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["node-diag.yaml"]


def test_doctor_exits_2_if_nothing_can_be_checked(node_diag, tmp_path):
    (tmp_path / "node-diag.yaml").write_text("rtoll: 1.0e-4\n")
    (tmp_path / "reports").write_text("a file in the way")
    done = node_diag("doctor")
    assert done.returncode == 2
    broken = [line.split()[0] for line in done.stdout.splitlines() if "BROKEN" in line]
    assert broken == ["configuration", "report"]
    assert "did you mean 'rtol'" in done.stdout


def test_doctor_survives_a_package_that_does_not_import(installed, tmp_path):
    (tmp_path / "shadow").mkdir()
    (tmp_path / "shadow" / "torch.py").write_text("raise OSError('libtorch.so: cannot open')")
    done = installed("doctor", PYTHONPATH=str(tmp_path / "shadow"))
    assert done.returncode == 2
    assert "BROKEN: OSError: libtorch.so: cannot open" in done.stdout
    assert "Traceback" not in done.stderr


def test_open_starts_the_browser_with_the_page(node_diag, tmp_path):
    browser = tmp_path / "browser.sh"
    browser.write_text(f'#!/bin/sh\necho "$1" >> {tmp_path}/opened\n')
    browser.chmod(0o755)
    check = ("check", "linear", "-q", "-m", "aca", "--repeat", "1", "--report-dir", "out")
    done = node_diag(*check, "--report", "html", "--open", BROWSER=str(browser))
    assert done.returncode == 0, done.stderr
    again = node_diag("report", "out", "--open", BROWSER=str(browser))
    assert again.returncode == 0, again.stderr
    address = (tmp_path / "out" / "report.html").as_uri()
    assert (tmp_path / "opened").read_text().splitlines() == [address, address]


def test_no_page_and_no_browser_are_no_failure(node_diag, tmp_path):
    check = ("check", "linear", "-q", "-m", "aca", "--repeat", "1", "--report", "json", "--open")
    done = node_diag(*check, "--report-dir", "out")
    assert done.returncode == 0
    assert done.stderr == "there is no out/report.html to open; add html to --report\n"
    # No display, and no program on the path that could show a page.
    none = node_diag(
        "report",
        "out",
        "--report",
        "html",
        "--open",
        PATH=str(tmp_path),
        DISPLAY="",
        WAYLAND_DISPLAY="",
        BROWSER="",
    )
    assert none.returncode == 0
    assert none.stderr.endswith("no browser could be started; open out/report.html yourself\n")


@pytest.mark.parametrize("found", ["node-diag @ git+https://host.example/n.git@abc", "./a b", None])
def test_the_workflow_installs_what_can_be_installed(monkeypatch, tmp_path, found):
    """Its first step under bash, with a Python that only writes down what it is asked for."""
    monkeypatch.setattr("node_diag.origin.requirement", lambda: found)
    steps = yaml.safe_load(starter.workflow(Path("my model.py")))["jobs"]["gradients"]["steps"]
    (install,) = (step for step in steps if step.get("name") == "Install")
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nfor a; do echo "$a" >> {tmp_path}/asked; done\n')
    python.chmod(0o755)

    def run(**environment):
        path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
        return subprocess.run(
            ["bash", "-e", "-c", install["run"]], env={"PATH": path, **environment},
            capture_output=True, text=True, check=False,
        )  # fmt: skip

    if found is None:
        assert install["env"] == {"NODE_DIAG": "${{ vars.NODE_DIAG }}"}
        unset = run(NODE_DIAG="")  # what GitHub makes of a variable that is not there
        assert unset.returncode != 0
        assert "NODE_DIAG: is not set" in unset.stderr
        found = "./folder"
    assert run(NODE_DIAG=found).returncode == 0
    assert (tmp_path / "asked").read_text().splitlines() == ["-m", "pip", "install", found]
