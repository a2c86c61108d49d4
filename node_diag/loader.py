"""PROBLEM on the command line → Problem: a built-in name, a Python file, or a module."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from node_diag.builtins import builtin_names, builtin_path
from node_diag.capturing.problem import problem_of
from node_diag.capturing.script import run_script
from node_diag.config_file import CAPTURE
from node_diag.errors import ProblemError, UsageError, reraise_interrupt, said
from node_diag.problem import Problem
from node_diag.registry import suggest

ATTRIBUTE = "problem"


def load(spec: str, overrides: Mapping[str, Any] | None = None) -> Problem:
    """The problem that ``name``, ``path/to/file.py[:attr]`` or ``package.module[:attr]`` means.

    Args:
        spec: what the command line names.
        overrides: keyword arguments for a callable, from ``--set``.

    Raises:
        UsageError: nothing is called so, or an override does not fit.
        ProblemError: the module raised, or does not give a Problem.
    """
    if spec.startswith(CAPTURE):
        return _captured(spec, dict(overrides or {}))
    target, attribute = _parse(spec)
    module = _import(target, spec)
    found = _attribute(module, attribute, spec)
    problem = _call(found, dict(overrides or {}), spec)
    # As it was named, not where it lies: reports are shown to other people.
    problem.source = f"{'built-in ' if target in builtin_names() else ''}{target}:{attribute}"
    problem.overrides = dict(overrides or {})
    if problem.name == "problem":
        problem.name = Path(target).stem if target.endswith(".py") else target
    return problem


def check(spec: str, overrides: Mapping[str, Any]) -> None:
    """Make sure that there is such a problem, and that it has these arguments; it is not made.

    Raises:
        UsageError, ProblemError: as :func:`load`.
    """
    if spec.startswith(CAPTURE):
        _call_number(overrides)
        return
    target, attribute = _parse(spec)
    found = _attribute(_import(target, spec), attribute, spec)
    if callable(found):
        _check_overrides(found, dict(overrides), spec)
    else:
        _call(found, dict(overrides), spec)


def _call_number(overrides: Mapping[str, Any]) -> int:
    unknown = set(overrides) - {"call", "args"}
    if unknown:
        raise UsageError(f"--set {unknown.pop()}: a captured script takes call=N and args='…' only")
    number = overrides.get("call", 1)
    if not isinstance(number, int):
        raise UsageError(f"--set call={number}: it is a number, counted from 1")
    return number


def _captured(spec: str, overrides: dict[str, Any]) -> Problem:
    """The problem that a call of a training script poses."""
    script, number = spec.removeprefix(CAPTURE), _call_number(overrides)
    call = run_script(script, str(overrides.get("args", "")), number)
    problem = problem_of(call, Path(script).stem)
    problem.source, problem.arguments, problem.overrides = spec, overrides, overrides
    return problem


def load_object(spec: str, default: str) -> Any:
    """What ``path/to/file.py[:attr]`` holds, whatever it is.

    Args:
        spec: what the command line names.
        default: the attribute if none is named.

    Raises:
        UsageError: there is no such file or attribute.
        ProblemError: the file raised.
    """
    target, attribute = _parse(spec, default)
    module = _import(target, spec)
    try:
        return getattr(module, attribute)
    except AttributeError:
        raise UsageError(
            f"'{target}' has no attribute '{attribute}'; define {attribute} there, or name another "
            f"object of it as '{target}:NAME'"
        ) from None


def _parse(spec: str, default: str = ATTRIBUTE) -> tuple[str, str]:
    target, separator, attribute = spec.rpartition(":")
    if not separator or "/" in attribute or "\\" in attribute:
        return spec, default
    return target, attribute or default


def _import(target: str, spec: str) -> ModuleType:
    if target.endswith(".py"):
        path = Path(target)
        if not path.is_file():
            raise UsageError(
                f"'{target}' is a folder; name a .py file in it"
                if path.is_dir()
                else f"there is no file '{target}' in {_here(path)}"
            )
        return _run_file(path)
    if target in builtin_names():
        return _run_file(builtin_path(target))
    if "/" in target or "\\" in target or _is_something_else(target):
        raise UsageError(f"'{target}' is not a Python file; name a .py file")
    return _import_module(target, spec)


def _run_file(path: Path) -> ModuleType:
    """Import a file by path, with its folder importable, as ``python file.py`` would have it."""
    name = f"node_diag_problem_{path.stem}"
    loader_spec = importlib.util.spec_from_file_location(name, path)
    if loader_spec is None or loader_spec.loader is None:
        raise UsageError(f"'{path}' cannot be imported as Python")
    module = importlib.util.module_from_spec(loader_spec)
    sys.modules[name] = module
    folder = str(path.parent.resolve())
    if folder not in sys.path:  # and it stays: f may import its neighbours when it is called
        sys.path.insert(0, folder)
    try:
        loader_spec.loader.exec_module(module)
    except BaseException as error:
        reraise_interrupt(error)
        sys.modules.pop(name, None)
        raise ProblemError(f"importing {path} raised {said(error)}") from error
    return module


def _import_module(target: str, spec: str) -> ModuleType:
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        known = importlib.util.find_spec(target) is not None
    except (ImportError, ValueError):
        known = False
    except BaseException as error:  # the package above it raised
        reraise_interrupt(error)
        raise ProblemError(f"importing {target} raised {said(error)}") from error
    if not known or (":" not in spec and "." not in target and not _is_local(target)):
        raise UsageError(
            f"unknown problem '{target}'{suggest(target, builtin_names())} Run 'node-diag list'."
        )
    try:
        return importlib.import_module(target)
    except BaseException as error:
        reraise_interrupt(error)
        raise ProblemError(f"importing {target} raised {said(error)}") from error


def _here(path: Path) -> str:
    """The folder that a path is looked up in."""
    return f"'{path.parent}'" if path.parent != Path() else "the current folder"


def _is_something_else(target: str) -> bool:
    """Whether a word is a file or folder that is there and cannot be imported."""
    path = Path(target)
    return bool(target) and (
        path.is_file() or (path.is_dir() and not (path / "__init__.py").exists())
    )


def _is_local(target: str) -> bool:
    """A bare word means a module only if it lies here; else it is a misspelt built-in."""
    return Path(f"{target}.py").is_file() or Path(target, "__init__.py").is_file()


def _attribute(module: ModuleType, attribute: str, spec: str) -> Any:
    try:
        return getattr(module, attribute)
    except AttributeError:
        pass
    except BaseException as error:
        reraise_interrupt(error)
        raise ProblemError(f"'{spec}' raised {said(error)}") from error
    own = {name: value for name, value in vars(module).items() if not isinstance(value, type)}
    candidates = [name for name, value in own.items() if isinstance(value, Problem)]
    candidates += [
        name for name, value in own.items() if "problem" in name.lower() and callable(value)
    ]
    hint = (
        f"; try '{spec.partition(':')[0]}:{candidates[0]}'"
        if candidates
        else (
            "; define problem = node_diag.Problem(...) or a function problem(...) that returns one"
        )
    )
    raise UsageError(f"'{spec.partition(':')[0]}' has no attribute '{attribute}'{hint}")


def _call(found: Any, overrides: dict[str, Any], spec: str) -> Problem:
    if isinstance(found, Problem):
        if overrides:
            raise UsageError(
                f"'{spec}' is a Problem, not a function: --set {next(iter(overrides))}=... "
                "has nothing to set; make it a function with keyword arguments"
            )
        return found
    if not callable(found):
        raise ProblemError(f"'{spec}' is a {type(found).__name__}, not a Problem or a function")
    _check_overrides(found, overrides, spec)
    try:
        problem = found(**overrides)
    except BaseException as error:
        reraise_interrupt(error)
        raise ProblemError(f"'{spec}' raised {said(error)}") from error
    if not isinstance(problem, Problem):
        raise ProblemError(f"'{spec}' returned a {type(problem).__name__}, not a Problem")
    problem.arguments = {**_defaults(found), **overrides}
    return problem


def _defaults(found: Any) -> dict[str, Any]:
    """Keyword arguments of a callable with their defaults, those that ``--set`` overrides."""
    try:
        parameters = inspect.signature(found).parameters
    except (TypeError, ValueError):
        return {}
    return {name: p.default for name, p in parameters.items() if p.default is not p.empty}


def _check_overrides(found: Any, overrides: dict[str, Any], spec: str) -> None:
    try:
        parameters = inspect.signature(found).parameters
    except (TypeError, ValueError):
        return
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return
    for name, value in overrides.items():
        if name not in parameters:
            there = ", ".join(parameters) or "none"
            raise UsageError(
                f"'{spec}' has no parameter '{name}'{suggest(name, list(parameters))} "
                f"It has: {there}."
            )
        default = parameters[name].default
        whole = parameters[name].annotation in (int, "int")
        if whole and isinstance(value, float):
            raise UsageError(
                f"--set {name}={value}: '{name}' is a whole number (default {default})"
            )
        if isinstance(default, float) and isinstance(value, int) and not isinstance(value, bool):
            overrides[name] = float(value)
        elif isinstance(default, int | float) and not isinstance(value, int | float):
            what = "true or false" if isinstance(default, bool) else "a number"
            raise UsageError(f"--set {name}={value}: '{name}' is {what} (default {default})")
    missing = [
        name
        for name, p in parameters.items()
        if p.default is p.empty and p.kind is not p.VAR_POSITIONAL and name not in overrides
    ]
    if missing:
        raise UsageError(f"'{spec}' needs --set {missing[0]}=...")
