"""Reader of occupancy: an office's climate each minute and whether somebody was in, as sensor messages."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from models.datasets.icu2012 import number
from models.datasets.registry import Row

PARTS = {"occupancy-test": "datatest.txt", "occupancy-training": "datatraining.txt"}
"""Device to file: the two stretches of time are two devices, the earlier one first."""
LABEL = "Occupancy"


def rows(folder: Path) -> Iterator[Row]:
    """Rows of each file in its order: id the device and the source's row number, truth `occupied`.

    Channels have the source's names (°C, %, lux, ppm, kg/kg); the stamps carry no zone and are taken as UTC.
    """
    for device, name in PARTS.items():
        with (folder / name).open(encoding="utf-8", newline="") as file:
            lines = csv.reader(file)
            channels = next(lines)[1:]  # the date's name; the row number before it has none
            for row_number, stamp, *values in lines:
                read = dict(zip(channels, values, strict=True))
                occupied = read.pop(LABEL) == "1"
                moment = datetime.fromisoformat(stamp).replace(tzinfo=UTC)
                yield Row(
                    device=device,
                    time_ms=int(moment.timestamp()) * 1000,
                    kind="sensor",
                    payload={"values": {channel: number(value) for channel, value in read.items()}},
                    id=f"{device}-{row_number}",
                    truth={"occupied": occupied},
                )
