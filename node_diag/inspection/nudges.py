"""Moving tensors a little, for a while: states and parameters that f is evaluated at."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor


@contextmanager
def moved(tensors: Sequence[Tensor], lines: Sequence[Tensor]) -> Generator[None]:
    """The tensors plus the lines, for a while; they come back to the last bit."""
    before = [x.detach().clone() for x in tensors]
    with torch.no_grad():
        for x, line in zip(tensors, lines, strict=True):
            x.add_(line)
    try:
        yield
    finally:
        with torch.no_grad():
            for x, old in zip(tensors, before, strict=True):
                x.copy_(old)


def line(sizes: Tensor, seed: int = 0) -> Tensor:
    """A random direction: half to one and a half times each size, up or down.

    Whatever depends on one of the entries changes along it, with probability one.
    """
    generator = torch.Generator().manual_seed(seed)
    signed = 2 * torch.rand(sizes.shape, generator=generator, dtype=torch.float64) - 1
    return (sizes * (signed + 0.5 * signed.sign())).to(sizes)


def own_size(x: Tensor) -> Tensor:
    """|x|; the largest of them where it is zero, and one where all are."""
    size = x.detach().abs()
    return torch.where(size > 0, size, (size.max() if size.numel() else size.sum()) or 1.0)
