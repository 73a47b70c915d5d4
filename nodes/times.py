"""Times: epoch milliseconds inside, RFC 3339 in UTC outside. Nothing here reads a clock."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta

from models.errors import InputRefused
from nodes.reasons import Reason

MINUTE_MS = 60_000
DAY_MS = 86_400_000
LATEST_MS = 253_402_300_799_999
"""The last millisecond of the year 9999, the end of RFC 3339."""

_RFC3339 = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:)(\d\d)(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def parse_time(value: float | str) -> int:
    """Epoch milliseconds of an input's `time`, a number of milliseconds or RFC 3339 text.

    Fractions of a millisecond are cut off; a leap second counts as the second after it.
    Raises InputRefused for anything else and for times before 1970 or after 9999.
    """
    if isinstance(value, str):
        milliseconds = _parse_text(value)
    elif math.isfinite(value):
        milliseconds = math.floor(value)
    else:
        raise InputRefused(Reason.BAD_TIME, "time")
    if not 0 <= milliseconds <= LATEST_MS:
        raise InputRefused(Reason.TIME_OUT_OF_BOUNDS, "time")
    return milliseconds


def _parse_text(text: str) -> int:
    found = _RFC3339.fullmatch(text)
    if found is None:
        raise InputRefused(Reason.BAD_TIME, "time")
    day, minute, second, fraction, offset = found.groups()
    leap = second == "60"
    try:
        # Python reads six digits of a second's fraction, and no leap seconds.
        clock = f"{minute}{'59' if leap else second}{(fraction or '')[:7]}"
        moment = datetime.fromisoformat(f"{day}T{clock}{'+00:00' if offset in 'Zz' else offset}")
    except ValueError as exc:
        raise InputRefused(Reason.BAD_TIME, "time") from exc
    return (moment - _EPOCH) // timedelta(milliseconds=1) + (1000 if leap else 0)


def format_time(milliseconds: int) -> str:
    """RFC 3339 in UTC with milliseconds.

    >>> format_time(0)
    '1970-01-01T00:00:00.000Z'
    """
    moment = _EPOCH + timedelta(milliseconds=milliseconds)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{milliseconds % 1000:03d}Z"
