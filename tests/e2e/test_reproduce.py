"""``node-diag reproduce``: listed, run, resumed, and what a person gets of it."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from node_diag.registry import EXPERIMENTS


def test_without_a_name_they_are_listed(node_diag):
    done = node_diag("reproduce")
    assert done.returncode == 0
    assert [line.split()[0] for line in done.stdout.splitlines()] == EXPERIMENTS.names()


def test_unknown_names_are_told_with_the_nearest(node_diag, tmp_path):
    done = node_diag("reproduce", "toi")
    assert done.returncode == 2
    assert "did you mean 'toy'?" in done.stderr
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_none_is_told_before_the_work(node_diag, tmp_path):
    (tmp_path / "file").write_text("")
    done = node_diag("reproduce", "errata", "--report-dir", "file")
    assert done.returncode == 2
    assert "is not a folder" in done.stderr


@pytest.fixture
def reproduced(installed, tmp_path):
    """Workers are processes of their own, so that this runs the command from nothing."""
    done = installed("reproduce", "gradient-flow", "errata", "--report-dir", "out")
    assert done.returncode == 0, done.stderr
    return done, tmp_path / "out"


def test_the_errata_are_caught_and_finished_parts_are_kept(reproduced, installed):
    done, folder = reproduced
    record = json.loads((folder / "errata" / "result.json").read_text())
    assert [claim["agreement"] for claim in record["claims"]] == ["contradicts"] * 3
    # A sign or a factor that is wrong, against ones whose error is that of rtol = 1e-8, growing
    # along a trajectory of length 3: a thousandfold would still be far below.
    for name, result in record["results"].items():
        if name.endswith("printed"):
            assert result["error"] > 0.1
            assert result["findings"]
        else:
            assert result["error"] < 1e-5
    assert "3 of 3 printed formulas are rejected" in done.stdout
    flow = json.loads((folder / "gradient-flow" / "result.json").read_text())
    assert "has to be 4" in flow["summary"]
    page = (folder / "report.html").read_text()
    assert 'id="errata"' in page
    assert 'id="gradient-flow"' in page
    for part in ("report.html", "report.md", "figures/paths.png", "tables/paths.csv"):
        assert (folder / "gradient-flow" / part).stat().st_size > 0

    kept = {p: p.stat().st_mtime_ns for p in folder.glob("*/cells/*.json")}
    assert len(kept) == 6 + 8
    next(iter(kept)).unlink()
    assert installed("reproduce", "gradient-flow", "errata", "--report-dir", "out").returncode == 0
    again = {p: p.stat().st_mtime_ns for p in folder.glob("*/cells/*.json")}
    assert len([p for p in kept if kept[p] == again[p]]) == len(kept) - 1


def test_an_interrupted_experiment_says_that_what_was_finished_is_kept(tmp_path):
    command = Path(sys.executable).parent / "node-diag"
    process = subprocess.Popen(
        [command, "reproduce", "toy", "--report-dir", "out"],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    while not list(tmp_path.rglob("*.json")):
        assert process.poll() is None
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert b"Traceback" not in errors
    assert (
        b"interrupted; out holds the parts that were finished; the same command goes on" in errors
    )
    assert list(tmp_path.rglob("*.json"))
