"""`node-diag capture`: a training script's own call, from a script that is not changed."""

import json
import warnings

import pytest
import torch
from torchdiffeq import odeint, odeint_adjoint

from node_diag import capture, check, check_model
from node_diag.errors import ProblemError

DEMO = '''
"""An ODE demo in the usual style."""
import argparse
import torch
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--adjoint", action="store_true")
parser.add_argument("--end", type=float, default=1.0)
args = parser.parse_args()
if args.adjoint:
    from torchdiffeq import odeint_adjoint as odeint
else:
    from torchdiffeq import odeint


class Oscillator(nn.Module):
    """Van der Pol, its damping to be learnt."""

    def __init__(self):
        super().__init__()
        self.mu = nn.Parameter(torch.tensor(2.0, dtype=torch.float64))

    def forward(self, t, y):
        x, v = y[..., 0], y[..., 1]
        return torch.stack([v, self.mu * (1 - x**2) * v - x], -1)


if __name__ == "__main__":
    func = Oscillator()
    optimizer = torch.optim.Adam(func.parameters())
    y0 = torch.tensor([2.0, 0.0], dtype=torch.float64)
    t = torch.linspace(0.0, args.end, 5, dtype=torch.float64)
    with torch.no_grad():
        target = odeint(func, y0, t)
    for step in range(3):
        print("step", step)
        optimizer.zero_grad()
        y = odeint(func, y0, t, rtol=1e-5, atol=1e-5)
        loss = (y - target - 1).abs().mean()
        loss.backward()
        optimizer.step()
    open("finished", "w").close()
'''


@pytest.fixture
def script(tmp_path):
    path = tmp_path / "train.py"
    path.write_text(DEMO, encoding="utf-8")
    return path


def test_a_gradient_that_a_real_training_step_cannot_have_is_told(node_diag, script, tmp_path):
    done = node_diag(
        "capture", "--max-grad-error", "1e-2", "--report-dir", str(tmp_path / "r"), str(script),
        "--adjoint", "--end", "20",
    )  # fmt: skip
    assert done.returncode == 1
    record = json.loads((tmp_path / "r" / "report.json").read_text())
    methods = {m["name"]: m for m in record["methods"]}
    assert set(methods) == {"captured", "torchdiffeq", "aca"}
    # From an observation on the limit cycle the reverse flow leaves it, and no step is small enough.
    assert "underflow in dt" in methods["captured"]["failure"]
    assert methods["aca"]["verdict"] == "pass"
    assert any(f["code"] == "ND102" and f["method"] == "captured" for f in record["findings"])
    assert record["config"]["rtol"] == 1e-5
    assert record["config"]["sources"]["rtol"] == "the captured call"
    assert not (tmp_path / "finished").exists()  # it was ended
    assert "step 0" not in done.stdout  # what the script prints is no result
    assert "--set 'args=--adjoint --end 20'" in record["command"]


def test_the_command_in_the_report_checks_the_same_again(node_diag, script, tmp_path):
    first = node_diag("capture", "--report-dir", str(tmp_path / "r"), "--call", "2", str(script))
    assert first.returncode == 0, first.stderr
    record = json.loads((tmp_path / "r" / "report.json").read_text())
    assert [m["name"] for m in record["methods"]] == ["captured-backprop", "torchdiffeq", "aca"]
    line = record["command"].split()
    again = node_diag(*line[1:], "--report-dir", str(tmp_path / "r2"))
    assert again.returncode == 0, again.stderr
    second = json.loads((tmp_path / "r2" / "report.json").read_text())
    assert second["methods"][0]["gradient"] == record["methods"][0]["gradient"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("import torch", "or nothing in it required a gradient"),
        ("raise ValueError('no data')", "train.py raised ValueError: no data (train.py, line 1)"),
        ("import sys; sys.exit(3)", "ended with exit code 3"),
        (
            "import torch\nfrom torchdiffeq import odeint\n"
            "odeint(lambda t, y: -y, torch.ones(1, requires_grad=True), torch.tensor([0., 1.]))",
            "no gradient arrived at call 1 or later: was loss.backward() reached?",
        ),
        (
            "import torch\nfrom torchdiffeq import odeint\n"
            "k = torch.ones(1, dtype=torch.complex128, requires_grad=True)\n"
            "y = odeint(lambda t, y: -k * y, k.detach(), torch.tensor([0., 1.]))\n"
            "y.abs().sum().backward()",
            "is complex128; what can be checked is float32 and float64; solve for torch.view_as_",
        ),
    ],
)
def test_a_script_without_such_a_call_gets_a_sentence(node_diag, tmp_path, text, words):
    (tmp_path / "train.py").write_text(text, encoding="utf-8")
    done = node_diag("capture", "train.py")
    assert done.returncode == 2
    assert words in done.stderr
    assert not (tmp_path / "reports").exists()


