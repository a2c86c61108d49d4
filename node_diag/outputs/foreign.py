"""Text that others wrote (names, messages, paths) made inert and short enough to show.

Every output escapes for its own format; what is the same for all of them is here: characters that
move the cursor, reorder a line or are not allowed in XML become visible escapes.
"""

from __future__ import annotations

import unicodedata

_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
ELLIPSIS = "…"
NAME_WIDTH = 32
"""Longest name in a plot or a terminal; tables in files keep names whole."""


def plain(text: str) -> str:
    r"""``text`` on one line, every control and formatting character as an escape such as ``\x1b``.

    Spaces of any kind and line breaks become one space each.
    """
    return "".join(_visible(c) for c in text) if not text.isprintable() else text


def _visible(c: str) -> str:
    if c in "\n\r\t" or unicodedata.category(c) == "Zs":
        return " "
    if unicodedata.category(c) in _INVISIBLE:
        return c.encode("unicode_escape").decode("ascii")
    return c


def shorten(text: str, width: int = NAME_WIDTH) -> str:
    """``text`` made plain and cut to ``width`` characters, the last one ``…`` if it was cut."""
    # Only what is shown is looked at: a name may be a megabyte.
    shown = plain(text[: width + 1])
    return shown if len(shown) <= width else shown[: width - 1].rstrip() + ELLIPSIS
