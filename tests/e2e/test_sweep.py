"""``node-diag sweep``: what a person gets of it, and what an interruption costs."""

import csv
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from node_diag import gradient
from node_diag.loader import load

# Importing torch takes longer than the work, so that one process is faster than two.
ONE = ("--workers", "1")
QUICK = (
    *("linear", "--over", "rtol=1e-3:1e-5:2", "--over", "solver=rk23,rk4", "-m", "aca,adjoint"),
    *ONE,
)


def rows(folder):
    return list(csv.DictReader((folder / "points.csv").read_text().splitlines()))


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """A sweep of a linear problem, its folder and what was printed."""
    folder = tmp_path_factory.mktemp("swept")
    command = [Path(sys.executable).parent / "node-diag", "sweep", *QUICK]
    done = subprocess.run(
        [*command, "--report-dir", "out"], cwd=folder, capture_output=True, text=True, timeout=120,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done, folder / "out"


def test_errors_are_those_of_the_closed_form_and_counts_those_of_the_method(swept):
    """L = z(T)² of z' = kz: dL/dz0 = 2 z(T)²/z0, dL/dk = 2 T z(T)²."""
    _, folder = swept
    found = rows(folder)
    assert len(found) == 2 * 2 * 2
    problem = load("linear", {})
    for row in found:
        options = {} if row["solver"] == "rk4" else {"rtol": float(row["rtol"])}
        options |= {"atol": options["rtol"]} if options else {}
        own = gradient(problem, row["method"], row["solver"], **options)
        assert int(row["nfe_forward"]) == own.nfe_forward
        assert int(row["nfe_backward"]) == own.nfe_backward
        k, z0 = float(problem.params["k"].detach()), float(problem.z0)
        z1 = z0 * 2.718281828459045 ** (k * problem.t1)
        truth = [2 * z1**2 / z0, 2 * problem.t1 * z1**2]
        given = [float(own.gradient.z0), float(own.gradient.params["k"])]
        off = sum((a - b) ** 2 for a, b in zip(given, truth, strict=True)) ** 0.5
        size = sum(b**2 for b in truth) ** 0.5
        # Both are sums of a few roundings of 1e-16, of the truth and of the error.
        assert float(row["error"]) == pytest.approx(off / size, rel=1e-6, abs=1e-14)


def test_what_is_the_same_is_computed_once(swept):
    _, folder = swept
    assert len(list((folder / "cells" / "counts").iterdir())) == 3  # rk4 does not look at rtol
    fixed = [{**row, "rtol": ""} for row in rows(folder) if row["solver"] == "rk4"]
    assert fixed[:2] == fixed[2:]


def test_the_folder_holds_everything_and_the_command_gives_that_error(swept, node_diag):
    done, folder = swept
    assert {"report.html", "sweep.json", "points.csv"} <= {path.name for path in folder.iterdir()}
    assert {path.name for path in (folder / "figures").iterdir()} == {
        "heat_map.png", "work_precision_evaluations.png", "work_precision_memory.png",
    }  # fmt: skip
    record = json.loads((folder / "sweep.json").read_text())
    (choice,) = record["choices"]
    best = record["points"][choice["cheapest"]]
    assert best["error"] + best["uncertainty"] <= record["target_error"] == 1e-3
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("  node-diag check")]
    again = node_diag(*shlex.split(line)[1:], "--output-format", "json", "-q", "--repeat", "1")
    assert again.returncode == 0, again.stderr
    (method,) = json.loads(again.stdout)["methods"]
    assert method["errors"]["continuous"]["relative_l2"] == pytest.approx(best["error"], rel=1e-9)
    assert method["cost"]["nfe_forward"] == best["nfe_forward"]


