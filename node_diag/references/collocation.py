"""Forward sensitivities of stiff problems: Radau IIA with seven stages (order 13).

scipy's Radau (order 5) finds the steps for z alone, at the square root of the tolerance. On those
steps the stage equations of order 13 are solved by Newton's method for many steps at once, which
starts from Radau's dense output and needs two or three rounds. S costs nothing more: Newton's
linear systems, at the solution, are the stage equations of S.

Radau IIA is stiffly accurate: the last stage is the end of the step.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
from numpy.polynomial import legendre

from node_diag.errors import NoReferenceError
from node_diag.references.base import Vector
from node_diag.references.linearize import Linearized

STAGES = 7
EPS = float(np.finfo(np.float64).eps)
MOST_STEPS = 20_000
MOST_ENTRIES = 4_000_000
"""Doubles in the stage Jacobians that are held at once (32 MB, a few copies)."""
MOST_ROUNDS = 12
CONVERGED = 1e-6
"""Relative change of z from which Newton's method has nothing but round-off left when it no longer
halves the change: it converges quadratically. Where z turns fast, round-off of t is much of z."""
LAYER_RATIO = 2.0
"""Growth of the steps through the layer at t0 that S has and z may not have."""


@functools.cache
def radau(stages: int) -> tuple[Vector, Vector]:
    """Nodes c (s,) in (0, 1] and weights A (s, s) of Radau IIA: roots of P_s − P_{s−1}, c_s = 1."""
    series = np.zeros(stages + 1)
    series[-2:] = -1, 1
    x = np.sort(legendre.legroots(series).real)
    x[-1] = 1.0
    basis = np.eye(stages)
    values = legendre.legvander(x, stages - 1)
    integrals = np.stack([legendre.legval(x, legendre.legint(p, lbnd=-1)) for p in basis], axis=1)
    return (x + 1) / 2, np.linalg.solve(values.T, integrals.T).T / 2


def solve_collocation(
    system: Linearized,
    t: float,
    end: float,
    z: Vector,
    s: Vector,
    rtol: float,
    *,
    first: bool,
    jitter: float,
) -> tuple[Vector, Vector, int]:
    """From t to end: z (D,), S (D, D + P) there, and the number of steps.

    Args:
        system: the dynamics and their Jacobians.
        t: where it starts.
        end: where it ends.
        z: the state at t.
        s: the sensitivities at t.
        rtol: tolerance; its square root is given to scipy's Radau.
        jitter: ulps by which the state is moved at the start of every step, to see what round-off
            does: where z turns fast it is amplified more than a change of z0 shows.
        first: whether S starts here, from (I | 0): it has fast components then that z has not.

    Raises:
        NoReferenceError: scipy's Radau or Newton's method fails.
    """
    solution = _steps(system, t, end, z, math.sqrt(rtol))
    times = np.array(solution.ts)
    if first:
        times = _with_layer(times, _rate(system, t, z))
    each = STAGES * system.n_state * (system.n_state + system.n_params)
    size = max(1, MOST_ENTRIES // each)
    for start in range(0, len(times) - 1, size):
        block = times[start : start + size + 1]
        z, s = _block(system, block, z, s, solution.sol, _moved((block.size - 1, z.size), jitter))
    return z, s, len(times) - 1


class _Steps:
    """Times of scipy's steps and its dense output."""

    def __init__(self, ts: list[float], sol: Any) -> None:
        self.ts, self.sol = ts, sol


def _steps(system: Linearized, t: float, end: float, z: Vector, rtol: float) -> _Steps:
    from scipy.integrate import OdeSolution, Radau  # half a second, for stiff problems only

    def jacobian(time: float, state: Vector) -> Vector:
        return system.jacobians(np.array([time]), state[None])[0][0]

    method: Any = Radau
    longest = system.longest_step(rtol**2)
    atol = rtol / 100 * system.size
    solver = method(system.f, t, z, end, rtol=rtol, atol=atol, jac=jacobian, max_step=longest)
    times, interpolants = [t], list[Any]()
    while solver.status == "running":
        message = solver.step()
        if str(solver.status) == "failed" or len(times) > MOST_STEPS:
            raise NoReferenceError(
                f"Radau stopped at t = {solver.t:.6g}: {message or 'too many steps'}"
            )
        times.append(solver.t)
        interpolants.append(solver.dense_output())
    return _Steps(times, OdeSolution(times, interpolants))


