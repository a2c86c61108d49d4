"""The vector–Jacobian product every backward pass goes through, and where it can be watched."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor

from node_diag.errors import BackwardError, reraise_interrupt, said

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
    products = derivatives(total, inputs)
    return [
        torch.zeros_like(x) if product is None else product
        for x, product in zip(inputs, products, strict=True)
    ]


def derivatives(
    scalar: Tensor,
    inputs: Sequence[Tensor],
    *,
    retain_graph: bool = False,
    create_graph: bool = False,
) -> list[Tensor | None]:
    """∂scalar/∂input for every input, None where there is no dependence.

    Raises:
        BackwardError: autograd could not go backward through f or the loss.
    """
    try:
        found = torch.autograd.grad(
            scalar,
            inputs,
            retain_graph=retain_graph or create_graph,
            create_graph=create_graph,
            allow_unused=True,
        )
    except BaseException as error:
        reraise_interrupt(error)
        raise BackwardError(f"backward through f or the loss raised {said(error)}") from error
    given = cast("tuple[Tensor | None, ...]", found)
    return [g.to_dense() if g is not None and g.is_sparse else g for g in given]


@contextmanager
def watching(watcher: Watcher) -> Generator[None]:
    """Inside it, ``watcher`` sees the outputs of every vjp before its graph is freed."""
    _watchers.append(watcher)
    try:
        yield
    finally:
        _watchers.remove(watcher)


@contextmanager
def watched() -> Generator[None]:
    """Inside it, watchers also see the backward passes that a library starts by itself."""
    if not _watchers:
        yield
        return
    plain = torch.autograd.grad

    def grad(outputs: Sequence[Tensor] | Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, ...]:
        live = [outputs] if isinstance(outputs, Tensor) else list(outputs)
        for watch in _watchers:
            watch([x for x in live if x.requires_grad])
        return plain(outputs, *args, **kwargs)

    torch.autograd.grad = grad
    try:
        yield
    finally:
        torch.autograd.grad = plain
