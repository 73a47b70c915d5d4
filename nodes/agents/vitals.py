"""NEWS2 over the vitals topic: from single readings, out of order or not, to the score at each one's time."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from models import news2
from models.frames import Arrays, pack, unpack
from models.scored import Scored
from nodes.agents.base import Answer, above
from nodes.agents.settings import AgentSettings
from nodes.codec import Reading
from nodes.events import Kind, Vitals
from nodes.outputs import ModelReference, News2Data
from nodes.times import MINUTE_MS

HISTORY_LIMIT = 512
"""Values kept for each parameter: seven hours at one a minute, so that a reading six hours late still finds
the values that belong to its own time."""

ALERT_ON = 7.0
"""NEWS2's emergency response threshold (RCP 2017, Chart 4)."""
ALERT_OFF = 4.0
"""The upper end of NEWS2's low band: between the two an alert stays as it is."""

_LEVELS = "ACVPU"


@dataclass(slots=True)
class _Series:
    """One parameter's values by time; of equal times the later arrival stands last."""

    times: array[int] = field(default_factory=lambda: array("q"))
    values: array[float] = field(default_factory=lambda: array("d"))

    def add(self, time_ms: int, value: float) -> None:
        place = bisect_right(self.times, time_ms)
        self.times.insert(place, time_ms)
        self.values.insert(place, value)
        if len(self.times) > HISTORY_LIMIT:
            del self.times[0], self.values[0]

    def at(self, time_ms: int, not_before_ms: float) -> float | None:
        place = bisect_right(self.times, time_ms) - 1
        if place < 0 or self.times[place] < not_before_ms:
            return None
        return self.values[place]


VitalsHistory = dict[str, _Series]
"""A parameter of NEWS2 (or `spo2_scale`) to its values."""


@dataclass(frozen=True, slots=True)
class Observed:
    """The values that count at one reading's time."""

    values: dict[str, float | str | bool]
    spo2_scale: int


class VitalsAgent:
    """Publishes NEWS2 at every reading; the alert is on from 7 and off at 4.

    Each parameter counts with the newest value known on arrival whose time is not after the reading's own and
    not older than the validity. Which SpO2 scale applies is a clinical order and stands until another is
    sent; without one it is scale 1.
    """

    kind: Kind = "vitals"

    def __init__(self, settings: AgentSettings) -> None:
        self.name = settings.name
        self.topic = settings.topic
        self.site = settings.site
        self.model = ModelReference(name="news2", version=news2.VERSION, sha256=news2.TABLE_SHA256)
        self.off_after_ms = settings.off_after_ms
        self._on = ALERT_ON if settings.on is None else settings.on
        self._off = ALERT_OFF if settings.off is None else settings.off
        self._validity_ms = settings.validity_minutes * MINUTE_MS

    def new_state(self) -> VitalsHistory:
        """No values yet."""
        return {}

    def observe(self, state: VitalsHistory, reading: Reading) -> Observed:
        """Keeps the reading's values and looks up all that count at its time."""
        assert isinstance(reading.payload, Vitals)  # noqa: S101 - the pipeline routes by kind
        for name in (*news2.PARAMETERS, "spo2_scale"):
            sent = getattr(reading.payload, name)
            if sent is not None:
                value = float(_LEVELS.index(sent)) if name == "acvpu" else float(sent)
                state.setdefault(name, _Series()).add(reading.time_ms, value)
        values: dict[str, float | str | bool] = {}
        for name in news2.PARAMETERS:
            series = state.get(name)
            value_now = (
                None if series is None else series.at(reading.time_ms, reading.time_ms - self._validity_ms)
            )
            if value_now is None:
                continue
            if name == "acvpu":
                values[name] = _LEVELS[int(value_now)]
            else:
                values[name] = bool(value_now) if name == "on_oxygen" else value_now
        orders = state.get("spo2_scale")
        scale = None if orders is None else orders.at(reading.time_ms, float("-inf"))
        return Observed(values, 1 if scale is None else int(scale))

    def answer(self, observations: Sequence[Observed]) -> list[Answer]:
        """NEWS2 for each; abstains where none of its parameters is known."""
        return [self._answer(observed) for observed in observations]

    def dump(self, state: VitalsHistory) -> bytes:
        """The kept values by parameter."""
        arrays: Arrays = {}
        for name, series in state.items():
            arrays[f"{name} times"] = np.array(series.times, np.int64)
            arrays[f"{name} values"] = np.array(series.values, np.float64)
        return pack("news2-history", 1, {"parameters": list(state)}, arrays)

    def load(self, raw: bytes) -> VitalsHistory:
        """The kept values again."""
        facts, arrays = unpack(raw, "news2-history", 1)
        return {
            name: _Series(
                array("q", arrays[f"{name} times"].tolist()), array("d", arrays[f"{name} values"].tolist())
            )
            for name in facts["parameters"]
        }

    def _answer(self, observed: Observed) -> Answer:
        score = news2.news2(observed.values, observed.spo2_scale)
        data = News2Data(
            total=score.total,
            components=dict(score.components),
            missing=list(score.missing),
            partial=score.partial,
        )
        if not score.components:
            return Answer(Scored("unknown", None, abstained=True), None, data)
        return Answer(Scored(score.label, None), above("NEWS2", score.total, self._on, self._off), data)
