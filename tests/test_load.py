"""A load keeps to its clock, counts what comes back, and its latencies hide no pause of anybody."""

from __future__ import annotations

import json
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.broker import HOST, EmbeddedBroker
from gateway.cli import main
from gateway.cli.load import show
from models.errors import UsageError
from simulators.access import BrokerAccess
from simulators.latency import Answers, Histogram, NumbersSeen, Quantiles
from simulators.load import MOST_MESSAGES, checked_total, load
from simulators.load_report import LoadReport
from simulators.messages import Message
from tests.stand import Client, Gateway

DEVICES = 5


def _vitals() -> Iterator[Message]:
    """One round of readings, one device after the other; the last is of a patient who is very ill."""
    for number in range(DEVICES):
        well = {"hr": 70, "rr": 14, "spo2": 97, "sbp": 120, "temp": 36.8, "acvpu": "A", "on_oxygen": False}
        ill = {**well, "hr": 140, "rr": 30, "spo2": 84, "sbp": 85}
        payload = {"id": "x", "time": 0, "test": True, **(ill if number == DEVICES - 1 else well)}
        yield Message(0, f"d-{number}", "vitals", payload)


def _never() -> bool:
    return False


@pytest.fixture
def online(mosquitto: EmbeddedBroker, tmp_path: Path) -> Iterator[tuple[Gateway, Client, BrokerAccess]]:
    """A gateway that reads vital signs, and a client that hears all."""
    with (
        Client(mosquitto) as client,
        Gateway(mosquitto.url, tmp_path, "--agents", "vitals") as gateway,
    ):
        client.wait_online(gateway)
        yield gateway, client, BrokerAccess(HOST, mosquitto.port)


Online = tuple[Gateway, Client, BrokerAccess]


def _load(
    access: BrokerAccess, *, rate: float, seconds: float, stop: Callable[[], bool] = _never
) -> LoadReport:
    return load(_vitals(), access, rate=rate, seconds=seconds, site="l", stop=stop, say=pytest.fail)


def test_a_gateway_that_keeps_up_loses_and_repeats_nothing(online: Online) -> None:
    """Every message goes out with numbers that rise by one, is answered once, and an alert is timed."""
    _, client, access = online
    report = _load(access, rate=100, seconds=2)
    assert (report.sent, report.acknowledged, report.finished) == (200, 200, True)
    assert (report.lost, report.duplicates, report.reordered) == (0, 0, 0)
    assert (report.rejected, report.unreadable, report.unanswered) == (0, 0, {})
    assert [(line.agent, line.kind, line.inputs) for line in report.agents] == [("vitals", "vitals", 200)]
    assert report.classification is not None
    assert report.alert is not None
    assert (report.classification.count, report.alert.count) == (200, 1)
    assert 0 < report.classification.p50_ms <= report.classification.p99_ms <= report.classification.max_ms
    inputs = [each.event for each in client.seen if each.topic.endswith("/d-0/vitals")]
    assert [each["id"] for each in inputs] == [f"d-0-vitals-{number}" for number in range(1, 41)]
    assert [each["seq"] for each in inputs] == list(range(1, 41))
    assert all(each["test"] is True and each["hr"] == 70 for each in inputs)
    times = [each["time"] for each in inputs]
    assert {round((times[-1] - times[0]) / 39)} == {50}  # one of five devices, at 100 messages a second


def test_the_latencies_hold_a_pause_of_the_gateway(online: Online) -> None:
    """A gateway stopped for a second: what was due meanwhile is late by up to that second, not left out."""
    gateway, _, access = online
    began_s = time.monotonic()
    pause: dict[str, float] = {}

    def stop() -> bool:
        now_s = time.monotonic() - began_s
        if "from" not in pause and now_s > 1.0:
            gateway.process.send_signal(signal.SIGSTOP)
            pause["from"] = now_s
        elif "from" in pause and "to" not in pause and now_s > pause["from"] + 1.0:
            gateway.process.send_signal(signal.SIGCONT)
            pause["to"] = now_s
        return False

    report = _load(access, rate=100, seconds=3, stop=stop)
    assert "to" in pause
    assert report.classification is not None
    assert (report.lost, report.classification.count) == (0, 300)
    # 100 of 300 were due in that second, evenly: a tenth of all is later than 0.7 s.
    assert report.classification.p90_ms > 600
    assert report.classification.max_ms > 900


