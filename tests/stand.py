"""A stand for tests: a real broker, a real gateway process, and a subscriber that keeps all it sees."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from gateway.broker import EmbeddedBroker

PATIENCE_SECONDS = 30.0


class Gateway:
    """`edgeward gateway` as a process. Its log is kept; leaving the block stops it with SIGTERM."""

    def __init__(self, url: str, folder: Path, *arguments: str, env: Mapping[str, str] | None = None) -> None:
        self.log = folder / "gateway.log"
        command = [sys.executable, "-m", "gateway", "gateway", "--broker", url, "--name", "stand"]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*command, "--state", str(folder / "state"), *arguments],
                stderr=log,
                stdout=log,
                env={**os.environ, **(env or {})},
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> int:
        """Asks it to stop and returns its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


@dataclass(frozen=True)
class Seen:
    """One message that the subscriber saw."""

    topic: str
    payload: bytes
    retained: bool

    @property
    def event(self) -> Any:
        """The payload as JSON."""
        return json.loads(self.payload)


@dataclass
class Client:
    """A plain MQTT client beside the gateway: publishes at QoS 1 and keeps what it sees on its filters."""

    broker: EmbeddedBroker
    filters: Sequence[str] = ("edgeward/#",)
    protocol: MQTTProtocolVersion = MQTTProtocolVersion.MQTTv311
    seen: list[Seen] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._subscribed: queue.Queue[int] = queue.Queue()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=self.protocol)
        self._client.max_inflight_messages_set(200)
        self._client.on_message = lambda _c, _u, each: self.seen.append(
            Seen(each.topic, bytes(each.payload), each.retain)
        )
        self._client.on_subscribe = lambda *_: self._subscribed.put(1)
        self._client.connect("127.0.0.1", self.broker.port)
        self._client.loop_start()
        self._client.subscribe([(each, 1) for each in self.filters])
        self._subscribed.get(timeout=PATIENCE_SECONDS)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def publish(self, topic: str, payload: bytes | str | Mapping[str, Any]) -> mqtt.MQTTMessageInfo:
        """Hands a message over; an object goes as its JSON."""
        raw = json.dumps(payload) if isinstance(payload, Mapping) else payload
        return self._client.publish(topic, raw, qos=1)

    def flush(self, infos: Sequence[mqtt.MQTTMessageInfo]) -> None:
        """Waits until the broker has taken all of *infos*."""
        for info in infos:
            info.wait_for_publish(PATIENCE_SECONDS)

    def wait(self, wanted: Callable[[list[Seen]], Any], what: str, seconds: float = PATIENCE_SECONDS) -> Any:
        """Waits until *wanted* of what was seen is true, and returns it."""
        deadline = time.monotonic() + seconds
        while not (found := wanted(self.seen)):
            if time.monotonic() > deadline:
                raise AssertionError(f"{what} did not come in {seconds:g} s; {len(self.seen)} messages did")
            time.sleep(0.02)
        return found

    def wait_online(self, gateway: Gateway) -> None:
        """Waits until the gateway has said `online`; fails at once, with its log, when it ends instead."""

        def online(seen: list[Seen]) -> bool:
            assert gateway.process.poll() is None, gateway.log.read_text()
            return any(each.payload == b"online" for each in seen)

        self.wait(online, "the status online")

    def on(self, part: str) -> list[Seen]:
        """What was seen on topics that hold *part*."""
        return [each for each in self.seen if part in each.topic]

    def counters(self) -> dict[str, Any]:
        """The newest counters."""
        newest: dict[str, Any] = self.on("/counters")[-1].event
        return newest