def test_what_fails_is_a_row(node_diag, tmp_path):
    done = node_diag("sweep", "vanderpol", "--over", "max_steps=5,100000", "--over", "mu=1,2",
                     "--set", "T=2", "-m", "aca", "--report-dir", "out", "-q", *ONE)  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = rows(tmp_path / "out")
    assert [row["status"] for row in found] == ["failed", "failed", "ok", "ok"]
    assert all("5" in row["failure"] and not row["error"] for row in found[:2])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("linear", "--over", "nu=1,2"), "nu"),
        (("linear", "--over", "solver=rk5,dopri5"), "rk5"),
        (("linear", "--over", "rtol=-1,2"), "it must be a positive number"),
        (("nowhere.py", "--over", "rtol=1e-3,1e-4"), "there is no file 'nowhere.py'"),
        (("linear",), "over"),
        (("linear", "--over", "rtol=1e-3,1e-4", "--resume"), "name it with --report-dir"),
        (("linear", "--over", "method=aca", "-m", "naive"), "methods are given twice"),
        (("linear", "--over", "rtol=1e-3,1e-4", "--rtol", "1e-5"), "by --rtol and by --over rtol"),
        (("linear", "--over", "k=1,2", "--set", "k=3"), "by --set k and by --over k"),
        (("linear", "--over", "rtol=1e-3,x", "--solver", "rk4"), "rtol = 'x' (from flag --over"),
        (("linear", "--over", "k=1,1.0"), "a value is given twice"),
        (("linear", "--over", "step_size=0.1,0.2"), "--over step_size is for fixed-step solvers"),
        (("linear", "--over", "rtol=1e-3,1e-4", "--step-size", "0.1"), "which dopri5 is not"),
        (("linear", "--over", "rtol=1e-3,1e-4", "--over", "solver=rk4,euler"), "rk4, euler are"),
        (("linear", "--over", "adjoint-rtol=1e-3,1e-4", "-m", "aca"), "nothing in reverse time"),
        (("linear", "--over", "k=one,two"), "--over k=one: 'k' is a number"),
    ],
)
def test_what_cannot_be_is_told_before_anything_runs(node_diag, tmp_path, arguments, words):
    done = node_diag("sweep", *arguments, "-q")
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "reports").exists()


def test_a_folder_with_something_else_is_left_alone(node_diag, tmp_path, swept):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").touch()
    done = node_diag("sweep", *QUICK, "--report-dir", "out", "-q")
    assert done.returncode == 2
    assert "holds something that is no sweep" in done.stderr
    done = node_diag("sweep", *QUICK, "--report-dir", str(swept[1]), "-q")
    assert "pass --resume to go on with it" in done.stderr


def test_a_sweep_that_was_killed_goes_on_and_ends_the_same(swept, tmp_path):
    """Finished cells are not computed again, and none is lost."""
    command = [Path(sys.executable).parent / "node-diag", "sweep", *QUICK, "--report-dir", "out"]
    process = subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    cells = tmp_path / "out" / "cells" / "counts"
    while not list(cells.glob("*.json")):
        assert process.poll() is None
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    before = {path.name: path.stat().st_mtime_ns for path in cells.glob("*.json")}
    assert not (tmp_path / "out" / "points.csv").exists()
    done = subprocess.run(
        [*command, "--resume"], cwd=tmp_path, capture_output=True, text=True, timeout=120,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "points.csv").read_bytes() == (swept[1] / "points.csv").read_bytes()
    records = [json.loads((f / "sweep.json").read_text()) for f in (tmp_path / "out", swept[1])]
    assert [record.pop("created") for record in records]
    assert records[0] == records[1]
    after = {path.name: path.stat().st_mtime_ns for path in cells.glob("*.json")}
    assert {name: after[name] for name in before} == before


OWN = """
import os
import torch
from torch import nn
from node_diag import Problem

print("a word of the module")
os.makedirs("elsewhere", exist_ok=True)
os.chdir("elsewhere")


class Field(nn.Module):
    def __init__(self, k):
        super().__init__()
        self.k = nn.Parameter(torch.tensor(float(k)))
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, t, z):
        self.seen += 1  # which a later cell must not see
        return self.k * z * (1 + 1e-3 * self.seen)


def problem(k: float = -1.0):
    if k > 5:
        raise ValueError("too large")
    return Problem(Field(k), torch.ones(1), [0.0, 1.0], lambda zs: zs[-1].sum())
"""


