"""Discrete reference: central differences on the frozen grid, all perturbations in batches.

The accepted steps are redone with their sizes constant (the last one closes onto t1), so what is
differentiated is a smooth function: no step-size controller, no rejected trial. Only values of f
are used, never its derivatives, which makes this a check of the derivatives as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from node_diag.errors import NoReferenceError
from node_diag.problem import Problem
from node_diag.references import ladder, noise, v_curve
from node_diag.references.base import Reference, Vector
from node_diag.references.frozen_map import FrozenMap
from node_diag.references.taylor import taylor_lines
from node_diag.solvers.solution import Grid
from node_diag.solvers.step_map import OwnSteps, StepMap
from node_diag.solvers.tableau import Tableau

TOGETHER = 300
"""Up to so many inputs a lane may move any of them; beyond it, those of one tensor, which lets the
lanes share the others."""
MOST_INPUTS = 1_000
"""Up to so many inputs each is perturbed; beyond it, see ``directions``."""


def frozen_reference(problem: Problem, tableau: Tableau, grid: Grid) -> Reference:
    """Derivative of the loss the solver returns, with the accepted steps of ``grid`` frozen.

    Args:
        problem: float64, on the CPU.
        tableau: the method.
        grid: the steps it accepted.

    Raises:
        NoReferenceError: the frozen map is not finite, or f cannot be vmapped and is too slow.
    """
    return steps_reference(problem, OwnSteps(tableau, grid))


def steps_reference(problem: Problem, steps: StepMap) -> Reference:
    """As :func:`frozen_reference`, of accepted steps whoever took them.

    Raises:
        NoReferenceError: as there.
    """
    frozen = FrozenMap(problem, steps)
    with np.errstate(all="ignore"):  # what is not finite is dropped, or ends in no reference
        if frozen.base.size > MOST_INPUTS:
            from node_diag.references.directions import proven_reference

            return proven_reference(frozen)
        return _one_by_one(frozen)


def _one_by_one(frozen: FrozenMap) -> Reference:
    scale = frozen.scale()
    *groups, times = every = Coordinates(frozen, scale).groups()
    if not frozen.steps.moves_times:
        every = groups
    if sum(group.size for group in every) * len(v_curve.LEVELS) <= MOST_AHEAD:
        frozen.look_ahead(torch.cat([_probes(frozen), *(group.all_rows() for group in every)]))
    sigma = measured_noise(frozen)
    pieces = [ladder.climb(group.quotients, scale[group.part], sigma) for group in groups]
    chosen = np.concatenate([piece.chosen for piece in pieces])
    solves = sum(piece.solves for piece in pieces)
    pieces.append(in_times(times, scale, sigma))
    value = np.concatenate([piece.value for piece in pieces])
    bar = np.concatenate([piece.bar for piece in pieces])
    main = slice(0, times.part.start)
    if not (np.isfinite(value[main]).all() and np.isfinite(bar[main]).all()):
        raise NoReferenceError(
            "finite differences on the frozen grid are not finite, or do not settle as steps shrink"
        )
    worst = int(np.argmax(bar[main]))
    group = next(g for g in groups if g.part.start <= worst < g.part.stop)
    index = worst - group.part.start
    details = {
        "method": "central differences on the frozen grid, one Richardson extrapolation",
        "noise": sigma,
        "steps_chosen": {
            f"{ladder.step(level):.3g}": int(n)
            for level, n in zip(*np.unique(chosen, return_counts=True), strict=True)
        },
        "solves": solves + pieces[-1].solves + noise.COUNT,
        "batched": frozen.batched,
        "v_curve": v_curve.v_curve(
            lambda steps: group.quotients(np.full(steps.size, index), steps)[0],
            float(value[worst]),
            float(bar[worst]),
            int(chosen[worst]),
            sigma / scale[worst],
            frozen.name_of(worst),
        ),
    }
    lines = taylor_lines(frozen, value[main], sigma)
    return Reference("finite-difference", value + frozen.direct, bar, details, lines)


def measured_noise(frozen: FrozenMap) -> float:
    """Standard deviation of the round-off in the loss of the frozen map."""
    rows = _probes(frozen)
    values = frozen.losses(rows, frozen.dynamic, len(rows))
    return noise.noise(values, frozen.loss)


def _probes(frozen: FrozenMap) -> Tensor:
    scale = frozen.scale()
    scale[frozen.parts["ts"]] = 0.0  # f may not be defined before t0 or after t1
    return torch.from_numpy(noise.probes(frozen.base, scale))


def in_times(group: Group, scale: Vector, sigma: float) -> ladder.Ladder:
    """Differences in the times; NaN with an infinite bar where f is not defined outside of them."""
    own = scale[group.part]
    try:
        if not group.frozen.steps.moves_times:
            raise NoReferenceError("the library takes one time for all")
        return ladder.climb(group.quotients, own, sigma)
    except NoReferenceError:
        none = np.full(own.size, np.nan)
        return ladder.Ladder(
            levels=[],
            differences=none[None],
            sizes=none[None],
            bends=none[None],
            scale=own,
            sigma=sigma,
            value=none,
            bar=np.full(own.size, np.inf),
            chosen=none,
            kink=np.zeros(own.size),
        )


@dataclass(frozen=True)
class Group:
    """Inputs that lanes move together: a slice of them, and the parts it lies in."""

    frozen: FrozenMap
    scale: Vector
    part: slice
    moved: tuple[str, ...]

    def quotients(self, lines: ladder.Lines, steps: Vector) -> ladder.Taken:
        """Central differences along single inputs.

        Lines are counted from the start of the group. The quotient is by the distance between the
        two inputs as floating point really made it. For a few lines those at every step anyone may
        ask for are taken in the first call: lanes cost less than calls.
        """
        if self.size * len(v_curve.LEVELS) <= MOST_AHEAD:
            rows = np.searchsorted(-_ALL_STEPS, -steps)
            return ladder.Taken(*(table[rows, lines] for table in self._ahead))
        return self._taken(lines, steps)

    @property
    def size(self) -> int:
        """Inputs in the group."""
        return self.part.stop - self.part.start

    @cached_property
    def _ahead(self) -> ladder.Taken:
        """All steps (rows) of all lines (columns)."""
        found = self._taken(*self._all_lines())
        return ladder.Taken(*(x.reshape(_ALL_STEPS.size, self.size) for x in found))

    def _taken(self, lines: ladder.Lines, steps: Vector) -> ladder.Taken:
        found: list[Vector] = []
        distances: list[Vector] = []
        for lane, some, rows in self._ends(lines, steps):
            distances.append(rows[lane, some].numpy())
            found.append(self.frozen.losses(rows, self.moved, 6 * self.frozen.base.size))
        (ups, downs), (above, below) = (
            np.split(np.concatenate(values), 2) for values in (found, distances)
        )
        return ladder.taken(ups, downs, above - below, self.frozen.loss)

    def all_rows(self) -> Tensor:
        """Inputs at both ends of all lines at all steps."""
        return torch.cat([rows for _, _, rows in self._ends(*self._all_lines())])

    def _all_lines(self) -> tuple[ladder.Lines, Vector]:
        lines = np.tile(np.arange(self.size), _ALL_STEPS.size)
        return lines, np.repeat(_ALL_STEPS, self.size)

    def _ends(self, lines: ladder.Lines, steps: Vector) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Upper ends, then lower ones: positions of rows, of the entries moved, and the rows."""
        columns = torch.from_numpy(lines + self.part.start)
        sizes = torch.from_numpy(steps * self.scale[self.part][lines])
        index, offsets = torch.cat([columns, columns]), torch.cat([sizes, -sizes])
        for some, moves in zip(index.split(_ROWS), offsets.split(_ROWS), strict=True):
            lane = torch.arange(len(some))
            rows = torch.from_numpy(self.frozen.base).repeat(len(some), 1)
            rows[lane, some] += moves
            yield lane, some, rows


