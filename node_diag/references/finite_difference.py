"""Discrete reference: central differences on the frozen grid, all perturbations in batches.

The accepted steps are redone with their sizes constant (the last one closes onto t1), so what is
differentiated is a smooth function: no step-size controller, no rejected trial. Only values of f
are used, never its derivatives, which makes this a check of the derivatives as well.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import numpy as np
import torch
from torch import Tensor

from node_diag.errors import NoReferenceError
from node_diag.field import Field
from node_diag.gradients.base import loss_vjp
from node_diag.problem import Problem
from node_diag.references.base import Reference, Vector, flat_inputs, slices
from node_diag.solvers.integrate import Grid
from node_diag.solvers.replay import replay
from node_diag.solvers.tableau import Tableau

FIRST, RATIO = 2.0**-15, 4.0
"""Largest step relative to max(1, |x|), and the ratio between steps of the ladder."""
FEW = 300
"""Up to so many inputs the ladder has five steps, beyond it three."""
MOST_INPUTS = 6_000
COLUMNS = 512
"""Inputs perturbed in one go."""
MEMORY = 64 * 2**20
"""Bytes that the states and stages of one batch may take."""
MOST_LOOPED = 400_000
"""Evaluations of an f that cannot be vmapped."""
EPS = float(np.finfo(np.float64).eps)


def frozen_reference(problem: Problem, tableau: Tableau, grid: Grid) -> Reference:
    """Derivative of the loss the solver returns, with the accepted steps of ``grid`` frozen.

    Central differences D(h) at h, h/4, h/16 … with one Richardson extrapolation,
    T = (16 D(h/4) − D(h)) / 15. For each input the pair of steps with the smallest bar
    2 |T − D(h/4)| + 5 σ ‖w‖ is taken: truncation as the extrapolation sees it, plus five standard
    deviations of the noise σ of L carried through the weights w of the formula.

    Args:
        problem: float64, on the CPU.
        tableau: the method.
        grid: the steps it accepted.

    Raises:
        NoReferenceError: too many inputs, or the frozen map is not finite.
    """
    base = flat_inputs(problem)
    if base.size > MOST_INPUTS:
        raise NoReferenceError(
            f"{base.size} inputs are too many to perturb one by one (at most {MOST_INPUTS})"
        )
    lanes = _Lanes(problem, tableau, grid, base)
    levels = 5 if base.size <= FEW else 3
    steps = _steps(base, levels)
    with torch.no_grad():
        differences, sigma = _differences(lanes, steps)
        value, bar, level = _extrapolate(differences, steps, sigma)
    if not np.isfinite(value).all():
        raise NoReferenceError("finite differences on the frozen grid are not finite")
    value = value + lanes.direct
    details = {
        "method": "central differences on the frozen grid, one Richardson extrapolation",
        "steps": [FIRST / RATIO**k for k in range(levels)],
        "noise": sigma,
        "levels_chosen": np.bincount(level, minlength=levels - 1).tolist(),
        "solves": 2 * levels * base.size + 7,
        "batched": lanes.batched,
    }
    return Reference("finite-difference", value, bar, details)


class _Lanes:
    """The loss of the frozen map for many inputs at once."""

    def __init__(self, problem: Problem, tableau: Tableau, grid: Grid, base: Vector) -> None:
        self.problem, self.tableau, self.grid = problem, tableau, grid
        self.base = torch.from_numpy(base)
        self.field = Field(problem)
        self.parts = slices(problem)
        self.params = {
            name: self.base[self.parts[f"params.{name}"]].reshape(p.shape)
            for name, p in problem.params.items()
        }
        self.batched = True
        with torch.no_grad():
            zs = replay(tableau, self.field, grid, problem.flat_z0(), self.base[self.parts["ts"]])
            self.loss_at_base = float(problem.loss_of(zs))
        self.direct = self._direct(zs)

    def blocks(self) -> dict[str, slice]:
        """What is perturbed together: everything if it is little, else one tensor at a time."""
        return {"all": slice(0, len(self.base))} if len(self.base) <= FEW else self.parts

    def losses(self, block: str, rows: Tensor) -> Tensor:
        """Loss for B input vectors, (B, n), that differ from the base in one block only."""
        size = self.problem.layout.numel * (self.tableau.stages + 4 + len(self.problem.ts))
        own = self.blocks().get(block, slice(0, len(self.base)))
        chunk = int(np.clip(MEMORY // (8 * (size + 3 * (own.stop - own.start))), 8, 512))
        return torch.cat([self._checked(block, part) for part in rows.split(chunk)])

    def _checked(self, block: str, rows: Tensor) -> Tensor:
        """A chunk's losses; a row that is the base itself rides along and must give its loss.

        It does not where vmap runs but means something else (a value of f read with .item(), say),
        or where f gives another answer each time.
        """
        rows = torch.cat([self.base[None], rows])
        if self.batched:
            try:
                found = self._chunk(block, rows)
            except Exception:
                self.batched = False
            else:
                if _close(float(found[0]), self.loss_at_base):
                    return found[1:]
                self.batched = False
            self._refuse_long_loops()
        found = self._chunk(block, rows)
        if not _close(float(found[0]), self.loss_at_base):
            raise NoReferenceError(
                "f gives another answer when it is evaluated again on the same grid: "
                f"loss {self.loss_at_base:.9g}, then {float(found[0]):.9g}"
            )
        return found[1:]

    def _chunk(self, block: str, rows: Tensor) -> Tensor:
        z0, ts = rows[:, self.parts["z0"]], rows[:, self.parts["ts"]].T
        params, own = dict(self.params), [block.removeprefix("params.")]
        if block == "all":
            own = list(params)
        for name in own:
            if name in params:
                shape = (len(rows), *params[name].shape)
                params[name] = rows[:, self.parts[f"params.{name}"]].reshape(shape)
        many = self.field.batched(own) if self.batched else self.field.looped(own)
        zs = replay(self.tableau, lambda t, z: many(t, z, params), self.grid, z0, ts)
        return self._losses_of(zs)

    def _losses_of(self, zs: Tensor) -> Tensor:
        """(K, B, D) → (B,); a loss that cannot be vmapped is called row by row."""
        try:
            return torch.func.vmap(self.problem.loss_of, in_dims=1)(zs)
        except Exception:
            return torch.stack([self.problem.loss_of(zs[:, i]) for i in range(zs.shape[1])])

    def _direct(self, zs: Tensor) -> Vector:
        """∂L/∂θ of parameters that the loss itself uses; the lanes perturb the dynamics only."""
        _, direct = loss_vjp(self.problem, zs)
        found = np.zeros(self.base.numel())
        for name, gradient in direct.items():
            found[self.parts[f"params.{name}"]] = gradient.numpy().ravel()
        return found

    def _refuse_long_loops(self) -> None:
        evaluations = 6 * self.base.numel() * len(self.grid.h) * self.tableau.stages
        if evaluations > MOST_LOOPED:
            raise NoReferenceError(
                f"f cannot be vmapped, and perturbing {self.base.numel()} inputs one by one would "
                f"take {evaluations} evaluations"
            )


def _close(a: float, b: float) -> bool:
    """Equal up to the order in which a batch adds things up."""
    return math.isfinite(a) and abs(a - b) <= 1e-6 * max(abs(a), abs(b)) + 1e-12


def _steps(base: Vector, levels: int) -> Vector:
    """(levels, n) step sizes, each a power of two times max(1, |x|)."""
    scale = np.maximum(1.0, np.abs(base))
    return FIRST * scale / RATIO ** np.arange(levels)[:, None]


def _differences(lanes: _Lanes, steps: Vector) -> tuple[Vector, float]:
    """Central differences (levels, n), and the noise of L; the probes for it ride along."""
    found = np.empty_like(steps)
    probes, sigma = _noise_probes(lanes.base), 0.0
    for block, part in lanes.blocks().items():
        for start in range(part.start, part.stop, COLUMNS):
            columns = np.arange(start, min(part.stop, start + COLUMNS))
            rows, distance = _perturbed(lanes.base, columns, steps[:, columns])
            riders = probes if block == "all" else probes[:0]
            losses = lanes.losses(block, torch.cat([riders, rows]))
            if len(riders):
                sigma = _noise(losses[: len(riders)].numpy(), lanes.loss_at_base)
            ups, downs = losses[len(riders) :].tensor_split(2)
            found[:, columns] = ((ups - downs) / distance).reshape(len(steps), -1).numpy()
    if "all" not in lanes.blocks():
        sigma = _noise(lanes.losses("all", probes).numpy(), lanes.loss_at_base)
    return found, sigma


def _perturbed(base: Tensor, columns: Vector, sizes: Vector) -> tuple[Tensor, Tensor]:
    """Inputs moved up, then down, in each column by each size (levels, columns).

    And the distance between the two, as floating point really made it.
    """
    offsets = torch.from_numpy(np.concatenate([sizes.ravel(), -sizes.ravel()]))
    index = torch.from_numpy(np.tile(columns, 2 * len(sizes)))
    lane = torch.arange(len(index))
    rows = base.repeat(len(index), 1)
    rows[lane, index] += offsets
    above, below = rows[lane, index].tensor_split(2)
    return rows, above - below


def _extrapolate(differences: Vector, steps: Vector, sigma: float) -> tuple[Vector, Vector, Vector]:
    """Value, bar and chosen level of every input."""
    factor = RATIO**2
    coarse, fine = differences[:-1], differences[1:]
    values = (factor * fine - coarse) / (factor - 1)
    # T is a sum of four values of L with these weights.
    weight = np.sqrt(
        2 * (factor / (factor - 1) / (2 * steps[1:])) ** 2
        + 2 * (1 / (factor - 1) / (2 * steps[:-1])) ** 2
    )
    bars = 2 * np.abs(values - fine) + 5 * sigma * weight
    bars[~np.isfinite(bars)] = np.inf
    level = np.argmin(bars, axis=0)
    columns = np.arange(differences.shape[1])
    return values[level, columns], bars[level, columns], level


def _noise_probes(base: Tensor) -> Tensor:
    """Seven inputs a billionth apart along a random direction, (7, n)."""
    direction = np.random.default_rng(0).choice([-1.0, 1.0], size=len(base))
    scale = np.maximum(1.0, np.abs(base.numpy()))
    return base + torch.from_numpy(1e-9 * np.arange(-3, 4)[:, None] * direction * scale)


def _noise(table: Vector, loss: float) -> float:
    """Standard deviation of the round-off in L, from differences of seven nearby values.

    Moré and Wild, "Estimating computational noise", SIAM J. Sci. Comput. 33 (2011): the k-th
    differences of a smooth function vanish as the spacing shrinks, those of noise do not.
    """
    sizes: list[float] = []
    for k in range(1, 7):
        table = np.diff(table)
        gamma = math.factorial(k) ** 2 / math.factorial(2 * k)
        sizes.append(math.sqrt(gamma * float(np.mean(table**2))))
    floor = EPS * abs(loss)
    for k in range(len(sizes) - 2):
        window = sizes[k : k + 3]
        if max(window) <= 4 * min(window):
            return max(floor, sizes[k])
    return max(floor, sizes[-1])


Solve = Callable[[Vector], float]


def unfrozen_reference(
    base: Vector, loss: Solve, columns: Iterable[int], step: float = 1e-6
) -> Reference:
    """Plain central differences through the whole adaptive solve. Not a truth.

    What one would try first: perturb an input, solve again, step-size controller and all. The
    quotients settle over decades of h, on the derivative that contains the controller's, so they
    look perfect and are biased. Shown beside the references, never used as one.

    Args:
        base: inputs (n,).
        loss: the loss of an adaptive solve from such inputs.
        columns: inputs to perturb; the others come out as NaN.
        step: relative to max(1, |x|).
    """
    value, bar = np.full_like(base, np.nan), np.full_like(base, np.nan)
    for i in columns:
        scale = step * max(1.0, abs(base[i]))
        near, far = (_quotient(loss, base, i, size) for size in (scale, 2 * scale))
        value[i], bar[i] = near, abs(near - far)
    details = {"method": "central differences through the adaptive solve, controller included"}
    return Reference("finite-difference", value, bar, {**details, "step": step})


def _quotient(loss: Solve, base: Vector, i: int, size: float) -> float:
    above, below = base.copy(), base.copy()
    above[i] += size
    below[i] -= size
    return (loss(above) - loss(below)) / (above[i] - below[i])
