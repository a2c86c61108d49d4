"""Text of others, made inert."""

from __future__ import annotations

from node_diag.outputs.foreign import plain, shorten
from tests.unit.outputs import hostile


def test_ordinary_text_stays_as_it_is():
    text = "x″ = μ(1 − x²)x′, layers.0.weight, \u65e5\u672c"
    assert plain(text) == text


def test_terminal_escapes_become_visible():
    assert plain("\x1b[31m\x07\x9b") == r"\x1b[31m\x07\x9b"


def test_characters_that_reorder_a_line_become_visible():
    assert plain("\u202eevil") == r"\u202eevil"


def test_what_xml_forbids_becomes_visible():
    assert plain("a\x00b\ud800\ufffe") == r"a\x00b\ud800\ufffe"


def test_everything_is_one_line():
    assert plain("a\nb\tc\u00a0d") == "a b c d"
    assert all(text.isprintable() for text in map(plain, hostile.TEXTS))


def test_a_long_name_is_cut_and_says_so():
    assert shorten("x" * 10_000, 20) == "x" * 19 + "…"
    assert shorten("x" * 20, 20) == "x" * 20
