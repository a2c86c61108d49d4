"""The check itself: solve, gradients, references, measurements, diagnosis → Report."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any

import numpy as np
import torch

from node_diag import __version__, parallel
from node_diag.config import CheckConfig
from node_diag.diagnosis.gates import GateSpec, evaluate, parse_gate, parse_max_grad_error
from node_diag.diagnosis.metrics import compare
from node_diag.diagnosis.rule import diagnose
from node_diag.errors import NoReferenceError, ProblemError, SolveError, UsageError
from node_diag.field import Field, validate
from node_diag.gradients.base import GradientMethod, MethodRun, Setup
from node_diag.measure.clock import Times, time_runs
from node_diag.measure.counting import Counts, count
from node_diag.measure.paper import Units, measure_units, paper_cost
from node_diag.measure.trajectory import Deviation, deviation
from node_diag.problem import Problem
from node_diag.recording import (
    Recorder,
    cost_record,
    problem_record,
    reference_record,
    series_record,
    solution_record,
    trajectory_record,
)
from node_diag.records import (
    ConfigRecord,
    Environment,
    Errors,
    Gate,
    MethodRecord,
    MissingReference,
    PaperCost,
    Reconstruction,
    References,
    Report,
    Summary,
    Tool,
    Verdict,
)
from node_diag.references.base import Reference, flat_inputs, flatten, slices
from node_diag.references.exact import exact_reference
from node_diag.references.finite_difference import frozen_reference, unfrozen_reference
from node_diag.registry import METHODS, SOLVERS
from node_diag.solvers.controller import largest_rms
from node_diag.solvers.integrate import Settings, Solution, integrate

Progress = Callable[[str], None]
MOST_UNFROZEN = 8
"""Inputs up to which plain differences through the adaptive solve are shown (four solves each)."""


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
class _Outcome:
    """One method after its runs, or the sentence that says why there is none."""

    name: str
    method: GradientMethod
    run: MethodRun | None = None
    counts: Counts | None = None
    times: Times | None = None
    deviation: Deviation | None = None
    failure: str | None = None


def run_check(request: Request, progress: Progress = lambda _: None) -> Report:
    """Run every stage of a check.

    A method that fails becomes a failed row; what cannot be run at all raises.

    Raises:
        ProblemError: f or the loss cannot be used, or the forward solve failed.
        UsageError: an option does not fit the problem.
    """
    config = request.config
    progress("loading the problem")
    problem = prepare(request.problem, config)
    if config.reference == "exact" and problem.exact is None:
        raise UsageError(f"problem '{problem.name}' has no closed form; use --reference auto")
    gates = gate_specs(config, request.sources)
    setup = make_setup(problem, config)
    progress("forward solve")
    solution, nfe = _forward(problem, setup)
    tasks = {
        **_reference_tasks(problem, setup, solution, config),
        **{
            f"{name}: gradient and counts": partial(_run_method, name, problem, setup, solution)
            for name in config.methods
        },
    }
    done = parallel.compute(tasks, progress)
    outcomes = [done[f"{name}: gradient and counts"] for name in config.methods]
    references = _Truths(*(done[f"{name} reference"] for name in _Truths.__annotations__))
    for outcome in outcomes:  # alone on the machine, as far as that is up to us
        _time(outcome, problem, setup, config.repeat, progress)
    progress("report")
    return _assemble(request, problem, setup, (solution, nfe), outcomes, references, gates)


def prepare(problem: Problem, config: CheckConfig) -> Problem:
    """The problem in the precision and on the device asked for, checked once.

    Raises:
        UsageError: there is no such device.
        ProblemError: the problem cannot be used so.
    """
    try:
        device = torch.device(config.device)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UsageError(f"device '{config.device}' is not to be had here: {error}") from error
    moved = problem.to(getattr(torch, config.dtype), device)
    validate(moved)
    return moved


def make_setup(problem: Problem, config: CheckConfig) -> Setup:
    """Solver settings of the forward pass and of a reverse-time backward pass.

    Raises:
        UsageError: --step-size with an adaptive solver.
    """
    tableau = SOLVERS.load(config.solver)
    if config.step_size is not None and tableau.adaptive:
        raise UsageError(
            f"--step-size is for fixed-step solvers; {config.solver} chooses its own (use --rtol)"
        )
    n_params = sum(p.numel() for p in problem.params.values())
    blocks = [problem.layout.numel, problem.layout.numel, n_params]
    shared: dict[str, Any] = {"step_size": config.step_size, "max_steps": config.max_steps}
    forward = Settings(tableau, config.rtol, config.atol, **shared)
    backward = Settings(
        tableau, config.adjoint_rtol, config.adjoint_atol, **shared, norm=largest_rms(blocks)
    )
    return Setup(forward, backward, record=True)


def gate_specs(config: CheckConfig, sources: Mapping[str, str]) -> list[GateSpec]:
    """The limits that were asked for, and where each came from."""
    limits = [
        parse_max_grad_error(text, sources.get("max_grad_error", "max_grad_error"))
        for text in config.max_grad_error
    ]
    return limits + [parse_gate(text, sources.get("gates", "gates")) for text in config.gates]


def _forward(problem: Problem, setup: Setup) -> tuple[Solution, int]:
    f = Field(problem)
    try:
        solution = integrate(f, problem.flat_z0(), problem.ts, setup.forward)
    except SolveError as error:
        raise ProblemError(f"the forward solve failed ({error.reason}): {error}") from error
    return solution, f.nfe


def _run_method(name: str, problem: Problem, setup: Setup, solution: Solution) -> _Outcome:
    outcome = _Outcome(name, METHODS.load(name))
    try:
        outcome.run, outcome.counts = count(name, outcome.method, problem, setup)
    except SolveError as error:
        outcome.failure = f"{error.reason}: {error}"
        return outcome
    except ProblemError as error:
        outcome.failure = str(error)
        return outcome
    path = outcome.run.backward.reconstruction
    if path:
        outcome.deviation = deviation(problem, setup.forward.tableau, solution, path)
    return outcome


def _time(
    outcome: _Outcome, problem: Problem, setup: Setup, repeats: int | None, progress: Progress
) -> None:
    if outcome.run is None:
        return
    progress(f"{outcome.name}: timing")
    plain = Setup(setup.forward, setup.backward)
    outcome.times = time_runs(outcome.name, outcome.method, problem, plain, repeats)


@dataclass
class _Truths:
    """The two references and what is shown beside them; a sentence where one is missing."""

    continuous: Reference | str
    discrete: Reference | str
    unfrozen: Reference | str


def _reference_tasks(
    problem: Problem, setup: Setup, solution: Solution, config: CheckConfig
) -> dict[str, Callable[[], Reference | str]]:
    """References are computed in float64 on the CPU, at the parameters as they are."""
    precise = problem.to(torch.float64, torch.device("cpu"))
    tableau = setup.forward.tableau
    return {
        "continuous reference": lambda: _try(
            lambda: _continuous(precise, solution, config.reference)
        ),
        "unfrozen reference": lambda: _try(lambda: _unfrozen(problem, setup)),
        "discrete reference": lambda: _try(
            lambda: frozen_reference(precise, tableau, solution.grid)
        ),
    }


def _try(compute: Callable[[], Reference]) -> Reference | str:
    try:
        return compute()
    except (NoReferenceError, ProblemError, SolveError) as error:
        return str(error)


def _continuous(problem: Problem, solution: Solution, kind: str) -> Reference:
    if kind == "fd":
        raise NoReferenceError("only finite differences were asked for (--reference fd)")
    if kind == "exact" or (kind == "auto" and problem.exact is not None):
        return exact_reference(problem)
    from node_diag.references.sensitivity import sensitivity_reference  # imports scipy

    return sensitivity_reference(problem, solution)


def _unfrozen(problem: Problem, setup: Setup) -> Reference:
    base = flat_inputs(problem)
    parts = slices(problem)
    if parts["ts"].start > MOST_UNFROZEN:
        raise NoReferenceError(
            f"{parts['ts'].start} inputs would take {4 * parts['ts'].start} adaptive solves"
        )
    f = Field(problem)
    originals = {name: p.detach().clone() for name, p in problem.params.items()}

    def put(values: Mapping[str, torch.Tensor]) -> None:
        for name, p in problem.params.items():
            p.copy_(values[name].reshape(p.shape))

    def loss(inputs: np.ndarray) -> float:
        tensors = {
            name.removeprefix("params."): torch.as_tensor(inputs[part]).to(problem.flat_z0())
            for name, part in parts.items()
        }
        put(tensors)
        solution = integrate(f, tensors["z0"], problem.ts, setup.forward, keep=False)
        return float(problem.loss_of(solution.zs))

    with torch.no_grad():
        try:
            return unfrozen_reference(base, loss, columns=range(parts["ts"].start))
        finally:
            put(originals)


def _assemble(
    request: Request,
    problem: Problem,
    setup: Setup,
    forward: tuple[Solution, int],
    outcomes: list[_Outcome],
    truths: _Truths,
    gates: list[GateSpec],
) -> Report:
    solution, nfe = forward
    recorder = Recorder(problem)
    units = measure_units(problem, setup.forward.tableau, solution.grid.h[0])
    methods = [_method_record(outcome, recorder, truths) for outcome in outcomes]
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
        ),
        methods=methods,
        findings=[],
        gates=judged,
        summary=_summary(judged),
        series=series_record(
            problem,
            setup.forward.tableau,
            solution,
            {o.name: trajectory_record(o.deviation) for o in outcomes if o.deviation is not None},
        ),
        paper_cost={o.name: costs for o in outcomes if (costs := _paper_cost(o, units, solution))},
    )
    report.arrays.update(recorder.arrays)
    report.findings = diagnose(report)
    return report


def _method_record(outcome: _Outcome, recorder: Recorder, truths: _Truths) -> MethodRecord:
    method = outcome.method
    record = MethodRecord(
        name=outcome.name,
        description=METHODS.descriptions()[outcome.name],
        status="failed" if outcome.run is None else "ok",
        failure=outcome.failure,
        discrete=method.discrete,
    )
    if outcome.run is None or outcome.counts is None or outcome.times is None:
        return record
    flat = flatten(outcome.run.gradient)
    record.gradient = recorder.gradient(f"methods/{outcome.name}", flat)
    record.errors = Errors(
        continuous=_error(recorder, flat, truths.continuous),
        discrete=_error(recorder, flat, truths.discrete),
    )
    record.reconstruction = Reconstruction(max_error=0.0, initial_error=0.0)
    if outcome.deviation is not None:
        record.reconstruction = Reconstruction(
            max_error=float(np.max(outcome.deviation.error)),
            initial_error=float(outcome.deviation.error[-1]),
            measured=True,
        )
    record.cost = cost_record(outcome.run, outcome.counts, outcome.times)
    return record


def _error(recorder: Recorder, flat: np.ndarray, truth: Reference | str):  # noqa: ANN202
    if isinstance(truth, str):
        return None
    return compare(flat, truth.value, truth.bar, recorder.parts)


def _reference(recorder: Recorder, which: str, truth: Reference | str):  # noqa: ANN202
    if isinstance(truth, str):
        return MissingReference(reason=truth)
    return reference_record(recorder, which, truth)


def _paper_cost(outcome: _Outcome, units: Units, solution: Solution) -> dict[str, PaperCost]:
    if outcome.run is None or outcome.counts is None:
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


def _summary(gates: list[Gate]) -> Summary:
    verdicts = [gate.verdict for gate in gates]
    return Summary(
        passed=verdicts.count("pass"),
        failed=verdicts.count("fail"),
        inconclusive=verdicts.count("inconclusive"),
        exit_code=0 if all(verdict == "pass" for verdict in verdicts) else 1,
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
    config = request.config
    return ConfigRecord(
        problem=request.spec,
        overrides=dict(request.overrides),
        solver=config.solver,
        rtol=config.rtol,
        atol=config.atol,
        adjoint_rtol=config.adjoint_rtol,
        adjoint_atol=config.adjoint_atol,
        step_size=config.step_size,
        max_steps=config.max_steps,
        methods=config.methods,
        reference=config.reference,
        dtype=config.dtype,
        device=config.device,
        seed=config.seed,
        repeat=config.repeat,
        gates=[spec.expression for spec in gate_specs(config, request.sources)],
        report=config.report,
        sources=dict(request.sources),
    )
