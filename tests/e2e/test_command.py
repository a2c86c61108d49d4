"""The installed command: exit codes, streams, report folder, start-up."""

import ast
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest

from node_diag.records import Report, json_schema

USER_MODULE = """
import torch
from torch import nn
from node_diag import Problem

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 2))
    def forward(self, t, y):
        return self.net(y)

def problem(batch: int = 3) -> Problem:
    return Problem(Net(), torch.randn(batch, 2), torch.linspace(0.0, 1.0, 6), lambda zs: (zs**2).mean())
"""


@pytest.fixture
def user_file(tmp_path):
    def write(text, name="mine.py"):
        (tmp_path / name).write_text(text)
        return name

    return write


def test_main_job_exits_0_and_writes_everything(installed, tmp_path):
    done = installed("check", "vanderpol", "--rtol", "1e-5", "--repeat", "1", "--report-dir", "out")
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "out"
    report = Report.load(folder / "report.json")
    assert report.method("adjoint").errors.continuous.relative_l2 > 1e3
    assert (folder / "report.html").stat().st_size < 2_000_000
    assert len(list((folder / "figures").glob("*.png"))) >= 4
    assert list((folder / "tables").glob("*.csv"))
    assert "adjoint" in done.stdout
    assert "adjoint" in done.stderr  # progress names the stage and the method
    assert "\x1b[" not in done.stdout  # no ANSI in a pipe


