"""Bytes, counted from tensor storages: exact and repeatable, unlike a process's resident size."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from node_diag.measure.operations import Operations


class SavedBytes(saved_tensors_hooks):
    """Inside it, what autograd saves for backward is counted, each storage once.

    Attributes:
        peak: largest number of bytes saved at one time, those passed to :meth:`hold` included.
    """

    def __init__(self, existing: Iterable[Tensor]) -> None:
        """``existing`` tensors (the parameters) are there anyway and do not count."""
        self.peak = 0
        self._bytes = 0
        self._existing = {t.untyped_storage().data_ptr() for t in existing}
        self._users: dict[int, int] = {}
        self._held: list[_Saved] = []
        super().__init__(lambda tensor: _Saved(self, tensor), lambda saved: saved.tensor)

    def hold(self, tensors: Sequence[Tensor]) -> None:
        """Count tensors that a method keeps by itself, until the measurement ends."""
        self._held = [_Saved(self, tensor) for tensor in tensors]

    def added(self, key: int, size: int) -> None:
        """A tensor in this storage was saved."""
        if key in self._existing:
            return
        users = self._users.get(key, 0)
        self._users[key] = users + 1
        if not users:
            self._bytes += size
            self.peak = max(self.peak, self._bytes)

    def freed(self, key: int, size: int) -> None:
        """A saved tensor in this storage was let go."""
        if key in self._existing:
            return
        self._users[key] -= 1
        if not self._users[key]:
            del self._users[key]
            self._bytes -= size


class _Saved:
    """One saved tensor; its life is what is counted. Detached, so that it keeps no graph alive."""

    __slots__ = ("counter", "key", "size", "tensor")

    def __init__(self, counter: SavedBytes, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        self.counter = counter
        self.tensor = tensor.detach()
        self.key, self.size = storage.data_ptr(), storage.nbytes()
        counter.added(self.key, self.size)

    def __del__(self) -> None:
        self.counter.freed(self.key, self.size)


class LiveBytes(Operations):
    """Inside it, every storage that an operation makes is followed until it dies.

    Attributes:
        peak: largest number of bytes alive at one time, beyond what existed before.
    """

    def __init__(self, existing: Iterable[Tensor]) -> None:
        super().__init__()
        self.peak = 0
        self._bytes = 0
        self._known: dict[int, Any] = {_identity(t.untyped_storage()): None for t in existing}

    def done(self, func: Any, args: tuple[Any, ...], found: Any) -> None:
        """Follow what it made."""
        # Views as well: a tensor made by torch.tensor() shows up first in an operator that is one.
        if isinstance(found, Tensor):
            self._follow(found)
        elif isinstance(found, tuple | list):
            for item in found:
                if isinstance(item, Tensor):
                    self._follow(item)

    def _follow(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key = _identity(storage)
        if key in self._known:
            return
        size = storage.nbytes()
        self._known[key] = weakref.ref(storage, lambda _: self._forget(key, size))
        self._bytes += size
        self.peak = max(self.peak, self._bytes)

    def _forget(self, key: int, size: int) -> None:
        self._known.pop(key, None)
        self._bytes -= size


def _identity(storage: Any) -> int:
    """Address of the storage's C++ object; the data pointer of an empty one is shared."""
    return storage._cdata


def cuda_peak(device: torch.device) -> int:
    """Bytes the CUDA allocator had given out at most since its peak was reset."""
    return torch.cuda.max_memory_allocated(device)
