"""Kinks and jumps of f along the trajectory: where it is not smooth, and in what way.

Every operation with a kink or a step (relu, abs, clamp, maximum, comparisons, floor …) is watched
while f is evaluated along the forward trajectory. Where the pattern of its input's signs changes
between two points, the change is located by bisection, and f is compared on both sides: the same
value means a kink, another one a jump; a jump that depends on the state makes the sensitivities
jump as well, which autograd does not know.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from node_diag.errors import ProblemError
from node_diag.field import Field
from node_diag.measure.trajectory import states_at
from node_diag.problem import Problem
from node_diag.records import Switch
from node_diag.solvers.solution import Solution
from node_diag.solvers.tableau import Tableau

MOST_POINTS = 400
PER_STEP = 4
"""Points of the trajectory in every accepted step; fewer where there are many steps."""
BISECTIONS = 40
LOCATED = 6
"""Switches that are located and looked at from both sides, for each operation."""
JUMP = 1e-6
"""Relative difference of f across a switch above which it is a jump."""
STANDS_OUT = 1.5
"""Times what a component moves over the neighbouring intervals."""
SETTLED = 6
"""Bisections after which a smooth f is known by how its change shrinks."""
NUDGE, MOST_MOVERS = 1e-6, 16
"""Relative change of a parameter that may move a jump; entries of a parameter that is tried."""
_SIGN = {"relu", "relu_", "leaky_relu", "elu", "abs", "prelu", "threshold", "celu", "selu", "rrelu"}
_RANGE = {"clamp", "clamp_min", "clamp_max", "hardtanh", "relu6", "hardsigmoid", "hardswish"}
_OUTPUT = {
    *("gt", "lt", "ge", "le", "eq", "ne", "sign", "floor", "ceil", "round", "trunc", "frac"),
    *("floor_divide", "remainder", "fmod", "heaviside", "sgn", "argmax", "argmin", "bucketize"),
}
_CHOICE = {"maximum", "minimum", "fmax", "fmin"}
_INDEX = {"max", "min", "sort", "topk", "max_pool2d_with_indices", "median", "kthvalue"}

Pattern = list[tuple[str, Tensor]]


class _Watch(TorchDispatchMode):
    """Notes the branch every non-smooth operation takes."""

    def __init__(self) -> None:
        super().__init__()
        self.pattern: Pattern = []
        self.reads = False

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Without this, the first operation imports torch._dynamo: over a second, for nothing."""
        return False

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        found = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        self.reads = self.reads or name == "_local_scalar_dense"
        branch = _branch(name, args, kwargs or {}, found)
        if branch is not None:
            self.pattern.append((name.rstrip("_"), branch.detach().clone().reshape(-1)))
        return found


def _branch(name: str, args: tuple[Any, ...], kwargs: dict[str, Any], found: Any) -> Tensor | None:
    name = name.rstrip("_")
    if name in _SIGN:
        return args[0] > 0
    if name in _RANGE:
        return args[0] == found if isinstance(found, Tensor) else None
    if name in _OUTPUT and isinstance(found, Tensor):
        return torch.trunc(args[0] / args[1]) if name in ("remainder", "fmod") else found
    if name in _CHOICE:
        return args[0] > args[1]
    if name in _INDEX and isinstance(found, tuple | list) and len(found) > 1:
        return found[1]
    return None


def inspect(problem: Problem, tableau: Tableau, solution: Solution) -> list[Switch]:
    """One entry for each operation that changes its branch along the forward trajectory."""
    path = _Path(problem, tableau, solution)
    if not path.pattern(path.times[0]):
        return _jumps_that_no_operation_shows(path)
    patterns = [path.pattern(t) for t in path.times]
    crossings: dict[int, list[tuple[float, float, int]]] = {}
    for before, after, old, new in zip(
        path.times, path.times[1:], patterns, patterns[1:], strict=False
    ):
        for index, count in _changes(old, new).items():
            crossings.setdefault(index, []).append((before, after, count))
    names = [name for name, _ in patterns[0]]
    merged: dict[str, list[Switch]] = {}
    for index, found in crossings.items():
        name = names[index] if index < len(names) else "control flow"
        merged.setdefault(name, []).append(_describe(path, name, index, found))
    found = [_together(name, many) for name, many in merged.items()]
    if not any(one.jump for one in found):
        found += _jumps_that_no_operation_shows(path)
    return found


