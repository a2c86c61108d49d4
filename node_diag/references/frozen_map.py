"""The loss of the frozen map for many inputs at once: only values of f, never its derivatives."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from node_diag.errors import NoReferenceError, ProblemError
from node_diag.field import Field
from node_diag.gradients.base import loss_vjp
from node_diag.measure.memory import LiveBytes
from node_diag.norms import norm
from node_diag.problem import Problem
from node_diag.references.base import Vector, entry_name, flat_inputs, slices
from node_diag.references.captured import captured
from node_diag.solvers.step_map import StepMap

MEMORY = 128 * 2**20
"""Bytes that the inputs, states, stages and one evaluation of f of a batch may take."""
MOST_LANES = 512
"""Solves in one batch; more of them are not faster."""
STAGES = 12
"""Copies of the state that a step holds: stages, and what is made of them."""
MANY = 3_000
"""Evaluations in one solve from which capturing f costs less than it saves."""
MOST_LOOPED = 400_000
"""Evaluations of an f that cannot be vmapped."""


class FrozenMap:
    """x = (z0, θ, ts) → loss, with the accepted step sizes constant.

    Attributes:
        steps: the map whose observed states go into the loss.
        base: inputs of the problem (n,).
        parts: where z0, each parameter and ``ts`` lie in them.
        loss: at the base.
        direct: ∂L/∂θ of parameters that the loss uses itself; the lanes move the dynamics only.
        batched: whether the lanes go through f in one vmapped call.
    """

    def __init__(self, problem: Problem, steps: StepMap) -> None:
        self.problem, self.steps = problem, steps
        self.base = flat_inputs(problem)
        self.parts = slices(problem)
        self._field = Field(problem)
        self._base = torch.from_numpy(self.base)
        self._params = {
            name: self._base[self.parts[f"params.{name}"]].reshape(p.shape)
            for name, p in problem.params.items()
        }
        self.batched = True
        self._known: dict[bytes, float] = {}
        with torch.no_grad(), LiveBytes(problem.params.values()) as live:
            z0 = problem.flat_z0()
            self._field(torch.tensor(problem.t0, dtype=z0.dtype), z0)
        self._bytes_of_f = live.peak
        with torch.no_grad():
            zs = steps(self._field, problem.flat_z0(), self._base[self.parts["ts"]])
            self.loss = float(problem.loss_of(zs))
        self.direct = self._direct(zs)

    @property
    def evaluations(self) -> int:
        """Evaluations of f in one solve."""
        return self.steps.evaluations

    @property
    def dynamic(self) -> list[str]:
        """Parts that are not times."""
        return [name for name in self.parts if name != "ts"]

    def scale(self) -> Vector:
        """See :func:`input_scale`."""
        return input_scale(self.problem)

    def name_of(self, index: int) -> str:
        """What an input is called: ``net.0.weight[17]``."""
        return entry_name(self.parts, index)

    def losses(self, rows: Tensor, moved: Sequence[str], solves: int) -> Vector:
        """Loss at B inputs, (B, n), that differ from the base in the parts ``moved`` only.

        Args:
            rows: inputs.
            moved: names in ``parts``; the others are shared by all lanes, which is cheaper.
            solves: how many solves the whole task takes, to refuse endless loops over f.

        Raises:
            NoReferenceError: f cannot be vmapped and the loop would take too long, or f gives
                another answer each time.
        """
        own = sum(self.parts[name].stop - self.parts[name].start for name in moved)
        state = self.problem.layout.numel * (STAGES + len(self.problem.ts))
        lanes = int(np.clip(MEMORY // (8 * (state + 3 * own) + self._bytes_of_f), 1, MOST_LANES))
        if self._known:
            known = [self._known.get(row.tobytes(), math.nan) for row in rows.numpy()]
            if not np.isnan(known).any():
                return np.array(known)
        with torch.no_grad():
            chunks = [self._checked(part, moved, solves) for part in rows.split(lanes)]
        return torch.cat(chunks).numpy()

    def look_ahead(self, rows: Tensor) -> None:
        """Take the losses at inputs that will be asked for soon: one long call for many short ones.

        What goes wrong is left for those who ask.
        """
        try:
            found = self.losses(rows, list(self.parts), len(rows))
        except NoReferenceError:
            return
        self._known = {row.tobytes(): v for row, v in zip(rows.numpy(), found, strict=True)}

    def _checked(self, rows: Tensor, moved: Sequence[str], solves: int) -> Tensor:
        """A chunk's losses; a row that is the base itself rides along and must give its loss.

        It does not where vmap runs but means something else (a value of f read with .item(), say),
        or where f gives another answer each time.
        """
        rows = torch.cat([self._base[None], rows])
        if self.batched:
            try:
                found = self._chunk(rows, moved)
            except Exception:
                self.batched = False
            else:
                if _close(float(found[0]), self.loss):
                    return found[1:]
                if self._is_same_f():
                    raise NoReferenceError(
                        "round-off alone, from adding up in another order, changes the loss on the "
                        f"same grid from {self.loss:.9g} to {float(found[0]):.9g}"
                    )
                self.batched = False
        self._refuse_long_loops(solves)
        try:
            found = self._chunk(rows, moved)
        except ProblemError as error:
            raise NoReferenceError(str(error)) from error
        if not _close(float(found[0]), self.loss):
            raise NoReferenceError(
                "f gives another answer when it is evaluated again on the same grid: "
                f"loss {self.loss:.9g}, then {float(found[0]):.9g}"
            )
        return found[1:]

    def _chunk(self, rows: Tensor, moved: Sequence[str]) -> Tensor:
        own = [name.removeprefix("params.") for name in moved if name.startswith("params.")]
        params = dict(self._params)
        for name in own:
            shape = (len(rows), *params[name].shape)
            params[name] = rows[:, self.parts[f"params.{name}"]].contiguous().reshape(shape)
        z0, ts = rows[:, self.parts["z0"]], rows[:, self.parts["ts"]].T
        many = self._field.batched(own) if self.batched else self._field.looped(own)
        if self.batched and self.evaluations > MANY:
            many = captured(many, ts[0], z0, params)
        return self._losses_of(self.steps(lambda t, z: many(t, z, params), z0, ts))

    def _is_same_f(self) -> bool:
        """Whether f means the same under vmap, all along the steps: then the flow amplifies."""
        seen: list[tuple[Tensor, Tensor, Tensor]] = []

        def noted(t: Tensor, z: Tensor) -> Tensor:
            value = self._field(t, z)
            seen.append((torch.as_tensor(t, dtype=torch.float64), z, value))
            return value

        self.steps(noted, self.problem.flat_z0(), self._base[self.parts["ts"]])
        times, states, plain = (torch.stack(x) for x in zip(*seen, strict=True))
        many = self._field.batched([])(times, states, self._params)
        gap = torch.linalg.vector_norm(many - plain, dim=1)
        return bool((gap <= 1e-9 * torch.linalg.vector_norm(many, dim=1)).all())

    def _losses_of(self, zs: Tensor) -> Tensor:
        """(K, B, D) → (B,); a loss that cannot be vmapped is called row by row."""
        try:
            return torch.func.vmap(self.problem.loss_of, in_dims=1)(zs)
        except Exception:
            return torch.stack(
                [self.problem.loss_of(zs[:, i].contiguous()) for i in range(zs.shape[1])]
            )

    def _direct(self, zs: Tensor) -> Vector:
        _, direct = loss_vjp(self.problem, zs)
        found = np.zeros(len(self.base))
        for name, gradient in direct.items():
            found[self.parts[f"params.{name}"]] = gradient.numpy().ravel()
        return found

    def _refuse_long_loops(self, solves: int) -> None:
        if solves * self.evaluations > MOST_LOOPED:
            raise NoReferenceError(
                f"f cannot be vmapped, and {solves} solves one by one would take "
                f"{solves * self.evaluations} evaluations"
            )


def input_scale(problem: Problem) -> Vector:
    """Size by which a perturbation of each input is measured (n,).

    max(1, |x|); for a state of smaller entries than one their root mean square instead of one; for
    times no more than the smallest distance between two of them.
    """
    base, parts = flat_inputs(problem), slices(problem)
    found = np.maximum(1.0, np.abs(base))
    z0 = np.abs(base[parts["z0"]])
    found[parts["z0"]] = np.maximum(min(1.0, norm(z0) / math.sqrt(z0.size)) or 1.0, z0)
    times = parts["ts"]
    gap = float(np.min(np.abs(np.diff(base[times]))))
    found[times] = np.minimum(found[times], gap)
    return found


def _close(a: float, b: float) -> bool:
    """Equal up to the order in which a batch adds things up."""
    return math.isfinite(a) and abs(a - b) <= 1e-6 * max(abs(a), abs(b)) + 1e-12