def test_the_latencies_hold_a_pause_of_the_generator(online: Online) -> None:
    """This process stands still for a second: it sends all, says how late, and that it was the limit."""
    _, _, access = online
    calls: Counter[str] = Counter()

    def stop() -> bool:
        calls["of stop"] += 1
        if calls["of stop"] == 200:
            time.sleep(1.0)
        return False

    report = _load(access, rate=100, seconds=3, stop=stop)
    assert report.classification is not None
    assert report.send_lag is not None
    assert (report.sent, report.lost) == (300, 0)
    assert report.classification.p90_ms > 600
    assert report.send_lag.max_ms > 900
    assert report.generator_limited
    assert any("generator itself was the limit" in remark for remark in report.remarks)


def _quantiles(p99_ms: float) -> Quantiles:
    return Quantiles(100, p99_ms / 2, p99_ms / 2, p99_ms, p99_ms, p99_ms)


@pytest.mark.parametrize(
    ("lag_ms", "latency_ms", "cpu_share", "held_s", "expected"),
    [
        (1.0, 50.0, 0.2, 0.0, False),
        (70.0, 90.0, 0.2, 0.0, True),  # most of the latency is our own delay
        (70.0, 1400.0, 0.2, 0.0, False),  # the gateway is the limit, though we are a little late too
        (1.0, 50.0, 0.95, 0.0, True),  # a core is all that one process has
        (70.0, 90.0, 0.2, 5.0, False),  # we were late because the broker would take no more
        (70.0, None, 0.2, 0.0, True),
    ],
)
def test_who_was_the_limit(
    lag_ms: float, latency_ms: float | None, cpu_share: float, held_s: float, expected: bool
) -> None:
    report = LoadReport(
        site="s",
        rate=100.0,
        achieved_rate=100.0,
        seconds=10.0,
        sent=1000,
        acknowledged=1000,
        lost=0,
        duplicates=0,
        reordered=0,
        rejected=0,
        unreadable=0,
        unanswered={},
        agents=[],
        classification=None if latency_ms is None else _quantiles(latency_ms),
        alert=None,
        send_lag=_quantiles(lag_ms),
        held_back_seconds=held_s,
        cpu_share=cpu_share,
        finished=True,
    )
    assert report.generator_limited == expected
    assert bool(report.remarks) == (expected or held_s > 0)


def test_without_a_gateway_it_says_so(mosquitto: EmbeddedBroker, capsys: pytest.CaptureFixture[str]) -> None:
    report = _load(BrokerAccess(HOST, mosquitto.port), rate=50, seconds=0.2)
    assert (report.sent, report.lost, report.unanswered) == (10, 10, {"vitals": 10})
    assert (report.classification, report.alert) == (None, None)
    show(report, as_json=False)
    printed = capsys.readouterr().out
    assert "10 lost" in printed
    assert "No gateway answered any input of the kind vitals" in printed
    show(report, as_json=True)
    assert json.loads(capsys.readouterr().out)["lost"] == 10


def test_a_load_that_is_stopped_still_hears_the_answers_on_their_way(online: Online) -> None:
    _, _, access = online
    began_s = time.monotonic()
    report = _load(access, rate=50, seconds=600, stop=lambda: time.monotonic() - began_s > 1.0)
    assert not report.finished
    assert 0 < report.sent < 100
    assert (report.acknowledged, report.lost) == (report.sent, 0)


