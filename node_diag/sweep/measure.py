"""One cell of a sweep: all methods at one setting. Runs in another process."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache, partial
from typing import Any

import torch
from torch import Tensor

from node_diag.config import CheckConfig
from node_diag.diagnosis.metrics import compare
from node_diag.errors import NoReferenceError, ProblemError, SolveError, UsageError
from node_diag.gradients.base import Setup, run
from node_diag.gradients.lookup import method_of
from node_diag.gradients.peers.base import LibraryMethod
from node_diag.loader import load
from node_diag.measure.clock import Times, time_runs
from node_diag.measure.counting import count
from node_diag.pipeline import continuous_truth
from node_diag.preparation import make_setup, prepare
from node_diag.problem import Problem
from node_diag.references.base import flatten, slices
from node_diag.registry import METHODS
from node_diag.truths import Truth

OF_THE_PROBLEM = ("dtype", "device", "seed", "reference")
"""Options on which the problem and its truth depend; nothing else moves them."""


def counts(spec: str, overrides: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    """Errors and exact counts.

    Args:
        spec: PROBLEM.
        overrides: its keyword arguments.
        config: all options of a check.

    Returns:
        ``{"methods": {name: fields of a SweepPoint}}``.
    """
    settings = CheckConfig.model_validate(config)
    problem, truth, buffers = _known(spec, json.dumps(dict(overrides)), *_own(settings))
    setup = make_setup(problem, settings)
    found: dict[str, dict[str, Any]] = {}
    for name in settings.methods:
        _as_loaded(problem, buffers, settings.seed)
        found[name] = _one(name, problem, truth, setup)
    return {"methods": {METHODS.label(name): fields for name, fields in found.items()}}


def times(spec: str, overrides: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    """Times of the methods that go through; to be called while nothing else runs."""
    settings = CheckConfig.model_validate(config)
    problem = _prepared(spec, overrides, settings)
    setup = make_setup(problem, settings)
    plain = Setup(setup.forward, setup.backward)
    runs = {
        METHODS.label(name): partial(run, name, method_of(name), problem, plain)
        for name in settings.methods
    }
    warm = {name: again for name, again in runs.items() if _goes_through(again)}
    taken = time_runs(warm, settings.repeat)
    return {
        "methods": {
            name: {
                "forward_s": one.forward_s, "backward_s": one.backward_s,
                "repeats": one.repeats, "spread_s": one.spread_s,
            }
            for name, one in taken.items()
            if isinstance(one, Times)
        }
    }  # fmt: skip


def _own(settings: CheckConfig) -> tuple[Any, ...]:
    return tuple(getattr(settings, name) for name in OF_THE_PROBLEM)


@lru_cache(maxsize=4)
def _known(spec: str, overrides: str, *own: Any) -> tuple[Problem, Truth, dict[str, Tensor]]:
    """A problem, its truth, and its buffers as they were loaded, which many cells share.

    f is looked at along a solve at the default tolerance, whatever the cell: so what is found does
    not depend on which cell came first.
    """
    settings = CheckConfig.model_validate(dict(zip(OF_THE_PROBLEM, own, strict=True)))
    problem = _prepared(spec, json.loads(overrides), settings)
    buffers = {name: b.detach().clone() for name, b in _buffers(problem).items()}
    try:
        return problem, continuous_truth(problem, settings), buffers
    except (ProblemError, SolveError) as error:
        return problem, NoReferenceError(str(error)), buffers


def _buffers(problem: Problem) -> dict[str, Tensor]:
    func = problem.func
    return dict(func.named_buffers()) if isinstance(func, torch.nn.Module) else {}


def _as_loaded(problem: Problem, buffers: Mapping[str, Tensor], seed: int) -> None:
    """Forget what earlier runs left behind: a cell gives the same whichever came before it."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for name, buffer in _buffers(problem).items():
            if name in buffers and buffer.shape == buffers[name].shape:
                buffer.copy_(buffers[name])


def _prepared(spec: str, overrides: Mapping[str, Any], settings: CheckConfig) -> Problem:
    torch.manual_seed(settings.seed)
    problem = prepare(load(spec, dict(overrides)), settings)
    torch.set_default_device(None)  # the module may have set one, which is not for our tensors
    return problem


def _one(name: str, problem: Problem, truth: Truth, setup: Setup) -> dict[str, Any]:
    method = method_of(name)
    try:
        if isinstance(method, LibraryMethod):
            method.refuse(setup.forward)
        found, exact = count(METHODS.label(name), method, problem, setup, peak=False)
    except (SolveError, ProblemError, UsageError) as error:
        return {"status": "failed", "failure": str(error)}
    fields: dict[str, Any] = {
        "status": "ok",
        "loss": found.loss,
        "nfe_forward": found.nfe_forward,
        "nfe_backward": found.nfe_backward,
        "n_accepted": found.solution.n_accepted,
        "n_rejected": found.solution.n_rejected,
        "saved_bytes": exact.saved_bytes,
        "graph_depth": exact.graph_depth,
    }
    if isinstance(truth, NoReferenceError):
        return {**fields, "no_truth": str(truth)}
    if problem.kept:
        kept = ", ".join(problem.kept)
        why = f"f keeps what it computes from {kept} in its first evaluation (ND414)"
        return {**fields, "no_truth": why}
    error = compare(flatten(found.gradient), truth.value, truth.bar, slices(problem))
    if error.relative_l2 is None:
        return {**fields, "no_truth": "the true gradient cannot be told from zero"}
    return {**fields, "error": error.relative_l2, "uncertainty": error.uncertainty}


def _goes_through(again: Any) -> bool:
    try:
        again()
    except (SolveError, ProblemError, UsageError):
        return False
    return True
