"""One test case per gate, for the test report of a CI system (junit.xml)."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from node_diag.outputs.foreign import plain
from node_diag.outputs.numbers import uncertain
from node_diag.records import Gate, Report


class Junit:
    """A gate that failed, or could not be decided, is a failure: neither lets a build pass."""

    def render(self, report: Report) -> dict[str, bytes]:
        """junit.xml; no test case if there are no gates."""
        failures = sum(gate.verdict != "pass" for gate in report.gates)
        counts = {
            "tests": str(len(report.gates)),
            "failures": str(failures),
            "errors": "0",
            "time": f"{_seconds(report):.6f}",
        }
        root = ET.Element("testsuites", {"name": "node-diag", **counts})
        suite = ET.SubElement(root, "testsuite", {"name": _name(report), **counts})
        for gate in report.gates:
            _test_case(suite, report, gate)
        ET.indent(root)
        return {"junit.xml": ET.tostring(root, encoding="utf-8", xml_declaration=True)}


def _name(report: Report) -> str:
    return plain(f"node-diag {report.problem.name}")


def _seconds(report: Report) -> float:
    return sum(m.cost.forward_s + m.cost.backward_s for m in report.methods if m.cost)


def _test_case(suite: ET.Element, report: Report, gate: Gate) -> None:
    classname = f"node-diag.{plain(report.problem.name)}"
    case = ET.SubElement(
        suite, "testcase", {"classname": classname, "name": plain(gate.expression)}
    )
    if gate.verdict != "pass":
        word = "failed" if gate.verdict == "fail" else "inconclusive"
        message = f"{word}: {plain(gate.reason) or 'limit ' + str(gate.limit)}"
        failure = ET.SubElement(case, "failure", {"type": word, "message": message})
        failure.text = (
            f"measured {uncertain(gate.value, gate.uncertainty)}, from {plain(gate.source)}"
        )


OUTPUT = Junit()
