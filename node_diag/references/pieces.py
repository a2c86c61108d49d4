"""Where f is smooth along the trajectory, so that no step of a reference straddles a kink.

z has a bend in its second derivative at a kink of f, S and the adjoint state in their first: a
solver of order 8 shortens its steps down to its tolerance there, which takes it 40 steps, and a
batch of a ReLU network has a hundred kinks. So the kinks are located first, by a solve of z that
watches which branch the operations of f take; the references stop short of each and pass it by one
symmetric step of order 2, whose two evaluations lie on the two sides.

Outside of these short crossings the references control their error as ever: a kink that was not
seen costs time, no accuracy. What the crossings leave is of the order of their width squared, and
of the error of z; both differ between the two solves of a reference, and show in its uncertainty.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from node_diag.errors import NoReferenceError
from node_diag.references.base import Vector
from node_diag.references.branches import Pattern, Watch, changes
from node_diag.references.explicit_step import Step, factor, state_step, tiny
from node_diag.references.linearize import Linearized

MOST_KINKS = 1_000
"""Each takes a few steps of every solve; more take minutes."""
MOST_TRIALS, MOST_HALVINGS = 20_000, 60
HALF_WIDTH = 3e-8
"""Of a crossing, as a part of the interval, at rtol 1e-13: its square is below round-off."""
NARROWEST = 16.0
"""Ulps of t that a crossing is wide at least."""
ROUGH = 1e-5
"""Part of a step to which a kink inside is located at first: what lies beyond spoils the step."""


@dataclass(frozen=True)
class Piece:
    """A part of [t0, t1] on which f is smooth, or one that crosses a kink in its middle.

    Attributes:
        start, end: in the direction of time of the problem.
        crossing: whether one step of order 2 is to be taken over it.
        observed: whether its end is an observation time.
    """

    start: float
    end: float
    crossing: bool
    observed: bool


def smooth_pieces(
    system: Linearized, z0: Vector, ts: tuple[float, ...], rtol: float
) -> list[Piece]:
    """The pieces [t0, t1] falls into; with nothing non-smooth in f, those between observations.

    Raises:
        NoReferenceError: there are too many kinks.
    """
    times = kinks(system, z0, ts[0], ts[-1], rtol)
    if not times:
        return between(ts)
    half = HALF_WIDTH * system.span * (rtol / 1e-13) ** (1 / 4)
    fixed = np.unique([*ts, *times])
    gaps = np.diff(fixed)
    edges, crossings = list(ts), set[float]()
    for t, room in zip(fixed[1:-1].tolist(), np.minimum(gaps[:-1], gaps[1:]), strict=True):
        own = min(half, float(room) / 3)
        if t not in ts and 2 * own >= NARROWEST * math.ulp(t):
            edges += [t - own, t + own]
            crossings.add(t - math.copysign(own, ts[-1] - ts[0]))
    edges.sort(reverse=ts[-1] < ts[0])
    return [
        Piece(start, end, start in crossings, end in ts) for start, end in itertools.pairwise(edges)
    ]


def between(ts: tuple[float, ...]) -> list[Piece]:
    """The pieces between observations."""
    return [
        Piece(start, end, crossing=False, observed=True) for start, end in itertools.pairwise(ts)
    ]


def cross(f: Callable[[float, Vector], Vector], piece: Piece, y: Vector) -> Vector:
    """One step of Heun's method: exact to the width squared, with a kink in the middle too."""
    h = piece.end - piece.start
    first = f(piece.start, y)
    return y + h / 2 * (first + f(piece.end, y + h * first))