@pytest.mark.parametrize(("limit", "code"), [("1e-3", 1), ("aca=1e-3", 0)])
def test_max_grad_error_on_vanderpol(node_diag, limit, code):
    done = node_diag(
        "check", "vanderpol", "--repeat", "1", "--max-grad-error", limit, "--report", "json",
        "--output-format", "json",
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    gates = json.loads(done.stdout)["gates"]
    assert {gate["verdict"] for gate in gates} == ({"pass"} if code == 0 else {"pass", "fail"})
    for gate in gates:
        assert gate["source"] == "flag --max-grad-error"
        assert bool(gate["reason"]) == (gate["verdict"] == "fail")


def test_json_on_stdout_is_the_record_and_fits_the_schema(installed, tmp_path):
    jsonschema = pytest.importorskip("jsonschema")
    done = installed(
        "check", "linear", "--repeat", "1", "--report-dir", "out", "--output-format", "json"
    )
    assert done.stdout == (tmp_path / "out" / "report.json").read_text()
    jsonschema.validate(json.loads(done.stdout), json_schema())


def test_failed_gate_says_why_and_exit_zero_only_changes_the_code(node_diag):
    arguments = ("check", "linear", "--repeat", "1", "--max-grad-error", "1e-9", "--report", "json")
    failed = node_diag(*arguments)
    assert failed.returncode == 1
    assert re.search(r"fail", failed.stdout, re.IGNORECASE)
    assert "--max-grad-error" in failed.stdout
    spared = node_diag(*arguments, "--exit-zero")
    assert spared.returncode == 0
    assert re.search(r"fail", spared.stdout, re.IGNORECASE)


def test_gate_below_the_noise_floor_is_inconclusive(node_diag):
    done = node_diag(
        "check", "linear", "--repeat", "1", "--method", "aca", "--report", "json",
        "--gate", "aca.grad_error_discrete<=1e-11", "--output-format", "json",
    )  # fmt: skip
    (gate,) = json.loads(done.stdout)["gates"]
    # The error is 3e-12 and known to 2e-10 only: not above the limit for sure, nor below it.
    assert gate["verdict"] == "inconclusive"
    assert done.returncode == 1


@pytest.mark.parametrize("option", ["--gate=naive.grad_error<=1e-3", "--max-grad-error=naive=1e-3"])
def test_a_gate_on_a_method_that_is_not_run_is_told_before_the_work(node_diag, tmp_path, option):
    done = node_diag("check", "linear", "-m", "aca", option)
    assert done.returncode == 1  # a gate that matches nothing did not pass
    (line,) = done.stderr.splitlines()  # no progress: nothing was started
    assert "is on naive, which is not run: add it to the methods (aca,naive)" in line
    assert not (tmp_path / "reports").exists()
    assert node_diag("check", "linear", "-m", "aca", option, "--exit-zero").returncode == 0


def test_a_configured_gate_on_a_method_that_a_flag_leaves_out_is_undecided(node_diag, tmp_path):
    """So that the commands that a report advises run where gates are configured."""
    (tmp_path / "node-diag.yaml").write_text(
        "{max_grad_error: [naive=1], repeat: 1, report: [json]}"
    )
    done = node_diag("check", "linear", "-q", "-m", "aca")
    assert done.returncode == 1
    assert "naive was not run" in done.stdout
    (tmp_path / "node-diag.yaml").write_text("{max_grad_error: [naive=1], methods: [aca]}")
    refused = node_diag("check", "linear")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "(from node-diag.yaml: max_grad_error) is on naive, which is not run" in refused.stderr


def test_failed_method_is_a_row_and_fails_its_gate(node_diag):
    done = node_diag(
        "check", "vanderpol", "--set", "mu=1", "--set", "T=10", "--rtol", "1e-3", "--repeat", "1",
        "--report", "json", "--max-grad-error", "adjoint=1", "--output-format", "json",
    )  # fmt: skip
    record = json.loads(done.stdout)
    rows = {method["name"]: method for method in record["methods"]}
    assert rows["adjoint"]["status"] == "failed"
    assert "underflow" in rows["adjoint"]["failure"]
    assert rows["aca"]["status"] == "ok"
    assert record["gates"][0]["verdict"] == "fail"
    assert done.returncode == 1


def test_users_file_end_to_end(installed, user_file, tmp_path):
    done = installed(
        "check", user_file(USER_MODULE), "--set", "batch=2", "--repeat", "1", "--report-dir", "out"
    )
    assert done.returncode == 0, done.stderr
    report = Report.load(tmp_path / "out" / "report.json")
    assert report.problem.state_shape == [2, 2]
    assert len(report.problem.ts) == 6
    assert report.method("aca").errors.discrete.relative_l2 < 1e-8
    assert report.method("adjoint").errors.continuous.relative_l2 < 1e-3


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["chekc"], "no such command 'chekc'. Did you mean 'check'? Run 'node-diag --help'."),
        (
            ["check", "linear", "--rtoll", "1"],
            "--rtoll (Possible options: --atol, --control, --rtol)",
        ),
        (["check", "linear", "--rtol", "abc"], "invalid value for '--rtol'"),
        (["check", "linear", "--report-dir"], "'--report-dir' requires an argument"),
        (["check"], "there is nothing to check: name a PROBLEM"),
        (["compare", "a"], "missing argument 'new'. Run 'node-diag compare --help'."),
        (["check", "linear", "vanderpol"], "unexpected extra argument(s) (vanderpol)"),
        (["check", "linear", "--max-slowdown", "2"], "beside a baseline's; add --baseline PATH"),
        (["list", "solver"], "'solver' is not one of 'problems', 'solvers'"),
    ],
)
def test_misused_command_line_is_one_sentence(node_diag, arguments, says):
    done = node_diag(*arguments)
    assert done.returncode == 2
    assert not done.stdout
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert says in line


def test_no_arguments_show_the_help(node_diag):
    done = node_diag()
    assert done.returncode == 2
    assert "check" in done.stderr


