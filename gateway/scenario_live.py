"""One scenario played to a real broker with a real gateway behind it, and all that both said, in memory."""

from __future__ import annotations

import random
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from gateway.access import access_to
from gateway.address import resolve_address
from gateway.broker import EmbeddedBroker
from gateway.running import running_gateway
from gateway.scoring import SHIPPED_KINDS
from models.errors import EdgewardError
from simulators.client import Sessions
from simulators.heard import Heard
from simulators.play import LONGEST_WAIT_SECONDS, POOL, TOPIC
from simulators.world import World

START_SECONDS = 90.0
"""How long the gateway may take to come online: it loads five models, on a slow box from a cold disk."""
ANSWER_SECONDS = 120.0
"""How long one input's answers may take."""
QUIET_SECONDS = 1.0
"""Once every input is answered, so long without another output ends the run."""
GATEWAY = "scenarios"


def play_live(world: World, site: str) -> list[tuple[str, bytes]]:
    """Topics and payloads of all inputs and outputs, in order of arrival at a plain subscriber.

    Devices share a few sessions, in which each one's messages keep their order; connections that the world
    breaks stay open. Raises `EdgewardError` where the gateway ends, or does not answer all inputs in time.
    """
    with (
        tempfile.TemporaryDirectory(prefix="edgeward-scenario-") as name,
        EmbeddedBroker() as broker,
        _Stage(broker, site) as stage,
        running_gateway(broker.url, GATEWAY, Path(name)) as check,
    ):
        stage.until(lambda: stage.online, START_SECONDS, check, "did not come online")
        for count, sent in enumerate(world.sent(), start=1):
            topic = TOPIC.format(site=site, device=sent.device, kind=sent.kind)
            stage.publish(sent.sender, topic, sent.body, check)
            # One at a time: an alert is a state, and of states that follow each other faster than they go out
            # the outbox sends only the newest. At full speed an alert that came and went would not be heard.
            stage.until(partial(stage.has_answered, count), ANSWER_SECONDS, check, "did not answer an input")
        seen = -1
        while seen != len(stage.messages):
            seen = len(stage.messages)
            stage.rest(QUIET_SECONDS, check)
        return stage.messages


class _Stage:
    """Devices and a listener on one broker, pumped together; a context manager."""

    def __init__(self, broker: EmbeddedBroker, site: str) -> None:
        self.messages: list[tuple[str, bytes]] = []
        """Topic and payload of all that was heard, but for the gateway's status."""
        self.online = False
        self._heard = Heard(site, SHIPPED_KINDS)
        access = access_to(resolve_address(broker.url, {}))
        rng = random.Random()  # noqa: S311 - spreads reconnections, guards nothing
        self._devices = Sessions(access, count=POOL, client_id="scenario-in", rng=rng, say=_say)
        self._listener = Sessions(
            access,
            client_id="scenario-out",
            rng=rng,
            say=_say,
            filters=["edgeward/#"],
            on_message=lambda message: self._came(message.topic, bytes(message.payload)),
            beside=self._devices,
        )

    def __enter__(self) -> Self:
        self._listener.connect(lambda: False)
        self._devices.connect(lambda: False)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.close()
        self._devices.close()

    def publish(self, device: str, topic: str, payload: bytes, check: Callable[[], None]) -> None:
        """Sends one message as soon as the broker takes it."""
        while not self._devices.publish(device, topic, payload):
            self._pump(LONGEST_WAIT_SECONDS, check)
        self._pump(0.0, check)

    def has_answered(self, inputs: int) -> bool:
        """Whether so many inputs went by and each was answered or rejected."""
        return self._heard.counts["input"] == inputs and not self._heard.unanswered

    def until(self, done: Callable[[], bool], seconds: float, check: Callable[[], None], fault: str) -> None:
        """Waits until *done*. Raises `EdgewardError` with the *fault* after *seconds*."""
        deadline_s = time.monotonic() + seconds
        while not done():
            if time.monotonic() > deadline_s:
                raise EdgewardError(f"The gateway {fault} in {seconds:g} s.")
            self._pump(LONGEST_WAIT_SECONDS, check)

    def rest(self, seconds: float, check: Callable[[], None]) -> None:
        """Listens for so long."""
        deadline_s = time.monotonic() + seconds
        while time.monotonic() < deadline_s:
            self._pump(LONGEST_WAIT_SECONDS, check)

    def _pump(self, seconds: float, check: Callable[[], None]) -> None:
        self._devices.pump(seconds)
        self._listener.pump(0.0)
        check()

    def _came(self, topic: str, payload: bytes) -> None:
        if topic.endswith("/status"):
            self.online = payload == b"online"
            return
        self.messages.append((topic, payload))
        self._heard.came(topic, payload)


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)
