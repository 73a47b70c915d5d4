"""Replays and scenarios over a real broker: everything arrives, in its order, and a stop takes effect."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.broker import HOST, EmbeddedBroker, find_mosquitto
from models.datasets.registry import Row
from models.errors import BrokerRefused, UsageError
from simulators.access import BrokerAccess
from simulators.client import Sessions
from simulators.replay import arrivals, replay
from simulators.simulate import simulate, start_ms
from tests.conftest import Certificates
from tests.data import needs

HOUR_MS = 3_600_000


needs_mosquitto = pytest.mark.skipif(find_mosquitto() is None, reason="mosquitto is not on this machine")


def _never() -> bool:
    return False


def _rows(devices: int = 3, hours: int = 10) -> Iterator[Row]:
    for device in range(devices):
        for hour in range(hours):
            yield Row(f"d{device}", hour * HOUR_MS, "vitals", {"hr": 60 + hour}, f"d{device}-{hour}")


def _access(broker: EmbeddedBroker) -> BrokerAccess:
    return BrokerAccess(HOST, broker.port)


class _Listener:
    """Hears one site, in a session that a test pumps."""

    def __init__(self, broker: EmbeddedBroker, site: str) -> None:
        self.heard: list[tuple[str, bytes]] = []
        self.sessions = Sessions(
            _access(broker),
            client_id="listener",
            rng=random.Random(0),
            say=lambda _sentence: None,
            filters=[f"edgeward/v1/{site}/#"],
            on_message=lambda message: self.heard.append((message.topic, bytes(message.payload))),
        )
        self.sessions.connect(_never)

    def until(self, count: int) -> None:
        deadline = time.monotonic() + 20
        while len(self.heard) < count and time.monotonic() < deadline:
            self.sessions.pump(0.05)


def test_rows_arrive_in_order_of_time() -> None:
    """Devices are interleaved by time, and rows of one instant stay in the dataset's order."""
    found = arrivals(_rows(), site="s")
    assert len(found) == 30
    assert [(hour * HOUR_MS, f"d{device}") for hour in range(10) for device in range(3)] == [
        (each.time_ms, each.device) for each in found
    ]
    assert found[0].topic == "edgeward/v1/s/d0/vitals"
    assert json.loads(found[0].payload) == {"id": "d0-0", "time": 0, "hr": 60}


def test_some_devices_and_hours() -> None:
    """The first devices, or those named, and each one's first hours."""
    assert {each.device for each in arrivals(_rows(), site="s", devices=2)} == {"d0", "d1"}
    assert {each.device for each in arrivals(_rows(), site="s", devices=["d2"])} == {"d2"}
    assert len(arrivals(_rows(), site="s", hours=4)) == 12
    with pytest.raises(UsageError, match="no device x"):
        arrivals(_rows(), site="s", devices=["d1", "x"])


def test_disorder_is_late_bounded_and_seeded() -> None:
    """Rows come up to so many hours late, overtake each other, keep their own time, and do so by the seed."""
    found = arrivals(_rows(), site="s", disorder_hours=6, seed=1)
    late = [each.time_ms - json.loads(each.payload)["time"] for each in found]
    assert min(late) >= 0
    assert max(late) <= 6 * HOUR_MS
    times = [json.loads(each.payload)["time"] for each in found if each.device == "d0"]
    assert times != sorted(times)
    assert found == arrivals(_rows(), site="s", disorder_hours=6, seed=1)
    assert found != arrivals(_rows(), site="s", disorder_hours=6, seed=2)
    assert len(found) == 30


@pytest.fixture
def small_dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A dataset of our own in the registry's place of names, so that no data folder is needed."""
    monkeypatch.setattr("models.datasets.registry.rows", lambda _name, _folder: _rows(5, 40))
    return tmp_path


def test_a_replay_arrives_whole(broker: EmbeddedBroker, small_dataset: Path) -> None:
    """All rows reach a subscriber with the payloads that a recording of the same replay holds."""
    listener = _Listener(broker, "made")
    summary = replay(
        "made", data_directory=small_dataset, access=_access(broker), stop=_never, say=pytest.fail
    )
    assert (summary.sent, summary.acknowledged, summary.finished) == (200, 200, True)
    listener.until(200)
    listener.sessions.close()
    output = small_dataset / "recording.jsonl"
    written = replay("made", data_directory=small_dataset, output=output, stop=_never, say=pytest.fail)
    assert (written.sent, written.acknowledged) == (200, None)
    recorded: list[dict[str, Any]] = [json.loads(line) for line in output.read_text().splitlines()]
    assert sorted(listener.heard) == sorted((each["topic"], each["payload"].encode()) for each in recorded)
    assert [each["time"] for each in recorded] == sorted(each["time"] for each in recorded)
    for device in range(5):  # a device's own messages keep their order
        topic = f"edgeward/v1/made/d{device}/vitals"
        times = [json.loads(payload)["time"] for heard, payload in listener.heard if heard == topic]
        assert times == sorted(times)


def test_wrong_use_is_said(tmp_path: Path, small_dataset: Path) -> None:
    """Contradictions and names that the contract doesn't allow are refused."""

    def call(**arguments: Any) -> None:
        replay("made", data_directory=small_dataset, stop=_never, say=pytest.fail, **arguments)

    with pytest.raises(UsageError, match="one of them"):
        call()
    with pytest.raises(UsageError, match="not both"):
        call(output=tmp_path / "x", speed=2.0, rate=5.0)
    with pytest.raises(UsageError, match="A site is"):
        call(output=tmp_path / "x", site="a/b")
    with pytest.raises(UsageError, match="can't be written"):
        call(output=tmp_path / "none" / "x")


