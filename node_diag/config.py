"""What can be asked for: the options of a check, and their defaults. No torch."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from node_diag.errors import UsageError
from node_diag.registry import METHODS, OUTPUTS, SOLVERS, finding_codes, suggest

LISTS = ("methods", "gates", "max_grad_error", "report", "select", "ignore")
"""Options with several values; in the environment they are separated by commas."""
TOLERANCES = ("rtol", "atol", "adjoint_rtol", "adjoint_atol")
SINGULAR = {"methods": "method", "gates": "gate"}


class CheckConfig(BaseModel):
    """Every option of a check, with its default.

    ``atol``, ``adjoint_rtol`` and ``adjoint_atol`` default to ``rtol``, ``rtol`` and ``atol``.
    """

    model_config = ConfigDict(extra="forbid")

    solver: str = "dopri5"
    rtol: float = 1e-5
    atol: float = math.nan
    adjoint_rtol: float = math.nan
    adjoint_atol: float = math.nan
    step_size: float | None = None
    max_step: float | None = None
    control: Literal["state", "sensitivities"] = "state"
    max_steps: int = Field(default=100_000, ge=1)
    methods: list[str] = ["adjoint", "aca", "naive"]
    reference: Literal["auto", "exact", "sensitivity", "fd"] = "auto"
    order: int = Field(default=1, ge=1, le=2)
    target_error: float | None = None
    dtype: Literal["float32", "float64"] = "float64"
    device: str = "cpu"
    seed: int = Field(default=0, ge=0, lt=2**63)
    repeat: int | None = Field(default=None, ge=1)
    max_grad_error: list[str] = []
    gates: list[str] = []
    select: list[str] = []
    ignore: list[str] = []
    report: list[str] = ["html", "png", "json", "csv"]
    report_dir: str | None = None
    timeout: float | None = None
    baseline: str | None = None
    max_slowdown: float | None = None
    ignore_config: bool = False

    @field_validator(*LISTS, mode="before")
    @classmethod
    def _one_is_a_list(cls, value: Any) -> Any:
        one = isinstance(value, str | int | float) and not isinstance(value, bool)
        return [str(value)] if one else value

    @field_validator("solver")
    @classmethod
    def _known_solver(cls, name: str) -> str:
        return SOLVERS.canonical(name)

    @field_validator("methods")
    @classmethod
    def _known_methods(cls, names: list[str]) -> list[str]:
        found = list(dict.fromkeys(METHODS.canonical(name) for name in split_names(names)))
        labels = [METHODS.label(name) for name in found]
        for name, label in zip(found, labels, strict=True):
            if labels.count(label) > 1 or (label != name and label in METHODS.names()):
                raise UsageError(
                    f"'{name}' would be called '{label}' in the report, and so is another method; "
                    "name an attribute of the file that is called otherwise"
                )
        return found

    @property
    def labels(self) -> list[str]:
        """What the methods are called in the report."""
        return [METHODS.label(name) for name in self.methods]

    @field_validator("report")
    @classmethod
    def _known_outputs(cls, names: list[str]) -> list[str]:
        return list(dict.fromkeys(OUTPUTS.canonical(name) for name in split_names(names)))

    @field_validator("select", "ignore")
    @classmethod
    def _known_codes(cls, names: list[str]) -> list[str]:
        wanted = list(dict.fromkeys(name.upper() for name in split_names(names)))
        known = finding_codes()
        for name in wanted:
            if not any(code.startswith(name) for code in known):
                raise UsageError(
                    f"unknown finding '{name}'{suggest(name, known)} Run 'node-diag list findings'."
                )
        return wanted

    @field_validator(
        *("rtol", "atol", "adjoint_rtol", "adjoint_atol", "step_size", "max_step"),
        *("target_error", "timeout", "max_slowdown"),
    )
    @classmethod
    def _positive(cls, value: float | None, info: ValidationInfo) -> float | None:
        # Defaults are not validated, so the NaN that means "as rtol" passes, and a given one fails.
        if value is not None and not (math.isfinite(value) and value > 0):
            name = str(info.field_name).replace("_", "-")
            raise UsageError(f"{name} is {value}; it must be a positive number")
        return value

    @field_validator("baseline")
    @classmethod
    def _named(cls, path: str | None) -> str | None:
        if path is not None and not path.strip():
            raise UsageError(
                "baseline is empty; name a report.json, a report folder or the folder of an "
                "earlier run, or leave the option out"
            )
        return path

    def suggested(self, settings: Mapping[str, Any], sources: Mapping[str, str]) -> CheckConfig:
        """With the options that a problem comes with, where nobody asked for others.

        Args:
            settings: options by name.
            sources: of those that were asked for; who asks for a tolerance asks for all of them.
        """
        asked = set(sources)
        if asked & set(TOLERANCES):
            asked |= set(TOLERANCES)
        own = {name: value for name, value in settings.items() if name not in asked}
        return CheckConfig(**{**dict(self), **own}) if own else self

    @model_validator(mode="after")
    def _fill_tolerances(self) -> CheckConfig:
        if math.isnan(self.atol):
            self.atol = self.rtol
        if math.isnan(self.adjoint_rtol):
            self.adjoint_rtol = self.rtol
        if math.isnan(self.adjoint_atol):
            self.adjoint_atol = self.atol
        if not self.methods:
            raise UsageError("no gradient method is left to check; see 'node-diag list methods'")
        return self


def option_text(value: Any) -> str:
    """A value as it is typed after a flag: floats in full, as short as can be: 1e-5, 1e-3, 0.01."""
    if not isinstance(value, float):
        return str(value)
    plain = re.sub(r"e([+-])0(\d)$", r"e\1\2", repr(value))
    if not 0 < abs(value) < 1:
        return plain
    power = next(text for n in range(17) if float(text := f"{value:.{n}e}") == value)
    power = re.sub(r"e([+-])0(\d)$", r"e\1\2", power)
    return power if len(power) < len(plain) else plain


def flag_of(name: str) -> str:
    """The flag of an option: ``methods`` → ``--method``."""
    return f"--{SINGULAR.get(name, name).replace('_', '-')}"


def split_names(names: list[str]) -> list[str]:
    """Comma-separated entries, taken apart."""
    return [part.strip() for name in names for part in name.split(",") if part.strip()]
