"""What decides when f jumps: the time alone, the state, or a parameter.

Just past a jump, at a fixed time, z and θ are nudged both ways along a random line. If they decide,
one way leads back to before the jump and the other does not: f(+) + f(−) − 2 f is the jump,
whatever the size of the nudge. Where f is smooth it falls with the square of the nudge; if it does,
the time alone decides.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection

from node_diag.errors import ProblemError
from node_diag.inspection.forward_path import JUMP, ForwardPath
from node_diag.inspection.nudges import moved

NUDGES = (1e-3, 1e-5, 1e-7)
"""Relative to every entry; a bracket of the jump is much narrower than they are."""
STAYS = 1 / 3
"""Part that is left with the next smaller nudge; of what is smooth 1e-4 is, of a kink 1e-2."""


def decider(path: ForwardPath, late: float) -> tuple[bool, str]:
    """Whether the state decides when f jumps just before ``late``; else a parameter that does."""
    names = list(path.lines)
    if not _moves(path, late, names, state=True):
        return False, ""
    if _moves(path, late, [], state=True):
        return True, ""
    name = next((name for name in names if _moves(path, late, [name], state=False)), "")
    return not name, name


def _moves(path: ForwardPath, t: float, names: Collection[str], *, state: bool) -> bool:
    bends = [_bend(path, t, names, size if state else 0.0, size) for size in NUDGES]
    pairs = [
        pair for pair in itertools.pairwise(bends) if all(math.isfinite(bend) for bend in pair)
    ]
    # Where f is not defined next to the trajectory it is not known, which is no "time alone".
    return not pairs or any(fine > max(JUMP, STAYS * coarse) for coarse, fine in pairs)


def _bend(
    path: ForwardPath, t: float, names: Collection[str], in_state: float, in_params: float
) -> float:
    """|f(+) + f(−) − 2 f|, relative, in the component where it is largest."""
    here, z = path.value(t), path.state(t)
    total, beside = -2 * here, [here]
    tensors = [path.problem.params[name] for name in names]
    for sign in (1, -1):
        lines = [sign * in_params * path.lines[name] for name in names]
        try:
            with moved(tensors, lines):
                beside.append(path.value_at(t, z + sign * in_state * path.state_line))
        except ProblemError:
            return math.nan
        total = total + beside[-1]
    return float(path.relative(total, *beside).max())
