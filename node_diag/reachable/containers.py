"""Tensors that a module holds besides its parameters: as attributes, buffers, in lists or dicts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

OWN = frozenset(vars(nn.Module()))
"""What every module has."""


def tensors_in(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Them and their names, ``ctx`` or ``ctx[0]`` or ``ctx[key]``; not those of modules in it."""
    own = {name: value for name, value in vars(module).items() if name not in OWN}
    for name, value in (own | dict(module.named_buffers(recurse=False))).items():
        for key, item in _items(value):
            if isinstance(item, Tensor) and "." not in str(key):  # no name of a parameter has one
                yield (name if key is None else f"{name}[{key}]"), item


def _items(value: Any) -> list[tuple[Any, Any]]:
    if isinstance(value, dict):
        return list(value.items())
    if isinstance(value, list):
        return list(enumerate(value))
    return [(None, value)]


def fill_from_parameters(module: nn.Module, path: str, name: str) -> None:
    """Have ``ctx[key]`` of a module in it read the parameter of that name at every call.

    Args:
        module: what is called.
        path: of the module in it that holds the list or dict, whose parameter it is.
        name: ``ctx[key]``.
    """
    attribute = name[: name.index("[")]
    container = getattr(module.get_submodule(path), attribute)
    key = next(key for key, _ in _items(container) if f"{attribute}[{key}]" == name)
    place = _Place(path, attribute, key, name)
    module.register_forward_pre_hook(place.fill)
    # What was there may be a tensor of torch.func's, which is nobody's once the call is over.
    module.register_forward_hook(place.clear, always_call=True)


@dataclass(frozen=True)
class _Place:
    """An entry of a list or dict, told by where it is, so that copies of the module have it too."""

    path: str
    attribute: str
    key: Any
    parameter: str

    def fill(self, module: nn.Module, _args: Any) -> None:
        """Before a call."""
        owner = module.get_submodule(self.path)
        getattr(owner, self.attribute)[self.key] = getattr(owner, self.parameter)

    def clear(self, module: nn.Module, _args: Any, _value: Any) -> None:
        """After it."""
        getattr(module.get_submodule(self.path), self.attribute)[self.key] = None
