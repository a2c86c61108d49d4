"""What float32 rounding is made by the flow is no error of a method."""

import pytest

from node_diag.diagnosis.rule import diagnose
from tests.stubs import method, stock_report


def accused(dtype, error, log10_growth, log10_state_growth=0.0):
    """Whether ND201 says that aca, with this error, misses the derivative of its steps."""
    aca = method("aca")
    aca.constant_steps = True
    aca.errors.discrete.relative_l2 = error
    report = stock_report(methods=[aca])
    report.config.dtype = dtype
    report.inspection.stability.log10_growth = log10_growth
    report.inspection.stability.log10_state_growth = log10_state_growth
    return "ND201" in {finding.code for finding in diagnose(report)}


@pytest.mark.parametrize(
    ("growth", "expected"),
    [
        # 128 steps: 1.2e-7 √128 = 1.4e-6, times 10^4.5 is 4.3e-2.
        ([0.0, 2.0, 4.5], False),
        ([0.0, 2.0, 2.5], True),
        ([0.0, -4.0, 0.5], False),  # what was rounded on the way grew too
        ([0.0, -4.0, -3.0], True),
    ],
)
def test_float32_rounding_grows_with_the_flow(growth, expected):
    assert accused("float32", 2e-3, growth) is expected


def test_a_perturbation_that_grows_no_more_than_the_state_is_no_loss_of_digits():
    assert accused("float32", 2e-3, [0.0, 4.5], 4.5)


def test_rounding_of_float64_is_in_the_uncertainty():
    assert accused("float64", 1e-5, [0.0, 9.0])