def _jumps_that_no_operation_shows(path: _Path) -> list[Switch]:
    """``if z > 1:`` in Python, atan2, a cast to integers: f itself shows them, where it moves most.

    Each component by itself: a slow one may jump beside a fast one.
    """
    moves = np.stack([path.move(a, b) for a, b in itertools.pairwise(path.times)])
    found: list[Switch] = []
    for i in _standing_out(moves):
        early, late, jump = _steepest(path, path.times[i], path.times[i + 1])
        if jump > JUMP:
            mixed = path.value_at(late, path.state(early))
            f_early, f_late = path.value(early), path.value(late)
            in_state = bool(torch.dist(mixed, f_early) < torch.dist(mixed, f_late))
            found.append(
                Switch(
                    operation="jump" if not path.reads else "if",
                    crossings=1, times=[late], jump=jump, in_state=in_state,
                    by_parameter="" if in_state else path.mover(late),
                )
            )  # fmt: skip
    return [_together(found[0].operation, found)] if found else []


def _standing_out(moves: np.ndarray) -> list[int]:
    """Intervals over which a component moves more than over both neighbours, the clearest first.

    A smooth f, at points this close, moves about as much over neighbouring intervals.
    """
    around = np.pad(moves, ((1, 1), (0, 0)))
    neighbours = np.maximum(around[:-2], around[2:])
    with np.errstate(all="ignore"):
        lead = np.where(moves > JUMP, moves / neighbours, 0.0).max(axis=1)
    clearest = np.argsort(-lead)[: 2 * LOCATED]
    return sorted(int(i) for i in clearest if lead[i] > STANDS_OUT)


def _steepest(path: _Path, early: float, late: float) -> tuple[float, float, float]:
    """Bisect towards the larger change of f; what is left of it in the end is a jump.

    A smooth f changes half as much over half the interval, and is left early.
    """
    first = float(path.move(early, late).max())
    for i in range(BISECTIONS):
        middle = 0.5 * (early + late)
        if middle in (early, late):
            break
        here, there = (float(path.move(*ends).max()) for ends in ((early, middle), (middle, late)))
        early, late = (early, middle) if here > there else (middle, late)
        if i >= SETTLED and max(here, there) < first * 2.0 ** (-i / 2):
            return early, late, 0.0
    return early, late, float(path.move(early, late).max())