def test_a_module_that_prints_moves_and_keeps_state(node_diag, tmp_path):
    """stdout is the record, the folder is where it was asked for, and the order has no effect."""
    (tmp_path / "own.py").write_text(OWN)
    found = {}
    for order in ("1e-3,1e-5", "1e-5,1e-3"):
        done = node_diag("sweep", tmp_path / "own.py", "--over", "k=-1,9", "-m", "aca,naive",
                         "--over", f"rtol={order}", "--report-dir", order, "--max-steps", "50",
                         "--output-format", "json", *ONE)  # fmt: skip
        assert done.returncode == 0, done.stderr
        points = json.loads(done.stdout)["points"]
        assert "a word of the module" in done.stderr
        assert (tmp_path / order / "points.csv").is_file()
        found[order] = {(*p["at"].values(), p["method"]): p for p in points}
        assert "too large" in found[order][9, 1e-3, "aca"]["failure"]
    assert found["1e-3,1e-5"] == found["1e-5,1e-3"]


TRAINING = """
import torch
from torchdiffeq import odeint_adjoint as odeint

torch.manual_seed(0)
f = torch.nn.Linear(2, 2)
func = lambda t, y: f(y)
y0 = torch.ones(2)
odeint(func, y0, torch.tensor([0.0, 1.0]), rtol=1e-3, atol=1e-4, method="bosh3",
       adjoint_params=tuple(f.parameters()))[1].sum().backward()
"""


def test_a_captured_call_brings_its_settings(node_diag, tmp_path):
    (tmp_path / "train.py").write_text(TRAINING)
    done = node_diag(
        "sweep", "capture:train.py", "--over", "control=state,sensitivities", "-m", "aca", *ONE,
        "--report-dir", "out", "-q",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "out" / "sweep.json").read_text())
    # float32: ours is not run below ten of its roundings, which 1e-3 and 1e-4 are above.
    wanted = {"solver": "bosh3", "rtol": 1e-3, "atol": 1e-4, "dtype": "float32"}
    assert {name: record["options"][name] for name in wanted} == wanted
    assert [point["status"] for point in record["points"]] == ["ok", "ok"]
    assert "--dtype float32" in done.stdout


def test_the_printed_commands_run_whatever_the_configuration(node_diag, tmp_path):
    """An option that the chosen solver refuses is left out, and a configured one said once."""
    (tmp_path / "node-diag.yaml").write_text("rtol: 1.0e-2\nmax_grad_error: ['1.0']\n")
    done = node_diag("sweep", "linear", "--over", "solver=rk4,dopri5", "--over",
                     "step_size=0.5,0.25", "-m", "naive", "--report-dir", "out", "-q",
                     "--target-error", "1e-2", "--over", "rtol=1e-2,1e-3", *ONE)  # fmt: skip
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "out" / "sweep.json").read_text())
    (choice,) = record["choices"]
    assert record["points"][choice["cheapest"]]["at"]["solver"] == "dopri5"
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("  node-diag check")]
    assert "--step-size" not in line
    again = node_diag(*shlex.split(line)[1:], "-q", "--repeat", "1")
    assert again.returncode == 0, again.stderr
    before = sorted((tmp_path / "out" / "cells").rglob("*.json"))
    again = node_diag(*shlex.split(record["command"])[1:], "-q", "--report-dir", "out", "--resume")
    assert again.returncode == 0, again.stderr
    assert json.loads((tmp_path / "out" / "sweep.json").read_text())["points"] == record["points"]
    assert sorted((tmp_path / "out" / "cells").rglob("*.json")) == before


@pytest.mark.parametrize("columns", [56, 60, 80, 120])
def test_lines_fit_into_the_terminal(node_diag, tmp_path, swept, columns):
    shutil.copytree(swept[1], tmp_path / "out")
    done = node_diag("sweep", *QUICK, "--report-dir", "out", "--resume", "-q", COLUMNS=str(columns))
    assert done.returncode == 0, done.stderr
    # A command is one line, so that it can be copied.
    text = [line for line in done.stdout.splitlines() if not line.startswith("  node-diag")]
    assert max(map(len, text)) <= columns
    assert ("Not shown at this width" in done.stdout) == (columns == 56)


