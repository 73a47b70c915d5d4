"""What the gateway remembers about each device, all of it bounded.

Recent ids (to recognise a repeat), the newest time, each agent's window and each agent's alert.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict, deque
from collections.abc import Iterable
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

_KEY_BYTES = 16
_DIGEST_BYTES = 8


@dataclass(slots=True)
class RecentIds:
    """Which inputs were taken lately, and a digest of their payloads."""

    _seen: OrderedDict[bytes, bytes] = field(default_factory=OrderedDict)

    def check(self, input_id: str, raw: bytes) -> Literal["new", "repeated"]:
        """Remembers an input. Raises InputRefused when its id came before with another payload."""
        key = hashlib.blake2b(input_id.encode(), digest_size=_KEY_BYTES).digest()
        digest = hashlib.blake2b(raw, digest_size=_DIGEST_BYTES).digest()
        seen = self._seen.get(key)
        if seen is None:
            self._seen[key] = digest
            if len(self._seen) > RECENT_LIMIT:
                self._seen.popitem(last=False)
            return "new"
        if seen != digest:
            raise InputRefused(Reason.SAME_ID, "id")
        return "repeated"

    def dump(self) -> bytes:
        """The ids and digests, oldest first."""
        return b"".join(key + digest for key, digest in self._seen.items())

    @classmethod
    def load(cls, raw: bytes) -> RecentIds:
        """What `dump` wrote."""
        size = _KEY_BYTES + _DIGEST_BYTES
        rows = (raw[place : place + size] for place in range(0, len(raw), size))
        return cls(OrderedDict((row[:_KEY_BYTES], row[_KEY_BYTES:]) for row in rows))


@dataclass(slots=True)
class DeviceState:
    """All that is remembered about one device."""

    newest_ms: int = -1
    """The newest time that the device has sent; `now` on the events clock."""
    recent: dict[Kind, RecentIds] = field(default_factory=dict)
    windows: dict[str, Any] = field(default_factory=dict)
    """Agent's name to whatever that agent keeps between readings."""
    alerts: dict[str, AlertState] = field(default_factory=dict)
    unsaved: int = 0
    """Readings that moved it since its last snapshot."""

    def alerting(self) -> bool:
        """Whether any alert about the device is on."""
        return any(alert.published is not None for alert in self.alerts.values())


class DeviceTable:
    """The devices that are remembered, at most DEVICE_LIMIT of them."""

    def __init__(self, limit: int = DEVICE_LIMIT) -> None:
        self._limit = limit
        self._devices: OrderedDict[Identity, DeviceState] = OrderedDict()
        self.evicted: deque[Identity] = deque(maxlen=limit)
        """Who made room; the owner empties it. Bounded, since an owner that keeps nothing never asks."""

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

    def items(self) -> Iterable[tuple[Identity, DeviceState]]:
        """Every device that is remembered, those longest silent first."""
        return self._devices.items()

    def states(self) -> Iterable[DeviceState]:
        """Every state that is remembered."""
        return self._devices.values()

    def known(self, identity: Identity) -> DeviceState | None:
        """The state of a device that is remembered; looking does not make it newer."""
        return self._devices.get(identity)

    def put(self, identity: Identity, state: DeviceState) -> None:
        """Remembers a device again, as the newest, also where there is no room: it was let in once."""
        self._devices[identity] = state
        self._devices.move_to_end(identity)

    def _make_room(self) -> None:
        for _ in range(min(EVICTION_REACH, len(self._devices))):
            identity, state = next(iter(self._devices.items()))
            if not state.alerting():
                del self._devices[identity]
                self.evicted.append(identity)
                return
            self._devices.move_to_end(identity)
        raise InputRefused(Reason.TOO_MANY_DEVICES)