def test_no_such_script_and_no_such_call(node_diag, script, tmp_path):
    assert "there is no script 'tarin.py'" in node_diag("capture", "tarin.py").stderr
    done = node_diag("capture", "--call", "9", str(script))
    assert done.returncode == 2
    assert "ended after 3 such calls, before call 9" in done.stderr


class Decay(torch.nn.Module):
    """z' = k z."""

    def __init__(self):
        super().__init__()
        self.k = torch.nn.Parameter(torch.tensor(-0.5, dtype=torch.float64))

    def forward(self, t, z):
        return self.k * z


def test_a_training_step_inside_a_with_block_goes_on():
    """Closed form: L = z(1)² of z' = kz, so dL/dk = 2 z(1)²."""
    func = Decay()
    z0 = torch.tensor([3.0], dtype=torch.float64)
    t = torch.tensor([0.0, 1.0], dtype=torch.float64)
    with capture() as captured:
        odeint_adjoint(func, z0, t, rtol=1e-6, atol=1e-6)[1].square().sum().backward()
    with torch.no_grad():
        func.k.fill_(100.0)  # training went on; the call was made before
    report = captured.check()
    z1 = 3.0 * torch.exp(torch.tensor(-0.5, dtype=torch.float64)).item()
    truth = report.references.continuous.gradient
    # The cotangent is 2 z(1) of the call's own solve, which is right to its tolerance.
    assert truth.params["k"] == pytest.approx([2 * z1**2], rel=1e-5)
    assert report.methods[0].name == "captured"
    # Tolerance 1e-6, and a factor for what the two solves add up.
    assert report.methods[0].gradient.params["k"] == pytest.approx([2 * z1**2], rel=1e-4)


def test_nothing_captured_is_told():
    with capture() as captured:
        pass
    with pytest.raises(ProblemError, match="0 calls of torchdiffeq"):
        captured.check()


def _captured(solve, **arguments):
    z0 = torch.tensor([3.0], dtype=torch.float64)
    t = torch.tensor([0.0, 1.0], dtype=torch.float64)
    with capture() as captured:
        solve(Decay(), z0, t, **arguments)[1].sum().backward()  # ∂L/∂z is 1, whoever solves
    return captured.problem


@pytest.mark.parametrize(
    ("asked", "meant"),
    [
        ({}, {}),
        ({"rtol": 1e-9}, {"rtol": 1e-9, "adjoint_rtol": 1e-9, "adjoint_atol": 1e-9, "atol": 1e-9}),
        ({"rtol": 1e-3, "atol": 1e-4, "adjoint_rtol": 1e-9, "adjoint_atol": 1e-9},
         {"adjoint_rtol": 1e-9, "adjoint_atol": 1e-9}),
        ({"solver": "rk4", "step_size": 0.25}, {"method": "rk4", "options": {"step_size": 0.25}}),
        ({"max_step": 0.1}, {"options": {"max_step": 0.1}}),
    ],
)  # fmt: skip
def test_a_change_of_the_script_can_be_tried_before_it_is_made(asked, meant):
    """What the check is asked for takes the place of what the call was made with."""
    made = {"rtol": 1e-3, "atol": 1e-4}
    tried = check(_captured(odeint_adjoint, **made), ["captured"], repeat=1, **asked)
    done = check(_captured(odeint_adjoint, **{**made, **meant}), ["captured"], repeat=1)
    for name in ("gradient", "reconstruction"):
        assert getattr(tried.methods[0], name) == getattr(done.methods[0], name)
    costs = [report.methods[0].cost for report in (tried, done)]
    assert costs[0].nfe_forward == costs[1].nfe_forward
    assert costs[0].nfe_backward == costs[1].nfe_backward


