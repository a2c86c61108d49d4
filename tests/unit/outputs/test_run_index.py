"""The index of a run of several problems."""

import json
import xml.etree.ElementTree as ET

import pytest

from node_diag.errors import UsageError
from node_diag.outputs import base, folder
from node_diag.outputs.run_index import Checked, Run, lines, record, render, summary
from tests.unit.outputs.hostile import SCRIPT, hostile_report


@pytest.fixture
def run(stock):
    checked = [
        Checked("good", "vanderpol", 0, stock),
        Checked("bad", "bad.py", 2, None, "it raised <b>"),
    ]
    return Run(checked, ["gone"], is_complete=True)


def test_the_exit_code_is_the_worst(stock):
    def code(*codes, missing=()):
        return Run(
            [Checked("x", "x", c, stock) for c in codes], missing, is_complete=True
        ).exit_code

    assert [code(0, 0), code(0, 1), code(1, 2, 0), code(2, 3)] == [0, 1, 2, 3]
    assert code(0, missing=["gone"]) == 1


def test_the_summary_names_every_problem(run, stock):
    found = summary(run)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    good, bad = found["problems"]
    assert (good["name"], good["report"], good["error"]) == ("good", "good/report.json", None)
    assert [m["name"] for m in good["methods"]] == [m.name for m in stock.methods]
    assert (bad["report"], bad["error"]) == (None, "it raised <b>")
    assert (found["missing"], found["exit_code"]) == (["gone"], 2)


def test_json_holds_every_record_and_every_error(run, stock):
    found = record(run)
    assert found["reports"] == [json.loads(stock.to_json())]
    assert found["errors"] == [{"name": "bad", "message": "it raised <b>"}]
    assert found["schema_version"] == 1


def test_the_page_links_to_the_reports_and_needs_nothing_else(run):
    page = render(run, ["html"])["index.html"].decode()
    assert 'href="good/report.html"' in page
    assert 'href="bad/' not in page
    assert "it raised &lt;b&gt;" in page
    assert "gone" in page
    assert "prefers-color-scheme: dark" in page
    assert "<script" not in page
    assert "src=" not in page


def test_hostile_texts_are_inert():
    report = hostile_report()
    page = render(Run([Checked("x", "x", 1, report)], [SCRIPT], is_complete=False), ["html"])[
        "index.html"
    ].decode()
    assert SCRIPT not in page
    assert "\x1b" not in page
    assert "\u202e" not in page


def test_no_link_to_a_page_that_was_not_asked_for(stock):
    report = stock.model_copy(deep=True)
    report.config.report = ["json"]
    page = render(Run([Checked("x", "x", 0, report)], [], is_complete=True), ["html"])["index.html"]
    assert b"href=" not in page


def test_junit_has_a_suite_per_problem_and_one_for_what_could_not_run(run):
    assert "junit.xml" not in render(run, ["html"])
    root = ET.fromstring(render(run, ["junit"])["junit.xml"])
    assert len(root) == 2
    assert (root.get("tests"), root.get("failures"), root.get("errors")) == ("5", "2", "2")
    assert [case.get("classname") for case in root[1]] == ["node-diag.bad", "node-diag.gone"]


def test_the_terminal_ends_with_a_line_each(run):
    assert [line.split()[:2] for line in lines(run)] == [
        ["good", "0"], ["bad", "2"], ["gone", "1"], ["FAIL:", "3"],
    ]  # fmt: skip
    assert lines(run)[-1] == "FAIL: 3 problems: 1 passed, 1 could not run, 1 missing"


def test_every_problem_is_counted_once_and_nothing_passes_that_was_asked_nothing(run, stock):
    assert sum(run.counts.values()) == 3
    assert summary(run)["counts"] == run.counts
    free = stock.model_copy(deep=True)
    free.gates = []

    def of(*found):
        checked = [Checked("x", "x", code, report) for code, report in found]
        return Run(checked, [], is_complete=True)

    assert (of((0, free)).word, of((0, free)).sentence) == (
        "no limits set",
        "1 problem: 1 without limits",
    )
    both = of((0, free), (0, stock))
    assert (both.word, both.sentence) == ("pass", "2 problems: 1 passed, 1 without limits")
    all_of_them = of((0, free), (0, stock), (1, stock), (1, None), (2, stock), (3, None))
    assert list(all_of_them.counts.values()) == [1, 1, 2, 2, 0]
    page = render(all_of_them, ["html"])["index.html"].decode()
    assert f'<span class="word">FAIL</span> {all_of_them.sentence}</h1>' in page


def test_a_run_folder_is_only_replaced_if_all_in_it_is_ours(stock, tmp_path):
    out = tmp_path / "out"
    folder.check_run(out, force=False)
    assert not out.exists()
    base.write(stock, out / "a", [])
    folder.put(out, {"summary.json": b"{}"})
    with pytest.raises(UsageError, match="--force"):
        folder.check_run(out, force=False)
    folder.check_run(out, force=True)
    (out / "thesis.tex").write_text("work of years")
    with pytest.raises(UsageError, match=r"thesis\.tex"):
        folder.check_run(out, force=True)
    (out / "thesis.tex").unlink()
    (out / "b").mkdir()
    (out / "b" / "thesis.tex").write_text("work of years")
    with pytest.raises(UsageError, match=r"thesis\.tex"):
        folder.check_run(out, force=True)


def test_reports_of_an_earlier_run_go_when_the_new_one_is_done(stock, tmp_path):
    for name in ("a", "b"):
        base.write(stock, tmp_path / name, [])
    folder.put(tmp_path, {"summary.json": b"{}", "junit.xml": b""})
    folder.prune(tmp_path, ["a", "summary.json"])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "summary.json"]


def test_a_file_of_the_index_is_replaced_as_a_whole(tmp_path, monkeypatch):
    folder.put(tmp_path, {"summary.json": b"old"})

    def refuse(self, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.replace", refuse)
    with pytest.raises(UsageError, match="No space left"):
        folder.put(tmp_path, {"summary.json": b"new"})
    assert [p.name for p in tmp_path.iterdir()] == ["summary.json"]
    assert (tmp_path / "summary.json").read_bytes() == b"old"
