"""A report in a notebook: the verdict, the methods and the findings, as plain HTML."""

from __future__ import annotations

from html import escape

from node_diag.outputs.method_table import COLUMNS
from node_diag.outputs.page import advice
from node_diag.outputs.verdict import headline
from node_diag.records import Finding, Report

CELL = "padding:0.2em 0.8em 0.2em 0"


def summary_html(report: Report) -> str:
    """Without styles of its own beyond alignment, so that it looks like the notebook it is in."""
    told = headline(report)
    parts = [
        f"<p><strong>{escape(told.title)}</strong><br>{escape(told.sentence)}</p>",
        _methods(report),
        *(_finding(finding) for finding in report.findings),
    ]
    return "\n".join(parts)


def _methods(report: Report) -> str:
    align = ["right" if column.is_number else "left" for column in COLUMNS]
    head = "".join(
        f'<th style="{CELL};text-align:{side}">{escape(column.heading)}</th>'
        for column, side in zip(COLUMNS, align, strict=True)
    )
    rows = "".join(
        "<tr>"
        + "".join(
            f'<td style="{CELL};text-align:{side}">{escape(column.cell(method))}</td>'
            for column, side in zip(COLUMNS, align, strict=True)
        )
        + "</tr>"
        for method in report.methods
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def _finding(finding: Finding) -> str:
    what = f"<strong>{escape(finding.severity)} {escape(finding.code)}</strong>"
    words, command = advice(finding)
    code = f" <code>{escape(command)}</code>" if command else ""
    return f"<p>{what} {escape(finding.message)}<br>{escape(words)}{code}</p>"
