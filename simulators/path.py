"""Faults between devices and broker: what they do to a stream of messages. Pure and seeded.

In the order in which a message meets them: the device restarts, its clock is off, it uses another's name, its
bytes are damaged; then the way loses the message, holds it back, lets it be overtaken, or delivers it twice.
Each fault draws for each device from a generator of its own, so nothing depends on speed or on other devices.
"""

from __future__ import annotations

import heapq
import random
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from simulators.messages import Cut, Message, Numbered, Sent, encoded
from simulators.scenario_parts import MOMENTS, MS_PER_HOUR, PathFault, PathFaultName

COUNTS = (
    "made",
    "sent",
    "dropped",
    "duplicated",
    "delayed",
    "reordered",
    "corrupted",
    "skewed",
    "impersonated",
    "restarts",
    "lost_in_restart",
    "reconnects",
)
"""What is counted: messages that the devices made and that were sent (sent = made + duplicated - dropped -
lost_in_restart), and what was done to them. `reordered` are those that a later one really overtook."""


@dataclass(slots=True)
class _AtDevice:
    """One fault as one device meets it."""

    fault: PathFault
    rng: random.Random
    from_ms: int
    to_ms: int
    moment_ms: int | None = None
    """When a fault that happens once does happen; None when it spares this device."""
    victim: str | None = None
    numbers: Numbered | None = None
    """The ids after a restart."""
    ready_ms: int = 0
    """When the last delayed message came through: none overtakes it."""

    def strikes(self, time_ms: int) -> bool:
        """Whether it concerns a message of *time_ms*."""
        share = self.fault.share
        return self.from_ms <= time_ms < self.to_ms and (share >= 1 or self.rng.random() < share)

    def late_ms(self) -> int:
        """How late a message comes, at most the fault's seconds."""
        return round(self.rng.uniform(0, (self.fault.seconds or 0.0) * 1000))


class _Due(NamedTuple):
    """Something on its way; *order* keeps those of one instant in the order in which they were sent."""

    time_ms: int
    order: int
    item: Sent | Cut
    made: int
    """Which of the sender's messages it is, from 1; 0 for a copy."""


