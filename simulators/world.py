"""A scenario played: every message its devices send, in order of time, and the truth behind them.

Pure: the same scenario, seed and start give the same messages, byte for byte, whatever sends them and however
fast. Each device draws from a generator of its own, so that adding a device changes no other.
"""

from __future__ import annotations

import heapq
import json
import random
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nodes.events import Kind
from simulators.loglines import lines
from simulators.notes import Person
from simulators.plant import Machine
from simulators.scenario import Scenario
from simulators.scenario_parts import Plant
from simulators.truth import VISIBLE_SEVERITY, Device, Episode, Interval, Truth
from simulators.ward import CAUSES, Cause, Patient, Signs

GRAVE_SEVERITY = 0.8
"""Severity at which a nurse writes a second note."""
PRESSURE_EVERY = 3
"""A cuff inflates with every so many sets of a well patient's monitor…"""
ROUND_EVERY = 6
"""…and a nurse takes temperature and looks at the mind with every so many."""
ALARM_LINE_SHARE = 0.35
"""Share of a machine's log lines that are alerts while its fault shows; none are otherwise."""
LOG_LINES = 1 << 40
"""More lines than any scenario takes; the generator makes them one by one."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message of one device, before it has a site and a topic."""

    time_ms: int
    device: str
    kind: Kind
    payload: dict[str, Any]
    """The contract's JSON with id, time and test."""

    @property
    def body(self) -> bytes:
        """The payload's bytes."""
        return json.dumps(self.payload, ensure_ascii=False, separators=(",", ":")).encode()


class World:
    """One run of *scenario*, called *name*; *seed* and *start_ms* default to the scenario's own."""

    def __init__(
        self, name: str, scenario: Scenario, *, seed: int | None = None, start_ms: int | None = None
    ) -> None:
        self.name = name
        self.scenario = scenario
        self.seed = scenario.seed if seed is None else seed
        self.start_ms = scenario.start_ms if start_ms is None else start_ms
        self.end_ms = self.start_ms + scenario.duration_ms
        self._episodes: dict[str, list[Episode]] = {}
        for event in scenario.events:
            self._episodes.setdefault(event.device, []).append(event.episode(self.start_ms))

    @property
    def devices(self) -> tuple[str, ...]:
        """All devices, beds first."""
        beds = [name for group in self.scenario.beds for name in group.names]
        return (*beds, *(machine.name for machine in self.scenario.machines))

    def messages(self) -> Iterator[Message]:
        """All messages by time; those of one instant by device."""
        streams = [
            self._bed(device, group.vitals_minutes) for group in self.scenario.beds for device in group.names
        ]
        streams += [self._sensors(machine) for machine in self.scenario.machines]
        streams += [self._logs(machine) for machine in self.scenario.machines]
        return heapq.merge(*streams, key=lambda message: (message.time_ms, message.device))

    def truth(self, site: str) -> Truth:
        """What is really wrong, and from when it shows."""
        machines = {machine.name for machine in self.scenario.machines}
        intervals: list[Interval] = []
        for device, episodes in self._episodes.items():
            kinds = ("sensor", "log") if device in machines else ("vitals", "note")
            found = (episode.interval(self.end_ms, kinds) for episode in episodes)
            intervals += [interval for interval in found if interval is not None]
        devices = tuple(Device(name, kind) for name, kind in self.scenario.declared)
        intervals.sort(key=lambda interval: (interval.visible_from, interval.device))
        return Truth(self.name, self.seed, site, self.start_ms, self.end_ms, devices, tuple(intervals))

    def _rng(self, device: str, line: str) -> random.Random:
        return random.Random(f"{self.seed}/{device}/{line}")

    def _now(self, device: str, time_ms: int) -> tuple[Episode | None, float]:
        """The device's episode and its severity at *time_ms*."""
        for episode in self._episodes.get(device, ()):
            if (severity := episode.severity(time_ms)) > 0:
                return episode, severity
        return None, 0.0

    def _bed(self, device: str, vitals_minutes: float) -> Iterator[Message]:
        rng = self._rng(device, "vitals")
        patient = Patient(rng)
        person = Person(self._rng(device, "note"), patient.age, patient.sex)
        made = _Numbered(device)
        step_ms = vitals_minutes * 60_000
        due_ms = self.start_ms + rng.uniform(0, step_ms)
        noted = 0.0  # severity that the last note spoke of
        index = 0
        while (time_ms := round(due_ms + rng.uniform(-0.1, 0.1) * step_ms)) < self.end_ms:
            due_ms += step_ms
            time_ms = max(self.start_ms, time_ms)
            episode, severity = self._now(device, time_ms)
            cause = _cause(episode)
            signs = patient.measure(time_ms, cause, severity)
            watched = severity >= VISIBLE_SEVERITY or index == 0
            yield made.message(time_ms, "vitals", _shown(signs, index, everything=watched))
            note_ms = time_ms + round(rng.uniform(0.1, 0.5) * step_ms)
            note: dict[str, Any] | None = None
            if index == 0:
                note = person.admission(signs)
            elif cause is not None and _worse(noted, severity):
                note, noted = person.change(signs, cause, severity), severity
            elif noted > 0 and severity < VISIBLE_SEVERITY / 2:
                note, noted = person.better(signs), 0.0
            if note is not None and note_ms < self.end_ms:
                yield made.message(note_ms, "note", note)
            index += 1

    def _sensors(self, plant: Plant) -> Iterator[Message]:
        generator = np.random.default_rng([self.seed & 0xFFFFFFFF, zlib.crc32(plant.name.encode())])
        machine = Machine(plant.kind, generator)
        made = _Numbered(plant.name)
        step_ms = plant.reading_seconds * 1000
        offset_ms = self._rng(plant.name, "sensor").uniform(0, step_ms)
        for index in range(int(self.scenario.duration_ms / step_ms)):
            time_ms = self.start_ms + round(offset_ms + index * step_ms)
            episode, severity = self._now(plant.name, time_ms)
            values = machine.step(
                (time_ms - self.start_ms) / 1000, episode.what if episode else None, severity
            )
            yield made.message(time_ms, "sensor", {"values": values})

    def _logs(self, plant: Plant) -> Iterator[Message]:
        rng = self._rng(plant.name, "log")
        drawn = {alert: self._lines(plant.name, alert=alert) for alert in (False, True)}
        made = _Numbered(plant.name)
        time_ms = float(self.start_ms)
        while (time_ms := time_ms + rng.expovariate(1 / (plant.log_seconds * 1000))) < self.end_ms:
            _, severity = self._now(plant.name, round(time_ms))
            alert = severity >= VISIBLE_SEVERITY and rng.random() < ALARM_LINE_SHARE
            yield made.message(round(time_ms), "log", {"line": next(drawn[alert])})

    def _lines(self, device: str, *, alert: bool) -> Iterator[str]:
        rng = self._rng(device, f"lines/{alert}")
        return (line for line, is_alert, _ in lines(rng, LOG_LINES) if is_alert == alert)