def test_only_declared_dependencies_are_imported():
    """What the package imports, against what an installation brings.

    Extras only inside functions, and in the modules that are there for one: a library's methods,
    which are loaded by name alone, and the plugin that pytest loads.
    """
    package = Path(__file__).resolve().parents[2]
    project = tomllib.loads((package / "pyproject.toml").read_text())["project"]
    known = _imported_as(project["dependencies"])
    known.add("markupsafe")  # jinja2 is made of it
    known |= set(sys.stdlib_module_names) | {"node_diag", "_problems", "problems"}
    extras = project["optional-dependencies"]
    optional = {"pytest"}
    for extra in ("experiments", "dask", "parquet"):
        optional |= _imported_as(extras[extra])
    optional |= {name.partition(">")[0] for name in extras["peers"]}
    trees = {
        path: ast.parse(path.read_text())
        for folder in ("node_diag", "problems")
        for path in (package / folder).rglob("*.py")
    }
    assert {name for tree in trees.values() for name in _roots(ast.walk(tree))} <= known | optional
    plain = [
        tree
        for path, tree in trees.items()
        if not (path.name.startswith("with_") and path.parent.name == "peers")
        and path.name != "pytest_plugin.py"
    ]
    assert {name for tree in plain for name in _roots(_at_import(tree))} <= known


def _imported_as(requirements):
    names = {re.split(r"[<>=\[]", entry)[0] for entry in requirements}
    return {{"pyyaml": "yaml", "scikit-learn": "sklearn"}.get(name, name) for name in names}


