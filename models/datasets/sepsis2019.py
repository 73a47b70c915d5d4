"""Reader of physionet-sepsis-2019: hourly ICU vitals with a label for each hour, as vitals messages."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from models.datasets.icu2012 import number
from models.datasets.registry import Row

ADMISSION_MS = int(datetime(2019, 1, 1, tzinfo=UTC).timestamp() * 1000)
"""The data count hours of stay (ICULOS); every stay begins at this made-up instant."""
HOUR_MS = 3_600_000

COLUMNS = {"hr": "HR", "rr": "Resp", "spo2": "O2Sat", "sbp": "SBP", "dbp": "DBP", "temp": "Temp"}
"""Contract field to column. MAP, EtCO2, the laboratory and the demographics are not in the contract."""
HOSPITALS = ("A", "B")


def rows(folder: Path) -> Iterator[Row]:
    """Rows of hospital A, then B, patient by patient in time order; hours without a vital sign are left out.

    Device `sepsis-{hospital}-{pid}`, id `sepsis-{hospital}-{pid}-{ICULOS}`, truth `sepsis` (true from six
    hours before onset on, as the Challenge labels it) and `hospital`.
    """
    for hospital in HOSPITALS:
        with gzip.open(folder / f"hospital_{hospital}.csv.gz", "rt", newline="") as file:
            lines = csv.reader(file)
            place = {column: index for index, column in enumerate(next(lines))}
            fields = [(field, place[column]) for field, column in COLUMNS.items()]
            patient, hour, sepsis = place["pid"], place["ICULOS"], place["SepsisLabel"]
            for line in lines:
                payload = {field: number(line[index]) for field, index in fields if line[index]}
                if payload:
                    device = f"sepsis-{hospital}-{line[patient]}"
                    yield Row(
                        device=device,
                        time_ms=ADMISSION_MS + int(line[hour]) * HOUR_MS,
                        kind="vitals",
                        payload=payload,
                        id=f"{device}-{line[hour]}",
                        truth={"sepsis": line[sepsis] == "1", "hospital": hospital},
                    )
