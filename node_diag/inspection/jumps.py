"""Jumps of f that no operation shows: found where f itself moves most."""

from __future__ import annotations

import itertools

import numpy as np
import torch

from node_diag.inspection.forward_path import ForwardPath
from node_diag.records import Switch

BISECTIONS = 40
LOCATED = 6
"""Switches that are located and looked at from both sides, for each operation."""
JUMP = 1e-6
"""Relative difference of f across a switch above which it is a jump."""
STANDS_OUT = 1.5
"""Times what a component moves over the neighbouring intervals."""
SETTLED = 6
"""Bisections after which a smooth f is known by how its change shrinks."""


def unnamed_jumps(path: ForwardPath) -> list[Switch]:
    """``if z > 1:`` in Python, atan2, a cast to integers: f itself shows them, where it moves most.

    Each component by itself: a slow one may jump beside a fast one.
    """
    moves = np.stack([path.move(a, b) for a, b in itertools.pairwise(path.times)])
    found: list[Switch] = []
    for i in _standing_out(moves):
        early, late, jump = _steepest(path, path.times[i], path.times[i + 1])
        if jump > JUMP:
            mixed = path.value_at(late, path.state(early))
            f_early, f_late = path.value(early), path.value(late)
            in_state = bool(torch.dist(mixed, f_early) < torch.dist(mixed, f_late))
            found.append(
                Switch(
                    operation="jump" if not path.reads else "if",
                    crossings=1, times=[late], jump=jump, in_state=in_state,
                    by_parameter="" if in_state else path.mover(late),
                )
            )  # fmt: skip
    return [together(found[0].operation, found)] if found else []


def _standing_out(moves: np.ndarray) -> list[int]:
    """Intervals over which a component moves more than over both neighbours, the clearest first.

    A smooth f, at points this close, moves about as much over neighbouring intervals.
    """
    around = np.pad(moves, ((1, 1), (0, 0)))
    neighbours = np.maximum(around[:-2], around[2:])
    with np.errstate(all="ignore"):
        lead = np.where(moves > JUMP, moves / neighbours, 0.0).max(axis=1)
    clearest = np.argsort(-lead)[: 2 * LOCATED]
    return sorted(int(i) for i in clearest if lead[i] > STANDS_OUT)


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
    )
