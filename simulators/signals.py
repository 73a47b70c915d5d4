"""What is drawn of a recording: each device's signals, as series of time and value. Nothing is judged."""

from __future__ import annotations

import json
from array import array
from dataclasses import dataclass, field
from typing import Any

from simulators.heard import ROOT, milliseconds, read_answer

VITALS = ("hr", "spo2", "rr", "sbp", "temp")
"""Vital signs that are drawn, where the recording has inputs."""
SCORES = {"risk", "anomaly", "alert"}
"""Scores that are drawn: those on which alerts go on and off (contract, table of agents)."""
CHANNELS = 8
"""Sensor channels that are kept of a device; more than that nobody can read in a picture."""


@dataclass(slots=True)
class Series:
    """Times (epoch ms) and values of one signal, in order of arrival."""

    times: array[float] = field(default_factory=lambda: array("d"))
    values: array[float] = field(default_factory=lambda: array("d"))


class Signals:
    """Folds the messages of *site*; grows with them, 16 bytes a value.

    Inputs give the vital signs by name and sensor channels as `sensor/NAME`; classifications give `NEWS2` and
    the scores that alerts rest on.
    """

    def __init__(self, site: str) -> None:
        self._prefix = f"{ROOT}/{site}/"
        self._devices: dict[str, dict[str, Series]] = {}

    def came(self, topic: str, payload: bytes) -> None:
        """One message; what can't be read is left aside: the gateway has said so, and the score counts it."""
        if not topic.startswith(self._prefix):
            return
        match topic.removeprefix(self._prefix).split("/"):
            case [device, ("vitals" | "sensor") as kind]:
                self._input(device, kind, payload)
            case [device, "classification", _]:
                if (answer := read_answer(payload)) is None or answer.data.get("abstained"):
                    return
                if "news2" in answer.data:
                    self._add(device, "NEWS2", answer.time_ms, answer.data["news2"]["total"])
                scores = answer.data.get("scores", {})
                for name in SCORES & scores.keys():
                    self._add(device, name, answer.time_ms, scores[name])

    def of(self, device: str) -> dict[str, Series]:
        """The device's series by name."""
        return self._devices.get(device, {})

    def _input(self, device: str, kind: str, payload: bytes) -> None:
        try:
            said = json.loads(payload)
            time = said["time"]
            time_ms = milliseconds(time) if isinstance(time, str) else float(time)
            values = said["values"] if kind == "sensor" else {name: said.get(name) for name in VITALS}
        except (ValueError, KeyError, TypeError, AttributeError):
            return
        if not isinstance(values, dict):
            return
        mine = self.of(device)
        for name, value in values.items():
            full = f"sensor/{name}" if kind == "sensor" else name
            if _number(value) and (full in mine or len(mine) < CHANNELS + len(VITALS)):
                self._add(device, full, time_ms, value)

    def _add(self, device: str, name: str, time_ms: float, value: float) -> None:
        series = self._devices.setdefault(device, {}).setdefault(name, Series())
        series.times.append(time_ms)
        series.values.append(value)


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
