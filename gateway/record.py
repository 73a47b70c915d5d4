"""`edgeward record`: what goes by on a broker, kept as a recording that `run` reads and `replay` plays again.

A recording grows by whole lines, several times a second, so that whatever ends this process leaves one that
can be read.
"""

from __future__ import annotations

import os
import random
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import FileIO
from itertools import combinations
from pathlib import Path

from paho.mqtt.client import MQTTMessage

from gateway.recording import LINE_LIMIT, is_output, line_of
from models.errors import UsageError
from simulators.access import BrokerAccess
from simulators.client import Sessions

TOPICS = ("edgeward/#",)
"""What is kept unless other filters are given: every input and output of the contract's own topics."""
WAIT_SECONDS = 0.1
"""How long it waits for messages before it writes down what came and looks for a stop."""
FILTER_BYTES = 65_535
"""The longest topic filter of MQTT."""


@dataclass(slots=True)
class Kept:
    """What a recording took in."""

    inputs: int = 0
    outputs: int = 0
    too_long: int = 0
    """Messages whose line would be longer than a recording's reader takes; left out."""
    seconds: float = 0.0
    """From the granted subscription on; 0 where there was none."""

    @property
    def messages(self) -> int:
        """Lines written."""
        return self.inputs + self.outputs

    def __str__(self) -> str:
        kept = f"Kept {self.messages} messages ({self.inputs} inputs, {self.outputs} outputs)"
        left = f" Left out {self.too_long} that are longer than a recording's line." if self.too_long else ""
        return f"{kept} in {self.seconds:.1f} s.{left}"


def record(
    access: BrokerAccess,
    output: Path,
    *,
    topics: Sequence[str] = TOPICS,
    seconds: float | None = None,
    now_ms: Callable[[], int],
    stop: Callable[[], bool],
    say: Callable[[str], None],
) -> Kept:
    """Writes every message on *topics* (MQTT filters) to *output* until *stop*, or for *seconds*.

    A recording that is there already goes on. *now_ms* is the clock of arrival. A broker that is away is said
    and tried again; what is published meanwhile is not kept. Raises `UsageError` for filters that can't be
    subscribed or overlap, and where the file can't be written; `BrokerRefused`.
    """
    _check_filters(topics)
    kept = Kept()
    pending: list[bytes] = []

    def came(message: MQTTMessage) -> None:
        line = line_of(message.topic, now_ms(), bytes(message.payload), retain=message.retain)
        if len(line) > LINE_LIMIT:
            kept.too_long += 1
            return
        pending.append(line)
        if is_output(message.topic):
            kept.outputs += 1
        else:
            kept.inputs += 1

    sessions = Sessions(
        access,
        client_id=f"edgeward-record-{secrets.token_hex(4)}",
        rng=random.Random(),  # noqa: S311 - spreads reconnections, guards nothing
        say=say,
        filters=topics,
        on_message=came,
    )
    with _appended(output) as file, sessions:
        if sessions.connect(stop):
            say(f"Recording {' '.join(topics)} to {output}. Ctrl-C ends it.")
            start_s = time.monotonic()
            while not stop() and (seconds is None or time.monotonic() - start_s < seconds):
                sessions.pump(WAIT_SECONDS)
                _write(file, output, pending)
            kept.seconds = time.monotonic() - start_s
        _write(file, output, pending)
    return kept


@contextmanager
def _appended(output: Path) -> Iterator[FileIO]:
    """*output*, open to be continued, and safe on the disk once the block ends."""
    with _file_errors(output):
        file = FileIO(output, "a+")
    with file:
        if file.tell():
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                raise UsageError(f"{output} ends in the middle of a line, so it can't be continued.")
        try:
            yield file
        finally:
            with _file_errors(output):
                os.fsync(file.fileno())


@contextmanager
def _file_errors(output: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UsageError(f"{output} can't be written: {error.strerror}.") from error


def _write(file: FileIO, output: Path, pending: list[bytes]) -> None:
    """Writes the *pending* lines whole and forgets them."""
    lines = b"".join(pending)
    pending.clear()
    with _file_errors(output):
        while lines:
            lines = lines[file.write(lines) :]


def _check_filters(topics: Sequence[str]) -> None:
    """Raises `UsageError` for what is no MQTT filter, and for two of which a broker would send copies."""
    for topic in topics:
        levels = topic.split("/")
        wild = any(("+" in level or "#" in level) and level not in ("+", "#") for level in levels)
        if not topic or wild or "#" in levels[:-1] or "\0" in topic or len(topic.encode()) > FILTER_BYTES:
            raise UsageError(
                f"{topic!r} is no MQTT topic filter: + stands for a level, # for all the last ones."
            )
    for one, other in combinations(topics, 2):
        if _overlap(one.split("/"), other.split("/")):
            raise UsageError(f"{one} and {other} overlap: messages on both would be kept twice.")


def _overlap(one: Sequence[str], other: Sequence[str]) -> bool:
    """Whether some topic matches both filters; # also stands for no level at all."""
    if one[:1] == ["#"] or other[:1] == ["#"]:
        return True
    if not one or not other:
        return one == other
    return (one[0] == other[0] or "+" in (one[0], other[0])) and _overlap(one[1:], other[1:])
