"""Deterioration: what a patient's vital signs of the last hours say of the next ones. Not a medical device.

`VitalsWindow` holds one device's recent readings and turns them into a vector; `RiskModel` scores vectors.
The same code trains and serves. Features go by time and not by count, so that readings every five minutes
and every hour make the same vector of the same patient: the window is cut into hours counted back from the
reading, and each hour speaks with its newest value.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence

import numpy as np

from models.bounds import possible
from models.bundle import Bundle
from models.frames import Arrays, pack, unpack
from models.scored import Scored
from models.tabular import TabularModel, thresholds

VITALS = ("hr", "rr", "spo2", "sbp", "dbp", "temp")
"""What the window follows, named as in the contract; consciousness and oxygen are not in the training
data."""

HOUR_MS = 3_600_000
HISTORY_HOURS = 12
"""How far back a reading counts; older ones are as good as none."""
RECENT_HOURS = 6
"""The shorter window of means and extremes, and the horizon of the training labels."""
CHANGE_HOURS = 3
"""A change is against the newest value at least so old."""
SLOT_MS = 10 * 60_000
"""Of readings in the same ten minutes of the clock the window keeps the newest."""
SLOT_LIMIT = HISTORY_HOURS * HOUR_MS // SLOT_MS + 8
"""Values kept of one vital sign: twelve hours of slots, and a few for those that arrive late."""
KNOWN_LEAST = 3
"""Vital signs that must be known within the history; with fewer the model declines to answer."""

PER_VITAL = ("last", "mean_6h", "min_6h", "max_6h", "std_6h", "mean_12h", "change_3h")
DERIVED = ("shock_index", "shock_index_6h", "pulse_pressure", "mean_pressure", "rr_by_spo2")
INPUTS = tuple(f"{vital}_{name}" for vital in VITALS for name in PER_VITAL) + DERIVED
"""What the network sees, in order; NaN where unknown. `shock_index` is hr / sbp (Allgöwer and Burri 1967),
`mean_pressure` is dbp + (sbp - dbp) / 3.

