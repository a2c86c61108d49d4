"""A float32 function in float64: also the tensors it makes, casts and closes over.

A copy of a module in float64 has float64 parameters and buffers. What its forward makes without a
dtype, casts by ``.float()``, or holds as a plain tensor stays float32, which then either raises or
rounds. While :func:`in_precision` is entered, all of that is float64 as well, so that the function
is the same one with more digits.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

LOW, HIGH = torch.float32, torch.float64


class _Promoting(TorchFunctionMode):
    """Every operation with float64 in the place of float32."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if func is Tensor.float:
            return args[0].double()
        if _is_high(args) and not (kwargs and not _is_high(kwargs.values())):  # as nearly all are
            return func(*args, **(kwargs or {}))
        name = getattr(func, "__name__", "")
        kept = 1 if name.endswith("_") and not name.endswith("__") else 0  # what it is done to
        high = any(isinstance(x, Tensor) and x.dtype == HIGH for x in _flat(args))
        args = (*args[:kept], *(_promoted(x, high) for x in args[kept:]))
        return func(*args, **{key: _promoted(x, high) for key, x in (kwargs or {}).items()})


def _is_high(args: Iterable[Any]) -> bool:
    """Whether nothing in there is float32."""
    for x in args:
        if isinstance(x, Tensor):
            if x.dtype is LOW:
                return False
        elif x is LOW or (isinstance(x, list | tuple) and not _is_high(x)):
            return False
    return True


def _flat(args: Any) -> Generator[Any]:
    for x in args:
        if isinstance(x, list | tuple):
            yield from _flat(x)
        else:
            yield x


def _promoted(x: Any, high: bool) -> Any:
    """A float32 tensor beside a float64 one, and the dtype by itself, in float64."""
    if isinstance(x, Tensor):
        return x.double() if high and x.dtype == LOW else x
    if x is LOW:
        return HIGH
    if type(x) in (list, tuple):
        return type(x)(_promoted(one, high) for one in x)
    return x


@contextmanager
def in_precision(dtype: torch.dtype | None) -> Generator[None]:
    """Functions called inside compute in this dtype; None leaves them as they are."""
    before = torch.get_default_dtype()
    if dtype is None:
        yield
        return
    torch.set_default_dtype(dtype)
    try:
        if dtype == HIGH:
            with _Promoting():
                yield
        else:
            yield
    finally:
        torch.set_default_dtype(before)
