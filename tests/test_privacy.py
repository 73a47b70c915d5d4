"""Patient data stays where it belongs: on the output topics, and in no log, error, counter or rejection."""

from __future__ import annotations

import json
from pathlib import Path

from gateway.broker import EmbeddedBroker
from tests.stand import Client, Gateway

MARKER = "Zq7MARKER"
NUMBER = 61.8033988


def test_planted_markers_appear_in_no_log_error_counter_or_rejected_content(tmp_path: Path) -> None:
    note = f"{MARKER}note chest pain of Mrs {MARKER}name"
    bad = [
        ("vitals", json.dumps({"hr": NUMBER, "id": {"x": f"{MARKER}id"}})),
        ("vitals", json.dumps({"hr": NUMBER, "time": f"{MARKER}time", "id": f"{MARKER}id"})),
        ("vitals", json.dumps({"spo2": 1000 + NUMBER, "x": f"{MARKER}unknown"})),
        ("vitals", f'{{"hr": {NUMBER}, {MARKER}'),
        ("note", json.dumps({"text": [note]})),
        ("note", "{" + note),
        ("note", json.dumps({"text": note, "time": f"{MARKER}time"})),
        ("sensor", json.dumps({"values": {f"{MARKER}channel": "x"}})),
        ("sensor", json.dumps({"values": [f"{MARKER}", NUMBER]})),
        ("log", "{" + MARKER),
    ]
    good = [
        ("vitals", json.dumps({"hr": 140, "rr": 30, "spo2": 80, "sbp": 80, "id": f"{MARKER}id-1"})),
        ("vitals", json.dumps({"hr": 70, "spo2": 1000 + NUMBER, "id": f"{MARKER}id-2"})),
        ("note", json.dumps({"text": note, "age": 400, "id": f"{MARKER}id-3"})),
        ("sensor", json.dumps({"values": {f"{MARKER}channel": 1, "b": "x"}, "id": f"{MARKER}id-4"})),
        ("log", f"{MARKER} failed"),
    ]
    site = f"{MARKER}site"
    with (
        EmbeddedBroker() as broker,
        Client(broker) as client,
        Gateway(
            broker.url, tmp_path, "--config", str(_debug(tmp_path)), env={"PYTHONWARNINGS": "default"}
        ) as gateway,
    ):
        client.wait_online(gateway)
        for kind, payload in bad + good:
            client.publish(f"edgeward/v1/{site}/{MARKER}device/{kind}", payload)
        client.publish(f"edgeward/v1/{site}/{MARKER} bad device/vitals", "{}")
        client.wait(lambda _: client.on("classification/log-line"), "the last answer")
        client.wait(lambda _: len(client.on("/rejected")) == len(bad) + 1, "all rejections")
        assert gateway.stop() == 0
        client.wait(lambda _: client.on("/counters"), "counters")
    counted = b"".join(each.payload for each in client.on("/counters"))
    assert MARKER.encode() not in counted
    for each in client.on("/rejected"):
        data = each.event["data"]
        assert MARKER in data["topic"]  # the one place that may name it, by the contract
        for where in ("reason", "field"):
            assert MARKER not in str(data.get(where))
        assert MARKER not in json.dumps({**each.event, "subject": "", "data": {**data, "topic": ""}})
        assert str(int(NUMBER)) + "." not in each.payload.decode()
    logged = gateway.log.read_text()
    assert "online" in logged
    assert MARKER not in logged
    assert str(NUMBER) not in logged
    # Nothing that the gateway keeps is named after a patient either.
    assert not [path for path in tmp_path.rglob("*") if MARKER in path.name]


def _debug(folder: Path) -> Path:
    config = folder / "debug.toml"
    config.write_text('[gateway]\nlog_level = "debug"\n')
    return config
