"""Devices that count: every reading bears a rising number, and is a pure function of seed, device and number.

They publish at QoS 1, know what the broker has acknowledged, send copies and out of order on purpose, and can
hold each reading until its result is seen. What becomes of it all is a `Ledger`'s affair.
"""

from __future__ import annotations

import hashlib
import heapq
import json
import math
import random
from collections import deque
from collections.abc import Callable, Collection, Iterator
from typing import Any, NamedTuple

from nodes.events import KINDS, Kind
from simulators.client import Sessions
from simulators.ledger import REJECTED, Ledger
from simulators.loglines import lines
from simulators.play import TOPIC
from simulators.wording import abbreviated, mistyped

START_MS = 1_767_225_600_000
"""Time of every stream's first reading, 2026-01-01; made up, as the gateway reads time from the events."""
STEP_MS = 1_000
"""Between two readings of a stream, on its own clock."""
EPISODE = 600
"""Readings from one illness or fault of a stream to the next, so that alerts come and go."""
UNANSWERED_LIMIT = 20_000
"""Readings without an answer at which the devices wait: below what the brokers here are told to queue."""
RESEND_SECONDS = 15.0
"""A device that holds its readings sends one again that has had no answer for so long, once a later reading
of the same device has one, or nothing at all has been answered for so long. So a copy means that something
was forgotten, and a backlog is not made longer."""
LATE_BY = 40
"""A copy or a late reading goes out after at most so many others."""

_MIX: tuple[Kind, ...] = ("vitals", "vitals", "vitals", "sensor", "sensor", "sensor", "note", "log", "log")
"""Kinds of the streams, in turn."""
_COMPLAINTS = (
    "chest pain radiating to the left arm",
    "severe shortness of breath since an hour",
    "wound check, dressing dry",
    "sore throat and cough",
    "dizziness on standing, black stool",
    "fever and chills, drowsy",
    "twisted ankle, swelling",
    "headache since the morning",
    "no new complaints",
)


class Counted(NamedTuple):
    """One message to send."""

    name: str
    """What the ledger knows it by."""
    kind: str
    """The kind of input, or REJECTED for one that is bad on purpose."""
    device: str
    topic: str
    payload: bytes


def reading(seed: int, site: str, device: str, kind: Kind, number: int) -> Counted:
    """The *number*th reading of a stream: the same arguments, the same bytes."""
    rng = random.Random(f"{seed}/{device}/{kind}/{number}")
    name = f"{device}-{kind}-{number}"
    content = {"vitals": _vitals, "sensor": _sensor, "note": _note, "log": _log}[kind](rng, number)
    payload = {"id": name, "time": START_MS + number * STEP_MS, **content}
    topic = TOPIC.format(site=site, device=device, kind=kind)
    return Counted(name, kind, device, topic, json.dumps(payload, separators=(",", ":")).encode())


def bad_input(seed: int, site: str, device: str, kind: str, number: int) -> Counted:
    """A message on a *kind*'s topic that is to be rejected, another one for each *number*."""
    rng = random.Random(f"{seed}/{device}/bad/{number}")
    mark = f"{device}-bad-{number}"
    payload = rng.choice(
        (
            f'{{"id": "{mark}", "values": {{"a": 1'.encode(),
            b'{"id": "\xff' + mark.encode() + b'"}',
            json.dumps(
                {"id": {"not": mark}, "text": "x", "line": "x", "values": {"a": 1}, "hr": 70}
            ).encode(),
            b'{"id": "' + mark.encode() + b'", "x": ' + b"[" * 5_000,
        )
    )
    topic = TOPIC.format(site=site, device=device, kind=kind)
    return Counted(hashlib.sha256(payload).hexdigest(), REJECTED, device, topic, payload)