def test_another_sweep_in_the_same_folder_leaves_nothing_of_the_first(node_diag, tmp_path):
    """What is taken over, and what is not, is said; figures and tables are of what was asked."""
    first = ("linear", "--over", "rtol=1e-3,1e-4", "--over", "k=1,2,3", "-m", "aca", *ONE)
    done = node_diag("sweep", *first, "--report-dir", "out", "--resume", "--parquet")
    assert done.returncode == 0, done.stderr
    assert "out holds no sweep yet: it begins there" in done.stderr
    there = {path.name for path in (tmp_path / "out").rglob("*.*")}
    assert {"heat_map.png", "heat_map.csv", "along_k.png", "points.parquet"} <= there
    done = node_diag("sweep", "linear", "--over", "k=1,7", "--rtol", "1e-3", "-m", "aca", *ONE,
                     "--report-dir", "out", "--resume")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "out was begun by another command, whose report is replaced: node-diag" in done.stderr
    assert "1 of 2 settings were finished before" in done.stderr
    assert "5 finished settings are not taken" in done.stderr
    files = {path.name for path in (tmp_path / "out").rglob("*.*") if path.suffix != ".json"}
    assert files == {
        "report.html", "points.csv",
        "work_precision_evaluations.png", "work_precision_evaluations.csv",
        "work_precision_memory.png", "work_precision_memory.csv",
    }  # fmt: skip
    assert [row["k"] for row in rows(tmp_path / "out")] == ["1", "7"]


HANGING = """
import os
import time
import torch
from node_diag import Problem

def problem(mode: str = "ok"):
    k = torch.tensor(-1.0)
    def f(t, z):
        if mode == "hang":
            time.sleep(1000)
        if mode == "exit":
            os._exit(7)
        return k * z
    return Problem(f, torch.ones(2), (0.0, 1.0), lambda zs: zs[-1].sum(), params={"k": k})
"""


def test_a_setting_that_hangs_or_ends_its_process_is_a_row(node_diag, tmp_path):
    (tmp_path / "mine.py").write_text(HANGING)
    done = node_diag("sweep", "mine.py", "--over", "mode=ok,hang,exit", "-m", "aca", *ONE,
                     "--timeout", "5", "--report-dir", "out")  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = {row["mode"]: row for row in rows(tmp_path / "out")}
    assert found["ok"]["status"] == "ok"
    assert "it took longer than 5 s (--timeout)" in found["hang"]["failure"]
    assert "in f (mine.py, line 11)" in found["hang"]["failure"]
    assert found["exit"]["failure"] == "its process ended under it, each time it was tried"
    assert "3 gradients, 2 of them failed" in done.stdout
    assert "aca with mode hang: it took longer than 5 s" in " ".join(done.stdout.split())
    assert "left: mode hang" in done.stderr


KEEPING = """
import torch
from torch import nn
from node_diag import Problem

class F(nn.Module):
    def __init__(self, keeps):
        super().__init__()
        self.raw, self.keeps, self.rate = nn.Parameter(torch.ones(2).double()), keeps, None
    def forward(self, t, z):
        if self.rate is None or not self.keeps:
            self.rate = self.raw.exp()
        return -self.rate * z

def problem(keeps: bool = False):
    return Problem(F(keeps), torch.ones(2).double(), (0.0, 1.0), lambda zs: zs[-1].sum())
"""


def test_an_f_that_keeps_its_weights_has_no_truth(node_diag, tmp_path):
    (tmp_path / "mine.py").write_text(KEEPING)
    done = node_diag("sweep", "mine.py", "--over", "keeps=true,false", "-m", "aca", *ONE,
                     "--report-dir", "out")  # fmt: skip
    assert done.returncode == 0, done.stderr
    kept, fine = rows(tmp_path / "out")
    assert kept["no_truth"] == "f keeps what it computes from raw in its first evaluation (ND414)"
    assert kept["error"] == ""
    assert float(fine["error"]) < 1e-4


STUBBORN = """
import os
import time
import torch
from node_diag import Problem

def problem(mode: str = "ok", n: int = 1):
    if mode == "raise":
        raise ValueError("no such mode")
    if mode == "make":
        time.sleep(1000)
    if mode == "end":
        os._exit(7)
    k = torch.tensor(-1.0)
    def f(t, z):
        while mode == "stubborn":
            try:
                time.sleep(1000)
            except BaseException:
                pass
        return k * z
    return Problem(f, torch.ones(2), (0.0, 1.0), lambda zs: zs[-1].sum(), params={"k": k})
"""


