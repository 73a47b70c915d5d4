"""An agent's settings, and those of the five that are shipped."""

from __future__ import annotations

from dataclasses import dataclass

from models.anomaly import Learn
from nodes.events import Kind
from nodes.outputs import ROOT
from nodes.times import MINUTE_MS


@dataclass(frozen=True, slots=True)
class AgentSettings:
    """Everything that may be chosen about an agent; None means the agent's or its bundle's own default."""

    name: str
    """Its name in topics and results, and the code of its alert: a-z 0-9 -."""
    kind: Kind
    topic: str
    """Topic template, see `nodes.topics`."""
    bundle: str | None = None
    """A shipped model's name or a bundle's folder; None is NEWS2, which has no weights."""
    site: str | None = None
    """The site of all devices, where the topic has no `{site}`."""
    on: float | None = None
    """The alert goes on at or above this value."""
    off: float | None = None
    """The alert goes off at or below this value."""
    learn: Learn | None = None
    """How long a sensor agent learns a device's normal."""
    validity_minutes: float = 60.0
    """How old a vital sign may be and still count towards NEWS2."""
    off_after_minutes: float | None = None
    """After how long without another reason an alert ends by itself."""

    @property
    def off_after_ms(self) -> int | None:
        """The same in milliseconds."""
        return None if self.off_after_minutes is None else round(self.off_after_minutes * MINUTE_MS)


def _shipped(
    name: str, kind: Kind, bundle: str | None, off_after_minutes: float | None = None
) -> AgentSettings:
    topic = f"{ROOT}/{{site}}/{{device}}/{kind}"
    return AgentSettings(name, kind, topic, bundle, off_after_minutes=off_after_minutes)


SHIPPED = (
    _shipped("triage-note", "note", "triage-note", off_after_minutes=4 * 60),
    _shipped("vitals", "vitals", None),
    _shipped("deterioration", "vitals", "deterioration"),
    _shipped("sensor-anomaly", "sensor", "sensor-anomaly"),
    _shipped("log-line", "log", "log-line", off_after_minutes=15),
)
"""The agents that run without a configuration."""
