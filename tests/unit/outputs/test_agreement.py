"""What fails a build: the exit code, junit.xml, annotations, report.md and the index agree."""

import xml.etree.ElementTree as ET

import pytest

from node_diag.diagnosis.baseline import compare
from node_diag.diagnosis.gates import GateSpec, evaluate
from node_diag.outputs import github, run_index
from node_diag.outputs.formats.junit import OUTPUT as JUNIT
from node_diag.outputs.formats.md import OUTPUT as MARKDOWN
from node_diag.outputs.run_index import Checked, Run
from node_diag.outputs.verdict import headline
from node_diag.records import Finding, Summary
from tests.stubs import COSTS, failed_method, findings, gate, method, stock_report


def report(methods, gates=(), exit_code=0, found=()):
    for each in methods:
        verdicts = [g.verdict for g in gates if g.method == each.name]
        each.verdict = verdicts[0] if verdicts else "info"
    counts = {
        "passed": sum(g.verdict == "pass" for g in gates),
        "failed": sum(g.verdict == "fail" for g in gates),
        "inconclusive": sum(g.verdict == "inconclusive" for g in gates),
    }
    return stock_report(
        methods=methods, gates=list(gates), findings=list(found),
        summary=Summary(**counts, exit_code=exit_code),
    )  # fmt: skip


def failed():
    return failed_method(why="backward raised ValueError: oops")


def regressed():
    base, new = report([method("aca")]), report([method("aca")], exit_code=1)
    new.methods[0].cost = COSTS["aca"].model_copy(update={"nfe_backward": 769})
    new.comparison = compare(base, new, baseline="base.json")
    return new


def passing():
    return gate("aca", "pass", "flag --gate")


def on_failed():
    return evaluate(GateSpec("direct", "grad_error", 1e-3, "flag --gate"), [failed()])


MENDABLE = Finding(code="ND413", severity="error", message="f changes the state", advice="mend it")
CASES = {
    "nothing was asked": lambda: report([method("aca")]),
    "a wrong gradient that nothing was asked of": lambda: report(
        [method("aca"), method("adjoint")], [passing()], found=findings()[:1]
    ),
    "a method failed and there are no gates": lambda: report([method("aca"), failed()]),
    "a method without a gate failed": lambda: report([method("aca"), failed()], [passing()]),
    "a gated method failed": lambda: report([failed()], on_failed(), 1),
    "a gate failed": lambda: report([method("aca")], [gate("aca", "fail", "flag --gate")], 1),
    "a gate is open": lambda: report(
        [method("aca")], [gate("aca", "inconclusive", "flag --gate")], 1
    ),
    "worse than the baseline": regressed,
    "the module has to be mended": lambda: report(
        [method("aca")], [passing()], 2, found=[MENDABLE]
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_every_output_says_what_the_exit_code_says(case):
    found = CASES[case]()
    fails = found.summary.exit_code != 0
    root = ET.fromstring(JUNIT.render(found)["junit.xml"])
    assert (int(root.get("failures")) + int(root.get("errors")) > 0) is fails
    severe = {f.code for f in found.findings if f.severity == "error"}
    lines = [line for line in github.annotate(found) if line.startswith("::error ")]
    beside = [line for line in lines if not any(f"%3A {code}::" in line for code in severe)]
    # A finding keeps its severity; in a module to be mended it is the reason itself.
    assert bool(beside or found.summary.exit_code == 2) is fails
    word = headline(found).word
    assert (word in ("FAIL", "inconclusive")) is fails
    assert f": {word}\n" in MARKDOWN.render(found)["report.md"].decode()
    run = Run([Checked("p", "p", found.summary.exit_code, found)], [], is_complete=True)
    assert (run.exit_code != 0) is fails
    line, last = run_index.lines(run)
    assert last.startswith("FAIL: 1 problem: 1 ") is fails
    assert line.startswith(f"p  {found.summary.exit_code}  {word}: ")


@pytest.mark.parametrize(
    "case", [case for case in CASES if "failed" in case and "gate f" not in case]
)
def test_a_method_that_failed_is_told_by_all(case):
    found = CASES[case]()
    junit = JUNIT.render(found)["junit.xml"].decode()
    for text in (
        junit,
        "\n".join(github.annotate(found)),
        MARKDOWN.render(found)["report.md"].decode(),
    ):
        assert "backward raised ValueError: oops" in text


def test_methods_without_a_gate_are_skipped_not_passed():
    root = ET.fromstring(JUNIT.render(CASES["a method without a gate failed"]())["junit.xml"])
    (suite,) = root
    skipped = {case.get("name"): [part.get("message") for part in case] for case in suite}
    assert skipped == {
        "aca.grad_error<=0.001": [],
        "direct": ["no limit set; failed: backward raised ValueError: oops"],
    }
    assert suite.get("skipped") == "1"
