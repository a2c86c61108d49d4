"""Everything that was found → Report."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np
import torch

from node_diag import __version__
from node_diag.config import CheckConfig
from node_diag.diagnosis.gates import evaluate, gate_specs
from node_diag.diagnosis.metrics import compare
from node_diag.diagnosis.rule import accused, diagnose
from node_diag.errors import NoReferenceError
from node_diag.gradients.base import GradientMethod, MethodRun, Setup
from node_diag.gradients.lookup import UserMethod
from node_diag.gradients.peers.base import LibraryMethod
from node_diag.measure.clock import Times
from node_diag.measure.counting import Counts
from node_diag.measure.paper import Units, measure_units, paper_cost
from node_diag.measure.trajectory import DEPARTED, Deviation
from node_diag.norms import norm
from node_diag.problem import Problem
from node_diag.recording import (
    Recorder,
    cost_record,
    problem_record,
    reference_record,
    second_order_record,
    series_record,
    solution_record,
    taylor_record,
    trajectory_record,
    without_times,
)
from node_diag.records import (
    Candidate,
    ConfigRecord,
    Environment,
    ErrorOrigin,
    ErrorRecord,
    Errors,
    Gate,
    Inspection,
    MethodRecord,
    MissingReference,
    NanOrigin,
    OwnSteps,
    PaperCost,
    Recommendation,
    Reconstruction,
    References,
    Report,
    StepSizeTerms,
    Summary,
    Tool,
    Verdict,
)
from node_diag.references.base import Reference, flatten
from node_diag.references.second_order import SecondOrder
from node_diag.solvers.solution import Solution
from node_diag.truths import Truth, Truths


@dataclass(frozen=True)
class Request:
    """A check to run: the problem, the options, and how to name both in the record."""

    problem: Problem
    config: CheckConfig
    spec: str
    overrides: Mapping[str, Any] = field(default_factory=dict[str, Any])
    sources: Mapping[str, str] = field(default_factory=dict[str, str])
    command: str = ""


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
    failure: str | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Without the method: what a user's file makes cannot always be pickled."""
        return {**vars(self), "method": None}


def assemble(
    request: Request,
    problem: Problem,
    setup: Setup,
    forward: tuple[Solution, int],
    outcomes: list[Outcome],
    truths: Truths,
    inspection: Inspection,
    recommendation: Recommendation | None,
) -> Report:
    """The record of a check, findings and verdicts included."""
    gates = gate_specs(request.config, request.sources)
    solution, nfe = forward
    recorder = Recorder(problem)
    # Needs a graph of f, which there is if any method got through.
    units = (
        measure_units(problem, setup.forward.tableau, solution.grid.h[0])
        if any(outcome.run for outcome in outcomes)
        else None
    )
    methods = [_method_record(outcome, recorder, truths, solution) for outcome in outcomes]
    judged = [gate for spec in gates for gate in evaluate(spec, methods)]
    for method in methods:
        method.verdict = _worst([gate.verdict for gate in judged if gate.method == method.name])
    report = Report(
        tool=Tool(version=__version__),
        environment=_environment(request.config),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        command=request.command,
        config=_config_record(request),
        problem=problem_record(problem),
        solution=solution_record(problem, solution, nfe),
        references=References(
            continuous=_reference(recorder, "continuous", truths.continuous),
            discrete=_reference(recorder, "discrete", truths.discrete),
            unfrozen=_reference(recorder, "unfrozen", truths.unfrozen),
            discretisation=_discretisation(recorder, truths),
            distance=_distance(recorder, truths),
        ),
        methods=methods,
        findings=[],
        gates=judged,
        summary=_summary(judged, broken=bool(inspection.repeatability.mutated)),
        series=series_record(
            problem,
            setup.forward.tableau,
            solution,
            {o.name: trajectory_record(o.deviation) for o in outcomes if o.deviation is not None},
        ),
        inspection=inspection,
        recommendation=recommendation,
        paper_cost={o.name: costs for o in outcomes if (costs := _paper_cost(o, units, solution))},
    )
    report.arrays.update(recorder.arrays)
    report.findings = diagnose(report)
    named = accused(report.findings)
    for method in report.methods:
        method.accused = method.name in named
    return report