def test_a_scenario_plays_to_its_end(broker: EmbeddedBroker, tmp_path: Path) -> None:
    """A whole scenario at full speed is acknowledged, with its truth beside it."""
    said: list[str] = []
    truth_path = tmp_path / "truth.json"
    summary = simulate(
        "sepsis-ward", _access(broker), speed=0, truth_path=truth_path, stop=_never, say=said.append
    )
    truth = json.loads(truth_path.read_text())
    assert summary.finished
    assert summary.sent == summary.acknowledged
    assert summary.site == truth["site"]
    assert {each["what"] for each in truth["intervals"]} >= {"sepsis"}
    assert said == []
    other = simulate("quiet-ward", _access(broker), speed=0, stop=_never, say=said.append)
    assert other.site != summary.site


def test_a_stop_ends_a_slow_run(broker: EmbeddedBroker) -> None:
    """A run in real time ends soon after it is told to, and says that it did not finish."""
    asked_s = time.monotonic() + 0.3
    summary = simulate(
        "demo", _access(broker), speed=1.0, stop=lambda: time.monotonic() > asked_s, say=pytest.fail
    )
    assert not summary.finished


def test_a_broker_that_dies_costs_nothing() -> None:
    """Messages in flight when the broker is killed are sent again; it is said that it was away."""
    said: list[str] = []
    with (
        EmbeddedBroker() as broker,
        Sessions(_access(broker), client_id="p", rng=random.Random(1), say=said.append) as sessions,
    ):
        assert sessions.connect(_never)
        for number in range(1000):
            if number == 500:
                broker.kill()
                sessions.pump(0.2)
                broker.restart()
            while not sessions.publish("d", "edgeward/v1/s/d/log", b"%d" % number):
                sessions.pump(0.05)
            sessions.pump(0.0)
        assert sessions.drain(20, _never)
        assert (sessions.sent, sessions.acknowledged) == (1000, 1000)
    assert len(said) == 2
    assert "trying again" in said[0]
    assert "answers again" in said[1]


def test_an_absent_broker_is_said_until_stopped() -> None:
    """Nobody at the address: one sentence, attempts that go on, and no traceback."""
    with EmbeddedBroker() as broker:
        access = _access(broker)
    said: list[str] = []
    asked_s = time.monotonic() + 1.0
    summary = simulate("demo", access, stop=lambda: time.monotonic() > asked_s, say=said.append)
    assert (summary.sent, summary.finished) == (0, False)
    assert len(said) == 1
    assert access.url in said[0]


@needs_mosquitto
def test_a_broker_that_says_no_ends_it() -> None:
    """Somebody who isn't let in is no reason to try again."""
    with (
        EmbeddedBroker("mosquitto", settings=["allow_anonymous false"]) as broker,
        pytest.raises(BrokerRefused, match="not authorised"),
    ):
        simulate("demo", _access(broker), stop=_never, say=pytest.fail)


@needs_mosquitto
def test_tls_as_a_real_device(certificates: Certificates) -> None:
    """Over TLS a replay needs the right authority, and the host's own name."""
    settings = [f"certfile {certificates.server}", f"keyfile {certificates.key}"]
    with EmbeddedBroker("mosquitto", settings=settings, tls=True) as broker:
        right = BrokerAccess("localhost", broker.port, tls=True, ca_file=certificates.ca)
        summary = simulate("quiet-ward", right, speed=0, stop=_never, say=pytest.fail)
        assert summary.finished
        assert summary.sent == summary.acknowledged
        for wrong in (replace(right, ca_file=certificates.stranger), replace(right, host=HOST)):
            with pytest.raises(BrokerRefused, match="is refused"):
                simulate("quiet-ward", wrong, speed=0, stop=_never, say=pytest.fail)
        absent = replace(right, ca_file=certificates.ca / "none")
        with pytest.raises(UsageError, match="certificate"):
            simulate("quiet-ward", absent, speed=0, stop=_never, say=pytest.fail)


@pytest.mark.parametrize(
    ("given", "expected"),
    [(None, None), ("1970-01-01T00:00:01Z", 1000), ("1970-01-01T01:00:00.5+01:00", 500)],
)
def test_starts(given: str | None, expected: int | None) -> None:
    """A start is a time with its offset."""
    assert expected == start_ms(given)


@pytest.mark.parametrize("given", ["yesterday", "2026-01-01T00:00:00"])
def test_wrong_starts(given: str) -> None:
    """Anything else, or a time without its offset, is refused."""
    with pytest.raises(UsageError):
        start_ms(given)


@pytest.mark.parametrize(
    ("dataset", "kind"),
    [
        ("ktas-triage", "note"),
        ("physionet-icu-2012", "vitals"),
        ("physionet-sepsis-2019", "vitals"),
        ("skab", "sensor"),
        ("bgl", "log"),
    ],
)
def test_real_data_becomes_messages(dataset: str, kind: str, tmp_path: Path) -> None:
    """Each dataset the issue names gives well-formed messages of its kind with ids of their own."""
    output = tmp_path / "recording.jsonl"
    replay(
        dataset,
        data_directory=needs(dataset),
        output=output,
        devices=5,
        hours=24,
        stop=_never,
        say=pytest.fail,
    )
    lines = [json.loads(line) for line in output.read_text("utf-8").splitlines()]
    assert lines
    assert all(line["topic"].startswith(f"edgeward/v1/{dataset}/") for line in lines)
    assert all(line["topic"].endswith(f"/{kind}") for line in lines)
    payloads = [json.loads(line["payload"], parse_constant=pytest.fail) for line in lines]
    assert len({(line["topic"], each["id"]) for line, each in zip(lines, payloads, strict=True)}) == len(
        lines
    )