class Streams:
    """All readings of *devices* devices of *site*, one stream each, all of *kinds*, in turn, without end."""

    def __init__(self, seed: int, site: str, devices: int, kinds: Collection[Kind] = KINDS) -> None:
        self._seed = seed
        self._site = site
        mix = [kind for kind in _MIX if kind in kinds]
        self._streams = [(f"device-{each:03d}", mix[each % len(mix)]) for each in range(devices)]

    def __iter__(self) -> Iterator[Counted]:
        rng = random.Random(self._seed)
        number = 0
        while True:
            for device, kind in rng.sample(self._streams, len(self._streams)):
                yield reading(self._seed, self._site, device, kind, number)
            number += 1


class Devices:
    """The fleet over *sessions*: sends at *rate* readings a second, in all, and tells the *ledger*.

    *duplicates*, *disorder* and *bad* are shares of the readings: sent twice, sent late, and followed by a
    bad input. With *hold* a device sends a reading again until it sees its result. *on_first* gets every
    message as it goes out for the first time. All calls belong to the sessions' thread.
    """

    def __init__(
        self,
        sessions: Sessions,
        ledger: Ledger,
        *,
        seed: int,
        site: str,
        devices: int,
        rate: float,
        kinds: Collection[Kind] = KINDS,
        duplicates: float = 0.0,
        disorder: float = 0.0,
        bad: float = 0.0,
        hold: bool = False,
        on_first: Callable[[Counted], None] = lambda _message: None,
    ) -> None:
        self._sessions = sessions
        self._ledger = ledger
        self._seed = seed
        self._site = site
        self._rate = rate
        self._shares = (duplicates, disorder, bad)
        self.hold = hold
        """Whether a reading without a result is sent again."""
        self._on_first = on_first
        self._readings = iter(Streams(seed, site, devices, kinds))
        self._rng = random.Random(f"{seed}/faults")
        self._taken = self._due = 0
        self._bad = 0
        self._sent = 0
        self._ready: deque[tuple[Counted, bool]] = deque()  # with whether it is a copy
        self._later: list[tuple[int, int, Counted, bool]] = []  # heap: after so many readings, tie, what
        self._ties = 0
        self._held: dict[str, tuple[int, Counted]] = {}  # without a result yet, by number of sending
        self._newest_answered: dict[str, int] = {}  # device -> number of sending
        self._answered_s = 0.0
        self._again: deque[tuple[float, str]] = deque()  # when to look at a held one, oldest first
        self._started_s: float | None = None

    @property
    def left(self) -> int:
        """What is due or kept back and not sent, and inputs sent and not answered in full."""
        return self._due - self._taken + len(self._ready) + len(self._later) + len(self._held)

    @property
    def unanswered(self) -> int:
        """Inputs sent and not answered in full."""
        return len(self._held)

    def answered(self, name: str, now_s: float) -> None:
        """An input has all its answers, at monotonic time *now_s*."""
        held = self._held.pop(name, None)
        if held is not None:
            number, message = held
            self._newest_answered[message.device] = max(number, self._newest_answered.get(message.device, 0))
            self._answered_s = now_s

    def turn(self, now_s: float, *, sending: bool) -> None:
        """Sends what is due by *now_s* (monotonic) and was kept back; more falls due only while *sending*."""
        if self._started_s is None:
            self._started_s = now_s
        if sending:
            self._due = int((now_s - self._started_s) * self._rate)
        while True:
            while not self._ready and self._draw(sending=sending):
                pass
            if not self._ready or not self._send(*self._ready[0], now_s):
                break
            self._ready.popleft()
        if self.hold:
            self._send_unanswered_again(now_s)

    def _draw(self, *, sending: bool) -> bool:
        """Makes the next reading ready, or keeps it back, or takes one that was; False when none is due."""
        last = not sending and self._taken == self._due
        if self._later and (self._later[0][0] <= self._taken or last):
            _, _, message, copy = heapq.heappop(self._later)
            self._ready.append((message, copy))
            return True
        if self._taken < self._due and len(self._held) < UNANSWERED_LIMIT:
            message = next(self._readings)
            self._taken += 1
            duplicates, disorder, bad = self._shares
            if self._rng.random() < disorder:
                self._keep_back(message, copy=False)
                return True
            self._ready.append((message, False))
            if self._rng.random() < duplicates:
                self._keep_back(message, copy=True)
            if self._rng.random() < bad:
                self._bad += 1
                spoilt = bad_input(self._seed, self._site, message.device, message.kind, self._bad)
                self._ready.append((spoilt, False))
            return True
        return False

    def _keep_back(self, message: Counted, *, copy: bool) -> None:
        self._ties += 1
        after = self._taken + self._rng.randint(0, LATE_BY)
        heapq.heappush(self._later, (after, self._ties, message, copy))

    def _send(self, message: Counted, copy: bool, now_s: float) -> bool:
        taken = self._sessions.publish(message.device, message.topic, message.payload, token=message.name)
        if taken and copy:
            self._ledger.sent_again(message.name, unanswered=False)
        elif taken:
            self._ledger.sent(message.name, message.kind)
            self._sent += 1
            self._held[message.name] = (self._sent, message)
            self._again.append((now_s + RESEND_SECONDS, message.name))
            self._on_first(message)
        return taken

    def _send_unanswered_again(self, now_s: float) -> None:
        """What was acknowledged and not answered; what was not acknowledged the session sends by itself."""
        while self._again and self._again[0][0] <= now_s:
            name = self._again[0][1]
            if name in self._held:
                number, message = self._held[name]
                overtaken = self._newest_answered.get(message.device, 0) > number
                silent = now_s - self._answered_s > RESEND_SECONDS
                if self._ledger.is_acknowledged(name) and (overtaken or silent):
                    if not self._sessions.publish(message.device, message.topic, message.payload, token=name):
                        return
                    self._ledger.sent_again(name, unanswered=True)
                self._again.append((now_s + RESEND_SECONDS, name))
            self._again.popleft()