def _method_record(
    outcome: Outcome, recorder: Recorder, truths: Truths, solution: Solution
) -> MethodRecord:
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
    )
    if outcome.deviation is not None:
        record.reconstruction = _reconstruction(outcome.deviation)
    if outcome.run is None or outcome.counts is None or outcome.times is None:
        return record
    record.error_origin = outcome.error_origin
    record.step_size_terms = outcome.step_size_terms
    record.tightened = outcome.tightened
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
    own = isinstance(outcome.method, UserMethod) and run.solution.grid.h != solution.grid.h
    return None if own and outcome.method.discrete else truths.discrete


def _own_steps(outcome: Outcome, run: MethodRun, recorder: Recorder, truths: Truths) -> OwnSteps:
    truth = outcome.own_truth
    return OwnSteps(
        loss=run.loss,
        n_accepted=run.solution.n_accepted,
        n_rejected=run.solution.n_rejected,
        reference=(
            None if truth is None else _reference(recorder, f"steps of {outcome.name}", truth)
        ),
        distance=None if truth is None else _apart(recorder, truth, truths.continuous),
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


def _error(recorder: Recorder, flat: np.ndarray, truth: Truth | None):  # noqa: ANN202
    if truth is None or isinstance(truth, NoReferenceError):
        return None
    return compare(flat, truth.value, truth.bar, recorder.parts)


def _reference(recorder: Recorder, which: str, truth: Truth):  # noqa: ANN202
    if isinstance(truth, NoReferenceError):
        return MissingReference(reason=str(truth), details=truth.details)
    return reference_record(recorder, which, truth)


def _distance(recorder: Recorder, truths: Truths) -> ErrorRecord | None:
    """The discrete truth held against the continuous one."""
    return _apart(recorder, truths.discrete, truths.continuous)


def _apart(recorder: Recorder, discrete: Truth, continuous: Truth) -> ErrorRecord | None:
    if isinstance(discrete, NoReferenceError) or isinstance(continuous, NoReferenceError):
        return None
    return compare(discrete.value, continuous.value, discrete.bar + continuous.bar, recorder.parts)


def _discretisation(recorder: Recorder, truths: Truths) -> float | None:
    """Relative distance between the two truths."""
    continuous, discrete = truths.continuous, truths.discrete
    if isinstance(continuous, NoReferenceError) or isinstance(discrete, NoReferenceError):
        return None
    main = slice(0, recorder.parts["ts"].start)
    size = norm(continuous.value[main])
    return norm(discrete.value[main] - continuous.value[main]) / size if size else None


def _paper_cost(outcome: Outcome, units: Units | None, solution: Solution) -> dict[str, PaperCost]:
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


def _worst(verdicts: list[Verdict]) -> Verdict:
    for verdict in ("fail", "inconclusive", "pass"):
        if verdict in verdicts:
            return verdict
    return "info"


def _summary(gates: list[Gate], *, broken: bool) -> Summary:
    """``broken``: the module has to be mended, whatever the gates say of what f was meant to be."""
    verdicts = [gate.verdict for gate in gates]
    return Summary(
        passed=verdicts.count("pass"),
        failed=verdicts.count("fail"),
        inconclusive=verdicts.count("inconclusive"),
        exit_code=2 if broken else int(any(verdict != "pass" for verdict in verdicts)),
    )


def _environment(config: CheckConfig) -> Environment:
    return Environment(
        python=platform.python_version(),
        torch=torch.__version__,
        platform=platform.platform(),
        device=config.device,
        dtype=config.dtype,
        threads=torch.get_num_threads(),
        seed=config.seed,
    )


def _config_record(request: Request) -> ConfigRecord:
    """The options by their own names, and what only the request knows."""
    config = vars(request.config)
    values: dict[str, Any] = {
        **{name: config[name] for name in ConfigRecord.model_fields.keys() & config.keys()},
        "problem": request.spec,
        "overrides": dict(request.overrides),
        "gates": [spec.expression for spec in gate_specs(request.config, request.sources)],
        "sources": dict(request.sources),
    }
    return ConfigRecord(**values)
