"""Gates as they are read."""

import pytest

from node_diag.outputs.gate_text import claim
from node_diag.records import Gate


@pytest.mark.parametrize(
    ("metric", "value", "limit", "text"),
    [
        # Rounded to two digits a count would seem to be within a limit that it exceeds.
        ("nfe_forward", 152.0, 151.0, "aca.nfe_forward 152 <= 151"),
        ("saved_bytes", 1310720.0, 1e6, "aca.saved_bytes 1310720 <= 1000000"),
        ("graph_depth", None, 10.5, "aca.graph_depth – <= 10.5"),
        ("grad_error", 2.4e-4, 1e-3, "aca.grad_error 2.4e-04 <= 1e-03"),
    ],
)
def test_counts_are_written_in_full(metric, value, limit, text):
    gate = Gate(
        expression=text, method="aca", metric=metric, value=value, uncertainty=0.0, limit=limit, verdict="fail",
        reason="", source="flag --gate",
    )  # fmt: skip
    assert claim(gate) == text
