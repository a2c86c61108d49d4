"""Objects with a state that no name stands for: functions that cache, random generators."""

from __future__ import annotations

import functools
import random
import sys
from typing import Any

import torch

_CACHE = type(functools.lru_cache(lambda: None))


def is_cache(x: Any) -> bool:
    """Whether it is a function that remembers what it returned."""
    return type(x) is _CACHE


def emptied(cache: Any) -> Any:
    """The same function, which remembers nothing yet."""
    return functools.lru_cache(**cache.cache_parameters())(cache.__wrapped__)


def is_generator(x: Any) -> bool:
    """Whether it draws random numbers: Python's, numpy's or torch's."""
    numpy: Any = sys.modules.get("numpy.random")
    kinds = (random.Random, torch.Generator, *([numpy.Generator] if numpy else []))
    return isinstance(x, kinds)


def state_of(generator: Any) -> Any:
    """What it goes on from."""
    if isinstance(generator, random.Random):
        return generator.getstate()
    if isinstance(generator, torch.Generator):
        return generator.get_state()
    return generator.bit_generator.state


def set_state(generator: Any, state: Any) -> None:
    """Go on from there."""
    if isinstance(generator, random.Random):
        generator.setstate(state)
    elif isinstance(generator, torch.Generator):
        generator.set_state(state)
    else:
        generator.bit_generator.state = state
