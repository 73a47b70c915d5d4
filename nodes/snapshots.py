"""A device's whole state as bytes and back, to the last bit: recent ids, newest time, windows and alerts.

A snapshot is `EWD1`, a digest of what follows (damage is recognised, never read), and a compressed frame.
Each agent's window in it is in the agent's own form, so that one that changed costs its own window alone.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterable, Sequence
from typing import Any

from models.errors import SnapshotRefused
from models.frames import Arrays, as_array, pack, unpack
from nodes.agents.base import Agent
from nodes.events import KINDS
from nodes.outputs import Publication, alert_topic
from nodes.policy import AlertState
from nodes.state import DeviceState, RecentIds
from nodes.topics import Identity

_MAGIC = b"EWD1"
_DIGEST_BYTES = 16
_COMPRESSION = 6
"""Of zlib's nine; more costs much time and saves little."""
LOADED_LIMIT = 16 * 1024 * 1024
"""Bytes that a snapshot may unpack to: thirty times the largest that the shipped agents can make."""


def dump_device(device: DeviceState, agents: Iterable[Agent[Any, Any]]) -> bytes:
    """The state of one device, as *agents* keep it."""
    arrays: Arrays = {
        f"recent {kind}": as_array(device.recent[kind].dump()) for kind in KINDS if kind in device.recent
    }
    for agent in agents:
        if agent.name in device.windows:
            arrays[f"window {agent.name}"] = as_array(agent.dump(device.windows[agent.name]))
    alerts = {
        name: {
            "newest_ms": alert.newest_ms,
            "since_ms": alert.since_ms,
            "severity": alert.severity,
            "due_ms": alert.due_ms,
            "published": None if alert.published is None else alert.published.payload.decode(),
        }
        for name, alert in device.alerts.items()
    }
    body = zlib.compress(
        pack("device", 1, {"newest_ms": device.newest_ms, "alerts": alerts}, arrays), _COMPRESSION
    )
    return _MAGIC + _digest(body) + body


def load_device(
    raw: bytes, identity: Identity, agents: Sequence[Agent[Any, Any]]
) -> tuple[DeviceState, tuple[str, ...]]:
    """What `dump_device` wrote, and the names of those *agents* whose windows can't be read and start anew.

    What belongs to agents that are no longer there is left out, their alerts too. Raises SnapshotRefused.
    """
    body = raw[len(_MAGIC) + _DIGEST_BYTES :]
    if raw[: len(_MAGIC)] != _MAGIC or raw[len(_MAGIC) : len(_MAGIC) + _DIGEST_BYTES] != _digest(body):
        raise SnapshotRefused("A device's snapshot is damaged, or from another version.")
    unpacking = zlib.decompressobj()
    frame = unpacking.decompress(body, LOADED_LIMIT)
    if not unpacking.eof:
        raise SnapshotRefused(f"A device's snapshot is larger than {LOADED_LIMIT} bytes.")
    facts, arrays = unpack(frame, "device", 1)
    device = DeviceState(newest_ms=facts["newest_ms"])
    for kind in KINDS:
        if (recent := arrays.get(f"recent {kind}")) is not None:
            device.recent[kind] = RecentIds.load(recent.tobytes())
    anew = []
    for agent in agents:
        if (window := arrays.get(f"window {agent.name}")) is not None:
            try:
                device.windows[agent.name] = agent.load(window.tobytes())
            except SnapshotRefused:
                anew.append(agent.name)
    names = {agent.name for agent in agents}
    for name, alert in facts["alerts"].items():  # in their order: alerts that end together end in it
        if name in names:
            device.alerts[name] = _alert(alert, alert_topic(identity, name))
    return device, tuple(anew)


def _alert(kept: dict[str, Any], topic: str) -> AlertState:
    published = kept["published"]
    return AlertState(
        newest_ms=kept["newest_ms"],
        since_ms=kept["since_ms"],
        severity=kept["severity"],
        due_ms=kept["due_ms"],
        published=None if published is None else Publication(topic, published.encode(), "alert", retain=True),
    )


def _digest(body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=_DIGEST_BYTES).digest()
