"""Reports of problems that a program loaded."""

from node_diag import check
from node_diag.loader import load
from node_diag.outputs.recommendation import rerun


def test_what_is_advised_names_the_problem_that_was_loaded():
    report = check(load("vanderpol", {"mu": 5.0, "T": 5.0}), methods=["adjoint"], repeat=1)
    assert rerun(report).startswith("node-diag check vanderpol --set mu=5.0 --set T=5.0 ")
    assert report.config.problem == "vanderpol"
    assert report.config.overrides == {"mu": 5.0, "T": 5.0}
