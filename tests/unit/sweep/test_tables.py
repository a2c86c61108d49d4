"""points.csv and points.parquet hold what was measured, whatever the axes are called."""

import csv
import io

import pyarrow
import pytest
from pyarrow import parquet

from node_diag.records.sweep import Choice, Sweep, SweepPoint
from node_diag.sweep.showing import PARQUET, POINTS, files


def swept(axes, *, failing=False):
    ((name, values),) = axes.items()
    points = [
        SweepPoint(at={name: value}, method="aca", status="ok", loss=0.5 * i, nfe_forward=10 + i,
                   nfe_backward=3, error=1e-3, uncertainty=1e-9, saved_bytes=2**40)
        for i, value in enumerate(values)
    ]  # fmt: skip
    if failing:
        points[-1] = SweepPoint(at={name: values[-1]}, method="aca", status="failed", failure="no")
    return Sweep(
        version="1", created="now", command="node-diag sweep", problem="p", spec="p", overrides={},
        options={}, axes=axes, varied_options=[], methods={"aca": "aca"}, target_error=1e-3,
        points=points, choices=[Choice(at={}, cheapest=None, front=[0])], everywhere=[],
    )  # fmt: skip


def tables(found):
    written = files(found, parquet=True)
    rows = list(csv.DictReader(io.StringIO(written[POINTS].decode())))
    return rows, parquet.read_table(pyarrow.BufferReader(written[PARQUET]))


@pytest.mark.parametrize("name", ["loss", "error", "method", "mu"])
def test_an_axis_called_like_a_quantity_is_not_lost(name):
    rows, table = tables(swept({name: [7.0, 8.0]}))
    column = name if name == "mu" else f"set.{name}"
    assert [float(row[column]) for row in rows] == table[column].to_pylist() == [7.0, 8.0]
    assert [float(row["loss"]) for row in rows] == table["loss"].to_pylist() == [0.0, 0.5]
    assert table["method"].to_pylist() == ["aca", "aca"]
    assert table["saved_bytes"].to_pylist() == [2**40, 2**40]


@pytest.mark.parametrize(
    ("values", "kept"),
    [
        ([1, 2], [1, 2]),
        (["rk4", "euler"], ["rk4", "euler"]),
        ([1, "x"], ["1", "x"]),
        ([1, 2**70], ["1", str(2**70)]),
    ],
)
def test_an_axis_of_any_values(values, kept):
    assert tables(swept({"k": values}))[1]["k"].to_pylist() == kept


def test_tables_of_several_sweeps_can_be_put_together():
    parts = [tables(swept({"k": [1, 2]}, failing=failing))[1] for failing in (False, True)]
    both = pyarrow.concat_tables(parts)
    assert both["failure"].to_pylist() == [None, None, None, "no"]
    assert both["error"].to_pylist() == [1e-3, 1e-3, 1e-3, None]
