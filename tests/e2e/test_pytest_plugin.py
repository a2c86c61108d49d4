"""The pytest plugin in a scratch project: passing, failing, under xdist, and not in the way."""

import subprocess
import sys

import pytest

SUITE = '''
import pytest
import torch
from node_diag import Problem
from node_diag.testing import assert_gradients_match


class Scaled(torch.autograd.Function):
    """x ↦ w x, whose derivative in w is three times what it should be."""

    @staticmethod
    def forward(ctx, x, w):
        ctx.save_for_backward(x, w)
        return x * w

    @staticmethod
    def backward(ctx, grad):
        x, w = ctx.saved_tensors
        return grad * w, (grad * x).sum() * 3


class Decay(torch.nn.Module):
    def __init__(self, wrong=False):
        super().__init__()
        self.rate = torch.nn.Parameter(torch.tensor(-0.7, dtype=torch.float64))
        self.gain = torch.nn.Parameter(torch.tensor(1.2, dtype=torch.float64))
        self.wrong = wrong

    def forward(self, t, z):
        z = z * self.rate
        return Scaled.apply(z, self.gain) if self.wrong else z * self.gain


Z0 = torch.tensor([1.0, 2.0], dtype=torch.float64)


def loss(zs):
    return zs[-1].square().sum()


@pytest.fixture
def checked():
    assert_gradients_match(Decay(), Z0, [0.0, 1.0], loss, method="direct", max_error=1e-2)


@pytest.mark.gradients
def test_right(checked):
    report = assert_gradients_match(Decay(), Z0, [0.0, 1.0], loss, method="aca", max_error=1e-3)
    assert report.passed


@pytest.mark.gradients
@pytest.mark.parametrize("rtol", [1e-4, 1e-6])
def test_of_a_problem(rtol):
    problem = Problem(Decay(), Z0, [0.0, 1.0], loss, name="decay")
    assert_gradients_match(problem, method=["aca", "torchdiffeq-adjoint"], max_error=1e-2, rtol=rtol)


@pytest.mark.gradients
def test_wrong():
    assert_gradients_match(Decay(wrong=True), Z0, [0.0, 1.0], loss, max_error=1e-3)


def test_without():
    assert float(Decay()(0.0, Z0).sum()) != 0.0
'''


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("project")
    (folder / "test_model.py").write_text(SUITE, encoding="utf-8")
    (folder / "pytest.ini").write_text("[pytest]\naddopts = --strict-markers\n")
    return folder


def _pytest(project, *arguments):
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments],
        cwd=project, capture_output=True, text=True, timeout=300,
    )  # fmt: skip


@pytest.mark.parametrize("workers", [(), ("-n", "2")])
def test_it_fails_names_the_tensor_and_lists_what_was_measured(project, workers):
    done = _pytest(project, *workers)
    assert done.returncode == 1, done.stdout
    assert "1 failed, 4 passed" in done.stdout
    assert "the gradient of aca" in done.stdout
    assert "ND205" in done.stdout  # autograd's derivative of f is what is wrong
    assert "gain" in done.stdout
    summary = done.stdout.partition("gradients (node-diag)")[2]
    assert summary.count("pass ") == 6
    assert "direct on Decay  test_model.py::test_right" in summary  # in a fixture
    assert "torchdiffeq-adjoint on decay  test_model.py::test_of_a_problem[0.0001]" in summary
    assert "test_model.py::test_wrong" in summary


def test_the_marker_deselects(project):
    done = _pytest(project, "-m", "not gradients")
    assert done.returncode == 0
    assert "1 passed, 4 deselected" in done.stdout
    assert "gradients (node-diag)" not in done.stdout


def test_loading_it_does_not_import_torch():
    code = "import node_diag.pytest_plugin, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0
