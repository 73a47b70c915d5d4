"""Reader of nab: single series with labelled windows, as sensor messages of one channel."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from models.datasets.icu2012 import number
from models.datasets.registry import Row

WINDOWS = "labels/combined_windows.json"
CHANNEL = "value"


def rows(folder: Path) -> Iterator[Row]:
    """Rows of each series in its order, series by name; one device a series.

    Device `nab-realTraffic-speed_6005`, id the device and the row's number from 1, truth `anomaly` (within
    one of the series' windows, both ends included); the stamps carry no zone and are taken as UTC.
    """
    windows = json.loads((folder / WINDOWS).read_text("utf-8"))
    for name, wrong in sorted(windows.items()):
        spans = [(_epoch_ms(first), _epoch_ms(last)) for first, last in wrong]
        device = f"nab-{name.removesuffix('.csv').replace('/', '-')}"
        with gzip.open(folder / f"{name}.gz", "rt", newline="") as file:
            for index, line in enumerate(csv.DictReader(file), start=1):
                time_ms = _epoch_ms(line["timestamp"])
                yield Row(
                    device=device,
                    time_ms=time_ms,
                    kind="sensor",
                    payload={"values": {CHANNEL: number(line["value"])}},
                    id=f"{device}-{index}",
                    truth={"anomaly": any(first <= time_ms <= last for first, last in spans)},
                )


def _epoch_ms(stamp: str) -> int:
    return round(datetime.fromisoformat(stamp).replace(tzinfo=UTC).timestamp() * 1000)
