"""The vector–Jacobian product every backward pass goes through, and where it can be watched."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

Watcher = Callable[[Sequence[Tensor]], None]

_watchers: list[Watcher] = []


def vjp(
    outputs: Sequence[Tensor], inputs: Sequence[Tensor], cotangents: Sequence[Tensor]
) -> list[Tensor]:
    """Σ_k cotangent_kᵀ ∂output_k/∂input_i for every input; zeros where there is no dependence."""
    pairs = [
        (output, cotangent)
        for output, cotangent in zip(outputs, cotangents, strict=True)
        if output.requires_grad
    ]
    if not pairs:
        return [torch.zeros_like(x) for x in inputs]
    live, weights = zip(*pairs, strict=True)
    for watch in _watchers:
        watch(live)
    # A scalar, not grad_outputs: checking those, torch imports sympy on its first backward pass.
    with torch.enable_grad():
        parts = [
            torch.dot(o.reshape(-1), w.reshape(-1)) for o, w in zip(live, weights, strict=True)
        ]
        total = parts[0] if len(parts) == 1 else torch.stack(parts).sum()
    products = torch.autograd.grad(total, inputs, allow_unused=True)
    return [
        torch.zeros_like(x) if product is None else product
        for x, product in zip(inputs, products, strict=True)
    ]


@contextmanager
def watching(watcher: Watcher) -> Iterator[None]:
    """Inside it, ``watcher`` sees the outputs of every vjp before its graph is freed."""
    _watchers.append(watcher)
    try:
        yield
    finally:
        _watchers.remove(watcher)
