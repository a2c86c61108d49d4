"""What was found, as plain data: the models behind report.json (schema_version 1). No torch.

Lists of numbers follow the flat state and flat parameters. NaN and infinities are written as the
strings "NaN", "Infinity" and "-Infinity", since JSON has no numbers for them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, PrivateAttr, WithJsonSchema

SCHEMA_VERSION = 1
LONGEST_LIST = 10_000
"""A longer gradient goes to arrays.npz; the list is null and ``arrays`` names the key."""

Real = Annotated[
    float,
    WithJsonSchema({"anyOf": [{"type": "number"}, {"enum": ["NaN", "Infinity", "-Infinity"]}]}),
]
Verdict = Literal["pass", "fail", "inconclusive", "info"]
Severity = Literal["error", "warning", "info"]


RESERVED = frozenset({"z0", "t0", "t1"})


def label(part: str) -> str:
    """What records and reports call a part of a gradient: ``params.w`` → ``w``.

    A parameter that has the name of something else there keeps the prefix: ``params.z0``.
    """
    name = part.removeprefix("params.")
    return part if name in RESERVED else name


class Record(BaseModel):
    """Base of all records: unknown keys are errors, NaN and infinities survive JSON."""

    model_config = ConfigDict(extra="forbid", ser_json_inf_nan="strings")


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
    max_steps: int
    methods: list[str]
    reference: str
    order: int = 1
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
    """Where a value that is not a default came from: "flag --rtol", "pyproject.toml: rtol", …"""


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


class GradientRecord(Record):
    """dL/dz0, dL/dt0, dL/dt1, dL/dts and dL/dθ. ``ts`` holds all times, t0 first and t1 last."""

    z0: list[Real] | None
    t0: Real
    t1: Real
    ts: list[Real] = []
    params: dict[str, list[Real] | None]
    arrays: dict[str, str] = {}
    """Key in arrays.npz of every null list: ``z0`` or ``params.<name>`` → key."""


class ReferenceRecord(Record):
    """A reference gradient with its uncertainty."""

    kind: Literal["exact", "sensitivity", "finite-difference"]
    gradient: GradientRecord
    uncertainty: Real
    """Relative L2 over z0 and all parameters."""
    absolute_uncertainty: Real
    norm: Real
    """‖reference‖₂ over z0 and all parameters."""
    uncertainty_by_parameter: dict[str, Real]
    """Absolute L2 for z0, t0, t1 and every parameter tensor."""
    details: dict[str, Any] = {}


class MissingReference(Record):
    """Why there is no such reference."""

    kind: Literal["none"] = "none"
    reason: str
    details: dict[str, Any] = {}
    """What was found on the way: the growth of perturbations, say."""


Reference = ReferenceRecord | MissingReference


class References(Record):
    """The two truths, and what finite differences through the adaptive solver give instead."""

    continuous: Reference
    discrete: Reference
    unfrozen: Reference | None = None
    """Plain finite differences through the unfrozen adaptive solve. Not a truth."""
    discretisation: Real | None = None
    """‖discrete − continuous‖/‖continuous‖ over z0 and all parameters: the share of every error
    that a smaller tolerance removes."""


class ParameterError(Record):
    """Error in one tensor (or in t0, t1)."""

    relative_l2: Real | None
    max_abs: Real
    uncertainty: Real | None = None
    """Of relative_l2."""


class ErrorRecord(Record):
    """Distance of a gradient from a reference, over z0 and all parameters together."""

    relative_l2: Real | None
    """Null where the reference is zero within its uncertainty: then absolute_l2 is judged."""
    uncertainty: Real | None
    """Of relative_l2, or of absolute_l2 where that is null."""
    absolute_l2: Real
    max_abs: Real
    cosine: Real | None
    norm_ratio: Real | None
    by_parameter: dict[str, ParameterError]


class Errors(Record):
    """Errors against the two truths; null where there is no such reference."""

    continuous: ErrorRecord | None
    discrete: ErrorRecord | None


class Reconstruction(Record):
    """How far the states a backward pass ran through are from the forward trajectory.

    Relative to the largest state norm of the forward trajectory; 0 for stored states.
    """

    max_error: Real
    initial_error: Real
    measured: bool = False
    """False: the states are stored, so the zero is by construction."""


class Cost(Record):
    """Counts and bytes are exact and repeatable; seconds are medians over ``repeats`` runs."""

    nfe_forward: int
    nfe_backward: int
    nvjp_backward: int
    """Vector–Jacobian products of f in the backward pass."""
    n_steps_backward: int
    saved_bytes: int
    peak_bytes: int
    graph_depth: int
    """Longest chain of autograd nodes a cotangent passes through, over the whole backward pass."""
    live_graph_depth: int
    """Longest path of the largest graph alive at one time."""
    forward_s: float
    backward_s: float
    repeats: int
    spread_s: float
    """Largest minus smallest total time."""


class TaylorTest(Record):
    """The loss of the frozen map along one line, beside what a gradient says of it."""

    line: str
    odd_part: Real
    """|a|: the error of g·v, relative to the size g·v typically has on such a line."""
    uncertainty: Real | None
    steps: list[float]
    remainders: list[Real]
    """|J(x + εv) − J(x) − ε g·v| at these steps ε."""
    rates: list[Real | None]
    """log2 of the ratio of neighbouring remainders: 2 for the right gradient, 1 for a wrong one."""


class SecondOrder(Record):
    """Hessian-vector product of a method along a random line, against differences of its gradient.

    Over z0 and all parameters, in float64.
    """

    reason: str = ""
    """Why there is none; everything else is null then."""
    differentiated: str = ""
    """What was differentiated twice."""
    error: ErrorRecord | None = None


class MethodRecord(Record):
    """One gradient method: its gradient, errors, cost and verdict."""

    name: str
    description: str = ""
    status: Literal["ok", "failed"]
    failure: str | None = None
    discrete: bool = True
    """Whether it claims the derivative of the accepted steps (the adjoint does not)."""
    constant_steps: bool = False
    """Whether it holds the step sizes constant while it does (naive does not)."""
    gradient: GradientRecord | None = None
    errors: Errors | None = None
    reconstruction: Reconstruction | None = None
    cost: Cost | None = None
    taylor: list[TaylorTest] = []
    second_order: SecondOrder | None = None
    """With ``--order 2``."""
    verdict: Verdict = "info"


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


class Change(Record):
    """One number of the baseline beside the same number now."""

    method: str | None
    """Null: it belongs to the solve, or to the whole problem."""
    metric: str
    base: Real | str | None
    base_uncertainty: Real | None = None
    new: Real | str | None
    new_uncertainty: Real | None = None
    verdict: Literal["same", "better", "worse", "inconclusive", "missing", "new", "info"]
    fails: bool
    reason: str
    """One sentence: what changed, and by which rule it was judged."""


class Comparison(Record):
    """A check held against an earlier one, its baseline."""

    baseline: str
    """The file or folder, as it was named."""
    created: str | None
    """When the baseline was made; null if it has no such problem."""
    changes: list[Change]
    notes: list[str] = []
    """What differs between the two runs and is no result: versions, ignored options."""
    failed: int
    """Changes that fail the comparison, those that could not be decided included."""


class Trajectory(Record):
    """Flat states along a solve: z[i] belongs to t[i]; at most the first few components."""

    t: list[Real]
    z: list[list[Real]]
    error: list[Real] = []
    """Relative distance from the forward trajectory at the same times, over all components."""


class Steps(Record):
    """Every trial of the forward solve: where it started, its size, whether it was accepted."""

    t: list[float]
    h: list[float]
    accepted: list[bool]


class Series(Record):
    """What the plots are drawn from."""

    components: list[str]
    forward: Trajectory
    reconstruction: dict[str, Trajectory] = {}
    steps: Steps


class Repeatability(Record):
    """What happened when f was evaluated three times at (t0, z0)."""

    spread: Real
    """Largest relative distance between the values."""
    uses_random_numbers: bool
    changed: list[str]
    """Buffers and attributes of func that evaluating it changed."""
    suspects: list[str]
    """Layers in training mode that draw random numbers or keep statistics."""


class DerivativeMismatch(Record):
    """Along a random line in one input, autograd and differences of values disagree."""

    function: Literal["f", "loss"]
    input: str
    """``z``, ``t``, ``zs`` (of the loss) or a parameter."""
    t: float
    autograd: Real
    differences: Real
    uncertainty: Real


class Switch(Record):
    """An operation of f that changes its branch along the forward trajectory."""

    operation: str
    crossings: int
    """Entries that changed their branch between neighbouring points of the trajectory."""
    times: list[float]
    """Of the first few."""
    jump: Real
    """Largest relative jump of f across them; 0 for a kink."""
    in_state: bool
    """Whether the state decides when it jumps; else the time alone does."""


class Inspection(Record):
    """What f and the loss are like, apart from any solver."""

    repeatability: Repeatability
    derivatives: list[DerivativeMismatch] = []
    switches: list[Switch] = []


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
    paper_cost: dict[str, dict[str, PaperCost]] = {}
    """By method: ``evaluations``, ``memory``, ``depth``."""
    comparison: Comparison | None = None
    """With ``--baseline``."""

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
