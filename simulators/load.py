"""`edgeward simulate --load`: an open loop that sends by the clock, whatever comes back, and measures.

Message number *i* is due at start + i / rate, and every latency counts from then: a message that went out
late, because broker, gateway or this very process stood still, is late by that much (no coordinated
omission). The messages are made before the clock starts, so that the loop has little to do but send and
listen.
"""

from __future__ import annotations

import random
import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import NamedTuple

from paho.mqtt.client import MQTTMessage

from models.errors import UsageError
from nodes.events import Kind
from simulators.access import BrokerAccess
from simulators.client import Sessions
from simulators.latency import Answers, Histogram
from simulators.load_report import LoadReport
from simulators.messages import Message, encoded
from simulators.play import POOL, TOPIC

PREPARED = 20_000
"""Messages of the scenario that are made beforehand and then sent over and over, with new ids and times."""
MOST_MESSAGES = 20_000_000
"""In one load: its intended times take 160 MB."""
WINDOW = 5_000
"""Unacknowledged messages a session: an open loop must not wait for them. A broker can allow fewer."""
LEAD_SECONDS = 0.2
"""From the end of the preparations to the first message."""
TAIL_SECONDS = 10.0
"""How long the last answers may take."""
STOPPED_TAIL_SECONDS = 1.0
"""The same once it was stopped, which must end within two seconds."""
SILENT_SECONDS = 3.0
"""How much of that is waited when no answer has come at all."""
STEP_SECONDS = 0.0002
"""How long it sleeps at once within the last millisecond before a message is due; select counts in ms."""
LONGEST_WAIT_SECONDS = 0.05
BEHIND = 16
"""Messages sent one after the other, when they are due already, before answers are looked at."""
LOOKED_AFTER_SECONDS = 0.1
"""How often the listening session's keep-alive is looked after."""


class _Prepared(NamedTuple):
    """A message without id and time."""

    device: str
    kind: Kind
    topic: str
    rest: bytes
    """The payload's JSON after the envelope, closing brace included."""


def load(
    messages: Iterable[Message],
    access: BrokerAccess,
    *,
    rate: float,
    seconds: float,
    site: str,
    keys: Sequence[str] | None = None,
    count: int = POOL,
    stop: Callable[[], bool],
    say: Callable[[str], None],
) -> LoadReport:
    """Sends *messages*, over and over with new ids and times, at *rate* a second for *seconds*.

    Their `time` is the wall clock's at the intended instant, so that a gateway on either clock takes them.
    Each id ends in a number that rises by one for each device and kind, and `seq` by one for each device.
    *keys* are devices with a session of their own; without them all share *count* sessions.
    Raises `UsageError`, `BrokerRefused`; a broker that is away is said and tried again.
    """
    total = checked_total(rate, seconds)
    answers, prepared = Answers(site), _prepare(messages, site)
    if not prepared and not stop():
        raise UsageError("The scenario has no messages to send.")
    client_id = f"edgeward-load-{secrets.token_hex(4)}"

    def heard(message: MQTTMessage) -> None:
        answers.came(message.topic, bytes(message.payload), time.monotonic())

    with (
        Sessions(
            access, keys=keys, count=count, window=WINDOW, client_id=client_id, rng=random.Random(), say=say
        ) as publisher,
        Sessions(
            access,
            client_id=f"{client_id}-out",
            rng=random.Random(),
            say=say,
            filters=answers.filters,
            on_message=heard,
            beside=publisher,
        ) as subscriber,
    ):
        run = _Run(prepared, answers, publisher, subscriber, stop, rate=rate, total=total)
        if publisher.connect(stop) and subscriber.connect(stop):
            run.send()
            run.hear_the_last()
        return run.report(site)


def checked_total(rate: float, seconds: float) -> int:
    """How many messages that is. Raises `UsageError` for none and for too many."""
    if not 0 < rate < float("inf") or not 0 < seconds < float("inf"):
        raise UsageError("A load has a rate (messages a second) and a duration above 0.")
    if not 1 <= rate * seconds <= MOST_MESSAGES:
        raise UsageError(f"A load is 1 to {MOST_MESSAGES} messages; {rate:g}/s for {seconds:g} s is not.")
    return round(rate * seconds)


def _prepare(messages: Iterable[Message], site: str) -> list[_Prepared]:
    """The first messages, ready but for id and time."""
    found = []
    for message in islice(messages, PREPARED):
        content = {name: each for name, each in message.payload.items() if name not in _ENVELOPE}
        topic = TOPIC.format(site=site, device=message.device, kind=message.kind)
        found.append(_Prepared(message.device, message.kind, topic, encoded(content)[1:]))
    return found


