"""What a terminal is sent."""

import io
import sys

from rich.text import Text

from node_diag.streams import Streams


class Terminal(io.StringIO):
    def isatty(self):
        return True


def printed(monkeypatch, *, no_color):
    terminal = Terminal()
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr(sys, "stdout", terminal)
    Streams(no_color=no_color, quiet=True).out.print(Text("off", "bold red"))
    return terminal.getvalue()


def test_without_colours_there_is_neither_bold_nor_dim(monkeypatch):
    assert printed(monkeypatch, no_color=False) == "\x1b[1;31moff\x1b[0m\n"
    assert printed(monkeypatch, no_color=True) == "off\n"
