"""Recordings: messages as JSON lines, read strictly and written whole or not at all.

A line is `{"topic", "time", "payload"}`: time is arrival in epoch milliseconds; payload is the exact text, or
an object that stands for its JSON. `payload_base64` stands in for a payload that is no valid UTF-8.
`"retain": true` says that the broker had kept the message from before; other fields are ignored.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from models.errors import UsageError
from nodes.outputs import ROOT
from nodes.pipeline import Received
from nodes.times import LATEST_MS

LINE_LIMIT = 4 * 1024 * 1024
"""Bytes in a line: a payload beyond the contract's limit must be readable, to be rejected as live."""


def read_recording(file: Path) -> Iterator[Received]:
    """The messages of a recording, in order; empty lines are skipped.

    Their fresh ids come from the recording's content and their line's number: they differ between recordings
    and are the same each time one is read. Raises UsageError, with the line's number and nothing of its
    content, for a line that is no message.
    """
    try:
        with file.open("rb") as opened:
            content = hashlib.file_digest(opened, "sha256").digest()
    except OSError as exc:
        raise UsageError(f"{file} can't be read: {exc.strerror}.") from exc
    return _messages(file, content)


def _messages(file: Path, content: bytes) -> Iterator[Received]:
    """The same; *content* is the sha256 of the whole file."""
    try:
        with file.open("rb") as opened:
            number = 0
            while line := opened.readline(LINE_LIMIT + 1):
                number += 1
                if len(line) > LINE_LIMIT:
                    raise UsageError(f"{file}, line {number} is longer than {LINE_LIMIT} bytes.")
                if line.strip():
                    try:
                        yield _message(line, _fresh_id(content, number))
                    except ValueError as exc:
                        raise UsageError(f"{file}, line {number}: {exc}.") from exc
    except OSError as exc:
        raise UsageError(f"{file} can't be read: {exc.strerror}.") from exc


def line_of(topic: str, time_ms: int, payload: bytes, *, retain: bool = False) -> bytes:
    """One line of a recording, the same bytes for the same message."""
    row: dict[str, Any] = {"topic": topic, "time": time_ms}
    if retain:
        row["retain"] = True
    try:
        row["payload"] = payload.decode()
    except UnicodeDecodeError:
        row["payload_base64"] = base64.b64encode(payload).decode()
    return json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def is_output(topic: str) -> bool:
    """Whether *topic* is one that gateways publish on; in a recording all others are inputs."""
    levels = topic.split("/")
    if levels[:2] == ["edgeward", "gateway"]:
        return True
    return levels[:2] == ROOT.split("/") and len(levels) == 6 and levels[4] in ("classification", "alert")


@contextmanager
def written_whole(file: Path, *, mode: int = 0o666) -> Iterator[BinaryIO]:
    """A file to write to, made with *mode*, that takes *file*'s place once the block ends without an error.

    Raises UsageError where the file can't be written.
    """
    unfinished = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        try:
            opened = os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb")
        except OSError as exc:
            raise UsageError(f"{file} can't be written: {exc.strerror}.") from exc
        with opened:
            yield opened
            opened.flush()
            os.fsync(opened.fileno())
        unfinished.replace(file)
    finally:
        unfinished.unlink(missing_ok=True)


def _fresh_id(content: bytes, number: int) -> str:
    return hashlib.sha256(content + str(number).encode()).hexdigest()[:32]


def _message(line: bytes, fresh_id: str) -> Received:
    """The message in a line. Raises ValueError with what is wrong, in words without its content."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as exc:
        raise ValueError("it is not JSON") from exc
    if not isinstance(row, dict):
        raise ValueError("it is not a JSON object")
    topic, time_ms = row.get("topic"), row.get("time")
    if not isinstance(topic, str) or not topic or not _encodable(topic):
        raise ValueError("topic should be text")
    if type(time_ms) is not int or not 0 <= time_ms <= LATEST_MS:
        raise ValueError("time should be whole epoch milliseconds")
    if not isinstance(row.get("retain", False), bool):
        raise ValueError("retain should be true or false")
    if ("payload" in row) == ("payload_base64" in row):
        raise ValueError("there should be one of payload and payload_base64")
    return Received(topic, _payload(row), time_ms, fresh_id)


def _payload(row: dict[str, Any]) -> bytes:
    if "payload_base64" in row:
        try:
            return base64.b64decode(row["payload_base64"], validate=True)
        except (binascii.Error, TypeError, ValueError) as exc:
            raise ValueError("payload_base64 is not base64") from exc
    payload = row["payload"]
    if isinstance(payload, dict):
        payload = json.dumps(payload, ensure_ascii=False, separators=(",", ":"))
    if not isinstance(payload, str) or not _encodable(payload):
        raise ValueError("payload should be text or an object")
    return payload.encode()


def _encodable(text: str) -> bool:
    """Whether *text* has a UTF-8 form; half of a surrogate pair, which JSON can write, has none."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
