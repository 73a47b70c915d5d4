"""The command `edgeward`, as a stranger meets it."""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.broker import EmbeddedBroker
from gateway.cli import build_parser, main
from gateway.recording import line_of, read_recording
from models.errors import UsageError
from nodes.pipeline import Received
from tests.conftest import Certificates, MakeLink, Peer, connected

PATIENCE_SECONDS = 30.0
VITALS = {"hr": 140, "rr": 30, "spo2": 85, "sbp": 85, "temp": 39.5, "acvpu": "V", "on_oxygen": True}
VITALS_TOPIC = "edgeward/v1/ward/bed-1/vitals"


def commands() -> list[list[str]]:
    """Every command and sub-command that there is."""

    def below(parser: argparse.ArgumentParser, path: list[str]) -> Iterator[list[str]]:
        yield path
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                for name, part in action.choices.items():
                    yield from below(part, [*path, name])

    return list(below(build_parser(), []))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Process:
    """`edgeward gateway` as a process, with what it has logged so far."""

    def __init__(self, folder: Path, *arguments: str, env: Mapping[str, str] | None = None) -> None:
        self._log = folder / "gateway.log"
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "gateway", "gateway", "--agents", "vitals", "--name", "g", *arguments],
                stdout=log,
                stderr=log,
                env={**os.environ, "EDGEWARD_STATE": str(folder / "state"), **(env or {})},
            )

    @property
    def log(self) -> str:
        return self._log.read_text("utf-8")

    def until_said(self, what: str) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while what not in self.log:
            assert self.process.poll() is None, self.log
            assert time.monotonic() < deadline, self.log
            time.sleep(0.05)

    def ended(self) -> int:
        return self.process.wait(PATIENCE_SECONDS)


@contextmanager
def gateway(folder: Path, *arguments: str, env: Mapping[str, str] | None = None) -> Iterator[Process]:
    """A gateway that ends with the block, at the latest."""
    running = Process(folder, *arguments, env=env)
    try:
        yield running
    finally:
        running.process.kill()
        running.process.wait()