class FaultyPath:
    """The way of all messages of one run, with *faults*; *devices* are name and kind of the lasting ones.

    `counts` says what was done so far. For one run only.
    """

    def __init__(
        self,
        faults: Sequence[PathFault],
        *,
        seed: int,
        start_ms: int,
        end_ms: int,
        devices: Sequence[tuple[str, str]],
    ) -> None:
        self._faults = tuple(faults)
        self._seed = seed
        self._start_ms = start_ms
        self._end_ms = end_ms
        self._kinds = dict(devices)
        self._peers: dict[str, list[str]] = {}
        for name, kind in devices:
            self._peers.setdefault(kind, []).append(name)
        self._at: dict[str, dict[PathFaultName, list[_AtDevice]]] = {}
        self._on_the_way: list[_Due] = []
        self._order = 0
        self._made: Counter[str] = Counter()
        self._newest: dict[str, int] = {}
        self.counts: Counter[str] = Counter()

    def summary(self) -> Mapping[str, int]:
        """All counts by name, those that stayed 0 as well."""
        return {name: self.counts[name] for name in COUNTS}

    def through(self, messages: Iterable[Message]) -> Iterator[Sent | Cut]:
        """What comes out at the other end, by time. *messages* come by time."""
        if any(fault.what in MOMENTS for fault in self._faults):
            for device in self._kinds:
                self._break_connections(device)
        for message in messages:
            self.counts["made"] += 1
            if self._on_the_way:
                yield from self._due_by(message.time_ms)
            self._send(message)
        yield from self._due_by(None)

    def _due_by(self, time_ms: int | None) -> Iterator[Sent | Cut]:
        """What is due before *time_ms*; everything for None."""
        while self._on_the_way and (time_ms is None or self._on_the_way[0].time_ms < time_ms):
            due = heapq.heappop(self._on_the_way)
            if isinstance(due.item, Cut):
                self.counts["restarts" if due.item.is_restart else "reconnects"] += 1
            else:
                self.counts["sent"] += 1
                newest = self._newest.get(due.item.sender, 0)
                self.counts["reordered"] += 0 < due.made < newest
                self._newest[due.item.sender] = max(newest, due.made)
            yield due.item

    def _push(self, time_ms: int, item: Sent | Cut, made: int = 0) -> None:
        self._order += 1
        heapq.heappush(self._on_the_way, _Due(time_ms, self._order, item, made))

    def _send(self, message: Message) -> None:
        sender = message.device
        met = self._met_by(sender)
        self._made[sender] += 1
        payload = self._own_faults(met, message)
        if payload is None:
            self.counts["lost_in_restart"] += 1
            return
        body = encoded(payload)
        is_whole = True
        name = sender
        for each in met.get("impersonate", ()):
            if each.victim is not None and each.strikes(message.time_ms):
                name = each.victim
                self.counts["impersonated"] += 1
        for each in met.get("corrupt", ()):
            if each.strikes(message.time_ms):
                body, is_whole = damaged(body, each.rng), False
                self.counts["corrupted"] += 1
        if any(each.strikes(message.time_ms) for each in met.get("drop", [])):
            self.counts["dropped"] += 1
            return
        time_ms = self._held_back(met, message.time_ms)
        acuity = message.acuity if is_whole else None
        sent = Sent(time_ms, name, message.kind, body, payload["id"], sender, acuity)
        self._push(time_ms, sent, self._made[sender])
        for each in met.get("duplicate", ()):
            if each.strikes(message.time_ms):
                again_ms = time_ms + each.late_ms()
                self._push(again_ms, sent._replace(time_ms=again_ms))
                self.counts["duplicated"] += 1

    def _own_faults(
        self, met: Mapping[PathFaultName, Sequence[_AtDevice]], message: Message
    ) -> dict[str, Any] | None:
        """What the device itself says after restarts and with its clock; None while it is away."""
        payload = message.payload
        for each in met.get("restart", ()):
            if each.moment_ms is None or message.time_ms < each.moment_ms:
                continue
            if each.numbers is None:
                each.numbers = Numbered(message.device)
            if message.time_ms < each.moment_ms + round((each.fault.seconds or 0.0) * 1000):
                return None
            payload = {**payload, "id": each.numbers.next_id(message.kind)}
        for each in met.get("skew", ()):
            if each.strikes(message.time_ms):
                skew_ms = round((each.fault.seconds or 0.0) * 1000)
                payload = {**payload, "time": max(0, payload["time"] + skew_ms)}
                self.counts["skewed"] += 1
        return payload

    def _held_back(self, met: Mapping[PathFaultName, Sequence[_AtDevice]], time_ms: int) -> int:
        """When the message comes through: delays keep a device's order, reordering does not."""
        due_ms = time_ms
        for each in met.get("delay", ()):
            if each.strikes(time_ms):
                due_ms += each.late_ms()
                self.counts["delayed"] += 1
            due_ms = each.ready_ms = max(due_ms, each.ready_ms)
        for each in met.get("reorder", ()):
            if each.strikes(time_ms):
                due_ms += each.late_ms()
        return due_ms

    def _break_connections(self, device: str) -> None:
        met = self._met_by(device)
        for what in MOMENTS:
            for each in met.get(what, ()):
                if each.moment_ms is not None:
                    self._push(each.moment_ms, Cut(each.moment_ms, device, what == "restart"))

    def _met_by(self, device: str) -> Mapping[PathFaultName, Sequence[_AtDevice]]:
        """The faults that *device* meets."""
        if (met := self._at.get(device)) is None:
            met = self._at[device] = {}
            for number, fault in enumerate(self._faults):
                if fault.concerns(device):
                    rng = random.Random(f"{self._seed}/{device}/path/{number}")
                    met.setdefault(fault.what, []).append(self._at_device(device, fault, rng))
        return met

    def _at_device(self, device: str, fault: PathFault, rng: random.Random) -> _AtDevice:
        from_ms = self._start_ms + round(fault.from_hours * MS_PER_HOUR)
        to_ms = self._end_ms
        if fault.to_hours is not None:
            to_ms = self._start_ms + round(fault.to_hours * MS_PER_HOUR)
        met = _AtDevice(fault, rng, from_ms, to_ms)
        if fault.what in MOMENTS and rng.random() < fault.share:
            last_ms = from_ms if fault.to_hours is None else to_ms
            if fault.what == "reconnect-storm":
                last_ms += round((fault.seconds or 0.0) * 1000)
            met.moment_ms = rng.randint(from_ms, last_ms)
        if fault.what == "impersonate":
            peers = self._peers.get(self._kinds.get(device, "bed"), [])
            met.victim = _other(peers, device, rng)
        return met


def damaged(body: bytes, rng: random.Random) -> bytes:
    """*body* as a bad line delivers it: cut short, with a byte that is no UTF-8, or a bit turned over."""
    if not body:  # cut short to nothing by another fault
        return b"\xff"
    if not body:  # cut short to nothing by another fault
        return b"\xff"
    at = rng.randrange(len(body))
    sort = rng.randrange(3)
    if sort == 0:
        return body[:at]
    if sort == 1:
        return body[:at] + b"\xff" + body[at + 1 :]
    return body[:at] + bytes([body[at] ^ (1 << rng.randrange(8))]) + body[at + 1 :]


def _other(peers: Sequence[str], device: str, rng: random.Random) -> str | None:
    """One of *peers* that is not *device*; None where there is no other."""
    if not peers or (len(peers) == 1 and peers[0] == device):
        return None
    while (name := rng.choice(peers)) == device:
        pass
    return name


def without_cuts(items: Iterable[Sent | Cut]) -> Iterator[Sent]:
    """The messages alone."""
    return (item for item in items if isinstance(item, Sent))
