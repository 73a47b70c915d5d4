"""Simulated devices as real MQTT clients: many at once, broken and back, stopped, the same at any speed."""

from __future__ import annotations

import io
import json
import os
import random
import re
import resource
import signal
import subprocess
import sys
import time
from collections import defaultdict
from functools import partial
from pathlib import Path

import pytest

from gateway.broker import HOST, EmbeddedBroker, find_mosquitto
from gateway.progress import progress
from models.errors import BrokerRefused, UsageError
from simulators.access import BrokerAccess
from simulators.client import Sessions
from simulators.digest import Digest
from simulators.play import Summary
from simulators.resources import allow_sessions
from simulators.scenario import load_scenario
from simulators.simulate import session_plan, simulate
from simulators.truth import read_truth
from simulators.world import World
from tests.conftest import Certificates
from tests.stand import Client

needs_mosquitto = pytest.mark.skipif(find_mosquitto() is None, reason="mosquitto is not on this machine")
WARD = """
title = "A small ward"
seed = 3
start = 2026-03-02T08:00:00Z
hours = 1.0
[[beds]]
count = 6
[[machines]]
name = "pump-1"
kind = "pump"
[[emergency]]
name = "door"
arrivals_per_hour = 6
[[faults]]
what = "duplicate"
share = 0.1
[[faults]]
what = "reorder"
share = 0.1
seconds = 300
[[faults]]
what = "impersonate"
devices = ["bed-01"]
share = 0.2
[[faults]]
what = "corrupt"
share = 0.05
[[faults]]
what = "reconnect-storm"
from_hours = 0.5
"""


def _never() -> bool:
    return False


def _access(broker: EmbeddedBroker) -> BrokerAccess:
    return BrokerAccess(HOST, broker.port)


@pytest.fixture
def ward(tmp_path: Path) -> Path:
    file = tmp_path / "ward.toml"
    file.write_text(WARD)
    return file


def _played(
    broker: EmbeddedBroker,
    ward: Path,
    site: str,
    *,
    speed: float = 0.0,
    sessions: str,
    truth: Path | None = None,
) -> Summary:
    summary = simulate(
        str(ward),
        _access(broker),
        speed=speed,
        site=site,
        sessions=sessions,
        truth_path=truth,
        stop=_never,
        say=pytest.fail,
    )
    assert summary.finished
    assert summary.acknowledged == summary.sent
    return summary


@pytest.mark.parametrize("sessions", ["per-device", "pooled:2"])
def test_a_run_is_the_same_at_any_speed_and_site(broker: EmbeddedBroker, ward: Path, sessions: str) -> None:
    """Two speeds, two sites: one digest, and a subscriber hears the same payloads of each device.

    Connections break meanwhile, so that a broker may hand out a message twice, as QoS 1 allows.
    """
    expected = Digest()
    bodies: dict[str, set[bytes]] = defaultdict(set)
    for each in World(*load_scenario(str(ward))).sent():
        expected.add(each.device, each.kind, each.body)
        bodies[each.device].add(each.body)
    with Client(broker) as client:
        for site, speed in (("a", 0.0), ("b", 1800.0)):
            summary = _played(broker, ward, site, speed=speed, sessions=sessions)
            assert summary.digest == expected.hexdigest()
            assert "broken on purpose" in (summary.connections or "")
            client.wait(partial(_all_heard, client, site, bodies), "all payloads, and no others")


def _all_heard(client: Client, site: str, bodies: dict[str, set[bytes]], _seen: object) -> bool:
    heard: dict[str, set[bytes]] = defaultdict(set)
    for each in client.on(f"/v1/{site}/"):
        heard[each.topic.split("/")[3]].add(each.payload)
    return heard == bodies


def test_the_truth_counts_what_the_path_did(broker: EmbeddedBroker, ward: Path, tmp_path: Path) -> None:
    """What was sent and doubled is in the truth; a note that can't be read any more is not."""
    file = tmp_path / "truth.json"
    summary = _played(broker, ward, "a", sessions="per-device", truth=file)
    truth = read_truth(file)
    assert truth.path["sent"] == summary.sent
    assert truth.path["made"] + truth.path["duplicated"] == summary.sent
    assert truth.path["reconnects"] == 7
    notes = {}
    for each in World(*load_scenario(str(ward))).sent():
        if each.kind == "note":
            try:
                notes[each.device, json.loads(each.body)["id"]] = each.sender
            except (ValueError, KeyError):
                continue
    known = {(note.device, note.id) for note in truth.notes}
    assert known
    assert known <= notes.keys()


def test_a_digest_depends_on_each_devices_order_alone() -> None:
    def digest(*messages: tuple[str, bytes]) -> str:
        made = Digest()
        for device, body in messages:
            made.add(device, "log", body)
        return made.hexdigest()

    assert digest(("a", b"1"), ("b", b"2"), ("a", b"3")) == digest(("b", b"2"), ("a", b"1"), ("a", b"3"))
    assert digest(("a", b"1"), ("a", b"3")) != digest(("a", b"3"), ("a", b"1"))
    assert digest(("a", b"1"), ("a", b"3")) != digest(("a", b"13"))
    assert digest(("a", b"1")) != digest(("b", b"1"))


