"""Run every comparison, print the table, and write docs/benchmarks.md."""

from __future__ import annotations

import argparse
import platform
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.bench import command, solving
from tests.bench.ratio import Ratio

COMPARISONS: list[tuple[str, float, Callable[[], Ratio]]] = [
    ("`node-diag check vanderpol --rtol 1e-5` / bare imports", 3.0, command.whole_check),
    ("forward per f evaluation / torchdiffeq's", 0.5, solving.forward_per_evaluation),
    ("aca gradient / torchdiffeq's odeint_adjoint", 0.6, solving.aca_gradient),
]
"""What is compared, the ratio it must not exceed, and how it is measured."""


@dataclass(frozen=True)
class Row:
    """One comparison and its outcome."""

    name: str
    bar: float
    ratio: Ratio

    def markdown(self) -> str:
        r = self.ratio
        met = "yes" if r.median <= self.bar else "**no**"
        return (
            f"| {self.name} | {r.median:.2f} | {r.low:.2f} – {r.high:.2f} | ≤ {self.bar:g} | {met} "
            f"| {r.ours} vs {r.theirs} |"
        )


def page(rows: list[Row], start_up: list[tuple[str, float]]) -> str:
    """docs/benchmarks.md."""
    lines = [
        "# Benchmarks",
        "",
        "Written by `make bench`. Everything is a ratio within one run, the two sides taking turns;",
        "the range is over the pairs of that run. Absolute times are of one machine and move with it.",
        "",
        f"Measured on {platform.system()} {platform.machine()}, Python {platform.python_version()}.",
        "",
        "| comparison | median | range | bar | met | medians |",
        "|---|---|---|---|---|---|",
        *(row.markdown() for row in rows),
        "",
        "| start-up (median of 7) | seconds | bar |",
        "|---|---|---|",
        *(f"| `node-diag {name}` | {seconds:.2f} | ≤ 0.35 |" for name, seconds in start_up),
        "",
        "The floor of a forward solve is the number of f evaluations times the cost of f alone: on",
        f"van der Pol one step of ours per evaluation takes {solving.over_bare_f().median:.2f} times the",
        "bare f.",
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("docs/benchmarks.md"))
    output: Path = parser.parse_args().output
    rows = [Row(name, bar, measure()) for name, bar, measure in COMPARISONS]
    text = page(rows, command.start_up())
    output.write_text(text, encoding="utf-8")
    print(text)  # noqa: T201 - the result of this command


if __name__ == "__main__":
    main()
