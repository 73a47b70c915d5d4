"""Live topics become a recording, whatever ends it, and a recording plays again as it was."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.broker import HOST, EmbeddedBroker
from gateway.cli import main
from gateway.record import record
from gateway.recording import is_output, line_of, read_recording
from models.errors import UsageError
from simulators.access import BrokerAccess
from simulators.client import Sessions
from simulators.replay import Played, replay_recording
from tests.stand import PATIENCE_SECONDS, Client, Gateway

VITALS = {"hr": 140, "rr": 30, "spo2": 84, "sbp": 85, "temp": 36.8, "acvpu": "A", "on_oxygen": False}


def _access(broker: EmbeddedBroker) -> BrokerAccess:
    return BrokerAccess(HOST, broker.port)


class _Publishing:
    """Publishes *messages* from within a recording, whose `stop` it is, and ends it once all were kept."""

    def __init__(self, broker: EmbeddedBroker, file: Path, messages: list[tuple[str, bytes]]) -> None:
        self.file = file
        self.left = list(messages)
        self.lines = len(messages) + (file.read_bytes().count(b"\n") if file.exists() else 0)
        self.deadline = time.monotonic() + PATIENCE_SECONDS
        self.listening = False
        self.sessions = Sessions(
            _access(broker), client_id="publisher", rng=random.Random(1), say=lambda _sentence: None
        )
        self.sessions.connect(lambda: False)

    def say(self, sentence: str) -> None:
        self.listening = self.listening or sentence.startswith("Recording")

    def __call__(self) -> bool:
        if self.listening and self.left:
            topic, payload = self.left.pop(0)
            self.sessions.publish(topic, topic, payload)
        self.sessions.pump(0.0)
        assert time.monotonic() < self.deadline, self.file.read_bytes()
        return self.file.exists() and self.file.read_bytes().count(b"\n") >= self.lines


def _recorded(broker: EmbeddedBroker, file: Path, messages: list[tuple[str, bytes]], **options: Any) -> Any:
    publishing = _Publishing(broker, file, messages)
    ticks = iter(range(1_000, 10**9, 10))
    try:
        return record(
            _access(broker), file, now_ms=lambda: next(ticks), stop=publishing, say=publishing.say, **options
        )
    finally:
        publishing.sessions.close()


MESSAGES = [
    ("edgeward/v1/s/d/vitals", b'{ "hr": 70}'),
    ("edgeward/v1/s/d/log", b"caf\xe9 \xff"),
    ("edgeward/v1/s/d/alert/vitals", b""),
    ("edgeward/v1/s/d/note", "{ausgerückt}".encode()),
    ("edgeward/gateway/g/status", b"online"),
]


def test_a_recording_has_every_byte_in_order(broker: EmbeddedBroker, tmp_path: Path) -> None:
    """Text, other bytes and empty payloads, with their arrival; a second run goes on in the same file."""
    file = tmp_path / "r.jsonl"
    kept = _recorded(broker, file, MESSAGES)
    assert (kept.inputs, kept.outputs, kept.too_long) == (3, 2, 0)
    assert [(each.topic, each.payload) for each in read_recording(file)] == MESSAGES
    assert [each.time_ms for each in read_recording(file)] == [1000, 1010, 1020, 1030, 1040]
    _recorded(broker, file, MESSAGES[:2])
    assert [(each.topic, each.payload) for each in read_recording(file)] == MESSAGES + MESSAGES[:2]


def test_only_the_topics_asked_for_are_kept(broker: EmbeddedBroker, tmp_path: Path) -> None:
    """The first message is on none of them; those after it show that it would have come."""
    file = tmp_path / "r.jsonl"
    publishing = _Publishing(broker, file, [MESSAGES[0], MESSAGES[1], MESSAGES[3]])
    publishing.lines = 2
    topics = ["edgeward/v1/+/+/log", "edgeward/v1/+/+/note"]
    record(_access(broker), file, topics=topics, now_ms=lambda: 0, stop=publishing, say=publishing.say)
    publishing.sessions.close()
    assert [each.payload for each in read_recording(file)] == [MESSAGES[1][1], MESSAGES[3][1]]


def test_what_the_broker_had_kept_is_marked(mosquitto: EmbeddedBroker, tmp_path: Path) -> None:
    """A message from before, which a broker retains, stands in the recording as retained."""
    with Client(mosquitto) as client:
        client._client.publish("edgeward/v1/s/d/alert/vitals", b"{}", qos=1, retain=True).wait_for_publish(5)
    file = tmp_path / "r.jsonl"
    _recorded(mosquitto, file, [("edgeward/v1/s/d/log", b"x")])
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert lines[0] == {
        "topic": "edgeward/v1/s/d/alert/vitals",
        "time": 1000,
        "retain": True,
        "payload": "{}",
    }
    assert [each.payload for each in read_recording(file)][:1] == [b"{}"]


@pytest.mark.parametrize(
    "topics", [["a/+", "+/b"], ["a/#", "a"], ["#", "x/y"], ["a", "a"], ["a/b#"], ["#/a"], ["a+"], [""]]
)
def test_filters_that_overlap_or_are_none_are_refused(topics: list[str], tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        record(
            BrokerAccess(HOST, 1),
            tmp_path / "r",
            topics=topics,
            now_ms=lambda: 0,
            stop=lambda: True,
            say=pytest.fail,
        )
    assert not (tmp_path / "r").exists()


def test_a_file_that_cannot_be_continued_is_refused(tmp_path: Path) -> None:
    """Half a line at its end, or no place to write to."""
    half = tmp_path / "half"
    half.write_bytes(line_of("t", 1, b"x") + b'{"topic"')
    for file in (half, tmp_path / "none" / "r", tmp_path):
        with pytest.raises(UsageError, match=r"middle of a line|can't be written"):
            record(BrokerAccess(HOST, 1), file, now_ms=lambda: 0, stop=lambda: True, say=pytest.fail)


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_whatever_ends_it_leaves_whole_lines(
    end: signal.Signals, mosquitto: EmbeddedBroker, tmp_path: Path
) -> None:
    """Ctrl-C says how much was kept; even a killed one leaves a recording that can be read."""
    file = tmp_path / "r.jsonl"
    command = [sys.executable, "-m", "gateway", "record", "--broker", mosquitto.url, "--output", str(file)]
    with (
        Client(mosquitto, filters=("none",)) as client,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process,
    ):
        assert process.stderr is not None
        assert process.stderr.readline().startswith("Recording edgeward/#")
        client.flush([client.publish("edgeward/v1/s/d/log", f"line {n}") for n in range(500)])
        client.wait(lambda _: file.read_bytes().count(b"\n") == 500, "the recording")
        process.send_signal(end)
        said, _ = process.communicate(timeout=PATIENCE_SECONDS)
    assert [each.payload for each in read_recording(file)] == [b"line %d" % n for n in range(500)]
    if end != signal.SIGKILL:
        assert process.returncode == 0
        assert said.startswith("Kept 500 messages (500 inputs, 0 outputs)")


def test_a_recording_plays_again_as_it_was(tmp_path: Path) -> None:
    """Recorded from one broker with a gateway and played to another: same inputs, same bytes, same order;
    outputs are not played, and running the recording gives the outputs that were recorded.
    """
    file, results = tmp_path / "r.jsonl", tmp_path / "results.jsonl"
    agents = ("--agents", "vitals", "--clock", "events")
    command = [sys.executable, "-m", "gateway", "record", "--output", str(file), "--broker"]
    with (
        EmbeddedBroker() as broker,
        Client(broker) as client,
        Gateway(broker.url, tmp_path, *agents) as gateway,
        subprocess.Popen([*command, broker.url], stderr=subprocess.PIPE, text=True) as recorder,
        ExitStack() as ended,
    ):
        ended.callback(recorder.kill)  # else leaving the block after a failure would wait for it for ever
        client.wait_online(gateway)
        assert recorder.stderr is not None
        recorder.stderr.readline()
        before = len(client.seen)  # what a gateway says as it comes online, the recorder may have missed
        for number in range(60):
            body = {"id": f"v-{number}", "time": 60_000 * number, **VITALS, "hr": 60 + number}
            client.publish(f"edgeward/v1/s/d-{number % 7}/vitals", body)
        client.publish("edgeward/v1/s/d-1/vitals", b"\xff no JSON")
        client.wait(lambda _: len(client.on("/classification/")) == 60, "60 answers")
        client.wait(lambda _: client.on("/rejected"), "the rejection")
        wanted = len(client.seen) - before
        client.wait(lambda _: file.read_bytes().count(b"\n") >= wanted, "the recording")
        recorder.send_signal(signal.SIGINT)
        recorder.communicate(timeout=PATIENCE_SECONDS)
    recorded = list(read_recording(file))
    inputs = [(each.topic, each.payload) for each in recorded if not is_output(each.topic)]
    assert len(inputs) == 61
    with EmbeddedBroker() as broker, Client(broker) as client:
        assert main(["replay", str(file), "--broker", broker.url, "--speed", "0"]) == 0
        client.wait(lambda seen: len(seen) >= 61, "the replay")
        assert [(each.topic, each.payload) for each in client.seen] == inputs
    assert main(["run", "--input", str(file), "--output", str(results), "--agents", "vitals"]) == 0

    def answers(file: Path) -> list[Any]:
        found = [
            json.loads(each.payload) for each in read_recording(file) if "/classification/" in each.topic
        ]
        return [(each["id"], each["data"]["label"], each["data"]["news2"]) for each in found]

    assert answers(results) == answers(file)


def test_a_replay_keeps_the_spacing_or_a_rate(mosquitto: EmbeddedBroker) -> None:
    """Divided by the speed; the last message is not sent before its time."""
    messages = [
        Played("edgeward/v1/s/d/log", b"%d" % number, 5_000_000 + 1000 * number) for number in range(4)
    ]

    def seconds(**pace: Any) -> float:
        began_s = time.monotonic()
        summary = replay_recording(
            lambda: messages, access=_access(mosquitto), stop=lambda: False, say=pytest.fail, **pace
        )
        assert (summary.sent, summary.acknowledged, summary.site) == (4, 4, "s")
        return time.monotonic() - began_s

    assert seconds(speed=10.0) >= 0.3
    assert seconds(rate=10.0) >= 0.3
    with pytest.raises(UsageError, match="not both"):
        seconds(speed=1.0, rate=1.0)


def test_nothing_is_sent_of_a_recording_that_cannot_be_read(
    mosquitto: EmbeddedBroker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A bad line is said with its number before the first message goes out; datasets' options are refused."""
    file = tmp_path / "r.jsonl"
    file.write_bytes(line_of("edgeward/v1/s/d/log", 1, b"x") + b"{}\n")
    with Client(mosquitto) as client:
        assert main(["replay", str(file), "--broker", mosquitto.url]) == 2
        assert "line 2" in capsys.readouterr().err
        client.flush([client.publish("edgeward/end", b"")])
        client.wait(lambda seen: seen, "the last message")
        assert [each.topic for each in client.seen] == ["edgeward/end"]
    assert main(["replay", str(file), "--broker", mosquitto.url, "--hours", "3"]) == 2
    assert main(["replay", str(file)]) == 2


@given(st.text(min_size=1), st.integers(0, 10**12), st.binary(), st.booleans())
def test_a_line_reads_back(topic: str, time_ms: int, payload: bytes, retain: bool) -> None:
    """Any message that MQTT can carry survives its line."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "r"
        try:
            file.write_bytes(line_of(topic, time_ms, payload, retain=retain))
        except UnicodeEncodeError:
            return
        (found,) = read_recording(file)
    assert (found.topic, found.payload, found.time_ms) == (topic, payload, time_ms)


@pytest.mark.parametrize(
    ("topic", "expected"),
    [
        ("edgeward/v1/s/d/vitals", False),
        ("hospital/ward/bed/alert", False),
        ("edgeward/v1/s/d/classification/vitals", True),
        ("edgeward/v1/s/d/alert/vitals", True),
        ("edgeward/gateway/g/status", True),
        ("edgeward/v1/alert/d/log", False),
    ],
)
def test_outputs_are_known_by_their_topic(topic: str, expected: bool) -> None:
    assert is_output(topic) == expected
