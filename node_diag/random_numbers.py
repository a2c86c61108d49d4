"""The random numbers of whoever calls us, which go on as if nothing had happened."""

from __future__ import annotations

import random
import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import torch


@contextmanager
def kept() -> Generator[None]:
    """Inside it, torch's (on every device in use), Python's and numpy's may be drawn."""
    drawn = random.getstate()
    numpy: Any = sys.modules.get("numpy.random")  # not imported: nobody has drawn from it
    legacy = numpy.get_state() if numpy else None
    # Named, or torch warns that there are many; and what is not in use is not to be woken up.
    count = torch.cuda.device_count() if torch.cuda.is_initialized() else 0
    try:
        with torch.random.fork_rng(devices=range(count)):
            yield
    finally:
        random.setstate(drawn)
        if legacy is not None:
            numpy.set_state(legacy)


def state() -> tuple[Any, ...]:
    """What is equal before and after something that draws none of them."""
    numpy: Any = sys.modules.get("numpy.random")
    legacy = numpy.get_state(legacy=True) if numpy else ()
    devices = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
    return (
        random.getstate(),
        *(x.tobytes() if hasattr(x, "tobytes") else x for x in legacy),
        *(x.numpy().tobytes() for x in (torch.get_rng_state(), *devices)),
    )
