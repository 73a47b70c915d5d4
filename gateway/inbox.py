"""Deliveries that arrived and were not taken yet, bounded."""

from __future__ import annotations

from collections import deque

from gateway.link import Delivery

INBOX_LIMIT = 65_535
"""As many as QoS 1 has packet ids, so that no QoS 1 message is ever dropped at the door."""
INBOX_BYTES_LIMIT = 64 * 1024 * 1024
"""Bytes of payloads beyond which QoS 0 is shed too. QoS 1 is bounded by the Receive Maximum: 1,000 payloads
of the contract's 256 KiB are four times this."""


class Inbox:
    """First in, first out."""

    def __init__(self) -> None:
        self._waiting: deque[Delivery] = deque()
        self._bytes = 0
        self.shed = 0
        """QoS 0 deliveries that found it full."""

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, delivery: Delivery) -> bool:
        """Adds a delivery, or sheds it at QoS 0; False for one at QoS 1 beyond what MQTT allows."""
        full = len(self._waiting) >= INBOX_LIMIT
        if delivery.handle is None and (full or self._bytes >= INBOX_BYTES_LIMIT):
            self.shed += 1
            return True
        if full:
            return False
        self._waiting.append(delivery)
        self._bytes += len(delivery.payload)
        return True

    def take(self, limit: int) -> list[Delivery]:
        """The oldest deliveries, at most *limit*."""
        taken = [self._waiting.popleft() for _ in range(min(limit, len(self._waiting)))]
        self._bytes -= sum(len(delivery.payload) for delivery in taken)
        return taken

    def forget_unacknowledged(self) -> None:
        """Leaves out what a kept session brings again; held twice, it would outgrow the inbox."""
        self._waiting = deque(delivery for delivery in self._waiting if delivery.handle is None)
        self._bytes = sum(len(delivery.payload) for delivery in self._waiting)