_ROWS = 4096
"""Input vectors that exist at one time."""
_ALL_STEPS: Vector = np.array([ladder.step(level) for level in v_curve.LEVELS])
MOST_AHEAD = 200
"""Pairs of solves up to which all steps of all lines are taken at once."""


@dataclass(frozen=True)
class Coordinates:
    """All inputs one by one."""

    frozen: FrozenMap
    scale: Vector

    def groups(self) -> list[Group]:
        """z0 and the parameters in one group if they are few, else one for each part; then ts."""
        parts = {name: part for name, part in self.frozen.parts.items() if part.stop > part.start}
        times = parts.pop("ts")
        if times.start <= TOGETHER:
            parts_of = {tuple(parts): slice(0, times.start)}
        else:
            parts_of = {(name,): part for name, part in parts.items()}
        return [
            Group(self.frozen, self.scale, part, moved)
            for moved, part in {**parts_of, ("ts",): times}.items()
        ]


Solve = Callable[[Vector], float]


def unfrozen_reference(
    base: Vector, loss: Solve, middle: float, columns: Iterable[int], step: float = 1e-6
) -> Reference:
    """Plain central differences through the whole adaptive solve. Not a truth.

    What one would try first: perturb an input, solve again, step-size controller and all. The
    quotients settle over decades of h, on the derivative that contains the controller's, so they
    look perfect and are biased. Shown beside the references, never used as one.

    Args:
        base: inputs (n,).
        loss: the loss of an adaptive solve from such inputs.
        middle: that at the base.
        columns: inputs to perturb; the others come out as NaN.
        step: relative to max(1, |x|).

    The bar is half the distance between the one-sided differences: more than truncation, and noise
    as well.
    """
    value, bar = np.full_like(base, np.nan), np.full_like(base, np.nan)
    for i in columns:
        moved = [base.copy(), base.copy()]
        size = step * max(1.0, abs(base[i]))
        moved[0][i] += size
        moved[1][i] -= size
        up, down = (loss(x) for x in moved)
        value[i] = (up - down) / (moved[0][i] - moved[1][i])
        bar[i] = abs(up - 2 * middle + down) / (2 * size)
    details = {"method": "central differences through the adaptive solve, controller included"}
    return Reference("finite-difference", value, bar, {**details, "step": step})
