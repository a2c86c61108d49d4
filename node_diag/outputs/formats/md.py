"""A summary for a pull request (report.md)."""

from __future__ import annotations

import re

from node_diag.outputs import comparing, gate_text, recommendation, training
from node_diag.outputs.foreign import plain, shorten
from node_diag.outputs.method_table import CONTINUOUS, DISCRETE, METHOD, NFE, SAVED, TIME, VERDICT
from node_diag.outputs.page import advice, facts
from node_diag.outputs.second_order import sentences
from node_diag.outputs.table import Table
from node_diag.outputs.values import ignored
from node_diag.outputs.verdict import WORDS, headline
from node_diag.records import Comparison, Finding, Gate, Report

_NAME_WIDTH = 60
_COLUMNS = (METHOD, VERDICT, CONTINUOUS, DISCRETE, NFE, SAVED, TIME)
_SPECIAL = re.compile(r"([\\`*_\[\]<>|~$&])")


class Markdown:
    """GitHub-flavoured: verdict, table of methods, findings, gates, and how to run it again."""

    def render(self, report: Report) -> dict[str, bytes]:
        """report.md."""
        parts = [
            *_head(report),
            _methods(report),
            *(f"{escaped(shorten(n, _NAME_WIDTH))}: {escaped(s)}" for n, s in sentences(report)),
            *map(_finding, report.findings),
            _gates(report.gates),
            escaped(ignored(report.config)),
            compared(report.comparison) if report.comparison else "",
            _trained(report),
            _recommended(report),
            _details(report),
        ]
        return {"report.md": ("\n\n".join(filter(None, parts)) + "\n").encode()}


def escaped(text: str) -> str:
    """Text that Markdown shows as it is: no markup, no HTML, no links, nobody mentioned.

    GitHub looks for mentions, issues and addresses after it has parsed the Markdown; an empty
    comment within them stops that and is not seen.
    """
    inert = _SPECIAL.sub(r"\\\1", plain(text))
    return re.sub(r"@|#|://|www\.", r"\g<0><!-- -->", inert)


def code(text: str) -> str:
    """Text in a code span, whatever backquotes it holds."""
    shown = plain(text)
    longest = max(map(len, re.findall("`+", shown)), default=0)
    fence = "`" * (longest + 1)
    space = " " if shown.startswith("`") or shown.endswith("`") else ""
    return f"{fence}{space}{shown}{space}{fence}"


def _head(report: Report) -> list[str]:
    found = headline(report)
    name = code(shorten(report.problem.name, _NAME_WIDTH))
    sentences = " ".join(filter(None, (found.sentence, found.gates)))
    return [
        f"### node-diag {name}: {found.word}",
        f"**{escaped(found.title)}**",
        escaped(sentences),
    ]


def _methods(report: Report) -> str:
    rows = [
        "| " + " | ".join(column.heading for column in _COLUMNS) + " |",
        "|" + "|".join("--:" if column.is_number else ":--" for column in _COLUMNS) + "|",
    ]
    for m in report.methods:
        cells = (escaped(shorten(column.cell(m), _NAME_WIDTH)) for column in _COLUMNS)
        rows.append("| " + " | ".join(cells) + " |")
    failures = [
        f"{escaped(shorten(m.name))} failed: {escaped(m.failure)}"
        for m in report.methods
        if m.failure
    ]
    return "\n".join(rows) + "".join(f"\n\n{line}" for line in failures)


def _finding(finding: Finding) -> str:
    text, command = advice(finding)
    lines = [f"- **{finding.severity} {escaped(finding.code)}** {escaped(finding.message)}"]
    lines += [f"  {escaped(text)} {code(command) if command else ''}".rstrip()]
    return "  \n".join(lines)


def _recommended(report: Report) -> str:
    """What to train with."""
    text, rerun = recommendation.sentence(report), recommendation.rerun(report)
    return f"{escaped(text)}  \n{code(rerun)}" if rerun else escaped(text)


def _trained(report: Report) -> str:
    """What training with each method gave."""
    if report.training is None:
        return ""
    table = as_markdown(training.table(report.training))
    return f"**{escaped(training.answer(report.training))}**\n\n{table}"


def as_markdown(table: Table) -> str:
    """A table, and its note below it."""
    rule = "|".join(":--" if i in table.words else "--:" for i in range(len(table.columns)))
    rows = ["| " + " | ".join(map(escaped, row)) + " |" for row in [table.columns, *table.rows]]
    lines = [rows[0], f"|{rule}|", *rows[1:]]
    return "\n".join([*lines, "", escaped(table.note)] if table.note else lines)


def _gates(gates: list[Gate]) -> str:
    lines = [
        f"- {WORDS[g.verdict]}: {escaped(gate_text.claim(g))} (from {escaped(gate_text.source(g))})"
        + (f": {escaped(reason)}" if (reason := gate_text.reason(g)) else "")
        for g in gates
    ]
    return "\n".join(["**Gates**", "", *lines]) if lines else ""


def compared(comparison: Comparison) -> str:
    """What changed since the baseline."""
    lines = [
        f"- {change.verdict}: {escaped(comparing.claim(change))}"
        for change in comparing.told(comparison)
    ]
    lines += [f"- {escaped(note)}" for note in comparison.notes]
    return "\n".join([f"**{escaped(comparing.sentence(comparison))}**", "", *lines]).rstrip()


def _details(report: Report) -> str:
    lines = [f"- {name}: {escaped(value)}" for name, value in facts(report)]
    environment = report.environment
    where = f"torch {environment.torch}, {environment.platform}, {environment.dtype}"
    return "\n".join(
        [
            "<details><summary>How to run it again</summary>",
            "",
            code(report.command),
            "",
            *lines,
            f"- node-diag {escaped(report.tool.version)}, {escaped(where)}",
            "",
            "</details>",
        ]
    )


OUTPUT = Markdown()
