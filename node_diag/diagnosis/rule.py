"""A finding's rule: a stable code, what it means, and a detector over the record of a run."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from node_diag.config import SUGGESTED, TOLERANCES, CheckConfig, flag_of, option_text
from node_diag.records import (
    Candidate,
    ConfigRecord,
    ErrorRecord,
    Finding,
    MethodRecord,
    ParameterError,
    Report,
    Severity,
)
from node_diag.registry import FINDINGS, METHODS, code_of

SECOND_DERIVATIVES = "ND208"
WRONG_DERIVATIVE = "ND205"


@dataclass(frozen=True)
class Rule:
    """One file in ``diagnosis/rules`` that defines ``RULE``; the file's docstring explains it.

    Attributes:
        code: stable, never reused.
        detect: Report (without findings) → findings.
    """

    code: str
    severity: Severity
    detect: Callable[[Rule, Report], Iterable[Finding]]

    def finding(
        self, message: str, advice: str, method: str | None = None, **evidence: Any
    ) -> Finding:
        """A finding of this rule."""
        return Finding(
            code=self.code,
            severity=self.severity,
            method=method,
            message=message,
            evidence=evidence,
            advice=advice,
        )


def is_wanted(code: str, select: Sequence[str], ignore: Sequence[str]) -> bool:
    """Whether a finding was asked for.

    Both hold beginnings of codes. The longer one that fits decides; of two equal ones, ``ignore``.
    """
    chosen = max((len(prefix) for prefix in select if code.startswith(prefix)), default=-1)
    left_out = max((len(prefix) for prefix in ignore if code.startswith(prefix)), default=-1)
    return chosen > left_out or (left_out < 0 and not select)


def diagnose(report: Report) -> list[Finding]:
    """Findings of all rules that were asked for, errors first, then by code."""
    rank = {"error": 0, "warning": 1, "info": 2}
    config = report.config
    wanted = [n for n in FINDINGS.names() if is_wanted(code_of(n), config.select, config.ignore)]
    rules: list[Rule] = [FINDINGS.load(name) for name in wanted]
    found = [finding for rule in rules for finding in rule.detect(rule, report)]
    return sorted(found, key=lambda finding: (rank[finding.severity], finding.code))


def accused(findings: Iterable[Finding]) -> set[str | None]:
    """Methods with an error in their gradient; one in their second derivatives is another thing.

    Also those that are wrong because autograd does not give the derivative of f.
    """
    errors = [f for f in findings if f.severity == "error" and f.code != SECOND_DERIVATIVES]
    inherited = (f.evidence.get("methods", []) for f in errors if f.code == WRONG_DERIVATIVE)
    return {f.method for f in errors}.union(*inherited)


def judged(error: ErrorRecord | ParameterError | None) -> float | None:
    """The error that is judged, of one that may be missing."""
    return error.judged if error else None


def continuous(method: MethodRecord) -> float | None:
    """A method's error against the continuous truth."""
    return judged(method.errors.continuous) if method.errors else None


def discrete(method: MethodRecord) -> float | None:
    """A method's error against the discrete truth."""
    return judged(method.errors.discrete) if method.errors else None


def known(value: float | None, bar: float | None) -> str:
    """A number with its uncertainty: ``2.8e-04 ± 1.2e-12``."""
    if value is None:
        return "an unknown amount"
    return f"{value:.1e}" + (f" ± {bar:.1e}" if bar else "")


def off_truth(method: MethodRecord) -> str:
    """A method's error against the continuous truth as text."""
    error = method.errors.continuous if method.errors else None
    return known(judged(error), error.uncertainty if error else None)


def off_steps(method: MethodRecord) -> str:
    """A method's error against the discrete truth as text."""
    error = method.errors.discrete if method.errors else None
    return known(judged(error), error.uncertainty if error else None)


def stored(report: Report) -> MethodRecord | None:
    """A method that differentiates the accepted steps with their sizes constant, if one ran."""
    for name in ("aca", "direct"):
        for method in report.methods:
            if method.name == name and method.status == "ok":
                return method
    return None


def candidates(report: Report) -> list[Candidate]:
    """Settings that were tried out in the search for the cheapest one."""
    return report.recommendation.candidates if report.recommendation else []


def _typed(config: ConfigRecord, label: str) -> str:
    """A method as it was asked for: the file behind the name it has in the report."""
    return next((name for name in config.methods if METHODS.label(name) == label), label)


CARRIED = (
    *("solver", "rtol", "atol", "adjoint_rtol", "adjoint_atol", "step_size", "max_step"),
    *("control", "max_steps", "reference", "order", "target_error"),
    *("dtype", "device", "seed", "methods"),
)
"""Options that decide what is computed. Gates are left out: they may name methods that are not
run any more, and how a report is written is another matter."""


def _gated(config: ConfigRecord, configured: set[str]) -> set[str]:
    """Methods that gates of the configuration name."""
    if not configured & {"gates", "max_grad_error"}:
        return set()
    return {gate.partition(".")[0] for gate in config.gates} - {"*"}


def _comes_by_itself(config: ConfigRecord, key: str, options: Mapping[str, Any]) -> bool:
    """Whether the problem brings the option along; tolerances not beside others."""
    if config.sources.get(key) != SUGGESTED:
        return False
    return key not in TOLERANCES or not any(name in options for name in TOLERANCES)


def command(report: Report, **options: Any) -> str:
    """``node-diag check`` for the same run with some options changed; defaults are left out.

    Not those that the configuration sets otherwise: it will be read again. ``method`` is a list
    with commas, by the names in the report.
    """
    config = report.config
    options = {
        key: float(f"{value:.3g}") if isinstance(value, float) else value
        for key, value in options.items()
    }
    if "rtol" in options and config.atol == config.rtol:
        options.setdefault("atol", options["rtol"])  # it follows, as it did
    if "method" in options:
        options["methods"] = [_typed(config, one) for one in options.pop("method").split(",")]
    usual = CheckConfig(rtol=options.get("rtol", config.rtol))
    chosen = {name: getattr(config, name) for name in CARRIED}
    for name, followed in (("adjoint_rtol", config.rtol), ("adjoint_atol", config.atol)):
        if chosen[name] == followed:
            del chosen[name]  # it follows what the command says
    configured = {key for key, origin in config.sources.items() if not origin.startswith("flag")}
    words = ["node-diag", "check", config.problem]
    for key, value in config.overrides.items():
        words += ["--set", f"{key}={value}"]
    for key, value in (chosen | options).items():
        if key not in options and _comes_by_itself(config, key, options):
            continue
        default = CheckConfig().rtol if key == "rtol" else getattr(usual, key, None)
        if value != default or (key in configured and value is not None):
            text = ",".join(value) if isinstance(value, list) else option_text(value)
            words += [flag_of(key), text]
    # A baseline was made with the settings that are to be changed, and a gate may be on a method
    # that is not to be run any more.
    left_out = "methods" in options and _gated(config, configured) - {
        METHODS.label(name) for name in options["methods"]
    }
    if "baseline" in configured or left_out:
        words.append("--ignore-config")
    return shlex.join(words)
