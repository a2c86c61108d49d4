"""Other tensors in the place of given ones, inside functions that close over them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

from torch import Tensor
from torch.overrides import TorchFunctionMode


class Substitute(TorchFunctionMode):
    """Inside it, every torch call sees other tensors in the place of some given ones.

    It gives a plain function over closed-over tensors what functional_call gives a module.

    Args:
        table: pairs (tensor as it is closed over, its replacement).
    """

    def __init__(self, table: list[tuple[Tensor, Tensor]]) -> None:
        super().__init__()
        self._originals = [original for original, _ in table]  # alive, so that ids stay theirs
        self._table = {id(original): replacement for original, replacement in table}

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        return func(*self._swap(args), **self._swap(kwargs or {}))

    def _swap(self, value: Any) -> Any:
        if isinstance(value, Tensor):
            return self._table.get(id(value), value)
        if isinstance(value, tuple | list):
            return type(cast("list[Any]", value))(self._swap(item) for item in value)
        if isinstance(value, dict):
            return {key: self._swap(item) for key, item in cast("dict[Any, Any]", value).items()}
        return value


def substituted(
    function: Callable[..., Any], originals: Mapping[str, Tensor], others: Mapping[str, Tensor]
) -> Callable[..., Any]:
    """``function`` with ``others`` wherever it uses the tensor of that name in ``originals``."""
    table = [(originals[name], other) for name, other in others.items()]

    def call(*args: Any) -> Any:
        with Substitute(table):
            return function(*args)

    return call