def _at_import(node):
    """Nodes that run when the module is imported: not the bodies of functions."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield child
            yield from _at_import(child)


def _roots(nodes):
    return {module.partition(".")[0] for node in nodes for module in _modules(node)}


def _modules(node):
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.level == 0:
        return [node.module]
    return []


BROKEN = {
    "raises on import": ("raise ValueError('no data')", "importing mine.py raised ValueError: no data"),
    "exits on import": ("import sys; sys.exit(7)", "importing mine.py raised SystemExit: 7"),
    "is not Python": ("def f(:", "SyntaxError"),
    "has no problem": ("x = 1", "has no attribute 'problem'"),
    "gives no Problem": ("def problem(): return 3", "returned a int, not a Problem"),
    "wrong shape": (USER_MODULE.replace("self.net(y)", "self.net(y)[:, :1]"), "returned shape (3, 1) for a state of shape (3, 2); dz/dt must have the shape of z"),
    "NaN": (USER_MODULE.replace("self.net(y)", "self.net(y) * float('nan')"), "NaN or infinite"),
    "f raises": (USER_MODULE.replace("self.net(y)", "self.net(y) + 1 / 0"), "raised ZeroDivisionError"),
    "vector loss": (USER_MODULE.replace("(zs**2).mean()", "zs[-1]"), "must be a scalar: end it in .mean() or .sum()"),
    "loss raises": (USER_MODULE.replace("(zs**2).mean()", "zs.nonsense"), "loss raised AttributeError"),
    "class for f": (USER_MODULE.replace("Net(), torch", "Net, torch"), "func is the class Net; pass Net(...)"),
    "list": (USER_MODULE.replace("self.net(y)", "[1.0]"), "f returned a list, not a tensor; return dz/dt in z's shape (3, 2)"),
    "arguments swapped": (USER_MODULE.replace("forward(self, t, y)", "forward(self, y, t)"), "it is called as f(t, z) with t of shape () and z of shape (3, 2)"),
    "empty": ("", "has no attribute 'problem'; define problem ="),
    "loss is a number": (USER_MODULE.replace("(zs**2).mean()", "zs.mean().item()"), "return the tensor itself, without .item()"),
    "not text": ("\0", "source code string cannot contain null bytes"),
    "float32 out of float64": (USER_MODULE.replace("self.net(y)", "self.net(y).float()").replace("Net(), torch.randn(batch, 2)", "Net().double(), torch.randn(batch, 2).double()"), "f returned torch.float32 for a torch.float64 state; check as it trains"),
    "integer state": (USER_MODULE.replace("torch.randn(batch, 2)", "torch.zeros(3, 2, dtype=torch.long)"), "floating-point"),
    "f ends the process": (USER_MODULE.replace("self.net(y)", "exit(0)"), "raised SystemExit: 0"),
    "loss ends the process": (USER_MODULE.replace("(zs**2).mean()", "exit(0)"), "raised SystemExit: 0"),
    "NaN loss": (USER_MODULE.replace("(zs**2).mean()", "zs.mean() * float('nan')"), "the loss of the solved states is nan"),
    "complex loss": (USER_MODULE.replace("(zs**2).mean()", "(zs * 1j).mean()"), "it must be a real floating-point scalar"),
    "another shape later": (USER_MODULE.replace("self.net(y)", "self.net(y) if t < 0.5 else self.net(y)[0]"), "of shape (2,)"),
    "loss sees no z0": (USER_MODULE.replace("(zs**2).mean()", "(zs - torch.zeros(6, 3, 2)).mean()"), "the states at ts[1:], without z0"),
    "times not sorted": (USER_MODULE.replace("torch.linspace(0.0, 1.0, 6)", "[0.0, 2.0, 1.0]"), "strictly decreasing; it has 1 after 2"),
}  # fmt: skip


def test_a_module_that_changes_its_input_is_a_finding_and_exit_2(node_diag, user_file, tmp_path):
    text = USER_MODULE.replace("return self.net(y)", "y.mul_(2); return self.net(y)")
    done = node_diag("check", user_file(text), "-q", "-m", "aca", "--report-dir", "out")
    assert done.returncode == 2
    assert "ND413  f changes the state it is given in place" in done.stdout
    assert Report.load(tmp_path / "out" / "report.json").findings[0].code == "ND413"


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_module_is_one_sentence_and_exit_2(node_diag, user_file, tmp_path, case):
    text, said = BROKEN[case]
    done = node_diag("check", user_file(text), "-q")
    assert done.returncode == 2
    assert done.stdout == ""
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("error: ")
    assert said in line
    assert not (tmp_path / "reports").exists()


def test_verbose_shows_the_users_own_frames(node_diag, user_file):
    name = user_file(USER_MODULE.replace("self.net(y)", "self.net(y) + 1 / 0"))
    done = node_diag("check", name, "-q", "-v")
    assert done.returncode == 2
    first = done.stderr.splitlines()[2]  # after the sentence and the heading
    assert "mine.py" in first
    assert "ZeroDivisionError" in done.stderr.splitlines()[-1]


def test_what_the_module_prints_is_not_the_result(node_diag, user_file):
    name = user_file(USER_MODULE.replace("return self.net(y)", "print('in f'); return self.net(y)"))
    done = node_diag(
        "check", name, "--repeat", "1", "-q", "--report", "json", "--output-format", "json"
    )
    assert done.returncode == 0
    json.loads(done.stdout)
    assert "in f" in done.stderr


def test_neighbours_may_be_imported_late(node_diag, user_file):
    user_file("SIZE = 2.0", "neighbour.py")
    late = "import neighbour; return neighbour.SIZE * self.net(y)"
    done = node_diag(
        "check", user_file(USER_MODULE.replace("return self.net(y)", late)), "-q", "--repeat", "1",
        "--report", "json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_the_recorded_command_is_exact(node_diag, tmp_path, user_file):
    (tmp_path / "node-diag.yaml").write_text("rtol: 1.0e-3\nreport: [json]\nrepeat: 1\n")
    text = USER_MODULE.replace("batch: int = 3", "batch: int = 3, tag: str = ''")
    done = node_diag(
        "check", user_file(text), "--set", "tag='1'", "--rtol", "1e-5", "--atol", "1e-8",
        "--adjoint-atol", "1e-5", "--max-grad-error", "1.23456789e-3", "--output-format", "json",
    )  # fmt: skip
    record = json.loads(done.stdout)
    for part in ("--rtol 1e-5", "--atol 1e-8", "--adjoint-atol 1e-5", "--repeat 1"):
        assert part in record["command"]
    assert "tag='1'" in shlex.split(record["command"])
    assert record["gates"][0]["expression"] == "adjoint.grad_error<=0.00123456789"


def test_a_closed_stdout_is_no_bug(node_diag):
    command = [str(Path(sys.executable).with_name("node-diag")), "list"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 2
    assert "No space left on device" in done.stderr
    shell = subprocess.run(["sh", "-c", f"{command[0]} list >&-"], capture_output=True, check=False)
    assert shell.returncode == 0


DROPOUT = USER_MODULE.replace("nn.Tanh()", "nn.Tanh(), nn.Dropout(0.1)")


def test_dropout_in_training_mode_is_named_and_never_passes(node_diag, user_file):
    done = node_diag(
        "check", user_file(DROPOUT), "-q", "--repeat", "1", "--rtol", "0.1", "--method", "aca",
        "--report", "json", "--max-grad-error", "1",
    )  # fmt: skip
    assert done.returncode == 1
    assert "ND401" in done.stdout
    assert "net.2 (Dropout) in training mode" in done.stdout
    assert "inconclusive" in done.stdout


USAGE = [
    (("check", "vandrpol"), "did you mean 'vanderpol'"),
    (("check", "linear", "--solver", "dopri6"), "did you mean 'dopri5'"),
    (("check", "linear", "--method", "acca"), "did you mean 'aca'"),
    (("check", "linear", "--set", "kk=1"), "no parameter 'kk'"),
    (("check", "linear", "--set", "k"), "NAME=VALUE"),
    (("check", "linear", "--rtol", "-1"), "positive"),
    (("check", "linear", "--rtol", "nan"), "rtol"),
    (("check", "linear", "--atol", "nan"), "atol"),
    (("check", "linear", "--seed", "9" * 30), "seed"),
    (("check", "linear", "--device", "meta"), "meta"),
    (("check", "linear", "--report", "htm"), "did you mean 'html'"),
    (("check", "sys:foo"), "has no attribute 'foo'"),
    (("check", "linear", "--max-grad-error", "x"), "finite number"),
    (("check", "linear", "--max-grad-error", "nan"), "finite number"),
    (("check", "linear", "--gate", "aca.gradd_error<=1"), "did you mean 'grad_error'"),
    (("check", "linear", "--gate", "aca.grad_error<1"), "METHOD.METRIC<=VALUE"),
    (("check", "linear", "--step-size", "0.1"), "fixed-step"),
    (("check", "linear", "--device", "cuda:99"), "cuda:99"),
    (("check", "no/such/file.py"), "there is no file 'no/such/file.py' in 'no/such'"),
    (("check", "file.py"), "there is no file 'file.py' in the current folder"),
    (("check", "folder"), "'folder' is not a Python file; name a .py file"),
    (("check", "folder.py"), "'folder.py' is a folder; name a .py file in it"),
    (("check", "notes.txt"), "'notes.txt' is not a Python file; name a .py file"),
    (
        ("check", "linear", "-m", "class.py"),
        "'class.py' is the class A; make an object of it: METHOD = A()",
    ),
    (
        ("check", "linear", "-m", "class.py:B"),
        "define B there, or name another object of it as 'class.py:NAME'",
    ),
    (("check", "linear", "--config", "none.yaml"), "none.yaml"),
    (("explain", "ND101", "ND9X9"), "unknown finding 'ND9X9'; did you mean 'ND"),
    (("explain", "total", "ND101"), "unknown finding 'TOTAL'. Run 'node-diag list findings'."),
    (("report", "none.json"), "cannot read"),
]


@pytest.mark.parametrize(("arguments", "said"), USAGE, ids=[" ".join(a) for a, _ in USAGE])
def test_wrong_usage_is_one_sentence_and_exit_2(node_diag, tmp_path, arguments, said):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder.py").mkdir()
    (tmp_path / "notes.txt").write_text("")
    (tmp_path / "class.py").write_text("class A: pass\nMETHOD = A\n")
    done = node_diag(*arguments, *(("-q",) if arguments[0] == "check" else ()))
    assert done.returncode == 2
    (line,) = done.stderr.strip().splitlines()
    assert said in line
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("quiet", [(), ("-q",)])
def test_the_report_folder_is_part_of_the_result(node_diag, tmp_path, quiet):
    arguments = ("check", "linear", "-m", "aca", "--repeat", "1", "--report", "json", *quiet)
    done = node_diag(*arguments)
    folder = done.stdout.splitlines()[-1].removeprefix("report: ")
    assert (tmp_path / folder / "report.json").exists()
    assert (done.stderr == "") is bool(quiet)
    # Not in what a program reads.
    as_json = node_diag(*arguments, "--output-format", "json")
    json.loads(as_json.stdout)
    assert ("report: reports/linear/" in as_json.stderr) is not bool(quiet)


def test_explain_alone_lists_what_it_can_explain(node_diag):
    done = node_diag("explain")
    assert done.returncode == 0
    assert done.stdout == node_diag("list", "findings").stdout
    assert "ND101" in done.stdout


def test_explain_takes_the_beginning_of_codes(node_diag):
    done = node_diag("explain", "nd1")
    assert done.returncode == 0
    assert done.stdout == node_diag("explain", "ND101,ND102", "ND103", "nd104").stdout
    for vague in ("N", "ND", "ND9"):
        refused = node_diag("explain", vague)
        assert refused.returncode == 2
        assert f"unknown finding '{vague}'" in refused.stderr


def test_explain_takes_several_codes_in_the_order_given(node_diag):
    done = node_diag("explain", "nd203", "ND101", "ND101")
    assert done.returncode == 0
    heads = [line[:6] for line in done.stdout.splitlines() if line.startswith("ND")]
    assert heads == ["ND203:", "ND101:"]


def test_existing_report_folder_is_kept_unless_forced(node_diag, tmp_path):
    arguments = ("check", "linear", "--repeat", "1", "--report", "json", "--report-dir", "out")
    assert node_diag(*arguments).returncode == 0
    before = (tmp_path / "out" / "report.json").read_text()
    refused = node_diag(*arguments)
    assert refused.returncode == 2
    assert "--force" in refused.stderr
    assert (tmp_path / "out" / "report.json").read_text() == before
    assert node_diag(*arguments, "--force").returncode == 0


def test_configuration_file_environment_and_flags(node_diag, tmp_path):
    (tmp_path / "node-diag.yaml").write_text(
        "rtol: 1.0e-4\nsolver: bosh3\nrepeat: 1\nreport: [json]\n"
    )
    done = node_diag(
        "check", "linear", "--rtol", "1e-6", "--output-format", "json", NODE_DIAG_SOLVER="tsit5"
    )
    assert done.returncode == 0, done.stderr
    config = json.loads(done.stdout)["config"]
    assert (config["rtol"], config["solver"], config["repeat"]) == (1e-6, "tsit5", 1)
    assert config["sources"]["rtol"] == "flag --rtol"
    assert config["sources"]["solver"] == "environment NODE_DIAG_SOLVER"
    assert config["sources"]["repeat"] == "node-diag.yaml: repeat"
    (tmp_path / "node-diag.yaml").write_text("rtoll: 1.0e-4\n")
    refused = node_diag("check", "linear")
    assert refused.returncode == 2
    assert "unknown key 'rtoll' in node-diag.yaml; did you mean 'rtol'?" in refused.stderr


def test_the_command_in_the_report_reruns_the_check(node_diag):
    first = node_diag(
        "check", "vanderpol", "--set", "mu=1", "--set", "T=5", "--rtol", "1e-4", "-m", "aca",
        "--repeat", "1", "--max-grad-error", "aca=1", "--report", "json", "--output-format", "json",
    )  # fmt: skip
    record = json.loads(first.stdout)
    import shlex

    again = node_diag(*shlex.split(record["command"])[1:], "--output-format", "json")
    other = json.loads(again.stdout)
    for key in ("problem", "solution", "references"):
        assert record[key] == other[key]
    assert record["methods"][0]["gradient"] == other["methods"][0]["gradient"]
    assert record["gates"] == other["gates"]
    exact = ("nfe_forward", "nfe_backward", "saved_bytes", "peak_bytes", "graph_depth")
    for key in exact:
        assert record["methods"][0]["cost"][key] == other["methods"][0]["cost"][key]


def test_report_redraws_from_the_record(node_diag, tmp_path):
    node_diag("check", "linear", "--repeat", "1", "--report-dir", "out")
    html = (tmp_path / "out" / "report.html").read_text()
    done = node_diag("report", "out/report.json", "--report-dir", "again")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "again" / "report.html").read_text() == html


@pytest.mark.parametrize(
    "arguments",
    [
        ("--help",), ("--version",), ("list",), ("explain", "ND101"), ("check", "--help"),
        ("doctor", "--help"), ("init", "--help"), ("init", "new.py"), ("compare", "--help"),
        ("report", "--help"),
    ],
)  # fmt: skip
def test_light_commands_never_import_torch(arguments, tmp_path):
    code = (
        "import sys\n"
        f"sys.argv = ['node-diag', *{arguments!r}]\n"
        "from node_diag.cli import main\n"
        "try:\n    main()\n"
        "except SystemExit as stop:\n    assert not stop.code, stop.code\n"
        "for heavy in ('torch', 'matplotlib', 'scipy', 'pydantic'):\n    assert heavy not in sys.modules, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, cwd=tmp_path)


def test_redrawing_never_imports_torch(node_diag, tmp_path):
    node_diag("check", "linear", "--repeat", "1", "--report", "json", "--report-dir", "out")
    code = (
        "import sys\n"
        "sys.argv = ['node-diag', 'report', 'out', '--report-dir', 'again', '--report', 'html,png,csv,md,junit']\n"
        "from node_diag.cli import main\n"
        "try:\n    main()\n"
        "except SystemExit as stop:\n    assert not stop.code, stop.code\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, cwd=tmp_path)
    compare = code.replace(
        "'report', 'out', '--report-dir', 'again', '--report', 'html,png,csv,md,junit'",
        "'compare', 'out', 'again'",
    )
    assert "compare" in compare
    subprocess.run([sys.executable, "-c", compare], check=True, capture_output=True, cwd=tmp_path)


def test_importing_the_package_does_not_import_torch():
    code = "import sys, node_diag; assert 'torch' not in sys.modules; node_diag.Problem; assert 'torch' in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_interruption_exits_130_and_leaves_no_half_report(tmp_path):
    command = Path(sys.executable).parent / "node-diag"
    process = subprocess.Popen(
        [command, "check", "threebody", "--report-dir", "out"],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    assert process.stderr is not None
    for line in process.stderr:  # wait until the work has begun
        if b"gradient" in line or b"reference" in line:
            break
    time.sleep(0.2)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert b"Traceback" not in errors
    assert b"interrupted" in errors
    assert not (tmp_path / "out" / "report.json").exists()
    assert list(tmp_path.rglob("report.*")) == []


def test_show_says_what_there_is_without_solving(node_diag):
    done = node_diag("show", "vanderpol", "--set", "mu=3")
    assert done.returncode == 0
    assert "x″ = μ(1 − x²)x′ − x" in done.stdout
    assert "mu=3.0, T=20.0, x0=2.0, v0=0.0" in done.stdout
    assert "mu  () = 3" in done.stdout


@pytest.mark.parametrize("output_format", ["table", "json", "markdown"])
def test_a_reader_that_leaves_does_not_change_the_exit_code(tmp_path, output_format):
    """``node-diag check … | head`` under pipefail is a gate as well."""
    command = shlex.join([
        str(Path(sys.executable).parent / "node-diag"), "check", "linear", "-q", "--report", "json", "--report-dir",
        str(tmp_path / "r"), "--max-grad-error", "1e-9", "--output-format", output_format,
    ])  # fmt: skip
    # The reader is gone before anything is written.
    script = f"( {command}; echo $? > {shlex.quote(str(tmp_path / 'code'))} ) | true"
    subprocess.run(["bash", "-c", script], cwd=tmp_path, check=True)
    assert (tmp_path / "code").read_text() == "1\n"
    assert (tmp_path / "r" / "report.json").exists()
