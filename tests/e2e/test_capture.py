"""`node-diag capture`: a training script's own call, from a script that is not changed."""

import json

import pytest
import torch
from torchdiffeq import odeint_adjoint

from node_diag import capture, check
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


def test_a_training_step_inside_a_with_block_goes_on():
    """Closed form: L = z(1)² of z' = kz, so dL/dk = 2 z(1)²."""

    class Decay(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.k = torch.nn.Parameter(torch.tensor(-0.5, dtype=torch.float64))

        def forward(self, t, z):
            return self.k * z

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


class Decay(torch.nn.Module):
    """z' = k z."""

    def __init__(self):
        super().__init__()
        self.k = torch.nn.Parameter(torch.tensor(-0.5, dtype=torch.float64))

    def forward(self, t, z):
        return self.k * z


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
