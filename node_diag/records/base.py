"""What all records have in common: NaN survives JSON, unknown keys are errors."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, WithJsonSchema

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
