"""Findings, gates and comparisons as workflow commands that GitHub shows beside the code.

GitHub reads them from stdout, one a line: ``::error title=…::…``. In the message %, CR and LF are
escaped, in properties ``:`` and ``,`` as well.
"""

from __future__ import annotations

from node_diag.outputs import comparing, gate_text
from node_diag.outputs.foreign import plain
from node_diag.outputs.page import advice
from node_diag.outputs.verdict import headline
from node_diag.records import Comparison, Finding, Report

_LEVELS = {"error": "error", "warning": "warning", "info": "notice"}


def annotate(report: Report) -> list[str]:
    """One line each: what fails the build first, since GitHub shows ten of a kind.

    Beside that only findings are errors, by their severity. A method that gave no gradient is one
    if a gate is on it, and a warning if not.
    """
    name = report.problem.name
    file = file_of(report.config.problem)
    lines = [
        command(
            "error",
            f"{name}: gate {gate_text.word(gate)}",
            f"{gate_text.claim(gate)} (from {gate_text.source(gate)}). {gate_text.reason(gate)}",
            file,
        )
        for gate in report.gates
        if gate.verdict != "pass"
    ]
    if report.comparison:
        lines += compared(name, report.comparison, file)
    gated = {gate.method for gate in report.gates}
    lines += [
        command("warning", f"{name}: {m.name} failed", f"{m.failure} (no limit set)", file)
        for m in report.methods
        if m.status == "failed" and m.name not in gated
    ]
    lines += [
        command(_LEVELS[f.severity], f"{name}: {f.code}", _said(f), file) for f in report.findings
    ]
    found = headline(report)
    summary = f"{found.title}. {found.sentence} {found.gates}"
    return [*lines, command("notice", f"{name}: {found.word}", summary, file)]


def compared(name: str, comparison: Comparison, file: str = "") -> list[str]:
    """What got worse is an error, what got better or is new a notice."""
    return [
        command(
            "error" if change.fails else "notice",
            f"{name}: {change.verdict} than the baseline"
            if change.verdict in ("worse", "better")
            else f"{name}: {change.verdict}, compared with the baseline",
            comparing.claim(change),
            file,
        )
        for change in comparing.told(comparison)
        if change.verdict != "info"
    ]


def trouble(name: str, sentence: str) -> str:
    """A problem that could not be checked, or is missing."""
    return command("error", name, sentence)


def _said(finding: Finding) -> str:
    words, again = advice(finding)
    return f"{finding.message}; {words} {again}".rstrip()


def file_of(spec: str) -> str:
    """The file that GitHub puts the annotation to, if the problem is one."""
    path = spec.rpartition(":")[0] if ".py:" in spec else spec
    return path if path.endswith(".py") else ""


def command(level: str, title: str, message: str, file: str = "") -> str:
    """One annotation: ``error``, ``warning`` or ``notice``."""
    properties = [f"file={_property(file)}"] if file else []
    properties.append(f"title={_property(f'node-diag {title}')}")
    return f"::{level} {','.join(properties)}::{_data(plain(message).strip())}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(plain(text)).replace(":", "%3A").replace(",", "%2C")
