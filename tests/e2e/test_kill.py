"""kill -9 at random moments leaves a complete report or none."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from node_diag.records import Report

NODE_DIAG = Path(sys.executable).parent / "node-diag"
ARGUMENTS = [
    "check", "linear", "-q", "-m", "aca", "--repeat", "1", "--report", "png,csv", "--report-dir", "out",
]  # fmt: skip
MOMENTS, COLD = 50, 4
FILES = {"report.json", "figures/trajectory.png", "tables/methods.csv"}
SERVER = """
import json, os, random, signal, sys, time
from node_diag.cli import main

arguments, moments = json.loads(sys.argv[1]), int(sys.argv[2])


def start(folder):
    os.mkdir(folder)
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)  # so that its own children go with it
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.chdir(folder)
        sys.argv = ["node-diag", *arguments]
        try:
            main()
        except SystemExit as end:
            os._exit(end.code or 0)
        os._exit(0)
    os.setpgid(child, child)  # here too: whoever comes first
    return child


def whole(folder):
    begin = time.perf_counter()
    _, status = os.waitpid(start(folder), 0)
    assert status == 0, status
    return time.perf_counter() - begin


import torch, matplotlib.figure  # the seconds before the work begins are the cold runs' part
import node_diag.pipeline, node_diag.outputs.formats.png

length = min(whole("whole"), whole("again"))
generator = random.Random(0)
killed = 0
for i in range(moments):
    child = start(str(i))
    end = time.perf_counter() + generator.uniform(0.0, 1.1) * length
    ended = 0
    while time.perf_counter() < end and not ended:
        ended, _ = os.waitpid(child, os.WNOHANG)
        time.sleep(1e-3)
    if not ended:
        killed += 1
        os.killpg(child, signal.SIGKILL)
        os.waitpid(child, 0)
print(killed)
"""


def complete(out):
    """A folder that is there is a whole report."""
    if out.exists():
        Report.load(out / "report.json")
        assert {str(p.relative_to(out)) for p in out.rglob("*") if p.is_file()} >= FILES
    return out.exists()


def test_fifty_random_moments(tmp_path):
    found = subprocess.run(
        [sys.executable, "-c", SERVER, json.dumps(ARGUMENTS), str(MOMENTS)],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    reports = [complete(tmp_path / str(i) / "out") for i in range(MOMENTS)]
    # Ten in eleven moments are before the end of an undisturbed run; a fifth at least hits.
    assert int(found.stdout) > MOMENTS / 5
    assert sum(reports) >= MOMENTS - int(found.stdout)  # who was not killed left a report
    assert complete(tmp_path / "whole" / "out")


def test_moments_of_a_cold_start(tmp_path):
    """With the process that gets ready for drawing while this one imports."""

    def start(folder):
        folder.mkdir()
        return subprocess.Popen(
            [NODE_DIAG, *ARGUMENTS], cwd=folder, start_new_session=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    begin = time.perf_counter()
    assert start(tmp_path / "whole").wait() == 0
    length = time.perf_counter() - begin
    assert complete(tmp_path / "whole" / "out")
    moments = random.Random(1)
    for i in range(COLD):
        process = start(tmp_path / str(i))
        try:
            process.wait(moments.uniform(0.2, 1.0) * length)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            complete(tmp_path / str(i) / "out")
        else:
            assert complete(tmp_path / str(i) / "out")
