"""The record of one check: report.json (schema_version 1), and its JSON Schema."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import PrivateAttr

from node_diag.records.base import Real, Record, Severity, Verdict
from node_diag.records.comparison import Comparison
from node_diag.records.inspection import Inspection
from node_diag.records.methods import MethodRecord
from node_diag.records.recommendation import Recommendation
from node_diag.records.references import References
from node_diag.records.series import Series
from node_diag.records.training import Training

SCHEMA_VERSION = 1


class Tool(Record):
    """Who wrote the report."""

    name: Literal["node-diag"] = "node-diag"
    version: str


class Environment(Record):
    """Where it was written."""

    python: str
    torch: str
    platform: str
    device: str
    dtype: str
    threads: int
    seed: int


class ConfigRecord(Record):
    """Every effective value of the run."""

    problem: str
    overrides: dict[str, Any] = {}
    solver: str
    rtol: float
    atol: float
    adjoint_rtol: float
    adjoint_atol: float
    step_size: float | None
    max_step: float | None = None
    control: str = "state"
    max_steps: int
    methods: list[str]
    reference: str
    order: int = 1
    target_error: float | None = None
    """Null: a hundred times rtol, at most 1e-2, or the tightest gate on gradient errors."""
    dtype: str
    device: str
    seed: int
    repeat: int | None
    """Null: two to five times, as many as fit into a quarter of a second."""
    gates: list[str] = []
    select: list[str] = []
    """Codes, or beginnings of codes, of the findings that were looked for; empty: all."""
    ignore: list[str] = []
    """Those that were left out."""
    report: list[str] = []
    sources: dict[str, str] = {}
    """Where a value that is not a default came from: "flag --rtol", "pyproject.toml: rtol", for a
    call "argument rtol", …"""


class ProblemRecord(Record):
    """The problem as it was checked."""

    name: str
    source: str
    description: str = ""
    state_shape: list[Any]
    """Shape of the state, or a list of shapes for a tuple state."""
    n_state: int
    n_params: int
    params: dict[str, list[int]]
    t0: float
    t1: float
    ts: list[float]


class SolutionRecord(Record):
    """The forward solve."""

    loss: Real
    z1: list[Real]
    nfe: int
    n_accepted: int
    n_rejected: int
    trials_per_step: float


class Finding(Record):
    """Something the reader should know, with its evidence and one thing to do."""

    code: str
    severity: Severity
    method: str | None = None
    message: str
    evidence: dict[str, Any] = {}
    advice: str


class Gate(Record):
    """A limit and how it was met."""

    expression: str
    method: str
    metric: str
    value: Real | None
    uncertainty: Real | None
    limit: float
    verdict: Verdict
    source: str
    reason: str = ""


class Summary(Record):
    """Gates counted, and the exit code they mean."""

    passed: int
    failed: int
    inconclusive: int
    exit_code: int


class PaperCost(Record):
    """A method's formula from table 1 of Zhuang et al. (2020), evaluated for this solve."""

    formula: str
    value: float
    measured: float


class Report(Record):
    """The record of one check. Every output is drawn from it."""

    schema_version: Literal[1] = SCHEMA_VERSION
    tool: Tool
    environment: Environment
    created: str
    command: str
    config: ConfigRecord
    problem: ProblemRecord
    solution: SolutionRecord
    references: References
    methods: list[MethodRecord]
    findings: list[Finding]
    gates: list[Gate]
    summary: Summary
    series: Series
    inspection: Inspection | None = None
    recommendation: Recommendation | None = None
    """Null without a continuous reference, or where that is zero."""
    paper_cost: dict[str, dict[str, PaperCost]] = {}
    """By method: ``evaluations``, ``memory``, ``depth``."""
    comparison: Comparison | None = None
    """With ``--baseline``."""
    training: Training | None = None
    """Of ``node-diag train``."""

    _arrays: dict[str, Any] = PrivateAttr(default_factory=dict[str, Any])

    @property
    def passed(self) -> bool:
        """Whether every gate passed (also if none was set)."""
        return self.summary.exit_code == 0

    @property
    def arrays(self) -> dict[str, Any]:
        """Arrays too long for JSON, as numpy arrays by key; they go to arrays.npz."""
        return self._arrays

    def method(self, name: str) -> MethodRecord:
        """The record of one method.

        Raises:
            KeyError: the method was not run.
        """
        for record in self.methods:
            if record.name == name:
                return record
        raise KeyError(name)

    def to_json(self) -> str:
        """report.json as text."""
        return self.model_dump_json(indent=1) + "\n"

    @classmethod
    def load(cls, path: Path) -> Report:
        """Read a report.json, and the arrays.npz beside it if there is one.

        Raises:
            OSError: the file cannot be read.
            pydantic.ValidationError: it is no report of this schema version.
        """
        report = cls.model_validate_json(path.read_text(encoding="utf-8"))
        arrays = path.parent / "arrays.npz"
        if arrays.exists():
            with np.load(arrays, allow_pickle=False) as stored:
                report._arrays.update({key: stored[key] for key in stored.files})
        return report


def json_schema() -> dict[str, Any]:
    """The JSON Schema of report.json."""
    schema = Report.model_json_schema(mode="serialization")
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "node-diag report, schema_version 1"
    return schema
