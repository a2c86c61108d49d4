"""Differences along lines: steps, bars and the noise they rest on."""

import math

import numpy as np
import pytest

from node_diag.references import ladder, noise
from node_diag.references.v_curve import v_curve

EPS = 2.0**-52


def along(function, at):
    """Central differences of a scalar function, as the ladder asks for them."""

    def quotients(lines, steps):
        ups, downs = (np.array([function(at + sign * h) for h in steps]) for sign in (1, -1))
        apart = np.array([(at + h) - (at - h) for h in steps])
        return ladder.taken(ups, downs, apart, function(at))

    return quotients


@pytest.mark.parametrize(
    ("function", "derivative", "at"),
    [
        (math.sin, math.cos, 0.7),
        (math.exp, math.exp, 2.0),
        (lambda x: math.sin(1e3 * x), lambda x: 1e3 * math.cos(1e3 * x), 0.3),
        (lambda x: math.sin(1e6 * x), lambda x: 1e6 * math.cos(1e6 * x), 0.3),
        (lambda x: abs(x - 1e-6), lambda x: math.copysign(1.0, x - 1e-6), 0.0),
    ],
    ids=["sin", "exp", "fast", "very fast", "kink at a thirtieth of the first step"],
)
def test_bars_cover_and_are_small(function, derivative, at):
    # sin(kx) is known to k |x| ulp of its argument, which is its noise here.
    sigma = EPS * max(abs(function(at)), abs(derivative(at)) * max(at, 1e-3))
    found = ladder.climb(along(function, at), np.ones(1), sigma)
    error = abs(found.value[0] - derivative(at))
    assert error <= found.bar[0]
    assert found.bar[0] <= 1e-4 * abs(derivative(at))


@pytest.mark.parametrize(
    ("function", "slopes"),
    [
        (abs, (-1.0, 1.0)),
        (lambda x: max(x, 0.0), (0.0, 1.0)),
        (lambda x: math.exp(x) + 1e-3 * abs(x), (0.999, 1.001)),
        (lambda x: math.sin(x) if x < 0 else math.sinh(3 * x), (1.0, 3.0)),
    ],
    ids=["abs", "relu", "small", "curved on both sides"],
)
def test_on_a_kink_the_bar_reaches_to_the_slopes_on_both_sides(function, slopes):
    found = ladder.climb(along(function, 0.0), np.ones(1), EPS)
    half = (slopes[1] - slopes[0]) / 2
    # Right to J''/2 times the finest of the first three steps, where J'' on a side is at most 1.
    assert found.kink[0] == pytest.approx(half, abs=ladder.step(2))
    assert found.bar[0] >= abs(found.kink[0])
    assert found.value[0] == pytest.approx(sum(slopes) / 2, abs=ladder.step(2))


@pytest.mark.parametrize(
    "function",
    [
        math.exp,
        lambda x: x**2,
        lambda x: abs(x) ** 1.5,
        lambda x: 1e-9 * math.cos(50 * x),
        lambda x: 3 * x,
        # At the middle step of the first three the bend of x² is cancelled by that of x⁴.
        lambda x: x**2 - (x**2 / (ladder.step(1))) ** 2,
    ],
)
def test_where_there_is_no_kink_none_is_seen(function):
    assert ladder.climb(along(function, 0.0), np.ones(1), EPS).kink[0] == 0.0


def test_steps_that_agree_by_chance_are_not_believed():
    """A function that oscillates far below the coarse steps: they see a mean slope of zero."""
    fast = 1e10
    found = ladder.climb(along(lambda x: math.sin(fast * x), 0.0), np.ones(1), EPS)
    # At 4.7e-12 the argument moves by 0.05, where the sine is straight to 4e-4; the two finest
    # pairs of steps agree on the derivative, and none coarser may be believed before them.
    assert math.isfinite(found.bar[0])
    assert abs(found.value[0] - fast) <= found.bar[0] < 0.1 * fast


def test_a_function_that_is_not_smooth_anywhere_has_no_derivative():
    generator = np.random.default_rng(0)
    found = ladder.climb(
        lambda lines, steps: ladder.taken(*generator.normal(size=(2, len(steps))), 2 * steps),
        np.ones(20),
        1e-16,
    )
    assert np.mean(np.isinf(found.bar)) > 0.5


def test_noise_drowns_small_derivatives_until_the_steps_grow():
    """J = 1 + 1e-9 sin x: the derivative is a million times smaller than the value's noise over h."""
    function, at = lambda x: 1 + 1e-9 * math.sin(x), 0.5
    found = ladder.climb(along(function, at), np.ones(1), EPS)
    assert found.chosen[0] < 0
    assert abs(found.value[0] - 1e-9 * math.cos(at)) <= found.bar[0]


def test_noise_is_measured():
    base, scale = np.array([0.3, -1.2]), np.ones(2)
    generator = np.random.default_rng(1)
    rows = noise.probes(base, scale)
    smooth = np.sin(rows).sum(axis=1)
    for size in (1e-6, 1e-10):
        found = noise.noise(smooth + size * generator.normal(size=len(rows)), 1.0)
        # Seven values along three lines, the largest counts: within a factor of a few.
        assert 0.3 * size < found < 4 * size
    assert noise.noise(smooth, float(smooth[0])) < 1e-14


def test_noise_of_a_function_that_is_rough_over_the_coarse_spacing():
    rows = noise.probes(np.zeros(1), np.ones(1))
    chaotic = np.sin(1e9 * rows + 0.3).sum(axis=1)
    assert noise.noise(chaotic, 1.0) < 1e-3


def test_the_v_curve_has_its_minimum_inside():
    function, at, derivative = math.exp, 1.0, math.e
    found = ladder.climb(along(function, at), np.ones(1), 2 * EPS)
    quotients = along(function, at)
    curve = v_curve(
        lambda steps: quotients(None, steps)[0], derivative, float(found.bar[0]), int(found.chosen[0]),
        2 * EPS, "x",
    )  # fmt: skip
    plain = curve["plain"]
    lowest = int(np.argmin(plain))
    assert 0 < lowest < len(plain) - 1
    assert plain[0] > 100 * plain[lowest]
    assert plain[-1] > 100 * plain[lowest]
    assert curve["chosen"] in [ladder.step(level) for level in range(-3, 13)]
