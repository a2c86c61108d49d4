"""What ``--over`` means, and what it cannot mean."""

import pytest

from node_diag.errors import UsageError
from node_diag.sweep.axes import Axis, parse


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("rtol=1e-3:1e-9:4", (1e-3, 1e-5, 1e-7, 1e-9)),
        ("step_size=0.1:0.4:3", (0.1, 0.2, 0.4)),
        ("mu=1:5:5", (1, 2, 3, 4, 5)),
        ("mu=0:1:3", (0, 0.5, 1)),
        ("solver=rk23,dopri5", ("rk23", "dopri5")),
        ("adjoint-rtol=1e-3,1e-6", (1e-3, 1e-6)),
        ("kind=a,true,3", ("a", True, 3)),
    ],
)
def test_values(text, values):
    (axis,), methods = parse([text])
    assert axis.values == pytest.approx(values) if isinstance(values[0], float) else values
    assert len(axis.values) == len(values)
    assert methods == []
    assert parse([axis.text])[0] == [axis]  # as it is typed again


def test_a_range_has_no_round_off():
    (axis,), _ = parse(["rtol=1e-3:1e-9:7"])
    assert axis.values == (1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9)


def test_options_arguments_and_methods_are_told_apart():
    axes, methods = parse(["rtol=1e-3,1e-5", "mu=1,2", "method=aca,naive"])
    assert axes == [Axis("rtol", (1e-3, 1e-5), True), Axis("mu", (1, 2), False)]
    assert methods == ["aca", "naive"]


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        (["rtol"], "write it as NAME=FROM:TO:COUNT"),
        (["rtol="], "write it as"),
        (["2x=1,2"], "write it as"),
        (["rtol=1e-3:1e-9"], "a range is FROM:TO:COUNT"),
        (["rtol=1e-3:1e-9:1"], "a count from 2"),
        (["rtol=a:b:3"], "two numbers"),
        (["rtol=0:1:3"], "spaced logarithmically"),
        (["rtol=1e-3,1e-3"], "a value is given twice"),
        (["solver=dopri5,rk45"], "a value is given twice"),
        (["mu=1,2", "mu=3,4"], "--over mu is given twice"),
        (["report=html,png"], "changes nothing of a gradient"),
    ],
)
def test_what_cannot_be_is_told(texts, words):
    with pytest.raises(UsageError, match=words):
        parse(texts)
