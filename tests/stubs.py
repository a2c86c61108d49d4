"""A realistic record of ``node-diag check vanderpol``, built without torch and without a solver.

The gradients are those of Dormand–Prince at rtol = atol = 1e-5 on μ = 2, T = 20, the continuous
truth is from variational equations; errors are computed from them here, so the record agrees with
itself.
"""

from __future__ import annotations

from typing import Any

from node_diag.records import (
    ConfigRecord,
    Cost,
    Environment,
    Errors,
    Finding,
    Gate,
    MethodRecord,
    MissingReference,
    PaperCost,
    ProblemRecord,
    Reconstruction,
    References,
    Report,
    SolutionRecord,
    Summary,
    Tool,
    Verdict,
)
from tests import stub_evidence
from tests.stub_gradients import DISCRETE, GRADIENTS, TRUTH, error, reference
from tests.stub_lines import taylor, v_curve
from tests.stub_series import N_ACCEPTED, N_REJECTED, T_END, series


def cost(**changes: Any) -> Cost:
    """What all methods have in common, and what each measured."""
    common = {"nfe_forward": 1010, "repeats": 3, "spread_s": 0.0021}
    return Cost(**(common | changes))


COSTS = {
    "adjoint": cost(
        nfe_backward=646,
        nvjp_backward=644,
        n_steps_backward=95,
        saved_bytes=72,
        peak_bytes=1040,
        graph_depth=4508,
        live_graph_depth=7,
        forward_s=0.0785,
        backward_s=0.2647,
    ),
    "aca": cost(
        nfe_backward=768,
        nvjp_backward=768,
        n_steps_backward=128,
        saved_bytes=3208,
        peak_bytes=3536,
        graph_depth=7680,
        live_graph_depth=60,
        forward_s=0.0667,
        backward_s=0.1779,
    ),
    "naive": cost(
        nfe_backward=0,
        nvjp_backward=1009,
        n_steps_backward=128,
        saved_bytes=167_184,
        peak_bytes=167_488,
        graph_depth=11_328,
        live_graph_depth=11_328,
        forward_s=0.1457,
        backward_s=0.1346,
    ),
}
DESCRIPTIONS = {
    "adjoint": "Continuous adjoint: a second solve backward in time from z(t1)",
    "aca": "Adaptive checkpoint adjoint: redo one accepted step at a time from its checkpoint",
    "naive": "Backprop through everything: rejected trials, the controller and the step sizes",
}
VERDICTS: dict[str, Verdict] = {"adjoint": "fail", "aca": "pass", "naive": "fail"}


def method(name: str) -> MethodRecord:
    """One of the three methods, as it comes out on van der Pol."""
    g = GRADIENTS[name]
    is_adjoint = name == "adjoint"
    return MethodRecord(
        name=name,
        description=DESCRIPTIONS[name],
        status="ok",
        discrete=not is_adjoint,
        reconstructs=is_adjoint,
        gradient=g,
        errors=Errors(continuous=error(g, TRUTH, 4e-12), discrete=error(g, DISCRETE, 9e-10)),
        reconstruction=Reconstruction(
            max_error=1.31 if is_adjoint else 0.0,
            initial_error=0.98 if is_adjoint else 0.0,
            measured=is_adjoint,
            departure=15.747 if is_adjoint else None,
        ),
        error_origin=stub_evidence.error_origin() if is_adjoint else None,
        step_size_terms=stub_evidence.step_size_terms() if name == "naive" else None,
        cost=COSTS[name],
        taylor=taylor(g),
        verdict=VERDICTS[name],
    )


def failed_method(name: str = "direct", why: str = "step underflow at t = 13.2") -> MethodRecord:
    """A method that ended without a gradient."""
    return MethodRecord(name=name, status="failed", failure=why, verdict="fail")


def findings() -> list[Finding]:
    again = "node-diag check vanderpol --rtol 1e-05 --method aca"
    return [
        Finding(
            code="ND101",
            severity="error",
            method="adjoint",
            message="adjoint: the reverse-time state ends 9.8e-01 (relative) away from z0, and "
            "the gradient is off by 1.3e+06; aca, which stores the states, is off by 2.4e-04",
            evidence={"reconstruction_max_error": 1.31, "gradient_error": 1333677.3},
            advice=f"train with a method that stores the trajectory: {again}",
        ),
        Finding(
            code="ND202",
            severity="warning",
            method="naive",
            message="naive: the step-size search adds 1.8e-02 (relative) to the gradient of the "
            "accepted steps",
            evidence={"step_size_terms": 0.01825, "naive_error": 0.01846},
            advice=f"hold the step sizes constant: {again}",
        ),
    ]


def gates() -> list[Gate]:
    source = "flag --max-grad-error"
    return [
        gate("aca", "pass", source),
        gate("naive", "fail", source),
        gate("adjoint", "fail", "pyproject.toml: gates"),
    ]