def _check_of(node_diag, tmp_path, text, *arguments):
    """The record of a captured script, and what was printed."""
    (tmp_path / "train.py").write_text("import torch\nfrom torchdiffeq import *\n" + text)
    done = node_diag("capture", "--report-dir", "out", "--force", "--report", "json", "train.py",
                     *arguments)  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads((tmp_path / "out" / "report.json").read_text()), done.stdout


TWO = """
torch.manual_seed(0)
f = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Tanh(), torch.nn.Linear(3, 2)).double()
class F(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.net = f
    def forward(self, t, y):
        return self.net(y)
y0, t = torch.ones(2).double(), torch.tensor([0., 1.]).double()
"""


@pytest.mark.parametrize(
    ("given", "missing"),
    [("", []), ("f[2].parameters()", ["net.0.bias", "net.0.weight"]),
     ("()", ["net.0.bias", "net.0.weight", "net.2.bias", "net.2.weight"])],
)  # fmt: skip
def test_what_adjoint_params_leaves_out_is_named(node_diag, tmp_path, given, missing):
    call = f"odeint_adjoint(F(), y0, t{f', adjoint_params={given}' if given else ''})"
    z0 = "y0.requires_grad_()\n"
    record, _ = _check_of(node_diag, tmp_path, f"{TWO}{z0}{call}[1].square().sum().backward()")
    found = [x for x in record["findings"] if x["code"] == "ND212"]
    assert [sorted(x["evidence"]["tensors"]) for x in found] == ([missing] if missing else [])
    assert not any(x["code"] == "ND103" for x in record["findings"])


@pytest.mark.parametrize("held", ["net", "partial", "method", "object"])
def test_an_f_that_is_no_module_brings_its_tensors(node_diag, tmp_path, held):
    """The parameters of a net are found in closures, partials, bound methods and objects."""
    call = {
        "net": "lambda t, y: f(y)",
        "partial": "__import__('functools').partial(lambda net, t, y: net(y), f)",
        "method": "F().forward",
        "object": "type('O', (), {'__call__': lambda self, t, y: self.inner(y), 'inner': None})()",
    }[held]
    setup = f"g = {call}\n" + ("g.inner = f\n" if held == "object" else "")
    record, _ = _check_of(
        node_diag, tmp_path, f"{TWO}{setup}odeint(g, y0, t)[1].square().sum().backward()"
    )
    assert sorted(record["problem"]["params"].values()) == [[2], [2, 3], [3], [3, 2]]
    own = record["methods"][0]
    assert own["name"] == "captured-backprop"
    # Tolerances 1e-7 and 1e-9 of a smooth flow over one unit of time.
    assert own["errors"]["continuous"]["relative_l2"] < 1e-5
    assert any("0.weight" in name for name in record["problem"]["params"])


def test_of_several_calls_in_one_loss_the_wanted_one_is_kept(node_diag, tmp_path):
    text = (
        TWO
        + "y = y0\nfor end in (1., 2., 3.):\n    y = odeint(F(), y, end * t)[1]\ny.sum().backward()"
    )
    for number in (1, 2):
        (tmp_path / "train.py").write_text("import torch\nfrom torchdiffeq import *\n" + text)
        done = node_diag("capture", "--call", str(number), "--report-dir", "out", "--force",
                         "--report", "json", "-q", "train.py")  # fmt: skip
        assert done.returncode == 0, done.stderr
        record = json.loads((tmp_path / "out" / "report.json").read_text())
        assert record["problem"]["ts"] == [0.0, float(number)]
        others = {1: "2 more such calls by then, which --call 2", 2: "another such call by then"}
        assert others[number] in record["problem"]["description"]


def test_a_thread_that_waits_for_the_end_of_the_script_is_not_waited_for(node_diag, tmp_path):
    text = (
        "import threading\nstop = threading.Event()\n"
        "threading.Thread(target=stop.wait).start()\n"
        f"{TWO}odeint(F(), y0, t)[1].sum().backward()\nstop.set()\n"
    )
    record, _ = _check_of(node_diag, tmp_path, text)
    assert "call 1 of torchdiffeq.odeint" in record["problem"]["description"]
    assert "more such" not in record["problem"]["description"]


