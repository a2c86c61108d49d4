"""The report on a terminal. Words accompany colours; narrow terminals lose columns, not digits."""

from __future__ import annotations

import io

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from node_diag.config_file import CAPTURE
from node_diag.outputs import comparing, gate_text, recommendation, training
from node_diag.outputs.foreign import plain, shorten
from node_diag.outputs.method_table import ALWAYS, COLUMNS, VERDICT, Column
from node_diag.outputs.numbers import count, general
from node_diag.outputs.page import advice
from node_diag.outputs.second_order import sentences
from node_diag.outputs.values import ignored
from node_diag.outputs.verdict import headline, method_word
from node_diag.records import Comparison, Finding, Gate, MethodRecord, Report
from node_diag.records.training import Training

_GAP = 2
_NAME_WIDTH = 24
_STYLES = {
    "pass": "green",
    "FAIL": "bold red",
    "failed": "bold red",
    "inconclusive": "yellow",
    "not judged": "",
    "right": "green",
    "off": "yellow",
    "wrong": "bold red",
    "error": "bold red",
    "warning": "yellow",
    "info": "cyan",
}
_CHANGE_STYLES = {
    "better": "green",
    "worse": "bold red",
    "missing": "bold red",
    "inconclusive": "yellow",
}
_VERDICT_STYLES = {
    "pass": "bold green",
    "fail": "bold red",
    "inconclusive": "bold yellow",
    "info": "bold",
}


def print_report(report: Report, console: Console) -> None:
    """Print the whole report: header, verdict, methods, findings, gates, recommendation."""
    _print(_header(report), console)
    if report.config.problem.startswith(CAPTURE) and report.problem.description:
        _print(Text(plain(report.problem.description), "dim"), console)
    verdict = headline(report)
    console.print()
    _print(Text(plain(verdict.title), _VERDICT_STYLES[verdict.verdict]), console)
    for sentence in filter(None, (verdict.sentence, verdict.gates)):
        _print(sentence, console)
    console.print()
    _print_methods(report.methods, console)
    for name, sentence in sentences(report):
        _print(Text.assemble((shorten(name, _NAME_WIDTH), "bold"), f": {plain(sentence)}"), console)
    for finding in report.findings:
        _print_finding(finding, console)
    _print_gates(report.gates, console)
    if left_out := ignored(report.config):
        console.print()
        _print(Text(left_out, "dim"), console)
    if report.comparison:
        console.print()
        print_comparison(report.comparison, console)
    if report.training:
        console.print()
        _print_training(report.training, console)
    if text := recommendation.sentence(report):
        console.print()
        _print(text, console)
        if rerun := recommendation.rerun(report):
            _print_command(rerun, console)


def summary_text(report: Report, width: int = 100) -> str:
    """The same as text, without colours."""
    stream = io.StringIO()
    print_report(report, Console(file=stream, width=width, color_system=None))
    return stream.getvalue().rstrip()


def print_comparison(comparison: Comparison, console: Console) -> None:
    """What changed since the baseline."""
    _print(Text(plain(comparing.sentence(comparison)), "bold"), console)
    for change in comparing.told(comparison):
        style = _CHANGE_STYLES.get(change.verdict, "")
        text = Text.assemble((change.verdict, style), f"  {plain(comparing.claim(change))}")
        _print(text, console)
    for note in comparison.notes:
        _print(Text(plain(note), "dim"), console, indent=2)


def _print_training(found: Training, console: Console) -> None:
    """The answer, and a row for each method."""
    _print(Text(training.answer(found), "bold"), console)
    shown = training.table(found)
    table = Table(box=None, padding=(0, _GAP, 0, 0), pad_edge=False, header_style="bold")
    for i, heading in enumerate(shown.columns):
        table.add_column(heading, justify="left" if i in shown.words else "right")
    for row in shown.rows:
        table.add_row(*(Text(shorten(cell, _NAME_WIDTH)) for cell in row))
    console.print(table)
    for sentence in training.failures(found):
        _print(sentence, console, indent=2)


