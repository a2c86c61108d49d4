"""A batched f as a list of tensor operations, without the Python around them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor


def captured(
    many: Callable[[Tensor, Tensor, Mapping[str, Tensor]], Tensor],
    t: Tensor,
    z: Tensor,
    params: Mapping[str, Tensor],
) -> Callable[[Tensor, Tensor, Mapping[str, Tensor]], Tensor]:
    """The same function by the operations it performs once, for inputs of the same shapes.

    What can be vmapped branches on no value, so one run shows all of it; what it does besides
    tensor operations, such as counting its calls, happens once. It is three times as fast as vmap
    for small states, and torch's tracer takes two seconds to import.
    """
    from torch.fx.experimental.proxy_tensor import make_fx

    names = list(params)

    def flat(t: Tensor, z: Tensor, *values: Tensor) -> Tensor:
        return many(t, z, dict(zip(names, values, strict=True)))

    with torch.no_grad():
        graph: Any = make_fx(flat)(t, z, *(params[name] for name in names))
    return lambda t, z, params: graph(t, z, *(params[name] for name in names))
