"""Everything that was found → Report."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import torch

from node_diag import __version__
from node_diag.config import CheckConfig
from node_diag.diagnosis.gates import evaluate, gate_specs
from node_diag.diagnosis.rule import accused, diagnose
from node_diag.errors import NoReferenceError
from node_diag.gradients.base import Setup
from node_diag.measure.paper import measure_units
from node_diag.norms import norm
from node_diag.outcomes import Outcome, apart, method_record, paper_record, truth_record
from node_diag.problem import Problem
from node_diag.recording import (
    Recorder,
    problem_record,
    series_record,
    solution_record,
    trajectory_record,
)
from node_diag.records import (
    ConfigRecord,
    Environment,
    Gate,
    Inspection,
    Recommendation,
    References,
    Report,
    Summary,
    Tool,
    Verdict,
)
from node_diag.solvers.solution import Solution
from node_diag.truths import Truths


@dataclass(frozen=True)
class Request:
    """A check to run: the problem, the options, and how to name both in the record."""

    problem: Problem
    config: CheckConfig
    spec: str
    overrides: Mapping[str, Any] = field(default_factory=dict[str, Any])
    sources: Mapping[str, str] = field(default_factory=dict[str, str])
    command: str = ""


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
    methods = [method_record(outcome, recorder, truths, solution) for outcome in outcomes]
    judged = [gate for spec in gates for gate in evaluate(spec, methods)]
    for method in methods:
        method.verdict = _worst([gate.verdict for gate in judged if gate.method == method.name])
    report = Report(
        tool=Tool(version=__version__),
        environment=_environment(request.config),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        command=request.command,
        config=_config_record(request, setup),
        problem=problem_record(problem),
        solution=solution_record(problem, solution, nfe),
        references=References(
            continuous=truth_record(recorder, "continuous", truths.continuous),
            discrete=truth_record(recorder, "discrete", truths.discrete),
            unfrozen=truth_record(recorder, "unfrozen", truths.unfrozen),
            discretisation=_discretisation(recorder, truths),
            distance=apart(recorder, truths.discrete, truths.continuous),
        ),
        methods=methods,
        findings=[],
        gates=judged,
        summary=_summary(judged, broken=inspection.repeatability.is_broken),
        series=series_record(
            problem,
            setup.forward.tableau,
            solution,
            {o.name: trajectory_record(o.deviation) for o in outcomes if o.deviation is not None},
        ),
        inspection=inspection,
        recommendation=recommendation,
        paper_cost={o.name: costs for o in outcomes if (costs := paper_record(o, units, solution))},
    )
    report.arrays.update(recorder.arrays)
    report.findings = diagnose(report)
    named = accused(report.findings)
    for method in report.methods:
        method.accused = method.name in named
    return report


def _discretisation(recorder: Recorder, truths: Truths) -> float | None:
    """Relative distance between the two truths."""
    continuous, discrete = truths.continuous, truths.discrete
    if isinstance(continuous, NoReferenceError) or isinstance(discrete, NoReferenceError):
        return None
    main = slice(0, recorder.parts["ts"].start)
    size = norm(continuous.value[main])
    return norm(discrete.value[main] - continuous.value[main]) / size if size else None


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


def _config_record(request: Request, setup: Setup) -> ConfigRecord:
    """The options by their own names, as they took effect, and what only the request knows."""
    config = vars(request.config)
    values: dict[str, Any] = {
        **{name: config[name] for name in ConfigRecord.model_fields.keys() & config.keys()},
        "step_size": setup.forward.step_size,
        "problem": request.spec,
        "overrides": dict(request.overrides),
        "gates": [spec.expression for spec in gate_specs(request.config, request.sources)],
        "sources": dict(request.sources),
    }
    return ConfigRecord(**values)
