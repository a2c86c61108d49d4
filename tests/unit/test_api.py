"""Reports of problems that a program loaded."""

import subprocess
import sys

import torch
from torch import nn

from node_diag import Problem, check, gradient
from node_diag.loader import load
from node_diag.outputs.recommendation import rerun


def test_what_is_advised_names_the_problem_that_was_loaded():
    report = check(load("vanderpol", {"mu": 5.0, "T": 5.0}), methods=["adjoint"], repeat=1)
    assert rerun(report).startswith("node-diag check vanderpol --set mu=5.0 --set T=5.0 ")
    assert report.config.problem == "vanderpol"
    assert report.config.overrides == {"mu": 5.0, "T": 5.0}


def test_both_directions_take_a_hundredth_of_the_whole_interval():
    problem = Problem(
        lambda t, z: -z, torch.ones(1, dtype=torch.float64), (0.0, 0.25, 0.5, 1.0),
        lambda zs: zs.sum(),
    )  # fmt: skip
    run = gradient(problem, "adjoint", "rk4")
    assert run.solution.n_accepted == run.backward.n_steps == 100


WRONG_SIGN = """
import torch


def turned(problem):
    z0 = problem.z0.clone().requires_grad_()
    k = problem.params["k"]
    loss = problem.loss(problem.exact(torch.tensor(problem.ts, dtype=torch.float64), z0, {"k": k}))
    dz0, dk = torch.autograd.grad(loss, [z0, k])
    return loss.detach(), {"z0": dz0, "k": -dk}
"""


def test_a_gradient_with_the_other_sign_is_called_that(tmp_path):
    (tmp_path / "own.py").write_text(WRONG_SIGN)
    mine = f"{tmp_path / 'own.py'}:turned"
    report = check(load("linear", {}), methods=["aca", mine], repeat=1)
    (finding,) = [f for f in report.findings if f.code == "ND201"]
    assert finding.message.endswith("the sign is the other one in k")


def test_who_imports_it_keeps_pythons_random_numbers():
    """Rich draws one when it is imported, which is when the first name is looked up here."""
    code = (
        "import random, node_diag\n"
        "before = random.getstate()\n"
        "node_diag.check_model, node_diag.Monitor, node_diag.capture\n"
        "assert random.getstate() == before"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=120).returncode == 0


class _KeepsAGraph(nn.Module):
    """Of its first evaluation with one, whatever was before."""

    def __init__(self):
        super().__init__()
        self.weight, self.kept = nn.Parameter(torch.ones(2, dtype=torch.float64)), None

    def forward(self, t, z):
        if not torch.is_grad_enabled():
            return -self.weight.exp() * z
        if self.kept is None:
            self.kept = self.weight.exp()
        return -self.kept * z


def test_what_goes_through_only_once_is_a_failed_row_and_not_the_end():
    """The first backward pass frees the graph that f keeps."""
    problem = Problem(_KeepsAGraph(), torch.ones(2).double(), (0.0, 1.0), lambda zs: zs.sum())
    found = check(problem, methods=["naive"], reference="fd")
    assert found.methods[0].status == "failed"
    assert "backward through the graph a second time" in found.methods[0].failure
