"""Options that several commands have."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Format(StrEnum):
    """What goes to stdout."""

    table = "table"
    json = "json"
    markdown = "markdown"
    github = "github"


class ListFormat(StrEnum):
    """The same where it is a list."""

    table = "table"
    json = "json"


PROBLEM = "Built-in name, path/to/file.py[:attr] or module[:attr]."
FORMATS = "html, png, json, csv, md, junit. [default: html,png,json,csv]"

Problem = Annotated[str, typer.Argument(help=PROBLEM)]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="NAME=VALUE", help="Keyword argument of the problem; repeatable."
    ),
]
Formats = Annotated[list[str] | None, typer.Option("--report", help=FORMATS)]
Force = Annotated[bool, typer.Option("--force", help="Replace an existing report folder.")]
OutputFormat = Annotated[Format, typer.Option(help="What to print on stdout.")]
Listing = Annotated[ListFormat, typer.Option("--output-format", help="How to print it.")]
Configuration = Annotated[
    Path | None, typer.Option("--config", help="Configuration file instead of the one found.")
]
MaxSlowdown = Annotated[
    float | None,
    typer.Option(
        metavar="RATIO",
        help="Fail if a method takes so many times as long as in the baseline. [default: no limit]",
    ),
]
IgnoreConfig = Annotated[
    bool,
    typer.Option(
        "--ignore-config", help="Compare even if the baseline was made with other settings."
    ),
]
ExitZero = Annotated[
    bool, typer.Option("--exit-zero", help="Exit with 0 even if a gate or the baseline fails.")
]
Open = Annotated[bool, typer.Option("--open", help="Open the report in the browser.")]
NoColor = Annotated[bool, typer.Option("--no-color", help="No colours.")]
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="No progress on stderr; the result stays.")
]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Show tracebacks.")]
MaxGradError = Annotated[
    list[str] | None,
    typer.Option(
        "--max-grad-error",
        metavar="[METHOD=]VALUE",
        help="Fail if a gradient error exceeds this; repeatable.",
    ),
]
Gates = Annotated[
    list[str] | None,
    typer.Option(
        "--gate",
        metavar="METHOD.METRIC<=VALUE",
        help="Fail if a metric exceeds this; repeatable.",
    ),
]
Solver = Annotated[str | None, typer.Option("--solver", help="[default: dopri5]")]
Rtol = Annotated[float | None, typer.Option("--rtol", help="[default: 1e-5]")]
Atol = Annotated[float | None, typer.Option("--atol", help="[default: rtol]")]
StepSize = Annotated[float | None, typer.Option("--step-size", help="For fixed-step solvers.")]
MaxSteps = Annotated[
    int | None,
    typer.Option("--max-steps", help="Give a solve up after so many trials. [default: 100000]"),
]
Dtype = Annotated[str | None, typer.Option("--dtype", help="[default: float64]")]
