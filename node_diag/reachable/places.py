"""Where a function, or what it uses, can keep something: names, and what they stand for."""

from __future__ import annotations

import inspect
import sys
import sysconfig
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from types import FunctionType, ModuleType
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from node_diag.reachable.caches import is_cache
from node_diag.reachable.containers import OWN
from node_diag.reachable.names import DEEPEST, held, is_data

MOST_INSIDE = 100
"""Entries of a container that is looked into further; one of more is data, or a cache itself."""

_STDLIB = sysconfig.get_paths()["stdlib"]

Names = dict[Any, Any]
MISSING = object()
_Read = Callable[[], Names]
_Write = Callable[[Names], None]


@dataclass
class Place:
    """Names and what they stand for: attributes, entries, the variables of a closure.

    Attributes:
        root: the module, function or object with which they go.
        owner: whose they are, if not its own.
        read, write: what they stand for now.
        then: what they stood for when this was made.
        are_buffers: they are written to in place, by a norm for one.
    """

    root: Any
    owner: Any
    read: _Read
    write: _Write
    are_buffers: bool = False
    then: Names = field(init=False)

    def __post_init__(self) -> None:
        self.then = self.read()

    def assigned(self) -> Names:
        """Names that stand for something else now; what they stood for, if they were there."""
        now = self.read()
        gone = {key: x for key, x in self.then.items() if key not in now}
        others = {key: x for key, x in now.items() if self.then.get(key, MISSING) is not x}
        return gone | {key: self.then.get(key, MISSING) for key in others}

    def restore(self, names: Names) -> None:
        """Let the names stand for that, unless they do; a container may refuse to be written to."""
        now = self.read()
        if now.keys() != names.keys() or any(now[key] is not x for key, x in names.items()):
            with suppress(Exception):
                self.write(names)

    def as_before(self, first: Names) -> None:
        """Take these names to have stood for that."""
        self.then = {key: x for key, x in (self.then | first).items() if x is not MISSING}


def places_of(func: Any) -> Iterator[Place]:
    """All that are found, those of parametrize.cached() too."""
    yield Place(func, parametrize, _read_parametrized, _write_parametrized)
    yield from _found(func, 0, set(), func)


def inside(thing: Any) -> list[tuple[str, Any]]:
    """What something holds, unless that is data."""
    if isinstance(thing, list | tuple | dict) and len(cast("list[Any]", thing)) > MOST_INSIDE:
        return []
    return held(thing)


def _found(thing: Any, depth: int, seen: set[int], root: Any) -> Iterator[Place]:
    if isinstance(thing, Tensor | ModuleType | type) or id(thing) in seen:
        return
    seen.add(id(thing))
    if isinstance(thing, nn.Module):
        for part in thing.modules():
            yield from _of_module(part, seen)
    elif depth <= DEEPEST and not is_data(thing):
        if isinstance(thing, FunctionType):
            root = thing
            yield from _variables(thing)
        elif isinstance(thing, dict | list):
            yield Place(root, thing, *_entries(cast("Names", thing)))
        else:
            yield from _of_object(thing, seen, root)
        for _, value in inside(thing):
            yield from _found(value, depth + 1, seen, root)


def _of_module(part: nn.Module, seen: set[int]) -> Iterator[Place]:
    """Without those of modules in it."""
    if isinstance(part, torch.jit.ScriptModule):
        return
    seen.add(id(part))
    buffers = vars(part)["_buffers"]
    yield Place(part, part, *_entries(vars(part), OWN))
    yield Place(part, buffers, *_entries(buffers), are_buffers=True)
    yield from _of_class(part, seen)
    for name, value in list(vars(part).items()):
        if name not in OWN:
            yield from _found(value, 1, seen, part)


def _of_object(thing: Any, seen: set[int], root: Any) -> Iterator[Place]:
    if isinstance(getattr(thing, "__dict__", None), dict):
        yield Place(root, thing, *_entries(vars(thing)))
    if slots := [name for kind in type(thing).__mro__ for name in vars(kind).get("__slots__", ())]:

        def read() -> Names:
            return {name: getattr(thing, name) for name in slots if hasattr(thing, name)}

        def write(names: Names) -> None:
            for name in slots:
                if name in names:
                    setattr(thing, name, names[name])
                elif hasattr(thing, name):
                    delattr(thing, name)

        yield Place(root, (thing, "slots"), read, write)
    yield from _of_class(thing, seen)


def _of_class(thing: Any, seen: set[int]) -> Iterator[Place]:
    """Attributes of its class and its bases, and what their methods name; not of libraries."""
    for kind in type(thing).__mro__:
        if id(kind) in seen or not _is_own(kind):
            continue
        seen.add(id(kind))
        yield Place(kind, kind, *_class_attributes(kind))
        for value in list(vars(kind).values()):
            function = value.__wrapped__ if is_cache(value) else value
            if isinstance(function, FunctionType):
                yield from _found(function, 1, seen, kind)
            elif not callable(value):
                yield from _found(value, 1, seen, kind)


def _is_own(kind: type) -> bool:
    """Whether a class was written by whoever uses us, not by a library."""
    module = sys.modules.get(kind.__module__)
    file = getattr(module, "__file__", None)
    if file is None:
        return kind.__module__ == "__main__"
    return "-packages" not in file and not file.startswith(_STDLIB)


def _class_attributes(kind: type) -> tuple[_Read, _Write]:
    """Values, and functions that cache."""

    def read() -> Names:
        return {
            name: x
            for name, x in vars(kind).items()
            if not name.startswith("__")
            and (is_cache(x) or not (callable(x) or hasattr(x, "__get__")))
        }

    def write(names: Names) -> None:
        for name in read().keys() - names.keys():
            delattr(kind, name)
        for name, value in names.items():
            setattr(kind, name, value)

    return read, write


def _variables(function: FunctionType) -> Iterator[Place]:
    """Those of its closure, and the globals that it names."""
    cells = dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True))

    def read() -> Names:
        filled: Names = {}
        for name, cell in cells.items():
            try:
                filled[name] = cell.cell_contents
            except ValueError:  # not assigned yet
                continue
        return filled

    def write(names: Names) -> None:
        for name, value in names.items():
            cells[name].cell_contents = value

    if cells:
        yield Place(function, function, read, write)
    around = function.__globals__
    named = inspect.getclosurevars(function).globals.keys()
    if named:
        yield Place(
            function,
            around,
            lambda: {name: around[name] for name in named if name in around},
            around.update,
        )


def _read_parametrized() -> Names:
    return dict(vars(parametrize)["_cache"])


def _write_parametrized(names: Names) -> None:
    setattr(parametrize, "_cache", dict(names))  # noqa: B010 - it has no other door


def _entries(
    thing: Names | list[Any], others: frozenset[str] = frozenset()
) -> tuple[_Read, _Write]:
    """How those of a dict or list are read and written, without some others."""

    def read() -> Names:
        if isinstance(thing, list):
            return dict(enumerate(thing))
        return {key: x for key, x in thing.items() if key not in others}

    def write(names: Names) -> None:
        if isinstance(thing, list):
            thing[:] = names.values()
            return
        for key in thing.keys() - names.keys() - others:
            del thing[key]
        for key, value in names.items():
            if thing.get(key, MISSING) is not value:
                thing[key] = value

    return read, write
