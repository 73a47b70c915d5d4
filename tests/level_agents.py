"""Agents without a model, for tests of the pipeline."""

from __future__ import annotations

import json
from collections.abc import Sequence

from models.errors import InputRefused
from models.scored import Scored
from nodes.agents.base import Answer, above
from nodes.codec import Reading
from nodes.events import Kind, Sensor
from nodes.outputs import ModelReference
from nodes.policy import Judgement
from nodes.reasons import Reason
from nodes.times import MINUTE_MS


class LevelAgent:
    """A sensor agent without a model: its score is the channel `level`, and it counts its invokes."""

    kind: Kind = "sensor"

    def __init__(self, name: str = "level", topic: str = "t/{site}/{device}/sensor") -> None:
        self.name = name
        self.topic = topic
        self.site: str | None = None
        self.model = ModelReference(name="level", version="1", sha256="0" * 64)
        self.off_after_ms: int | None = 15 * MINUTE_MS
        self.invokes: list[int] = []

    def new_state(self) -> list[float]:
        return []

    def observe(self, state: list[float], reading: Reading) -> float:
        assert isinstance(reading.payload, Sensor)
        state.append(reading.payload.values["level"])
        return state[-1]

    def answer(self, observations: Sequence[float]) -> list[Answer]:
        self.invokes.append(len(observations))
        return [
            Answer(Scored("high" if each >= 5 else "low", 1.0, {"level": each}), above("level", each, 5, 2))
            for each in observations
        ]

    def dump(self, state: list[float]) -> bytes:
        return json.dumps(state).encode()

    def load(self, raw: bytes) -> list[float]:
        state: list[float] = json.loads(raw)
        return state


class FragileAgent(LevelAgent):
    """Its model can't run on a batch that holds a nine."""

    def answer(self, observations: Sequence[float]) -> list[Answer]:
        if 9 in observations:
            raise InputRefused(Reason.NOT_RUNNABLE)
        return super().answer(observations)


class UrgencyAgent(LevelAgent):
    """The same, for an agent whose alert has degrees."""

    def answer(self, observations: Sequence[float]) -> list[Answer]:
        return [
            Answer(Scored("urgent", 1.0), Judgement("on", each, 5, "urgent", severity=each))
            for each in observations
        ]
