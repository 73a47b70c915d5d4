"""SIGHUP: another configuration takes hold whole, or the old one stays and every fault is said."""

from __future__ import annotations

import json
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.broker import EmbeddedBroker
from gateway.reload import Loader
from models.bundle import load_bundle, write_bundle, zoo
from models.errors import ConfigRefused
from tests.stand import PATIENCE_SECONDS, Client, Gateway

VITALS = "edgeward/v1/ward/bed-1/vitals"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "edgeward.toml"


def loader(file: Path) -> Loader:
    return Loader(file, file.parent, wanted=None)


def test_an_agent_that_did_not_change_is_the_same_object(file: Path) -> None:
    file.write_text("[agents.vitals]\n[agents.log-line]\n[agents.triage-note]\n")
    reader = loader(file)
    before = {agent.name: agent for agent in reader.load().agents}
    file.write_text("[agents.log-line]\n[agents.vitals]\non = 5\n[agents.deterioration]\n")
    after = {agent.name: agent for agent in reader.load().agents}
    assert list(after) == ["log-line", "vitals", "deterioration"]
    assert after["log-line"] is before["log-line"]
    assert after["vitals"] is not before["vitals"]


def test_a_bundle_that_was_exchanged_in_its_place_is_loaded_anew(file: Path) -> None:
    shutil.copytree(zoo() / "log-line", file.parent / "own")
    file.write_text('[agents.log-line]\nbundle = "./own"\n')
    reader = loader(file)
    (before,) = reader.load().agents
    shipped = load_bundle(zoo() / "log-line")
    said = shipped.manifest.model_dump(exclude={"files", "seal"}) | {"version": "9.9"}
    write_bundle(file.parent / "own", said, {**shipped.files, "card.md": b"# Another\n"})
    (after,) = reader.load().agents
    assert (before.model.version, after.model.version) == ("0.1.0", "9.9")


def test_all_faults_are_told_at_once_and_the_old_agents_stay(file: Path) -> None:
    """What only a start can change is a fault too: no file is half in force."""
    file.write_text("[agents.vitals]\n")
    reader = loader(file)
    (before,) = reader.load().agents
    file.write_text(
        '[broker]\nurl = "mqtt://elsewhere"\n[gateway]\nname = "other"\nhistorical_after_minutes = 5\n'
        '[agents.vitals]\n[agents.note]\nkind = "note"\nbundle = "./nowhere"\n'
    )
    with pytest.raises(ConfigRefused) as caught:
        reader.load()
    first, second, third = caught.value.faults
    assert first == 'broker.url: is "mqtt://127.0.0.1:1883" until the gateway is restarted'
    assert second == "gateway.name: is null until the gateway is restarted"
    assert third.startswith("agents.note: there is no bundle")
    file.write_text("[gateway]\nhistorical_after_minutes = 5\n[agents.vitals]\n")
    loaded = reader.load()
    assert loaded.agents == (before,)
    assert loaded.historical_after_ms == 300_000


# A gateway that runs.


def hang_up(gateway: Gateway, event: str) -> dict[str, Any]:
    """Sends SIGHUP and waits for the log's next line of *event*, after a reload until it is subscribed."""

    def logged(event: str) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in gateway.log.read_text().splitlines() if line.startswith("{")]
        return [line for line in lines if line["event"] == event]

    awaited = {event, "online"} if event == "reloaded" else {event}
    before = {each: len(logged(each)) for each in awaited}
    gateway.process.send_signal(signal.SIGHUP)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while any(len(logged(each)) == before[each] for each in awaited):
        assert time.monotonic() < deadline, gateway.log.read_text()
        time.sleep(0.02)
    return logged(event)[-1]


def answer(client: Client, topic: str, payload: dict[str, Any], agent: str = "vitals") -> dict[str, Any]:
    """The data of the agent's answer to what is published now."""
    seen = len(client.on(f"/classification/{agent}"))
    client.publish(topic, payload)
    found: Callable[..., Any] = lambda _: client.on(f"/classification/{agent}")[seen:]  # noqa: E731
    data: dict[str, Any] = client.wait(found, f"{agent}'s answer")[0].event["data"]
    return data


def test_topics_change_and_windows_stay(broker: EmbeddedBroker, tmp_path: Path, file: Path) -> None:
    """The new topic is answered, the old one no more, and what was known of the patient still counts."""
    file.write_text("[agents.vitals]\n")
    with (
        Client(broker) as client,
        Gateway(broker.url, tmp_path, "--config", str(file)) as gateway,
    ):
        client.wait_online(gateway)
        answer(client, VITALS, {"id": "1", "hr": 140})
        file.write_text(
            '[agents.vitals]\ntopic = "icu/{site}/{device}"\n'
            '[agents.log-line]\n[agents.beds]\nkind = "vitals"\ntopic = "icu/{site}/{device}"\n'
        )
        said = hang_up(gateway, "reloaded")
        assert said["changed"] == ["vitals", "log-line", "beds"]
        assert answer(client, "icu/ward/bed-1", {"id": "2", "rr": 30})["news2"]["components"].keys() == {
            "hr",
            "rr",
        }
        assert answer(client, "icu/ward/bed-1", {"id": "3", "rr": 30}, "beds")["news2"]["components"] == {
            "rr": 3
        }
        client.flush([client.publish(VITALS, {"id": "4", "hr": 140})])
        answer(client, "icu/ward/bed-1", {"id": "5", "rr": 30})
        assert len(client.on("/classification/vitals")) == 4


def test_an_alert_whose_agent_goes_is_cleared(mosquitto: EmbeddedBroker, tmp_path: Path, file: Path) -> None:
    file.write_text("[agents.vitals]\n")
    with (
        Client(mosquitto) as client,
        Gateway(mosquitto.url, tmp_path, "--config", str(file)) as gateway,
    ):
        client.wait_online(gateway)
        client.publish(VITALS, {"id": "1", "hr": 140, "rr": 30, "spo2": 80})
        client.wait(lambda _: client.on("/alert/vitals"), "the alert")
        file.write_text("[agents.log-line]\n")
        hang_up(gateway, "reloaded")
        client.wait(lambda _: client.on("/alert/vitals")[-1].payload == b"", "its end")


def test_a_file_that_is_no_toml_changes_nothing(
    mosquitto: EmbeddedBroker, tmp_path: Path, file: Path
) -> None:
    """…and after it is corrected the next SIGHUP takes it."""
    file.write_text("[agents.vitals]\n")
    with (
        Client(mosquitto) as client,
        Gateway(mosquitto.url, tmp_path, "--config", str(file)) as gateway,
    ):
        client.wait_online(gateway)
        file.write_text("[agents.vitals\non = five\n")
        assert "it is not TOML" in hang_up(gateway, "reload_refused")["sentence"]
        file.write_text('[agents.vitals]\non = "five"\noff = "four"\n')
        assert "has 2 faults" in hang_up(gateway, "reload_refused")["sentence"]
        answer(client, VITALS, {"id": "1", "hr": 140})
        client.wait(lambda _: client.on("/fault/configuration")[-1].payload, "the fault")
        file.write_text("[agents.vitals]\non = 5\n")
        assert hang_up(gateway, "reloaded")["changed"] == ["vitals"]
        assert answer(client, VITALS, {"id": "2", "hr": 140})["news2"]["total"] == 3
        client.wait(lambda _: not client.on("/fault/configuration")[-1].payload, "its end")
