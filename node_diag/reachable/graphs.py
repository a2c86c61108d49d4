"""Where the graph of a tensor ends."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import Tensor


def sources_of(tensor: Tensor, known: Iterable[Tensor] = ()) -> dict[int, Tensor]:
    """The leaves it was computed from, or ``known`` tensors on the way, by identity."""
    return ends_of([tensor], known)


def ends_of(tensors: Iterable[Tensor], known: Iterable[Tensor]) -> dict[int, Tensor]:
    """Where the graphs of some tensors end: in leaves, or in ``known`` tensors before."""
    found: dict[int, Tensor] = {}
    # One node may have several outputs, as that of chunk() has.
    on_the_way = {(x.grad_fn, x.output_nr): x for x in known if x.grad_fn is not None}
    edges: list[tuple[Any, int]] = [(x.grad_fn, x.output_nr) for x in tensors]
    seen: set[Any] = set()
    while edges:
        node, output = edges.pop()
        if (on_it := on_the_way.get((node, output))) is not None:
            found[id(on_it)] = on_it
            continue
        if node is None or node in seen:
            continue
        seen.add(node)
        if (leaf := getattr(node, "variable", None)) is not None:
            found[id(leaf)] = leaf
        edges += node.next_functions
    return found