def kinks(system: Linearized, z0: Vector, t0: float, t1: float, rtol: float) -> list[float]:
    """The times at which an operation of f takes another branch, along the exact flow from z0.

    As many of them as could be found: a solve of z that gets stuck is left to others to report.

    Raises:
        NoReferenceError: there are too many.
    """
    here = _watched(system, t0, z0).pattern
    found: list[float] = []
    if not here:
        return found
    t, z, toward = t0, z0, math.copysign(1.0, t1 - t0)
    size = wanted = 1e-6 * abs(t1 - t0)  # this step's, and what the error alone would allow
    longest = system.longest_step(rtol)
    width = max(rtol / 10 * abs(t1 - t0), 4 * math.ulp(max(abs(t0), abs(t1))))
    close = math.inf  # about how far before the end of the step the next kink is, if that is known
    for _ in range(MOST_TRIALS):
        size = min(size, longest, abs(t1 - t))
        end = t1 if size == abs(t1 - t) else t + toward * size
        step = state_step(system, t, z, end - t, rtol)
        there = _watched(system, end, step.z1).pattern if math.isfinite(step.error) else here
        back = (0.0, 0.0)
        if changes(here, there):
            within = width if close < size else max(width, ROUGH * size)
            back = _before_the_end(system, step, here, min(close, size), within)
            if back[0] > 2 * width:  # once more, with a step that ends closer beyond it
                size, close = size - back[0] + within, 2 * within
                continue
        if step.error > 1 and size > tiny(system):
            size = wanted = size * min(0.9, factor(step.error))
            close = math.inf
            continue
        if changes(here, there):
            found.append(end - toward * sum(back) / 2)
            here = there
            if len(found) > MOST_KINKS:
                raise NoReferenceError(
                    f"f has more than {MOST_KINKS:,} kinks along the trajectory (up to t = "
                    f"{end:.6g}), and a reference stops at each; check fewer rows of the batch, or "
                    "a shorter interval"
                )
        if end == t1:
            break
        grown = size * factor(step.error)
        size = wanted = grown if close == math.inf else max(grown, wanted)
        t, z, close = end, step.z1, math.inf
    return found


def _before_the_end(
    system: Linearized, step: Step, here: Pattern, guess: float, within: float
) -> tuple[float, float]:
    """A bracket of how far before the end of the step a branch changes, at most so wide.

    States inside the step are Hermite's cubic, which is the better the closer to the end they are.
    """
    size, end = abs(step.h), step.t + step.h
    f1 = system.f(end, step.z1)
    late, early = 0.0, guess

    def watched(distance: float) -> Watch:
        x = 1 - distance / size
        jump = step.z1 - step.z
        bend = (1 - 2 * x) * jump + (x - 1) * step.h * step.f + x * step.h * f1
        z = (1 - x) * step.z + x * step.z1 + x * (x - 1) * bend
        return _watched(system, step.t + x * step.h, z)

    after, before = watched(late), watched(early)
    while early < size and changes(here, before.pattern):
        late, after = early, before
        early = min(8 * early, size)
        before = watched(early)
    for _ in range(MOST_HALVINGS):
        apart = early - late
        if apart <= within:
            break
        # Just on both sides of where a straight line has its zero, then halfway if that failed.
        zero, pad = late + apart * _zero(after, before), max(within / 3, apart / 100)
        for aim in (zero - pad, zero + pad, None):
            distance = (late + early) / 2 if aim is None else aim
            if not late < distance < early or (aim is None and early - late < apart / 2):
                continue
            there = watched(distance)
            if changes(here, there.pattern):
                late, after = distance, there
            else:
                early, before = distance, there
    return late, early


def _zero(after: Watch, before: Watch) -> float:
    """Where between the two, as a part, the first change is if margins are straight lines."""
    parts: list[float] = []
    for new, old, end, start in zip(
        after.pattern, before.pattern, after.margins, before.margins, strict=False
    ):
        if end is not None and start is not None and new.taken.shape == old.taken.shape:
            other = (new.taken != old.taken) & (end != start)
            parts += (end / (end - start))[other].clamp(0, 1).tolist()
    return max(parts, default=0.5)


def _watched(system: Linearized, t: float, z: Vector) -> Watch:
    with torch.no_grad(), Watch() as watch:
        system.field(torch.tensor(t, dtype=torch.float64), torch.from_numpy(z))
    return watch
