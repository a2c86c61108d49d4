"""Cells that workers compute; not in the module that is run, which they could not import."""

from __future__ import annotations

import time
from typing import Any


def waits(seconds: float, n: int) -> dict[str, Any]:
    """A cell that computes on a core of its own, as seen from here."""
    time.sleep(seconds)
    return {"n": n}


def computes(n: int, **arguments: Any) -> dict[str, Any]:
    """A cell of a sweep."""
    from node_diag.sweep import measure

    return {"n": n, **measure.counts(**arguments)}