class _Path:
    """F along the dense output of the forward solve."""

    def __init__(self, problem: Problem, tableau: Tableau, solution: Solution) -> None:
        self.problem, self.tableau, self.solution = problem, tableau, solution
        self.field = Field(problem)
        self.reads = False
        edges = np.asarray([*solution.grid.starts(), solution.grid.t1])
        per_step = max(1, min(PER_STEP, MOST_POINTS // max(1, len(edges) - 1)))
        parts = np.arange(per_step) / per_step
        inside = (edges[:-1, None] + np.diff(edges)[:, None] * parts).ravel()
        every = np.append(inside, edges[-1])
        keep = np.unique(np.linspace(0, len(every) - 1, min(len(every), MOST_POINTS)).astype(int))
        self.times = [float(t) for t in every[keep]]
        self.states = dict(zip(self.times, self._at(np.asarray(self.times)), strict=True))
        self.values: dict[float, Tensor] = {}
        self.sizes = torch.stack([self.value(t).abs() for t in self.times]).amax(0)

    def _at(self, times: np.ndarray) -> list[Tensor]:
        found = states_at(self.problem, self.tableau, self.solution, times)
        return [torch.as_tensor(z).to(self.problem.flat_z0()) for z in found]

    def state(self, t: float) -> Tensor:
        if t not in self.states:
            self.states[t] = self._at(np.asarray([t]))[0]
        return self.states[t]

    def value(self, t: float) -> Tensor:
        """F on the trajectory."""
        if t not in self.values:
            self.values[t] = self.value_at(t, self.state(t))
        return self.values[t]

    def value_at(self, t: float, z: Tensor) -> Tensor:
        time = torch.tensor(t, dtype=z.dtype, device=z.device)
        with torch.no_grad():
            return self.field(time, z).detach()

    def move(self, early: float, late: float) -> np.ndarray:
        """|f(late) − f(early)| of every component, relative to its largest value, (D,)."""
        change = (self.value(late) - self.value(early)).abs()
        return torch.where(self.sizes > 0, change / self.sizes, 0.0).double().cpu().numpy()

    def mover(self, t: float) -> str:
        """A parameter by which the jump just before t can be moved past t; empty if there is none.

        One that f jumps in, at a fixed time and state, when it is changed by a millionth.
        """
        z = self.state(t)
        here = self.value(t)
        params = {name: p.detach() for name, p in self.problem.params.items()}
        for name, p in params.items():
            if p.numel() > MOST_MOVERS:
                continue
            for sign in (1, -1):
                moved = {**params, name: p + sign * NUDGE * p.abs().clamp(min=1e-3)}
                try:
                    with torch.no_grad():
                        time = torch.tensor(t, dtype=z.dtype, device=z.device)
                        there = self.field.with_params(moved)(time, z).detach()
                except ProblemError:
                    continue
                change = torch.where(self.sizes > 0, (there - here).abs() / self.sizes, 0.0)
                if float(change.max()) > 1e3 * NUDGE:
                    return name
        return ""

    def pattern(self, t: float) -> Pattern:
        return self.watched(t, self.state(t))[1]

    def watched(self, t: float, z: Tensor) -> tuple[Tensor, Pattern]:
        time = torch.tensor(t, dtype=z.dtype, device=z.device)
        with torch.no_grad(), _Watch() as watch:
            value = self.field(time, z).detach()
        self.reads = self.reads or watch.reads
        return value, watch.pattern


def _changes(old: Pattern, new: Pattern) -> dict[int, int]:
    """Entries that changed their branch, by position of the operation in f."""
    if [name for name, _ in old] != [name for name, _ in new]:
        return {min(len(old), len(new)): 1}
    found = {
        i: int((a != b).sum()) if a.shape == b.shape else 1
        for i, ((_, a), (_, b)) in enumerate(zip(old, new, strict=True))
    }
    return {i: count for i, count in found.items() if count}


def _describe(
    path: _Path, name: str, index: int, crossings: list[tuple[float, float, int]]
) -> Switch:
    times: list[float] = []
    jump, in_state, mover = 0.0, False, ""
    for before, after, _ in crossings[:LOCATED]:
        early, late = _bisect(path, index, before, after)
        times.append(late)
        step = float(path.move(early, late).max())
        if step > JUMP:
            # The same time, the state from before: if that is the early branch, the state decides.
            _, mixed = path.watched(late, path.state(early))
            _, target = path.watched(late, path.state(late))
            in_state = in_state or bool(_changes(mixed, target))
            mover = mover or ("" if in_state else path.mover(late))
        jump = max(jump, step)
    return Switch(
        operation=name,
        crossings=sum(count for _, _, count in crossings),
        times=times,
        jump=jump if jump > JUMP else 0.0,
        in_state=in_state,
        by_parameter=mover,
    )


def _bisect(path: _Path, index: int, early: float, late: float) -> tuple[float, float]:
    """A bracket of a change of the operation's branch, as narrow as floating point allows."""
    start = path.pattern(early)
    differs: Callable[[float], bool] = lambda t: index in _changes(start, path.pattern(t))  # noqa: E731
    for _ in range(BISECTIONS):
        middle = 0.5 * (early + late)
        if middle in (early, late):
            break
        early, late = (early, middle) if differs(middle) else (middle, late)
    return early, late


def _together(name: str, many: list[Switch]) -> Switch:
    """One entry for all operations of one kind in f."""
    return Switch(
        operation=name,
        crossings=sum(one.crossings for one in many),
        times=sorted({t for one in many for t in one.times})[:LOCATED],
        jump=max(one.jump for one in many),
        in_state=any(one.in_state for one in many),
        by_parameter=next((one.by_parameter for one in many if one.by_parameter), ""),
    )
