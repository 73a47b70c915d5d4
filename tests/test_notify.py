"""What systemd is told, through a real socket, and when."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import pytest

from gateway.broker import EmbeddedBroker
from gateway.notify import START_SECONDS, Notifier
from tests.stand import PATIENCE_SECONDS, Gateway


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    """The service manager's end."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.setblocking(False)
        yield listening


def told(manager: socket.socket) -> list[dict[str, str]]:
    """All messages so far, as their assignments."""
    messages: list[dict[str, str]] = []
    while True:
        try:
            text = manager.recv(4096).decode()
        except BlockingIOError:
            return messages
        messages.append(dict(line.split("=", 1) for line in text.splitlines()))


def env(manager: socket.socket, **more: str) -> dict[str, str]:
    return {"NOTIFY_SOCKET": manager.getsockname(), **more}


def test_its_life_is_told_in_order(manager: socket.socket) -> None:
    with Notifier(env(manager)) as notifier:
        notifier.ready("Online at broker:1883")
        notifier.reloading()
        notifier.ready("Online at broker:1883")
        notifier.status("Degraded")
        notifier.stopping()
    online, reloading, again, degraded, stopping = told(manager)
    assert online == again == {"READY": "1", "STATUS": "Online at broker:1883"}
    assert reloading["RELOADING"] == "1"
    assert int(reloading["MONOTONIC_USEC"]) > 0
    assert degraded == {"STATUS": "Degraded"}
    assert stopping["STOPPING"] == "1"


def test_the_watchdog_is_fed_by_turns_and_only_by_turns(manager: socket.socket) -> None:
    """Four times in its period while the loop turns; a loop that stands still feeds nothing."""
    clock = Clock()
    with Notifier(env(manager, WATCHDOG_USEC="8000000"), monotonic=clock) as notifier:
        notifier.ready("Online")
        for _ in range(80):
            clock.now += 0.1
            notifier.turned()
        assert told(manager)[1:] == [{"WATCHDOG": "1"}] * 4
        clock.now += 60
        assert told(manager) == []


def test_while_the_broker_is_away_turns_extend_the_time_to_start(manager: socket.socket) -> None:
    clock = Clock()
    with Notifier(env(manager, WATCHDOG_USEC="8000000"), monotonic=clock) as notifier:
        for _ in range(3):
            notifier.turned()
            notifier.turned()
            clock.now += START_SECONDS / 2
    messages = told(manager)
    assert [each["EXTEND_TIMEOUT_USEC"] for each in messages] == ["60000000"] * 3
    assert not any("WATCHDOG" in each for each in messages)


def test_the_watchdog_of_another_process_is_left_alone(manager: socket.socket) -> None:
    clock = Clock()
    given = env(manager, WATCHDOG_USEC="8000000", WATCHDOG_PID=str(os.getpid() + 1))
    with Notifier(given, monotonic=clock) as notifier:
        notifier.ready("Online")
        clock.now += 10
        notifier.turned()
    assert len(told(manager)) == 1


def test_an_abstract_socket_is_reached_too() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(f"\0edgeward-test-{os.getpid()}")
        listening.setblocking(False)
        with Notifier({"NOTIFY_SOCKET": f"@edgeward-test-{os.getpid()}"}) as notifier:
            notifier.stopping()
        assert told(listening)[0]["STOPPING"] == "1"


@pytest.mark.parametrize("address", ["", "/nowhere/at/all", "vsock:2:1234"])
def test_without_a_manager_that_listens_nothing_happens(address: str) -> None:
    with Notifier({"NOTIFY_SOCKET": address}) as notifier:
        notifier.ready("Online")
        notifier.turned()


def test_a_manager_that_does_not_read_does_not_hold_the_gateway(manager: socket.socket) -> None:
    with Notifier(env(manager)) as notifier:
        for _ in range(10_000):
            notifier.status("x" * 200)


def test_a_gateway_tells_its_life_to_its_manager(
    mosquitto: EmbeddedBroker, manager: socket.socket, tmp_path: Path
) -> None:
    """Ready once it is online, fed by its loop, and after SIGSTOP, as of a loop that hangs, fed no more."""
    heard: list[dict[str, str]] = []

    def hear(what: str, times: int = 1) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while sum(what in each for each in heard) < times:
            assert time.monotonic() < deadline, heard
            heard.extend(told(manager))
            time.sleep(0.02)

    settings = env(manager, WATCHDOG_USEC="2000000")
    with Gateway(mosquitto.url, tmp_path, "--agents", "vitals", env=settings) as gateway:
        hear("READY")
        hear("WATCHDOG", 2)
        gateway.process.send_signal(signal.SIGHUP)
        hear("READY", 2)
        gateway.process.send_signal(signal.SIGSTOP)
        time.sleep(0.2)
        told(manager)
        time.sleep(1.2)
        assert told(manager) == []
        gateway.process.send_signal(signal.SIGCONT)
        gateway.stop()
        hear("STOPPING")
    states = [next(iter(each)) for each in heard]
    changes = [state for state, _ in groupby(each for each in states if each != "WATCHDOG")]
    assert changes == ["EXTEND_TIMEOUT_USEC", "READY", "RELOADING", "READY", "STOPPING"]
