"""What a reading can be at all: physical bounds, wide on purpose, and no alarm limits.

The contract's types refuse a value outside them, and training treats it as missing, so that both sides
see the same data. Values are inclusive; units are the contract's.
"""

from __future__ import annotations

import math

BOUNDS: dict[str, tuple[float, float]] = {
    "hr": (0, 350),  # per minute; the fastest conducted rates reported in adults stay below
    "rr": (0, 120),  # per minute
    "spo2": (0, 100),  # %
    "sbp": (0, 350),  # mmHg; about the limit of cuffs and arterial lines
    "dbp": (0, 350),  # mmHg
    "temp": (20, 46),  # °C; both ends lie beyond the recorded survivors
    "age": (0, 130),  # years
    "pain": (0, 10),  # numeric rating scale
}


def possible(field: str, value: float) -> bool:
    """Whether *value* is one that *field* can have; NaN and infinities never are."""
    low, high = BOUNDS.get(field, (-math.inf, math.inf))
    return math.isfinite(value) and low <= value <= high
