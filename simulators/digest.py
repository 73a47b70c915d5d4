"""A fingerprint of what every device sent, in its order: the same for one world at any speed and site."""

from __future__ import annotations

import hashlib


class Digest:
    """Collects payloads by device; devices may interleave in any way. Holds one hash state a device."""

    def __init__(self) -> None:
        self._devices: dict[str, hashlib._Hash] = {}

    def add(self, device: str, kind: str, body: bytes) -> None:
        """The next payload under *device*'s name."""
        if (device_hash := self._devices.get(device)) is None:
            device_hash = self._devices[device] = hashlib.sha256()
        # The length keeps two messages apart from one that holds both.
        device_hash.update(b"%s %d\n" % (kind.encode(), len(body)) + body)

    def hexdigest(self) -> str:
        """Sha256 over the devices by name, each with its name and the sha256 of its payloads."""
        whole = hashlib.sha256()
        for device in sorted(self._devices):
            whole.update(device.encode() + b"\n" + self._devices[device].digest())
        return whole.hexdigest()
