"""A patient note to its acuity, 1 (resuscitation) to 5 (non-urgent); urgent notes raise the alert."""

from __future__ import annotations

from collections.abc import Sequence

from models.bundle import Bundle
from models.notes import NoteClassifier, NoteInput
from models.scored import Scored
from nodes.agents.base import Answer, model_reference
from nodes.agents.settings import AgentSettings
from nodes.codec import Reading, has_words
from nodes.events import Kind, Note, VitalSigns
from nodes.policy import Judgement

URGENT_ACUITY = 2.0
"""KTAS calls 1 (resuscitation) and 2 (emergency) the levels that can't wait."""
CALM_ACUITY = 3.0
"""A note at this acuity or above ends the alert."""


class NoteAgent:
    """Publishes a note's acuity. The alert is on from an acuity of 1-2 until a note of 3-5, or by time."""

    kind: Kind = "note"

    def __init__(self, settings: AgentSettings, bundle: Bundle, *, runtime: str | None = None) -> None:
        self.name = settings.name
        self.topic = settings.topic
        self.site = settings.site
        self.model = model_reference(bundle)
        self.off_after_ms = settings.off_after_ms
        self._on = URGENT_ACUITY if settings.on is None else settings.on
        self._off = CALM_ACUITY if settings.off is None else settings.off
        self._classifier = NoteClassifier(bundle, runtime=runtime)

    def new_state(self) -> None:
        """Each note stands by itself."""

    def observe(self, state: None, reading: Reading) -> NoteInput:  # noqa: ARG002 - the protocol's shape
        """The note as the model reads it."""
        note = reading.payload
        assert isinstance(note, Note)  # noqa: S101 - the pipeline routes by kind
        signs = note.vitals or VitalSigns()
        return NoteInput(
            text=note.text if has_words(note.text) else "",
            age=note.age,
            sex=note.sex,
            hr=signs.hr,
            rr=signs.rr,
            spo2=signs.spo2,
            sbp=signs.sbp,
            dbp=signs.dbp,
            temp=signs.temp,
            acvpu=signs.acvpu,
            on_oxygen=signs.on_oxygen,
            pain=note.pain,
            injury=note.injury,
            arrival=note.arrival,
        )

    def answer(self, observations: Sequence[NoteInput]) -> list[Answer]:
        """One acuity a note."""
        return [
            Answer(scored, None if scored.abstained else self._judge(scored))
            for scored in self._classifier.classify(observations)
        ]

    def dump(self, state: None) -> bytes:  # noqa: ARG002 - the protocol's shape
        """Nothing."""
        return b""

    def load(self, raw: bytes) -> None:
        """Nothing."""

    def _judge(self, scored: Scored) -> Judgement:
        acuity = float(scored.label)
        if acuity <= self._on:
            reason = f"acuity {acuity:g} is {self._on:g} or more urgent"
            return Judgement("on", acuity, self._on, reason, -acuity)
        reason = f"acuity {acuity:g} is less urgent than {self._on:g}"
        return Judgement("off" if acuity >= self._off else "hold", acuity, self._on, reason, -acuity)