def _moved(shape: tuple[int, int], ulps: float) -> Vector:
    """Factors of one, give or take so many ulps."""
    signs = np.random.default_rng(4).choice([-1.0, 1.0], size=shape)
    return 1 + ulps * EPS * signs


def _rate(system: Linearized, t: float, z: Vector) -> float:
    """Spectral radius of ∂f/∂z at the start."""
    dz, _ = system.jacobians(np.array([t]), z[None])
    return float(np.abs(np.linalg.eigvals(dz[0])).max()) if np.isfinite(dz).all() else 0.0


def _with_layer(times: Vector, rate: float) -> Vector:
    """More steps at the start: the first one 1 / (2 rate) long, then each twice as long."""
    h = times[1] - times[0]
    if rate * abs(h) <= 1:
        return times
    count = math.ceil(math.log(2 * rate * abs(h), LAYER_RATIO))
    layer = times[0] + h * LAYER_RATIO ** -np.arange(count, 0, -1.0)
    return np.concatenate([times[:1], layer, times[1:]])


def _block(
    system: Linearized, times: Vector, z: Vector, s: Vector, guess: Any, moved: Vector
) -> tuple[Vector, Vector]:
    """Newton's method for all steps between the times; then S along them."""
    c, a = radau(STAGES)
    n, h = system.n_state, np.diff(times)
    points = (times[:-1, None] + h[:, None] * c).ravel()
    stages = guess(points).T.reshape(len(h), STAGES, n)
    last = math.inf
    for _ in range(MOST_ROUNDS):
        change = _newton(system, points, stages, z, h, a, moved)
        stages = stages + change
        size = float(np.abs(change).max() / max(np.abs(stages).max(), system.size))
        done = size < CONVERGED and size >= last / 2
        last = size
        if done or size == 0 or not math.isfinite(size):
            break
    if not last < CONVERGED:
        raise NoReferenceError(
            f"Newton's method did not solve the stiff equations between t = {times[0]:.6g} and "
            f"{times[-1]:.6g}"
        )
    dz, dp = system.jacobians(points, stages.reshape(-1, n))
    system.screen.hold(points, stages.reshape(-1, n), dz, dp)
    source = (h[:, None, None] * (a @ dp.reshape(len(h), STAGES, -1))).reshape(
        len(h), STAGES * n, -1
    )
    ones = np.broadcast_to(np.tile(np.eye(n), (STAGES, 1)), (len(h), STAGES * n, n))
    solved = np.linalg.solve(_matrix(dz, h, a, n), np.concatenate([ones, source], axis=-1))
    for last_stage in solved[:, -n:]:
        s = last_stage[:, :n] @ s
        s[:, n:] += last_stage[:, n:]
    return stages[-1, -1], s


def _newton(
    system: Linearized,
    points: Vector,
    stages: Vector,
    z: Vector,
    h: Vector,
    a: Vector,
    moved: Vector,
) -> Vector:
    """Newton's change of all stages (N, s, D); steps are coupled by where each one starts."""
    count, n = len(h), system.n_state
    flat = stages.reshape(-1, n)
    values = np.stack([system.f(t, x) for t, x in zip(points, flat, strict=True)])
    dz, _ = system.jacobians(points, flat)
    starts = moved * np.concatenate([z[None], stages[:-1, -1]])
    increments = h[:, None, None] * (a @ values.reshape(count, STAGES, n))
    residual = starts[:, None] + increments - stages
    ones = np.broadcast_to(np.tile(np.eye(n), (STAGES, 1)), (count, STAGES * n, n))
    right = np.concatenate([residual.reshape(count, -1, 1), ones], axis=-1)
    solved = np.linalg.solve(_matrix(dz, h, a, n), right)
    shift = np.zeros(n)
    change = np.empty((count, STAGES * n))
    for i, (own, through) in enumerate(zip(solved[..., 0], solved[..., 1:], strict=True)):
        change[i] = own + through @ shift
        shift = change[i, -n:]
    return change.reshape(count, STAGES, n)


def _matrix(dz: Vector, h: Vector, a: Vector, n: int) -> Vector:
    """I − h A ⊗ J of every step, (N, s D, s D)."""
    blocks = dz.reshape(len(h), 1, STAGES, n, n) * (h[:, None, None] * a)[..., None, None]
    wide = blocks.transpose(0, 1, 3, 2, 4).reshape(len(h), STAGES * n, STAGES * n)
    return np.eye(STAGES * n) - wide
