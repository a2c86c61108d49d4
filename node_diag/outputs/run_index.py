"""What lies beside the reports of several problems: summary.json, index.html, junit.xml."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from node_diag import __version__
from node_diag.outputs.folder import RECORD
from node_diag.outputs.foreign import plain
from node_diag.outputs.verdict import (
    UNGATED,
    WORDS,
    Headline,
    error_text,
    headline,
    method_word,
)
from node_diag.records import ErrorRecord, MethodRecord, Report

VERSION = 1
OUTCOMES = ("passed", "without limits", "failed", "could not run", "missing")
MISSING = "the baseline has this problem, and the run does not"


@dataclass(frozen=True)
class Checked:
    """One problem of a run.

    Attributes:
        name: of its folder.
        spec: PROBLEM.
        exit_code: what it alone would have exited with.
        report: None if it could not be checked.
        error: why not.
    """

    name: str
    spec: str
    exit_code: int
    report: Report | None
    error: str = ""

    @property
    def outcome(self) -> str:
        """One of OUTCOMES, as its exit code has it."""
        if self.exit_code == 0 and self.report is not None:
            asked = self.report.gates or self.report.comparison
            return "passed" if asked else "without limits"
        return "failed" if self.exit_code == 1 else "could not run"

    @property
    def headline(self) -> Headline | None:
        """The verdict on it, if there is one."""
        return headline(self.report) if self.report else None


@dataclass(frozen=True)
class Run:
    """Several problems, checked in turn.

    Attributes:
        checked: those that are done.
        missing: problems that a baseline has and the run does not.
        is_complete: whether all had their turn.
    """

    checked: Sequence[Checked]
    missing: Sequence[str]
    is_complete: bool

    @property
    def exit_code(self) -> int:
        """The worst: 3 over 2 over 1 over 0."""
        return max([c.exit_code for c in self.checked] + [int(bool(self.missing))])

    @property
    def counts(self) -> dict[str, int]:
        """How many problems came out how; each is counted once, those without limits apart."""
        ways = [c.outcome for c in self.checked] + ["missing"] * len(self.missing)
        return {way: ways.count(way) for way in OUTCOMES}

    @property
    def word(self) -> str:
        """The verdict on all: nothing passes that nothing was asked of."""
        if self.exit_code:
            return WORDS["fail"]
        return WORDS["pass"] if self.counts["passed"] else UNGATED["info"]

    @property
    def sentence(self) -> str:
        """How many of how many came out how."""
        total = len(self.checked) + len(self.missing)
        parts = [f"{n} {way}" for way, n in self.counts.items() if n]
        return f"{total} problem{'' if total == 1 else 's'}: {', '.join(parts) or 'none checked'}"


def render(run: Run, formats: Collection[str]) -> dict[str, bytes]:
    """The files of the index, by name; the formats are those of the reports."""
    files = {"summary.json": (json.dumps(summary(run), indent=1) + "\n").encode()}
    if "html" in formats:
        files["index.html"] = _page(run)
    if "junit" in formats:
        files["junit.xml"] = _junit(run)
    return files


def summary(run: Run) -> dict[str, Any]:
    """The run in a few numbers for each problem; the rest is in their records."""
    return {
        "schema_version": VERSION,
        "is_complete": run.is_complete,
        "exit_code": run.exit_code,
        "counts": run.counts,
        "problems": [_summary(checked) for checked in run.checked],
        "missing": list(run.missing),
    }


def record(run: Run) -> dict[str, Any]:
    """The run with every record whole, for ``--output-format json``."""
    return {
        "schema_version": VERSION,
        "exit_code": run.exit_code,
        "reports": [json.loads(c.report.to_json()) for c in run.checked if c.report],
        "errors": [{"name": c.name, "message": c.error} for c in run.checked if not c.report],
        "missing": list(run.missing),
    }


def _summary(checked: Checked) -> dict[str, Any]:
    found: dict[str, Any] = {
        "name": checked.name,
        "problem": checked.spec,
        "exit_code": checked.exit_code,
        "report": f"{checked.name}/{RECORD}" if checked.report else None,
        "error": checked.error or None,
    }
    report, head = checked.report, checked.headline
    if report is None or head is None:
        return found
    return found | {
        "verdict": head.word,
        "title": head.title,
        "methods": [_method(method) for method in report.methods],
        "gates": report.summary.model_dump(exclude={"exit_code"}),
        "regressions": report.comparison.failed if report.comparison else None,
    }


def _method(method: MethodRecord) -> dict[str, Any]:
    errors = method.errors
    return {
        "name": method.name,
        "status": method.status,
        "verdict": method_word(method),
        "continuous": _error(errors.continuous if errors else None),
        "discrete": _error(errors.discrete if errors else None),
    }


def _error(error: ErrorRecord | None) -> dict[str, Any] | None:
    """With NaN and infinities as report.json writes them."""
    keys = {"relative_l2", "absolute_l2", "uncertainty"}
    return json.loads(error.model_dump_json(include=keys)) if error else None


def _junit(run: Run) -> bytes:
    from node_diag.outputs.formats import junit

    suites = [junit.suite(c.report) for c in run.checked if c.report]
    lost = troubles(run)
    return junit.document([*suites, *([junit.broken("node-diag", lost)] if lost else [])])


def _page(run: Run) -> bytes:
    from node_diag.outputs.formats.html import environment

    def errors(report: Report) -> list[tuple[str, str, str]]:
        return [
            (m.name, method_word(m), error_text(m.errors.continuous if m.errors else None))
            for m in report.methods
        ]

    context = {"run": run, "errors": errors, "missing": MISSING, "page": "report.html"}
    context["version"] = __version__
    return environment().get_template("index.html").render(context).encode()


def lines(run: Run) -> list[str]:
    """One line for each problem and one for all, at the end of what a terminal shows."""
    width = max((len(c.name) for c in run.checked), default=0)
    return [f"{c.name:<{width}}  {c.exit_code}  {plain(_said(c))}" for c in run.checked] + [
        *(f"{plain(name)}  1  {MISSING}" for name in run.missing),
        f"{run.word}: {run.sentence}",
    ]


def _said(checked: Checked) -> str:
    head = checked.headline
    return f"{head.word}: {head.title}. {head.gates}".rstrip() if head else checked.error


def troubles(run: Run) -> list[tuple[str, str]]:
    """(name, sentence) of every problem without a report."""
    lost = [(c.name, c.error) for c in run.checked if not c.report]
    return lost + [(name, MISSING) for name in run.missing]
