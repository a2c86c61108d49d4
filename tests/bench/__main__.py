"""Run every comparison, print the table, and write docs/benchmarks.md with its picture."""

from __future__ import annotations

import argparse
import platform
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt

from node_diag.outputs.figures.style import sheet
from tests.bench import command, compiled, gradients, growth, solving
from tests.bench.ratio import Ratio

TICKS = (0.5, 0.7, 1.0, 1.5, 2.0, 3.0)


@dataclass(frozen=True)
class Comparison:
    """Two computations, and the ratio that ours must not exceed.

    Attributes:
        name: in Markdown.
        bar: the ratio.
        measure: both.
        limit: what decides the ratio, for who wants it smaller.
    """

    name: str
    bar: float
    measure: Callable[[], Ratio]
    limit: str


COMPARISONS = (
    Comparison(
        "`node-diag check vanderpol --rtol 1e-5` / bare imports", 2.2, command.whole_check,
        "work: some four times the imports in seconds of CPU, on two cores; most of it importing "
        "(torch here, matplotlib in the process that draws), counting under instruments that see "
        "every operation, two references, and the search for the cheapest setting",
    ),
    Comparison(
        "forward per f evaluation / torchdiffeq's", 0.35, solving.over_torchdiffeq,
        "the cost of f, which is nearly half of ours",
    ),
    Comparison(
        "forward per f evaluation / torchode's", 0.40, solving.over_torchode,
        "as above",
    ),
    Comparison(
        "forward / f alone", 2.0, solving.over_bare_f,
        "three tensor operations for each evaluation and some fifteen for each step",
    ),
    Comparison(
        "forward / f alone, a network 64 → 1,024 → 64 (f ≥ 1 ms)", 1.15, solving.over_slow_f,
        "as above, beside an f that takes long",
    ),
    Comparison(
        "forward / f alone, a network 1,024 → 64 → 1,024 (f ≥ 1 ms)", 1.15,
        solving.over_slow_f_of_a_wide_state,
        "memory: f reads and writes the state once, a step of seven stages some seventy times",
    ),
    Comparison(
        "aca gradient / torchdiffeq's odeint_adjoint", 0.45, gradients.aca_over_odeint_adjoint,
        "one graph of f for each evaluation of an accepted step",
    ),
    Comparison(
        "aca gradient / TorchDiffEqPack's ACA", 0.6, gradients.aca_over_torchdiffeqpacks,
        "as above",
    ),
    Comparison(
        "adjoint gradient / torchdiffeq's odeint_adjoint", 0.5,
        gradients.adjoint_over_odeint_adjoint,
        "one vjp of f for each evaluation; the numbers of evaluations differ",
    ),
    Comparison(
        "naive gradient / backprop through torchdiffeq's odeint", 0.6, gradients.naive_over_odeint,
        "what it goes through: the 40 rejected trials and the step-size control too, 1,009 "
        "evaluations of f, where odeint's graph has the 716 of its accepted steps",
    ),
    Comparison(
        "the same, per evaluation of f in the graph", 0.6,
        gradients.naive_over_odeint_by_evaluation,
        "six tensor operations around each f",
    ),
    Comparison(
        "direct gradient / backprop through torchdiffeq's odeint", 0.6,
        gradients.direct_over_odeint, "one graph of f for each evaluation of an accepted step",
    ),
    Comparison(
        "differences in 1,002 parameters, in batches / one by one", 1 / 30,
        growth.differences_one_by_one, "arithmetic of f in each lane",
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Row:
    """One comparison and its outcome."""

    asked: Comparison
    ratio: Ratio

    @property
    def met(self) -> bool:
        """Whether the median is within the bar."""
        return self.ratio.median <= self.asked.bar

    def markdown(self) -> str:
        """A row of the table."""
        r, bar = self.ratio, self.asked.bar
        met = "yes" if self.met else "**no**"
        return (
            f"| {self.asked.name} | {r.median:.3g} | {r.low:.3g} – {r.high:.3g} | ≤ {bar:.3g} "
            f"| {met} | {r.ours} vs {r.theirs} | {self.asked.limit} |"
        )


def page(
    rows: list[Row],
    start_up: list[tuple[str, float]],
    steps: tuple[list[tuple[int, float, int]], tuple[float, float]],
    fast: list[compiled.Compiled],
) -> str:
    """docs/benchmarks.md."""
    by_steps, (time, memory) = steps
    lines = [
        "# Benchmarks",
        "",
        "Written by `make bench`. Everything is a ratio within one run, the two sides taking turns;",
        "the range is over the pairs of that run. Absolute times are of one machine and move with it.",
        "",
        f"Measured on {platform.system()} {platform.machine()}, Python {platform.python_version()}.",
        "",
        "![Each ratio beside its bar](benchmarks.png)",
        "",
        "| comparison | median | range | bar | met | medians | what limits it |",
        "|---|---|---|---|---|---|---|",
        *(row.markdown() for row in rows),
        "",
        "Solves and gradients are of van der Pol (μ = 2, T = 20) with dopri5 at rtol = atol = 1e-5 on",
        "one core. f alone is as many evaluations of f as the solve makes, and nothing else: no solver",
        "in PyTorch can be faster.",
        "",
        "| start-up (median of 7) | seconds | bar |",
        "|---|---|---|",
        *(f"| `node-diag {name}` | {seconds:.2f} | ≤ 0.25 |" for name, seconds in start_up),
        "",
        "ACA with Euler steps on z' = kz, whose memory is one state and one time for each step:",
        "",
        "| steps | seconds | saved bytes |",
        "|---|---|---|",
        *(f"| {n:,} | {seconds:.3f} | {saved:,} |" for n, seconds, saved in by_steps),
        "",
        f"Fitted exponents: time {time:.2f}, memory {memory:.2f}.",
        "",
        "## Compiled",
        "",
        "The same on van der Pol after compiling, once for each f, shape and solver; even is from where",
        "on compiling has cost less than it has saved:",
        "",
        "| what | as it is | compiled | times faster | compiling takes | even after |",
        "|---|---|---|---|---|---|",
        *(row.markdown() for row in fast),
        "",
        "diffrax compiles a whole solve, loop and all, and leaves any solver in PyTorch far behind where f",
        "is cheap: who trains on small systems for many steps should know. A check solves each problem a",
        "few dozen times at most, with solvers, precisions and directions that would each be compiled for",
        "themselves, and what it checks is a PyTorch function. One step by torch.compile is even after more",
        "steps than a check makes. So node-diag compiles nothing, and has no option for it.",
        "",
    ]
    return "\n".join(lines)


def picture(rows: list[Row], path: Path) -> None:
    """Each ratio, its range, and its bar, all over the bar."""
    with sheet():
        figure, axes = plt.subplots(figsize=(9, 0.45 * len(rows) + 1.2), layout="constrained")
        for y, row in enumerate(reversed(rows)):
            r, bar = row.ratio, row.asked.bar
            color = "C0" if row.met else "C3"
            axes.plot([r.low / bar, r.high / bar], [y, y], color=color, linewidth=2)
            axes.plot([r.median / bar], [y], "o" if row.met else "s", color=color)
        axes.axvline(1.0, color="0.5", linestyle="--")
        axes.set_xscale("log")
        axes.set_yticks(range(len(rows)), [r.asked.name.replace("`", "") for r in reversed(rows)])
        axes.set_xticks(TICKS, [f"{tick:g}" for tick in TICKS])
        axes.minorticks_off()
        axes.set_xlabel("ratio over its bar, and its range: met at 1 or less", loc="right")
        figure.savefig(path, dpi=110)
        plt.close(figure)


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("docs/benchmarks.md"))
    output: Path = parser.parse_args().output
    rows = [Row(asked, asked.measure()) for asked in COMPARISONS]
    text = page(rows, command.start_up(), growth.with_steps(), compiled.rows())
    output.write_text(text, encoding="utf-8")
    picture(rows, output.with_suffix(".png"))
    print(text)  # noqa: T201 - the result of this command


if __name__ == "__main__":
    main()
