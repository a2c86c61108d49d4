"""What was found, as plain data: the models behind report.json (schema_version 1). No torch.

Lists of numbers follow the flat state and flat parameters. NaN and infinities are written as the
strings "NaN", "Infinity" and "-Infinity", since JSON has no numbers for them.
"""

from node_diag.records.base import (
    RESERVED,
    Real,
    Record,
    Severity,
    Verdict,
    label,
)
from node_diag.records.comparison import Change, Comparison
from node_diag.records.gradients import (
    LONGEST_LIST,
    ErrorRecord,
    Errors,
    GradientRecord,
    ParameterError,
    TimesError,
    time_name,
)
from node_diag.records.inspection import (
    Coupling,
    Dependence,
    DerivativeMismatch,
    Inspection,
    OnKink,
    Repeatability,
    Stability,
    Switch,
)
from node_diag.records.methods import (
    Cost,
    ErrorOrigin,
    MethodRecord,
    NanOrigin,
    OwnSteps,
    Reconstruction,
    SecondOrder,
    StepSizeTerms,
    TaylorTest,
)
from node_diag.records.recommendation import Candidate, Recommendation
from node_diag.records.references import (
    MissingReference,
    Reference,
    ReferenceRecord,
    References,
)
from node_diag.records.report import (
    SCHEMA_VERSION,
    ConfigRecord,
    Environment,
    Finding,
    Gate,
    PaperCost,
    ProblemRecord,
    Report,
    SolutionRecord,
    Summary,
    Tool,
    json_schema,
)
from node_diag.records.series import Series, Steps, Trajectory

__all__ = [
    "LONGEST_LIST",
    "RESERVED",
    "SCHEMA_VERSION",
    "Candidate",
    "Change",
    "Comparison",
    "ConfigRecord",
    "Cost",
    "Coupling",
    "Dependence",
    "DerivativeMismatch",
    "Environment",
    "ErrorOrigin",
    "ErrorRecord",
    "Errors",
    "Finding",
    "Gate",
    "GradientRecord",
    "Inspection",
    "MethodRecord",
    "MissingReference",
    "NanOrigin",
    "OnKink",
    "OwnSteps",
    "PaperCost",
    "ParameterError",
    "ProblemRecord",
    "Real",
    "Recommendation",
    "Reconstruction",
    "Record",
    "Reference",
    "ReferenceRecord",
    "References",
    "Repeatability",
    "Report",
    "SecondOrder",
    "Series",
    "Severity",
    "SolutionRecord",
    "Stability",
    "StepSizeTerms",
    "Steps",
    "Summary",
    "Switch",
    "TaylorTest",
    "TimesError",
    "Tool",
    "Trajectory",
    "Verdict",
    "json_schema",
    "label",
    "time_name",
]
