"""``node-diag doctor``: what a check needs, examined without running one."""

from __future__ import annotations

import importlib
import json
import os
import platform
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from node_diag import __version__
from node_diag.config import CheckConfig
from node_diag.config_file import configuration_file
from node_diag.config_sources import configured_problems, process_environment, resolve
from node_diag.errors import NodeDiagError
from node_diag.outputs.base import prepare

Status = Literal["ok", "note", "broken"]
ESSENTIAL = ("numpy", "scipy", "matplotlib")
PEERS = dict.fromkeys(
    ("torchdiffeq", "torchode", "TorchDiffEqPack"), "pip install 'node-diag[peers]'"
)


@dataclass(frozen=True)
class Fact:
    """One thing that was looked at: ``broken`` means that no check can run."""

    name: str
    status: Status
    text: str


@dataclass(frozen=True)
class Examination:
    """Everything that was looked at.

    Attributes:
        facts: versions, devices, the report folder.
        settings: (option, value, where it comes from).
        problems: what ``check`` without PROBLEM would check.
    """

    facts: list[Fact]
    settings: list[tuple[str, Any, str]]
    problems: list[str]

    @property
    def is_broken(self) -> bool:
        """Whether something essential is."""
        return any(fact.status == "broken" for fact in self.facts)


def examine(config: Path | None = None) -> Examination:
    """Look at the installation, the machine and the configuration; nothing raises."""
    facts = [
        Fact("node-diag", "ok", __version__),
        Fact("python", "ok", platform.python_version()),
        *map(_installed, ESSENTIAL),
        *_torch(),
        *(_peer(name, remedy) for name, remedy in PEERS.items()),
    ]
    settings: list[tuple[str, Any, str]] = []
    problems: list[str] = []
    folder = Path("reports")
    try:
        file, environment = configuration_file(config), process_environment()
        resolved = resolve({}, environment, file)
        problems = [entry.name for entry in configured_problems(environment, file)]
        settings = _settings(resolved.config, resolved.sources)
        folder = Path(resolved.config.report_dir or folder)
        where = str(file) if file else "no file; defaults and NODE_DIAG_* only"
        facts.append(Fact("configuration", "ok", where))
    except NodeDiagError as error:
        facts.append(Fact("configuration", "broken", str(error)))
    facts.append(_writable(folder))
    return Examination(facts, settings, problems)


def _installed(name: str) -> Fact:
    """Imported, since a package that is there may still not work."""
    return _tried(name, lambda: importlib.import_module(name).__version__)


def _tried(name: str, look: Callable[[], str]) -> Fact:
    try:
        return Fact(name, "ok", look())
    except Exception as error:
        return Fact(name, "broken", f"{type(error).__name__}: {error}")


def _peer(name: str, remedy: str) -> Fact:
    try:
        return Fact(name, "ok", metadata.version(name))
    except metadata.PackageNotFoundError:
        return Fact(name, "note", f"not installed, and not needed for a check; {remedy}")


def _torch() -> list[Fact]:
    first = _installed("torch")
    if first.status == "broken":
        return [first]
    return [
        first,
        _tried("float64", _float64),
        _tried("device", _devices),
        _tried("threads", _threads),
    ]


def _float64() -> str:
    """A gradient that only has its last digits in double precision: d(x³)/dx at 1/3."""
    torch = importlib.import_module("torch")
    x = torch.tensor(1 / 3, dtype=torch.float64, requires_grad=True)
    (x**3).backward()
    error = abs(float(x.grad) - 1 / 3)
    if error > 1e-15:  # a few roundings of a number below one
        raise ArithmeticError(f"d(x³)/dx at 1/3 is off by {error:.1e}")
    return "autograd is exact to the last digits"


def _devices() -> str:
    torch = importlib.import_module("torch")
    if not torch.cuda.is_available():
        return "cpu; no CUDA device"
    return f"cpu, cuda ({torch.cuda.get_device_name()})"


def _threads() -> str:
    torch = importlib.import_module("torch")
    return f"{torch.get_num_threads()} of torch, {os.cpu_count()} cores"


def _writable(folder: Path) -> Fact:
    try:
        prepare(folder / ".node-diag-doctor")
    except NodeDiagError as error:
        return Fact("report folder", "broken", str(error))
    return Fact("report folder", "ok", f"{folder} can be written to")


def _settings(config: CheckConfig, sources: dict[str, str]) -> list[tuple[str, Any, str]]:
    values = config.model_dump()
    return [(name, value, sources.get(name, "default")) for name, value in values.items()]


def as_json(found: Examination) -> str:
    """Everything, for other programs."""
    record = {
        "schema_version": 1,
        "is_broken": found.is_broken,
        "facts": [asdict(fact) for fact in found.facts],
        "settings": {n: {"value": v, "from": source} for n, v, source in found.settings},
        "problems": found.problems,
    }
    return json.dumps(record, indent=1, ensure_ascii=False)


def as_text(found: Examination) -> str:
    """What a person reads: what is broken stands out by its word."""
    marks = {"ok": "", "note": "note: ", "broken": "BROKEN: "}
    rows = [(fact.name, marks[fact.status] + fact.text) for fact in found.facts]
    if found.problems:
        rows.append(("problems", ", ".join(found.problems)))
    blocks = [_aligned(rows)]
    if found.settings:
        shown = [
            (name, f"{'–' if value in (None, []) else value}  ({source})")
            for name, value, source in found.settings
        ]
        blocks.append("configuration:\n" + _aligned(shown, "  "))
    return "\n\n".join(blocks)


def _aligned(rows: list[tuple[str, str]], indent: str = "") -> str:
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{indent}{name:<{width}}  {text}" for name, text in rows)
