"""`edgeward demo`: what it counts, and the whole thing from broker to summary."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from gateway.broker import HOST, EmbeddedBroker
from gateway.demo_tally import Tally
from gateway.demo_view import table, told
from nodes.times import format_time
from simulators.alerts import GRACE_MINUTES
from simulators.truth import Interval

MINUTE_MS = 60_000
FIELDS = ["events_in", "events_out", "detected", "missed", "false", "p50_ms", "p99_ms"]


class _Ward:
    """A tally and the gateway's messages to it, by ward minute."""

    def __init__(self) -> None:
        self.tally = Tally("site", "gate", ["bed-1", "bed-2", "pump-1"])

    def classified(
        self, device: str, agent: str, minute: float, *, input_id: str = "?", at_s: float = 0.0
    ) -> None:
        data = {
            "label": "low",
            "probability": 0.875,
            "input": {"id": input_id, "time": format_time(round(minute * MINUTE_MS))},
        }
        topic = f"edgeward/v1/site/{device}/classification/{agent}"
        self.tally.came(topic, json.dumps({"data": data}).encode(), at_s)

    def alert(self, device: str, agent: str, minute: float) -> None:
        data = {"since": format_time(round(minute * MINUTE_MS))}
        self.tally.came(f"edgeward/v1/site/{device}/alert/{agent}", json.dumps({"data": data}).encode(), 0.0)

    def cleared(self, device: str, agent: str, minute: float) -> None:
        self.classified(device, agent, minute)
        self.tally.came(f"edgeward/v1/site/{device}/alert/{agent}", b"", 0.0)


def _interval(device: str, kinds: tuple[str, ...] = ("vitals", "note")) -> Interval:
    return Interval(device, "sepsis", 40 * MINUTE_MS, 60 * MINUTE_MS, 120 * MINUTE_MS, kinds)


@pytest.mark.parametrize(
    ("raised", "cleared", "detected", "false"),
    [
        # 40 -- fault grows -- 60 -- it shows -- 120 -- grace -- 150
        (70, 100, 1, 0),
        (50, 65, 1, 0),  # a little early, and still on when it shows
        (50, 55, 0, 0),  # too early to detect what nobody could have seen, and not false either
        (30, 39, 0, 1),  # over before anything was wrong
        (140, 160, 1, 0),  # late, within the grace
        (151, 160, 0, 1),  # too late
        (70, None, 1, 0),  # never cleared
    ],
)
def test_an_alert_counts_where_it_overlaps_the_truth(
    raised: int, cleared: int | None, detected: int, false: int
) -> None:
    """Detected and false follow from whether alert and interval overlap, with the grace after it."""
    assert GRACE_MINUTES == 30
    ward = _Ward()
    ward.alert("bed-1", "vitals", raised)
    if cleared is not None:
        ward.cleared("bed-1", "vitals", cleared)
    summary = ward.tally.summary([_interval("bed-1")], 200 * MINUTE_MS)
    assert (detected, 1 - detected, false) == (summary.detected, summary.missed, summary.false)


def test_only_an_agent_that_reads_the_fault_detects_it() -> None:
    """A log alert detects no patient's sepsis, but on the failing device it is no false alert either."""
    ward = _Ward()
    ward.alert("bed-1", "log-line", 70)
    ward.alert("bed-2", "vitals", 70)
    summary = ward.tally.summary([_interval("bed-1")], 200 * MINUTE_MS)
    assert (summary.detected, summary.missed, summary.false) == (0, 1, 1)


def test_faults_that_were_not_played_are_not_missed() -> None:
    """Where the ward's clock stopped before a fault showed, it does not count."""
    summary = _Ward().tally.summary([_interval("bed-1")], 60 * MINUTE_MS)
    assert (summary.detected, summary.missed) == (0, 0)


def test_an_alert_published_again_is_the_same_alert() -> None:
    """After a reconnection all alerts come again; the period stays one."""
    ward = _Ward()
    ward.alert("bed-2", "vitals", 10)
    ward.alert("bed-2", "vitals", 10)
    assert ward.tally.summary([], 200 * MINUTE_MS).false == 1
    assert ward.tally.alerts_on("bed-2") == ["vitals"]
    ward.cleared("bed-2", "vitals", 20)
    assert ward.tally.alert_topics == []


