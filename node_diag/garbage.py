"""Work without the garbage collector, which walks all of torch every time it runs."""

from __future__ import annotations

import gc
from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def uncollected(*, if_small: bool = True) -> Generator[None]:
    """No search for reference cycles meanwhile.

    Graphs and drawings are many small objects: the searches they cause take a twentieth of a check
    and half of a report.

    Args:
        if_small: whether all that is made meanwhile may stay in memory.
    """
    was_enabled = gc.isenabled()
    if if_small:
        gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
