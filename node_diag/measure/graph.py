"""Depth of autograd graphs: the longest chain of nodes between some outputs and the leaves."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torch.autograd.graph import Node

DEEP = 2_000
"""Depth up to which a graph may be taken down by recursion, a few stack frames for each node."""


class GraphDepth:
    """Watches the vjps of a backward pass.

    Looking at a node from Python gives it a Python object, and a chain of such nodes is taken down
    by recursion: one of forty thousand overflows the stack. So the nodes of a deep graph are kept
    until :meth:`release`, which lets go of them one after another.

    Attributes:
        total: sum over the vjps, one after another, of the longest path of each: how many nodes a
            cotangent passes through from the loss to z0.
        largest: longest path of a single graph, the depth alive at one time.
    """

    def __init__(self) -> None:
        self.total = 0
        self.largest = 0
        self._kept: list[dict[Node, int]] = []

    def __call__(self, outputs: Sequence[Tensor]) -> None:
        """Note the depth of a graph that is about to be walked."""
        depths = _depths(outputs)
        depth = max(depths.values(), default=0)
        self.total += depth
        self.largest = max(self.largest, depth)
        if depth > DEEP:
            self._kept.append(depths)

    def release(self) -> None:
        """Let go of the graphs, when nothing else holds them any more."""
        for depths in self._kept:
            while depths:  # the last one in comes before all that are below it
                depths.popitem()
        self._kept.clear()


def longest_path(outputs: Sequence[Tensor]) -> int:
    """Nodes on the longest path from any of the outputs; leaves do not count."""
    return max(_depths(outputs).values(), default=0)


def _depths(outputs: Sequence[Tensor]) -> dict[Node, int]:
    """Longest path from every node down, every node after all that are below it."""
    depth: dict[Node, int] = {}
    stack = [output.grad_fn for output in outputs if output.grad_fn is not None]
    while stack:
        node = stack[-1]
        if node in depth:
            stack.pop()
            continue
        below = [
            child for child, _ in node.next_functions if child is not None and child.next_functions
        ]
        missing = [child for child in below if child not in depth]
        if missing:
            stack.extend(missing)
            continue
        depth[node] = 1 + max((depth[child] for child in below), default=0)
        stack.pop()
    return depth
