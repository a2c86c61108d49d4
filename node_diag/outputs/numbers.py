"""Numbers as people read them: the one place where digits are chosen.

JSON and CSV keep every digit; everything that is read by eye goes through here.
"""

from __future__ import annotations

import math

NOTHING = "–"
"""Where there is no number."""

_BYTES = ("B", "KiB", "MiB", "GiB", "TiB")


def scientific(value: float | None) -> str:
    """Two significant digits, as errors are given: ``2.8e-04``, ``0``, ``nan``, ``–``."""
    if value is None:
        return NOTHING
    if not math.isfinite(value) or value == 0:
        return _special(value)
    return f"{value:.1e}"


def uncertain(value: float | None, uncertainty: float | None) -> str:
    """``2.8e-04 ± 1.2e-12``; the uncertainty is left out where there is none."""
    if value is None or math.isnan(value) or not uncertainty:
        return scientific(value)
    return f"{scientific(value)} ± {scientific(uncertainty)}"


def general(value: float | None) -> str:
    """Six significant digits, the exponent only where it is needed: ``3.66155``, ``1e-05``."""
    if value is None:
        return NOTHING
    return f"{value:.6g}" if math.isfinite(value) else _special(value)


def limit(value: float) -> str:
    """A limit as short as it was written: ``1e-03``, ``2.5e-04``."""
    if not math.isfinite(value) or value == 0:
        return _special(value)
    digits, exponent = f"{value:.5e}".split("e")
    return f"{digits.rstrip('0').rstrip('.')}e{exponent}"


def count(value: int | float | None) -> str:
    """A count with thousands apart: ``1,310,720``."""
    if value is None:
        return NOTHING
    if not math.isfinite(value):
        return _special(value)
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.1f}"


def exact(value: int | float | None) -> str:
    """A count as it can be typed: ``1310720``."""
    return count(value).replace(",", "")


def size(n_bytes: int | float | None) -> str:
    """Bytes in the largest unit that leaves at least one: ``512 B``, ``1.3 MiB``."""
    if n_bytes is None:
        return NOTHING
    amount, unit = float(n_bytes), 0
    while abs(amount) >= 1024 and unit < len(_BYTES) - 1:
        amount, unit = amount / 1024, unit + 1
    return f"{amount:.0f} B" if unit == 0 else f"{amount:.1f} {_BYTES[unit]}"


def duration(seconds: float | None) -> str:
    """Seconds in a unit that leaves three digits at most: ``340 µs``, ``12 ms``, ``1.2 s``."""
    if seconds is None:
        return NOTHING
    if not math.isfinite(seconds):
        return _special(seconds)
    if abs(seconds) >= 1:
        return _three_digits(seconds, "s")
    if abs(seconds) >= 1e-3:
        return _three_digits(seconds * 1e3, "ms")
    return _three_digits(seconds * 1e6, "µs")


def _three_digits(amount: float, unit: str) -> str:
    return f"{amount:.1f} {unit}" if abs(amount) < 10 else f"{amount:.0f} {unit}"


def _special(value: float) -> str:
    if math.isnan(value):
        return "nan"
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    return "0"
