"""The stated uncertainties cover the true errors, and are not vacuous."""

import pytest

from tests.calibration.family import cases
from tests.calibration.measure import Sample, samples, shortfalls

COUNT = 24
"""Four of each kind; ``make calibration`` takes 240 and fails by the same bars."""


@pytest.fixture(scope="module")
def found():
    return samples(cases(COUNT), adjoint_every=6)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["forward", "adjoint", "frozen"])
def test_uncertainties_cover(found, name):
    own = [s for s in found if s.reference == name]
    assert len(own) >= (COUNT if name != "adjoint" else COUNT // 6 - 1)
    assert shortfalls(own) == []


def test_a_bar_that_does_not_cover_or_says_nothing_is_told():
    fine = [Sample("forward", "", 1e-12, 1e-11, 1.0)] * 98
    assert shortfalls(fine) == []
    (text,) = shortfalls([*fine, *[Sample("forward", "", 1e-12, 1e-13, 1.0)] * 2])
    assert text == "98.0 % of the uncertainties of forward cover, less than 99 %"
    (text,) = shortfalls([Sample("forward", "", 1e-12, 1e-10, 1.0)] * 3)
    assert text == "the uncertainties of forward are 100 times the errors in the median, over 30"
