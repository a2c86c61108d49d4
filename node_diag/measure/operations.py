"""Every operation of torch, seen as it is done."""

from __future__ import annotations

import sys
from typing import Any, Self

import torch
from torch.utils._python_dispatch import TorchDispatchMode


class Operations(TorchDispatchMode):
    """Inside it, :meth:`done` is told of every operation."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Without this, the first operation imports torch._dynamo: over a second, for nothing."""
        return False

    def __enter__(self) -> Self:
        """As any mode; a compiler that is there already is told to leave this one alone."""
        mode: Any = Operations
        if "torch._dynamo" in sys.modules and not mode.is_skipped:
            mode.__torch_dispatch__ = torch.compiler.disable(mode.__torch_dispatch__)
            mode.is_skipped = True
        return super().__enter__()

    is_skipped = False
    """Whether the compiler has been told."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        given = self.given(func, args)
        found = func(*args, **kwargs) if kwargs else func(*args)
        self.done(func, given, found)
        return found

    def given(self, func: Any, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """What :meth:`done` is told the operation was given, before it is done."""
        return args

    def done(self, func: Any, args: tuple[Any, ...], found: Any) -> None:
        """An operation was done: the operator, its positional arguments, what it returned."""
        raise NotImplementedError
