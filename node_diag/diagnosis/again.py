"""What to try next: the same check with something changed, as a command or as a call."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from node_diag.config import TOLERANCES, CheckConfig, flag_of, option_text
from node_diag.config_sources import SUGGESTED, is_given
from node_diag.records import ConfigRecord, Report
from node_diag.registry import METHODS

CARRIED = (
    *("solver", "rtol", "atol", "adjoint_rtol", "adjoint_atol", "step_size", "max_step"),
    *("control", "max_steps", "reference", "order", "target_error"),
    *("dtype", "device", "seed", "methods"),
)
"""Options that decide what is computed. Gates are left out: they may name methods that are not
run any more, and how a report is written is another matter."""


PYTHON, LOOK = "node_diag.check(…", "print(func)"
"""What replaces a command for objects that a program made: nothing on a command line names them."""
COMMANDS = ("node-diag ", PYTHON, LOOK)
"""How what is to be tried begins in an advice; the words come first."""


def show(report: Report) -> str:
    """How to look at the problem."""
    if not report.problem.source:
        return LOOK
    return shlex.join(["node-diag", "show", report.config.problem, *_set(report.config)])


def command(report: Report, /, **options: Any) -> str:
    """``node-diag check`` for the same run with some options changed; defaults are left out.

    Not those that the configuration sets otherwise: it will be read again. ``method`` is a list
    with commas, by the names in the report. Of what a program made, the call with these options.
    """
    changed = _changed(report.config, options)
    known = bool(report.problem.source)
    return _line(report.config, changed) if known else _call(report.config, changed)


def _changed(config: ConfigRecord, options: Mapping[str, Any]) -> dict[str, Any]:
    """Options as they are typed, and what follows them."""
    found: dict[str, Any] = {
        key: float(f"{value:.3g}") if isinstance(value, float) else value
        for key, value in options.items()
    }
    if "rtol" in found and config.atol == config.rtol:
        found.setdefault("atol", found["rtol"])  # it follows, as it did
    if "method" in found:
        found["methods"] = [_typed(config, one) for one in found.pop("method").split(",")]
    return found


def _line(config: ConfigRecord, options: dict[str, Any]) -> str:
    usual = CheckConfig(rtol=options.get("rtol", config.rtol))
    chosen = {name: getattr(config, name) for name in CARRIED}
    for name, followed in (("adjoint_rtol", config.rtol), ("adjoint_atol", config.atol)):
        if chosen[name] == followed:
            del chosen[name]  # it follows what the command says
    configured = {key for key, origin in config.sources.items() if not is_given(origin)}
    words = ["node-diag", "check", config.problem, *_set(config)]
    for key, value in (chosen | options).items():
        if key not in options and _comes_by_itself(config, key, options):
            continue
        if key == "step_size" and key not in options and key not in config.sources:
            continue  # a hundredth of the interval, as without the option
        default = CheckConfig().rtol if key == "rtol" else getattr(usual, key, None)
        if value != default or (key in configured and value is not None):
            text = ",".join(value) if isinstance(value, list) else option_text(value)
            words += [flag_of(key), text]
    # A baseline was made with the settings that are to be changed, and a gate may be on a method
    # that is not to be run any more.
    left_out = "methods" in options and _gated(config, configured) - {
        METHODS.label(name) for name in options["methods"]
    }
    if "baseline" in configured:
        words.append("--ignore-config")
    if "baseline" in configured or left_out:
        words.append("--exit-zero")  # it is to be looked at, and not what the build is held to
    return shlex.join(words)


def _call(config: ConfigRecord, options: dict[str, Any]) -> str:
    """The call that was made with other options; … stands for what it was given before."""
    written = '.write("report")' if options.pop("report", None) else ""
    options = {k: v for k, v in options.items() if v != getattr(config, k, None)}
    if options.get("atol") == options.get("rtol") and "atol" not in config.sources:
        options.pop("atol", None)  # it follows by itself
    told = [f"{key}={option_text(value)}" if isinstance(value, float) else f"{key}={value!r}"
            for key, value in options.items()]  # fmt: skip
    return ", ".join([PYTHON, *told]) + ")" + written


def _set(config: ConfigRecord) -> list[str]:
    """What the problem was loaded with."""
    return [word for key, value in config.overrides.items() for word in ("--set", f"{key}={value}")]


def _typed(config: ConfigRecord, label: str) -> str:
    """A method as it was asked for: the file behind the name it has in the report."""
    return next((name for name in config.methods if METHODS.label(name) == label), label)


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
