"""What the gateway owes: publications in order, and the deliveries that wait for them.

A delivery is acknowledged once the broker has taken all that it led to and all that was owed before it. So
acknowledgements keep the order of arrival, and a repeat, which leads to nothing, waits for what its first
copy led to. In memory only: after a crash the broker brings the unacknowledged deliveries again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from gateway.link import Delivery, Link
from nodes.outputs import Publication

OWED_LIMIT = 10_000
"""Publications owed at which the daemon takes no more; the broker holds the rest."""


@dataclass(slots=True)
class _Entry:
    """What was owed together, and for which delivery (None for what no delivery asked for)."""

    delivery: Delivery | None
    unsettled: int


class Outbox:
    """Rows on their way out over one link, at most the link's window of them in flight."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._entries: deque[_Entry] = deque()
        self._waiting: deque[tuple[Publication, _Entry]] = deque()
        self._in_flight: dict[int, _Entry] = {}  # ticket -> entry

    @property
    def owed(self) -> int:
        """Publications that the broker has not taken yet, bounded by OWED_LIMIT and what one turn adds."""
        return len(self._waiting) + len(self._in_flight)

    @property
    def empty(self) -> bool:
        """Whether nothing is owed and every delivery was settled."""
        return not self._entries

    def owe(self, publications: Iterable[Publication], delivery: Delivery | None = None) -> None:
        """Adds publications, and the delivery that is settled with them."""
        entry = _Entry(delivery, 0)
        for publication in publications:
            entry.unsettled += 1
            self._waiting.append((publication, entry))
        if delivery is not None or entry.unsettled:
            self._entries.append(entry)

    def turn(self) -> None:
        """Notes what the broker has taken, acknowledges what that settles, and sends on."""
        for ticket in self._link.settled():
            entry = self._in_flight.pop(ticket, None)
            if entry is not None:
                entry.unsettled -= 1
        while self._entries and not self._entries[0].unsettled:
            delivery = self._entries.popleft().delivery
            if delivery is not None:
                self._link.ack(delivery)
        while self._waiting and self._link.up and len(self._in_flight) < self._link.window:
            publication, entry = self._waiting.popleft()
            ticket = self._link.publish(publication.topic, publication.payload, retain=publication.retain)
            self._in_flight[ticket] = entry
