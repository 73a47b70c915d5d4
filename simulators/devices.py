"""What one device sends over a run: a bed, a machine's sensors, its log, an emergency department's door.

Each is a stream of messages by time, drawn from generators that belong to the device, so that no device's
messages depend on which others there are.
"""

from __future__ import annotations

import heapq
import random
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from simulators.artefacts import Artefact
from simulators.emergency import arrivals
from simulators.loglines import lines
from simulators.logstorm import storm
from simulators.messages import Message, Numbered
from simulators.notes import Person, acuity
from simulators.plant import Machine
from simulators.scenario_parts import Beds, Department, Plant
from simulators.truth import VISIBLE_SEVERITY, Episode
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
STORM_LINES_PER_SECOND = 2.0
"""Average rate of a log-storm at its full strength (peak 1)."""


@dataclass(frozen=True, slots=True)
class Run:
    """What all devices of one run share; times are epoch milliseconds."""

    seed: int
    start_ms: int
    end_ms: int

    def rng(self, device: str, line: str) -> random.Random:
        """The generator of one *line* of a device's randomness."""
        return random.Random(f"{self.seed}/{device}/{line}")


def bed(run: Run, device: str, group: Beds, episodes: Sequence[Episode]) -> Iterator[Message]:
    """A patient's vital signs as the monitor sends them, and what nurses write."""
    rng = run.rng(device, "vitals")
    patient = Patient(rng, ages=group.ages)
    person = Person(run.rng(device, "note"), patient.age, patient.sex)
    artefacts = tuple(
        (each, Artefact(each.what, run.rng(device, f"artefact/{number}")))
        for number, each in enumerate(episodes)
        if each.family == "artefact"
    )
    made = Numbered(device)
    step_ms = group.vitals_minutes * 60_000
    due_ms = run.start_ms + rng.uniform(0, step_ms)
    nurse = _Nurse(person)
    index = 0
    while (time_ms := round(due_ms + rng.uniform(-0.1, 0.1) * step_ms)) < run.end_ms:
        due_ms += step_ms
        time_ms = max(run.start_ms, time_ms)
        episode, severity = _worst(episodes, time_ms, _is_deterioration)
        cause = _cause(episode)
        is_treated = episode is not None and episode.treated and time_ms > episode.to_ms
        signs = patient.measure(time_ms, cause, severity, treated=is_treated)
        watched = severity >= VISIBLE_SEVERITY or index == 0
        shown = _shown(signs, index, everything=watched)
        for artefact_episode, artefact in artefacts:
            shown = artefact.spoil(shown, artefact_episode.severity(time_ms))
        yield made.message(time_ms, "vitals", shown)
        note_ms = time_ms + round(rng.uniform(0.1, 0.5) * step_ms)
        note = person.admission(signs) if index == 0 else nurse.note(signs, cause, severity, is_treated)
        if note is not None and note_ms < run.end_ms:
            level = acuity(cause, nurse.noted) if nurse.noted > 0 else acuity(None, 0.0)
            yield made.message(note_ms, "note", note, acuity=level)
        index += 1


def sensors(run: Run, plant: Plant, name: str, episodes: Sequence[Episode]) -> Iterator[Message]:
    """A machine's readings."""
    generator = np.random.default_rng([run.seed & 0xFFFFFFFF, zlib.crc32(name.encode())])
    machine = Machine(plant.kind, generator)
    made = Numbered(name)
    step_ms = plant.reading_seconds * 1000
    offset_ms = run.rng(name, "sensor").uniform(0, step_ms)
    for index in range(int((run.end_ms - run.start_ms) / step_ms)):
        time_ms = run.start_ms + round(offset_ms + index * step_ms)
        episode, severity = _worst(episodes, time_ms, _is_fault)
        values = machine.step((time_ms - run.start_ms) / 1000, episode.what if episode else None, severity)
        yield made.message(time_ms, "sensor", {"values": values})


def logs(run: Run, plant: Plant, name: str, episodes: Sequence[Episode]) -> Iterator[Message]:
    """A machine's log: its usual lines, some alerts while a fault shows, and storms."""
    made = Numbered(name)
    usual = _usual_lines(run, plant, name, episodes)
    storms = [_storm_lines(run, name, each) for each in episodes if each.family == "log"]
    for time_ms, line in heapq.merge(usual, *storms, key=lambda timed: timed[0]):
        yield made.message(time_ms, "log", {"line": line})


def door(run: Run, department: Department) -> Iterator[Message]:
    """One triage note of each person who comes to an emergency department."""
    rng = run.rng(department.name, "arrivals")
    for arrival in arrivals(rng, run.start_ms, run.end_ms, department.arrivals_per_hour):
        made = Numbered(department.device(arrival.number))
        yield made.message(arrival.time_ms, "note", arrival.payload, acuity=arrival.acuity)


class _Nurse:
    """When a note is due: worse than the last one said, treated, or better."""

    __slots__ = ("_person", "_said_treated", "noted")

    def __init__(self, person: Person) -> None:
        self._person = person
        self.noted = 0.0
        """Severity that the last note spoke of."""
        self._said_treated = False

    def note(
        self, signs: Signs, cause: Cause | None, severity: float, is_treated: bool
    ) -> dict[str, Any] | None:
        if cause is not None and is_treated and self.noted > 0 and not self._said_treated:
            self._said_treated = True
            return self._person.treated(signs, cause)
        if cause is not None and not is_treated and _worse(self.noted, severity):
            self.noted, self._said_treated = severity, False
            return self._person.change(signs, cause, severity)
        if self.noted > 0 and severity < VISIBLE_SEVERITY / 2:
            self.noted = 0.0
            return self._person.better(signs)
        return None


def _usual_lines(run: Run, plant: Plant, name: str, episodes: Sequence[Episode]) -> Iterator[tuple[int, str]]:
    rng = run.rng(name, "log")
    drawn: Mapping[bool, Iterator[str]] = {alert: _lines(run, name, alert=alert) for alert in (False, True)}
    time_ms = float(run.start_ms)
    while (time_ms := time_ms + rng.expovariate(1 / (plant.log_seconds * 1000))) < run.end_ms:
        _, severity = _worst(episodes, round(time_ms), _is_fault)
        alert = severity >= VISIBLE_SEVERITY and rng.random() < ALARM_LINE_SHARE
        yield round(time_ms), next(drawn[alert])


def _storm_lines(run: Run, name: str, episode: Episode) -> Iterator[tuple[int, str]]:
    rng = run.rng(name, f"storm/{episode.from_ms - run.start_ms}")
    seconds = (min(episode.to_ms, run.end_ms) - episode.from_ms) / 1000
    for offset_s, line, _ in storm(rng, seconds, STORM_LINES_PER_SECOND * episode.peak):
        yield episode.from_ms + round(offset_s * 1000), line


def _lines(run: Run, device: str, *, alert: bool) -> Iterator[str]:
    rng = run.rng(device, f"lines/{alert}")
    return (line for line, is_alert, _ in lines(rng, LOG_LINES) if is_alert == alert)


def _worst(
    episodes: Sequence[Episode], time_ms: int, wanted: Callable[[Episode], bool]
) -> tuple[Episode | None, float]:
    """The first episode that is *wanted* and at work at *time_ms*, and its severity."""
    for episode in episodes:
        if wanted(episode) and (severity := episode.severity(time_ms)) > 0:
            return episode, severity
    return None, 0.0


def _is_deterioration(episode: Episode) -> bool:
    return episode.family == "deterioration"


def _is_fault(episode: Episode) -> bool:
    return episode.family in ("machine-fault", "sensor-fault")


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
