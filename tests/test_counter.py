"""Counting devices over sessions that a test decides about: what they send, hold, and send again."""

from __future__ import annotations

import json
from collections import Counter
from itertools import islice
from typing import Any, cast

import pytest

from simulators import counter
from simulators.client import Sessions
from simulators.counter import RESEND_SECONDS, Devices
from simulators.ledger import Ledger

ANSWERED_BY = {"vitals": ("vitals",), "sensor": ("sensor-anomaly",), "note": ("triage-note",), "log": ("l",)}


class SessionsInMemory:
    """Takes what is published, while *taking*."""

    def __init__(self) -> None:
        self.taking = True
        self.sent: list[str] = []

    def publish(self, _key: str, _topic: str, _payload: bytes, *, token: str) -> bool:
        if self.taking:
            self.sent.append(token)
        return self.taking


def fleet(**options: Any) -> tuple[SessionsInMemory, Ledger, Devices]:
    sessions = SessionsInMemory()
    ledger = Ledger(ANSWERED_BY)
    options = {"seed": 1, "site": "s", "devices": 1, "rate": 10.0, **options}
    return sessions, ledger, Devices(cast("Sessions", sessions), ledger, **options)


def test_what_fell_due_while_nobody_took_it_is_sent_once_somebody_does_also_after_the_end() -> None:
    sessions, _, devices = fleet()
    devices.turn(100.0, sending=True)
    sessions.taking = False
    devices.turn(102.0, sending=True)
    assert (sessions.sent, devices.left) == ([], 20)
    sessions.taking = True
    devices.turn(105.0, sending=False)
    assert sessions.sent == [f"device-000-vitals-{number}" for number in range(20)]
    assert devices.left == devices.unanswered == 20


def test_copies_and_late_readings_are_sent_after_a_while_and_none_is_left_out() -> None:
    sessions, ledger, devices = fleet(devices=9, rate=1000.0, duplicates=0.1, disorder=0.1, bad=0.1)
    devices.turn(0.0, sending=True)
    devices.turn(2.0, sending=True)
    devices.turn(2.0, sending=False)
    times = Counter(sessions.sent)
    readings = {name for name in times if "-" in name}
    assert len(readings) == 2_000
    assert len(times) - 2_000 == pytest.approx(200, rel=0.5)
    assert sum(times.values()) - len(times) == ledger.statement().sent_again == pytest.approx(180, rel=0.5)
    first_two = [name for name in sessions.sent if name.startswith("device-000-")]
    assert first_two != sorted(first_two, key=lambda name: int(name.rsplit("-", 1)[1]))


def test_a_device_that_holds_sends_again_what_was_acknowledged_and_overtaken() -> None:
    sessions, ledger, devices = fleet(rate=1.0, hold=True)
    devices.turn(0.0, sending=True)
    devices.turn(3.0, sending=True)
    forgotten, unacknowledged, answered = sessions.sent
    ledger.acknowledged(forgotten)
    devices.answered(answered, 4.0)
    sessions.sent.clear()
    devices.turn(3.0 + RESEND_SECONDS, sending=False)
    assert sessions.sent == [forgotten]
    devices.answered(forgotten, 20.0)
    devices.turn(60.0, sending=False)
    assert sessions.sent == [forgotten]
    assert devices.left == 1
    assert unacknowledged not in ledger.unanswered()


def test_a_device_that_does_not_hold_sends_nothing_again() -> None:
    sessions, ledger, devices = fleet(rate=1.0)
    devices.turn(0.0, sending=True)
    devices.turn(1.0, sending=True)
    ledger.acknowledged(sessions.sent[0])
    devices.turn(1000.0, sending=False)
    assert len(sessions.sent) == 1


def test_devices_wait_while_too_much_is_unanswered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counter, "UNANSWERED_LIMIT", 5)
    sessions, _, devices = fleet()
    devices.turn(0.0, sending=True)
    devices.turn(1.0, sending=True)
    assert len(sessions.sent) == 5
    devices.answered(sessions.sent[0], 1.0)
    devices.turn(1.0, sending=True)
    assert len(sessions.sent) == 6


def test_a_streams_numbers_rise_by_one() -> None:
    by_device: dict[str, list[int]] = {}
    for message in islice(counter.Streams(1, "s", 9), 90):
        by_device.setdefault(message.device, []).append(int(message.name.rsplit("-", 1)[1]))
        assert json.loads(message.payload)["id"] == message.name
    assert all(numbers == list(range(10)) for numbers in by_device.values())
