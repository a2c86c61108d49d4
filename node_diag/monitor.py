"""While a model trains: how right is the gradient it is moved by?

Every N steps the gradient in ``p.grad`` is held against derivatives of the loss along a few
directions: along the gradient itself, and along random ones across it. They are taken by
forward-mode sensitivities, so they cost a few tangents and not as many columns as there are
parameters.
"""

from __future__ import annotations

import csv
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from node_diag.config import resolve
from node_diag.errors import NoReferenceError, ProblemError, SolveError, UsageError
from node_diag.gradients.base import loss_vjp, run
from node_diag.gradients.lookup import method_of
from node_diag.inspection import repeatability
from node_diag.layout import State
from node_diag.norms import norm
from node_diag.preparation import make_setup
from node_diag.problem import Dynamics, Loss, Problem
from node_diag.references.base import Vector, slices
from node_diag.references.frame import random_frame
from node_diag.references.linearize import Linearized
from node_diag.references.tangents import flow

MOST_STEPS, MOST_EVALUATIONS = 10_000, 2_000
"""Of the reverse-time solve, and of the sensitivities along each direction."""
PROBABILITY = 0.95
RTOL = 1e-7
"""Of the reference: far below the errors that matter to training, far above what it costs to know
more."""


@dataclass(frozen=True)
class Reading:
    """The gradient at one step, beside the true one.

    Attributes:
        step: number of the call of :meth:`Monitor.step`, from 1.
        error: relative L2 distance over all parameters, estimated from the directions.
        low, high: within which it lies with a probability of 95 %; the same as ``error`` where the
            directions span all parameters.
        cosine, cosine_low, cosine_high: of the angle to the true gradient, likewise.
        norm_ratio, norm_ratio_low, norm_ratio_high: ‖gradient‖ / ‖true gradient‖, likewise.
        failure: why there is no error; else empty.
        reconstruction: |z̄(t0) − z0| of a reverse-time solve, relative to the largest state; NaN if
            it was not asked for, infinite if it failed.
        seconds: that this reading took.
        overhead: share of all time since the monitor was made that went into readings.
    """

    step: int
    error: float
    low: float
    high: float
    cosine: float
    cosine_low: float
    cosine_high: float
    norm_ratio: float
    norm_ratio_low: float
    norm_ratio_high: float
    failure: str
    reconstruction: float
    seconds: float
    overhead: float


