"""What training with each gradient method gave."""

from __future__ import annotations

from typing import Literal

from node_diag.records.base import Real, Record


class TruthPoint(Record):
    """A method's gradient beside the true one, at the parameters of one step.

    Only dL/dθ, which is what training follows.
    """

    step: int
    cosine: Real
    relative_error: Real
    uncertainty: Real
    """Of the truth, relative L2."""


class TrainingRun(Record):
    """One method from one start.

    Attributes:
        losses: before every step, as the method's own forward solve gives it.
        final_loss: at the end, from a solve far below the tolerance of training.
        nfe: evaluations of f so far, after every step; of the true gradient none.
        seconds: so far, after every step.
        params: at the end; of large ones the first entries.
    """

    method: str
    seed: int
    status: Literal["ok", "failed"] = "ok"
    failure: str | None = None
    losses: list[Real] = []
    final_loss: Real | None = None
    nfe: list[int] = []
    seconds: list[Real] = []
    truth: list[TruthPoint] = []
    no_truth: str | None = None
    """Why there is no true gradient, if there is none."""
    params: dict[str, list[Real]] = {}
    metrics: dict[str, Real] = {}


class Training(Record):
    """The same model, data and starts, trained with every method."""

    optimizer: str
    learning_rate: float
    steps: int
    perturb: float
    seeds: int
    runs: list[TrainingRun]
