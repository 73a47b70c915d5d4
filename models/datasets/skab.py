"""Reader of skab: a water-pump testbed's eight sensors at about 1 Hz, as sensor messages.

Evaluation only: its licence is GPL-3.0, and nothing trained on it ships.
"""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from models.datasets.icu2012 import number
from models.datasets.registry import Row

FOLDERS = ("anomaly-free", "valve1", "valve2", "other")
LABELS = ("anomaly", "changepoint")


def rows(folder: Path) -> Iterator[Row]:
    """Rows of each experiment in its order, the anomaly-free run first; one device an experiment.

    Device `skab-valve1-1` (the anomaly-free run: `skab-anomaly-free`), id the device and the row's number
    from 1, truth `anomaly`; the stamps carry no zone and are taken as UTC.
    """
    for name in FOLDERS:
        for path in sorted((folder / name).glob("*.csv.gz"), key=_number_in_name):
            experiment = path.name.removesuffix(".csv.gz")
            device = f"skab-{name}" if experiment == name else f"skab-{name}-{experiment}"
            with gzip.open(path, "rt", newline="") as file:
                for index, line in enumerate(csv.DictReader(file, delimiter=";"), start=1):
                    stamp = datetime.strptime(line.pop("datetime"), "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
                    anomaly = float(line.get("anomaly", "0")) == 1
                    values = {
                        channel: number(value) for channel, value in line.items() if channel not in LABELS
                    }
                    yield Row(
                        device=device,
                        time_ms=int(stamp.timestamp()) * 1000,
                        kind="sensor",
                        payload={"values": values},
                        id=f"{device}-{index}",
                        truth={"anomaly": anomaly},
                    )


def _number_in_name(path: Path) -> tuple[int, str]:
    stem = path.name.removesuffix(".csv.gz")
    return (int(stem) if stem.isdigit() else 0, stem)
