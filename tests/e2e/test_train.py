"""``node-diag train``, as a person runs it."""

import csv
import json

import pytest

from node_diag.records import Report


def test_every_method_is_trained_from_the_same_starts(installed, tmp_path):
    done = installed(
        "train", "linear", "-m", "aca,adjoint", "--steps", "4", "--seeds", "2", "--truth-every",
        "2", "--report", "html,csv,md", "--report-dir", "out",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "The gradient method makes no difference that 2 starts show" in done.stdout
    report = Report.load(tmp_path / "out" / "report.json")
    runs = {(run.method, run.seed): run for run in report.training.runs}
    assert set(runs) == {(m, s) for m in ("aca", "adjoint") for s in range(2)}
    for run in runs.values():
        assert run.status == "ok"
        assert len(run.losses) == len(run.nfe) == 4
        assert [point.step for point in run.truth] == [0, 2]
        assert run.losses[-1] < run.losses[0]
    # The same start: the same forward solve, to the last bit.
    assert runs["aca", 1].losses[0] == runs["adjoint", 1].losses[0]
    assert runs["aca", 0].losses[0] != runs["aca", 1].losses[0]
    with (tmp_path / "out" / "tables" / "training.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 4 * 4
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Training with each method" in page
    assert "The gradient method makes no difference" in (tmp_path / "out" / "report.md").read_text()
    again = json.loads((tmp_path / "out" / "report.json").read_text())["command"]
    assert again.startswith("node-diag train linear")
    assert "--steps 4" in again


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--steps", "0"), "--steps is 0; it must be 1 or more"),
        (("--learning-rate", "nan"), "--learning-rate is nan; it must be a positive number"),
        (("--perturb", "nan"), "--perturb is nan"),
        (("--optimizer", "lion"), "unknown optimizer 'lion'; there are: adam, sgd"),
        (("-m", "acca"), "did you mean 'aca'?"),
    ],
)
def test_what_cannot_be_is_told_before_the_work(node_diag, tmp_path, arguments, sentence):
    done = node_diag("train", "linear", *arguments)
    assert done.returncode == 2
    assert sentence in done.stderr
    assert not list(tmp_path.iterdir())
