"""Arrivals at an emergency department: when people come, and the triage note that is written of each.

The complaints are data in `complaints.py`, their writing is `wording.py`'s, and the vital signs come from the
same patients as a ward's (`ward.py`), under the complaint's cause. So text, vital signs and acuity fit
together, as far as they do in life: chest pain is an emergency with normal vital signs.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from simulators.complaints import ACUITY_WEIGHTS, COMPLAINTS, HISTORIES, ONSETS, placed
from simulators.ward import Patient, Signs
from simulators.wording import CONCEPTS, Extras, written

MS_PER_HOUR = 3_600_000
BUSIEST_HOUR = 15.0
"""Hour of the day (UTC, as all of the simulated day) with most arrivals…"""
RHYTHM = 0.6
"""…and by how much it lies above the mean; the hour half a day later lies as much below. Departments are
several times as busy by day as before dawn; the two numbers are ours."""
EXTRAS = Extras(denial=0.1, history=0.05, onset=0.1)
"""Most triage complaints are the complaint and nothing else."""
NO_SATURATION_SHARE = 0.3
"""Share of notes without a saturation; in the triage records one hospital of two never wrote it down."""
NO_PAIN_SHARE = 0.1
"""Share of notes without a pain score."""
BARE_SHARE = 0.45
"""Share of notes of acuity 1 without vital signs: nobody measured first."""
AMBULANCE_SHARES = {1: 0.85, 2: 0.6, 3: 0.35, 4: 0.18, 5: 0.15}
"""Share that an ambulance brings, by acuity, near the triage records (80, 62, 35, 18 and 18 %)."""
TRANSFER_SHARE = 0.03
WALK_IN_SHARE = 0.12
"""Of those whom no ambulance brings; the others come by private car."""

How = Literal["walk-in", "ambulance", "private", "transfer", "other"]


@dataclass(frozen=True, slots=True)
class Arrival:
    """One person at the door."""

    time_ms: int
    number: int
    """From 1, in order of arrival."""
    payload: dict[str, Any]
    """The triage note: the contract's JSON without id, time and test."""
    acuity: int
    """What the complaint really is, 1 (most urgent) to 5."""


def arrivals(rng: random.Random, start_ms: int, end_ms: int, per_hour: float) -> Iterator[Arrival]:
    """Everyone who comes from *start_ms* on and before *end_ms* (epoch ms), *per_hour* on average over a day.

    A Poisson process with a daily rhythm, by thinning.
    """
    most_per_ms = per_hour * (1 + RHYTHM) / MS_PER_HOUR
    time_ms = float(start_ms)
    number = 0
    while (time_ms := time_ms + rng.expovariate(most_per_ms)) < end_ms:
        if rng.random() < _share_of_peak(time_ms):
            number += 1
            yield _arrival(rng, round(min(time_ms, end_ms - 1)), number)


def _share_of_peak(time_ms: float) -> float:
    hour = time_ms / MS_PER_HOUR % 24
    return (1 + RHYTHM * math.cos((hour - BUSIEST_HOUR) / 24 * 2 * math.pi)) / (1 + RHYTHM)


def _arrival(rng: random.Random, time_ms: int, number: int) -> Arrival:
    acuity = rng.choices(tuple(ACUITY_WEIGHTS), tuple(ACUITY_WEIGHTS.values()))[0]
    complaint = rng.choice(COMPLAINTS[acuity])
    patient = Patient(rng, ages=complaint.ages)
    severity = rng.uniform(*complaint.severity)
    signs = patient.measure(time_ms, complaint.cause, severity)
    if complaint.mind is not None:
        signs = replace(signs, acvpu=complaint.mind)
    present = tuple(CONCEPTS) if complaint.mind is not None else ()  # they can't be asked
    wording = placed(rng.choice(complaint.wordings), rng)
    text = written(wording, rng, EXTRAS, histories=HISTORIES, onsets=ONSETS, present=present)
    payload: dict[str, Any] = {
        "text": text,
        "age": patient.age,
        "sex": patient.sex,
        "vitals": _written_down(rng, signs, acuity),
        "injury": complaint.injury,
        "arrival": _how(rng, acuity),
    }
    if rng.random() >= NO_PAIN_SHARE:
        payload["pain"] = rng.randint(*complaint.pain)
    return Arrival(time_ms, number, payload, acuity)


def _written_down(rng: random.Random, signs: Signs, acuity: int) -> dict[str, Any]:
    if acuity == 1 and rng.random() < BARE_SHARE:
        return {"acvpu": signs.acvpu}
    vitals = asdict(signs)
    if rng.random() < NO_SATURATION_SHARE:
        del vitals["spo2"], vitals["on_oxygen"]
    return vitals


def _how(rng: random.Random, acuity: int) -> How:
    draw = rng.random()
    if draw < AMBULANCE_SHARES[acuity]:
        return "ambulance"
    rest = (draw - AMBULANCE_SHARES[acuity]) / (1 - AMBULANCE_SHARES[acuity])
    if rest < TRANSFER_SHARE:
        return "transfer"
    return "walk-in" if rest < TRANSFER_SHARE + WALK_IN_SHARE else "private"