def test_the_parameters_are_those_of_the_call(node_diag, tmp_path):
    """Whatever the script does after its loop was ended."""
    text = TWO + (
        "k = torch.tensor(2.0).double().requires_grad_()\n"
        "try:\n    odeint(lambda t, y: -k * y, y0, t)[1].sum().backward()\n"
        "except BaseException:\n    k.data.fill_(7.0)\n    raise SystemExit(1)\n"
    )
    record, _ = _check_of(node_diag, tmp_path, text)
    # L = Σ y0 e^(−k): dL/dk = −2 e^(−2).
    (found,) = record["references"]["continuous"]["gradient"]["params"].values()
    assert found == pytest.approx([-2 * 2.718281828459045**-2], rel=1e-9)


@pytest.mark.parametrize(
    "options",
    ["method='heun3', options={'step_size': .1}", "method='dopri8'",
     "method='rk4', options={'step_size': .3, 'interp': 'cubic'}"],
)  # fmt: skip
def test_every_explicit_solvers_steps_are_taken_again_as_they_were(node_diag, tmp_path, options):
    text = TWO + (
        "y0.requires_grad_()\nt = torch.linspace(0, 1, 4).double()\n"
        f"odeint(F(), y0, t, {options}).square().sum().backward()"
    )
    record, printed = _check_of(node_diag, tmp_path, text)
    own = record["methods"][0]["errors"]["discrete"]
    # torchdiffeq leaves its starting step in the graph of adaptive solves, at 1e-7 next to nothing.
    assert own["relative_l2"] < (1e-6 if "dopri8" in options else own["uncertainty"] + 1e-12)
    assert ("the other methods use dopri5" in " ".join(printed.split())) == ("rk4" not in options)


def test_what_the_others_do_otherwise_is_said(node_diag, tmp_path):
    text = TWO.replace(".double()", "") + "odeint(F(), y0, t)[1].sum().backward()"
    record, printed = _check_of(node_diag, tmp_path, text)
    assert "the call's rtol is 1e-07: the other methods use 1e-06" in " ".join(printed.split())
    assert "1e-07" in record["config"]["sources"]["rtol"]
    assert record["config"]["dtype"] == "float32"


def test_steps_of_a_fixed_size_have_no_tolerance(node_diag, tmp_path):
    text = TWO.replace(".double()", "") + "odeint(F(), y0, t, method='rk4')[1].sum().backward()"
    record, printed = _check_of(node_diag, tmp_path, text)
    assert record["config"]["dtype"] == "float32"
    assert record["config"]["step_size"] == 1.0
    assert "the call's rtol" not in " ".join(printed.split())


def test_a_module_of_a_package_and_its_arguments_as_they_were_typed(node_diag, tmp_path):
    package = tmp_path / "exp"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "net.py").write_text("rate = 2.0\n")
    (package / "train.py").write_text(
        "import sys, torch\nfrom torchdiffeq import odeint\nfrom .net import rate\n"
        "assert sys.argv[1:] == ['1e-3', 'a b', 'true'], sys.argv\n"
        "k = torch.tensor(rate).double().requires_grad_()\n"
        "y = odeint(lambda t, y: -k * y, torch.ones(1).double(), torch.tensor([0., 1.]).double())\n"
        "y[1].sum().backward()\n"
    )
    arguments = ("1e-3", "a b", "true")
    done = node_diag("capture", "--report-dir", "out", "exp.train", *arguments)
    assert done.returncode == 0, done.stderr
    done = node_diag("capture", "--report-dir", "out2", "exp/train.py", *arguments)
    assert done.returncode == 2
    assert "name it as a module, package.module" in done.stderr
    alone = tmp_path / "one.py"
    alone.write_text("import sys\nassert sys.argv[1:] == ['1e-3'], sys.argv\nraise SystemExit(7)\n")
    assert "exit code 7" in node_diag("capture", "one.py", "1e-3").stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--set", "call=x"), "--set call=x: it is a number, counted from 1"),
        (("--set", "args='unclosed"), "No closing quotation"),
    ],
)
def test_what_is_set_wrong_is_told(node_diag, script, arguments, words):
    done = node_diag("check", "capture:train.py", *arguments, "-q")
    assert done.returncode == 2
    assert words in done.stderr


