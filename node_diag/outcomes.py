"""What came of one method, and the record of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from node_diag.diagnosis.metrics import compare
from node_diag.errors import NoReferenceError
from node_diag.gradients.base import GradientMethod, MethodRun
from node_diag.gradients.lookup import UserFunction, UserMethod
from node_diag.gradients.peers.base import LibraryMethod
from node_diag.measure.clock import Times
from node_diag.measure.counting import Counts
from node_diag.measure.paper import Units, paper_cost
from node_diag.measure.trajectory import DEPARTED, Deviation
from node_diag.recording import (
    Recorder,
    cost_record,
    reference_record,
    second_order_record,
    taylor_record,
    without_times,
)
from node_diag.records import (
    Autocast,
    Candidate,
    ErrorOrigin,
    ErrorRecord,
    Errors,
    MethodRecord,
    MissingReference,
    NanOrigin,
    OwnSteps,
    PaperCost,
    Reconstruction,
    ReferenceRecord,
    StepSizeTerms,
)
from node_diag.references.base import Reference, flatten
from node_diag.references.second_order import SecondOrder
from node_diag.solvers.solution import Solution
from node_diag.truths import Truth, Truths


@dataclass
class Outcome:
    """One method after its runs, or the sentence that says why there is none.

    Attributes:
        own_truth: the derivative of the steps it took, where they are its own.
    """

    name: str
    description: str
    method: GradientMethod
    run: MethodRun | None = None
    counts: Counts | None = None
    own_truth: Truth | None = None
    times: Times | None = None
    deviation: Deviation | None = None
    second_order: SecondOrder | str | None = None
    error_origin: ErrorOrigin | None = None
    step_size_terms: StepSizeTerms | None = None
    nan_origin: NanOrigin | None = None
    tightened: list[Candidate] = field(default_factory=list[Candidate])
    autocast: Autocast | None = None
    failure: str | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Without the method: what a user's file makes cannot always be pickled."""
        return {**vars(self), "method": None}


def method_record(
    outcome: Outcome, recorder: Recorder, truths: Truths, solution: Solution
) -> MethodRecord:
    """A method held against the truths.

    Args:
        outcome: of its runs.
        recorder: cuts gradients into parts.
        truths: the continuous one, and that of our accepted steps.
        solution: our forward solve.
    """
    method = outcome.method
    record = MethodRecord(
        name=outcome.name,
        description=outcome.description,
        status="failed" if outcome.run is None else "ok",
        failure=outcome.failure,
        discrete=method.discrete,
        constant_steps=method.constant_steps,
        reconstructs=method.reconstructs,
        nan_origin=outcome.nan_origin,
        loss=outcome.run.loss if outcome.run else None,
    )
    if outcome.deviation is not None:
        record.reconstruction = _reconstruction(outcome.deviation)
    if outcome.run is None or outcome.counts is None or outcome.times is None:
        return record
    record.error_origin = outcome.error_origin
    record.step_size_terms = outcome.step_size_terms
    record.tightened = outcome.tightened
    record.autocast = outcome.autocast
    flat = flatten(outcome.run.gradient)
    record.gradient = recorder.gradient(f"methods/{outcome.name}", flat)
    discrete = _truth_of_its_steps(outcome, outcome.run, truths, solution)
    record.errors = Errors(
        continuous=_error(recorder, flat, truths.continuous),
        discrete=_error(recorder, flat, discrete),
    )
    if not outcome.run.knows_times:
        _without_times(record)
    if record.reconstruction is None and not method.reconstructs and outcome.run.solution.grid.h:
        record.reconstruction = Reconstruction(max_error=0.0, initial_error=0.0)
    if isinstance(discrete, Reference):
        main = slice(0, recorder.parts["ts"].start)
        record.taylor = [taylor_record(line, flat[main]) for line in discrete.lines]
    if isinstance(method, LibraryMethod):
        record.own_steps = _own_steps(outcome, outcome.run, recorder, truths)
    if outcome.second_order is not None:
        record.second_order = second_order_record(recorder, outcome.second_order)
    record.cost = cost_record(outcome.run, outcome.counts, outcome.times)
    return record


def _truth_of_its_steps(
    outcome: Outcome, run: MethodRun, truths: Truths, solution: Solution
) -> Truth | None:
    """The derivative of the steps a method took, if it is known; ``truths`` has that of ours."""
    if isinstance(outcome.method, LibraryMethod):
        return outcome.own_truth
    if isinstance(outcome.method, UserFunction):
        return None  # it takes no steps that are known of
    own = isinstance(outcome.method, UserMethod) and run.solution.grid.h != solution.grid.h
    return None if own and outcome.method.discrete else truths.discrete


def _own_steps(outcome: Outcome, run: MethodRun, recorder: Recorder, truths: Truths) -> OwnSteps:
    truth = outcome.own_truth
    return OwnSteps(
        loss=run.loss,
        n_accepted=run.solution.n_accepted,
        n_rejected=run.solution.n_rejected,
        reference=(
            None if truth is None else truth_record(recorder, f"steps of {outcome.name}", truth)
        ),
        distance=None if truth is None else apart(recorder, truth, truths.continuous),
    )


def _without_times(record: MethodRecord) -> None:
    """Of a method that gives no gradient in them, nothing is said about it."""
    assert record.gradient is not None
    assert record.errors is not None
    record.gradient.t0 = record.gradient.t1 = None
    record.gradient.ts = []
    for error in (record.errors.continuous, record.errors.discrete):
        if error is not None:
            without_times(error)


def _reconstruction(path: Deviation) -> Reconstruction:
    """Of a reverse-time solve, as far as it came."""
    left = np.flatnonzero(~(path.error <= DEPARTED))
    return Reconstruction(
        max_error=float(np.max(path.error)),
        initial_error=float(path.error[-1]),
        measured=True,
        departure=float(path.t[left[0]]) if left.size else None,
        component=path.component,
        size=path.size,
        component_error=path.component_error,
    )


def _error(recorder: Recorder, flat: np.ndarray, truth: Truth | None) -> ErrorRecord | None:
    if truth is None or isinstance(truth, NoReferenceError):
        return None
    return compare(flat, truth.value, truth.bar, recorder.parts)


def truth_record(
    recorder: Recorder, which: str, truth: Truth
) -> ReferenceRecord | MissingReference:
    """A truth, or why there is none."""
    if isinstance(truth, NoReferenceError):
        return MissingReference(reason=str(truth), details=truth.details)
    return reference_record(recorder, which, truth)


def apart(recorder: Recorder, discrete: Truth, continuous: Truth) -> ErrorRecord | None:
    """A discrete truth held against the continuous one."""
    if isinstance(discrete, NoReferenceError) or isinstance(continuous, NoReferenceError):
        return None
    return compare(discrete.value, continuous.value, discrete.bar + continuous.bar, recorder.parts)


def paper_record(outcome: Outcome, units: Units | None, solution: Solution) -> dict[str, PaperCost]:
    """What the paper says that it costs, beside what it did."""
    if outcome.run is None or outcome.counts is None or units is None:
        return {}
    return paper_cost(
        outcome.name,
        units,
        solution.n_accepted,
        outcome.run.backward.n_steps,
        solution.trials_per_step,
        outcome.counts,
        (outcome.run.nfe_forward, outcome.run.nfe_backward),
    )
