"""The gateway's loop: take, process, keep, acknowledge, publish. Only the loop and what it says lives here.

One thread. What is computed is the pipeline's affair, what is kept the keeper's, what is sent and settled the
outbox's, the network the link's; time comes in through the two clocks that the daemon is given.
"""

from __future__ import annotations

import json
import re
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import structlog

from gateway.durability import everything, kept_topics
from gateway.keeper import Keeper, Taken
from gateway.link import Delivery, Down, Link, PublishRefused, Subscribed, Up
from gateway.log import pseudonym
from gateway.notify import Notifier
from gateway.outbox import LIFETIME_SECONDS, Outbox
from gateway.reload import Loaded
from gateway.technical import Code, Technical
from models.errors import BrokerRefused
from nodes.outputs import Publication, gateway_topic
from nodes.pipeline import Pipeline, Received

BATCH = 64
BATCH_LIMIT = 512
"""Deliveries taken together: twice as many as the last time, between these two. So batches grow under load,
and a slow disk, which is synced once for each, bounds how long the first waits and not how many come through;
the limit bounds memory, and is well below the Receive Maximum."""
LINGER_SECONDS = 0.001
SPARING_SECONDS = 0.25
"""How long a batch waits for more once its first delivery is here; and where commits are to be few."""
TURN_SECONDS = 0.1
"""How long one turn waits for anything to happen; the bound on noticing a signal or a timer."""
COUNTERS_SECONDS = 10.0
DRAIN_SECONDS = 5.0
"""How long a stopping gateway tries to settle what it owes; the rest stays in the store."""
FAREWELL_SECONDS = 1.0
"""How long it then tries to have `stopped` taken."""
SWEEP_SECONDS = 10.0
"""How long after a connection the gateway looks at retained alerts for those it no longer holds."""

ALERTS = "edgeward/v1/+/+/alert/+"
_OUTPUT = re.compile(r"edgeward/(gateway/|v1/[^/]*/[^/]*/(classification|alert)/)")


def wall_ms() -> int:
    """Now, in epoch milliseconds."""
    return time.time_ns() // 1_000_000


