"""Sending by schedule: when each message of a world or a dataset goes out, and how a run is stopped."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

from models.errors import UsageError
from simulators.client import Sessions
from simulators.resources import Usage, usage

TOPIC = "edgeward/v1/{site}/{device}/{kind}"
"""The gateway's default input topics (contract version 1)."""
LONGEST_WAIT_SECONDS = 0.05
"""How long the player may wait at once: it looks for a stop and gives others their turn that often."""
DRAIN_SECONDS = 10.0
"""How long the last acknowledgements may take."""
STOPPED_DRAIN_SECONDS = 1.0
"""The same for a run that was stopped, which must end within two seconds."""
POOL = 4
"""Sessions that a run shares among its devices."""

_SITE = re.compile(r"[A-Za-z0-9._~:-]{1,128}")


class Outgoing(NamedTuple):
    """One message, ready to send, and when: seconds after the start of the run."""

    due_s: float
    device: str
    topic: str
    payload: bytes
    input_id: str
    sender: str = ""
    """The device through whose session it goes, where that is another."""
    time_ms: int = 0
    """When it is due on the world's clock, epoch ms."""


class Break(NamedTuple):
    """The connection of a device breaks, so many seconds after the start of the run, and is opened again."""

    due_s: float
    sender: str


@dataclass(frozen=True, slots=True)
class Summary:
    """What a run did."""

    site: str
    sent: int
    acknowledged: int | None
    """None when the messages went to a file."""
    seconds: float
    finished: bool
    """False when it was stopped, or the broker did not acknowledge everything in time."""
    digest: str | None = None
    """Of all payloads, device by device; independent of speed and site."""
    connections: str | None = None
    """How many sessions there were and how they fared, in words."""
    usage: Usage | None = None

    def __str__(self) -> str:
        end = "" if self.finished else " It did not come to its end."
        if self.acknowledged is None:
            return f"Site {self.site}: wrote {self.sent} messages in {self.seconds:.1f} s.{end}"
        done = f"sent {self.sent} messages, {self.acknowledged} acknowledged"
        lines = [f"Site {self.site}: {done}, in {self.seconds:.1f} s.{end}"]
        if self.connections is not None:
            lines.append(f"{self.connections}; {self.usage}.")
        if self.digest is not None:
            lines.append(f"Digest of the payloads, device by device: sha256 {self.digest}")
        return "\n".join(lines)


def play(
    outgoing: Iterable[Outgoing | Break],
    sessions: Sessions,
    *,
    stop: Callable[[], bool],
    on_sent: Callable[[Outgoing, float], None] = lambda _message, _at_s: None,
    meanwhile: Callable[[], None] = lambda: None,
) -> bool:
    """Sends each message when it is due, or once the broker takes more; False when *stop* came first.

    *on_sent* gets each message as it goes out, with the monotonic time; *meanwhile* is called after
    each message and at least every `LONGEST_WAIT_SECONDS`.
    """
    start_s = time.monotonic()
    for message in outgoing:
        while (wait_s := start_s + message.due_s - time.monotonic()) > 0:
            if stop():
                return False
            sessions.pump(min(wait_s, LONGEST_WAIT_SECONDS))
            meanwhile()
        if isinstance(message, Break):
            sessions.cut(message.sender)
            continue
        sent_s = time.monotonic()
        while not sessions.publish(message.sender or message.device, message.topic, message.payload):
            if stop():
                return False
            sessions.pump(LONGEST_WAIT_SECONDS)
            meanwhile()
            sent_s = time.monotonic()
        on_sent(message, sent_s)
        sessions.pump(0.0)
        meanwhile()
        if stop():
            return False
    return True


def send_all(
    outgoing: Iterable[Outgoing | Break],
    sessions: Sessions,
    *,
    site: str,
    stop: Callable[[], bool],
    on_sent: Callable[[Outgoing, float], None] = lambda _message, _at_s: None,
) -> Summary:
    """Connects, plays, waits for the last acknowledgements, and says what was done."""
    start_s = time.monotonic()
    finished = sessions.connect(stop)
    connected_s = time.monotonic()
    finished = finished and play(outgoing, sessions, stop=stop, on_sent=on_sent)
    finished = finished and sessions.drain(DRAIN_SECONDS, stop)
    if not finished:
        sessions.drain(STOPPED_DRAIN_SECONDS, lambda: False)
    connections = f"{sessions.opened:,} of {len(sessions):,} sessions opened in {connected_s - start_s:.1f} s"
    if sessions.reconnects:
        connections += f", {sessions.reconnects:,} connections broken on purpose"
    return Summary(
        site,
        sessions.sent,
        sessions.acknowledged,
        time.monotonic() - start_s,
        finished,
        connections=connections,
        usage=usage(),
    )


def checked_site(site: str) -> str:
    """*site*, if the contract allows it. Raises `UsageError`."""
    if not _SITE.fullmatch(site):
        raise UsageError("A site is 1-128 characters of A-Z a-z 0-9 . _ ~ : -")
    return site


def checked_speed(speed: float | None) -> float | None:
    """*speed*: times real time; None and 0 are as fast as the broker takes it. Raises `UsageError`."""
    if speed is not None and not 0 <= speed < float("inf"):
        raise UsageError("A speed is a number from 0 (as fast as the broker takes it) up.")
    return speed or None