def test_the_command_loads_with_a_scenario(mosquitto: EmbeddedBroker, capsys: Any) -> None:
    """`edgeward simulate SCENARIO --load RATE --for SECONDS --json` prints the report alone."""
    options = ["--broker", mosquitto.url, "--load", "200", "--for", "0.5", "--json"]
    assert main(["simulate", "mixed-hospital", *options]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["sent"], report["rate"], report["finished"]) == (100, 200.0, True)
    assert main(["simulate", "quiet-ward", *options, "--start", "now"]) == 2


@pytest.mark.parametrize(
    ("rate", "seconds"), [(0, 1), (1, 0), (float("inf"), 1), (0.5, 1), (MOST_MESSAGES, 2)]
)
def test_loads_that_make_no_sense(rate: float, seconds: float) -> None:
    with pytest.raises(UsageError):
        checked_total(rate, seconds)


@given(st.lists(st.integers(1, 12), max_size=40))
def test_numbers_are_counted_as_they_what_came(numbers: list[int]) -> None:
    """Whatever comes in whatever order: each number once at first, again as a duplicate; the rest is lost."""
    seen = NumbersSeen()
    first = [seen.came(number) for number in numbers]
    assert sum(first) == len(set(numbers))
    assert seen.duplicates == len(numbers) - len(set(numbers))
    assert seen.lost(12) == 12 - len(set(numbers))
    late = 0
    for index, number in enumerate(numbers):
        before = numbers[:index]
        late += number not in before and any(other > number for other in before)
    assert seen.reordered == late


@given(st.lists(st.floats(1e-6, 3000), min_size=1, max_size=200))
def test_a_histogram_keeps_three_digits(seconds: list[float]) -> None:
    """The greatest value and the median are within a thousandth of the real ones."""
    histogram = Histogram()
    for each in seconds:
        histogram.add(each)
    found = histogram.quantiles
    assert found is not None
    assert found.count == len(seconds)
    assert found.max_ms == pytest.approx(max(seconds) * 1000, rel=2e-3, abs=2e-3)
    median = sorted(seconds)[(len(seconds) + 1) // 2 - 1]
    assert found.p50_ms == pytest.approx(median * 1000, rel=2e-3, abs=2e-3)


def _output(input_id: str, event_id: str = "e") -> bytes:
    return json.dumps({"id": event_id, "data": {"input": {"id": input_id}}}).encode()


def test_answers_are_held_against_what_was_sent() -> None:
    """By hand: of three inputs one is never answered, one twice; an alert's second publication is no news."""
    answers = Answers("s")
    for number in range(3):
        answers.sent("d-1", "log", 10.0 + number)
    answers.sent("d-1", "note", 20.0)
    topic = "edgeward/v1/s/d-1/classification/log-line"
    answers.came(topic, _output("d-1-log-1"), 10.5)
    answers.came(topic, _output("d-1-log-3"), 12.25)
    answers.came(topic, _output("d-1-log-3"), 14.0)
    for at_s in (13.0, 99.0):
        answers.came("edgeward/v1/s/d-1/alert/log-line", _output("d-1-log-3"), at_s)
    answers.came("edgeward/v1/s/d-1/alert/log-line", b"", 100.0)
    answers.came("edgeward/gateway/g/rejected", b"{}", 15.0)
    for stranger in (b"{", b'"x"', _output("d-1-log-9"), _output("d-1-log-0"), _output("other")):
        answers.came(topic, stranger, 16.0)
    (line,) = answers.lines()
    assert (line.agent, line.kind, line.inputs, line.lost, line.duplicates) == ("log-line", "log", 3, 1, 1)
    assert line.classification is not None
    assert line.alert is not None
    assert (line.classification.count, line.alert.count) == (2, 1)
    assert line.classification.max_ms == pytest.approx(500, rel=1e-3)
    assert line.alert.max_ms == pytest.approx(1000, rel=1e-3)
    assert answers.unanswered == {"note": 1}
    assert (answers.owed, answers.rejected, answers.unreadable) == (1, 1, 5)