def _header(report: Report) -> Text:
    """What was solved, and how much work it was."""
    config, solution = report.config, report.solution
    parts = [
        f"rtol {general(config.rtol)} atol {general(config.atol)}",
        f"loss {general(solution.loss)}",
        f"{count(solution.n_accepted)} steps + {count(solution.n_rejected)} rejected",
        f"{count(solution.nfe)} nfe",
    ]
    if config.step_size is not None:
        parts[0] = f"step {general(config.step_size)}"
    text = Text(shorten(report.problem.name, 40), "bold")
    text.append(f"  {shorten(config.solver)}  " + "  ".join(parts), "not bold")
    return text


def fitting(methods: list[MethodRecord], width: int) -> list[Column]:
    """The columns that fit into ``width`` characters with every digit; three at the least."""
    columns = list(COLUMNS)
    while len(columns) > ALWAYS and _table_width(columns, methods) > width:
        columns.pop()
    return columns


def _table_width(columns: list[Column], methods: list[MethodRecord]) -> int:
    widths = [max(map(cell_len, (c.heading, *(_cell(c, m) for m in methods)))) for c in columns]
    return sum(widths) + _GAP * (len(widths) - 1)


def _cell(column: Column, method: MethodRecord) -> str:
    return (
        shorten(column.cell(method), _NAME_WIDTH) if not column.is_number else column.cell(method)
    )


def _print_methods(methods: list[MethodRecord], console: Console) -> None:
    columns = fitting(methods, console.width)
    table = Table(
        box=None,
        padding=(0, _GAP, 0, 0),
        pad_edge=False,
        collapse_padding=True,
        header_style="bold",
    )
    for column in columns:
        table.add_column(
            column.heading, justify="right" if column.is_number else "left", no_wrap=True
        )
    for method in methods:
        style = _STYLES[method_word(method)]
        table.add_row(*(Text(_cell(c, method), style if c is VERDICT else "") for c in columns))
    if (needed := _table_width(columns, methods)) > console.width:
        # Left to the terminal to wrap: it must not lose a digit.
        table.width = needed
    console.print(table, crop=False, no_wrap=True, overflow="ignore")
    for method in methods:
        if method.failure:
            name = shorten(method.name, _NAME_WIDTH)
            _print(Text.assemble((name, "bold red"), f" failed: {plain(method.failure)}"), console)
    left_out = [column.heading for column in COLUMNS[len(columns) :]]
    if left_out:
        _print(Text(f"Not shown at this width: {', '.join(left_out)}.", "dim"), console)


def _print_finding(finding: Finding, console: Console) -> None:
    console.print()
    text = Text.assemble((finding.severity, _STYLES[finding.severity]), f" {plain(finding.code)}  ")
    _print(text.append(plain(finding.message)), console)
    words, command = advice(finding)
    _print(words, console, indent=2)
    if command:
        _print_command(command, console)


def _print_command(command: str, console: Console) -> None:
    """On a line of its own and never broken, so that it can be copied."""
    console.print(Text(f"  {plain(command)}"), no_wrap=True, overflow="ignore", crop=False)


def _print(text: Text | str, console: Console, indent: int = 0) -> None:
    """Wrapped to the width, without the trailing blanks that rich leaves in a pipe."""
    text = Text(plain(text)) if isinstance(text, str) else text
    for line in text.wrap(console, max(console.width - indent, 1)):
        line.rstrip()
        console.print(
            Text(" " * indent).append_text(line), no_wrap=True, overflow="ignore", crop=False
        )


def _print_gates(gates: list[Gate], console: Console) -> None:
    if not gates:
        return
    console.print()
    for gate in gates:
        word = gate_text.word(gate)
        text = Text.assemble(f"{plain(gate_text.claim(gate))}  ", (word, _STYLES[word]))
        text.append(f" (from {plain(gate_text.source(gate))})", "dim")
        _print(text, console)
        if reason := gate_text.reason(gate):
            _print(reason, console, indent=2)