def gate(name: str, verdict: Verdict, source: str, limit: float = 1e-3) -> Gate:
    """The gradient-error gate of one method."""
    against_truth = error(GRADIENTS[name], TRUTH, 4e-12)
    return Gate(
        expression=f"{name}.grad_error<={limit:g}",
        method=name,
        metric="grad_error",
        value=against_truth.relative_l2,
        uncertainty=against_truth.uncertainty,
        limit=limit,
        verdict=verdict,
        source=source,
    )


def paper_cost() -> dict[str, dict[str, PaperCost]]:
    """Table 1 of the ACA paper for this solve, beside what was measured."""

    def entry(formula: str, value: float, measured: float) -> PaperCost:
        return PaperCost(formula=formula, value=value, measured=measured)

    return {
        "adjoint": {
            "evaluations": entry("N_f·(N_t + N_r)·m", 1756.125, 1656),
            "memory": entry("N_f", 32, 72),
            "depth": entry("N_f·N_r", 3990, 4508),
        },
        "aca": {
            "evaluations": entry("N_f·N_t·(m + 1)", 1776, 1778),
            "memory": entry("N_f + N_t", 2536, 3208),
            "depth": entry("N_f·N_t", 7680, 7680),
        },
        "naive": {
            "evaluations": entry("N_f·N_t·m·2", 2016, 2019),
            "memory": entry("N_f·N_t·m", 81_984, 167_184),
            "depth": entry("N_f·N_t·m", 10_080, 11_328),
        },
    }


def references() -> References:
    return References(
        continuous=reference(
            "sensitivity",
            TRUTH,
            4e-12,
            method="forward sensitivities",
            solver="DOP853",
            rtol=[1e-11, 1e-13],
        ),
        discrete=reference(
            "finite-difference",
            DISCRETE,
            9e-10,
            method="central differences on the frozen grid, one Richardson extrapolation",
            noise=1.4e-15,
            steps_chosen={"8.38e-06": 5},
            batched=True,
            v_curve=v_curve(),
        ),
        unfrozen=reference(
            "finite-difference",
            GRADIENTS["naive"],
            2e-9,
            method="central differences through the adaptive solve, controller included",
        ),
    )


def no_reference(why: str = "the two reference solves differ by more than 1 %") -> MissingReference:
    return MissingReference(reason=why)


def config() -> ConfigRecord:
    return ConfigRecord(
        problem="vanderpol",
        overrides={"mu": 2.0, "T": 20.0},
        solver="dopri5",
        rtol=1e-5,
        atol=1e-5,
        adjoint_rtol=1e-5,
        adjoint_atol=1e-5,
        step_size=None,
        max_steps=100_000,
        methods=list(GRADIENTS),
        reference="auto",
        dtype="float64",
        device="cpu",
        seed=0,
        repeat=3,
        gates=["aca.grad_error<=0.001", "naive.grad_error<=0.001", "adjoint.grad_error<=0.001"],
        report=["html", "png", "json", "csv"],
        sources={"rtol": "flag --rtol", "gates": "pyproject.toml: gates"},
    )


def stock_report(**changes: Any) -> Report:
    """The record of ``check vanderpol``; ``changes`` replace whole fields of the Report."""
    fields: dict[str, Any] = {
        "tool": Tool(version="0.1.0"),
        "environment": Environment(
            python="3.11.7",
            torch="2.13.0",
            platform="Linux x86_64",
            device="cpu",
            dtype="float64",
            threads=2,
            seed=0,
        ),
        "created": "2025-06-01T12:00:00Z",
        "command": "node-diag check vanderpol --rtol 1e-5 --max-grad-error 1e-3",
        "config": config(),
        "problem": ProblemRecord(
            name="vanderpol",
            source="node_diag/_problems/vanderpol.py",
            description="x″ = μ(1 − x²)x′ − x,  L = x(T)² + x′(T)²",
            state_shape=[2],
            n_state=2,
            n_params=1,
            params={"mu": []},
            t0=0.0,
            t1=T_END,
            ts=[0.0, T_END],
        ),
        "solution": SolutionRecord(
            loss=3.1452376998679763,
            z1=[-1.7283, 0.3979],
            nfe=1010,
            n_accepted=N_ACCEPTED,
            n_rejected=N_REJECTED,
            trials_per_step=(N_ACCEPTED + N_REJECTED) / N_ACCEPTED,
        ),
        "references": references(),
        "methods": [method(name) for name in GRADIENTS],
        "findings": findings(),
        "gates": gates(),
        "summary": Summary(passed=1, failed=2, inconclusive=0, exit_code=1),
        "series": series(),
        "paper_cost": paper_cost(),
        "inspection": stub_evidence.inspection(),
        "recommendation": stub_evidence.recommendation(),
    }
    # A copy: tests change their reports, and the gradients above are shared.
    return Report(**(fields | changes)).model_copy(deep=True)
