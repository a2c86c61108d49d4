"""stdout for the result, stderr for everything else, and whether either takes colours."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import IO, TextIO

from rich.console import Console
from rich.status import Status

WIDE = 160
"""Columns where the output is no terminal."""


class Patient(Console):
    """A console that goes on when nobody reads any more: ``check … | head`` keeps its exit code."""

    def on_broken_pipe(self) -> None:
        """Say no more."""
        self.quiet = True
        unread(self.file)


def unread(stream: IO[str]) -> None:
    """Send what else is written to a closed pipe nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


class Streams:
    """The two streams of a command. Colour: flag > NO_COLOR > FORCE_COLOR > terminal."""

    def __init__(self, *, no_color: bool, quiet: bool) -> None:
        self.quiet = quiet
        self.out = _console(sys.stdout, no_color)
        self.err = _console(sys.stderr, no_color)

    def note(self, text: str) -> None:
        """One line on stderr, unless quiet."""
        if not self.quiet:
            self.err.print(text, markup=False, highlight=False, soft_wrap=True)

    @contextmanager
    def progress(self) -> Generator[Progress]:
        """A line on stderr that says which stage is running."""
        status = Progress(self)
        try:
            yield status
        finally:
            status.stop()


class Progress:
    """Called with the name of each stage; a spinner on a terminal, a line each elsewhere."""

    def __init__(self, streams: Streams) -> None:
        self.stage = "starting"
        self._streams = streams
        self._status: Status | None = None
        if not streams.quiet and streams.err.is_terminal:
            self._status = streams.err.status("starting")
            self._status.start()

    def __call__(self, stage: str) -> None:
        """Show that a stage begins."""
        self.stage = stage
        if self._status is not None:
            self._status.update(stage)
        else:
            self._streams.note(f"… {stage}")

    def stop(self) -> None:
        """Take the display away."""
        if self._status is not None:
            self._status.stop()


def _console(stream: TextIO, no_color: bool) -> Console:
    # A pipe has no width; rich would take 80 columns and drop some of the table.
    width = None if stream.isatty() or os.environ.get("COLUMNS") else WIDE
    plain = no_color or bool(os.environ.get("NO_COLOR"))
    forced = False if plain and not stream.isatty() else None
    return Patient(  # without a colour system there is neither bold nor dim
        file=stream, color_system=None if plain else "auto", no_color=plain or None,
        force_terminal=forced, highlight=False, width=width,
    )  # fmt: skip
