"""Continuous reference: forward sensitivity equations, with S inside the error control.

    dz/dt = f      dS/dt = (∂f/∂z) S + (0 | ∂f/∂θ)      S(t0) = (I | 0)

scipy's DOP853 coefficients and error estimate, in a loop of our own for one reason: the states do
not depend on S, so the Jacobians of many steps are taken in one batched call, which is an order of
magnitude faster than a right-hand side that takes them one by one. Stiff problems go to an
implicit method (:mod:`.collocation`).
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np

from node_diag.errors import NoReferenceError
from node_diag.references.base import Vector
from node_diag.references.collocation import solve_collocation
from node_diag.references.dop853 import E3, E5, STAGES, A, B, C
from node_diag.references.explicit_step import Step, error_of, factor, state_step, tiny
from node_diag.references.linearize import Linearized
from node_diag.references.pieces import Piece, between, cross, smooth_pieces

STABILITY_INTERVAL = 6.0
"""Length of DOP853's stability region on the negative real axis, to one digit."""
MOST_STEPS = 20_000
STIFF_STEPS = 2_000
"""Steps that stability alone would cost DOP853 from which Radau is faster."""
MOST_ROUNDS = 30
COARSE_TRIALS, COARSE_RTOL = 3_000, 1e-4
STATE_MARGIN = 8.0
"""How much finer z is solved at once; S mostly wants that, and splitting steps costs more."""


@dataclass
class Sensitivity:
    """States and sensitivities at the observation times: z (K, D), s (K, D, D + P)."""

    z: Vector
    s: Vector
    steps: int


def solve_sensitivity(
    system: Linearized,
    z0: Vector,
    ts: tuple[float, ...],
    rtol: float,
    *,
    stiff: bool,
    jitter: float = 0.0,
) -> Sensitivity:
    """Solve the sensitivity equations with tolerance rtol, and atol = rtol / 100 of their size.

    ``jitter`` is what round-off may do in every step of a stiff solve, in ulps.

    Raises:
        NoReferenceError: the solve needs too many steps or does not stay finite.
    """
    width = system.n_state + system.n_params
    z, s = z0, np.eye(system.n_state, width)
    states, sensitivities, steps = [], [], 0
    h = None
    for piece in between(ts) if stiff else smooth_pieces(system, z0, ts, rtol):
        taken, (start, end) = 1, (piece.start, piece.end)
        if piece.crossing:
            z, s = _cross(system, piece, z, s)
        elif stiff:
            first = not states
            z, s, taken = solve_collocation(
                system, start, end, z, s, rtol, first=first, jitter=jitter
            )
        else:
            z, s, taken, h = _solve_dop853(system, start, end, z, s, rtol, h)
        steps += taken
        if piece.observed:
            states.append(z)
            sensitivities.append(s)
    return Sensitivity(np.stack(states), np.stack(sensitivities), steps)


def solve_states(system: Linearized, z0: Vector, ts: tuple[float, ...], rtol: float) -> Vector:
    """States at ts[1:] (K, D): the same steps without S, so by values of f only.

    Raises:
        NoReferenceError: the solve needs too many steps or does not stay finite.
    """
    states, h = [z0], 1e-3 * (ts[1] - ts[0])
    for span in itertools.pairwise(ts):
        steps, h = _state_steps(system, span, states[-1], h, rtol)
        states.append(steps[-1].z1)
    return np.stack(states[1:])


def _cross(system: Linearized, piece: Piece, z: Vector, s: Vector) -> tuple[Vector, Vector]:
    """Z and S past a kink in the middle of the piece, see :func:`.cross`."""
    h = piece.end - piece.start
    z1 = cross(system.f, piece, z)
    dz, dp = system.jacobians(np.array([piece.start, piece.end]), np.stack([z, z1]))
    first, second = np.concatenate([dz, dp], axis=-1)
    grow = _affine(first, s)
    return z1, s + h / 2 * (grow + _affine(second, s + h * grow))


def is_stiff(system: Linearized, z0: Vector, t0: float, t1: float) -> bool:
    """Whether stability alone would cost DOP853 more steps than Radau takes.

    The spectral radius of ∂f/∂z at up to 32 points of a coarse solve of z, or of as much of it as a
    few thousand steps reach: the solve under test may have left the solution.
    """
    steps = _coarse_steps(system, z0, t0, t1)
    chosen = np.unique(np.linspace(0, len(steps) - 1, 32).astype(int))
    points = [steps[i] for i in chosen]
    dz, _ = system.jacobians(np.array([p.t for p in points]), np.stack([p.z for p in points]))
    if not np.isfinite(dz).all():
        return False
    eigenvalues = np.linalg.eigvals(dz)
    damping = np.abs(np.where(eigenvalues.real < 0, eigenvalues, 0)).max()
    return bool(damping * abs(t1 - t0) / STABILITY_INTERVAL > STIFF_STEPS)


def _coarse_steps(system: Linearized, z0: Vector, t0: float, t1: float) -> list[Step]:
    steps: list[Step] = []
    t, z, h = t0, z0, 1e-6 * (t1 - t0)
    for _ in range(COARSE_TRIALS):
        h = math.copysign(min(abs(h), abs(t1 - t)), t1 - t0)
        step = state_step(system, t, z, h, COARSE_RTOL)
        if step.error <= 1 or not steps:
            steps.append(step)
        if step.error <= 1:
            t, z = t + h, step.z1
        h *= factor(step.error)
        if t == t1 or abs(h) < 4 * math.ulp(max(abs(t), abs(t1))):
            break
    return steps