class Monitor:
    """Readings of a gradient every so many steps.

        monitor = node_diag.Monitor(odefunc, every=100, log="gradients.csv")
        ...
        loss.backward()
        monitor.step(z0, ts, loss_of_states)
        optimizer.step()

    Args:
        func: f(t, z), whose parameters are trained.
        every: steps from one reading to the next; the first step is read.
        directions: how many; with 8 of many parameters an error is known to a factor of two or so.
        params: of a function, the tensors it closes over, by name.
        reconstruct: whether a reverse-time solve is made as well.
        log: a CSV file that readings are appended to.
        writer: a TensorBoard SummaryWriter, or anything with ``add_scalar(tag, value, step)``.
        seed: of the directions.
        options: solver, rtol, … of the reverse-time solve, as :func:`node_diag.check` takes them.

    Attributes:
        readings: so far.
    """

    def __init__(
        self,
        func: Dynamics,
        *,
        every: int = 100,
        directions: int = 8,
        params: Mapping[str, Tensor] | None = None,
        reconstruct: bool = True,
        log: str | Path | None = None,
        writer: Any = None,
        seed: int = 0,
        **options: Any,
    ) -> None:
        if every < 1 or directions < 2:
            raise UsageError("a monitor needs every >= 1 and directions >= 2")
        self.func, self.params = func, params
        self.every, self.directions, self.seed = every, directions, seed
        self.log, self.writer = Path(log) if log else None, writer
        limits = {"methods": ["adjoint"], "max_steps": MOST_STEPS}
        self.config = resolve({**limits, **options}, {}, None).config
        if self.log is not None and not self.log.absolute().parent.is_dir():
            raise UsageError(f"log is '{self.log}', and there is no folder '{self.log.parent}'")
        self.reconstruct = reconstruct
        self.readings: list[Reading] = []
        self._steps, self._spent, self._start = 0, 0.0, time.perf_counter()

    def step(self, z0: State, ts: Sequence[float] | Tensor, loss: Loss) -> Reading | None:
        """Count a training step, after ``backward()``; read its gradient if it is time to.

        Args:
            z0: initial state of the batch.
            ts: t0 and the times the loss looks at.
            loss: of the states at ``ts[1:]``.

        Raises:
            ProblemError: no parameter has a gradient, or f or the loss cannot be used.
        """
        self._steps += 1
        if (self._steps - 1) % self.every:
            return None
        start = time.perf_counter()
        problem = Problem(self.func, z0, ts, loss, params=self.params)
        gradient = _gradient(problem)
        with torch.random.fork_rng(devices=[]):  # f's random numbers are the training's
            precise = problem.to(torch.float64, torch.device("cpu"), copy=True)
            found = self._compared(precise, gradient)
            reconstruct = self.reconstruct and not found.failure
            reconstruction = self._reconstruct(precise) if reconstruct else math.nan
        seconds = time.perf_counter() - start
        self._spent += seconds
        overhead = self._spent / (time.perf_counter() - self._start)
        reading = Reading(
            step=self._steps,
            **asdict(found),
            reconstruction=reconstruction,
            seconds=seconds,
            overhead=overhead,
        )
        self._tell(reading)
        return reading

    def _compared(self, problem: Problem, gradient: Vector) -> Comparison:
        """Whatever f is like, training goes on."""
        try:
            if not repeatability.inspect(problem).all_repeats("float64"):
                return Comparison(failure="f or the loss gives another value each time")
            return held_against_slopes(problem, gradient, self.directions, self.seed + self._steps)
        except (NoReferenceError, ProblemError, SolveError) as error:
            return Comparison(failure=str(error))

    def _reconstruct(self, problem: Problem) -> float:
        try:
            done = run("adjoint", method_of("adjoint"), problem, make_setup(problem, self.config))
        except (SolveError, ProblemError):
            return math.inf
        z0 = problem.flat_z0().numpy()
        largest = max(norm(z0), *(norm(z) for z in done.solution.zs.numpy()))
        return norm(np.array(done.backward.reconstruction[-1][1]) - z0) / (largest or 1.0)

    def _tell(self, reading: Reading) -> None:
        self.readings.append(reading)
        if self.log is not None:
            is_new = not self.log.exists() or self.log.stat().st_size == 0
            with self.log.open("a", newline="", encoding="utf-8") as file:
                rows = csv.DictWriter(file, list(asdict(reading)))
                if is_new:
                    rows.writeheader()
                rows.writerow(asdict(reading))
        if self.writer is not None:
            for name in ("error", "cosine", "norm_ratio", "reconstruction"):
                value = getattr(reading, name)
                if not math.isnan(value):
                    self.writer.add_scalar(f"node_diag/{name}", value, reading.step)


def _gradient(problem: Problem) -> Vector:
    """What is in ``grad`` of the parameters, (P,)."""
    parts = {name: p.grad for name, p in problem.params.items()}
    if all(grad is None for grad in parts.values()):
        raise ProblemError("no parameter of f has a gradient: call step() after loss.backward()")
    flat = [
        np.zeros(problem.params[name].numel())
        if grad is None
        else grad.detach().double().cpu().numpy().ravel()
        for name, grad in parts.items()
    ]
    return np.concatenate(flat)


@dataclass(frozen=True)
class Comparison:
    """A gradient beside the true one; see :class:`Reading`."""

    error: float = math.nan
    low: float = math.nan
    high: float = math.nan
    cosine: float = math.nan
    cosine_low: float = math.nan
    cosine_high: float = math.nan
    norm_ratio: float = math.nan
    norm_ratio_low: float = math.nan
    norm_ratio_high: float = math.nan
    failure: str = ""