def test_broken_sessions_come_back_and_nothing_is_lost(broker: EmbeddedBroker) -> None:
    """Twenty devices break in the middle; what they say meanwhile waits, and no broker is called away."""
    keys = [f"d{number}" for number in range(20)]
    with (
        Client(broker) as client,
        Sessions(
            _access(broker), keys=keys, client_id="storm", rng=random.Random(1), say=pytest.fail
        ) as sessions,
    ):
        assert sessions.connect(_never)
        for number in range(40):
            if number == 20:
                for key in keys:
                    sessions.cut(key)
                assert not sessions.ready
            for key in keys:
                while not sessions.publish(key, f"edgeward/v1/s/{key}/log", b"%d" % number):
                    sessions.pump(0.05)
            sessions.pump(0.0)
        assert sessions.drain(20, _never)
        assert sessions.ready
        assert sessions.reconnects == 20
        client.wait(lambda _: len({(each.topic, each.payload) for each in client.seen}) == 800, "all of them")


def test_devices_have_sessions_of_their_own_or_share() -> None:
    name, scenario = load_scenario("demo")
    world = World(name, scenario)
    assert session_plan("per-device", world) == (world.devices, 0)
    assert session_plan("pooled", world) == (None, 4)
    assert session_plan("pooled:300", world) == (None, 300)
    for wrong in ("pooled:0", "pooled:2001", "pooled:", "single", ""):
        with pytest.raises(UsageError):
            session_plan(wrong, world)
    with pytest.raises(UsageError, match="pooled:N"):
        session_plan("per-device", World(name, scenario, devices=2001))


def test_a_low_limit_of_open_files_is_raised_or_said() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (128, hard))
        allow_sessions(500)
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] >= 500
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if hard != resource.RLIM_INFINITY:
        with pytest.raises(UsageError, match="open files"):
            allow_sessions(hard)


@needs_mosquitto
def test_sessions_per_device_over_tls_and_with_a_password(certificates: Certificates, tmp_path: Path) -> None:
    """Sixty devices connect as real ones do, and a wrong password ends the run."""
    passwords = tmp_path / "passwords"
    subprocess.run(["mosquitto_passwd", "-c", "-b", passwords, "ward", "sesame"], check=True)
    passwords.chmod(0o644)
    settings = [f"certfile {certificates.server}", f"keyfile {certificates.key}"]
    settings += ["allow_anonymous false", f"password_file {passwords}"]
    with EmbeddedBroker("mosquitto", settings=settings, tls=True) as broker:
        right = BrokerAccess(
            "localhost", broker.port, tls=True, ca_file=certificates.ca, username="ward", password="sesame"
        )
        keys = [f"d{number}" for number in range(60)]
        with Sessions(right, keys=keys, client_id="t", rng=random.Random(1), say=pytest.fail) as sessions:
            assert sessions.connect(_never)
            assert all(sessions.publish(key, f"edgeward/v1/s/{key}/log", b"x") for key in keys)
            assert sessions.drain(20, _never)
        wrong = BrokerAccess(
            "localhost", broker.port, tls=True, ca_file=certificates.ca, username="ward", password="guess"
        )
        with (
            Sessions(wrong, keys=keys, client_id="t", rng=random.Random(1), say=pytest.fail) as sessions,
            pytest.raises(BrokerRefused),
        ):
            sessions.connect(_never)


@needs_mosquitto
@pytest.mark.slow
def test_ctrl_c_stops_two_thousand_sessions_within_two_seconds_with_a_summary(tmp_path: Path) -> None:
    """2,000 devices, each its own session, stopped in the middle: a summary, the truth so far, and 130."""
    truth_file = tmp_path / "truth.json"
    with EmbeddedBroker("mosquitto") as broker:
        command = [sys.executable, "-m", "gateway", "simulate", "demo", "--broker", broker.url]
        command += [
            "--devices",
            "2000",
            "--sessions",
            "per-device",
            "--speed",
            "30",
            "--truth",
            str(truth_file),
        ]
        with (
            Client(broker, filters=["edgeward/v1/+/+/vitals"]) as client,
            subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ)
            ) as process,
        ):
            client.wait(lambda seen: len(seen) >= 500, "five hundred messages")
            process.send_signal(signal.SIGINT)
            asked_s = time.monotonic()
            out, err = process.communicate(timeout=30)
            took_s = time.monotonic() - asked_s
    assert process.returncode == 130
    assert "Traceback" not in out + err
    assert took_s < 2.0
    assert "2,000 of 2,000 sessions opened" in out
    assert "It did not come to its end." in out
    assert re.search(r"MiB of memory at most, [0-9.]+ s of processor time", out)
    truth = read_truth(truth_file)
    assert truth.path["sent"] > 0
    assert truth.end < World(*load_scenario("demo")).end_ms
    assert len(truth.devices) == 2000


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("output", "shown"), [(io.StringIO(), "ward: 50%, 7 messages\n"), (_Terminal(), "50 %")]
)
def test_progress_is_a_bar_on_a_terminal_and_lines_off_it(
    output: io.StringIO, shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.progress.BAR_SECONDS", 0.0)
    monkeypatch.setattr("gateway.progress.LINE_SECONDS", 0.0)
    with progress("ward", 100, 200, output) as shows:
        shows(7, 150)
    assert shown in output.getvalue()


def test_a_short_run_shows_no_progress() -> None:
    output = io.StringIO()
    with progress("ward", 0, 1, output) as shows:
        shows(1, 1)
    assert output.getvalue() == ""