def _solve_dop853(
    system: Linearized, t: float, end: float, z: Vector, s: Vector, rtol: float, h: float | None
) -> tuple[Vector, Vector, int, float]:
    """From t to end: steps that z needs, then the ones among them that S needs finer, split.

    Splitting recomputes z inside one step only: its end state moves by less than the tolerance z
    was solved to, so the steps after it stand.
    """
    h = h or math.copysign(min(abs(end - t), 1e-3 * abs(end - t) + 1e-6), end - t)
    steps, h = _state_steps(system, (t, end), z, h, rtol / STATE_MARGIN)
    z1, s1, errors = steps[-1].z1, s, [math.inf]
    for _ in range(MOST_ROUNDS):
        if fresh := [step for step in steps if step.maps is None]:
            _linearize(system, fresh)
        s1, errors = _propagate(steps, s, rtol, system.size, tiny(system))
        if all(error <= 1 for error in errors) or not np.isfinite(s1).all():
            break
        steps = [
            part
            for step, error in zip(steps, errors, strict=True)
            for part in _split(system, step, error, rtol)
        ]
        if len(steps) > MOST_STEPS:
            break
    else:
        errors = [math.inf]
    if not all(error <= 1 for error in errors):
        endless = "" if np.isfinite(s1).all() else ": they, or the derivative of f, are not finite"
        raise NoReferenceError(
            f"the sensitivity equations could not be solved from t = {t:.6g} to {end:.6g} "
            f"at rtol {rtol:.0e}{endless}"
        )
    return z1, s1, len(steps), h


def _state_steps(
    system: Linearized, span: tuple[float, float], z: Vector, h: float, rtol: float
) -> tuple[list[Step], float]:
    """Adaptive steps of z alone; the last one lands on the end. And the h to go on with."""
    t, end = span
    steps: list[Step] = []
    trials = 0
    longest, smallest = system.longest_step(rtol), tiny(system)
    while t != end:
        h = math.copysign(min(abs(h), longest), h)
        h = (t + h) - t or h  # a step that floating point can take, or large times drift
        clipped = abs(h) >= abs(end - t) * (1 - 1e-12)
        step = state_step(system, t, z, end - t if clipped else h, rtol)
        if step.error <= 1 or (abs(h) <= smallest and math.isfinite(step.error)):
            steps.append(step)
            t, z = (end if clipped else t + h), step.z1
            h = h if clipped else h * factor(step.error)
        else:
            h = step.h * factor(step.error)
        trials += 1
        if trials > 2 * MOST_STEPS or abs(h) < math.ulp(max(abs(t), abs(end))):
            raise NoReferenceError(f"DOP853 could not go past t = {t:.6g} at rtol {rtol:.0e}")
    return steps, h


def _split(system: Linearized, step: Step, error: float, rtol: float) -> list[Step]:
    """The step itself if S meets the tolerance over it, else as many equal parts as it needs."""
    if error <= 1 or abs(step.h) <= tiny(system):
        return [step]
    count = min(10, max(2, math.ceil(1 / factor(error))))
    parts: list[Step] = []
    z = step.z
    for i in range(count):
        part = state_step(system, step.t + step.h * i / count, z, step.h / count, rtol)
        parts.append(part)
        z = part.z1
    return parts


def _linearize(system: Linearized, steps: list[Step]) -> None:
    """Fill in the affine maps of the steps, all Jacobians at once."""
    n, count = system.n_state, len(steps)
    times = np.concatenate([step.t + step.h * C for step in steps])
    points = np.concatenate([step.points for step in steps])
    dz, dp = system.jacobians(times, points)
    system.screen.hold(times, points, dz, dp)
    dz = dz.reshape(count, STAGES, n, n)
    source = np.concatenate([np.zeros_like(dz), dp.reshape(count, STAGES, n, -1)], axis=-1)
    h = np.array([step.h for step in steps])[:, None, None]
    start = np.broadcast_to(np.eye(n, source.shape[-1]), (count, n, source.shape[-1]))
    k = np.empty_like(source)
    for i in range(STAGES):
        inner = start + h * np.tensordot(k[:, :i], A[i, :i], axes=([1], [0]))
        with np.errstate(invalid="ignore", over="ignore"):  # what is not finite is refused below
            k[:, i] = dz[:, i] @ inner + source[:, i]
    maps = h[:, None] * np.einsum("ws,nsij->nwij", np.stack([B, E5, E3]), k)
    for step, own in zip(steps, maps, strict=True):
        step.maps = own


def _propagate(
    steps: list[Step], s: Vector, rtol: float, size: float, smallest: float
) -> tuple[Vector, list[float]]:
    """S after the last step, and the error of each step over the tolerance.

    ∂z/∂z0 is of size one, ∂z/∂θ of the size of z.
    """
    sizes = np.where(np.arange(s.shape[1]) < s.shape[0], 1.0, size)
    errors: list[float] = []
    for step in steps:
        grow, fifth, third = _affine(step.maps, s)
        s1 = s + grow
        error = error_of(s, s1, fifth, third, rtol, sizes)
        is_tiny = abs(step.h) <= smallest and math.isfinite(error)
        errors.append(min(error, 1.0) if is_tiny else error)
        s = s1
    return s, errors


def _affine(maps: Vector | None, s: Vector) -> Vector:
    """(M | C) applied to S, M S + (0 | C), for each of the maps."""
    assert maps is not None  # _linearize ran
    n = s.shape[0]
    value = maps[..., :n] @ s
    value[..., n:] += maps[..., n:]
    return value
