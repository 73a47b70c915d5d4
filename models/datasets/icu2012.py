"""Reader of physionet-icu-2012: irregular ICU readings with minute stamps, as vitals messages.

One message for each minute in which a patient has a reading that the contract knows; impossible values stay
in, because the gateway's refusing them is part of what a replay shows.
"""

from __future__ import annotations

import csv
import gzip
import itertools
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from models.datasets.registry import Row

ADMISSION_MS = int(datetime(2012, 1, 1, tzinfo=UTC).timestamp() * 1000)
"""The data count minutes from admission; every patient is admitted at this made-up instant."""

SOURCES = {
    # A contract field from the first parameter that the minute has: arterial line before cuff.
    "hr": ("HR",),
    "rr": ("RespRate",),
    "spo2": ("SaO2",),
    "sbp": ("SysABP", "NISysABP"),
    "dbp": ("DiasABP", "NIDiasABP"),
    "temp": ("Temp",),
}
SETS = ("a", "b")


def number(text: str) -> float | int:
    """*text* as the number a device would send: whole ones without a fraction."""
    value = float(text)
    return int(value) if value.is_integer() else value


def rows(folder: Path) -> Iterator[Row]:
    """Rows of set a, then set b, patient by patient in time order.

    Device `icu-{RecordID}`, id `icu-{RecordID}-{HHMM}`, truth `died` (absent where the outcome is unknown).
    Where a minute gives a parameter twice, the later line counts.
    """
    for name in SETS:
        died = _outcomes(folder / f"outcomes_{name}.csv")
        with gzip.open(folder / f"events_set_{name}.csv.gz", "rt", newline="") as file:
            lines = csv.reader(file)
            next(lines)
            for (record, stamp), minute in itertools.groupby(lines, key=lambda line: (line[0], line[1])):
                readings = {parameter: value for _, _, parameter, value in minute}
                payload: dict[str, Any] = {}
                for field, parameters in SOURCES.items():
                    found = next((readings[name] for name in parameters if name in readings), None)
                    if found is not None:
                        payload[field] = number(found)
                if payload:
                    hours, minutes = stamp.split(":")
                    yield Row(
                        device=f"icu-{record}",
                        time_ms=ADMISSION_MS + (int(hours) * 60 + int(minutes)) * 60_000,
                        kind="vitals",
                        payload=payload,
                        id=f"icu-{record}-{hours}{minutes}",
                        truth=died.get(record, {}),
                    )


def _outcomes(path: Path) -> dict[str, dict[str, Any]]:
    """RecordID to its truth, for the records whose outcome is known (0 or 1; -1 is unknown)."""
    with path.open(newline="") as file:
        outcomes = {line["RecordID"]: line["In-hospital_death"] for line in csv.DictReader(file)}
    return {record: {"died": outcome == "1"} for record, outcome in outcomes.items() if outcome in ("0", "1")}
