"""The tensors that f holds and that require a gradient, and what they are called."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from node_diag import random_numbers
from node_diag.reachable.before import untouched
from node_diag.reachable.containers import fill_from_parameters, tensors_in
from node_diag.reachable.graphs import ends_of, sources_of
from node_diag.reachable.names import named_in
from node_diag.substitute import copied

MOMENTS = 16
"""Parts of the interval at whose ends f is asked what it reads of what it holds."""


@dataclass(frozen=True)
class Held:
    """Tensors that a module holds beside its parameters, made before it is called, and reads.

    Attributes:
        contexts: those that an encoder made, say, or a plain attribute that requires a gradient:
            they are in no ``.parameters()``.
        prepared: those computed from the module's own parameters, once for many calls: what arrives
            at them arrives at those.
        behind: names of the parameters that the module reads through these alone.
    """

    contexts: dict[str, Tensor]
    prepared: dict[str, Tensor]
    behind: list[str]

    @property
    def all(self) -> dict[str, Tensor]:
        """Both kinds, by name."""
        return self.contexts | self.prepared


def moments(ts: Sequence[float] | Tensor) -> list[Tensor]:
    """Times at which f is asked what it reads: some of the given ones, and in between."""
    given = torch.as_tensor(ts).detach()
    between = torch.linspace(0, 1, MOMENTS + 1, dtype=given.dtype, device=given.device)
    return [
        *given[:: max(1, len(given) // MOMENTS)],
        *(given[0] + (given[-1] - given[0]) * between),
    ]


def held_by(module: nn.Module, ts: Iterable[Tensor], y: Any, own: Iterable[Tensor]) -> Held:
    """Attributes of a module, and of those in it, that were made outside and that f reads.

    Not what f computes anew each time (a weight that is normalised, a value it keeps): a copy of f
    is asked.

    Args:
        module: f.
        ts: times at which it is asked; what it reads at none of them is not found.
        y: a state, or a tuple of parts; cut from any graph.
        own: what is to be differentiated besides.
    """
    registered = set(map(id, module.parameters()))
    found = {
        id(value): (f"{path}.{name}" if path else name, value)
        for path, part in reversed([*module.named_modules()])
        for name, value in reversed([*tensors_in(part)])  # the first name is the one a copy has
        if value.requires_grad and id(value) not in registered
    }
    held = dict(found.values())  # one that is held twice has one name
    nothing = Held({}, {}, [])
    if not held:
        return nothing
    try:
        trial, leaves = _with_leaves(module, held)
        params = {n: p for n, p in trial.named_parameters() if p.requires_grad}
        if set(map(id, trial.parameters())) & registered:
            return nothing  # its copies share parameters with it, which must stay as they are
        read = _read(trial, ts, y, leaves | params)
        kept = {n: x for n, x in held.items() if n in read and _attribute(trial, n) is leaves[n]}
        known = tuple(own)
        told = set(map(id, known))
        others = {n: x for n, x in kept.items() if id(x) not in told}
        prepared = {
            n: x for n, x in others.items() if not x.is_leaf and sources_of(x, known).keys() <= told
        }
        through = {leaf for x in kept.values() for leaf in sources_of(x)}
        behind = [n for n, p in module.named_parameters() if id(p) in through and n not in read]
        contexts = {n: x for n, x in kept.items() if n not in prepared}
        result = Held(contexts, prepared, behind)
        return result if _replaceable(copy_of(module, result), list(kept), ts, y) else nothing
    except Exception:  # it cannot be copied, or asked here: then it is taken as it is
        return nothing


def _read(
    module: Callable[..., Any], ts: Iterable[Tensor], y: Any, asked: Mapping[str, Tensor]
) -> set[str]:
    """Names of the tensors that f depends on at one of these times."""
    found: set[str] = set()
    for t in ts:
        with random_numbers.kept(), torch.enable_grad():
            value = module(t, y)
            parts = value if isinstance(value, tuple | list) else (value,)
            total = torch.stack([part.sum() for part in parts]).sum()
        grads: Any = (
            torch.autograd.grad(total, list(asked.values()), allow_unused=True)
            if total.requires_grad
            else [None] * len(asked)
        )
        found |= {n for n, g in zip(asked, grads, strict=True) if g is not None}
    return found


def _replaceable(copy: nn.Module, names: list[str], ts: Iterable[Tensor], y: Any) -> bool:
    """Whether other values can be put in their place wherever f reads them; not in a list."""
    here = {name: copy.get_parameter(name) for name in names}
    others = {name: p.detach().clone().requires_grad_() for name, p in here.items()}

    def with_others(t: Tensor, y: Any) -> Any:
        return functional_call(copy, others, (t, y))

    return not _read(with_others, ts, y, here)


def copy_of(module: nn.Module, held: Held) -> nn.Module:
    """A module as it is now, in which what it holds are parameters.

    The gradient in what those were computed from goes through the gradient in them.
    """
    found, own = _with_leaves(module, held.all)
    leaves = {id(leaf): leaf for leaf in own.values()}
    for path, part in list(found.named_modules()):  # it may be held in several places
        for attribute, value in list(tensors_in(part)):
            if (leaf := leaves.get(id(value))) is None:
                continue
            if getattr(part, attribute, None) is value:
                delattr(part, attribute)
            else:
                fill_from_parameters(found, path, attribute)
            part.register_parameter(attribute, leaf)
    for name in held.behind:
        owner, _, attribute = name.rpartition(".")
        fixed = nn.Parameter(found.get_parameter(name).detach().clone(), requires_grad=False)
        found.get_submodule(owner).register_parameter(attribute, fixed)
    return found


def _with_leaves(
    module: nn.Module, held: dict[str, Tensor]
) -> tuple[nn.Module, dict[str, nn.Parameter]]:
    """A copy, and what is in the place of these tensors there."""
    own = {name: nn.Parameter(x.detach().clone()) for name, x in held.items()}
    memo: dict[int, Any] = {id(held[name]): leaf for name, leaf in own.items()}
    return copied(module, memo), own


def _attribute(module: nn.Module, name: str) -> Any:
    owner, _, attribute = name.rpartition(".")
    return dict(tensors_in(module.get_submodule(owner))).get(attribute)


def leaves_of(func: Any, t: Tensor, y: Any, told: Sequence[Tensor] = ()) -> dict[str, Tensor]:
    """Tensors that require a gradient and that ``func(t, y)`` depends on, by name.

    They are leaves of autograd's graph, or have a name in ``func`` and were computed before. Not
    the state, which f may ask for a gradient, nor what f makes anew at each call.

    Args:
        func: f.
        t: a time.
        y: a state, or a tuple of parts; cut from any graph.
        told: ``adjoint_params``, which give a name to what has no other.
    """
    named = named_in(func)  # before the call, which may keep what it computes
    known = set(map(id, (x for _, x in named)))
    named += [(f"adjoint_params[{i}]", p) for i, p in enumerate(told) if id(p) not in known]
    found = _ends(func, t, y, [x for _, x in named])
    if found.keys() - {id(x) for _, x in named}:
        again = _ends(func, t, y, [x for _, x in named])  # while the first ones are alive
        found = {leaf: x for leaf, x in found.items() if leaf in again}
    names = {id(tensor): name for name, tensor in named}
    called = {leaf: names.get(leaf, f"tensor_{i}") for i, leaf in enumerate(found)}
    return {called[leaf]: tensor for leaf, tensor in found.items()}


def _ends(func: Any, t: Tensor, y: Any, known: Sequence[Tensor]) -> dict[int, Tensor]:
    """Where the graph of ``func(t, y)`` ends, but for t and y themselves."""
    t = t.detach()  # others, as f may switch gradients on in these
    y = tuple(part.detach() for part in y) if isinstance(y, tuple) else y.detach()
    with untouched(func), random_numbers.kept(), torch.enable_grad():
        value = func(t, y)
    parts = value if isinstance(value, tuple | list) else (value,)
    given = set(map(id, (t, *(y if isinstance(y, tuple) else (y,)))))
    return {leaf: x for leaf, x in ends_of(parts, known).items() if leaf not in given}
