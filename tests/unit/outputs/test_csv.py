"""Tables with every digit."""

from __future__ import annotations

import csv
import io
import math

from node_diag.outputs.formats.csv import OUTPUT
from node_diag.records import Report
from tests.stubs import failed_method, method, stock_report
from tests.unit.outputs import hostile


def table(report: Report, name: str) -> list[dict[str, str]]:
    content = OUTPUT.render(report)[f"tables/{name}.csv"].decode()
    rows = list(csv.DictReader(io.StringIO(content, newline=""), strict=True))
    assert all(None not in row and None not in row.values() for row in rows), "ragged"
    return rows


def test_there_is_a_row_per_method(stock):
    rows = table(stock, "methods")
    assert [row["method"] for row in rows] == ["adjoint", "aca", "naive"]
    for row, found in zip(rows, stock.methods, strict=True):
        assert row["verdict"] == found.verdict
        assert float(row["continuous_relative_l2"]) == found.errors.continuous.relative_l2
        assert float(row["discrete_uncertainty"]) == found.errors.discrete.uncertainty
        assert int(row["saved_bytes"]) == found.cost.saved_bytes
        assert float(row["backward_s"]) == found.cost.backward_s


def test_the_word_people_see_stands_beside_the_verdict_of_the_gates():
    report = stock_report()
    for found in report.methods:
        found.verdict = "info"
    rows = table(report, "methods")
    assert [row["verdict"] for row in rows] == ["info"] * 3
    assert [row["judgement"] for row in rows] == ["wrong", "right", "off"]


def test_a_failed_method_has_its_reason_and_empty_cells():
    (row,) = table(stock_report(methods=[failed_method(why="NaN at t = 3")]), "methods")
    assert (row["status"], row["failure"]) == ("failed", "NaN at t = 3")
    assert row["continuous_relative_l2"] == row["nfe_forward"] == ""


def test_errors_by_tensor(stock):
    rows = table(stock, "gradient_errors")
    found = stock.method("aca").errors.continuous.by_parameter
    mine = [r for r in rows if (r["method"], r["truth"]) == ("aca", "continuous")]
    assert {r["tensor"]: float(r["relative_l2"]) for r in mine} == {
        name: error.relative_l2 for name, error in found.items()
    }


def test_values_stand_beside_both_references(stock):
    rows = {(r["tensor"], r["index"]): r for r in table(stock, "gradient_values")}
    assert set(rows) == {("z0", "0"), ("z0", "1"), ("mu", "0"), ("t0", "0"), ("t1", "0")}
    assert float(rows["z0", "1"]["adjoint"]) == 5240595.86
    assert float(rows["mu", "0"]["reference_continuous"]) == 3.78914636
    assert "reference_unfrozen_differences" in rows["mu", "0"]


def test_inner_observation_times_have_rows():
    report = stock_report(methods=[method("aca")])
    report.methods[0].gradient.ts = [1.0, 2.5, -1.0]
    rows = {r["tensor"]: r["aca"] for r in table(report, "gradient_values")}
    assert rows["t[1]"] == "2.5"


def test_large_tensors_are_left_to_the_arrays():
    report = stock_report(methods=[method("aca")])
    gradient = report.methods[0].gradient
    gradient.z0, gradient.arrays = None, {"z0": "methods/aca/z0"}
    gradient.params |= {"big": None, "listed": [0.0] * 10_000}
    rows = table(report, "gradient_values")
    assert [r["index"] for r in rows if r["tensor"] == "big"] == [""]
    assert len([r for r in rows if r["tensor"] == "listed"]) == 10_000
    assert {r["aca"] for r in rows if r["tensor"] == "z0"} == {""}


def test_steps_and_trajectories_are_complete(stock):
    steps = table(stock, "steps")
    assert [float(r["h"]) for r in steps] == stock.series.steps.h
    assert [r["accepted"] == "true" for r in steps] == stock.series.steps.accepted
    rows = table(stock, "trajectories")
    mine = [r for r in rows if r["curve"] == "adjoint"]
    curve = stock.series.reconstruction["adjoint"]
    assert [[float(r["z[0]"]), float(r["z[1]"])] for r in mine] == curve.z
    assert [float(r["relative_error"]) for r in mine] == curve.error


def test_nan_and_infinities_can_be_read_again():
    report = stock_report()
    report.methods[0].errors.continuous.relative_l2 = math.nan
    report.methods[1].errors.continuous.relative_l2 = math.inf
    rows = table(report, "methods")
    assert math.isnan(float(rows[0]["continuous_relative_l2"]))
    assert float(rows[1]["continuous_relative_l2"]) == math.inf


def test_no_cell_is_a_formula():
    report = hostile.hostile_report()
    for content in OUTPUT.render(report).values():
        for row in csv.reader(io.StringIO(content.decode(), newline="")):
            for cell in row:
                assert not cell.startswith(("=", "@", "+"))
                assert not cell.startswith("-") or math.isfinite(float(cell))
    names = {r["tensor"] for r in table(report, "gradient_errors")}
    assert f"'{hostile.FORMULA}" in names
    assert hostile.LONG in names, "names are whole here"
