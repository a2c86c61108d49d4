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
import torch

from node_diag.errors import NoReferenceError
from node_diag.references.base import Vector
from node_diag.references.collocation import solve_collocation
from node_diag.references.dop853 import E3, E5, STAGES, A, B, C
from node_diag.references.linearize import Linearized

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
    for start, end in itertools.pairwise(ts):
        if stiff:
            first = not states
            z, s, taken = solve_collocation(
                system, start, end, z, s, rtol, first=first, jitter=jitter
            )
        else:
            z, s, taken, h = _solve_dop853(system, start, end, z, s, rtol, h)
        steps += taken
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


def _coarse_steps(system: Linearized, z0: Vector, t0: float, t1: float) -> list[_Step]:
    steps: list[_Step] = []
    t, z, h = t0, z0, 1e-6 * (t1 - t0)
    for _ in range(COARSE_TRIALS):
        h = math.copysign(min(abs(h), abs(t1 - t)), t1 - t0)
        step = _state_step(system, t, z, h, COARSE_RTOL)
        if step.error <= 1 or not steps:
            steps.append(step)
        if step.error <= 1:
            t, z = t + h, step.z1
        h *= _factor(step.error)
        if t == t1 or abs(h) < 4 * math.ulp(max(abs(t), abs(t1))):
            break
    return steps


@dataclass
class _Step:
    """One step of z: stage times (s,), stage states and derivatives (s, D).

    A step is affine in S, S1 = S + grow(S), and so are the two estimates of its error. The three
    maps are (D, D + P) arrays (M | C) standing for M S + (0 | C); ``_linearize`` fills them in.
    """

    t: float
    h: float
    z: Vector
    points: Vector
    z1: Vector
    error: float
    maps: Vector | None = None


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
        s1, errors = _propagate(steps, s, rtol, system.size, _tiny(system))
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
        raise NoReferenceError(
            f"the sensitivity equations could not be solved from t = {t:.6g} to {end:.6g} "
            f"at rtol {rtol:.0e}"
        )
    return z1, s1, len(steps), h


def _state_steps(
    system: Linearized, span: tuple[float, float], z: Vector, h: float, rtol: float
) -> tuple[list[_Step], float]:
    """Adaptive steps of z alone; the last one lands on the end. And the h to go on with."""
    t, end = span
    steps: list[_Step] = []
    trials = 0
    longest, tiny = system.longest_step(rtol), _tiny(system)
    while t != end:
        h = math.copysign(min(abs(h), longest), h)
        h = (t + h) - t or h  # a step that floating point can take, or large times drift
        clipped = abs(h) >= abs(end - t) * (1 - 1e-12)
        step = _state_step(system, t, z, end - t if clipped else h, rtol)
        if step.error <= 1 or (abs(h) <= tiny and math.isfinite(step.error)):
            steps.append(step)
            t, z = (end if clipped else t + h), step.z1
            h = h if clipped else h * _factor(step.error)
        else:
            h = step.h * _factor(step.error)
        trials += 1
        if trials > 2 * MOST_STEPS or abs(h) < math.ulp(max(abs(t), abs(end))):
            raise NoReferenceError(f"DOP853 could not go past t = {t:.6g} at rtol {rtol:.0e}")
    return steps, h


def _split(system: Linearized, step: _Step, error: float, rtol: float) -> list[_Step]:
    """The step itself if S meets the tolerance over it, else as many equal parts as it needs."""
    if error <= 1 or abs(step.h) <= _tiny(system):
        return [step]
    count = min(10, max(2, math.ceil(1 / _factor(error))))
    parts: list[_Step] = []
    z = step.z
    for i in range(count):
        part = _state_step(system, step.t + step.h * i / count, z, step.h / count, rtol)
        parts.append(part)
        z = part.z1
    return parts


def _tiny(system: Linearized) -> float:
    """A step so short that f may jump in it: what it gets wrong is 1e-14 of |f| times the span.

    That is how a dose, or any other switch by the time alone, is passed.
    """
    return 1e-14 * system.span


def _factor(error: float) -> float:
    if not math.isfinite(error):
        return 0.2
    return 5.0 if error == 0 else min(5.0, max(0.2, 0.9 * error ** (-1 / 8)))


def _state_step(system: Linearized, t: float, z: Vector, h: float, rtol: float) -> _Step:
    points, k = np.empty((STAGES, z.size)), np.empty((STAGES, z.size))
    weights, f = h * A, system.field
    with torch.no_grad():
        for i, time in enumerate(torch.from_numpy(t + h * C).unbind()):
            np.add(z, weights[i, :i] @ k[:i], out=points[i])
            k[i] = f(time, torch.from_numpy(points[i])).detach().numpy()
    z1 = z + h * (B @ k)
    error = _error(z, z1, h * (E5 @ k), h * (E3 @ k), rtol, system.size)
    return _Step(t, h, z, points, z1, error)


def _linearize(system: Linearized, steps: list[_Step]) -> None:
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
        k[:, i] = dz[:, i] @ inner + source[:, i]
    maps = h[:, None] * np.einsum("ws,nsij->nwij", np.stack([B, E5, E3]), k)
    for step, own in zip(steps, maps, strict=True):
        step.maps = own


def _propagate(
    steps: list[_Step], s: Vector, rtol: float, size: float, tiny: float
) -> tuple[Vector, list[float]]:
    """S after the last step, and the error of each step over the tolerance.

    ∂z/∂z0 is of size one, ∂z/∂θ of the size of z.
    """
    sizes = np.where(np.arange(s.shape[1]) < s.shape[0], 1.0, size)
    errors: list[float] = []
    for step in steps:
        grow, fifth, third = _affine(step.maps, s)
        s1 = s + grow
        error = _error(s, s1, fifth, third, rtol, sizes)
        is_tiny = abs(step.h) <= tiny and math.isfinite(error)
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


def _error(
    y: Vector, y1: Vector, fifth: Vector, third: Vector, rtol: float, size: float | Vector
) -> float:
    """Hairer's combination of DOP853's order-5 and order-3 estimates, in the RMS norm."""
    scale = rtol / 100 * size + rtol * np.maximum(np.abs(y), np.abs(y1))
    five, three = float(np.sum((fifth / scale) ** 2)), float(np.sum((third / scale) ** 2))
    size_of_both = math.sqrt((five + 0.01 * three) * y.size)
    if size_of_both == 0:  # also where the squares underflow
        return 0.0
    error = five / size_of_both
    return error if math.isfinite(error) else math.inf
