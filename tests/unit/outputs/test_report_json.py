"""report.json: valid by the published schema, and the same after being read again."""

from __future__ import annotations

import json
import math
from pathlib import Path

import jsonschema
import numpy as np
import pytest

from node_diag.outputs.base import render, write
from node_diag.records import LONGEST_LIST, Report, json_schema
from tests.stubs import failed_method, method, no_reference, references, stock_report
from tests.unit.outputs.hostile import hostile_report

PUBLISHED = Path(__file__).parents[3] / "docs" / "report.schema.json"
HOW = (
    'write it again: python -c "import json; from node_diag.records import json_schema; '
    'print(json.dumps(json_schema(), indent=1, ensure_ascii=False))" > docs/report.schema.json'
)


def without_references() -> Report:
    truths = references()
    truths.continuous = no_reference()
    truths.discrete = no_reference("too many inputs")
    found = method("aca")
    found.errors = None
    return stock_report(references=truths, methods=[found, failed_method()])


def not_finite() -> Report:
    report = stock_report()
    report.solution.loss = math.nan
    report.solution.z1 = [math.inf, -math.inf]
    report.findings[0].evidence = {"worst": math.nan, "far": [math.inf]}
    report.gates[0].value = math.nan
    curve = report.series.reconstruction["adjoint"]
    curve.error[-1], curve.z[-1] = math.inf, [math.nan, math.nan]
    assert report.methods[0].errors is not None
    assert report.methods[0].errors.continuous is not None
    report.methods[0].errors.continuous.relative_l2 = math.nan
    return report


REPORTS = {
    "stock": stock_report,
    "failed": lambda: stock_report(methods=[method("aca"), failed_method()]),
    "no references": without_references,
    "not finite": not_finite,
    "hostile": hostile_report,
}


@pytest.mark.parametrize("make", REPORTS.values(), ids=REPORTS)
def test_the_record_is_valid(make):
    record = render(make(), [])["report.json"]
    validator = jsonschema.Draft202012Validator(json_schema())
    validator.validate(json.loads(record, parse_constant=lambda name: pytest.fail(name)))


def test_the_schema_can_fail():
    record = json.loads(stock_report().to_json())
    record["schema_version"] = 2
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(record, json_schema())


def test_the_published_schema_is_the_one_of_the_code():
    assert json.loads(PUBLISHED.read_text(encoding="utf-8")) == json_schema(), HOW


def test_nan_and_infinities_survive(tmp_path):
    report = not_finite()
    write(report, tmp_path / "r", [])
    again = Report.load(tmp_path / "r" / "report.json")
    assert math.isnan(again.solution.loss)
    assert again.solution.z1 == [math.inf, -math.inf]
    assert math.isnan(again.gates[0].value)
    assert again.series.reconstruction["adjoint"].error[-1] == math.inf
    assert again.to_json() == report.to_json()


def test_what_is_too_long_for_json_comes_back_from_the_arrays(tmp_path):
    report = stock_report()
    gradient = report.methods[0].gradient
    assert gradient is not None
    values = np.arange(LONGEST_LIST + 1) / 7
    gradient.z0, gradient.arrays = None, {"z0": "methods/adjoint/z0"}
    report.arrays["methods/adjoint/z0"] = values
    paths = write(report, tmp_path / "r", ["csv", "md"])
    assert tmp_path / "r" / "arrays.npz" in paths
    again = Report.load(tmp_path / "r" / "report.json")
    assert np.array_equal(again.arrays["methods/adjoint/z0"], values)


def test_no_arrays_no_file(tmp_path):
    write(stock_report(), tmp_path / "r", [])
    assert [path.name for path in (tmp_path / "r").iterdir()] == ["report.json"]
