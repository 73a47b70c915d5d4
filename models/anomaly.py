"""Sensor anomalies: how far a machine is from its own normal start. `normality` learns, here a model
judges.

`SensorNormal` is one device's state: it learns from the first readings, then turns each further one into a
vector whose length and meaning are the same for every machine, whatever its channels. `AnomalyModel` scores
vectors.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from models.bundle import Bundle
from models.errors import UsageError
from models.frames import as_array, pack, unpack
from models.normality import FEATURES, Learner, Normal
from models.scored import Scored
from models.tabular import TabularModel, thresholds

MINUTE_MS = 60_000


@dataclass(frozen=True, slots=True)
class Learn:
    """How long a device learns: exactly one of the three, counted from its first reading."""

    readings: int | None = 400
    minutes: float | None = None
    until_ms: int | None = None
    """Epoch milliseconds: readings up to this instant are normal."""

    def __post_init__(self) -> None:
        """Raise UsageError unless exactly one is set, and sensibly."""
        given = [value for value in (self.readings, self.minutes, self.until_ms) if value is not None]
        if len(given) != 1:
            raise UsageError("learning lasts for readings, minutes or until a time: give exactly one")
        if not (math.isfinite(given[0]) and given[0] > 0):
            raise UsageError("learning must last for more than nothing")


class SensorNormal:
    """One device: learning, then describing. Work and memory per reading are constant.

    The channels are those that most learning readings had. Later, a channel that is missing is taken to be at
    its mean and counts as silent; a channel that was not learnt counts as new and is not looked into.
    """

    __slots__ = ("_first_ms", "_learn", "_learner", "_normal")

    def __init__(self, learn: Learn) -> None:
        self._learn = learn
        self._learner: Learner | None = Learner()
        self._normal: Normal | None = None
        self._first_ms: int | None = None

    def dump(self) -> bytes:
        """All that is known of the device: what `load` makes of it goes on exactly alike."""
        parts = {"learner": self._learner, "normal": self._normal}
        arrays = {name: as_array(part.dump()) for name, part in parts.items() if part is not None}
        return pack("sensor", 1, {"first_ms": self._first_ms}, arrays)

    @classmethod
    def load(cls, raw: bytes, learn: Learn) -> SensorNormal:
        """The state that `dump` wrote; what is already learnt stays, whatever *learn* says now.

        Raises SnapshotRefused.
        """
        facts, arrays = unpack(raw, "sensor", 1)
        state = cls(learn)
        state._first_ms = facts["first_ms"]
        learner, normal = arrays.get("learner"), arrays.get("normal")
        state._learner = None if learner is None else Learner.load(learner.tobytes())
        state._normal = None if normal is None else Normal.load(normal.tobytes())
        return state

    @property
    def learning(self) -> bool:
        """True until the learning time is over and enough readings came in it."""
        return self._normal is None

    def add(self, time_ms: int, values: Mapping[str, float]) -> np.ndarray | None:
        """Take one reading, channel to finite number: None while learning, then float32 [F] (`FEATURES`).

        Readings count in the order they arrive. Where the learning time ends with too few readings to know
        anything (`normality.READINGS_LEAST`), learning goes on until there are enough.
        """
        if self._normal is None and not self._over(time_ms):
            self._learn_from(time_ms, values)
            return None
        if self._normal is None and self._learner is not None:
            self._normal, self._learner = self._learner.normal(), None
        return self._normal.describe(values) if self._normal is not None else None

    def _over(self, time_ms: int) -> bool:
        """Whether learning ends before this reading."""
        if self._learner is None or not self._learner.enough or self._first_ms is None:
            return False
        if self._learn.readings is not None:
            return self._learner.readings >= self._learn.readings
        if self._learn.minutes is not None:
            return time_ms >= self._first_ms + self._learn.minutes * MINUTE_MS
        return self._learn.until_ms is not None and time_ms > self._learn.until_ms

    def _learn_from(self, time_ms: int, values: Mapping[str, float]) -> None:
        self._first_ms = time_ms if self._first_ms is None else min(self._first_ms, time_ms)
        if self._learner is not None:
            self._learner.add(values)


class AnomalyModel:
    """The sensor-anomaly bundle's model. It belongs to one thread; refuses as `TabularModel` does."""

    def __init__(self, bundle: Bundle, *, runtime: str | None = None) -> None:
        self._model = TabularModel(bundle, FEATURES, runtime=runtime)
        self._label, _, _ = thresholds(bundle)
        self.backend = self._model.backend

    def score(self, features: Sequence[np.ndarray]) -> list[Scored]:
        """One answer for each vector of `SensorNormal.add`: `scores.anomaly`, and the label by the
        threshold.
        """
        return [
            Scored("anomaly", anomaly, {"anomaly": anomaly})
            if anomaly >= self._label
            else Scored("normal", round(1 - anomaly, 6), {"anomaly": anomaly})
            for anomaly in self._model.probabilities(features)
        ]
