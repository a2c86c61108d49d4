"""``node-diag sweep --scheduler``: the same sweep on the workers of a real Dask scheduler."""

import json
import math
import re
import signal
import subprocess
import time
from collections import Counter

import pytest

from tests.dask_cluster import cluster
from tests.e2e.conftest import NODE_DIAG

OWN = """
import time
import torch
from node_diag import Problem
from neighbour import RATE


def problem(k=1.0):
    k = torch.tensor(k, dtype=torch.float64, requires_grad=True)
    time.sleep(0.2)  # that a worker is at it when it is killed
    return Problem(lambda t, z: RATE * k * z, torch.ones(2, dtype=torch.float64), (0.0, 1.0),
                   lambda zs: (zs[-1] ** 2).sum(), name="own", params={"k": k})
"""
SETTINGS = 10
SWEEP = ("sweep", "own.py", "--over", f"k=0.5:2:{SETTINGS}", "-m", "aca", "--report-dir")


@pytest.fixture
def own(tmp_path):
    """A folder with a problem that imports a file beside it."""
    (tmp_path / "own.py").write_text(OWN)
    (tmp_path / "neighbour.py").write_text("RATE = -0.5\n")
    return tmp_path


@pytest.fixture
def elsewhere(tmp_path_factory):
    """The folder that the cluster lives in."""
    return tmp_path_factory.mktemp("cluster")


def begin(own, out, *options):
    return subprocess.Popen(
        [NODE_DIAG, *SWEEP, out, *options], cwd=own, text=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip


def wait_for(n, folder, process):
    while len(list((folder / "cells" / "counts").glob("*.json"))) < n:
        assert process.poll() is None
        time.sleep(0.02)


def points(folder):
    return json.loads((folder / "sweep.json").read_text())["points"]


def kept(folder):
    """Finished cells, and when each was written."""
    return {f.name: f.stat().st_mtime_ns for f in (folder / "cells" / "counts").iterdir()}


def test_what_dies_loses_and_doubles_nothing(own, elsewhere):
    """A worker, in whose place the other goes on; then the scheduler, and the sweep goes on here."""
    with cluster(elsewhere, 2) as (address, scheduler, workers):
        process = begin(own, "there", "--scheduler", address)
        wait_for(4, own / "there", process)
        workers[0].send_signal(signal.SIGKILL)
        assert len(kept(own / "there")) < SETTINGS
        _, said = process.communicate(timeout=300)
        assert process.returncode == 0, said
        told = Counter(re.findall(rf"counts: (\d+) of {SETTINGS} settings", said))
        assert told == {str(n): 1 for n in range(1, SETTINGS + 1)}
        assert len(kept(own / "there")) == SETTINGS

        process = begin(own, "cut", "--scheduler", address)
        wait_for(2, own / "cut", process)
        scheduler.kill()
        _, said = process.communicate(timeout=120)
    assert process.returncode == 2
    assert f"error: the Dask scheduler at {address} is gone" in said
    assert "--resume --report-dir cut" in said
    assert "Traceback" not in said
    before = kept(own / "cut")
    assert 2 <= len(before) < SETTINGS
    _, said = (again := begin(own, "cut", "--resume", "--workers", "1")).communicate(timeout=300)
    assert again.returncode == 0, said
    assert before.items() <= kept(own / "cut").items()
    # The one by workers alone, the other for the most part here.
    assert points(own / "there") == points(own / "cut")


FRAGILE = OWN.replace(
    "    k = torch", "    if k == 1.0:\n        os._exit(1)\n    k = torch"
).replace("import time", "import os, time")


def test_one_cluster_many_sweeps(own, elsewhere):
    """What an earlier sweep imported is forgotten; a cell that kills its process is a failed row."""
    with cluster(elsewhere, 1) as (address, _, _):

        def losses(folder, out, *options):
            process = subprocess.run(
                [NODE_DIAG, "sweep", "own.py", "--over", "k=0.5,1,2", "-m", "aca", "-q",
                 "--report-dir", out, "--scheduler", address, *options],
                cwd=folder, capture_output=True, text=True, timeout=300, check=False,
            )  # fmt: skip
            assert process.returncode == 0, process.stderr
            return [point["loss"] for point in points(folder / out)]

        # L = 2 exp(2 RATE k): the second module has another neighbour.
        first = losses(own, "a")
        other = own / "other"
        other.mkdir()
        (other / "own.py").write_text(OWN)
        (other / "neighbour.py").write_text("RATE = -1.0\n")
        for found, rate in ((first, -0.5), (losses(other, "a"), -1.0)):
            # The solver's error, of a tolerance of 1e-5.
            wanted = [2 * math.exp(2 * rate * k) for k in (0.5, 1.0, 2.0)]
            assert found == pytest.approx(wanted, rel=1e-3)
        # An edit, and a cell that takes its process down wherever it is tried.
        (own / "own.py").write_text(FRAGILE)
        assert losses(own, "b") == [first[0], None, first[2]]
        (dead,) = [p for p in points(own / "b") if p["status"] == "failed"]
        assert dead["failure"] == "its process ended under it, each time it was tried"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--scheduler", "tcp://127.0.0.1:1"), "no Dask scheduler answers at 'tcp://127.0.0.1:1'"),
        (("--scheduler", "login01"), "no Dask scheduler answers at 'login01'"),
        (("--scheduler", "tcp://127.0.0.1:1", "--workers", "2"), "leave it out with --scheduler"),
    ],
)
def test_an_address_where_nobody_is(own, options, words):
    _, said = (process := begin(own, "there", *options, "-q")).communicate(timeout=120)
    assert process.returncode == 2
    assert words in said
    assert "Traceback" not in said
    assert not (own / "there").exists()
