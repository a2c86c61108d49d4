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
from torch import Tensor, nn

from node_diag import random_numbers
from node_diag.capturing.leaves import held_by, moments
from node_diag.config_sources import resolve
from node_diag.errors import NoReferenceError, ProblemError, SolveError, UsageError
from node_diag.gradients.base import run
from node_diag.gradients.lookup import method_of
from node_diag.inspection import repeatability
from node_diag.layout import State
from node_diag.norms import norm
from node_diag.preparation import make_setup
from node_diag.problem import Dynamics, Loss, Problem
from node_diag.reachable.before import Before, untouched
from node_diag.reachable.graphs import sources_of
from node_diag.reachable.kept import spots, still_lost
from node_diag.references.base import Vector
from node_diag.references.slopes import Comparison, held_against_slopes

MOST_STEPS = 10_000
"""Of the reverse-time solve."""


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
        self.func, self.params, self._before = func, params, Before(func)
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
        # f's random numbers are the training's, and what its norms have seen.
        with untouched(self.func), random_numbers.kept():
            precise = problem.to(torch.float64, torch.device("cpu"), copy=True)
            prepared = self._prepared(z0, ts) or self._kept(problem)
            found = Comparison(failure=prepared) if prepared else self._compared(precise, gradient)
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

    def _prepared(self, z0: State, ts: Sequence[float] | Tensor) -> str:
        """Why the gradient cannot be compared: a way to it that does not lead through f alone."""
        if not isinstance(self.func, nn.Module):
            return ""
        own = tuple(self.func.parameters())
        held = held_by(self.func, moments(ts), z0, own)
        ids = set(map(id, own))
        names = [name for name, x in held.all.items() if sources_of(x).keys() & ids]
        if not names:
            return ""
        return (
            f"f holds {', '.join(names)}, computed from its parameters before it is called: "
            "compute that in forward to have it monitored, or check it with check_model"
        )

    def _kept(self, problem: Problem) -> str:
        """Why it cannot be: differences of f do not see what it keeps either."""
        t0 = torch.tensor(problem.t0, dtype=problem.dtype, device=problem.device)
        asked = spots(t0, problem.t1, problem.z0)
        names = still_lost(self.func, asked, problem.params, self._before)
        if not names:
            return ""
        return (
            f"f keeps what it computed from {', '.join(names)} in an earlier evaluation, and the "
            "gradient there is lost, or a part of it: compute it in every evaluation"
        )

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
