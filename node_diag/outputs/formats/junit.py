"""Gates, and what changed since a baseline, for the test report of a CI system (junit.xml)."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterable, Sequence

from node_diag.outputs import comparing
from node_diag.outputs.foreign import plain
from node_diag.outputs.numbers import uncertain
from node_diag.records import Change, Gate, MethodRecord, Report


class Junit:
    """A gate that failed, or could not be decided, is a failure: neither lets a build pass."""

    def render(self, report: Report) -> dict[str, bytes]:
        """junit.xml: a test case per gate, or per method if there are none, and per comparison."""
        return {"junit.xml": document([suite(report)])}


def suite(report: Report) -> ET.Element:
    """The test suite of one report."""
    classname = f"node-diag.{plain(report.problem.name)}"
    cases = [_gate(classname, gate) for gate in report.gates]
    cases = cases or [_method(classname, method) for method in report.methods]
    if report.comparison:
        cases += [_change(classname, change) for change in report.comparison.changes]
    return _suite(f"node-diag {report.problem.name}", cases, _seconds(report))


def broken(name: str, problems: Iterable[tuple[str, str]]) -> ET.Element:
    """A suite of problems that could not be checked, as (name, sentence)."""
    cases: list[ET.Element] = []
    for problem, why in problems:
        case = _case(f"node-diag.{plain(problem)}", "check")
        ET.SubElement(case, "error", {"type": "could not run", "message": plain(why)})
        cases.append(case)
    return _suite(name, cases, 0.0)


def document(suites: Sequence[ET.Element]) -> bytes:
    """A whole junit.xml."""
    names = ("tests", "failures", "errors")
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
    """Without limits only a method that gave no gradient fails."""
    case = _case(classname, method.name)
    if method.status == "failed":
        _failure(case, "failed", f"failed: {method.failure}")
    return case


def _change(classname: str, change: Change) -> ET.Element:
    case = _case(classname, f"baseline: {comparing.name(change)}")
    if change.fails:
        _failure(case, change.verdict, f"{change.verdict}: {comparing.claim(change)}")
    return case


OUTPUT = Junit()