def _vitals(rng: random.Random, number: int) -> dict[str, Any]:
    ill = max(0.0, math.sin(2 * math.pi * number / EPISODE))
    return {
        "hr": round(75 + 60 * ill + rng.gauss(0, 3)),
        "rr": round(15 + 14 * ill + rng.gauss(0, 1)),
        "spo2": min(100, round(98 - 9 * ill + rng.gauss(0, 0.7))),
        "sbp": round(125 - 35 * ill + rng.gauss(0, 5)),
        "dbp": round(75 - 15 * ill + rng.gauss(0, 4)),
        "temp": round(36.8 + 2.2 * ill + rng.gauss(0, 0.1), 1),
        "acvpu": "V" if ill > 0.9 else "A",
        "on_oxygen": ill > 0.5,
    }


def _sensor(rng: random.Random, number: int) -> dict[str, Any]:
    load = math.sin(2 * math.pi * number / 50)
    worn = 4.0 if number % EPISODE > EPISODE - 30 else 0.0
    values = {
        "temperature": 60 + 5 * load + rng.gauss(0, 0.5) + 3 * worn,
        "vibration": 2 + 0.3 * load + rng.gauss(0, 0.1) + worn,
        "current": 11 + 2 * load + rng.gauss(0, 0.2),
        "pressure": 4 + rng.gauss(0, 0.05),
    }
    return {"values": {name: round(value, 4) for name, value in values.items()}}


def _note(rng: random.Random, number: int) -> dict[str, Any]:  # noqa: ARG001  one shape for all kinds
    text = rng.choice(_COMPLAINTS) + rng.choice(
        ("", ", denies fever", ", since yesterday", ", first episode")
    )
    text = abbreviated(text) if rng.random() < 0.3 else text
    text = mistyped(text, rng) if rng.random() < 0.2 else text
    return {"text": text, "age": rng.randint(18, 95), "sex": rng.choice("FM"), "pain": rng.randint(0, 10)}


def _log(rng: random.Random, number: int) -> dict[str, Any]:  # noqa: ARG001  one shape for all kinds
    ((line, _, _),) = lines(rng, 1)
    return {"line": line}
