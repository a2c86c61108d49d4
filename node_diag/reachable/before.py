"""What f holds, remembered, so that it can be as it was: attributes, buffers, caches, closures."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import ModuleType
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from node_diag.reachable.caches import emptied, is_cache, is_generator, set_state, state_of
from node_diag.reachable.names import DEEPEST, reached
from node_diag.reachable.places import MISSING, Names, Place, inside, places_of


class Before:
    """What a function and the modules it uses hold beside their parameters, as it is now.

    Nothing is copied but names: what is changed in place later is taken as it is then.
    """

    def __init__(self, func: Any) -> None:
        self.places: list[Place] = []
        with suppress(Exception):  # what it uses may do anything when it is looked at
            self.places.extend(places_of(func))
        self._versions = [(x, _version(x)) for x in self._values() if isinstance(x, Tensor)]
        self._generators = [(g, state_of(g)) for g in self._values() if is_generator(g)]
        self._caches = [x for x in self._values() if is_cache(x)]

    def is_same(self) -> bool:
        """Whether nothing was assigned, changed in place or put into a cache since."""
        if self._written() or any(cache.cache_info().currsize for cache in self._caches):
            return False
        return not any(place.assigned() for place in self.places)

    def has_new_graphs(self) -> bool:
        """Whether something came since through which a gradient flows."""
        new = [place.read().get(key) for place in self.places for key in place.assigned()]
        return any(x.requires_grad for thing in new for x in _tensors_in(thing, 0))

    def restore(self) -> None:
        """Let the names stand for what they stood for, and the generators give what they gave."""
        for place in self.places:
            place.restore(place.then)
        for generator, state in self._generators:
            set_state(generator, state)

    @contextmanager
    def again(self) -> Generator[None]:
        """Inside it, they hold what they held; what is done to that is forgotten.

        Functions that cache what they return begin with nothing.
        """
        written = set(map(id, self._written()))
        memo: dict[int, Any] = {}

        def own(x: Any, *, is_buffer: bool) -> Any:
            if is_cache(x):
                return memo.setdefault(id(x), emptied(x))
            if not isinstance(x, Tensor) or x.requires_grad or not (is_buffer or id(x) in written):
                return x
            return memo.setdefault(id(x), x.clone())

        now = [place.read() for place in self.places]
        states = [(generator, state_of(generator)) for generator, _ in self._generators]
        try:
            for place in self.places:
                then = {k: own(x, is_buffer=place.are_buffers) for k, x in place.then.items()}
                place.restore(then)
            for generator, state in self._generators:
                set_state(generator, state)
            yield
        finally:
            for place, was in zip(self.places, now, strict=True):
                place.restore(was)
            for generator, state in states:
                set_state(generator, state)

    def _values(self) -> Iterator[Any]:
        yield from (x for place in self.places for x in place.then.values())

    def _written(self) -> list[Tensor]:
        return [x for x, version in self._versions if _version(x) != version]


class FirstValues:
    """What stood in the place of all that evaluations have assigned, over many solves.

    What is assigned between them (the context of the next batch, a reset) is none of f's doing.
    """

    def __init__(self) -> None:
        self._known: WeakKeyDictionary[Any, dict[int, _Assigned]] = WeakKeyDictionary()

    @contextmanager
    def solving(self, func: Any) -> Generator[Before]:
        """Inside it, func is evaluated; gives what it held before it first was."""
        before, now = Before(func), Before(func)
        for place in before.places:
            if known := self._known.get(place.root, {}).get(id(place.owner)):
                still = {k: x for k, x in known.left.items() if place.then.get(k, MISSING) is x}
                place.as_before({key: known.first[key] for key in still})
        try:
            yield before
        finally:
            for old, place in zip(before.places, now.places, strict=True):
                if names := place.assigned():
                    found = place.read()
                    first = {key: old.then.get(key, MISSING) for key in names}
                    left = {key: found.get(key, MISSING) for key in names}
                    own = None if place.owner is place.root else place.owner
                    places = self._known.setdefault(place.root, {})
                    places[id(place.owner)] = _Assigned(own, first, left)


@dataclass
class _Assigned:
    """By evaluations, in one place.

    Attributes:
        owner: kept alive, so that its id stays its own; not where the root is it.
        first: what the names stood for before.
        left: what they stood for afterwards.
    """

    owner: Any
    first: Names
    left: Names


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
        for _, value in inside(thing):
            yield from _tensors_in(value, depth + 1)
