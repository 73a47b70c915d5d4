"""Made data: what `edgeward data make NAME --seed N` writes, labelled JSON lines that training reads as a
dataset.

`MAKERS` has the names. Training never imports a simulator: it reads the file (`models.datasets.made`).
"""

from __future__ import annotations

import importlib
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from models.datasets.made import made_path
from models.errors import UsageError
from simulators.plant import KINDS, Machine

START_MS = 1_750_000_000_000
"""Every machine's first reading, a round instant in June 2025."""
MACHINES = 160
LEARNING = 400
"""Healthy readings at a machine's start: as many as the shipped agent learns from."""
READINGS = 1200
"""Of each machine, the learning ones included."""
INTERVALS_S = (1, 2, 5, 10)
EPISODE_READINGS = (60, 200)
PAUSE_READINGS = (60, 180)
RECOVERY_READINGS = 80
"""After a fault has ended its heat and pressure still show; such readings are neither healthy nor faulty."""
LOG_LINES = 20_000

Item = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Episode:
    """One fault of one machine: its first reading, its length, how bad it becomes and how fast."""

    first: int
    length: int
    fault: str
    peak: float
    ramp: int
    """Readings until *peak*; 1 is a sudden fault."""

    def severity(self, reading: int) -> float:
        """Severity at *reading*, 0 outside the episode."""
        into = reading - self.first
        return self.peak * min(1.0, (into + 1) / self.ramp) if 0 <= into < self.length else 0.0

    def recovering(self, reading: int) -> bool:
        """Whether *reading* comes shortly after the episode."""
        return 0 <= reading - self.first - self.length < RECOVERY_READINGS


def sensor_anomaly(seed: int, machines: int = MACHINES, readings: int = READINGS) -> Iterator[Item]:
    """Readings of *machines* machines of all kinds, healthy for `LEARNING` readings, then with faults.

    Truth: `anomaly`, `fault` (name or null), `severity` (0 to 1), `recovering`, and `machine` (its kind).
    """
    for number in range(machines):
        rng = np.random.default_rng([seed, number])
        kind = KINDS[number % len(KINDS)]
        machine = Machine(kind, rng)
        interval_s = int(rng.choice(INTERVALS_S))
        episodes = _episodes(machine.faults, rng, readings)
        channels = _channels(list(machine.step(0.0)), rng)
        device = f"{kind}-{number:03d}"
        for reading in range(readings):
            episode = next((one for one in episodes if one.severity(reading) > 0), None)
            severity = episode.severity(reading) if episode else 0.0
            fault = episode.fault if episode else None
            read = machine.step((reading + 1.0) * interval_s, fault, severity)
            values = {channel: read[channel] for channel in channels if channel in read}
            if values:
                yield {
                    "device": device,
                    "time": START_MS + reading * interval_s * 1000,
                    "kind": "sensor",
                    "payload": {"values": values},
                    "id": f"{device}-{reading + 1}",
                    "truth": {
                        "anomaly": fault is not None,
                        "fault": fault,
                        "severity": round(severity, 3),
                        "recovering": any(one.recovering(reading) for one in episodes),
                        "machine": kind,
                    },
                }


def log_line(seed: int) -> Iterator[Item]:
    """Labelled log lines of many systems (`simulators.loglines`)."""
    # By name, when it is asked for: the maker of one dataset does not need the other's templates.
    rows: Callable[[int, int], Iterator[Item]] = importlib.import_module("simulators.loglines").rows
    return rows(seed, LOG_LINES)


MAKERS: dict[str, Callable[[int], Iterator[Item]]] = {"sensor-anomaly": sensor_anomaly, "log-line": log_line}
"""Name to a function of the seed that yields the items of a file."""


def write(name: str, seed: int, folder: Path) -> Path:
    """Make data *name* from *seed* in *folder* (created where absent) and return the file.

    The same name and seed give the same bytes. Written beside and renamed, so that no reader meets half a
    file. Raises UsageError for an unknown name.
    """
    if name not in MAKERS:
        raise UsageError(f"there is no made data {name!r}; there are {', '.join(MAKERS)}")
    path = made_path(name, seed, folder)
    folder.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with fresh.open("w", encoding="utf-8") as file:
            for item in MAKERS[name](seed):
                file.write(json.dumps(item, separators=(",", ":"), ensure_ascii=False) + "\n")
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)
    return path


def _episodes(faults: tuple[str, ...], rng: np.random.Generator, readings: int) -> list[Episode]:
    """A machine's faults after its learning time, with pauses between them."""
    episodes = []
    first = LEARNING + int(rng.integers(*PAUSE_READINGS))
    while first + EPISODE_READINGS[0] < readings:
        length = int(rng.integers(*EPISODE_READINGS))
        sudden = rng.random() < 0.5
        ramp = 1 if sudden else int(rng.integers(length // 4, length))
        episodes.append(Episode(first, length, str(rng.choice(faults)), rng.uniform(0.25, 1.0), ramp))
        first += length + RECOVERY_READINGS + int(rng.integers(*PAUSE_READINGS))
    return episodes


def _channels(every: list[str], rng: np.random.Generator) -> list[str]:
    """The channels that a machine is fitted with: rarely one or two, mostly all or nearly all."""
    least = 1 if rng.random() < 0.1 else 3
    count = int(rng.integers(least, 3)) if least == 1 else int(rng.integers(least, len(every) + 1))
    chosen = set(rng.choice(every, count, replace=False))
    return [channel for channel in every if channel in chosen]
