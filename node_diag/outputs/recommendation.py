"""The cheapest setting seen to meet the target: a sentence and the command that runs it."""

from __future__ import annotations

from node_diag.diagnosis.again import command
from node_diag.outputs.numbers import count, limit, uncertain
from node_diag.outputs.table import Table
from node_diag.records import Candidate, Recommendation, Report


def sentence(report: Report) -> str:
    """What to train with; empty where no target could be looked for."""
    found = report.recommendation
    if found is None:
        return ""
    if found.best is None:
        return f"No setting was found for a gradient error of {limit(found.target)}: {found.reason}"
    best = found.candidates[found.best]
    return (
        f"Cheapest of {len(found.candidates)} settings tried for a gradient error of "
        f"{limit(found.target)}: {found.method} with {best.solver} at {tolerance(best)}, error "
        f"{uncertain(best.error, best.uncertainty)} in {count(best.nfe)} evaluations of f"
    )


def rerun(report: Report) -> str:
    """The command that checks that setting."""
    found = report.recommendation
    if found is None or found.best is None:
        return ""
    best = found.candidates[found.best]
    steps = {"rtol": best.rtol, "atol": best.atol}
    if best.step_size is not None:
        steps["step_size"] = best.step_size
    return command(report, solver=best.solver, method=found.method, control=best.control, **steps)


def tolerance(candidate: Candidate) -> str:
    """What was varied."""
    if candidate.step_size is not None:
        return f"step {candidate.step_size:g}"
    text = f"rtol {limit(candidate.rtol)}"
    if candidate.atol != candidate.rtol:
        text += f", atol {limit(candidate.atol)}"
    return text + (", sensitivities controlled" if candidate.control != "state" else "")


def table(found: Recommendation) -> Table:
    """All settings that were tried."""
    rows = [
        (
            c.solver,
            tolerance(c),
            c.failure or uncertain(c.error, c.uncertainty),
            count(c.nfe),
            count(c.n_accepted),
            ("yes" if c.met else "no") + (", the cheapest" if i == found.best else ""),
        )
        for i, c in enumerate(found.candidates)
    ]
    columns = (
        "solver",
        "setting",
        "gradient error",
        "evaluations of f",
        "steps",
        "meets the target",
    )
    return Table("Settings that were tried", columns, rows, frozenset({0, 1, 5}))
