"""Results on stdout, in the format asked for, and for the CI system that runs the command."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from node_diag.commands.options import Format

if TYPE_CHECKING:
    from node_diag.records import Report
    from node_diag.streams import Streams


def patiently(write: Callable[[], None]) -> None:
    """Write to stdout; a reader that is gone changes nothing, since the exit code still counts."""
    try:
        write()
        sys.stdout.flush()
    except BrokenPipeError:
        from node_diag.streams import unread

        unread(sys.stdout)


def print_report(report: Report, output_format: Format, streams: Streams) -> None:
    """One report on stdout."""
    patiently(lambda: _print(report, output_format, streams))


def print_lines(lines: Iterable[str]) -> None:
    """Lines on stdout."""
    patiently(lambda: sys.stdout.writelines(f"{line}\n" for line in lines))


def print_folder(what: str, folder: Path, output_format: Format, streams: Streams) -> None:
    """Where it was written: a result like the others, so that ``-q`` leaves it alone.

    In the formats that a program reads it is told beside them.
    """
    if output_format is Format.table:
        print_lines(["", f"{what}: {folder}"])
    else:
        streams.note(f"{what}: {folder}")


def markdown(report: Report) -> str:
    """report.md as text."""
    from node_diag.registry import OUTPUTS

    (text,) = OUTPUTS.load("md").render(report).values()
    return text.decode()


def _print(report: Report, output_format: Format, streams: Streams) -> None:
    if output_format is Format.json:
        sys.stdout.write(report.to_json())
    elif output_format is Format.markdown:
        sys.stdout.write(markdown(report))
    elif output_format is Format.github:
        from node_diag.outputs.github import annotate

        sys.stdout.writelines(f"{line}\n" for line in annotate(report))
    else:
        from node_diag.outputs import terminal

        terminal.print_report(report, streams.out)


def in_github_actions() -> bool:
    """Whether this is a step of a GitHub workflow."""
    return os.environ.get("GITHUB_ACTIONS") == "true"


def add_to_step_summary(text: str, streams: Streams) -> None:
    """Append Markdown to the summary page of a GitHub workflow; what is there already stays."""
    path = os.environ.get("GITHUB_STEP_SUMMARY")
    if not path:
        return
    try:
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(f"{text}\n")
    except OSError as error:
        streams.err.print(
            f"warning: cannot write to the step summary '{path}': {error.strerror}",
            markup=False,
            soft_wrap=True,
        )


def open_page(page: Path, streams: Streams) -> None:
    """Show a page in the browser; that there is none is no failure."""
    import webbrowser

    if not page.is_file():
        sentence = f"there is no {page} to open; add html to --report"
    elif _opened(webbrowser.open, page.absolute().as_uri()):
        return
    else:
        sentence = f"no browser could be started; open {page} yourself"
    streams.err.print(sentence, markup=False, soft_wrap=True)


def _opened(open_: Callable[[str], bool], address: str) -> bool:
    try:
        return open_(address)
    except Exception:  # webbrowser.Error, and whatever starting a program can raise
        return False
