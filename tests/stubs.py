"""A realistic record of ``node-diag check vanderpol``, built without torch and without a solver.

The gradients are those of Dormand–Prince at rtol = atol = 1e-5 on μ = 2, T = 20, the continuous
truth is from variational equations; errors are computed from them here, so the record agrees with
itself.
"""

from __future__ import annotations

from typing import Any, Literal

from node_diag.records import (
    ConfigRecord,
    Cost,
    Environment,
    ErrorRecord,
    Errors,
    Finding,
    Gate,
    GradientRecord,
    MethodRecord,
    MissingReference,
    PaperCost,
    ParameterError,
    ProblemRecord,
    Reconstruction,
    ReferenceRecord,
    References,
    Report,
    SolutionRecord,
    Summary,
    Tool,
    Verdict,
)
from tests.stub_series import N_ACCEPTED, N_REJECTED, T_END, State, norm, series

Kind = Literal["exact", "sensitivity", "finite-difference"]


def gradient(z0: State, mu: float, t0: float, t1: float) -> GradientRecord:
    """A van der Pol gradient."""
    return GradientRecord(z0=list(z0), t0=t0, t1=t1, ts=[t0, t1], params={"mu": [mu]})


TRUTH = gradient((3.66155497, 0.6291383), 3.78914636, 1.25816, -1.25832)
DISCRETE = gradient((3.66260843, 0.62931592), 3.78986617, 1.25832, -1.25832)
GRADIENTS = {
    "adjoint": gradient((-4756568.76, 5240595.86), -25.8887, 1.0481e7, -1.25832),
    "aca": DISCRETE,
    "naive": gradient((3.7022, 0.6429), 3.8772, 1.25832, -1.25832),
}


def vector(g: GradientRecord) -> list[float]:
    """z0 and all parameters, one after the other."""
    return [*(g.z0 or []), *(x for p in g.params.values() for x in p or [])]


def difference(a: list[float], b: list[float]) -> list[float]:
    return [x - y for x, y in zip(a, b, strict=True)]


def tensor_error(ours: list[float], truth: list[float], bar: float) -> ParameterError:
    gap = difference(ours, truth)
    return ParameterError(
        relative_l2=norm(gap) / norm(truth),
        max_abs=max(map(abs, gap)),
        uncertainty=bar / norm(truth) * (1 + norm(gap) / norm(truth)),
    )


def error(ours: GradientRecord, truth: GradientRecord, bar: float) -> ErrorRecord:
    """Distance of a gradient from a reference known to the absolute L2 uncertainty ``bar``."""
    a, b = vector(ours), vector(truth)
    gap = difference(a, b)
    dot = sum(x * y for x, y in zip(a, b, strict=True))
    return ErrorRecord(
        relative_l2=norm(gap) / norm(b),
        uncertainty=bar / norm(b) * (1 + norm(gap) / norm(b)),
        absolute_l2=norm(gap),
        max_abs=max(map(abs, gap)),
        cosine=dot / (norm(a) * norm(b)),
        norm_ratio=norm(a) / norm(b),
        by_parameter={
            "z0": tensor_error(ours.z0 or [], truth.z0 or [], bar),
            **{
                name: tensor_error(ours.params[name] or [], truth.params[name] or [], bar)
                for name in truth.params
            },
            "t0": tensor_error([ours.t0], [truth.t0], bar),
            "t1": tensor_error([ours.t1], [truth.t1], bar),
        },
    )


def reference(kind: Kind, truth: GradientRecord, bar: float, **details: Any) -> ReferenceRecord:
    """A reference with the same absolute uncertainty everywhere."""
    names = ["z0", "t0", "t1", *truth.params]
    return ReferenceRecord(
        kind=kind,
        gradient=truth,
        uncertainty=bar / norm(vector(truth)),
        absolute_uncertainty=bar,
        norm=norm(vector(truth)),
        uncertainty_by_parameter=dict.fromkeys(names, bar),
        details=details,
    )


def cost(backward: int, steps: int, saved: int, depth: int, seconds: float) -> Cost:
    return Cost(
        nfe_forward=1010,
        nfe_backward=backward,
        nvjp_backward=max(backward, 1010),
        n_steps_backward=steps,
        saved_bytes=saved,
        peak_bytes=saved + 4096,
        graph_depth=depth,
        live_graph_depth=min(depth, 61),
        forward_s=0.0848,
        backward_s=seconds,
        repeats=3,
        spread_s=0.0021,
    )


COSTS = {
    "adjoint": cost(580, 87, 16, 0, 0.5974),
    "aca": cost(768, 128, 2080, 7808, 0.1822),
    "naive": cost(0, 128, 1_310_720, 16_412, 0.1845),
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
        gradient=g,
        errors=Errors(continuous=error(g, TRUTH, 4e-12), discrete=error(g, DISCRETE, 9e-10)),
        reconstruction=Reconstruction(
            max_error=1.31 if is_adjoint else 0.0,
            initial_error=0.98 if is_adjoint else 0.0,
            measured=is_adjoint,
        ),
        cost=COSTS[name],
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
            "evaluations": entry("N_f·(N_t + N_r)·m", 1690, 1590),
            "memory": entry("N_f", 56, 16),
            "depth": entry("N_f·N_r", 3_480, 0),
        },
        "aca": {
            "evaluations": entry("N_f·N_t·(m + 1)", 1778, 1778),
            "memory": entry("N_f + N_t", 9_784, 2_080),
            "depth": entry("N_f·N_t", 7_680, 7_808),
        },
        "naive": {
            "evaluations": entry("N_f·N_t·m·2", 2_016, 2_020),
            "memory": entry("N_f·N_t·m", 1_297_408, 1_310_720),
            "depth": entry("N_f·N_t·m", 16_128, 16_412),
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
            steps=[2.0**-15, 2.0**-17, 2.0**-19],
            batched=True,
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
    }
    return Report(**(fields | changes))