_ENVELOPE = ("id", "time", "test")


class _Run:
    """The loop itself. For one use."""

    def __init__(
        self,
        prepared: Sequence[_Prepared],
        answers: Answers,
        publisher: Sessions,
        subscriber: Sessions,
        stop: Callable[[], bool],
        *,
        rate: float,
        total: int,
    ) -> None:
        self._prepared = prepared
        self._answers = answers
        self._publisher = publisher
        self._subscriber = subscriber
        self._stop = stop
        self._rate = rate
        self._total = total
        self._lag = Histogram()
        self._ids: Counter[tuple[str, str]] = Counter()
        self._sequence: Counter[str] = Counter()
        self._look_after_at = 0.0
        self._held_s = 0.0
        self._seconds = 0.0
        self._cpu_share = 0.0
        self._sent = 0

    def send(self) -> None:
        """Sends each message when it is due, until all are out or it is stopped."""
        cpu_s = time.process_time()
        start_s = time.monotonic() + LEAD_SECONDS
        start_ms = time.time_ns() // 1_000_000 + round(LEAD_SECONDS * 1000)
        while self._sent < self._total and not self._stop():
            due_s = start_s + self._sent / self._rate
            now_s = time.monotonic()
            if now_s < due_s:
                self._wait(due_s - now_s)
            elif not self._publish(due_s, start_ms + round((due_s - start_s) * 1000)):
                self._pump(LONGEST_WAIT_SECONDS)
                self._held_s += time.monotonic() - now_s
            elif self._sent % BEHIND == 0:
                self._pump(0.0)
        self._seconds = max(0.0, time.monotonic() - start_s)
        self._cpu_share = (time.process_time() - cpu_s) / max(LEAD_SECONDS, self._seconds + LEAD_SECONDS)

    def hear_the_last(self) -> None:
        """Waits for the answers still owed, a while; not so long once it is stopped."""
        began_s = time.monotonic()
        waited_s = 0.0
        while waited_s < (STOPPED_TAIL_SECONDS if self._stop() else TAIL_SECONDS):
            self._pump(LONGEST_WAIT_SECONDS)
            waited_s = time.monotonic() - began_s
            if self._answers.any_came:
                if not self._answers.owed:
                    break
            elif waited_s > SILENT_SECONDS:
                break

    def _publish(self, due_s: float, time_ms: int) -> bool:
        each = self._prepared[self._sent % len(self._prepared)]
        stream = (each.device, each.kind)
        number, sequence = self._ids[stream] + 1, self._sequence[each.device] + 1
        envelope = (
            f'{{"id":"{each.device}-{each.kind}-{number}","time":{time_ms},"test":true,"seq":{sequence},'
        )
        if not self._publisher.publish(each.device, each.topic, envelope.encode() + each.rest):
            return False
        self._lag.add(time.monotonic() - due_s)
        self._ids[stream], self._sequence[each.device] = number, sequence
        self._answers.sent(each.device, each.kind, due_s)
        self._sent += 1
        return True

    def _wait(self, seconds: float) -> None:
        """Listens for most of *seconds*, so that the end is met to a fraction of a millisecond."""
        if seconds > 0.002:
            self._pump(min(seconds - 0.001, LONGEST_WAIT_SECONDS))
        else:
            time.sleep(min(seconds, STEP_SECONDS))
            self._pump(0.0)

    def _pump(self, seconds: float) -> None:
        self._publisher.pump(seconds)
        if (now_s := time.monotonic()) >= self._look_after_at:
            self._look_after_at = now_s + LOOKED_AFTER_SECONDS
            self._subscriber.pump(0.0)

    def report(self, site: str) -> LoadReport:
        """What was found."""
        answers = self._answers
        lines = answers.lines()
        return LoadReport(
            site=site,
            rate=self._rate,
            achieved_rate=self._sent / (self._seconds + 1 / self._rate),
            seconds=self._seconds,
            sent=self._sent,
            acknowledged=self._publisher.acknowledged,
            lost=sum(line.lost for line in lines) + sum(answers.unanswered.values()),
            duplicates=sum(line.duplicates for line in lines),
            reordered=sum(line.reordered for line in lines),
            rejected=answers.rejected,
            unreadable=answers.unreadable,
            unanswered=answers.unanswered,
            agents=lines,
            classification=answers.overall("classification"),
            alert=answers.overall("alert"),
            send_lag=self._lag.quantiles,
            held_back_seconds=self._held_s,
            cpu_share=self._cpu_share,
            finished=self._sent == self._total,
        )
