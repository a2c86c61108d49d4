"""Discrete reference for many inputs: reverse mode through the frozen steps, proven by differences.

Perturbing 20,000 parameters one by one takes too long. So the gradient r is taken by reverse mode
through the frozen steps, and it is then measured along k random orthonormal directions, with values
of f only, how far it is from the derivative g.

The directions and the bound of the error they give are those of :mod:`.frame`; the probability that
an error of 10 % in one tensor stays below the noise of the differences is under 1e-100 for 20,000
inputs.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from node_diag.errors import NoReferenceError
from node_diag.field import Field
from node_diag.gradients.base import Setup, Tape, loss_vjp, through_graph
from node_diag.gradients.methods.aca import METHOD as ACA
from node_diag.norms import norm
from node_diag.records import label
from node_diag.references import ladder
from node_diag.references.base import Reference, Vector, flatten
from node_diag.references.finite_difference import Coordinates, in_times, measured_noise
from node_diag.references.frame import MISSED, block_sizes, error_bound, random_frame, weights
from node_diag.references.frozen_map import FrozenMap
from node_diag.references.taylor import taylor_lines
from node_diag.references.v_curve import v_curve
from node_diag.solvers.replay import redo_step
from node_diag.solvers.solution import Settings, Solution
from node_diag.solvers.step_map import OwnSteps

DIRECTIONS = 16


def proven_reference(frozen: FrozenMap) -> Reference:
    """Reverse mode through the frozen steps, with a bound from differences along directions.

    Raises:
        NoReferenceError: the differences are not finite or cannot be taken.
    """
    value = reverse_gradient(frozen)
    times = frozen.parts["ts"]
    blocks = {name: part for name, part in frozen.parts.items() if name != "ts"}
    sizes = block_sizes(value, blocks)
    frame = random_frame(times.start, DIRECTIONS)
    lines = frame * weights(sizes, blocks, times.start)
    through_solve = (value - frozen.direct)[: times.start]
    seen, climbed, line_scale = _measure(frozen, lines, through_solve)
    bound = error_bound(np.abs(seen) + climbed.bar, times.start)
    if not math.isfinite(bound):
        raise NoReferenceError(
            "finite differences on the frozen grid do not settle as steps shrink"
        )
    bar = np.empty_like(value)
    for name, part in blocks.items():
        count = part.stop - part.start
        bar[part] = bound * sizes[name] / math.sqrt(count) if count else 0.0
    scale = frozen.scale()
    time_values = in_times(Coordinates(frozen, scale).groups()[-1], scale, climbed.sigma)
    value[times], bar[times] = time_values.value, time_values.bar
    worst = int(np.argmax(np.abs(seen)))
    details: dict[str, Any] = {
        "method": (
            "reverse mode through the frozen steps, proven by central differences along "
            f"{DIRECTIONS} random orthonormal directions"
        ),
        "confidence": 1 - MISSED,
        "relative_error_bound_in_any_tensor": bound,
        "largest_difference_seen": float(np.max(np.abs(seen))),
        "noise": climbed.sigma,
        "solves": climbed.solves + time_values.solves,
        "batched": frozen.batched,
        "v_curve": v_curve(
            lambda steps: _quotients(frozen, lines, line_scale)(np.full(steps.size, worst), steps)[
                0
            ],
            float(climbed.value[worst]),
            float(climbed.bar[worst]),
            int(climbed.chosen[worst]),
            climbed.sigma / line_scale[worst],
            "a random direction in z0 and all parameters",
        ),
    }
    if np.max(np.abs(seen)) > 10 * np.max(climbed.bar) + 1e-7:
        details["disagreement"] = _localise(frozen, value, blocks, sizes, climbed.sigma)
    lines_of_test = taylor_lines(frozen, through_solve, climbed.sigma)
    return Reference("finite-difference", value, bar, details, lines_of_test)


def reverse_gradient(frozen: FrozenMap) -> Vector:
    """Gradient of the frozen map's loss by reverse mode, of ours one step's graph at a time."""
    problem, field = frozen.problem, Field(frozen.problem)
    z0, ts = problem.flat_z0(), torch.tensor(problem.ts, dtype=torch.float64)
    if isinstance(frozen.steps, OwnSteps):
        tape = _checkpoints(field, frozen.steps, z0, ts)
        zs, backward = tape.solution.zs, partial(ACA.backward, tape)
    else:
        inputs = (z0.requires_grad_(), ts.requires_grad_())
        zs = frozen.steps(field, *inputs)
        backward = partial(through_graph, field, zs, *inputs)
    cotangents, direct = loss_vjp(problem, zs)
    gradient = backward(cotangents).gradient
    for name, extra in direct.items():
        gradient.params[name] += extra
    return flatten(gradient)


def _checkpoints(field: Field, steps: OwnSteps, z0: Tensor, ts: Tensor) -> Tape:
    """What ACA goes back through."""
    tableau, grid = steps.tableau, steps.grid
    states = [z0]
    with torch.no_grad():
        for t, h in zip(grid.starts()[:-1], grid.h[:-1], strict=True):
            states.append(redo_step(tableau, field, t, states[-1], h)[0])
        zs = steps(field, z0, ts)
    solution = Solution(ts.tolist(), zs, grid, [*states, zs[-1]], [])
    settings = Settings(tableau)
    return Tape(field, Setup(settings, settings), solution, z0, ts)


def _measure(
    frozen: FrozenMap, lines: Vector, gradient: Vector
) -> tuple[Vector, ladder.Ladder, Vector]:
    """v·(r − g) along every line, the differences behind it, and the lines' lengths."""
    # A line is a weighting of the error; moving x along it by a step needs its length.
    reach = 1 / np.linalg.norm(lines, axis=1)
    climbed = ladder.climb(_quotients(frozen, lines, reach), reach, measured_noise(frozen))
    return lines @ gradient - climbed.value, climbed, reach


