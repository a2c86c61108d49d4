"""The other built-in problems, and which truth disagrees with what."""

import math

import numpy as np
import pytest

METHODS = ("adjoint", "aca", "naive", "direct")
HALF = {"T": 0.5}
"""Half of the three bodies' time: the whole takes twice as long and shows the same."""


@pytest.mark.parametrize("k", [0.5, -0.7])
def test_linear_gradients_are_the_closed_form(checked, k):
    T, z0, rtol = 2.0, 1.0, 1e-10
    report = checked("linear", {"k": k, "T": T}, rtol=rtol)
    growth = math.exp(2 * k * T)
    truth = {
        "z0": 2 * z0 * growth, "k": 2 * T * z0**2 * growth,
        "t0": -2 * k * z0**2 * growth, "t1": 2 * k * z0**2 * growth,
    }  # fmt: skip
    # At most 958 × rtol relative, the largest ratio measured over 30 random problems.
    for name in METHODS:
        gradient = report.method(name).gradient
        assert gradient.z0[0] == pytest.approx(truth["z0"], rel=958 * rtol)
        assert gradient.params["k"][0] == pytest.approx(truth["k"], rel=958 * rtol)
        assert gradient.t0 == pytest.approx(truth["t0"], rel=958 * rtol)
        assert gradient.t1 == pytest.approx(truth["t1"], rel=958 * rtol)
        assert math.copysign(1, gradient.t0) == -math.copysign(1, k)
    reference = report.references.continuous
    assert reference.kind == "exact"
    # Round-off of a handful of operations, and the stated uncertainty covers it.
    assert reference.gradient.z0[0] == pytest.approx(truth["z0"], rel=1e-14)
    assert reference.uncertainty < 1e-13


@pytest.mark.parametrize("rtol", [1e-3, 1e-12])
def test_equilibrium_fools_every_discrete_gradient(checked, rtol):
    report = checked("equilibrium", rtol=rtol)
    truth = math.exp(-10.0)
    assert report.references.continuous.gradient.z0[0] == pytest.approx(truth, rel=1e-14)
    for name in ("aca", "naive", "direct"):
        errors = report.method(name).errors
        assert errors.continuous.relative_l2 > 1e5
        assert errors.discrete.relative_l2 < 1e-9
    blamed = [f for f in report.findings if f.code == "ND203"]
    assert len(blamed) == 1
    assert "continuous truth" in blamed[0].message
    assert not any(f.code == "ND201" for f in report.findings)


def test_equilibrium_adjoint_is_right_at_a_tight_tolerance(checked):
    adjoint = checked("equilibrium", rtol=1e-12).method("adjoint")
    # a(t) is controlled to 1e-12 absolute, which is 2e-8 of e^-10 = 4.5e-5.
    assert adjoint.errors.continuous.relative_l2 < 2e-8


@pytest.mark.parametrize(
    ("spec", "overrides", "rtol"),
    [("threebody", HALF, 1e-5), ("spiral", {}, 1e-6), ("lotkavolterra", {}, 1e-6)],
)
def test_frozen_methods_agree_with_the_discrete_reference(checked, spec, overrides, rtol):
    report = checked(spec, overrides, rtol=rtol)
    for name in ("aca", "direct"):
        errors = report.method(name).errors.discrete
        assert errors.relative_l2 <= max(1e-9, report.references.discrete.uncertainty)
        for part, error in errors.by_parameter.items():
            assert error.max_abs == 0 or error.relative_l2 < 1e-6, part
    aca, direct = (np.array(report.method(n).gradient.z0) for n in ("aca", "direct"))
    assert np.linalg.norm(aca - direct) <= 1e-10 * np.linalg.norm(direct)


@pytest.mark.parametrize("spec", ["linear", "lotkavolterra", "spiral"])
def test_healthy_problems_raise_no_error(checked, spec):
    assert [f for f in checked(spec, rtol=1e-6).findings if f.severity == "error"] == []


def test_threebody_discrete_truth_converges_to_the_continuous_one(checked):
    # Order 5: tightening rtol a hundredfold should gain about a factor of 100^(5/5); ask for 10.
    loose = checked("threebody", HALF, rtol=1e-5).method("aca").errors.continuous.relative_l2
    alone = checked("threebody", HALF, rtol=1e-7, methods="aca")
    tight = alone.method("aca").errors.continuous.relative_l2
    assert tight < loose / 10
