"""``--over NAME=VALUES`` → what is varied. No torch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from node_diag.command_line import parse_assignments
from node_diag.config import CheckConfig, option_text
from node_diag.errors import UsageError
from node_diag.registry import SOLVERS, suggest

OPTIONS = (
    *("solver", "rtol", "atol", "adjoint_rtol", "adjoint_atol", "step_size", "max_step"),
    *("control", "max_steps", "reference", "dtype", "device", "seed"),
)
"""Options of a check that decide what a gradient is and costs."""
METHOD = ("method", "methods")
GEOMETRIC = ("rtol", "atol", "adjoint_rtol", "adjoint_atol", "step_size", "max_step")
"""Options whose ranges are evenly spaced on a logarithmic axis."""
RANGE_PARTS = 3
MOST_VALUES = 10_000


@dataclass(frozen=True)
class Axis:
    """One thing that is varied.

    Attributes:
        name: an option of a check (``rtol``), or a keyword argument of the problem (``mu``).
        values: those it takes, in the order in which they were given.
        is_option: which of the two it is.
    """

    name: str
    values: tuple[Any, ...]
    is_option: bool

    @property
    def text(self) -> str:
        """As it is typed: ``rtol=0.001,1e-5``."""
        return f"{self.name}={','.join(option_text(value) for value in self.values)}"


def parse(texts: Sequence[str]) -> tuple[list[Axis], list[str]]:
    """Axes, and the methods if they were given as one.

    ``rtol=1e-3:1e-9:7`` are seven values from the first to the last, evenly spaced on a
    logarithmic axis for tolerances and step sizes, on a plain one for all else;
    ``solver=rk23,dopri5`` are the values themselves.

    Raises:
        UsageError: an entry cannot be read, or names the same thing twice.
    """
    axes: list[Axis] = []
    methods: list[str] = []
    for text in texts:
        name, separator, values = text.partition("=")
        name = name.strip().lstrip("-").replace("-", "_")
        if not separator or not name.isidentifier() or not values.strip():
            raise UsageError(f"--over {text}: write it as NAME=FROM:TO:COUNT or NAME=VALUE,VALUE,…")
        if name in METHOD:
            methods += [value.strip() for value in values.split(",")]
            continue
        axis = Axis(name, tuple(_values(text, name, values)), _is_option(name, text))
        if any(other.name == name for other in axes):
            raise UsageError(f"--over {name} is given twice; put all of its values into one")
        if len({_same(name, value) for value in axis.values}) < len(axis.values):
            raise UsageError(f"--over {text}: a value is given twice")
        axes.append(axis)
    return axes, methods


def _same(name: str, value: Any) -> str:
    """Equal for 1 and 1.0, and for two names of a solver, which are one setting."""
    if name == "solver":
        value = dict(SOLVERS.aliases).get(str(value), value)
    whole = isinstance(value, float) and value.is_integer()
    return repr(int(value) if whole else value)


def _is_option(name: str, text: str) -> bool:
    if name in OPTIONS:
        return True
    if name in CheckConfig.model_fields:
        raise UsageError(
            f"--over {text}: {name} changes nothing of a gradient; what can be varied is a keyword "
            f"argument of the problem, method, or one of: {', '.join(OPTIONS)}{suggest(name, [])}"
        )
    return False


def _values(text: str, name: str, values: str) -> list[Any]:
    parts = values.split(":")
    if len(parts) == 1:
        return [parse_assignments([f"{name}={value}"])[name] for value in values.split(",")]
    try:
        first, last = float(parts[0]), float(parts[1])
        number = int(parts[2])
    except (ValueError, IndexError):
        number, first, last = 0, math.nan, math.nan
    if (
        len(parts) != RANGE_PARTS
        or not 1 < number <= MOST_VALUES
        or not math.isfinite(last - first)
    ):
        raise UsageError(
            f"--over {text}: a range is FROM:TO:COUNT, two numbers and a count from 2 to "
            f"{MOST_VALUES}"
        )
    whole = all(part.strip().lstrip("+-").isdigit() for part in parts)
    if name in GEOMETRIC:
        if first <= 0 or last <= 0:
            raise UsageError(f"--over {text}: {name} is spaced logarithmically, so it is positive")
        ratio = math.log(last / first) / (number - 1)
        found = [_short(first * math.exp(ratio * i)) for i in range(number)]
    else:
        found = [_short(first + (last - first) * i / (number - 1)) for i in range(number)]
    return [int(x) if whole and x == int(x) else x for x in [first, *found[1:-1], last]]


def _short(x: float) -> float:
    """Without the round-off of the spacing: 1e-05, not 9.999999999999996e-06."""
    return float(f"{x:.6g}")
