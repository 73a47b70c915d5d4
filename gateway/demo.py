"""`edgeward demo`: a broker, a gateway, a small ward and a small plant, played fast and summed up."""

from __future__ import annotations

import json
import os
import random
import secrets
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

from paho.mqtt.client import MQTTMessage

from gateway.access import access_to
from gateway.address import resolve_address
from gateway.broker import EmbeddedBroker
from gateway.demo_tally import Tally
from gateway.demo_view import View, choose_view, told
from gateway.running import running_gateway
from gateway.signals import INTERRUPTED, stop_flag
from models.errors import EdgewardError
from simulators.access import BrokerAccess
from simulators.client import Sessions
from simulators.play import DRAIN_SECONDS, LONGEST_WAIT_SECONDS, Outgoing, play
from simulators.scenario import load_scenario
from simulators.simulate import schedule
from simulators.world import World

SCENARIO = "demo"
START_SECONDS = 90.0
"""How long the gateway may take to come online: it loads five models, on a slow box from a cold disk."""
TAIL_SECONDS = 20.0
"""How long the last answers may take after the last message."""
QUIET_SECONDS = 1.0
"""Once every input is answered, so long without another output ends the tail."""
LATE_SECONDS = 5.0
"""A broker or box that is too slow may take so much longer than was asked for; then the play is cut off."""
PUBLISHERS = 4
"""Sessions that the simulated devices share."""


def demo(
    seconds: float = 60.0, speed: float | None = None, broker: str = "embedded", *, json_only: bool = False
) -> int:
    """Plays the demo for *seconds* and returns the exit code: 0, or 130 when it was interrupted.

    Without *speed* (times real time) the whole scenario is fitted into *seconds*; with one it is cut off
    there. *broker* is `embedded` or a URL. On a terminal a live table, else lines, of which the last is the
    summary as one JSON object; *json_only* prints nothing but that. Raises `EdgewardError` when the gateway
    ends by itself, and what starting and reaching a broker raises. For the main thread only.
    """
    world = World(*load_scenario(SCENARIO))
    pace = speed or world.scenario.duration_ms / 1000 / seconds
    limit_s = seconds + (LATE_SECONDS if speed is None else 0.0)
    with ExitStack() as opened:
        stop = opened.enter_context(stop_flag())
        view = choose_view(json_only=json_only)
        folder = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="edgeward-demo-")))
        if broker == "embedded":
            embedded = opened.enter_context(EmbeddedBroker(folder=_new(folder / "broker")))
            broker = embedded.url
            view.say(f"Broker: {embedded.kind} at {broker}")
        access = access_to(resolve_address(broker, os.environ))
        name = f"demo-{secrets.token_hex(4)}"
        tally = Tally(site=name, gateway=name, devices=world.devices)
        publisher = opened.enter_context(_sessions(access, f"edgeward-{name}-in", view))
        subscriber = opened.enter_context(
            _sessions(access, f"edgeward-{name}-out", view, hears=tally, beside=publisher)
        )
        stage = _Stage(world, tally, publisher, subscriber, stop, pace=pace)
        if stage.connect():
            with running_gateway(broker, name, folder) as check, view:
                stage.run(view, check, site=name, limit_s=limit_s)
            stage.tidy()
        summary = tally.summary(world.truth(name).intervals, stage.ward_ms)
        if not json_only:
            print(told(summary, tally.rejected))
        if json_only or not sys.stdout.isatty():
            print(json.dumps(asdict(summary)), flush=True)
        return INTERRUPTED if stop() else 0


class _Stage:
    """The play itself: what is sent and received, until the last answer."""

    def __init__(
        self,
        world: World,
        tally: Tally,
        publisher: Sessions,
        subscriber: Sessions,
        stop: Callable[[], bool],
        *,
        pace: float,
    ) -> None:
        self.world = world
        self.tally = tally
        self.publisher = publisher
        self.subscriber = subscriber
        self.stop = stop
        self.pace = pace
        self.ward_ms = world.start_ms
        """The ward's clock: the time of the last message sent, epoch ms."""

    def connect(self) -> bool:
        """Both ways to the broker; False when it was stopped first."""
        return self.publisher.connect(self.stop) and self.subscriber.connect(self.stop)

    def run(self, view: View, check: Callable[[], None], *, site: str, limit_s: float) -> None:
        """Waits for the gateway, plays *limit_s* at most, waits for the last answers; *check* may raise."""

        def meanwhile() -> None:
            self.subscriber.pump(0.0)
            check()
            view.show(self.tally, self.ward_ms)

        self._until(lambda: self.tally.status == "online", START_SECONDS, meanwhile)
        if self.tally.status != "online" and not self.stop():
            raise EdgewardError(f"The gateway did not come online in {START_SECONDS:g} s.")
        ends_s = time.monotonic() + limit_s
        if play(
            schedule(self.world, site, self.pace),
            self.publisher,
            stop=lambda: self.stop() or time.monotonic() >= ends_s,
            on_sent=self._sent,
            meanwhile=meanwhile,
        ):
            self.ward_ms = self.world.end_ms
        self._until(lambda: not self.tally.unanswered, TAIL_SECONDS, meanwhile)
        seen = -1
        while seen != self.tally.events_out and not self.stop():
            seen = self.tally.events_out
            self._until(lambda: False, QUIET_SECONDS, meanwhile)

    def tidy(self) -> None:
        """Takes away what would stay on a broker that isn't ours: alerts and the gateway's status."""
        for topic in [*self.tally.alert_topics, self.tally.status_topic]:
            self.publisher.publish(topic, topic, b"", retain=True)
        self.publisher.drain(DRAIN_SECONDS, lambda: False)

    def _until(self, done: Callable[[], bool], seconds: float, meanwhile: Callable[[], None]) -> None:
        deadline_s = time.monotonic() + seconds
        while not done() and not self.stop() and time.monotonic() < deadline_s:
            self.publisher.pump(LONGEST_WAIT_SECONDS)
            meanwhile()

    def _sent(self, message: Outgoing, at_s: float) -> None:
        self.ward_ms = self.world.start_ms + round(message.due_s * self.pace * 1000)
        self.tally.sent(message.device, message.input_id, at_s)


def _sessions(
    access: BrokerAccess,
    client_id: str,
    view: View,
    *,
    hears: Tally | None = None,
    beside: Sessions | None = None,
) -> Sessions:
    """The sessions that publish, or the one with which a tally hears the outputs."""

    def came(message: MQTTMessage) -> None:
        if hears is not None:
            hears.came(message.topic, bytes(message.payload), time.monotonic())

    return Sessions(
        access,
        count=PUBLISHERS if hears is None else 1,
        client_id=client_id,
        rng=random.Random(),  # noqa: S311 - spreads reconnections, guards nothing
        say=view.say,
        filters=() if hears is None else hears.filters,
        on_message=came,
        beside=beside,
    )


def _new(folder: Path) -> Path:
    folder.mkdir()
    return folder
