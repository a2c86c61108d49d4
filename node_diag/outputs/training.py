"""What training with each method gave: the answer in a sentence, and a row for each method."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from node_diag.outputs.numbers import NOTHING, count, duration, scientific
from node_diag.outputs.table import Table
from node_diag.records.training import Training, TrainingRun

WORSE = 1.1
"""Ratio of median final losses from which one is called worse, where the ranges are apart too."""


def by_method(training: Training) -> dict[str, list[TrainingRun]]:
    """Runs of every method, in the order in which they were asked for."""
    found: dict[str, list[TrainingRun]] = {}
    for run in training.runs:
        found.setdefault(run.method, []).append(run)
    return found


def finals(runs: Sequence[TrainingRun]) -> list[float]:
    """Final losses of the runs that came to their end, the lowest first; a NaN is the highest."""
    losses = [run.final_loss for run in runs if run.status == "ok" and run.final_loss is not None]
    return sorted(math.inf if math.isnan(loss) else loss for loss in losses)


def answer(training: Training) -> str:
    """Whether the gradient method matters for what is learnt."""
    losses = {name: finals(runs) for name, runs in by_method(training).items()}
    failed = [
        f"{name} failed in {len(runs) - len(losses[name])} of {len(runs)} runs"
        for name, runs in by_method(training).items()
        if len(losses[name]) < len(runs)
    ]
    ended = {name: values for name, values in losses.items() if values}
    if not ended:
        return "Every method failed: " + "; ".join(failed) + "."
    best = min(ended, key=lambda name: statistics.median(ended[name]))
    worse = [name for name in ended if _is_worse(ended[name], ended[best])]
    told = [
        f"{name} ends at {scientific(statistics.median(ended[name]))}, "
        f"{best} at {scientific(statistics.median(ended[best]))}"
        for name in worse
    ]
    if worse or failed:
        return "The gradient method matters here: " + "; ".join([*told, *failed]) + "."
    if len(ended) == 1:
        return f"Only {best} was trained, so there is nothing to compare it with."
    if training.seeds < 2:
        return (
            "From this one start all methods end at losses within 10 %, or within what cannot be "
            "told apart without more seeds."
        )
    return (
        f"The gradient method makes no difference that {training.seeds} starts show: final losses "
        f"from {scientific(min(v[0] for v in ended.values()))} to "
        f"{scientific(max(v[-1] for v in ended.values()))}, their ranges overlapping."
    )


def _is_worse(losses: Sequence[float], best: Sequence[float]) -> bool:
    apart = losses[0] > best[-1]
    return apart and statistics.median(losses) > WORSE * abs(statistics.median(best))


def reached(training: Training) -> float | None:
    """The lowest loss that every run which came to its end got to."""
    lows = [min(run.losses) for run in training.runs if run.status == "ok" and run.losses]
    return max(lows) if lows and all(map(math.isfinite, lows)) else None


def table(training: Training) -> Table:
    """A row for each method."""
    target = reached(training)
    rows: list[tuple[str, ...]] = []
    for name, runs in by_method(training).items():
        losses = finals(runs)
        cosines = [point.cosine for run in runs for point in run.truth]
        at = [found for run in runs if (found := _first(run, target)) is not None]
        rows.append(
            (
                name,
                f"{len(losses)} of {len(runs)}",
                scientific(statistics.median(losses)) if losses else NOTHING,
                f"{scientific(losses[0])} … {scientific(losses[-1])}" if losses else NOTHING,
                f"{min(cosines):.6f}" if cosines else NOTHING,
                count(statistics.median(run.nfe[i] for run, i in at)) if at else NOTHING,
                duration(statistics.median(run.seconds[i] for run, i in at)) if at else NOTHING,
            )
        )
    to = scientific(target)
    columns = ("method", "finished", "final loss", "range", "lowest cosine", f"nfe to {to}",
               f"time to {to}")  # fmt: skip
    note = "Medians over the starts. Runs are timed side by side, each on a core of its own."
    return Table("Training with each method", columns, rows, note=note)


def _first(run: TrainingRun, target: float | None) -> tuple[TrainingRun, int] | None:
    """Where the loss first got to the target; the gradient of the step before it is paid for."""
    if target is None or run.status != "ok":
        return None
    step = next((i for i, loss in enumerate(run.losses) if loss <= target), None)
    return None if step is None else (run, max(step - 1, 0))


def failures(training: Training) -> list[str]:
    """A sentence for each run that failed, or has no truth beside it."""
    return [
        f"{run.method}, start {run.seed}: {run.failure or run.no_truth}"
        for run in training.runs
        if run.failure or run.no_truth
    ]
