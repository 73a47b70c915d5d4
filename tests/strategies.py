"""What hypothesis draws in several tests."""

from __future__ import annotations

from hypothesis import strategies as st

JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
"""Anything that JSON can hold, and NaN and infinities besides."""

FIELDS = st.sampled_from(
    ["id", "time", "test", "hr", "spo2", "temp", "acvpu", "on_oxygen", "text", "vitals", "values", "line"]
)
"""Names of the contract's fields."""
