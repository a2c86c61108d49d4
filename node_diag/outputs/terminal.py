"""The report on a terminal. Words accompany colours; narrow terminals lose columns, not digits."""

from __future__ import annotations

import io
from dataclasses import replace
from shutil import get_terminal_size

from rich.console import Console
from rich.text import Text

from node_diag.config_file import CAPTURE
from node_diag.outputs import comparing, gate_text, recommendation, training
from node_diag.outputs.console import say, show_command, show_left_out, show_table
from node_diag.outputs.foreign import plain, shorten
from node_diag.outputs.method_table import ALWAYS, COLUMNS, VERDICT
from node_diag.outputs.numbers import count, general
from node_diag.outputs.page import advice
from node_diag.outputs.second_order import sentences
from node_diag.outputs.table import Table
from node_diag.outputs.values import ignored
from node_diag.outputs.verdict import headline, method_word
from node_diag.records import Comparison, Finding, Gate, MethodRecord, Report
from node_diag.records.training import Training

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
    say(_header(report), console)
    if report.config.problem.startswith(CAPTURE) and report.problem.description:
        say(Text(plain(report.problem.description), "dim"), console)
    verdict = headline(report)
    console.print()
    say(Text(plain(verdict.title), _VERDICT_STYLES[verdict.verdict]), console)
    for sentence in filter(None, (verdict.sentence, verdict.gates)):
        say(sentence, console)
    console.print()
    _print_methods(report.methods, console)
    for name, sentence in sentences(report):
        say(Text.assemble((shorten(name, _NAME_WIDTH), "bold"), f": {plain(sentence)}"), console)
    for finding in report.findings:
        _print_finding(finding, console)
    _print_gates(report.gates, console)
    if left_out := ignored(report.config):
        console.print()
        say(Text(left_out, "dim"), console)
    if report.comparison:
        console.print()
        print_comparison(report.comparison, console)
    if report.training:
        console.print()
        _print_training(report.training, console)
    if text := recommendation.sentence(report):
        console.print()
        say(text, console)
        if rerun := recommendation.rerun(report):
            show_command(rerun, console)


def summary_text(report: Report) -> str:
    """The same as text, without colours, as wide as the terminal, or 100 columns without one."""
    stream, width = io.StringIO(), get_terminal_size((100, 24)).columns
    print_report(report, Console(file=stream, width=width, color_system=None))
    return stream.getvalue().rstrip()


def print_comparison(comparison: Comparison, console: Console) -> None:
    """What changed since the baseline."""
    say(Text(plain(comparing.sentence(comparison)), "bold"), console)
    for change in comparing.told(comparison):
        style = _CHANGE_STYLES.get(change.verdict, "")
        text = Text.assemble((change.verdict, style), f"  {plain(comparing.claim(change))}")
        say(text, console)
    for note in comparison.notes:
        say(Text(plain(note), "dim"), console, indent=2)


def _print_training(found: Training, console: Console) -> None:
    """The answer, and a row for each method."""
    say(Text(training.answer(found), "bold"), console)
    shown = training.table(found)
    names = [(shorten(row[0], _NAME_WIDTH), *row[1:]) for row in shown.rows]
    show_table(replace(shown, rows=names), console)
    show_left_out(shown, console)
    for sentence in training.failures(found):
        say(sentence, console, indent=2)


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
    if config.dtype != "float64":
        parts.insert(0, config.dtype)
    text = Text(shorten(report.problem.name, 40), "bold")
    text.append(f"  {shorten(config.solver)}  " + "  ".join(parts), "not bold")
    return text


def method_table(methods: list[MethodRecord]) -> Table:
    """What is known about each method, as a terminal shows it."""
    words = frozenset(i for i, column in enumerate(COLUMNS) if not column.is_number)
    rows = [
        tuple(
            column.cell(method) if column.is_number else shorten(column.cell(method), _NAME_WIDTH)
            for column in COLUMNS
        )
        for method in methods
    ]
    return Table("", tuple(column.heading for column in COLUMNS), rows, words)


def _print_methods(methods: list[MethodRecord], console: Console) -> None:
    table = method_table(methods)
    styles = [
        [_STYLES[method_word(method)] if column is VERDICT else "" for column in COLUMNS]
        for method in methods
    ]
    show_table(table, console, ALWAYS, styles)
    for method in methods:
        if method.failure:
            name = shorten(method.name, _NAME_WIDTH)
            say(Text.assemble((name, "bold red"), f" failed: {plain(method.failure)}"), console)
    show_left_out(table, console, ALWAYS)


def _print_finding(finding: Finding, console: Console) -> None:
    console.print()
    text = Text.assemble((finding.severity, _STYLES[finding.severity]), f" {plain(finding.code)}  ")
    say(text.append(plain(finding.message)), console)
    words, command = advice(finding)
    say(words, console, indent=2)
    if command:
        show_command(command, console)


def _print_gates(gates: list[Gate], console: Console) -> None:
    if not gates:
        return
    console.print()
    for gate in gates:
        word = gate_text.word(gate)
        text = Text.assemble(f"{plain(gate_text.claim(gate))}  ", (word, _STYLES[word]))
        text.append(f" (from {plain(gate_text.source(gate))})", "dim")
        say(text, console)
        if reason := gate_text.reason(gate):
            say(reason, console, indent=2)
