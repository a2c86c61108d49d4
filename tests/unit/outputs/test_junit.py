"""junit.xml: one test case per gate, or per method, and per comparison."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from node_diag.diagnosis.baseline import compare
from node_diag.outputs.formats.junit import OUTPUT
from node_diag.records import Report, Summary
from tests.stubs import COSTS, failed_method, gate, method, stock_report
from tests.unit.outputs import hostile


def suite(report: Report) -> ET.Element:
    root = ET.fromstring(OUTPUT.render(report)["junit.xml"])
    assert root.tag == "testsuites"
    (found,) = root
    assert {root.get(name) for name in ("tests",)} == {found.get("tests")}
    return found


def test_there_is_a_case_per_gate(stock):
    found = suite(stock)
    assert [case.get("name") for case in found] == [g.expression for g in stock.gates]
    assert (found.get("tests"), found.get("failures"), found.get("errors")) == ("3", "2", "0")


def test_only_a_pass_passes():
    gates = [gate("aca", verdict, "flag --gate") for verdict in ("pass", "inconclusive", "fail")]
    found = suite(stock_report(gates=gates, methods=[method("aca")]))
    kinds = [[failure.get("type") for failure in case] for case in found]
    assert kinds == [[], ["inconclusive"], ["failed"]]
    assert found.get("failures") == "2"


def test_a_failure_names_numbers_and_source(stock):
    (failure,) = suite(stock)[1]
    assert failure.text is not None
    assert "1.8e-02 ± " in failure.text
    assert "--max-grad-error" in failure.text


def test_without_gates_there_is_a_case_per_method_and_none_fails():
    found = suite(stock_report(
        gates=[], methods=[method("aca"), failed_method(why="underflow")],
        summary=Summary(passed=0, failed=0, inconclusive=0, exit_code=0),
    ))  # fmt: skip
    assert [case.get("name") for case in found] == ["aca", "direct"]
    counts = [found.get(name) for name in ("tests", "failures", "errors", "skipped")]
    assert counts == ["2", "0", "0", "2"]
    (skipped,) = found[1]
    assert skipped.get("message") == "no limit set; failed: underflow"


def test_every_comparison_is_a_case_and_what_got_worse_fails():
    base, new = stock_report(), stock_report()
    new.methods[1].cost = COSTS["aca"].model_copy(update={"nfe_backward": 769})
    new.comparison = compare(base, new, baseline="base.json")
    found = suite(new)
    cases = {case.get("name"): case for case in found}
    assert len(cases) == len(new.gates) + len(new.comparison.changes)
    (failure,) = cases["baseline: aca.nfe_backward"]
    assert failure.get("message") == "worse: aca.nfe_backward 768 → 769: 1 more"
    assert found.get("failures") == "3"  # two gates of the stock report fail


def test_hostile_texts_are_well_formed_xml():
    found = suite(hostile.hostile_report())
    report = hostile.hostile_report()
    ungated = {m.name for m in report.methods} - {g.method for g in report.gates}
    assert len(found) == len(hostile.TEXTS) + len(ungated)
    assert found[1].get("name") == f"{hostile.SCRIPT}.m<=1"