def held_against_slopes(
    problem: Problem, gradient: Vector, directions: int, seed: int
) -> Comparison:
    """Hold a gradient in the parameters against derivatives along a few directions.

    Args:
        problem: float64, on the CPU.
        gradient: (P,).
        directions: k.
        seed: of the random ones.

    Raises:
        NoReferenceError: the sensitivities do not stay finite, or take too long.
        ProblemError: f has no forward-mode derivative.
    """
    size = norm(gradient)
    if not math.isfinite(size):
        return Comparison(failure="the gradient is not finite")
    if size == 0:
        return _of_nothing(problem, gradient.size, directions, seed)
    lines = lines_along(gradient, directions, seed)
    return estimate(size, _slopes(problem, lines), gradient.size)


def _of_nothing(problem: Problem, n: int, directions: int, seed: int) -> Comparison:
    """A gradient of zeros: all is wrong, unless the true one is zero too."""
    slopes = _slopes(problem, random_frame(n, min(directions, n), seed))
    if not np.any(slopes):
        return Comparison(failure="the gradient is zero, and so is the true one as far as is seen")
    return Comparison(
        error=1.0, low=1.0, high=1.0, norm_ratio=0.0, norm_ratio_low=0.0, norm_ratio_high=0.0
    )


def lines_along(gradient: Vector, directions: int, seed: int) -> Vector:
    """The direction of the gradient, and random ones across it, orthonormal (k, P)."""
    own = gradient / norm(gradient)
    count = min(directions, gradient.size)
    frame, _ = np.linalg.qr(np.concatenate([own[None], random_frame(own.size, count, seed)]).T)
    lines = frame.T[:count]
    lines[0] = own  # up to the sign that QR gave it
    return lines


def estimate(size: float, slopes: Vector, n: int) -> Comparison:
    """What slopes along :func:`lines_along` say of a gradient of norm ``size`` in n dimensions.

    Along the gradient the true one has the part s, which is known. Of the square R² of what is
    across it, k − 1 random directions see a share that is distributed as
    Beta((k − 1)/2, (n − k)/2), whatever the gradients are: so R² is known with its interval, and
    with it whatever depends on R² alone.
    """
    k, along = len(slopes) - 1, float(slopes[0])
    seen = float(np.sum(slopes[1:] ** 2))
    likely, low, high = (seen * factor for factor in _factors(k, n - 1))
    if math.hypot(along, math.sqrt(likely)) == 0:
        return Comparison(failure="the true gradient is zero as far as is seen")

    def of(rest: float) -> tuple[float, float, float]:
        true = math.hypot(along, math.sqrt(rest)) or math.nan
        return math.hypot(size - along, math.sqrt(rest)) / true, along / true, size / true

    # Each of the three goes one way with R².
    best, ends = of(likely), list(zip(of(low), of(high), strict=True))
    (low_e, high_e), (low_c, high_c), (low_n, high_n) = (sorted(pair) for pair in ends)
    return Comparison(best[0], low_e, high_e, best[1], low_c, high_c, best[2], low_n, high_n)


def _factors(k: int, n: int) -> tuple[float, float, float]:
    """R² over what k of n directions see of it: unbiased, and the ends of its interval."""
    if k == n:
        return 1.0, 1.0, 1.0
    from scipy.special import betaincinv

    tail = (1 - PROBABILITY) / 2
    most, least = (float(betaincinv(k / 2, (n - k) / 2, q)) for q in (1 - tail, tail))
    return n / k, 1 / most, 1 / least


def _slopes(problem: Problem, lines: Vector) -> Vector:
    """Derivative of the loss along lines in the parameters (k, P), (k,)."""
    system = Linearized(problem)
    whole = np.concatenate([np.zeros((len(lines), problem.layout.numel)), lines], axis=1)
    states, tangents = flow(problem, system, whole, problem.ts, RTOL, MOST_EVALUATIONS)
    cotangents, direct = loss_vjp(problem, torch.from_numpy(states))
    found = np.einsum("kd,kmd->m", cotangents.numpy(), tangents)
    for name, extra in direct.items():
        part = slices(problem)[f"params.{name}"]
        own = slice(part.start - problem.layout.numel, part.stop - problem.layout.numel)
        found += lines[:, own] @ extra.numpy().ravel()
    return found
