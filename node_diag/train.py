"""``node-diag train``: a check of the start, training with each method, and the report of both."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from node_diag.cells import FAILED, Cell, Store, run
from node_diag.command_line import command_line
from node_diag.config import CheckConfig, option_text
from node_diag.errors import UsageError
from node_diag.outputs.base import prepare, write
from node_diag.records import Report
from node_diag.records.training import Training, TrainingRun
from node_diag.registry import METHODS
from node_diag.session import Job, examine
from node_diag.streams import Streams

OPTIMIZERS = ("adam", "sgd")


@dataclass(frozen=True)
class Plan:
    """How to train, whatever the method.

    Attributes:
        seeds: starts, each of them moved away from the problem's own parameters by ``perturb``.
        truth_every: steps between two looks at the true gradient; 0: none.
    """

    steps: int = 100
    seeds: int = 3
    learning_rate: float = 0.01
    optimizer: str = "adam"
    perturb: float = 0.1
    truth_every: int = 10

    def __post_init__(self) -> None:
        """Raise UsageError for what cannot be."""
        for name, least in (("steps", 1), ("seeds", 1), ("perturb", 0), ("truth_every", 0)):
            if not getattr(self, name) >= least:
                flag = name.replace("_", "-")
                raise UsageError(f"--{flag} is {getattr(self, name)}; it must be {least} or more")
        if not 0 < self.learning_rate < float("inf"):
            raise UsageError(
                f"--learning-rate is {self.learning_rate:g}; it must be a positive number"
            )
        if self.optimizer not in OPTIMIZERS:
            raise UsageError(
                f"unknown optimizer '{self.optimizer}'; there are: {', '.join(OPTIMIZERS)}"
            )


def train(job: Job, plan: Plan, folder: Path, *, force: bool, streams: Streams) -> Report:
    """Check the problem at its own parameters, train it with every method, write the report.

    Raises:
        UsageError, ProblemError: it could not run; nothing was written.
    """
    config = job.resolved.config
    folder = folder.absolute()
    prepare(folder, force=force)
    with streams.progress() as progress:
        report = examine(job, progress)
        report.training = Training(
            optimizer=plan.optimizer,
            learning_rate=plan.learning_rate,
            steps=plan.steps,
            perturb=plan.perturb,
            seeds=plan.seeds,
            runs=_runs(job, plan, report, progress),
        )
        report.command = _command(job, plan)
        progress("writing the report")
        write(report, folder, config.report, force=force)
    return report


def _runs(
    job: Job, plan: Plan, start: Report, progress: Callable[[str], None]
) -> list[TrainingRun]:
    """Every method from every start, side by side; no truth where the check trusts none."""
    config, truth = job.resolved.config, start.references.continuous
    asked = plan if truth.kind != "none" else replace(plan, truth_every=0)
    cells = [
        Cell(
            f"{number}_{seed}",
            {
                "spec": job.spec, "overrides": dict(job.overrides), "config": config.model_dump(),
                "method": method, "seed": seed, "plan": asdict(asked),
            },
        )
        for number, method in enumerate(config.methods)
        for seed in range(plan.seeds)
    ]  # fmt: skip
    found: dict[str, TrainingRun] = {}
    with tempfile.TemporaryDirectory() as kept:
        for cell, result in run(cells, measure, Store(Path(kept), "")):
            progress(f"training: {len(found) + 1} of {len(cells)} runs")
            found[cell.key] = _as_run(cell, result)
    runs = [found[cell.key] for cell in cells]
    if truth.kind == "none" and plan.truth_every:
        for one in runs:
            one.no_truth = truth.reason
    return runs


def _as_run(cell: Cell, result: Mapping[str, Any]) -> TrainingRun:
    if "method" in result:
        return TrainingRun.model_validate(result)
    name = METHODS.label(str(cell.arguments["method"]))
    seed = int(cell.arguments["seed"])
    return TrainingRun(method=name, seed=seed, status="failed", failure=result[FAILED])


def measure(
    spec: str,
    overrides: dict[str, Any],
    config: dict[str, Any],
    method: str,
    seed: int,
    plan: dict[str, Any],
) -> dict[str, Any]:
    """In a worker: one method from one start."""
    import torch

    from node_diag.gradients.lookup import method_of
    from node_diag.loader import load
    from node_diag.preparation import make_setup, prepare
    from node_diag.training import Schedule, fit, perturb

    settings = CheckConfig.model_validate(config)
    torch.manual_seed(settings.seed)
    problem = prepare(load(spec, overrides), settings)
    perturb(problem, plan["perturb"], seed)
    schedule = Schedule(
        plan["steps"], plan["learning_rate"], plan["optimizer"], plan["truth_every"]
    )
    setup = make_setup(problem, settings)
    found = fit(METHODS.label(method), method_of(method), problem, setup, schedule, seed=seed)
    return found.model_dump(mode="json")


def _command(job: Job, plan: Plan) -> str:
    """The line that does the same again."""
    config, sources = job.resolved.config, job.resolved.sources
    line = command_line(job.spec, job.overrides, config, sources)
    words = [
        f"--{name.replace('_', '-')} {option_text(value)}"
        for name, value in asdict(plan).items()
        if value != getattr(Plan(), name)
    ]
    return " ".join([line.replace("node-diag check", "node-diag train", 1), *words])
