"""kill -9 at random moments leaves a complete report or none."""

import os
import random
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from node_diag.records import Report

NODE_DIAG = Path(sys.executable).parent / "node-diag"
MOMENTS = 50
FILES = {"report.json", "figures/trajectory.png", "tables/methods.csv"}


def start(folder):
    """In a process group of its own, so that its forked child goes with it."""
    return subprocess.Popen(
        [NODE_DIAG, "check", "linear", "-q", "-m", "aca", "--repeat", "1", "--report", "png,csv",
         "--report-dir", "out"],
        cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip


def kill_after(folder, delay):
    """Whether the process was still there to be killed."""
    folder.mkdir()
    process = start(folder)
    try:
        process.wait(delay)
        alive = False
    except subprocess.TimeoutExpired:
        alive = True
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    out = folder / "out"
    if out.exists():
        Report.load(out / "report.json")
        assert {str(p.relative_to(out)) for p in out.rglob("*") if p.is_file()} >= FILES
    elif not alive:
        pytest.fail("it ended by itself and left no report")
    return alive


@pytest.mark.slow
def test_fifty_random_moments(tmp_path):
    begin = time.perf_counter()
    whole = tmp_path / "whole"
    whole.mkdir()
    assert start(whole).wait() == 0
    length = time.perf_counter() - begin
    moments = random.Random(0)
    # Two at a time: they take longer then, so that moments up to the length alone all hit.
    delays = [moments.uniform(0.3, 1.0) * length for _ in range(MOMENTS)]
    with ThreadPoolExecutor(2) as pool:
        killed = list(pool.map(lambda i: kill_after(tmp_path / str(i), delays[i]), range(MOMENTS)))
    assert sum(killed) > MOMENTS / 4
