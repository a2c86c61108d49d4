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
from node_diag.records.inspection import (
    DerivativeMismatch,
    Inspection,
    Repeatability,
    Switch,
)
from node_diag.records.methods import (
    LONGEST_LIST,
    Cost,
    ErrorRecord,
    Errors,
    GradientRecord,
    MethodRecord,
    ParameterError,
    Reconstruction,
    SecondOrder,
    TaylorTest,
)
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
    Series,
    SolutionRecord,
    Steps,
    Summary,
    Tool,
    Trajectory,
    json_schema,
)

__all__ = [
    "LONGEST_LIST",
    "RESERVED",
    "SCHEMA_VERSION",
    "ConfigRecord",
    "Cost",
    "DerivativeMismatch",
    "Environment",
    "ErrorRecord",
    "Errors",
    "Finding",
    "Gate",
    "GradientRecord",
    "Inspection",
    "MethodRecord",
    "MissingReference",
    "PaperCost",
    "ParameterError",
    "ProblemRecord",
    "Real",
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
    "Steps",
    "Summary",
    "Switch",
    "TaylorTest",
    "Tool",
    "Trajectory",
    "Verdict",
    "json_schema",
    "label",
]
