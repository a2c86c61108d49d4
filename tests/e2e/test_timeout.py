"""``--timeout``: code that does not end is ended, and says where it was."""

import os
import time

import pytest

MODULE = """
import os, time, torch
from torch import nn
from node_diag import Problem

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.k = nn.Parameter(torch.tensor(0.5))
    def forward(self, t, z):
        {f}
        return -self.k * z

def loss(zs):
    {loss}
    return (zs**2).mean()

def problem():
    return Problem(Net(), torch.ones(2), (0.0, 1.0), loss)
"""
SLEEP = "time.sleep(1000)"
CASES = {
    "import": ("while True: pass", "stopped at 'importing mine.py', on import (mine.py, line 1)"),
    "f": (MODULE.format(f=SLEEP, loss="pass"), "stopped at 'loading the problem', in f (mine.py, line 11)"),
    "loss": (
        MODULE.format(f="pass", loss=SLEEP),
        "stopped at 'loading the problem', in the loss (mine.py, line 15)",
    ),
    "later in f": (
        MODULE.format(f="None if t < 0.5 else " + SLEEP, loss="pass"),
        "stopped at 'forward solve', in f (mine.py, line 11)",
    ),
    # Nothing it catches helps: it is ended from another thread.
    "catches all": (
        "import time\nwhile True:\n    try:\n        time.sleep(1000)\n    except BaseException:\n        pass",
        "stopped at 'importing mine.py'",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_module_that_hangs_is_one_sentence(node_diag, tmp_path, case):
    text, said = CASES[case]
    (tmp_path / "mine.py").write_text(text)
    began = time.monotonic()
    done = node_diag("check", "mine.py", "-q", "--timeout", "1")
    # The sleep is 1000 s; starting takes a few, and the other thread waits another five.
    assert time.monotonic() - began < 60
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line == f"error: it took longer than 1 s (--timeout); {said}"
    assert done.stdout == ""
    assert [p.name for p in tmp_path.iterdir() if p.name != "__pycache__"] == ["mine.py"]


@pytest.mark.parametrize("where", ["child", "parent"])
def test_no_forked_child_is_left(node_diag, tmp_path, where):
    """One of the two processes that share the work hangs; both write their number before."""
    hang = (
        "if torch.is_grad_enabled() and t > 0.2:\n"
        "            open(f'pid{os.getpid()}', 'w').close()\n"
        f"            mine = os.getpid() == PARENT\n"
        f"            if {'mine' if where == 'parent' else 'not mine'}:\n"
        f"                {SLEEP}"
    )
    text = MODULE.format(f=hang, loss="pass").replace(
        "class Net", "PARENT = os.getpid()\n\nclass Net"
    )
    (tmp_path / "mine.py").write_text(text)
    done = node_diag("check", "mine.py", "-q", "--timeout", "8")
    pids = [int(p.name.removeprefix("pid")) for p in tmp_path.glob("pid*")]
    assert pids
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    if len(os.sched_getaffinity(0)) > 1 or where == "parent":
        assert done.returncode == 2
        assert "it took longer than 8 s" in done.stderr


def test_one_that_hangs_does_not_stop_the_others(node_diag, tmp_path):
    (tmp_path / "mine.py").write_text("while True: pass")
    (tmp_path / "node-diag.yaml").write_text(
        "problems: [{problem: mine.py, timeout: 1}, linear]\nmethods: [aca]\nrepeat: 1\nreport: [json]\ntimeout: 60\n"
    )
    done = node_diag("check", "-q", "--report-dir", "out")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: mine: it took longer than 1 s")
    assert (tmp_path / "out" / "linear" / "report.json").exists()


def test_time_enough_changes_nothing(node_diag):
    done = node_diag(
        "check",
        "linear",
        "-q",
        "-m",
        "aca",
        "--repeat",
        "1",
        "--report",
        "json",
        "--timeout",
        "100",
    )
    assert done.returncode == 0


def test_where_it_stopped_is_never_a_file_of_a_library():
    """numpy, scipy and Python itself call nothing back of the person's: only own frames are named."""
    import json

    import numpy as np
    import torch

    from node_diag.errors import own_frames, said

    for call in (
        lambda: json.loads("{"),
        lambda: np.linalg.inv(np.zeros((2, 3))),
        lambda: torch.zeros(2).reshape(3),
    ):
        with pytest.raises((ValueError, RuntimeError)) as raised:  # LinAlgError is a ValueError
            call()
        assert {frame.filename for frame in own_frames(raised.value)} == {__file__}
        assert "(test_timeout.py, line" in said(raised.value)
