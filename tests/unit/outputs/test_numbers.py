"""How numbers are shown."""

from __future__ import annotations

import math

import pytest

from node_diag.outputs import numbers


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (2.849e-4, "2.8e-04"),
        (1.0, "1.0e+00"),
        (-3.2e100, "-3.2e+100"),
        (0.0, "0"),
        (math.nan, "nan"),
        (math.inf, "inf"),
        (-math.inf, "-inf"),
        (None, "–"),
    ],
)
def test_errors_have_two_digits(value, shown):
    assert numbers.scientific(value) == shown


def test_an_uncertainty_stands_beside_its_value():
    assert numbers.uncertain(2.8e-4, 1.2e-12) == "2.8e-04 ± 1.2e-12"


@pytest.mark.parametrize("uncertainty", [None, 0.0])
def test_no_uncertainty_is_not_shown_as_zero(uncertainty):
    assert numbers.uncertain(2.8e-4, uncertainty) == "2.8e-04"


def test_nothing_has_no_uncertainty():
    assert numbers.uncertain(None, 1e-3) == "–"
    assert numbers.uncertain(math.nan, 1e-3) == "nan"


@pytest.mark.parametrize(
    ("n_bytes", "shown"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1_310_720, "1.2 MiB"),
        (5 * 2**40, "5.0 TiB"),
        (5 * 2**50, "5120.0 TiB"),
    ],
)
def test_bytes_take_the_largest_unit(n_bytes, shown):
    assert numbers.size(n_bytes) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(3.4e-4, "340 µs"), (2.5e-9, "0.0 µs"), (0.012, "12 ms"), (1.25, "1.2 s"), (90.0, "90 s")],
)
def test_seconds_take_a_unit_that_fits(seconds, shown):
    assert numbers.duration(seconds) == shown


@pytest.mark.parametrize(
    ("value", "shown"), [(1e-3, "1e-03"), (2.5e-4, "2.5e-04"), (0.0, "0"), (1e10, "1e+10")]
)
def test_a_limit_is_as_short_as_it_was_written(value, shown):
    assert numbers.limit(value) == shown


def test_counts_have_their_thousands_apart():
    assert numbers.count(1_310_720) == "1,310,720"
    assert numbers.count(1756.1) == "1,756.1"
    assert numbers.count(math.nan) == "nan"


def test_general_numbers_keep_six_digits():
    assert numbers.general(3.6615549) == "3.66155"
    assert numbers.general(1e-5) == "1e-05"
    assert numbers.general(math.inf) == "inf"
