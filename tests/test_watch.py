"""`edgeward watch`: what goes by in readable lines, without anything that inputs say."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import IO

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from gateway.broker import HOST, EmbeddedBroker
from gateway.watch import describe, json_line

CLASSIFICATION = json.dumps(
    {
        "data": {
            "label": "high",
            "probability": None,
            "abstained": False,
            "news2": {"total": 9, "partial": True},
            "test": True,
        }
    }
).encode()
ALERT = json.dumps(
    {"data": {"label": "anomaly", "value": 0.9713, "reason": "score at or above 0.9"}}
).encode()
REJECTED = json.dumps({"data": {"reason": "not-json", "topic": "edgeward/v1/a/b/vitals"}}).encode()
COUNTERS = b'{"received":5,"classified":3,"in_part":1,"rejected":1,"repeated":0}'
NOTE = json.dumps({"text": "MARKER chest pain"}).encode()


@pytest.mark.parametrize(
    ("topic", "payload", "what", "said"),
    [
        ("edgeward/v1/a/b/classification/vitals", CLASSIFICATION, "classification",
         "high, NEWS2 9 at least (test)"),
        ("edgeward/v1/a/b/alert/x", ALERT, "alert", "ALERT anomaly 0.971: score at or above 0.9"),
        ("edgeward/v1/a/b/alert/x", b"", "alert-off", "alert off"),
        ("edgeward/gateway/g/rejected", REJECTED, "rejected",
         "rejected: not-json, on edgeward/v1/a/b/vitals"),
        ("edgeward/gateway/g/counters", COUNTERS, "gateway",
         "received 5, classified 3, in_part 1, rejected 1, repeated 0"),
        ("edgeward/gateway/g/status", b"online", "gateway", "online"),
        ("edgeward/v1/a/b/note", NOTE, "input", "note in (29 bytes)"),
        ("edgeward/else", b"\x00\xff", "other", "(2 bytes)"),
        ("edgeward/v1/a/b/alert/x", b"[1]", "other", "(3 bytes)"),
        ("edgeward/v1/a/b/classification/x", b"{", "other", "(1 bytes)"),
    ],
)  # fmt: skip
def test_every_kind_has_its_line(topic: str, payload: bytes, what: str, said: str) -> None:
    """Each kind of message is described in words; what can't be read is only measured."""
    seen = describe(topic, payload)
    assert (what, said) == (seen.what, seen.said)


def test_nothing_an_input_says_is_shown() -> None:
    """Neither the line nor the JSON of an input holds its text."""
    topic = "edgeward/v1/a/b/note"
    assert "MARKER" not in str(describe(topic, NOTE))
    assert {"topic": topic, "time": 5, "bytes": 29} == json.loads(json_line(topic, NOTE, 5))


def test_terminals_are_not_obeyed() -> None:
    """Control characters that someone published are not passed on."""
    hostile = json.dumps({"data": {"reason": "\x1b[2J", "topic": "\x1b]0;x\x07"}}).encode()
    for seen in (describe("edgeward/gateway/\x1b[2J/rejected", hostile), describe("edgeward/\x07", b"")):
        assert (seen.subject + seen.agent + seen.said).isprintable()


def _line_with(stream: IO[str], wanted: str) -> str:
    for line in stream:
        if wanted in line:
            return line
    return ""


def test_shows_what_goes_by_until_ctrl_c() -> None:
    """As a command it follows a real broker, says that it went away and came back, and ends with 0."""
    with EmbeddedBroker() as broker:
        command = [sys.executable, "-m", "gateway", "watch", "--broker", broker.url]
        with subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "COLUMNS": "80"},
        ) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            publisher = mqtt.Client(CallbackAPIVersion.VERSION2)
            publisher.connect(HOST, broker.port)
            publisher.loop_start()
            # Retained, since nobody tells when the watcher has subscribed.
            publisher.publish("edgeward/v1/ward/bed-1/alert/vitals", ALERT, qos=1, retain=True)
            assert "ward/bed-1" in _line_with(process.stdout, "ALERT anomaly 0.971")
            broker.kill()
            assert "trying again" in _line_with(process.stderr, "away")
            broker.restart()
            assert _line_with(process.stderr, "answers again")
            publisher.disconnect()
            publisher.loop_stop()
            time.sleep(0.1)
            process.send_signal(signal.SIGINT)
            assert process.wait(10) == 0
            assert "Traceback" not in process.stderr.read()