def _quotients(frozen: FrozenMap, lines: Vector, reach: Vector) -> ladder.Quotients:
    """Central differences along lines in (z0, θ), which are moved by step · reach."""
    n = lines.shape[1]
    directions = torch.from_numpy(lines)

    def quotients(chosen: ladder.Lines, steps: Vector) -> ladder.Taken:
        sizes = steps * reach[chosen]
        found: list[Vector] = []
        for some in np.array_split(np.arange(chosen.size), max(1, chosen.size // 64)):
            offsets = directions[chosen[some]] * torch.from_numpy(sizes[some])[:, None]
            rows = torch.from_numpy(frozen.base).repeat(2 * len(some), 1)
            rows[:, :n] += torch.cat([offsets, -offsets])
            found.append(frozen.losses(rows, frozen.dynamic, 6 * len(lines)).reshape(2, -1))
        ups, downs = np.concatenate(found, axis=1)
        return ladder.taken(ups, downs, 2 * sizes, frozen.loss)

    return quotients


def _localise(
    frozen: FrozenMap,
    value: Vector,
    blocks: dict[str, slice],
    sizes: dict[str, float],
    sigma: float,
) -> dict[str, float]:
    """Relative error of reverse mode in each tensor, estimated along directions in it alone."""
    found: dict[str, float] = {}
    n = frozen.parts["ts"].start
    gradient = value[:n] - frozen.direct[:n]
    for name, part in blocks.items():
        count = part.stop - part.start
        frame = random_frame(count, 4, seed=1)
        lines = np.zeros((len(frame), n))
        lines[:, part] = frame
        reach = np.ones(len(frame))
        climbed = ladder.climb(_quotients(frozen, lines, reach), reach, sigma)
        seen = norm(lines @ gradient - climbed.value) * math.sqrt(count / len(frame))
        if seen > 1e-6 * sizes[name]:
            found[label(name)] = seen / sizes[name]
    return found
