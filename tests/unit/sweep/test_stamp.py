"""Kept cells are taken again only where nothing that computes them has changed."""

import sys

import pytest

from node_diag.loader import load
from node_diag.sweep import stamp as module
from node_diag.sweep.stamp import stamp

PROBLEM = """
import torch
import neighbour_of_a_sweep
from node_diag import Problem

problem = Problem(neighbour_of_a_sweep.f, torch.ones(1), (0.0, 1.0), lambda zs: zs.sum())
"""


@pytest.fixture
def stamped(tmp_path, monkeypatch):
    """A function that loads a problem as a new process would, and stamps it."""
    path = tmp_path / "mine.py"
    path.write_text(PROBLEM)
    neighbour = tmp_path / "neighbour_of_a_sweep.py"
    neighbour.write_text("def f(t, z):\n    return -z\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])

    def found(text=None, methods=("aca",)):
        if text is not None:
            neighbour.write_text(text)
        sys.modules.pop("neighbour_of_a_sweep", None)
        load(str(path))
        return stamp("mine.py", methods, tmp_path)

    yield found
    sys.modules.pop("neighbour_of_a_sweep", None)


def test_what_the_problem_imports_is_a_part_of_it(stamped):
    before = stamped()
    assert stamped() == before
    assert stamped("def f(t, z):\n    return -2 * z\n") != before


def test_so_is_the_file_wherever_the_problem_goes(stamped, tmp_path, monkeypatch):
    before = stamped()
    monkeypatch.chdir("/")
    assert stamped() == before
    (tmp_path / "mine.py").write_text(PROBLEM.replace("1.0", "2.0"))
    assert stamped() != before


def test_so_is_a_library_that_was_missing(stamped, monkeypatch):
    before = stamped(methods=("aca", "torchode"))
    monkeypatch.setattr(module, "_version", lambda library: f"another {library}")
    assert stamped(methods=("aca", "torchode")) != before
