"""What f holds, remembered, so that it can be as it was: attributes, buffers, caches, closures."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from types import FunctionType, ModuleType
from typing import Any, cast

import torch
from torch import Tensor, nn

from node_diag.reachable.containers import OWN
from node_diag.reachable.names import DEEPEST, held, is_data, own_forward, reached

MOST_KNOWN = 1_000
"""Owners of names whose first values are remembered."""
MOST_INSIDE = 100
"""Entries of a container that is looked into further; one of more is data, or a cache itself."""

Names = dict[Any, Any]


@dataclass
class Place:
    """Names and what they stand for: attributes, entries, the variables of a closure.

    Attributes:
        owner: whose they are.
        read, write: what they stand for now.
        then: what they stood for when this was made.
        are_buffers: they are written to in place, by a norm for one.
    """

    owner: Any
    read: Callable[[], Names]
    write: Callable[[Names], None]
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


MISSING = object()


class Before:
    """What a function and the modules it uses hold beside their parameters, as it is now.

    Nothing is copied but names: what is changed in place later is taken as it is then.
    """

    def __init__(self, func: Any) -> None:
        self.places: list[Place] = []
        with suppress(Exception):  # what it uses may do anything when it is looked at
            self.places.extend(_places(func, 0, set()))
        self._versions = [(x, _version(x)) for x in self._tensors()]

    def is_same(self) -> bool:
        """Whether nothing was assigned or changed in place since."""
        return not self._written() and not any(place.assigned() for place in self.places)

    def has_new_graphs(self) -> bool:
        """Whether something came since through which a gradient flows."""
        new = [place.read().get(key) for place in self.places for key in place.assigned()]
        return any(x.requires_grad for thing in new for x in _tensors_in(thing, 0))

    def restore(self) -> None:
        """Let the names stand for what they stood for."""
        for place in self.places:
            place.restore(place.then)

    @contextmanager
    def again(self) -> Generator[None]:
        """Inside it, they hold what they held; what is done to that is forgotten."""
        written = set(map(id, self._written()))
        memo: dict[int, Tensor] = {}

        def own(x: Any, *, is_buffer: bool) -> Any:
            if not isinstance(x, Tensor) or x.requires_grad or not (is_buffer or id(x) in written):
                return x
            return memo.setdefault(id(x), x.clone())

        now = [place.read() for place in self.places]
        try:
            for place in self.places:
                then = {k: own(x, is_buffer=place.are_buffers) for k, x in place.then.items()}
                place.restore(then)
            yield
        finally:
            for place, was in zip(self.places, now, strict=True):
                place.restore(was)

    def _tensors(self) -> Iterator[Tensor]:
        yield from (x for p in self.places for x in p.then.values() if isinstance(x, Tensor))

    def _written(self) -> list[Tensor]:
        return [x for x, version in self._versions if _version(x) != version]


class FirstValues:
    """What stood in the place of all that evaluations have assigned, over many solves.

    What is assigned between them (the context of the next batch) is none of f's doing.
    """

    def __init__(self) -> None:
        self._known: dict[int, tuple[Any, Names]] = {}

    @contextmanager
    def solving(self, func: Any) -> Generator[Before]:
        """Inside it, func is evaluated; gives what it held before it first was."""
        before, now = Before(func), Before(func)
        for place in before.places:
            if id(place.owner) in self._known:
                place.as_before(self._known[id(place.owner)][1])
        try:
            yield before
        finally:
            for place in now.places:
                if (assigned := place.assigned()) and len(self._known) < MOST_KNOWN:
                    owner, first = self._known.get(id(place.owner), (place.owner, Names()))
                    self._known[id(owner)] = owner, assigned | first


@contextmanager
def untouched(func: Any) -> Generator[None]:
    """Inside it, what a function uses may assign what it likes, and change buffers, as a norm."""
    modules = [thing for _, thing in reached(func, "") if isinstance(thing, nn.Module)]
    buffers = [(b, b.detach().clone()) for module in modules for b in module.buffers()]
    before = Before(func)
    try:
        yield
    finally:
        before.restore()
        for buffer, was in buffers:
            if not torch.equal(buffer, was):
                buffer.data.copy_(was)  # not an operation that a graph would notice


def _version(x: Tensor) -> int:
    return 0 if x.is_inference() else x._version


def _tensors_in(thing: Any, depth: int) -> Iterator[Tensor]:
    """Those in a value, in the entries of a container, in the attributes of an object."""
    if isinstance(thing, Tensor):
        yield thing
    elif depth <= DEEPEST and not isinstance(thing, nn.Module | ModuleType | type):
        for _, value in _inside(thing):
            yield from _tensors_in(value, depth + 1)


def _places(thing: Any, depth: int, seen: set[int]) -> Iterator[Place]:
    """Where a function, or what it uses, can keep something."""
    if isinstance(thing, Tensor | ModuleType | type) or id(thing) in seen:
        return
    seen.add(id(thing))
    if isinstance(thing, nn.Module):
        for part in thing.modules():
            yield from _places_of(part, seen)
    elif depth <= DEEPEST and not is_data(thing):
        if isinstance(thing, FunctionType):
            yield from _variables(thing)
        elif isinstance(thing, dict | list):
            yield Place(thing, *_entries(cast("dict[Any, Any]", thing)))
        elif isinstance(getattr(thing, "__dict__", None), dict):
            yield Place(thing, *_entries(vars(thing)))
        for _, value in _inside(thing):
            yield from _places(value, depth + 1, seen)


def _inside(thing: Any) -> list[tuple[str, Any]]:
    if isinstance(thing, list | tuple | dict) and len(cast("list[Any]", thing)) > MOST_INSIDE:
        return []
    return held(thing)


def _places_of(part: nn.Module, seen: set[int]) -> Iterator[Place]:
    """The same of a module, without those in it."""
    if isinstance(part, torch.jit.ScriptModule):
        return
    seen.add(id(part))
    buffers = vars(part)["_buffers"]
    yield Place(part, *_entries(vars(part), OWN))
    yield Place(buffers, *_entries(buffers), are_buffers=True)
    if (forward := own_forward(part)) is not None:
        yield from _places(forward, 1, seen)
    for name, value in list(vars(part).items()):
        if name not in OWN:
            yield from _places(value, 1, seen)


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

    yield Place(function, read, write)
    around = function.__globals__
    named = inspect.getclosurevars(function).globals.keys()
    yield Place(
        around,
        lambda: {name: around[name] for name in named if name in around},
        around.update,
    )


def _entries(
    thing: dict[Any, Any] | list[Any], others: frozenset[str] = frozenset()
) -> tuple[Callable[[], Names], Callable[[Names], None]]:
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
