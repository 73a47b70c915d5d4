"""What the gateway owes: publications by priority, and the deliveries that wait for them.

A publication that the store keeps makes no delivery wait; of any other, a delivery is acknowledged once the
broker has taken all that it led to. Either way in order of arrival, and a repeat, which leads to nothing,
waits for what its first copy waits for.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from gateway.link import Delivery, Link
from nodes.outputs import Publication

OWED_LIMIT = 10_000
"""Publications owed, about 20 MB of memory."""
ALARM_RESERVE = 1_000
"""Of these, how many only alarms (and what else no taken input asks for) may use: beyond the rest the daemon
takes no more input, and the broker holds it."""
SUSPECT_AFTER = 2
"""Consecutive disconnects with a row in flight after which it goes alone; and alone, after which it is set
aside: a connection may be cut at any time, but hardly twice while one row alone is on its way."""

ALERT, GATEWAY, LIVE, LATE = range(4)
"""Priorities, the most urgent first. Late is what a reconnect or a restart found waiting, and what answers
inputs that were old when they came."""

LIFETIME_SECONDS: Mapping[str, int] = {"classification": 86_400, "rejected": 86_400, "counters": 60}
"""By kind, how long a publication is worth sending (a day, as the broker keeps our session); then it is
dropped here, or by the broker (MQTT 5). Alerts and statuses are states and never expire."""


@dataclass(eq=False, slots=True)
class _Entry:
    """A delivery, and how many publications it waits for."""

    delivery: Delivery | None
    unsettled: int = 0


@dataclass(eq=False, slots=True)
class _Row:
    """One publication on its way out."""

    publication: Publication
    id: int | None
    """Its row in the store; None for what memory alone keeps."""
    entry: _Entry | None
    due_ms: int | None
    """When it expires, epoch milliseconds."""
    late: bool
    disconnects: int = 0
    replaced: bool = False


class Outbox:
    """Rows on their way out over one link, at most the link's window of them in flight.

    *now_ms* is the wall clock; *lifetime_seconds* says for each kind how long it is worth sending.
    """

    def __init__(
        self,
        link: Link,
        *,
        now_ms: Callable[[], int],
        lifetime_seconds: Mapping[str, int] = LIFETIME_SECONDS,
    ) -> None:
        self._link = link
        self._now_ms = now_ms
        self._lifetime = lifetime_seconds
        self._entries: deque[_Entry] = deque()
        self._waiting: tuple[deque[_Row], ...] = tuple(deque() for _ in range(4))
        self._states: dict[str, _Row] = {}  # topic of a retained message -> the row that waits
        self._suspects: deque[_Row] = deque()
        self._in_flight: dict[int, _Row] = {}  # ticket -> row
        self._refused: dict[int, str] = {}
        self._settled: list[int] = []
        self._aside: dict[int, str] = {}
        self.dropped: Counter[str] = Counter()
        """What was given up: `expired`, `refused` by the broker, `undeliverable`."""

    @property
    def owed(self) -> int:
        """Publications that the broker has not taken yet."""
        waiting = sum(map(len, self._waiting)) + len(self._suspects)
        return waiting + len(self._in_flight)

    @property
    def room(self) -> int:
        """How many more may be owed before the daemon has to stop taking."""
        return OWED_LIMIT - ALARM_RESERVE - self.owed

    @property
    def empty(self) -> bool:
        """Whether nothing is owed and every delivery was settled."""
        return not self._entries and not self.owed

    def owe(
        self,
        publications: Iterable[Publication],
        delivery: Delivery | None = None,
        *,
        ids: Sequence[int] | None = None,
        made_ms: int | None = None,
    ) -> None:
        """Adds publications, and the delivery that they came of; in order of arrival.

        *ids* are their rows, where the store keeps them. *made_ms*: they are late, owed since then.
        """
        entry = _Entry(delivery)
        for place, publication in enumerate(publications):
            topic, _, kind, retain, historical = publication
            lifetime = self._lifetime.get(kind)
            born_ms = self._now_ms() if made_ms is None else made_ms
            row = _Row(
                publication,
                None if ids is None else ids[place],
                entry if ids is None else None,
                None if lifetime is None else born_ms + lifetime * 1_000,
                late=made_ms is not None,
            )
            entry.unsettled += ids is None
            if retain:
                if (older := self._states.get(topic)) is not None:
                    older.replaced = True
                self._states[topic] = row
            if kind == "alert":
                priority = ALERT
            elif kind != "classification":
                priority = GATEWAY
            else:
                priority = LATE if historical or row.late else LIVE
            self._waiting[priority].append(row)
        if delivery is not None:
            self._entries.append(entry)

    def turn(self) -> None:
        """Notes what the broker has taken, acknowledges what that settles, and sends on."""
        for ticket in self._link.settled():
            row = self._in_flight.pop(ticket, None)
            if row is not None and (why := self._refused.pop(ticket, None)) is not None:
                self._set_aside(row, "refused", why)
            elif row is not None:
                self._settle(row)
        while self._entries and not self._entries[0].unsettled:
            delivery = self._entries.popleft().delivery
            if delivery is not None:
                self._link.ack(delivery)
        if self._link.up:
            self._send()

    def refused(self, ticket: int, why: str) -> None:
        """The broker took a publish with a refusal: its row is set aside once the ticket is settled."""
        self._refused[ticket] = why

    def disconnected(self) -> None:
        """The connection is gone: what waits is late from now on, and who was in flight twice is suspect."""
        for row in self._waiting[LIVE]:
            row.late = True
        self._waiting[LATE].extend(self._waiting[LIVE])
        self._waiting[LIVE].clear()
        alone = len(self._in_flight) == 1
        for ticket, row in list(self._in_flight.items()):
            row.disconnects += 1
            if row.disconnects < SUSPECT_AFTER:
                continue  # the link sends it again by itself
            self._link.withdraw(ticket)
            del self._in_flight[ticket]
            if alone and row.disconnects >= 2 * SUSPECT_AFTER:
                self._set_aside(row, "undeliverable", "in flight at every disconnect")
            else:
                self._suspects.append(row)

    def settled_rows(self) -> list[int]:
        """Rows of the store that are owed no longer, since the last call."""
        settled, self._settled = self._settled, []
        return settled

    def set_aside(self) -> dict[int, str]:
        """Rows of the store that were set aside, and why, since the last call."""
        aside, self._aside = self._aside, {}
        return aside

    def _send(self) -> None:
        now_ms = self._now_ms()
        while len(self._in_flight) < self._link.window:
            if self._suspects:
                # One at a time, with nothing beside it; alarms go before each.
                if self._in_flight and not self._waiting[ALERT]:
                    return
                queue = self._waiting[ALERT] or self._suspects
            else:
                queue = next((each for each in self._waiting if each), self._suspects)
            if not queue:
                return
            row = queue.popleft()
            if row.publication.retain and self._states.get(row.publication.topic) is row:
                del self._states[row.publication.topic]
            if row.replaced:
                self._settle(row)
            elif row.due_ms is not None and row.due_ms <= now_ms:
                self.dropped["expired"] += 1
                self._settle(row)
            else:
                self._publish(row, now_ms)
                if queue is self._suspects:
                    return

    def _publish(self, row: _Row, now_ms: int) -> None:
        expiry_s = None if row.due_ms is None else max(1, (row.due_ms - now_ms) // 1_000)
        topic, payload, _, retain, _ = row.publication
        ticket = self._link.publish(topic, payload, retain=retain, expiry_s=expiry_s, resent=row.late)
        self._in_flight[ticket] = row

    def _settle(self, row: _Row) -> None:
        if row.entry is not None:
            row.entry.unsettled -= 1
        if row.id is not None:
            self._settled.append(row.id)

    def _set_aside(self, row: _Row, what: str, why: str) -> None:
        self.dropped[what] += 1
        if row.entry is not None:
            row.entry.unsettled -= 1
        if row.id is not None:
            self._aside[row.id] = f"{what}: {why}"
