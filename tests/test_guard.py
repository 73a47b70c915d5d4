"""Inputs and models that kill the gateway: real processes that really die, started again as systemd does."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Self

import pytest

from gateway.broker import EmbeddedBroker
from gateway.watchdog import EXIT_HUNG
from tests.stand import PATIENCE_SECONDS, Client

CONFIG = """
[gateway]
step_deadline_seconds = 1.0
[agents.log-line]
[agents.vitals]
"""
LOG = "edgeward/v1/hall/plc-1/log"
DIED = (-signal.SIGSEGV, -signal.SIGKILL, EXIT_HUNG)


class Supervised:
    """The poisoned gateway, started again whenever it dies, as its unit would; its log is kept."""

    def __init__(self, broker: EmbeddedBroker, folder: Path) -> None:
        (folder / "edgeward.toml").write_text(CONFIG)
        self._log = folder / "gateway.log"
        self._command = [
            *(sys.executable, "-m", "tests.poisoned", "gateway", "--broker", broker.url, "--name", "stand"),
            *("--state", str(folder / "state"), "--config", str(folder / "edgeward.toml")),
        ]
        self.ends: list[int] = []

    def _start(self) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as log:
            return subprocess.Popen(self._command, stdout=log, stderr=log)

    def __enter__(self) -> Self:
        self._process = self._start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.terminate()
        assert self._process.wait(PATIENCE_SECONDS) == 0, self._log.read_text()

    def minded(self) -> bool:
        """Starts it again if it has died; False, for use in a condition."""
        status = self._process.poll()
        if status is not None:
            assert status in DIED, (status, self._log.read_text())
            self.ends.append(status)
            self._process = self._start()
        return False

    def logged(self, event: str) -> list[dict[str, Any]]:
        """Its log's lines of one event."""
        lines = [json.loads(line) for line in self._log.read_text().splitlines() if line.startswith("{")]
        return [line for line in lines if line["event"] == event]


def answered(client: Client, gateway: Supervised, number: int) -> list[dict[str, Any]]:
    """The first *number* answers of the log agent, the gateway being started again meanwhile."""
    client.wait(
        lambda _: gateway.minded() or len(client.on("/classification/log-line")) >= number, "an answer"
    )
    return [each.event["data"] for each in client.on("/classification/log-line")]


@pytest.fixture
def stand(mosquitto: EmbeddedBroker, tmp_path: Path) -> Any:
    with Client(mosquitto) as client, Supervised(mosquitto, tmp_path) as gateway:
        client.wait(lambda seen: any(each.payload == b"online" for each in seen), "online")
        yield client, gateway


@pytest.mark.parametrize(
    ("wish", "cause", "deaths"), [("CRASH", "crashed", 2), ("HANG", "hung", 2), ("KILL", "killed", 4)]
)
def test_an_input_that_kills_the_gateway_is_set_aside_and_the_rest_is_answered(
    stand: tuple[Client, Supervised], wish: str, cause: str, deaths: int
) -> None:
    """The broker brings it again after each death; a kill without a mark has to hit it alone three times."""
    client, gateway = stand
    lines = [{"id": f"{number}", "line": "CRITICAL: disk 2 failed"} for number in range(40)]
    lines[7]["line"] = wish
    client.flush([client.publish(LOG, line) for line in lines])
    answers = answered(client, gateway, 39)
    assert {each["input"]["id"] for each in answers} == {f"{number}" for number in range(40)} - {"7"}
    assert {each["label"] for each in answers} == {"alert"}
    client.wait(lambda _: client.on("/rejected"), "the rejection")
    (rejected,) = client.on("/rejected")
    assert rejected.event["data"]["reason"].startswith("the gateway has died on this message before")
    # The first may hit it in a batch or, when it came by itself, alone.
    assert deaths - 1 <= len(gateway.ends) <= deaths
    assert {each["type"] for each in gateway.logged("died_at_work")} == {cause}
    assert len(gateway.logged("input_set_aside")) == 1
    assert gateway.logged("model_set_aside") == []


def test_a_model_that_dies_on_different_inputs_is_set_aside_and_its_agent_says_so(
    stand: tuple[Client, Supervised],
) -> None:
    """Its agent answers `unavailable`, and an alert that it has raised stays; the other agents go on."""
    client, gateway = stand
    client.publish(LOG, {"id": "before", "line": "CRITICAL: disk 2 failed"})
    client.wait(lambda _: client.on("/alert/log-line"), "the alert")
    for number in range(3):
        client.flush([client.publish(LOG, {"id": f"{number}", "line": f"CRASH {number}"})])
    client.flush([client.publish(LOG, {"id": "after", "line": "CRITICAL: disk 2 failed"})])
    client.wait(lambda _: gateway.minded() or '"after"' in str(client.on("/log-line")), "the answer after")
    answers = {
        each.event["data"]["input"]["id"]: each.event for each in client.on("/classification/log-line")
    }
    assert answers.pop("before")["data"]["label"] == "alert"
    assert {(each["data"]["label"], each["data"]["abstained"]) for each in answers.values()} == {
        ("unavailable", True)
    }
    assert {each.payload for each in client.on("/alert/log-line")} == {
        client.on("/alert/log-line")[0].payload
    }
    vitals = {"id": "v", "hr": 140, "rr": 30, "spo2": 85}
    client.flush([client.publish("edgeward/v1/ward/bed-1/vitals", vitals)])
    (news2,) = client.wait(lambda _: client.on("/classification/vitals"), "NEWS2's answer")
    assert news2.event["data"]["label"] == "high"
    assert len(gateway.logged("model_set_aside")) == 1
    assert gateway.logged("agent_unavailable")[-1]["agent"] == "log-line"
    fault = client.on("/fault/model")[-1].event["data"]["reason"]
    assert fault == "The gateway died of a model more than once: without it log-line answers unavailable."


def test_an_error_that_nobody_thought_of_costs_its_input_only(stand: tuple[Client, Supervised]) -> None:
    client, gateway = stand
    lines = [{"id": f"{number}", "line": "RAISE" if number == 3 else "all is well"} for number in range(9)]
    client.flush([client.publish(LOG, line) for line in lines])
    assert len(answered(client, gateway, 8)) == 8
    client.wait(lambda _: client.on("/rejected"), "the rejection")
    assert gateway.ends == []
    assert gateway.logged("answer_failed")[0]["type"] == "RuntimeError"