class _Numbered:
    """Gives a device's messages their ids: unique per device and kind, and the same in every run."""

    def __init__(self, device: str) -> None:
        self._device = device
        self._counts: dict[Kind, int] = {}

    def message(self, time_ms: int, kind: Kind, content: dict[str, Any]) -> Message:
        number = self._counts[kind] = self._counts.get(kind, 0) + 1
        envelope = {"id": f"{self._device}-{kind}-{number}", "time": time_ms, "test": True}
        return Message(time_ms, self._device, kind, envelope | content)


def _cause(episode: Episode | None) -> Cause | None:
    return next((cause for cause in CAUSES if episode is not None and cause == episode.what), None)


def _worse(noted: float, severity: float) -> bool:
    """Whether *severity* has passed a mark for a note that the last one (at *noted*) had not."""
    marks: Sequence[float] = (VISIBLE_SEVERITY, GRAVE_SEVERITY)
    return any(noted < mark <= severity for mark in marks)


def _shown(signs: Signs, index: int, *, everything: bool) -> dict[str, Any]:
    """What a monitor sends with its set number *index*: not every device measures everything each time."""
    shown: dict[str, Any] = {
        "hr": signs.hr,
        "rr": signs.rr,
        "spo2": signs.spo2,
        "on_oxygen": signs.on_oxygen,
    }
    if everything or index % PRESSURE_EVERY == 0:
        shown |= {"sbp": signs.sbp, "dbp": signs.dbp}
    if everything or index % ROUND_EVERY == 0:
        shown |= {"temp": signs.temp, "acvpu": signs.acvpu}
    return shown
