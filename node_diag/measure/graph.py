"""Depth of autograd graphs: the longest chain of nodes between some outputs and the leaves."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torch.autograd.graph import Node


class GraphDepth:
    """Watches the vjps of a backward pass.

    Attributes:
        total: sum over the vjps, one after another, of the longest path of each: how many nodes a
            cotangent passes through from the loss to z0.
        largest: longest path of a single graph, the depth alive at one time.
    """

    def __init__(self) -> None:
        self.total = 0
        self.largest = 0

    def __call__(self, outputs: Sequence[Tensor]) -> None:
        """Note the depth of a graph that is about to be walked."""
        depth = longest_path(outputs)
        self.total += depth
        self.largest = max(self.largest, depth)


def longest_path(outputs: Sequence[Tensor]) -> int:
    """Nodes on the longest path from any of the outputs; leaves do not count."""
    depth: dict[Node, int] = {}
    stack = [output.grad_fn for output in outputs if output.grad_fn is not None]
    roots = list(stack)
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
    return max((depth[root] for root in roots), default=0)
