"""The gateway's loop: take, process, publish, acknowledge. Only the loop and what it says lives here.

One thread. What is computed is the pipeline's affair, what is sent and settled the outbox's, the network the
link's; time comes in through the two clocks that the daemon is given.
"""

from __future__ import annotations

import json
import re
import secrets
import time
from collections.abc import Callable
from typing import Any

import structlog

from gateway.link import Delivery, Down, Link, PublishRefused, Subscribed, Up
from gateway.log import pseudonym
from gateway.notify import Notifier
from gateway.outbox import OWED_LIMIT, Outbox
from gateway.reload import Loaded
from models.errors import BrokerRefused
from nodes.outputs import Publication, gateway_topic
from nodes.pipeline import Pipeline, Received

BATCH = 64
"""Deliveries processed together: the bound on memory, and on how long the first waits for the last."""
LINGER_SECONDS = 0.001
"""How long a batch waits for more once its first delivery is here."""
TURN_SECONDS = 0.1
"""How long one turn waits for anything to happen; the bound on noticing a signal or a timer."""
COUNTERS_SECONDS = 10.0
DRAIN_SECONDS = 5.0
"""How long a stopping gateway tries to settle what it owes; the broker brings the rest again."""
SWEEP_SECONDS = 10.0
"""How long after a connection the gateway looks at retained alerts for those it no longer holds."""

ALERTS = "edgeward/v1/+/+/alert/+"
_OUTPUT = re.compile(r"edgeward/(gateway/|v1/[^/]*/[^/]*/(classification|alert)/)")


def wall_ms() -> int:
    """Now, in epoch milliseconds."""
    return time.time_ns() // 1_000_000


class Daemon:
    """One gateway over one link. *stopping* says when to end; *name* is the gateway's.

    *notifier* hears how it goes; *reload* gives another configuration when there is one to go on with.
    """

    def __init__(
        self,
        link: Link,
        pipeline: Pipeline,
        *,
        name: str,
        stopping: Callable[[], bool],
        notifier: Notifier | None = None,
        reload: Callable[[], Loaded | None] = lambda: None,
        now_ms: Callable[[], int] = wall_ms,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._link = link
        self._pipeline = pipeline
        self._outbox = Outbox(link)
        self._name = name
        self._stopping = stopping
        self._notifier = Notifier({}) if notifier is None else notifier
        self._reload = reload
        self._now_ms = now_ms
        self._monotonic = monotonic
        self._log: structlog.typing.FilteringBoundLogger = structlog.get_logger()
        self._counters_due = monotonic() + COUNTERS_SECONDS
        self._sweep_until: float | None = None
        self._shed = 0
        self._crowded = False

    def run(self) -> None:
        """Works until *stopping*, then settles what it can, says `stopped` and returns.

        Raises SessionTakenOver, and BrokerRefused when the broker never let us in.
        """
        while not self._stopping():
            self._notifier.turned()
            if (loaded := self._reload()) is not None:
                self._go_on_with(loaded)
            self._mind_the_link()
            deliveries = self._link.take(self._room(), LINGER_SECONDS, TURN_SECONDS)
            now_ms = self._now_ms()
            inputs = [delivery for delivery in deliveries if not _OUTPUT.match(delivery.topic)]
            outcomes = iter(
                self._pipeline.process(
                    [Received(d.topic, d.payload, now_ms, secrets.token_hex(16), d.duplicate) for d in inputs]
                )
            )
            for delivery in deliveries:
                if _OUTPUT.match(delivery.topic):
                    self._outbox.owe(self._stale(delivery), delivery)
                else:
                    self._outbox.owe(next(outcomes).publications, delivery)
            self._outbox.owe(self._pipeline.tick(now_ms))
            self._count_if_due()
            self._outbox.turn()
        self._stop()

    def _go_on_with(self, loaded: Loaded) -> None:
        """Other agents and topics from here on; the connection and what is owed stay."""
        before = set(self._pipeline.filters)
        self._outbox.owe(
            self._pipeline.exchange(loaded.agents, historical_after_ms=loaded.historical_after_ms)
        )
        # The new ones first: where old and new overlap a message may come twice, but none is missed.
        self._link.subscribe(self._pipeline.filters)
        if gone := sorted(before - set(self._pipeline.filters)):
            self._link.unsubscribe(gone)

    def _room(self) -> int:
        """How many deliveries may be taken: none while too much is owed."""
        crowded = self._outbox.owed >= OWED_LIMIT
        if crowded and not self._crowded:
            self._log.warning("owed_limit_reached", owed=self._outbox.owed)
        self._crowded = crowded
        return 0 if crowded else BATCH

    def _mind_the_link(self) -> None:
        for event in self._link.events():
            match event:
                case Up():
                    self._log.info("broker_up", protocol=event.protocol, resumed=event.resumed)
                    if event.session > 1 and not event.resumed:
                        self._log.warning("session_lost")
                    self._sweep_until = None
                    self._link.subscribe(self._pipeline.filters)
                case Subscribed():
                    self._on_subscribed(event)
                case Down():
                    refused = isinstance(event.error, BrokerRefused)
                    self._log.warning(
                        "broker_refused" if refused else "broker_away", sentence=str(event.error)
                    )
                case PublishRefused():
                    self._log.warning("publish_refused", sentence=event.reason)
        if self._link.shed > self._shed:
            self._log.warning("messages_shed", count=self._link.shed - self._shed)
            self._shed = self._link.shed
        if self._sweep_until is not None and self._monotonic() > self._sweep_until:
            self._sweep_until = None
            self._link.unsubscribe([ALERTS])

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
        self._sweep_until = self._monotonic() + SWEEP_SECONDS
        self._link.subscribe([ALERTS], fresh_only=False)

    def _stale(self, delivery: Delivery) -> list[Publication]:
        """What clears a retained alert that says it is ours and that the pipeline does not hold."""
        if not delivery.retained or not delivery.payload or self._pipeline.holds(delivery.topic):
            return []
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
        report = self._pipeline.counters.report(self._name, self._now_ms())
        return Publication(gateway_topic(self._name, "counters"), report, "counters")

    def _stop(self) -> None:
        """Settles what is owed, then counters and `stopped`; what stays unsettled comes again next time."""
        self._notifier.stopping()
        self._log.info("stopping", owed=self._outbox.owed)
        self._outbox.owe([self._counters()])
        stopped = Publication(gateway_topic(self._name, "status"), b"stopped", "status", retain=True)
        self._outbox.owe([stopped])
        until = self._monotonic() + DRAIN_SECONDS
        while self._link.up and not self._outbox.empty and self._monotonic() < until:
            self._outbox.turn()
            self._link.take(0, 0.0, TURN_SECONDS)
            self._link.events()
        self._outbox.turn()
        self._link.close()
        self._log.info("stopped", owed=self._outbox.owed)


def _gateway_of(payload: bytes) -> Any:
    """The `gateway` attribute of an alert on the wire, or None; anyone may have published there."""
    try:
        event = json.loads(payload)
    except (ValueError, RecursionError):
        return None
    return event.get("gateway") if isinstance(event, dict) else None
