"""Kinks and jumps of f along the trajectory: where it is not smooth, and in what way.

Every operation with a kink or a step (relu, abs, clamp, maximum, comparisons, floor …) is watched
while f is evaluated along the forward trajectory. Where the pattern of its input's signs changes
between two points, the change is located by bisection, and f is compared on both sides: the same
value means a kink, another one a jump; a jump that depends on the state makes the sensitivities
jump as well, which autograd does not know.
"""

from __future__ import annotations

from collections.abc import Callable

from node_diag.inspection.forward_path import ForwardPath
from node_diag.inspection.jumps import BISECTIONS, JUMP, LOCATED, together, unnamed_jumps
from node_diag.problem import Problem
from node_diag.records import Switch
from node_diag.references.branches import changes
from node_diag.solvers.solution import Solution
from node_diag.solvers.tableau import Tableau


def inspect(problem: Problem, tableau: Tableau, solution: Solution) -> list[Switch]:
    """One entry for each operation that changes its branch along the forward trajectory."""
    path = ForwardPath(problem, tableau, solution)
    if not path.pattern(path.times[0]):
        return unnamed_jumps(path)
    patterns = [path.pattern(t) for t in path.times]
    crossings: dict[int, list[tuple[float, float, int]]] = {}
    for before, after, old, new in zip(
        path.times, path.times[1:], patterns, patterns[1:], strict=False
    ):
        for index, count in changes(old, new).items():
            crossings.setdefault(index, []).append((before, after, count))
    names = [name for name, _ in patterns[0]]
    merged: dict[str, list[Switch]] = {}
    for index, found in crossings.items():
        name = names[index] if index < len(names) else "control flow"
        merged.setdefault(name, []).append(_describe(path, name, index, found))
    found = [together(name, many) for name, many in merged.items()]
    if not any(one.jump for one in found):
        found += unnamed_jumps(path)
    return found


def _describe(
    path: ForwardPath, name: str, index: int, crossings: list[tuple[float, float, int]]
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
            in_state = in_state or bool(changes(mixed, target))
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


def _bisect(path: ForwardPath, index: int, early: float, late: float) -> tuple[float, float]:
    """A bracket of a change of the operation's branch, as narrow as floating point allows."""
    start = path.pattern(early)
    differs: Callable[[float], bool] = lambda t: index in changes(start, path.pattern(t))  # noqa: E731
    for _ in range(BISECTIONS):
        middle = 0.5 * (early + late)
        if middle in (early, late):
            break
        early, late = (early, middle) if differs(middle) else (middle, late)
    return early, late
