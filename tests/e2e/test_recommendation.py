"""The cheapest setting that meets a target, as a check ends with it."""


def test_it_meets_the_tightest_gate(checked):
    report = checked("linear", methods="aca", max_grad_error="1e-6", gates="aca.grad_error<=1e-7")
    found = report.recommendation
    best = found.candidates[found.best]
    assert found.target == 1e-7  # the default would be 100 rtol = 1e-3
    assert best.error + best.uncertainty <= 1e-7
