"""What a device measures, what is sent of it, and how the ids of its messages run on. Values only."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, NamedTuple

from nodes.events import Kind


@dataclass(frozen=True, slots=True)
class Message:
    """One message of one device as it was measured, before it has a site and a topic."""

    time_ms: int
    device: str
    kind: Kind
    payload: dict[str, Any]
    """The contract's JSON with id, time and test."""
    acuity: int | None = None
    """What a note really means, 1 (most urgent) to 5; it is not sent."""

    @property
    def body(self) -> bytes:
        """The payload's bytes."""
        return encoded(self.payload)


class Sent(NamedTuple):
    """One message as it leaves for the broker, after whatever the path did to it."""

    time_ms: int
    """When it is sent; its payload may say another time."""
    device: str
    """Whose name is on it."""
    kind: Kind
    body: bytes
    input_id: str
    sender: str
    """The device that really sends it."""
    acuity: int | None = None
    """What a note that can still be read really means."""


class Cut(NamedTuple):
    """A device's connection breaks and is opened again, alone or with a restart of the device."""

    time_ms: int
    sender: str
    is_restart: bool


def encoded(payload: dict[str, Any]) -> bytes:
    """The payload's bytes, the same for the same payload."""
    return json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode()


class Numbered:
    """Gives a device's messages their ids: unique per device and kind, and the same in every run."""

    __slots__ = ("_counts", "_device")

    def __init__(self, device: str) -> None:
        self._device = device
        self._counts: dict[Kind, int] = {}

    def next_id(self, kind: Kind) -> str:
        """The next id of *kind*, counted from 1."""
        number = self._counts[kind] = self._counts.get(kind, 0) + 1
        return f"{self._device}-{kind}-{number}"

    def message(
        self, time_ms: int, kind: Kind, content: dict[str, Any], *, acuity: int | None = None
    ) -> Message:
        """*content* with its id and time, marked as a test."""
        envelope = {"id": self.next_id(kind), "time": time_ms, "test": True}
        return Message(time_ms, self._device, kind, envelope | content, acuity)