@pytest.mark.parametrize("command", commands(), ids=" ".join)
def test_every_command_explains_itself(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*command, "--help"])
    assert ended.value.code == 0
    assert "usage: edgeward" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("command", "part"),
    [
        ([], "required: COMMAND"),
        (["gatewy"], "invalid choice"),
        (["gateway", "--brok", "mqtt://b"], "Unrecognized arguments"),
        (["gateway", "--broker", "http://b"], "mqtt://HOST:PORT"),
        (["gateway", "--broker", "mqtt://u:p@b"], "A password does not belong"),
        (["gateway", "--name", "ward 3"], "1-128 characters"),
        (["gateway", "--agents", "nobody"], "There is no agent nobody"),
        (["gateway", "--config", "/nowhere.toml"], "can't be read"),
        (["gateway", "--clock", "sun"], "invalid choice"),
        (
            ["run", "--input", "/nowhere", "--output", "/nowhere/either", "--agents", "vitals"],
            "can't be read",
        ),
        (["check", "/nowhere.toml"], "can't be read"),
        (["replay", "ktas-triage"], "--broker URL or to --output FILE"),
        (["replay", "nothing", "--output", "/nowhere/x"], "nothing"),
        (["data", "where", "nothing"], "nothing"),
        (["data", "make", "nothing"], "nothing"),
        (["demo", "--for", "-1"], "above 0"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_use_ends_with_2_and_one_sentence(
    command: list[str],
    part: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("EDGEWARD_STATE", str(tmp_path))
    assert main(command) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("edgeward: ")
    assert part in said.err
    assert len(said.err.strip().splitlines()) <= 2


def test_data_that_is_not_here_ends_with_3(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEWARD_DATA", str(tmp_path))
    assert main(["data", "where", "skab"]) == 3
    assert "EDGEWARD_DATA" in capsys.readouterr().err


def test_a_model_that_is_not_there_ends_with_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "show", "nothing"]) == 1
    assert "there is no bundle 'nothing'" in capsys.readouterr().err


def test_help_loads_nothing_heavy() -> None:
    program = (
        "import sys; from gateway.cli import build_parser; build_parser()\n"
        "print(sorted({'numpy', 'pydantic', 'tensorflow', 'paho', 'keras'} & set(sys.modules)))"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert said.stdout == "[]\n"


def test_lists_are_plain_off_a_terminal_and_json_on_request(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "list"]) == 0
    assert "ktas-triage" in capsys.readouterr().out
    assert main(["data", "list", "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {"ktas-triage", "skab", "log-line"} <= {row["name"] for row in rows}
    assert main(["models", "list", "--json"]) == 0
    for line in capsys.readouterr().out.splitlines():
        assert json.loads(line)["format"] == 1


def test_made_data_is_the_same_for_the_same_seed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for folder in ("a", "b"):
        assert main(["data", "make", "log-line", "--seed", "7", "--output", str(tmp_path / folder)]) == 0
    first, second = map(Path, capsys.readouterr().out.split())
    assert first.name == "log-line-7.jsonl"
    assert first.read_bytes() == second.read_bytes()


def recording(folder: Path, *lines: Any) -> Path:
    file = folder / "in.jsonl"
    file.write_text("".join(f"{json.dumps(line) if isinstance(line, dict) else line}\n" for line in lines))
    return file


def run(source: Path, target: Path, *arguments: str) -> int:
    return main(["run", "--input", str(source), "--output", str(target), "--agents", "vitals", *arguments])


def test_run_gives_what_the_gateway_would_publish_and_the_same_bytes_each_time(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = recording(
        tmp_path,
        {"topic": VITALS_TOPIC, "time": 1000, "payload": {"id": "1", "time": 1000, **VITALS}},
        {"topic": VITALS_TOPIC, "time": 2000, "payload": json.dumps(VITALS)},
        {"topic": VITALS_TOPIC, "time": 3000, "payload_base64": "/w=="},
        {"topic": "somewhere/else", "time": 4000, "payload": "x"},
    )
    assert run(source, tmp_path / "a", "--json") == 0
    counted = json.loads(capsys.readouterr().out)
    assert (counted["received"], counted["classified"], counted["rejected"]) == (3, 2, 1)
    assert run(source, tmp_path / "b") == 0
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    rows = [json.loads(line) for line in (tmp_path / "a").read_text().splitlines()]
    assert [(row["topic"], row["time"]) for row in rows][:2] == [
        ("edgeward/v1/ward/bed-1/classification/vitals", 1000),
        ("edgeward/v1/ward/bed-1/alert/vitals", 1000),
    ]
    assert rows[-1]["topic"] == "edgeward/gateway/run/rejected"


@pytest.mark.parametrize(
    ("line", "part"),
    [
        ("{", "not JSON"),
        ("[1]", "not a JSON object"),
        ({"topic": "", "time": 1, "payload": ""}, "topic"),
        ({"topic": "a", "time": 1.5, "payload": ""}, "whole epoch milliseconds"),
        ({"topic": "a", "time": True, "payload": ""}, "whole epoch milliseconds"),
        ({"topic": "a", "time": -1, "payload": ""}, "whole epoch milliseconds"),
        ({"topic": "a", "time": 1}, "one of payload and payload_base64"),
        ({"topic": "a", "time": 1, "payload": 7}, "text or an object"),
        ({"topic": "a", "time": 1, "payload": "\ud800"}, "text or an object"),
        ({"topic": "a", "time": 1, "payload_base64": "?"}, "not base64"),
    ],
    ids=str,
)
def test_a_bad_line_is_said_with_its_number_and_nothing_is_written(
    line: Any, part: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = recording(tmp_path, {"topic": "a", "time": 1, "payload": "x", "qos": 1}, "", line)
    assert run(source, tmp_path / "out") == 2
    said = capsys.readouterr().err
    assert "line 3" in said
    assert part in said
    assert "MARKER" not in said
    assert [each.name for each in tmp_path.iterdir()] == ["in.jsonl"]


@given(
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=20),
    st.integers(0, 253_402_300_799_999),
    st.binary(max_size=50) | st.text(st.characters(codec="utf-8"), max_size=50).map(str.encode),
)
def test_a_recorded_message_is_read_back_as_it_was(topic: str, time_ms: int, payload: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "recording.jsonl"
        file.write_bytes(line_of(topic, time_ms, payload) * 2)
        read, again = read_recording(file)
        assert (topic, payload, time_ms) == (read.topic, read.payload, read.time_ms)
        assert read.fresh_id != again.fresh_id
        assert [read, again] == list(read_recording(file))


@given(st.binary(max_size=200))
def test_any_bytes_are_a_recording_or_refused(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "recording.jsonl"
        file.write_bytes(content)
        try:
            messages = list(read_recording(file))
        except UsageError:
            return
        assert all(isinstance(each, Received) for each in messages)


def test_models_run_answers_each_payload_with_its_id(tmp_path: Path) -> None:
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text(f"{json.dumps({'id': 'a', **VITALS})}\nnot JSON\n")
    assert main(["models", "run", "vitals", "--input", str(source), "--output", str(target)]) == 0
    first, second = (json.loads(line) for line in target.read_text().splitlines())
    assert first == {"id": "a", "label": "high", "probability": None, "scores": {}, "abstained": False}
    assert (second["id"], second["label"]) == (None, None)


def test_check_says_what_would_run_or_every_fault(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "edgeward.toml"
    file.write_text('[gateway]\nname = "ward-3"\n[agents.vitals]\n')
    assert main(["check", str(file)]) == 0
    said = capsys.readouterr().out
    assert "gateway ward-3, clock wall" in said
    assert "agent vitals: vitals on edgeward/v1/{site}/{device}/vitals, news2" in said
    file.write_text(
        '[broker]\nusername = "u"\npassword_file = "nowhere"\n'
        '[agents.a]\nkind = "log"\nbundle = "./nothing"\n[agents.b]\nkind = "log"\nbundle = "nobody"\n'
    )
    assert main(["check", str(file)]) == 2
    said = capsys.readouterr().err
    assert "3 faults" in said
    assert all(part in said for part in ("password file", "agents.a", "agents.b"))


def test_a_gateway_comes_up_and_ends_well_on_a_signal(
    broker: EmbeddedBroker, make_link: MakeLink, tmp_path: Path
) -> None:
    peer = connected(make_link(broker.port, "edgeward-watch"), "edgeward/#")
    with gateway(tmp_path, "--broker", broker.url) as running:
        running.until_said("online")
        peer.link.publish(VITALS_TOPIC, json.dumps({"id": "MARKER", **VITALS}).encode())
        peer.until(lambda: any("/alert/" in each.topic for each in peer.deliveries))
        with gateway(tmp_path, "--broker", broker.url) as second:
            assert second.ended() == 2
        assert "Another gateway is using the state folder" in running.log
        running.process.send_signal(signal.SIGTERM)
        assert running.ended() == 0
        assert "Traceback" not in running.log
        assert "MARKER" not in running.log
        assert "bed-1" not in running.log
    peer.until(lambda: any(each.payload == b"stopped" for each in peer.deliveries))


def test_a_gateway_that_is_killed_loses_nothing(
    broker: EmbeddedBroker, make_link: MakeLink, tmp_path: Path
) -> None:
    """What it had taken and not answered was not acknowledged, so its successor gets it again."""
    peer = connected(make_link(broker.port, "edgeward-watch"), "edgeward/#")
    ids: set[str] = set()

    def answered() -> int:
        while peer.deliveries:
            delivery = peer.deliveries.pop()
            if "/classification/" in delivery.topic:
                ids.add(json.loads(delivery.payload)["data"]["input"]["id"])
        return len(ids)

    with gateway(tmp_path, "--broker", broker.url) as first:
        first.until_said("online")
        for number in range(600):
            payload = json.dumps({"id": str(number), "hr": 70}).encode()
            peer.link.publish(f"edgeward/v1/ward/bed-{number % 9}/vitals", payload)
        peer.until(lambda: answered() > 100)
        first.process.kill()
        first.ended()
    with gateway(tmp_path, "--broker", broker.url):
        peer.until(lambda: answered() == 600)


def test_a_broker_that_is_away_is_said_and_waited_for(tmp_path: Path) -> None:
    with gateway(tmp_path, "--broker", f"mqtt://127.0.0.1:{free_port()}") as running:
        running.until_said("does not answer: Connection refused")
        running.process.send_signal(signal.SIGINT)
        assert running.ended() == 0
        assert "Traceback" not in running.log


def test_over_tls_with_a_password_file(
    certificates: Certificates, make_link: MakeLink, tmp_path: Path
) -> None:
    """…it works; with a wrong authority or password it ends with 1 and one sentence."""
    passwords, password = tmp_path / "passwords", tmp_path / "password"
    passwords.touch(mode=0o600)
    subprocess.run(["mosquitto_passwd", "-b", str(passwords), "gateway", "sesame"], check=True)
    password.write_text("sesame\n")
    settings = [
        f"certfile {certificates.server}",
        f"keyfile {certificates.key}",
        "allow_anonymous false",
        f"password_file {passwords}",
    ]
    with EmbeddedBroker("mosquitto", settings=settings, tls=True) as broker:
        options = ["--broker", broker.url, "--username", "gateway", "--password-file", str(password)]
        with gateway(tmp_path, *options, "--ca-file", str(certificates.ca)) as running:
            running.until_said("online")
        with gateway(tmp_path, *options, "--ca-file", str(certificates.stranger)) as refused:
            assert refused.ended() == 1
            assert "is not trusted: unable to get local issuer certificate." in refused.log
        password.write_text("wrong")
        with gateway(tmp_path, *options, "--ca-file", str(certificates.ca)) as refused:
            assert refused.ended() == 1
            assert "does not let us in" in refused.log
            assert "Traceback" not in refused.log


@pytest.fixture
def deployed_mosquitto(tmp_path: Path) -> Iterator[int]:
    """A mosquitto with the very settings of deploy/mosquitto.conf, on another port and in another folder."""
    deployed = Path(__file__).parent.parent / "deploy" / "mosquitto.conf"
    port, folder = free_port(), tmp_path / "mosquitto"
    folder.mkdir(mode=0o777)
    text = deployed.read_text("utf-8")
    assert "listener 1883 127.0.0.1" in text
    assert "persistence_location /var/lib/mosquitto/" in text
    text = text.replace("listener 1883", f"listener {port}").replace("/var/lib/mosquitto/", f"{folder}/")
    file = tmp_path / "mosquitto.conf"
    file.write_text(text + (f"user {os.environ.get('USER', 'root')}\n" if os.geteuid() == 0 else ""))
    process = subprocess.Popen(["mosquitto", "-c", str(file)], stderr=subprocess.DEVNULL)
    try:
        yield port
    finally:
        process.terminate()
        process.wait()


def test_the_deployed_mosquitto_keeps_what_the_default_would_drop(
    deployed_mosquitto: int, make_link: MakeLink, tmp_path: Path
) -> None:
    """1,500 inputs sent while the gateway is away are answered; by default a mosquitto keeps 1,000."""
    url = f"mqtt://127.0.0.1:{deployed_mosquitto}"
    with gateway(tmp_path, "--broker", url) as running:
        running.until_said("online")
        running.process.send_signal(signal.SIGTERM)
        assert running.ended() == 0
    peer = Peer(make_link(deployed_mosquitto, "edgeward-watch"))
    peer.until_up()
    peer.until_subscribed("edgeward/v1/+/+/classification/+")
    for number in range(1500):
        peer.link.publish(VITALS_TOPIC, json.dumps({"id": str(number), "hr": 70}).encode())
    peer.until(lambda: len(peer.settled) == 1500)
    with gateway(tmp_path, "--broker", url):
        peer.until(lambda: len(peer.deliveries) == 1500)
