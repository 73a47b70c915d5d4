"""What a stranger does by hand: the gateway between mosquitto_pub and mosquitto_sub."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.broker import BrokerKind, EmbeddedBroker
from tests.conftest import Certificates
from tests.stand import PATIENCE_SECONDS, Client, Gateway

SENT = {
    "edgeward/v1/north/bed-7/note": '{"text": "crushing chest pain, sweaty", "age": 61, "pain": 9}',
    "edgeward/v1/north/bed-7/vitals": '{"hr": 132, "rr": 30, "spo2": 86, "sbp": 84, "temp": 39.4}',
    "edgeward/v1/hall/pump-1/sensor": '{"values": {"pressure_bar": 2.1, "flow_l_min": 31.5}}',
    "edgeward/v1/hall/plc-1/log": "CRITICAL: RAID array degraded, disk 2 failed",
}
WELL = {"hr": 70, "rr": 16, "spo2": 98, "sbp": 125, "temp": 37.0, "acvpu": "A", "on_oxygen": False}
ANSWERS = {
    "edgeward/v1/north/bed-7/classification/triage-note",
    "edgeward/v1/north/bed-7/classification/vitals",
    "edgeward/v1/north/bed-7/classification/deterioration",
    "edgeward/v1/hall/pump-1/classification/sensor-anomaly",
    "edgeward/v1/hall/plc-1/classification/log-line",
    "edgeward/v1/north/bed-7/alert/vitals",
}


def _publish(broker: EmbeddedBroker, topic: str, payload: str, *options: str) -> None:
    host, port = ("localhost" if options else "127.0.0.1"), str(broker.port)
    subprocess.run(
        ["mosquitto_pub", "-h", host, "-p", port, "-q", "1", "-t", topic, "-m", payload, *options],
        check=True,
        timeout=PATIENCE_SECONDS,
    )


def _subscribed(broker: EmbeddedBroker, seconds: int, *options: str) -> subprocess.Popen[str]:
    host, port = ("localhost" if options else "127.0.0.1"), str(broker.port)
    command = [
        "mosquitto_sub",
        "-h",
        host,
        "-p",
        port,
        "-t",
        "edgeward/#",
        "-v",
        "-q",
        "1",
        "-W",
        str(seconds),
    ]
    return subprocess.Popen([*command, *options], stdout=subprocess.PIPE, text=True)


def _lines_until(listener: subprocess.Popen[str], wanted: set[str]) -> dict[str, str]:
    """What mosquitto_sub printed, topic to payload, until all of *wanted* came or it ended."""
    seen: dict[str, str] = {}
    with listener:
        assert listener.stdout is not None
        for line in listener.stdout:
            topic, _, payload = line.rstrip("\n").partition(" ")
            seen[topic] = payload
            if wanted <= seen.keys():
                break
        listener.terminate()
    return seen


@pytest.mark.skipif(shutil.which("mosquitto_pub") is None, reason="mosquitto's clients are not here")
def test_what_is_published_by_hand_is_answered(kind: BrokerKind, tmp_path: Path) -> None:
    with EmbeddedBroker(kind) as broker, Client(broker) as client:
        listener = _subscribed(broker, 30)
        with Gateway(broker.url, tmp_path) as gateway:
            client.wait_online(gateway)
            for topic, payload in SENT.items():
                _publish(broker, topic, payload)
            seen = _lines_until(listener, ANSWERS)
            assert seen.keys() >= ANSWERS
            alert = json.loads(seen["edgeward/v1/north/bed-7/alert/vitals"])
            assert alert["data"]["value"] >= 7
            learning = json.loads(seen["edgeward/v1/hall/pump-1/classification/sensor-anomaly"])
            assert learning["data"]["label"] == "learning"
            assert gateway.stop() == 0
        client.wait(lambda _: client.on("/status")[-1].payload == b"stopped", "the status stopped")
        counters = client.counters()
        assert (counters["received"], counters["classified"]) == (4, 4)


@pytest.mark.skipif(shutil.which("mosquitto") is None, reason="mosquitto is not here")
def test_a_gateway_that_dies_is_offline_and_its_alerts_stay(tmp_path: Path) -> None:
    with EmbeddedBroker("mosquitto") as broker, Client(broker) as client:
        with Gateway(broker.url, tmp_path) as gateway:
            client.wait_online(gateway)
            client.publish("edgeward/v1/n/b/vitals", SENT["edgeward/v1/north/bed-7/vitals"])
            client.wait(lambda _: client.on("/alert/"), "the alert")
            gateway.process.kill()
            client.wait(lambda _: client.on("/status")[-1].payload == b"offline", "the status offline")
        with Client(broker) as late:
            late.wait(lambda _: late.on("/alert/vitals"), "the retained alert")
            assert late.on("/alert/vitals")[0].retained
        # The next one holds it still, says so, and clears it when the patient is well.
        with Gateway(broker.url, tmp_path) as gateway:
            client.wait(lambda _: len(client.on("/alert/vitals")) >= 2, "the alert again")
            assert len({each.payload for each in client.on("/alert/vitals")}) == 1
            client.publish("edgeward/v1/n/b/vitals", WELL)
            client.wait(lambda _: client.on("/alert/vitals")[-1].payload == b"", "the clearing")


def test_a_gateway_that_cannot_read_its_store_clears_no_alert(
    mosquitto: EmbeddedBroker, tmp_path: Path
) -> None:
    """Whether it is over nobody knows; the gateway says that its store is damaged, and works."""
    with Client(mosquitto) as client:
        with Gateway(mosquitto.url, tmp_path, "--agents", "vitals") as gateway:
            client.wait_online(gateway)
            client.publish("edgeward/v1/n/b/vitals", SENT["edgeward/v1/north/bed-7/vitals"])
            client.wait(lambda _: client.on("/alert/"), "the alert")
        (tmp_path / "state" / "store.db").write_bytes(b"no database" * 1_000)
        with Gateway(mosquitto.url, tmp_path, "--agents", "vitals"):
            client.wait(lambda _: client.on("/fault/store"), "the fault")
            client.publish("edgeward/v1/n/c/vitals", WELL)
            client.wait(lambda _: client.on("/n/c/classification/"), "an answer")
    assert "damaged" in client.on("/fault/store")[-1].event["data"]["reason"]
    assert b"" not in {each.payload for each in client.on("/alert/vitals")}


@pytest.fixture
def secured(certificates: Certificates, tmp_path: Path) -> Iterator[tuple[EmbeddedBroker, Path]]:
    """A mosquitto with TLS that lets in one user; and the file with that user's password."""
    hashed, password = tmp_path / "users", tmp_path / "password"
    password.write_text("correct horse\n")
    subprocess.run(["mosquitto_passwd", "-b", "-c", hashed, "ward", "correct horse"], check=True)
    settings = [
        f"cafile {certificates.ca}",
        f"certfile {certificates.server}",
        f"keyfile {certificates.key}",
        "allow_anonymous false",
        f"password_file {hashed}",
    ]
    with EmbeddedBroker("mosquitto", settings=settings, tls=True) as broker:
        yield broker, password


