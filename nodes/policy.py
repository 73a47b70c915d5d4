"""When an alert goes on and off: pure rules over judgements and times, the same for every agent.

An alert follows the newest input only: one that happened before the newest judged input changes nothing,
and neither does a historical one nor an abstention.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from nodes.codec import Reading
from nodes.outputs import Publication


@dataclass(frozen=True, slots=True)
class Judgement:
    """What one answer means for the alert of its agent."""

    verdict: Literal["on", "hold", "off"]
    value: float
    threshold: float
    reason: str
    severity: float = 0.0
    """Larger is worse; an alert that is on is published again when its severity rises."""


@dataclass(slots=True)
class AlertState:
    """The alert of one agent about one device."""

    newest_ms: int = -1
    """Time of the newest input that was judged."""
    since_ms: int = 0
    severity: float = 0.0
    due_ms: int | None = None
    """When the alert ends by itself; None while off, or where only an input ends it."""
    published: Publication | None = None
    """The retained message while the alert is on."""


Transition = Literal["none", "raise", "update", "clear"]


def follow(
    state: AlertState, reading: Reading, judgement: Judgement, *, now_ms: int, off_after_ms: int | None
) -> Transition:
    """Moves *state* by one judgement and says what is to be published.

    An input's place in the order is its time, but never later than *now_ms*, so that a device whose clock
    runs ahead cannot silence its alert until the others catch up.
    """
    place_ms = min(reading.time_ms, now_ms)
    if place_ms < state.newest_ms:
        return "none"
    state.newest_ms = place_ms
    on = state.published is not None
    if judgement.verdict == "on":
        state.due_ms = None if off_after_ms is None else place_ms + off_after_ms
        if not on:
            state.since_ms = reading.time_ms
            state.severity = judgement.severity
            return "raise"
        if judgement.severity > state.severity:
            state.severity = judgement.severity
            return "update"
        return "none"
    if judgement.verdict == "off" and on:
        return "clear"
    return "none"


def end(state: AlertState) -> None:
    """The alert is off."""
    state.published = None
    state.due_ms = None
    state.severity = 0.0
