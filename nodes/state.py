"""What the gateway remembers about each device, all of it bounded.

Recent ids (to recognise a repeat), the newest time, each agent's window and each agent's alert.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any, Literal

from models.errors import InputRefused
from nodes.events import Kind
from nodes.policy import AlertState
from nodes.reasons import Reason
from nodes.topics import Identity

DEVICE_LIMIT = 10_000
"""Devices remembered at once. The one that has been silent longest, and has no alert on, makes room."""

EVICTION_REACH = 64
"""Devices looked at, from the longest silent on, for one without an alert."""

RECENT_LIMIT = 256
"""Input ids remembered for each device and kind of input."""


@dataclass(slots=True)
class RecentIds:
    """Which inputs were taken lately, and a digest of their payloads."""

    _seen: OrderedDict[bytes, bytes] = field(default_factory=OrderedDict)

    def check(self, input_id: str, raw: bytes) -> Literal["new", "repeated"]:
        """Remembers an input. Raises InputRefused when its id came before with another payload."""
        key = hashlib.blake2b(input_id.encode(), digest_size=16).digest()
        digest = hashlib.blake2b(raw, digest_size=8).digest()
        seen = self._seen.get(key)
        if seen is None:
            self._seen[key] = digest
            if len(self._seen) > RECENT_LIMIT:
                self._seen.popitem(last=False)
            return "new"
        if seen != digest:
            raise InputRefused(Reason.SAME_ID, "id")
        return "repeated"


@dataclass(slots=True)
class DeviceState:
    """All that is remembered about one device."""

    newest_ms: int = -1
    """The newest time that the device has sent; `now` on the events clock."""
    recent: dict[Kind, RecentIds] = field(default_factory=dict)
    windows: dict[str, Any] = field(default_factory=dict)
    """Agent's name to whatever that agent keeps between readings."""
    alerts: dict[str, AlertState] = field(default_factory=dict)

    def alerting(self) -> bool:
        """Whether any alert about the device is on."""
        return any(alert.published is not None for alert in self.alerts.values())


class DeviceTable:
    """The devices that are remembered, at most DEVICE_LIMIT of them."""

    def __init__(self, limit: int = DEVICE_LIMIT) -> None:
        self._limit = limit
        self._devices: OrderedDict[Identity, DeviceState] = OrderedDict()

    def __len__(self) -> int:
        return len(self._devices)

    def of(self, identity: Identity) -> DeviceState:
        """The state of a device, made on its first input. Raises InputRefused when there is no room."""
        state = self._devices.get(identity)
        if state is not None:
            self._devices.move_to_end(identity)
            return state
        if len(self._devices) >= self._limit:
            self._make_room()
        state = self._devices[identity] = DeviceState()
        return state

    def _make_room(self) -> None:
        for _ in range(min(EVICTION_REACH, len(self._devices))):
            identity, state = next(iter(self._devices.items()))
            if not state.alerting():
                del self._devices[identity]
                return
            self._devices.move_to_end(identity)
        raise InputRefused(Reason.TOO_MANY_DEVICES)
