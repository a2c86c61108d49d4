"""Which settings to take: for each problem the front and the cheapest, and one for all of them.

Settings of the solver and the method are choices. What the problem is (its arguments, the seed of
its weights) is not: a setting is held against others on the same problem only.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from node_diag.records.sweep import Choice, Sweep, SweepPoint
from node_diag.sweep.grid import idle

OF_THE_PROBLEM = ("seed", "reference")
"""Options that are not a choice either: the weights a module begins with, what it is held
against."""


def problem_axes(axes: Mapping[str, Sequence[Any]], options: Sequence[str]) -> list[str]:
    """Those along which it is another problem; ``options`` are the axes that are options."""
    return [name for name in axes if name not in options or name in OF_THE_PROBLEM]


def choices(
    points: Sequence[SweepPoint],
    axes: Mapping[str, Sequence[Any]],
    options: Sequence[str],
    target: float,
) -> list[Choice]:
    """The front and the cheapest point of every problem."""
    names = problem_axes(axes, options)
    groups: dict[str, list[int]] = {}
    for i, point in enumerate(points):
        groups.setdefault(_key(point, names), []).append(i)
    found: list[Choice] = []
    for own in groups.values():
        mine = [points[i] for i in own]
        best = cheapest(mine, target)
        found.append(
            Choice(
                at={name: mine[0].at[name] for name in names},
                cheapest=None if best is None else own[best],
                front=[own[i] for i in front(mine)],
            )
        )
    return found


def everywhere(
    points: Sequence[SweepPoint], problems: Sequence[Choice], target: float
) -> list[int]:
    """The setting that certainly meets the target on every problem, for the fewest evaluations.

    Returns:
        Its point on each problem, in their order; none if there is no such setting.
    """
    by_setting: dict[str, list[int]] = {}
    for i, point in enumerate(points):
        if _meets(point, target):
            others = [name for name in point.at if name not in problems[0].at]
            by_setting.setdefault(point.method + _key(point, others), []).append(i)
    whole = [own for own in by_setting.values() if len(own) == len(problems)]
    return min(whole, key=lambda own: sum(points[i].nfe or 0 for i in own), default=[])


def _key(point: SweepPoint, names: Sequence[str]) -> str:
    return repr([point.at[name] for name in names])


def is_at(point: SweepPoint, at: Mapping[str, Any]) -> bool:
    """Whether a point has these values on these axes."""
    return all(point.at[name] == value for name, value in at.items())


def cheapest(points: Sequence[SweepPoint], target: float) -> int | None:
    """The point that certainly meets the target with the fewest evaluations of f."""
    meets = [
        (point.nfe, point.worst, i)
        for i, point in enumerate(points)
        if point.nfe is not None and point.worst is not None and _meets(point, target)
    ]
    return min(meets)[2] if meets else None


def front(points: Sequence[SweepPoint]) -> Iterator[int]:
    """Points that none beats in both error and evaluations, the cheapest first.

    One that costs more has to be more accurate by more than the errors are uncertain.
    """
    known = [
        (point.nfe, point.error, point.uncertainty or 0.0, i)
        for i, point in enumerate(points)
        if point.nfe is not None and point.error is not None and point.error >= 0
    ]
    least = bar = math.inf
    for _, error, uncertainty, i in sorted(known):
        if least == math.inf or error + uncertainty + bar < least:
            least, bar = error, uncertainty
            yield i


def _meets(point: SweepPoint, target: float) -> bool:
    return point.nfe is not None and point.worst is not None and point.worst <= target


def looked_at(found: Sweep, at: Mapping[str, Any], method: str | None = None) -> dict[str, Any]:
    """Values on axes without options that the solver there does not look at, nor the method."""
    asked_for = None if method is None else found.methods[method]
    unseen = idle({**found.options, **at}, asked_for)
    return {k: v for k, v in at.items() if not (k in found.varied_options and k in unseen)}