def test_latency_is_to_the_first_classification() -> None:
    """The second agent's answer to the same input does not count, and p50 and p99 are nearest ranks."""
    ward = _Ward()
    for number in range(100):
        ward.tally.sent("bed-1", str(number), float(number))
        ward.classified("bed-1", "vitals", 1, input_id=str(number), at_s=number + 0.001 * (number + 1))
        ward.classified("bed-1", "deterioration", 1, input_id=str(number), at_s=number + 5.0)
    summary = ward.tally.summary([], 0)
    assert (summary.p50_ms, summary.p99_ms) == (50.0, 99.0)
    assert (summary.events_in, summary.events_out) == (100, 200)
    assert ward.tally.unanswered == 0


def test_nothing_answered_has_no_latency() -> None:
    """Without an answer there is no percentile, and it is said with a dash."""
    summary = _Ward().tally.summary([], 0)
    assert summary.p50_ms is None
    assert "p50 - ms" in told(summary, 0)


def test_the_table_has_a_row_for_each_device() -> None:
    """Every device has its row, whatever came."""
    ward = _Ward()
    ward.classified("bed-1", "vitals", 1)
    ward.alert("bed-2", "vitals", 1)
    assert table(ward.tally, 0, 1.0).row_count == 3


def _demo(*arguments: str, env: dict[str, str] | None = None) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "gateway", "demo", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **(env or {})},
    )


def _left_over(folder: Path) -> list[str]:
    """Processes that still work with *folder*."""
    found = []
    for command in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = command.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
        except OSError:  # it ended while we looked
            continue
        if str(folder) in words:
            found.append(words)
    return found


def _played(tmp_path: Path, *arguments: str) -> None:
    """Plays the whole demo fast and checks its end."""
    with _demo("--for", "12", *arguments, env={"TMPDIR": str(tmp_path)}) as process:
        out, err = process.communicate(timeout=150)
    assert process.returncode == 0, err
    assert "Traceback" not in out + err
    summary = json.loads(out.splitlines()[-1])
    assert list(summary) == FIELDS
    assert summary["events_in"] > 6000
    assert summary["events_out"] >= summary["events_in"]
    assert summary["detected"] + summary["missed"] == 8
    assert summary["p50_ms"] > 0
    assert _left_over(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_the_whole_demo(tmp_path: Path) -> None:
    """With its own broker it ends with 0 and its summary, everything is answered, and nothing stays."""
    _played(tmp_path)


@pytest.mark.slow
def test_the_demo_on_a_broker_of_ones_own(tmp_path: Path) -> None:
    """On another's broker it leaves no retained message behind."""
    with EmbeddedBroker("nats-server") as broker:
        _played(tmp_path, "--broker", broker.url)
        retained: list[str] = []
        client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv311)
        client.on_message = lambda _c, _u, message: retained.append(message.topic)
        subscribed: list[object] = []
        client.on_subscribe = lambda *details: subscribed.append(details)
        client.connect(HOST, broker.port)
        client.subscribe("edgeward/#", qos=1)
        while not subscribed:
            client.loop(0.1)
        for _ in range(10):
            client.loop(0.1)
        client.disconnect()
        assert retained == []


@pytest.mark.slow
def test_ctrl_c_ends_the_demo(tmp_path: Path) -> None:
    """Interrupted in the middle it still sums up, ends as a shell expects, and leaves nothing behind."""
    with _demo("--for", "60", env={"TMPDIR": str(tmp_path)}) as process:
        assert process.stdout is not None
        while "events in" not in process.stdout.readline():
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in out + err
    assert list(json.loads(out.splitlines()[-1])) == FIELDS
    assert _left_over(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_a_gateway_that_fails_ends_the_demo(tmp_path: Path) -> None:
    """When the gateway can't start, the demo says so with the gateway's own words and ends with 1."""
    with _demo("--for", "5", env={"TMPDIR": str(tmp_path), "EDGEWARD_RUNTIME": "no-such-runtime"}) as process:
        out, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "The gateway ended by itself (exit code 1)" in err
    assert "no-such-runtime" in err
    assert "Traceback" not in out + err
    assert list(tmp_path.iterdir()) == []
