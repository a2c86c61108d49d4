"""Exponents of known power laws, with the confidence they deserve."""

import numpy as np
import pytest

from node_diag.experiments.fit import exponent


def test_a_power_law_is_found_to_rounding():
    found = exponent([1, 2, 4, 8], [3, 12, 48, 192])
    assert found.value == pytest.approx(2, abs=1e-14)  # logarithms of numbers up to 200
    assert found.half_width < 1e-7  # residuals of rounding, through a square root
    assert found.holds(2)
    assert not found.holds(1)


def test_a_constant_has_exponent_zero():
    found = exponent([1, 2, 3], [5, 5, 5])
    assert (found.value, found.half_width) == (0, 0)


def test_the_interval_covers_at_its_confidence():
    """Of 400 noisy power laws 95 % are covered: 380, with a standard deviation of 4.4."""
    generator = np.random.default_rng(0)
    x = np.geomspace(1, 100, 8)
    covered = 0
    for _ in range(400):
        y = x**1.5 * np.exp(0.1 * generator.standard_normal(8))
        found = exponent(list(x), list(y))
        covered += abs(found.value - 1.5) <= found.half_width
    assert 380 - 4 * 4.4 <= covered <= 380 + 4 * 4.4


def test_two_points_have_no_confidence():
    with pytest.raises(ValueError, match="three points"):
        exponent([1, 2], [1, 2])