How often and how lately something was measured is left out on purpose: it tells how a hospital works more
than how a patient is. With it a model ranks better where it was trained and clearly worse in the other
hospital.
"""
FEATURES = (*INPUTS, "known_count")
"""Names of a vector's entries: the network's, and the number of vital signs known within the history."""

_KNOWN_COUNT = len(INPUTS)
_NAN = math.nan


class _Series:
    """The kept values of one vital sign, ordered by time, at most one a slot and `SLOT_LIMIT` in all."""

    __slots__ = ("times", "values")

    def __init__(self) -> None:
        self.times: list[int] = []
        self.values: list[float] = []

    def add(self, time_ms: int, value: float) -> None:
        """Keep *value* if its slot has nothing newer; of equal times the later arrival counts."""
        place = bisect_right(self.times, time_ms)
        slot = time_ms // SLOT_MS
        if place < len(self.times) and self.times[place] // SLOT_MS == slot:
            return
        if place and self.times[place - 1] // SLOT_MS == slot:
            self.times[place - 1], self.values[place - 1] = time_ms, value
            return
        self.times.insert(place, time_ms)
        self.values.insert(place, value)
        if len(self.times) > SLOT_LIMIT:
            # By number and not by age: one reading with a time far ahead must not sweep the window empty.
            del self.times[0], self.values[0]

    def hours(self, time_ms: int, now: float | None) -> list[tuple[int, float]]:
        """(age in ms, value) of the newest value in each of the last `HISTORY_HOURS` hours up to *time_ms*.

        *now* is the value of the reading at *time_ms* itself, which stands for the first hour where given.
        """
        found: list[tuple[int, float]] = []
        hour = -1
        if now is not None:
            found.append((0, now))
            hour = 0
        for place in range(bisect_right(self.times, time_ms) - 1, -1, -1):
            age_ms = time_ms - self.times[place]
            if age_ms >= HISTORY_HOURS * HOUR_MS:
                break
            if age_ms // HOUR_MS > hour:
                hour = age_ms // HOUR_MS
                found.append((age_ms, self.values[place]))
        return found


class VitalsWindow:
    """The recent vital signs of one device; memory is bounded by `SLOT_LIMIT` values of each of `VITALS`."""

    __slots__ = ("_series",)

    def __init__(self) -> None:
        self._series = {vital: _Series() for vital in VITALS}

    def dump(self) -> bytes:
        """The kept values: what `load` makes of them goes on exactly alike."""
        arrays: Arrays = {}
        for vital, series in self._series.items():
            arrays[f"{vital} times"] = np.array(series.times, np.int64)
            arrays[f"{vital} values"] = np.array(series.values, np.float64)
        return pack("vitals-window", 1, {}, arrays)

    @classmethod
    def load(cls, raw: bytes) -> VitalsWindow:
        """The window that `dump` wrote. Raises SnapshotRefused."""
        _, arrays = unpack(raw, "vitals-window", 1)
        window = cls()
        for vital, series in window._series.items():
            series.times = arrays[f"{vital} times"].tolist()
            series.values = arrays[f"{vital} values"].tolist()
        return window

    def add(self, time_ms: int, values: Mapping[str, float]) -> np.ndarray:
        """Take one reading and describe the patient as of its time: float32 [F], named by `FEATURES`.

        *values* maps vital signs to numbers in the contract's units; other keys and impossible values are
        passed over. Nothing later than *time_ms* enters the vector, also when the reading arrives late:
        then it scores its own time from what has arrived by now.
        """
        now: dict[str, float] = {}
        for vital in VITALS:
            value = values.get(vital)
            if value is not None and possible(vital, value):
                now[vital] = float(value)
                self._series[vital].add(time_ms, now[vital])
        entries: list[float] = []
        last: dict[str, float] = {}
        mean: dict[str, float] = {}
        for vital in VITALS:
            hours = self._series[vital].hours(time_ms, now.get(vital))
            described = _described(hours)
            last[vital], mean[vital] = described[0], described[1]
            entries += described
        entries += _derived(last, mean)
        return np.array(entries, np.float32)


def _described(hours: list[tuple[int, float]]) -> list[float]:
    """The `PER_VITAL` entries of one vital sign, newest hour first."""
    if not hours:
        return [_NAN] * len(PER_VITAL)
    age_ms, last = hours[0]
    every = [value for _, value in hours]
    recent = [value for age, value in hours if age < RECENT_HOURS * HOUR_MS]
    earlier = next((value for age, value in hours if age >= CHANGE_HOURS * HOUR_MS), None)
    change = _NAN if earlier is None or age_ms >= CHANGE_HOURS * HOUR_MS else last - earlier
    of_recent = [_NAN] * 4
    if recent:
        centre = sum(recent) / len(recent)
        spread = math.sqrt(sum((value - centre) ** 2 for value in recent) / len(recent))
        of_recent = [centre, min(recent), max(recent), spread]
    return [last, *of_recent, sum(every) / len(every), change]


def _derived(last: Mapping[str, float], mean: Mapping[str, float]) -> list[float]:
    """The `DERIVED` entries and `known_count`; NaN goes through."""
    known = sum(not math.isnan(value) for value in last.values())
    return [
        _ratio(last["hr"], last["sbp"]),
        _ratio(mean["hr"], mean["sbp"]),
        last["sbp"] - last["dbp"],
        last["dbp"] + (last["sbp"] - last["dbp"]) / 3,
        _ratio(last["rr"], last["spo2"]),
        float(known),
    ]


def _ratio(above: float, below: float) -> float:
    return above / below if below > 0 else _NAN


class RiskModel:
    """The deterioration bundle's model. It belongs to one thread; refuses as `TabularModel` does."""

    def __init__(self, bundle: Bundle, *, runtime: str | None = None) -> None:
        self._model = TabularModel(bundle, INPUTS, runtime=runtime)
        self._label, _, _ = thresholds(bundle)
        self.backend = self._model.backend

    def score(self, features: Sequence[np.ndarray]) -> list[Scored]:
        """One answer for each vector of `VitalsWindow.add`: `scores.risk`, and `at-risk` from the threshold
        on.

        Where fewer than `KNOWN_LEAST` vital signs are known the model abstains with the label `unknown`.
        """
        asked = [vector for vector in features if vector[_KNOWN_COUNT] >= KNOWN_LEAST]
        risks = iter(self._model.probabilities([vector[:_KNOWN_COUNT] for vector in asked]))
        return [
            self._scored(next(risks))
            if vector[_KNOWN_COUNT] >= KNOWN_LEAST
            else Scored("unknown", None, {}, abstained=True)
            for vector in features
        ]

    def _scored(self, risk: float) -> Scored:
        if risk >= self._label:
            return Scored("at-risk", risk, {"risk": risk})
        return Scored("stable", round(1 - risk, 6), {"risk": risk})
