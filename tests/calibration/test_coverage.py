"""The stated uncertainties cover the true errors, and are not vacuous."""

import numpy as np
import pytest

from tests.calibration.family import cases
from tests.calibration.measure import samples

COUNT = 204


@pytest.fixture(scope="module")
def found():
    return samples(cases(COUNT), adjoint_every=6)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["forward", "adjoint", "frozen"])
def test_uncertainties_cover(found, name):
    own = [s for s in found if s.reference == name]
    assert len(own) >= (COUNT if name != "adjoint" else COUNT // 6 - 1)
    assert np.mean([s.covers for s in own]) >= 0.99
    assert np.mean([s.inside for s in own]) >= 0.99
    # An error of exactly zero says nothing about how large a bar should have been.
    assert np.median([s.bar / s.error for s in own if s.error > 0]) <= 30
