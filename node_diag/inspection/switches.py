"""Kinks and jumps of f along the trajectory: where it is not smooth, and in what way.

Every operation with a kink or a step (relu, abs, clamp, maximum, comparisons, floor …) is watched
while f is evaluated along the forward trajectory. Where the pattern of its input's signs changes
between two points, the change is located by bisection, and f is compared on both sides: the same
value means a kink, another one a jump. A jump that moves with the state or with a parameter makes
the sensitivities jump as well, which autograd does not know.

There may be thousands of crossings. Those of an operation whose input stays the same when the state
and the parameters are nudged happen when the time says so; of those, and of kinks, a few are
located to be shown. The others are all looked at, up to a number.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from node_diag.inspection.deciders import decider
from node_diag.inspection.forward_path import JUMP, ForwardPath
from node_diag.inspection.jumps import BISECTIONS, LOCATED, together, unnamed_jumps
from node_diag.problem import Problem
from node_diag.records import Switch
from node_diag.references.branches import (
    Pattern,
    changed,
    changes,
    may_jump,
    same_operations,
)
from node_diag.solvers.solution import Solution
from node_diag.solvers.tableau import Tableau

EXAMINED, FEWEST = 40, 8
"""Crossings that the state or a parameter may decide and that are examined, in all operations of f
together; at least so many in each."""
IN_ONE = 4
"""Those in one interval."""


class Crossing(NamedTuple):
    """An interval in which an operation changes its branch.

    ``suspects`` are the entries that change and that the state or a parameter may decide; None if
    nothing in it can jump, or the time alone decides.
    """

    before: float
    after: float
    entries: int
    suspects: Tensor | None


def inspect(problem: Problem, tableau: Tableau, solution: Solution) -> list[Switch]:
    """What changes its branch along the forward trajectory.

    One entry for all operations of a name that do the same: a jump that the time decides is another
    thing than one that the state decides.
    """
    path = ForwardPath(problem, tableau, solution)
    if not path.pattern(path.times[0]):
        return unnamed_jumps(path, set())
    patterns = [path.pattern(t) for t in path.times]
    names = [branch.name for branch in patterns[0]]
    crossings: dict[int, list[Crossing]] = {}
    stepping: set[float] = set()
    for before, after, old, new in zip(
        path.times, path.times[1:], patterns, patterns[1:], strict=False
    ):
        for index, count in changes(old, new).items():
            steps = path.differentiates or index >= len(names) or may_jump(names[index])
            suspects = _suspects(path, index, (before, after), (old, new)) if steps else None
            crossings.setdefault(index, []).append(Crossing(before, after, count, suspects))
            if steps:
                stepping.add(before)
    suspicious = sum(any(one.suspects is not None for one in many) for many in crossings.values())
    most = max(FEWEST, EXAMINED // max(1, suspicious))
    merged: dict[tuple[str, bool, bool, str], list[Switch]] = {}
    for index, found in crossings.items():
        name = names[index] if index < len(names) else "control flow"
        one = _describe(path, name, index, found, most)
        alike = (name, bool(one.jump), one.in_state, one.by_parameter)
        merged.setdefault(alike, []).append(one)
    return [together(name, many) for (name, *_), many in merged.items()] + unnamed_jumps(
        path, stepping
    )


def _suspects(
    path: ForwardPath, index: int, ends: tuple[float, float], patterns: tuple[Pattern, Pattern]
) -> Tensor | None:
    """Entries that change between the ends and are swayed by more than the time at one of them."""
    if not same_operations(*patterns):
        return torch.ones(1, dtype=torch.bool)
    entries = changed(*(pattern[index].taken for pattern in patterns))
    swayed = [path.swayed(t) for t in ends]
    for found in swayed:
        if found is None or index >= len(found) or found[index].shape != entries.shape:
            return torch.ones(1, dtype=torch.bool)
    mine = entries & (swayed[0][index] | swayed[1][index])  # type: ignore[index]
    return mine if bool(mine.any()) else None


def _describe(
    path: ForwardPath, name: str, index: int, crossings: list[Crossing], most: int
) -> Switch:
    """The first few crossings as they are, and what is worst of all that may be bad."""
    switch = Switch(
        operation=name,
        crossings=sum(one.entries for one in crossings),
        times=[],
        jump=0.0,
        in_state=False,
    )
    for one in crossings[:LOCATED]:
        early, late = next(_brackets(path, index, one, shown=True), (one.before, one.after))
        switch.times.append(late)
        _look(path, switch, early, late)
    suspicious = [one for one in crossings if one.suspects is not None]
    suspicious.sort(key=lambda one: -path.move(one.before, one.after).max())
    examined = 0
    for one in suspicious:
        brackets = _brackets(path, index, one, shown=False)
        for n in range(IN_ONE + 1):
            if switch.moved_at is not None:
                return switch
            if examined == most or n == IN_ONE:
                switch.unjudged += 1
                break
            if (bracket := next(brackets, None)) is None:
                break
            _look(path, switch, *bracket)
            examined += 1
    if not switch.jump:
        switch.unjudged = 0
    return switch


def _look(path: ForwardPath, switch: Switch, early: float, late: float) -> None:
    """Note down whether f jumps there, and what decides; the first that is moved is enough."""
    step = float(path.move(early, late).max())
    if step <= JUMP:
        return
    switch.jump = max(switch.jump, step)
    if switch.moved_at is None:
        switch.in_state, switch.by_parameter = decider(path, late)
        if switch.in_state or switch.by_parameter:
            switch.moved_at, switch.unjudged = late, 0


def _brackets(
    path: ForwardPath, index: int, one: Crossing, *, shown: bool
) -> Iterator[tuple[float, float]]:
    """Changes of the operation's branch in an interval, as narrow as floating point allows.

    Those that are not ``shown`` are of the suspects alone, and not followed to where f is the same
    on both sides.
    """
    before = one.before
    while True:
        start = path.pattern(before)
        entries = None if shown else one.suspects
        if not _differs(start, path.pattern(one.after), index, entries):
            return
        early, late = before, one.after
        for _ in range(BISECTIONS):
            middle = 0.5 * (early + late)
            if middle in (early, late):
                break
            differs = _differs(start, path.pattern(middle), index, entries)
            early, late = (early, middle) if differs else (middle, late)
            if not shown and path.move(early, late).max() <= JUMP:
                break
        yield early, late
        before = late


def _differs(old: Pattern, new: Pattern, index: int, entries: Tensor | None) -> bool:
    if not same_operations(old, new):
        return True
    if index >= len(old):
        return False
    found = changed(old[index].taken, new[index].taken)
    if entries is not None and entries.shape == found.shape:
        found = found & entries
    return bool(found.any())
