"""Other tensors in the place of given ones: closed over by functions, or moved with a module."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Mapping
from typing import Any, Self, cast

import torch
from torch import Tensor, nn
from torch.autograd import Function
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

    def __enter__(self) -> Self:
        """Also for functions with a backward formula of their own, which no mode is told of."""
        self._apply: Any = Function.__dict__["apply"]
        inner, swap = self._apply.__func__, self._swap

        def apply(cls: type[Function], *args: Any, **kwargs: Any) -> Any:
            return inner(cls, *swap(args), **swap(kwargs))

        cast("Any", Function).apply = classmethod(apply)
        return super().__enter__()

    def __exit__(self, *error: object) -> None:
        """Leave everything as it was."""
        cast("Any", Function).apply = self._apply
        super().__exit__(*error)

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


def tensors_of(module: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers by name, tied ones under each of theirs."""
    return dict(module.named_parameters(remove_duplicate=False)) | dict(
        module.named_buffers(remove_duplicate=False)
    )


def copied(module: nn.Module, memo: dict[int, Any] | None = None) -> nn.Module:
    """A deep copy, its parameters leaves that require a gradient where those of the module do.

    A scripted module's copies remember the originals, or forget that they are to be differentiated.
    """
    found = copy.deepcopy(module, memo)
    given = dict(module.named_parameters())
    for name, p in found.named_parameters():
        if (own := given.get(name)) is None or own is p:  # a copy that shares them
            continue
        if not p.is_leaf:
            p.detach_()
        p.requires_grad_(own.requires_grad)
    return found


def move(module: nn.Module, dtype: torch.dtype, device: torch.device) -> None:
    """Module.to, which would drop the imaginary parts of complex buffers."""
    complexes = {name: b for name, b in module.named_buffers() if b.is_complex()}
    kept = {name: b.to(dtype=like(b, dtype), device=device) for name, b in complexes.items()}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Casting complex values to real")
        warnings.filterwarnings("ignore", message="Complex modules are a new feature")
        module.to(dtype=dtype, device=device)
    for name, b in kept.items():
        owner, _, attribute = name.rpartition(".")
        setattr(module.get_submodule(owner), attribute, b)


def like(x: Tensor, dtype: torch.dtype) -> torch.dtype:
    """The precision ``dtype`` for what is real, the complex one like it, or none for integers."""
    if x.is_complex():
        return torch.complex64 if dtype == torch.float32 else torch.complex128
    return dtype if x.is_floating_point() else x.dtype


def elsewhere(x: Tensor, dtype: torch.dtype, device: torch.device) -> Tensor:
    """A copy in another precision (of what is not an integer) or on another device."""
    moved = x.detach().to(dtype=like(x, dtype), device=device, copy=True)
    return moved.requires_grad_(x.requires_grad)
