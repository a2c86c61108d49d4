"""One run of a method under all instruments that count. It is never the run that is timed."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from node_diag.field import Field
from node_diag.gradients.base import GradientMethod, MethodRun, Setup, Tape, run
from node_diag.gradients.vjp import watching
from node_diag.measure.graph import GraphDepth
from node_diag.measure.memory import LiveBytes, SavedBytes, cuda_peak
from node_diag.problem import Problem


@dataclass(frozen=True)
class Counts:
    """What a gradient took, exactly: the same numbers on every run on every machine."""

    nvjp_backward: int
    saved_bytes: int
    peak_bytes: int | None
    graph_depth: int
    live_graph_depth: int


class _Probe:
    """Follows a run: what the forward pass keeps, and which values of f receive a cotangent."""

    def __init__(self, saved: SavedBytes) -> None:
        self.saved = saved
        self.nvjp = 0
        self._hooked = WeakTensorKeyDictionary()

    def on_field(self, field: Field) -> None:
        field.on_value = self._hook

    def on_tape(self, tape: Tape) -> None:
        self.saved.hold(tape.kept)

    def _hook(self, _t: Tensor, _z: Tensor, value: Tensor) -> Tensor:
        if not value.requires_grad:
            return value
        if value in self._hooked or value.is_leaf:  # f returned its input, or a parameter
            value = value.view_as(value)
        self._hooked[value] = True
        value.register_hook(self._count)
        return value

    def _count(self, _: Tensor) -> None:
        self.nvjp += 1


def count(
    name: str, method: GradientMethod, problem: Problem, setup: Setup, *, peak: bool = True
) -> tuple[MethodRun, Counts]:
    """Run a method once and count what it evaluates, saves and holds.

    Args:
        name: what it is called.
        method: what to run.
        problem: on what.
        setup: how.
        peak: whether to follow every tensor, for the bytes alive at once; it is what takes longest.

    Raises:
        SolveError, ProblemError: as the method does.
    """
    on_gpu = problem.device.type == "cuda"
    existing = [*problem.params.values(), *_buffers(problem)]
    saved, live, depth = SavedBytes(existing), LiveBytes(existing), GraphDepth()
    probe = _Probe(saved)
    before = 0
    if on_gpu:
        torch.cuda.reset_peak_memory_stats(problem.device)
        before = torch.cuda.memory_allocated(problem.device)
    with ExitStack() as stack:
        stack.enter_context(watching(depth))
        stack.enter_context(saved)
        if peak and not on_gpu:
            stack.enter_context(live)
        found = run(name, method, problem, setup, probe)
    found.solution.zs = found.solution.zs.detach()  # else the record would keep the graph
    depth.release()
    most = cuda_peak(problem.device) - before if on_gpu else live.peak if peak else None
    return found, Counts(probe.nvjp, saved.peak, most, depth.total, depth.largest)


def _buffers(problem: Problem) -> list[Tensor]:
    func = problem.func
    return list(func.buffers()) if isinstance(func, torch.nn.Module) else []
