"""The coefficients of DOP853, scipy's, without the rest of scipy.integrate.

Importing scipy.integrate takes half a second, a table of numbers takes a millisecond.
"""

from __future__ import annotations

from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

STAGES = 12


def _table() -> Any:
    scipy = find_spec("scipy")
    for folder in (scipy.submodule_search_locations or []) if scipy else []:
        path = Path(folder, "integrate", "_ivp", "dop853_coefficients.py")
        spec = spec_from_file_location("node_diag_dop853_coefficients", path)
        if path.exists() and spec and spec.loader:
            table = module_from_spec(spec)
            spec.loader.exec_module(table)
            return table
    from scipy.integrate import DOP853  # a scipy that is laid out otherwise

    return DOP853


_TABLE = _table()
A, B, C = _TABLE.A[:STAGES, :STAGES], _TABLE.B[:STAGES], _TABLE.C[:STAGES]
"""Weights of the stages, of the step (order 8), and the nodes."""
E3, E5 = _TABLE.E3[:STAGES], _TABLE.E5[:STAGES]
"""Weights of the error estimates of orders 3 and 5."""