def _config(folder: Path, broker: EmbeddedBroker, ca_file: Path, password_file: Path) -> Path:
    config = folder / "edgeward.toml"
    config.write_text(
        f'[broker]\nurl = "{broker.url}"\nusername = "ward"\n'
        f'password_file = "{password_file}"\nca_file = "{ca_file}"\n'
    )
    return config


@pytest.mark.skipif(shutil.which("mosquitto_passwd") is None, reason="mosquitto is not here")
def test_over_tls_with_a_password_file(
    secured: tuple[EmbeddedBroker, Path], certificates: Certificates, tmp_path: Path
) -> None:
    broker, password = secured
    access = ("--cafile", str(certificates.ca), "-u", "ward", "-P", "correct horse")
    config = _config(tmp_path, broker, certificates.ca, password)
    listener = _subscribed(broker, 30, *access)
    with Gateway(broker.url, tmp_path, "--config", str(config)):
        assert listener.stdout is not None
        for line in listener.stdout:
            if line.endswith(" online\n"):
                break
        for topic, payload in SENT.items():
            _publish(broker, topic, payload, *access)
        assert _lines_until(listener, ANSWERS).keys() >= ANSWERS


@pytest.mark.skipif(shutil.which("mosquitto_passwd") is None, reason="mosquitto is not here")
@pytest.mark.parametrize("fault", ["authority", "password"])
def test_a_wrong_authority_or_password_ends_with_a_clear_sentence(
    secured: tuple[EmbeddedBroker, Path], certificates: Certificates, tmp_path: Path, fault: str
) -> None:
    broker, password = secured
    if fault == "password":
        password.write_text("wrong horse\n")
    trusted = certificates.stranger if fault == "authority" else certificates.ca
    config = _config(tmp_path, broker, trusted, password)
    gateway = Gateway(broker.url, tmp_path, "--config", str(config))
    assert gateway.process.wait(PATIENCE_SECONDS) not in (0, 2)
    said = gateway.log.read_text()
    assert ("certificate" if fault == "authority" else "let us in") in said
    assert "Traceback" not in said
    assert "horse" not in said


def test_topics_of_ones_own_may_overlap_and_each_agent_answers_once(
    broker: EmbeddedBroker, tmp_path: Path
) -> None:
    config = tmp_path / "own.toml"
    config.write_text(
        '[agents.vitals]\ntopic = "hospital/{site}/bed/{device}/vitals"\n'
        '[agents.second]\nkind = "vitals"\ntopic = "hospital/{site}/{where}/{device}/vitals"\n'
        '[agents.lines]\nkind = "log"\nbundle = "log-line"\n'
        'topic = "hospital/ward/bed/{device}/{what}"\nsite = "ward"\n'
    )
    with (
        Client(broker) as client,
        Gateway(broker.url, tmp_path, "--config", str(config)) as gateway,
    ):
        client.wait_online(gateway)
        for number in range(20):
            payload = {"hr": 70 + number, "line": "restarted", "id": f"v{number}"}
            client.publish("hospital/ward/bed/b1/vitals", payload)
        client.publish("hospital/ward/room/b1/vitals", {"hr": 72, "id": "elsewhere"})
        client.wait(lambda _: len(client.on("/classification/")) >= 61, "all answers")
        assert gateway.stop() == 0
    counted = {name: len(client.on(f"/classification/{name}")) for name in ("vitals", "second", "lines")}
    assert counted == {"vitals": 20, "second": 21, "lines": 20}
    assert client.counters()["received"] == 21


def test_a_payload_over_the_limit_is_rejected_and_the_stream_goes_on(
    broker: EmbeddedBroker, tmp_path: Path
) -> None:
    with Client(broker) as client, Gateway(broker.url, tmp_path, "--agents", "triage-note") as gateway:
        client.wait_online(gateway)
        client.publish("edgeward/v1/n/b/note", "chest pain " * 30_000)
        client.publish("edgeward/v1/n/b/note", "chest pain")
        client.wait(lambda _: client.on("/classification/"), "the answer")
        (rejected,) = client.wait(lambda _: client.on("/rejected"), "the rejection")
    assert rejected.event["data"]["bytes"] == 330_000
    assert "262144" in rejected.event["data"]["reason"]