def test_what_cannot_be_made_is_a_row_wherever_it_comes(node_diag, tmp_path):
    """Also as the first, which is tried before anything is run."""
    (tmp_path / "mine.py").write_text(STUBBORN)
    done = node_diag("sweep", "mine.py", "--over", "mode=make,raise,end,stubborn,ok", "-m", "aca",
                     *ONE, "--timeout", "4", "--report-dir", "out")  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = {row["mode"]: row for row in rows(tmp_path / "out")}
    assert found["ok"]["status"] == "ok"
    assert "in the function that makes the problem (mine.py, line 11)" in found["make"]["failure"]
    assert "raised ValueError: no such mode" in found["raise"]["failure"]
    assert found["end"]["failure"] == "its process ended under it, each time it was tried"
    assert (
        found["stubborn"]["failure"] == "it took longer than 4 s (--timeout); stopped at 'counts'"
    )
    assert "trying problem 4 of 5" in done.stderr
    assert "error:" not in done.stderr


@pytest.mark.parametrize(
    ("axis", "words"),
    [
        ("mode=raise", "'mine.py' raised ValueError: no such mode"),
        ("mode=end", "'mine.py' ended the process in which it was imported"),
        ("mode=make", "it took longer than 3 s (--timeout); stopped at 'the problem', in the"),
        ("n=1,1.5", "--over n=1.5: 'n' is a whole number"),
        ("mood=ok", "'mine.py' has no parameter 'mood'; did you mean 'mode'?"),
    ],
)
def test_where_no_problem_can_be_made_nothing_is_swept(node_diag, tmp_path, axis, words):
    (tmp_path / "mine.py").write_text(STUBBORN)
    done = node_diag("sweep", "mine.py", "--over", axis, "-m", "aca", *ONE, "--timeout", "3",
                     "--report-dir", "out")  # fmt: skip
    assert done.returncode == 2
    assert words in " ".join(done.stderr.split())
    assert not (tmp_path / "out").exists()


def test_other_formats_of_what_is_printed(node_diag, tmp_path):
    (tmp_path / "mine.py").write_text(STUBBORN)
    sweep = (
        "sweep",
        "mine.py",
        "--over",
        "mode=raise,ok",
        "-m",
        "aca",
        *ONE,
        "--report-dir",
        "out",
    )
    done = node_diag(*sweep, "--output-format", "markdown")
    assert done.stdout.startswith("### node-diag sweep `mine`\n")
    assert (
        "| method | mode | nfe | error ± uncertainty | saved bytes |\n|:--|:--|--:|" in done.stdout
    )
    assert "\n- 1 gradient, aca with mode raise: 'mine.py' raised ValueError" in done.stdout
    done = node_diag(*sweep, "--resume", "--output-format", "github")
    first, last = done.stdout.splitlines()
    assert first.startswith("::warning file=mine.py,title=node-diag sweep of mine::1 gradient, aca")
    assert last.startswith("::notice file=mine.py,title=node-diag sweep of mine::mine: mode (2)")


def test_what_was_interrupted_by_ctrl_c_is_kept(tmp_path):
    command = [Path(sys.executable).parent / "node-diag", "sweep", *QUICK, "--report-dir", "out"]
    process = subprocess.Popen(command, cwd=tmp_path, text=True,
                               stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                               start_new_session=True)  # fmt: skip
    cells = tmp_path / "out" / "cells" / "counts"
    while not list(cells.glob("*.json")):
        assert process.poll() is None
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=60)
    # With three short cells the last may be over before the signal is heard.
    assert process.returncode in (0, 130)
    if process.returncode:
        assert "--resume --report-dir out" in said
    assert list(cells.glob("*.json"))
    assert not list(cells.glob("*.partial"))


def test_help_needs_no_torch():
    code = (
        "import sys; sys.argv = ['node-diag', 'sweep', '--help']; import atexit;"
        "atexit.register(lambda: print('torch' in sys.modules));"
        "from node_diag.cli import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert "--over" in done.stdout
    assert done.stdout.rstrip().endswith("False")