CONTEXT = """
torch.manual_seed(0)
encoder = torch.nn.Linear(3, 2).double()
class F(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.net = torch.nn.Linear(2, 2).double()
        self.context = None
    def forward(self, t, y):
        return torch.tanh(self.net(y) + self.context)
f, t = F(), torch.tensor([0.0, 1.0]).double()
f.context = encoder(torch.ones(3).double())
"""


@pytest.mark.parametrize(
    ("call", "left_out"),
    [
        ("odeint_adjoint(f, torch.ones(2).double(), t)", True),
        ("odeint_adjoint(f, torch.ones(2).double(), t, "
         "adjoint_params=(*f.parameters(), f.context))", False),
        ("odeint(f, torch.ones(2).double(), t)", False),
    ],
)  # fmt: skip
def test_a_context_that_an_encoder_made(node_diag, tmp_path, call, left_out):
    """torchdiffeq's adjoint returns no gradient for it, and the encoder is never trained."""
    record, printed = _check_of(node_diag, tmp_path, f"{CONTEXT}{call}[1].sum().backward()")
    found = [f for f in record["findings"] if f["severity"] == "error"]
    assert [f["code"] for f in found] == (["ND212"] if left_out else [])
    if left_out:
        assert found[0]["evidence"]["tensors"] == ["context"]
    assert "context, which the script made before" in " ".join(printed.split())


def test_a_function_that_closes_over_one(node_diag, tmp_path):
    text = CONTEXT + (
        "context = f.context\n"
        "odeint(lambda t, y: torch.tanh(f.net(y) + context), torch.ones(2).double(), t)[1].sum()"
        ".backward()"
    )
    record, _ = _check_of(node_diag, tmp_path, text)
    # d tanh(Wy + b + c): the same in b as in c.
    given = record["methods"][0]["gradient"]["params"]
    assert given["context"] == pytest.approx(given["f.net.bias"], rel=1e-9)


def test_a_live_model_with_a_context():
    scope = {"torch": torch}
    exec(CONTEXT, scope)
    f = scope["f"]
    before = f.context
    report = check_model(f, torch.ones(2).double(), [0.0, 1.0], lambda zs: zs.sum(),
                                   methods=["aca"], repeat=1)  # fmt: skip
    assert "context" in report.method("aca").gradient.params
    assert f.context is before


def test_what_the_call_was_made_with_is_told(node_diag, tmp_path):
    text = TWO + (
        "odeint_adjoint(F(), y0, t, adjoint_method='rk4', adjoint_options={'step_size': 0.1})"
        "[1].sum().backward()"
    )
    _, printed = _check_of(node_diag, tmp_path, text)
    told = "called with adjoint_method='rk4', adjoint_options={'step_size': 0.1}"
    assert told in " ".join(printed.split())


def test_a_library_that_refuses_its_arguments_did_not_solve(node_diag, tmp_path):
    text = TWO + (
        "odeint_adjoint(F(), y0, t, rtol=torch.tensor([1e-3, 1e-6]).double())[1].sum().backward()"
    )
    record, printed = _check_of(node_diag, tmp_path, text)
    assert record["methods"][0]["status"] == "failed"
    assert "ND102" not in {f["code"] for f in record["findings"]}
    assert "torchdiffeq raised" in " ".join(printed.split())


def test_file_is_absolute_as_python_has_it(node_diag, tmp_path):
    text = TWO + "assert __file__.startswith('/'), __file__\nodeint(F(), y0, t)[1].sum().backward()"
    _check_of(node_diag, tmp_path, text)


def test_the_steps_of_a_library_are_not_explained_by_ours(node_diag, tmp_path):
    """bosh3 interpolates poorly at the end of its last step: an error that our steps have not."""
    text = (
        "torch.manual_seed(1)\n"
        "net = torch.nn.Sequential(torch.nn.Linear(2, 8), torch.nn.Tanh(), torch.nn.Linear(8, 2))"
        ".double()\n"
        "class F(torch.nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.net = net\n"
        "    def forward(self, t, y):\n"
        "        return self.net(y)\n"
        "t = torch.tensor([0.0, 1.0]).double()\n"
        "odeint(F(), torch.ones(2).double(), t, rtol=1e-3, atol=1e-3, method='bosh3')[1]"
        ".square().sum().backward()"
    )
    record, _ = _check_of(node_diag, tmp_path, text)
    found = {f["code"]: f for f in record["findings"]}
    # Two solves by the same steps have one cause.
    assert found["ND204"]["evidence"]["methods"] == ["captured-backprop", "torchdiffeq"]
    assert "ND203" not in found


