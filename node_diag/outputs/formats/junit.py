"""Gates, and what changed since a baseline, for the test report of a CI system (junit.xml)."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterable, Sequence

from node_diag.outputs import comparing
from node_diag.outputs.foreign import plain
from node_diag.outputs.numbers import uncertain
from node_diag.outputs.verdict import error_text
from node_diag.records import Change, Gate, MethodRecord, Report

COULD_NOT_RUN = 2
"""The exit code of a check that the module has to be mended for."""


class Junit:
    """Something fails or is in error here if and only if the exit code is not 0.

    A gate that failed, or could not be decided, is a failure. A method without a gate is skipped:
    nothing was asked of it, so that it neither passes nor fails.
    """

    def render(self, report: Report) -> dict[str, bytes]:
        """junit.xml: a test case per gate, per method without one, and per comparison."""
        return {"junit.xml": document([suite(report)])}


def suite(report: Report) -> ET.Element:
    """The test suite of one report."""
    classname = f"node-diag.{plain(report.problem.name)}"
    cases = [_gate(classname, gate) for gate in report.gates]
    gated = {gate.method for gate in report.gates}
    cases += [_method(classname, method) for method in report.methods if method.name not in gated]
    if report.comparison:
        cases += [_change(classname, change) for change in report.comparison.changes]
    if report.summary.exit_code == COULD_NOT_RUN:
        cases.append(_to_mend(classname, report))
    return _suite(f"node-diag {report.problem.name}", cases, _seconds(report))


def broken(name: str, problems: Iterable[tuple[str, str]]) -> ET.Element:
    """A suite of problems that could not be checked, as (name, sentence)."""
    cases: list[ET.Element] = []
    for problem, why in problems:
        cases.append(_error(f"node-diag.{plain(problem)}", why))
    return _suite(name, cases, 0.0)


def document(suites: Sequence[ET.Element]) -> bytes:
    """A whole junit.xml."""
    names = ("tests", "failures", "errors", "skipped")
    counts = {name: str(sum(int(s.get(name, "0")) for s in suites)) for name in names}
    time = f"{sum(float(s.get('time', '0')) for s in suites):.6f}"
    root = ET.Element("testsuites", {"name": "node-diag", **counts, "time": time})
    root.extend(suites)
    ET.indent(root)
    return ET.tostring(root, encoding="utf-8", xml_declaration=True)


def _suite(name: str, cases: Sequence[ET.Element], seconds: float) -> ET.Element:
    counts = {
        "tests": str(len(cases)),
        "failures": str(sum(case.find("failure") is not None for case in cases)),
        "errors": str(sum(case.find("error") is not None for case in cases)),
        "skipped": str(sum(case.find("skipped") is not None for case in cases)),
        "time": f"{seconds:.6f}",
    }
    found = ET.Element("testsuite", {"name": plain(name), **counts})
    found.extend(cases)
    return found


def _seconds(report: Report) -> float:
    return sum(m.cost.forward_s + m.cost.backward_s for m in report.methods if m.cost)


def _case(classname: str, name: str) -> ET.Element:
    return ET.Element("testcase", {"classname": classname, "name": plain(name)})


def _failure(case: ET.Element, word: str, message: str, text: str = "") -> None:
    failure = ET.SubElement(case, "failure", {"type": word, "message": plain(message)})
    failure.text = text or None


def _gate(classname: str, gate: Gate) -> ET.Element:
    case = _case(classname, gate.expression)
    if gate.verdict != "pass":
        word = "failed" if gate.verdict == "fail" else "inconclusive"
        measured = uncertain(gate.value, gate.uncertainty)
        message = f"{word}: {plain(gate.reason) or 'limit ' + str(gate.limit)}"
        _failure(case, word, message, f"measured {measured}, from {plain(gate.source)}")
    return case


def _method(classname: str, method: MethodRecord) -> ET.Element:
    """What came of a method that has no limit to keep."""
    case = _case(classname, method.name)
    error = error_text(method.errors.continuous if method.errors else None)
    found = f"failed: {method.failure}" if method.status == "failed" else f"gradient error {error}"
    ET.SubElement(case, "skipped", {"message": f"no limit set; {plain(found)}"})
    return case


def _to_mend(classname: str, report: Report) -> ET.Element:
    """A module that has to be mended before its gates mean anything."""
    said = [f.message for f in report.findings if f.severity == "error" and f.method is None]
    return _error(classname, "; ".join(said) or "the module has to be mended")


def _error(classname: str, why: str) -> ET.Element:
    case = _case(classname, "check")
    ET.SubElement(case, "error", {"type": "could not run", "message": plain(why)})
    return case


def _change(classname: str, change: Change) -> ET.Element:
    case = _case(classname, f"baseline: {comparing.name(change)}")
    if change.fails:
        _failure(case, change.verdict, f"{change.verdict}: {comparing.claim(change)}")
    return case


OUTPUT = Junit()
