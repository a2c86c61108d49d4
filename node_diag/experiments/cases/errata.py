"""Three printed formulas that a gradient check rejects, and what they have to be.

Each is checked as anybody would check their own: a closed form as ``exact=`` of a problem, a
hand-written adjoint as ``--method path/to/file.py:NAME``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from node_diag.cells import Cell
from node_diag.experiments.base import Claim, Conclusion, Experiment, Results
from node_diag.outputs.numbers import general, uncertain
from node_diag.outputs.table import Table

if TYPE_CHECKING:
    from torch import Tensor

    from node_diag import Problem
    from node_diag.records import Report

FORMULAS = Path(__file__).parent.parent / "formulas.py"
START, RATE, HORIZON = 1.5, 1.0, 2.0
"""θ(0), η and T of the gradient flow."""
RTOL = 1e-8
WRONG = 0.1
"""Relative error from which a formula counts as rejected."""


@dataclass(frozen=True)
class Erratum:
    """A formula as printed and as it has to be.

    Attributes:
        tensor: whose gradient it is about.
        versions: what ``printed`` and ``corrected`` are called: a factor, or a method's name.
    """

    what: str
    printed: str
    corrected: str
    tensor: str
    versions: Mapping[str, Any]


ERRATA = {
    "closed-form": Erratum(
        "closed form of θ′ = −2ηθ³ (essay, section 2.5)",
        "θ(0)(1 + 6ηθ(0)²t)^(−1/2)",
        "θ(0)(1 + 4ηθ(0)²t)^(−1/2)",
        "z0",
        {"printed": 6, "corrected": 4},
    ),
    "start-time": Erratum(
        "dL/dt0 (post with Lagrange multipliers, comments)",
        "λ(t1)f(t1) + ∫ λ ∂f/∂t dt from t1 to t0",
        "the same with a minus: −λ(t0)f(t0)",
        "t0",
        {"printed": "printed_start_time", "corrected": "right"},
    ),
    "parameters": Erratum(
        "dL/dθ for λ(T) = −∂L/∂z(T) (slides, “numerical implementation”)",
        "d/dt(dL/dθ) = −λᵀ ∂f/∂θ from T to 0",
        "d/dt(dL/dθ) = +λᵀ ∂f/∂θ from T to 0",
        "rate",
        {"printed": "printed_parameters", "corrected": "corrected_parameters"},
    ),
}


def cells() -> list[Cell]:
    """Every formula in both versions."""
    return [
        Cell(f"{name}_{version}", {"name": name, "version": version})
        for name, erratum in ERRATA.items()
        for version in erratum.versions
    ]


def measure(name: str, version: str) -> dict[str, Any]:
    """A check of the formula: its error, the verdict, and the findings on it."""
    from node_diag import check

    chosen = ERRATA[name].versions[version]
    if name == "closed-form":
        return _closed_form(check(_flow(chosen), methods=("aca",), rtol=RTOL, repeat=1))
    method = f"{FORMULAS}:{chosen}"
    report = check(_forced(), methods=(method,), rtol=RTOL, repeat=1)
    (found,) = report.methods
    assert found.errors is not None
    assert found.errors.continuous is not None
    error = found.errors.continuous.by_parameter[ERRATA[name].tensor].relative_l2
    codes = [f.code for f in report.findings if f.method == found.name]
    return {"error": error, "uncertainty": _uncertainty(report), "findings": codes}


def _closed_form(report: Report) -> dict[str, Any]:
    """How far it is from the sensitivity equations, and whether that is said."""
    details = report.references.continuous.details
    return {
        "error": details["distance_from_sensitivities"],
        "uncertainty": _uncertainty(report),
        "findings": [f.code for f in report.findings if f.method is None],
    }


def _uncertainty(report: Report) -> float | None:
    found = report.references.continuous
    return None if found.kind == "none" else found.uncertainty


def _flow(factor: int) -> Problem:
    """θ′ = −ηL′(θ) for L = θ⁴/2 with a closed form to be checked."""
    import torch

    from node_diag import Problem

    rate = torch.tensor(RATE, dtype=torch.float64, requires_grad=True)

    def exact(ts: Tensor, z0: Tensor, params: Mapping[str, Tensor]) -> Tensor:
        t = (ts[1:] - ts[0]).reshape(-1, 1)
        return z0 * (1 + factor * params["rate"] * z0**2 * t) ** -0.5

    return Problem(
        lambda t, z: -2 * rate * z**3,
        torch.tensor([START], dtype=torch.float64),
        (0.0, HORIZON),
        _square,
        name="gradient-flow",
        params={"rate": rate},
        exact=exact,
    )


def _forced() -> Problem:
    """A driven oscillator: its field depends on the time, which dL/dt0 is about."""
    import torch

    from node_diag import Problem

    rate = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)

    def f(t: Tensor, z: Tensor) -> Tensor:
        x, v = z.unbind(-1)
        return torch.stack([v, torch.sin(2 * t) - rate * v - x], -1)

    z0 = torch.tensor([1.0, 0.5], dtype=torch.float64)
    return Problem(f, z0, (0.0, 3.0), _square, name="driven", params={"rate": rate})


def _square(zs: Tensor) -> Tensor:
    return zs[-1].square().sum()


def conclude(results: Results) -> Conclusion:
    """Whether each printed formula is rejected and each corrected one is not."""
    claims: list[Claim] = []
    rows: list[tuple[str, ...]] = []
    caught = 0
    for name, erratum in ERRATA.items():
        printed, corrected = (results[f"{name}_{version}"] for version in erratum.versions)
        rejected = _is_wrong(printed) and not _is_wrong(corrected)
        caught += rejected
        claims.append(
            Claim(
                erratum.what,
                erratum.printed,
                erratum.corrected,
                "contradicts" if rejected else "agrees",
                f"relative error as printed {_error(printed)}, corrected {_error(corrected)}",
            )
        )
        for version, found in zip(erratum.versions, (printed, corrected), strict=True):
            codes = ", ".join(found["findings"]) or "none"
            rows.append((name, version, _error(found), codes))
    command = (
        "node-diag check PROBLEM --method node_diag/experiments/formulas.py:printed_start_time"
    )
    return Conclusion(
        f"{caught} of {len(ERRATA)} printed formulas are rejected by the check, and their "
        "corrections pass it.",
        claims,
        tables=[Table("Checks of the formulas", ("formula", "version", "error", "findings"), rows)],
        notes=[
            f"Errors are relative to the true gradient, at rtol {general(RTOL)}; of the closed "
            "form, relative to the sensitivity equations, which take its place when it is wrong.",
            f"The same from a command line: {command}",
        ],
    )


def _is_wrong(found: Mapping[str, Any]) -> bool:
    return not found["error"] < WRONG


def _error(found: Mapping[str, Any]) -> str:
    return uncertain(found["error"], found["uncertainty"])


EXPERIMENT = Experiment(
    "Errata: three printed formulas that a gradient check rejects",
    "essay, section 2.5; post with Lagrange multipliers, comments; slides, “numerical "
    "implementation”",
    "Three formulas of the sources have a wrong factor or sign. Each is given to the check the way "
    "anybody would check their own, and so is its correction.",
    cells,
    measure,
    conclude,
)
