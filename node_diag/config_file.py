"""The configuration file: where it is found, what it holds, and the problems it names. No torch."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from node_diag.errors import UsageError
from node_diag.registry import suggest

PROBLEMS = "problems"
"""The key that lists what ``check`` checks when no PROBLEM is named."""
_OWN_KEYS = ("problem", "name", "set")
_NAME = re.compile(r"\w[\w.+=-]*")
_TAKEN = ("summary.json", "index.html", "junit.xml")
"""What lies beside the report folders of a run."""


@dataclass(frozen=True)
class Entry:
    """One of the problems a configuration lists.

    Attributes:
        spec: PROBLEM, as on the command line.
        name: what its report folder is called.
        is_named: whether the file gave that name, or it comes from ``spec``.
        overrides: keyword arguments of the problem.
        options: options of ``check`` that hold for this problem only.
    """

    spec: str
    name: str
    is_named: bool = False
    overrides: Mapping[str, Any] = field(default_factory=dict[str, Any])
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])


CAPTURE = "capture:"
"""Of a PROBLEM that is a call in a training script: ``capture:train.py``."""


def stem(spec: str) -> str:
    """What a problem is called if nobody says otherwise: ``path/to/file.py:attr`` → ``file``."""
    spec = spec.removeprefix(CAPTURE)
    target = spec.rpartition(":")[0] if ".py:" in spec else spec.partition(":")[0]
    return Path(target).stem if target.endswith(".py") else Path(target).name or "problem"


def entries(listed: Any, origin: str, options: Collection[str]) -> list[Entry]:
    """The problems under the key ``problems``.

    Args:
        listed: its value.
        origin: the file, for messages.
        options: names of the options an entry may set.

    Raises:
        UsageError: it is no list of problems, has an unknown key, or two of one name.
    """
    if not isinstance(listed, list):
        raise UsageError(f"{PROBLEMS} in {origin} must be a list of problems")
    items = cast("list[Any]", listed)
    found = [_entry(item, f"{PROBLEMS}[{i}] in {origin}", options) for i, item in enumerate(items)]
    names = [entry.name.lower() for entry in found]
    for entry in found:
        if names.count(entry.name.lower()) > 1:
            raise UsageError(
                f"{origin} lists two problems called '{entry.name}'; give one of them another "
                f'name: {{problem = "{entry.spec}", name = "…"}}'
            )
    return found


def _entry(item: Any, where: str, options: Collection[str]) -> Entry:
    if isinstance(item, str):
        return Entry(item, _checked_name(stem(item), where))
    if not isinstance(item, dict):
        raise UsageError(f"{where} is neither a problem nor a table with the key 'problem'")
    pairs = cast("dict[Any, Any]", item)
    table = {str(key).replace("-", "_"): value for key, value in pairs.items()}
    for key in table:
        if key not in options and key not in _OWN_KEYS:
            known = [*_OWN_KEYS, *options]
            raise UsageError(f"unknown key '{key}' in {where}{suggest(key, known)}")
    spec, name, overrides = table.get("problem"), table.get("name"), table.get("set", {})
    if not isinstance(spec, str) or not spec:
        raise UsageError(f"{where} has no 'problem': a built-in name, path/to/file.py or a module")
    if not isinstance(overrides, dict):
        raise UsageError(f"'set' in {where} must hold names and values, as in {{mu = 2}}")
    return Entry(
        spec,
        _checked_name(stem(spec) if name is None else name, where),
        name is not None,
        {str(key): value for key, value in cast("dict[Any, Any]", overrides).items()},
        {key: value for key, value in table.items() if key not in _OWN_KEYS},
    )


def _checked_name(name: Any, where: str) -> str:
    """A name that can be a folder's."""
    if not isinstance(name, str) or not _NAME.fullmatch(name) or name.lower() in _TAKEN:
        raise UsageError(
            f"the name {name!r} of {where} cannot be a folder's; use letters, digits, '-' and '_'"
        )
    return name


def _yaml(text: str) -> Any:
    """What YAML holds; that a key is there twice, of which the first would be lost, is an error."""
    import yaml

    nodes, seen = [yaml.compose(text, yaml.SafeLoader)], set[int]()
    while nodes:
        node = nodes.pop()
        if node is None or id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            nodes += node.value
        if isinstance(node, yaml.MappingNode):
            nodes += [value for _, value in node.value]
            keys: set[tuple[str, str]] = set()
            for key in (k for k, _ in node.value if isinstance(k, yaml.ScalarNode)):
                if (key.tag, key.value) in keys:
                    raise yaml.MarkedYAMLError(
                        problem=f"'{key.value}' is given twice", problem_mark=key.start_mark
                    )
                keys.add((key.tag, key.value))
    return yaml.safe_load(text)


def read_file(path: Path) -> dict[str, Any]:
    """The node-diag table of a pyproject.toml, or a whole YAML file.

    Raises:
        UsageError: the file cannot be read or does not hold a table.
    """
    try:
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".toml":
            table = tomllib.loads(text).get("tool", {}).get("node-diag")
            if table is None:
                raise UsageError(f"{path} has no [tool.node-diag] table")
        else:
            table = _yaml(text) or {}
    except UsageError:
        raise
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    except Exception as error:
        raise UsageError(f"{path} is not valid: {' '.join(str(error).split())}") from error
    if not isinstance(table, dict):
        raise UsageError(f"{path} must hold keys and values")
    pairs = cast("dict[Any, Any]", table)
    found: dict[str, Any] = {}
    for key, value in pairs.items():
        name = str(key).replace("-", "_")
        if name in found:
            raise UsageError(f"{path} has both '{name}' and '{name.replace('_', '-')}'; keep one")
        found[name] = value
    return found


def find_file(start: Path) -> Path | None:
    """node-diag.yaml or a pyproject.toml with a node-diag table, up to the repository root.

    Raises:
        UsageError: a folder has both: the gates of one of them would be dropped in silence.
    """
    for folder in (start, *start.parents):
        files = [folder / "node-diag.yaml", folder / "pyproject.toml"]
        found = [path for path in files if path.is_file() and _is_ours(path)]
        if len(found) > 1:
            raise UsageError(
                f"both {found[0]} and [tool.node-diag] in {found[1].name} beside it configure "
                "node-diag: keep one of them, or name one with --config"
            )
        if found:
            return found[0]
        if (folder / ".git").exists():
            return None
    return None


def _is_ours(path: Path) -> bool:
    """Whether a file that is there is a configuration of node-diag."""
    if path.suffix != ".toml":
        return True
    if b"node-diag" not in path.read_bytes():
        return False
    with suppress(Exception), path.open("rb") as stream:
        return "node-diag" in tomllib.load(stream).get("tool", {})
    return False


def configuration_file(named: Path | None) -> Path | None:
    """The file that was named, or else the one that is found.

    Raises:
        UsageError: there is no such file.
    """
    if named is not None and not named.is_file():
        raise UsageError(f"there is no configuration file '{named}'")
    return named or find_file(Path.cwd())
