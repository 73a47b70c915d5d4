"""Times on the wire."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import InputRefused
from nodes.reasons import Reason
from nodes.times import LATEST_MS, format_time, parse_time


@given(st.integers(0, LATEST_MS))
def test_what_is_written_is_read_back(milliseconds: int) -> None:
    assert parse_time(format_time(milliseconds)) == milliseconds


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T01:00:00+01:00", 0),
        ("1970-01-01t00:00:01.5z", 1500),
        ("1970-01-01 00:00:00.0009Z", 0),
        ("1970-01-01T00:00:00.123456789Z", 123),
        ("2016-12-31T23:59:60Z", 1_483_228_800_000),  # a leap second that was
        (1234.9, 1234),
        (0, 0),
    ],
)
def test_rfc_3339_and_epoch_milliseconds_are_read(text: str | float, milliseconds: int) -> None:
    assert parse_time(text) == milliseconds


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-23",
        "2026-11-23T16:09:00",
        "20261123T160900Z",
        "2026-02-30T00:00:00Z",
        "2026-11-23T24:09:00Z",
        "2026-W01-1T00:00:00Z",
        "٢٠٢٦-11-23T16:09:00Z",
        "1700000000000",
        "",
        float("nan"),
        float("inf"),
        -1,
        LATEST_MS + 1,
        "0001-01-01T00:00:00+23:59",
    ],
)
def test_anything_else_is_refused_as_a_fault_of_time(text: str | float) -> None:
    with pytest.raises(InputRefused) as refused:
        parse_time(text)
    assert refused.value.field == "time"


@given(st.text() | st.floats())
def test_any_text_or_number_is_a_time_or_refused_as_one(value: str | float) -> None:
    try:
        parsed = parse_time(value)
    except InputRefused as refused:
        assert refused.reason in (Reason.BAD_TIME, Reason.TIME_OUT_OF_BOUNDS)  # noqa: PT017 - both ways are right
    else:
        assert 0 <= parsed <= LATEST_MS