class Keeping(torch.nn.Module):
    """It keeps what it computed, and one of its weights is computed anew each time."""

    def __init__(self):
        super().__init__()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.net = torch.nn.utils.weight_norm(torch.nn.Linear(2, 2).double())

    def forward(self, t, y):
        self.last = self.net(y)
        return torch.tanh(self.last)


def test_what_f_computes_itself_is_no_context():
    f, z0 = Keeping(), torch.ones(2).double()
    f(torch.tensor(0.0), z0)
    assert f.last.requires_grad
    report = check_model(f, z0, [0.0, 1.0], lambda zs: zs.sum(), methods=["aca"], repeat=1)
    names = {"net.bias", "net.weight_g", "net.weight_v"}
    assert set(report.method("aca").gradient.params) == names


class Prepared(torch.nn.Module):
    """A hypernetwork: its weight is computed once for a solve, from parameters of its own."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.embedding = torch.nn.Parameter(torch.randn(3).double())
        self.hyper = torch.nn.Linear(3, 4).double()
        self.bias = torch.nn.Parameter(torch.randn(2).double())
        self.prepare()

    def prepare(self):
        self.weight = self.hyper(self.embedding).view(2, 2)

    def forward(self, t, y):
        return torch.tanh(y @ self.weight) + self.bias


@pytest.mark.parametrize("explicit", [False, True])
def test_what_f_computed_from_its_own_parameters_gets_a_gradient(explicit):
    """Torchdiffeq's adjoint goes through the graph that is behind it; so it is not left out."""
    f, z0 = Prepared(), torch.ones(2).double()
    told = {"adjoint_params": tuple(f.parameters())} if explicit else {}
    with capture() as captured:
        zs = odeint_adjoint(f, z0, torch.tensor([0.0, 1.0]).double(), **told)
        zs[1].square().sum().backward()
    assert f.embedding.grad.norm() > 0  # what the library really gives
    report = captured.check(repeat=1)
    row = report.method("captured")
    assert set(row.gradient.params) == {"weight", "bias"}
    assert "in the place of those" in report.problem.description
    # rtol 1e-7 by default, and a thousand times that for a tame flow.
    assert row.errors.continuous.by_parameter["weight"].relative_l2 < 1e-4
    assert {"ND212", "ND409"}.isdisjoint(finding.code for finding in report.findings)


def test_a_function_that_closes_over_what_was_prepared():
    base, z0 = torch.tensor([0.3, -0.7]).double().requires_grad_(), torch.ones(2).double()
    weight = torch.outer(base, base).sin()

    def f(t, y):
        return torch.tanh(y @ weight) + base

    with capture() as captured:
        zs = odeint_adjoint(f, z0, torch.tensor([0.0, 1.0]).double(), adjoint_params=(base,))
        zs[1].square().sum().backward()
    report = captured.check(repeat=1)
    assert set(report.method("captured").gradient.params) == {"weight", "base"}
    assert {"ND212", "ND409"}.isdisjoint(finding.code for finding in report.findings)


TIMES = torch.tensor([0.0, 0.5, 1.0]).double()


class Scaled(torch.nn.Module):
    def forward(self, y):
        return self.context * torch.sin(y)


class Shared(torch.nn.Module):
    """Two of its parts hold the same tensor."""

    def __init__(self):
        super().__init__()
        self.w = torch.nn.Parameter(torch.tensor([0.3, -0.2]).double())
        self.v = torch.nn.Parameter(torch.tensor([0.2, 0.35]).double())
        self.a, self.b = Scaled(), Scaled()

    def forward(self, t, y):
        return self.w * y + self.a(y) + 0.5 * self.b(y**2)


