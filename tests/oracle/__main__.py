"""Writes docs/published_problems.md: `python -m tests.oracle`."""

from pathlib import Path

import numpy as np
import torch
from scipy.integrate import solve_ivp

from node_diag import Problem, gradient, solve
from node_diag.errors import ProblemError, SolveError
from node_diag.outputs.numbers import scientific
from node_diag.references.base import flatten
from node_diag.references.exact import exact_reference
from node_diag.references.sensitivity import sensitivity_reference
from tests.oracle.problems import SUITE
from tests.oracle.test_published import ADAPTIVE, _states

PAGE = Path(__file__).resolve().parents[2] / "docs" / "published_problems.md"
RTOL = 1e-6
METHODS = (
    *(
        "aca",
        "adjoint",
        "naive",
        "torchdiffeq",
        "torchdiffeq-adjoint",
        "torchode",
        "torchode-frozen",
    ),
    *("torchode-backsolve", "torchdiffeqpack-aca"),
)
HEAD = f"""# Problems from other libraries' test suites

Written by `python -m tests.oracle`. The first three are those torchdiffeq tests its solvers with; all have closed forms, and
`tests/oracle` holds our solvers and gradients against them in every run. rtol = atol = {RTOL:g}, errors relative.

"""


class VanDerPol(torch.nn.Module):
    """As in PETSc's adjoint tutorial: y' = v, v' = μ ((1 − y²) v − y)."""

    def __init__(self, mu):
        super().__init__()
        self.mu = torch.nn.Parameter(torch.tensor(mu, dtype=torch.float64))

    def forward(self, t, z):
        y, v = z.unbind(-1)
        return torch.stack([v, self.mu * ((1 - y * y) * v - y)], -1)


def by_scipy(mu, z0, end):
    """dy(T)/dz0 and dy(T)/dμ by scipy's Radau on the variational equations."""

    def rhs(_, x):
        y, v = x[:2]
        s = x[2:].reshape(2, 3)
        jacobian = np.array([[0, 1], [mu * (-2 * y * v - 1), mu * (1 - y * y)]])
        source = np.array([[0, 0, 0], [0, 0, (1 - y * y) * v - y]])
        return np.concatenate([[v, mu * ((1 - y * y) * v - y)], (jacobian @ s + source).ravel()])

    start = np.concatenate([z0, np.eye(2, 3).ravel()])
    found = solve_ivp(rhs, (0, end), start, method="Radau", rtol=1e-11, atol=1e-13)
    return found.y[2:5, -1]


def distance(found, truth):
    """Relative L2."""
    return scientific(float(np.linalg.norm(found - truth) / np.linalg.norm(truth)))


def main():
    """Three tables."""
    problems = [make().problem() for make in SUITE]
    names = " | ".join(p.name for p in problems)
    lines = [HEAD + "## States", "", f"| solver | {names} |", "|:--|" + "--:|" * len(problems)]
    for solver in ADAPTIVE:
        found = (solve(p, solver, rtol=RTOL, atol=RTOL).zs.detach().numpy() for p in problems)
        cells = [distance(z, _states(p).numpy()) for z, p in zip(found, problems, strict=True)]
        lines.append(f"| `{solver}` | {' | '.join(cells)} |")
    with_truth = [p for p in problems if p.exact]
    names = " | ".join(p.name for p in with_truth)
    lines += [
        "",
        "## Gradients, with dopri5",
        "",
        f"| method | {names} |",
        "|:--|" + "--:|" * len(with_truth),
    ]
    for method in METHODS:
        cells = []
        for p in with_truth:
            truth = exact_reference(p).value
            main = slice(0, truth.size - len(p.ts))
            try:
                found = flatten(gradient(p, method, rtol=RTOL, atol=RTOL).gradient)
            except (ProblemError, SolveError) as error:
                cells.append(str(error).partition(":")[0])
            else:
                cells.append(distance(found[main], truth[main]))
        lines.append(f"| `{method}` | {' | '.join(cells)} |")
    lines += [
        "", "## Van der Pol's oscillator in PETSc's scaling", "",
        "dy(T)/d(y₀, v₀, μ) at T = 0.5 by our continuous reference, and its distance from scipy's Radau on the variational "
        "equations at rtol 1e-11.", "",
        "| μ | by | dy/dy₀ | dy/dv₀ | dy/dμ | uncertainty | distance from scipy |",
        "|--:|:--|--:|--:|--:|--:|--:|",
    ]  # fmt: skip
    for mu in (1.0, 10.0, 1e3):
        z0 = np.array([2.0, -2 / 3 + 10 / (81 * mu) - 292 / (2187 * mu**2)])
        p = Problem(VanDerPol(mu), torch.from_numpy(z0), [0.0, 0.5], lambda zs: zs[-1][0])
        truth = sensitivity_reference(p)
        value, bar = truth.value[:3], truth.bar[:3]
        far = distance(value, by_scipy(mu, z0, 0.5))
        entries = " | ".join(f"{x:.9g}" for x in value)
        known = scientific(float(np.linalg.norm(bar) / np.linalg.norm(value)))
        lines.append(f"| {mu:g} | {truth.details['solver']} | {entries} | {known} | {far} |")
    PAGE.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
