"""Trajectories and steps of the stock report: a coarse RK4 is all a plot needs."""

from __future__ import annotations

import math
from collections.abc import Callable

from node_diag.records import Series, Steps, Trajectory

State = tuple[float, float]
N_ACCEPTED, N_REJECTED = 128, 40
MU, T_END = 2.0, 20.0
INTERVALS = 400


def norm(values: list[float]) -> float:
    return math.sqrt(sum(x * x for x in values))


def derivative(z: State) -> State:
    x, v = z
    return v, MU * (1 - x * x) * v - x


def rk4(z: State, h: float) -> State:
    def shifted(k: State, by: float) -> State:
        return z[0] + by * k[0], z[1] + by * k[1]

    k1 = derivative(z)
    k2 = derivative(shifted(k1, h / 2))
    k3 = derivative(shifted(k2, h / 2))
    k4 = derivative(shifted(k3, h))
    slopes = zip(k1, k2, k3, k4, strict=True)
    x, v = (h / 6 * (a + 2 * b + 2 * c + d) for a, b, c, d in slopes)
    return z[0] + x, z[1] + v


def solve(z: State, t0: float, t1: float, count: int) -> list[tuple[float, State]]:
    """States at ``count + 1`` equally spaced times."""
    h, found = (t1 - t0) / count, [(t0, z)]
    for i in range(count):
        z = rk4(z, h)
        found.append((t0 + (i + 1) * h, z))
    return found


def trajectory(points: list[tuple[float, State]], error_at: Callable[[int], float]) -> Trajectory:
    """As the record keeps it; ``error_at`` gives the error of the i-th point."""
    return Trajectory(
        t=[t for t, _ in points],
        z=[list(z) for _, z in points],
        error=[error_at(i) for i in range(len(points))],
    )


def series() -> Series:
    """Forward and reverse-time trajectory of the adjoint, and the trials of the forward solve."""
    forward = solve((2.0, 0.0), 0.0, T_END, INTERVALS)
    # A coarse reverse solve leaves the limit cycle as the real one does.
    reverse = solve(forward[-1][1], T_END, 0.0, INTERVALS // 2)
    largest = max(norm(list(z)) for _, z in forward)

    def gap(i: int) -> float:
        there = forward[INTERVALS - 2 * i][1]
        return math.dist(reverse[i][1], there) / largest

    return Series(
        components=["z[0]", "z[1]"],
        forward=trajectory(forward, lambda _: 0.0),
        reconstruction={"adjoint": trajectory(reverse, gap)},
        steps=steps(),
    )


def steps() -> Steps:
    """Accepted steps that tile [0, T]; every third has been tried with twice its size before."""
    shape = [1.0 + 0.8 * math.sin(i / 5) for i in range(N_ACCEPTED)]
    sizes = [T_END * s / sum(shape) for s in shape]
    trials: list[tuple[float, float, bool]] = []
    t = 0.0
    for i, h in enumerate(sizes):
        if i % 3 == 0 and i < 3 * N_REJECTED:
            trials.append((t, 2 * h, False))
        trials.append((t, h, True))
        t += h
    return Steps(
        t=[t for t, _, _ in trials], h=[h for _, h, _ in trials], accepted=[a for _, _, a in trials]
    )