class Daemon:
    """One gateway over one link. *stopping* says when to end; *name* is the gateway's.

    *keeper* keeps what is taken and owed (without one it lives in memory, and the broker holds each input
    until it has the answer); *kept* is whether it does so for a topic. *notifier* hears how it goes; *reload*
    gives another configuration when there is one to go on with; *faults* says what else is wrong. *patient*
    waits for a broker that is away at the start; *sparing* makes fewer, larger commits.
    """

    def __init__(
        self,
        link: Link,
        pipeline: Pipeline,
        *,
        name: str,
        stopping: Callable[[], bool],
        keeper: Keeper | None = None,
        kept: Callable[[str], bool] = everything,
        lifetime_seconds: Mapping[str, int] = LIFETIME_SECONDS,
        patient: bool = True,
        sparing: bool = False,
        notifier: Notifier | None = None,
        reload: Callable[[], Loaded | None] = lambda: None,
        faults: Callable[[], Mapping[Code, str | None]] = dict,
        now_ms: Callable[[], int] = wall_ms,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._link = link
        self._pipeline = pipeline
        self._keeper = Keeper(None, pipeline) if keeper is None else keeper
        self._kept = kept
        self._outbox = Outbox(link, now_ms=now_ms, lifetime_seconds=lifetime_seconds)
        self._technical = Technical(name, now_ms)
        self._name = name
        self._stopping = stopping
        self._patient = patient
        self._linger = SPARING_SECONDS if sparing else LINGER_SECONDS
        self._floor = BATCH_LIMIT if sparing else BATCH
        self._notifier = Notifier({}) if notifier is None else notifier
        self._reload = reload
        self._faults = faults
        self._now_ms = now_ms
        self._monotonic = monotonic
        self._log: structlog.typing.FilteringBoundLogger = structlog.get_logger()
        self._counters_due = monotonic() + COUNTERS_SECONDS
        self._sweep_until: float | None = None
        self._down_since: float | None = None
        self._batch = self._floor
        self._shed = 0
        self._crowded = False

    def run(self) -> None:
        """Works until *stopping*, then settles what it can, says `stopped` and returns.

        Raises SessionTakenOver, BrokerRefused when the broker never let us in, BrokerAway when it was not
        there at the start and is not to be waited for, and what the keeper raises.
        """
        for row, publication, made_ms in self._keeper.restore(self._notifier.turned):
            self._outbox.owe([publication], ids=[row], made_ms=made_ms)
        while not self._stopping():
            self._notifier.turned()
            if (loaded := self._reload()) is not None:
                self._go_on_with(loaded)
            self._mind_the_link()
            deliveries = self._link.take(self._room(), self._linger, TURN_SECONDS)
            self._batch = max(self._floor, min(BATCH_LIMIT, 2 * len(deliveries)))
            self._work(deliveries)
            self._say_what_is_wrong()
            self._count_if_due()
            self._outbox.turn()
        self._stop()

    def _work(self, deliveries: Sequence[Delivery]) -> None:
        """One batch: processed, kept in one transaction, and owed."""
        now_ms = self._now_ms()
        inputs = [each for each in deliveries if not _OUTPUT.match(each.topic)]
        received = [Received(d.topic, d.payload, now_ms, secrets.token_hex(16), d.duplicate) for d in inputs]
        outcomes = self._pipeline.process(received)
        ended = self._pipeline.tick(now_ms)
        # An alert is kept whoever raised it: it must not go with the process.
        keeping = [
            self._kept(each.topic) or any(output.kind == "alert" for output in outcome.publications)
            for each, outcome in zip(received, outcomes, strict=True)
        ]
        taken: list[Taken] = []
        owed: list[Publication] = []
        for each, outcome, keep in zip(received, outcomes, keeping, strict=True):
            if keep:
                taken.append((each, outcome.identities))
                owed += outcome.publications
        rows = self._keeper.keep(
            taken,
            [*owed, *ended],
            now_ms=now_ms,
            settled=self._outbox.settled_rows(),
            aside=self._outbox.set_aside(),
        )
        ids = iter(rows or ())
        answers = zip(outcomes, keeping, strict=True)
        for delivery in deliveries:
            if _OUTPUT.match(delivery.topic):
                self._outbox.owe(self._stale(delivery), delivery)
                continue
            outcome, keep = next(answers)
            on_disk = keep and rows is not None
            mine = [next(ids) for _ in outcome.publications] if on_disk else None
            self._outbox.owe(outcome.publications, delivery, ids=mine)
        self._outbox.owe(ended, ids=None if rows is None else list(ids))

    def _go_on_with(self, loaded: Loaded) -> None:
        """Other agents and topics from here on; the connection and what is owed stay."""
        before = set(self._pipeline.filters)
        self._outbox.owe(
            self._pipeline.exchange(loaded.agents, historical_after_ms=loaded.historical_after_ms)
        )
        self._kept = kept_topics(loaded.config, loaded.agents)
        self._keeper.cover(now_ms=self._now_ms(), progress=self._notifier.turned)
        # The new ones first: where old and new overlap a message may come twice, but none is missed.
        self._link.subscribe(self._pipeline.filters)
        if gone := sorted(before - set(self._pipeline.filters)):
            self._link.unsubscribe(gone)

    def _room(self) -> int:
        """How many deliveries may be taken: none while too much is owed."""
        crowded = self._outbox.room <= 0
        if crowded and not self._crowded:
            self._log.warning("owed_limit_reached", owed=self._outbox.owed)
        self._crowded = crowded
        return 0 if crowded else self._batch

    def _say_what_is_wrong(self) -> None:
        """Technical alerts: that nothing is kept, that publications were given up, and what others say."""
        self._outbox.owe(self._technical.say("store", self._keeper.fault))
        for code, reason in self._faults().items():
            self._outbox.owe(self._technical.say(code, reason))
        if given_up := self._outbox.dropped:
            counted = ", ".join(f"{number} {why}" for why, number in sorted(given_up.items()))
            said = self._technical.say("outbox", f"Publications were given up: {counted}.")
            if said:
                self._log.warning("given_up", count=given_up.total())
            self._outbox.owe(said)

    def _mind_the_link(self) -> None:
        for event in self._link.events():
            match event:
                case Up():
                    self._log.info("broker_up", protocol=event.protocol, resumed=event.resumed)
                    if not event.resumed:
                        self._on_new_session(first=event.session == 1)
                    self._patient = True
                    self._down_since = self._sweep_until = None
                    self._link.subscribe(self._pipeline.filters)
                case Subscribed():
                    self._on_subscribed(event)
                case Down():
                    if not self._patient:
                        raise event.error
                    if self._down_since is None:
                        self._down_since = self._monotonic()
                    self._outbox.disconnected()
                    self._notifier.status("The broker is away")
                    refused = isinstance(event.error, BrokerRefused)
                    self._log.warning(
                        "broker_refused" if refused else "broker_away", sentence=str(event.error)
                    )
                case PublishRefused():
                    self._log.warning("publish_refused", sentence=event.reason)
                    self._outbox.refused(event.ticket, event.reason)
        if self._link.shed > self._shed:
            self._log.warning("messages_shed", count=self._link.shed - self._shed)
            self._shed = self._link.shed
        if self._sweep_until is not None and self._monotonic() > self._sweep_until:
            self._sweep_until = None
            self._link.unsubscribe([ALERTS])

    def _on_new_session(self, *, first: bool) -> None:
        """The broker does not know us: loud, unless we never met."""
        if first and not self._keeper.restored:
            return
        seconds = None if self._down_since is None else round(self._monotonic() - self._down_since)
        away = "while the gateway was not running" if seconds is None else f"in the last {seconds} s"
        self._log.error("session_lost", seconds=seconds)
        self._outbox.owe(
            self._technical.say(
                "session", f"The broker forgot our session: what waited there for us is lost, sent {away}."
            )
        )

    def _on_subscribed(self, event: Subscribed) -> None:
        """All inputs confirmed: say so, say which alerts are on, and look for those that no longer are."""
        if event.refused:
            self._log.warning("subscription_refused", count=len(event.refused))
        if event.filters == (ALERTS,):
            return
        if event.refused:
            self._link.drop(
                BrokerRefused(
                    f"The broker refuses {len(event.refused)} of {len(event.filters)} subscriptions. "
                    "Check the broker's access list for the gateway's user."
                )
            )
            return
        self._log.info("online")
        self._notifier.ready("Online")
        self._link.publish(gateway_topic(self._name, "status"), b"online", retain=True)
        self._outbox.owe(self._pipeline.active_alerts())
        self._outbox.owe(self._technical.states())
        self._sweep_until = self._monotonic() + SWEEP_SECONDS
        self._link.subscribe([ALERTS], fresh_only=False)

    def _stale(self, delivery: Delivery) -> list[Publication]:
        """What clears a retained alert that says it is ours and that the pipeline does not hold."""
        if not delivery.retained or not delivery.payload or self._pipeline.holds(delivery.topic):
            return []
        if self._keeper.fault is not None:
            return []  # what was on may stand in the store that can't be read: better on than silently off
        if _gateway_of(delivery.payload) != self._name or "/alert/" not in delivery.topic:
            return []
        self._log.info("stale_alert_cleared", who=pseudonym(delivery.topic))
        return [Publication(delivery.topic, b"", "alert", retain=True)]

    def _count_if_due(self) -> None:
        if self._monotonic() >= self._counters_due:
            self._counters_due = self._monotonic() + COUNTERS_SECONDS
            if self._link.up:  # while the broker is away they would only pile up
                self._outbox.owe([self._counters()])

    def _counters(self) -> Publication:
        report = self._pipeline.counters.report(
            self._name,
            self._now_ms(),
            owed=self._outbox.owed,
            given_up=self._outbox.dropped,
            durable=self._keeper.keeps,
        )
        return Publication(gateway_topic(self._name, "counters"), report, "counters")

    def _stop(self) -> None:
        """Settles what it can, then counters and `stopped`; what stays owed is in the store."""
        self._notifier.stopping()
        self._log.info("stopping", owed=self._outbox.owed)
        self._outbox.owe([self._counters()])
        self._drain(DRAIN_SECONDS)
        stopped = Publication(gateway_topic(self._name, "status"), b"stopped", "status", retain=True)
        self._outbox.owe([stopped])
        self._drain(FAREWELL_SECONDS)
        self._keeper.finish(
            now_ms=self._now_ms(), settled=self._outbox.settled_rows(), aside=self._outbox.set_aside()
        )
        self._link.close()
        self._log.info("stopped", owed=self._outbox.owed)

    def _drain(self, seconds: float) -> None:
        until = self._monotonic() + seconds
        while self._link.up and not self._outbox.empty and self._monotonic() < until:
            self._outbox.turn()
            self._link.take(0, 0.0, TURN_SECONDS)
            self._link.events()
        self._outbox.turn()


def _gateway_of(payload: bytes) -> Any:
    """The `gateway` attribute of an alert on the wire, or None; anyone may have published there."""
    try:
        event = json.loads(payload)
    except (ValueError, RecursionError):
        return None
    return event.get("gateway") if isinstance(event, dict) else None
