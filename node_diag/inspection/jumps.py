"""Jumps of f that no operation shows: found where f itself moves most."""

from __future__ import annotations

import itertools
from collections.abc import Set

import numpy as np

from node_diag.inspection.deciders import decider
from node_diag.inspection.forward_path import JUMP, ForwardPath
from node_diag.records import Switch

BISECTIONS = 40
LOCATED = 6
"""Switches that are shown, for each operation."""
STANDS_OUT = 1.5
"""Times what a component moves over the neighbouring intervals."""
SETTLED = 6
"""Bisections after which a smooth f is known by how its change shrinks."""
PATIENCE, EXAMINED = 12, 48
"""Intervals in a row without a jump after which no other is expected; most that are examined."""


def unnamed_jumps(path: ForwardPath, known: Set[float]) -> list[Switch]:
    """``if z > 1:`` in Python, atan2, a table: f itself shows them, where it moves most.

    Each component by itself: a slow one may jump beside a fast one.

    Args:
        path: where f is evaluated.
        known: starts of intervals in which an operation is seen to step.
    """
    found: list[Switch] = []
    standing = [i for i in _standing_out(path) if path.times[i] not in known]
    since = 0
    for n, i in enumerate(standing):
        if since == PATIENCE:
            break
        decided = any(one.moved_at is not None for one in found)
        if n == EXAMINED or (decided and len(found) >= LOCATED):
            if not decided:
                found[0].unjudged = len(standing) - n
            break
        _, late, jump = _steepest(path, path.times[i], path.times[i + 1])
        since += 1
        if jump > JUMP:
            since = 0
            in_state, mover = (False, "") if decided else decider(path, late)
            found.append(
                Switch(
                    operation="if" if path.reads else "jump",
                    crossings=1, times=[late], jump=jump, in_state=in_state, by_parameter=mover,
                    moved_at=late if in_state or mover else None,
                )
            )  # fmt: skip
    return [together(found[0].operation, found)] if found else []


def _standing_out(path: ForwardPath) -> list[int]:
    """Intervals over which a component moves more than over both neighbours, the clearest first.

    A smooth f, at points this close, moves about as much over neighbouring intervals.
    """
    moves = np.stack([path.move(a, b) for a, b in itertools.pairwise(path.times)])
    around = np.pad(moves, ((1, 1), (0, 0)))
    neighbours = np.maximum(around[:-2], around[2:])
    with np.errstate(all="ignore"):
        lead = np.where(moves > JUMP, moves / neighbours, 0.0).max(axis=1)
    return [int(i) for i in np.argsort(-lead, kind="stable") if lead[i] > STANDS_OUT]


def _steepest(path: ForwardPath, early: float, late: float) -> tuple[float, float, float]:
    """Bisect towards the larger change of f; what is left of it in the end is a jump.

    A smooth f changes half as much over half the interval, and is left early.
    """
    first = float(path.move(early, late).max())
    for i in range(BISECTIONS):
        middle = 0.5 * (early + late)
        if middle in (early, late):
            break
        here, there = (float(path.move(*ends).max()) for ends in ((early, middle), (middle, late)))
        early, late = (early, middle) if here > there else (middle, late)
        if i >= SETTLED and max(here, there) < first * 2.0 ** (-i / 2):
            return early, late, 0.0
    return early, late, float(path.move(early, late).max())


def together(name: str, many: list[Switch]) -> Switch:
    """One entry for all operations of one kind in f."""
    return Switch(
        operation=name,
        crossings=sum(one.crossings for one in many),
        times=sorted({t for one in many for t in one.times})[:LOCATED],
        jump=max(one.jump for one in many),
        in_state=any(one.in_state for one in many),
        by_parameter=next((one.by_parameter for one in many if one.by_parameter), ""),
        moved_at=next((one.moved_at for one in many if one.moved_at is not None), None),
        unjudged=sum(one.unjudged for one in many),
    )
