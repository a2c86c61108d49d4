"""Whether an adjoint counts a tensor or a way twice, or follows only a part of one.

torchdiffeq's adjoint differentiates f in each tensor it is told of, through whatever graph that f
holds. A tensor x that f holds has such a graph, back to what x was computed from: what is told of
that gets its part there. Where x is told as well, autograd goes that way once more, from x.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from torch import Tensor

from node_diag.reachable.graphs import sources_of

MOST_NAMED = 3


def counted(named: Mapping[str, Tensor], held: Mapping[str, Tensor], told: Sequence[Tensor]) -> str:
    """What an adjoint that is told of these makes of what f holds, if it is not its gradient.

    Args:
        named: all of f's, by name.
        held: those of them that were computed before f is called.
        told: what the adjoint differentiates.

    Returns:
        A clause; empty if all is well.
    """
    names = {id(p): f"adjoint_params[{i}]" for i, p in enumerate(told)}
    names |= {id(p): name for name, p in named.items()}
    known = {id(p) for p in told}
    times = Counter(id(p) for p in told if p.requires_grad)
    if repeated := [(names[p], n) for p, n in times.items() if n > 1]:
        listed = ", ".join(f"{name} {n} times" for name, n in repeated[:MOST_NAMED])
        more = f" and {len(repeated) - MOST_NAMED} more" if len(repeated) > MOST_NAMED else ""
        return (
            f"its adjoint_params name {listed}{more}, and the gradient there comes out as many "
            "times as large; name each tensor once"
        )
    for name, x in held.items():
        behind = sources_of(x, [p for p in told if p is not x])
        through = [names[leaf] for leaf in behind if leaf in known]
        if through and id(x) in known:
            return (
                f"{name} is among its adjoint_params beside {', '.join(through)}, which {name} was "
                f"computed from: the way through {name} is counted twice in the gradient there; "
                "name one of them, not both"
            )
        if through and not behind.keys() <= known:
            return (
                f"{name} was computed from {', '.join(through)}, which it differentiates, and from "
                f"more, which gets no gradient through it; name {name} in its adjoint_params, "
                f"without {', '.join(through)} unless f uses that otherwise"
            )
    return ""
