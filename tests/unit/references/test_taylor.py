"""Taylor test: what it catches, and what it must not."""

import numpy as np
import pytest

from node_diag.field import Field
from node_diag.gradients.base import Setup, run
from node_diag.loader import load
from node_diag.references.base import flatten, slices
from node_diag.references.finite_difference import frozen_reference
from node_diag.references.taylor import STEPS, odd_part_fit
from node_diag.registry import METHODS, SOLVERS
from node_diag.solvers.integrate import integrate
from node_diag.solvers.solution import Settings

DOPRI5 = SOLVERS.load("dopri5")
SETTINGS = Settings(DOPRI5, 1e-5, 1e-5)


def lines_and_gradient(mu):
    problem = load("vanderpol", {"mu": mu, "T": 12.0})
    solution = integrate(Field(problem), problem.flat_z0(), problem.ts, SETTINGS)
    reference = frozen_reference(problem, DOPRI5, solution.grid)
    direct = run("direct", METHODS.load("direct"), problem, Setup(SETTINGS, SETTINGS))
    return reference.lines, flatten(direct.gradient)[: slices(problem)["ts"].start]


@pytest.mark.parametrize("mu", [1.0, 5.0])
def test_an_exact_gradient_passes_and_an_error_of_1e8_is_caught(mu):
    lines, gradient = lines_and_gradient(mu)
    along, random = lines
    for line in lines:
        # direct is exact to round-off, a thousand times below the bar of the fit.
        assert line.odd_part(gradient) <= line.bar
    assert along.bar < 2e-9
    assert along.odd_part(gradient * (1 + 1e-8)) > along.bar
    # In a random direction the same error is as visible as that direction is long in the gradient.
    assert random.odd_part(gradient * (1 + 1e-6)) > random.bar


def test_rates_are_two_for_the_right_gradient_and_one_for_a_wrong_one():
    (line, _), gradient = lines_and_gradient(1.0)
    right = np.log2(line.remainders(gradient)[:5] / line.remainders(gradient)[1:6])
    wrong = np.log2(line.remainders(1.5 * gradient)[:5] / line.remainders(1.5 * gradient)[1:6])
    # The next term of the series is ε times smaller, and ε starts at 1e-3.
    np.testing.assert_allclose(right, 2, atol=0.1)
    np.testing.assert_allclose(wrong, 1, atol=0.1)


def test_a_minimum_rate_would_fail_the_exact_gradient():
    (line, _), gradient = lines_and_gradient(5.0)
    remainders = line.remainders(gradient)
    assert np.log2(remainders[0] / remainders[1]) < 1.9
    assert line.odd_part(gradient) <= line.bar


def test_the_fit_drops_steps_that_are_too_large():
    values = np.sin(300 * STEPS) / 300  # ε = 1e-3 turns by a third of a radian
    derivative, bar = odd_part_fit(values, -values, 1e-17)
    assert abs(derivative - 1) <= bar
    assert bar < 1e-9


def test_a_fit_that_never_holds_has_an_infinite_bar():
    random = np.random.default_rng(0)
    _, bar = odd_part_fit(random.normal(size=STEPS.size), random.normal(size=STEPS.size), 1e-16)
    assert bar == np.inf