@pytest.mark.parametrize("outside", [True, False])
def test_a_tensor_that_is_held_twice_is_one(outside):
    f, z0 = Shared(), torch.ones(2).double()
    source = torch.tensor([0.4, 0.7]).double().requires_grad_() if outside else f.v
    f.a.context = f.b.context = 2 * source
    report = check_model(f, z0, TIMES, lambda zs: zs[-1].square().sum(), methods=["aca"], repeat=1)
    row = report.method("aca")
    f.a.context = f.b.context = 2 * source
    odeint(f, z0, TIMES, rtol=1e-9, atol=1e-9)[-1].square().sum().backward()
    (name,) = set(row.gradient.params) - {"w", "v"}
    # c = 2 s: dL/ds is twice dL/dc; rtol is 1e-5, and a hundred times that for a tame flow.
    assert torch.tensor(row.gradient.params[name]) * 2 == pytest.approx(source.grad, rel=1e-3)
    assert row.errors.discrete.relative_l2 < 1e-8
    assert {"ND201", "ND212"}.isdisjoint(finding.code for finding in report.findings)
    assert all(p.requires_grad for p in f.parameters())


class Frugal(Shared):
    """Its copies have its own parameters."""

    def __deepcopy__(self, memo):
        made = Shared.__new__(Frugal)
        torch.nn.Module.__init__(made)
        made.__dict__.update(self.__dict__)
        return made


def test_a_model_whose_copies_share_its_parameters_is_left_alone():
    f = Frugal()
    f.a.context = f.b.context = 2 * f.v
    with capture() as captured:
        odeint_adjoint(f, torch.ones(2).double(), TIMES)[-1].square().sum().backward()
    assert captured.problem
    assert all(p.requires_grad for p in f.parameters())
    assert f.v.grad.norm() > 0


class Late(torch.nn.Module):
    """It reads what it holds in the second half of the time only, and it is half its own."""

    def __init__(self, encoded):
        super().__init__()
        self.w = torch.nn.Parameter(torch.tensor([0.3, -0.2]).double())
        self.context = encoded * self.w

    def forward(self, t, y):
        return torch.where(t > 0.4, self.context * torch.sin(y), -y)


def test_what_is_read_later_and_is_half_of_f_is_found():
    encoded, z0 = torch.tensor([0.4, 0.7]).double().requires_grad_(), torch.ones(2).double()
    report = check_model(
        Late(encoded), z0, TIMES, lambda zs: zs[-1].square().sum(),
        methods=["torchdiffeq-adjoint", "aca"], repeat=1,
    )  # fmt: skip
    found = {finding.code: finding for finding in report.findings}
    assert found["ND212"].evidence["tensors"] == ["context"]
    assert "ND409" not in found  # w is behind it, and is trained


def test_a_tensor_on_the_way_that_was_told_is_no_context():
    encoded, f = torch.tensor([0.4, 0.7]).double().requires_grad_(), Shared()
    between = encoded * 3
    f.a.context = f.b.context = between * 2 / 3
    with capture() as captured:
        odeint_adjoint(f, torch.ones(2).double(), TIMES, adjoint_params=(*f.parameters(), between))[
            -1
        ].square().sum().backward()
    assert encoded.grad.norm() > 0
    assert "ND212" not in {finding.code for finding in captured.check(repeat=1).findings}


def test_what_was_prepared_outside_of_the_told_parameters_is_left_out():
    f, z0 = Prepared(), torch.ones(2).double()
    with capture() as captured:
        zs = odeint_adjoint(f, z0, torch.tensor([0.0, 1.0]).double(), adjoint_params=(f.bias,))
        zs[1].square().sum().backward()
    assert f.embedding.grad is None
    (finding,) = [x for x in captured.check(repeat=1).findings if x.code == "ND212"]
    assert finding.evidence["tensors"] == ["weight"]


def test_a_live_model_that_prepared_its_weights():
    report = check_model(
        Prepared(), torch.ones(2).double(), [0.0, 1.0], lambda zs: zs.square().sum(),
        methods=["torchdiffeq-adjoint", "aca"], repeat=1,
    )  # fmt: skip
    assert set(report.method("aca").gradient.params) == {"weight", "bias"}
    assert {"ND212", "ND409"}.isdisjoint(finding.code for finding in report.findings)
