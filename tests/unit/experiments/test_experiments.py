"""What every experiment has to have, and that a failed part is said and not hidden."""

import ast
import re

import pytest

from node_diag.cells import FAILED
from node_diag.errors import UsageError
from node_diag.experiments import running
from node_diag.experiments.base import Conclusion, Experiment
from node_diag.experiments.rendering import Finished, files, markdown
from node_diag.experiments.running import check_needs, conclude
from node_diag.registry import EXPERIMENTS


@pytest.fixture(params=EXPERIMENTS.names())
def experiment(request) -> Experiment:
    return EXPERIMENTS.load(request.param)


def test_cells_have_keys_of_their_own_that_are_file_names(experiment):
    keys = [cell.key for cell in experiment.cells()]
    assert keys
    assert len(set(keys)) == len(keys)
    assert all(re.fullmatch(r"[\w.\-]+", key) for key in keys)


def test_experiments_say_where_the_claim_is_and_what_is_measured(experiment):
    assert experiment.source
    assert len(experiment.question) > 80
    assert experiment.measure.__module__.startswith("node_diag.experiments.cases.")


def test_a_failed_part_is_said(experiment):
    results = {cell.key: {FAILED: "ValueError: no"} for cell in experiment.cells()}
    found = conclude(experiment, results)
    done = Finished("x", experiment, found, results)
    assert len(done.failed) == len(results)
    text = markdown(done)
    assert "Failed" in text
    assert "ValueError: no" in text
    assert "report.html" in files(done)


def test_listing_needs_no_import():
    for path in EXPERIMENTS.paths.values():
        assert ast.get_docstring(ast.parse(path.read_text()))


def test_a_bug_in_a_conclusion_is_not_taken_for_a_failed_part(experiment):
    broken = Experiment(
        experiment.title, experiment.source, experiment.question, experiment.cells,
        experiment.measure, lambda results: Conclusion(results["no such part"]["x"], []),
    )  # fmt: skip
    with pytest.raises(KeyError):
        conclude(broken, {"a": {}})


def test_a_missing_package_is_told_before_the_work(monkeypatch):
    check_needs(EXPERIMENTS.names())
    monkeypatch.setattr(running, "find_spec", lambda _: None)
    check_needs(["toy"])
    with pytest.raises(UsageError, match=r"'classification' needs scikit-learn: pip install"):
        check_needs(["toy", "classification"])
