"""Real data through a real broker: the live answers, the offline ones and a direct computation agree."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from gateway.broker import EmbeddedBroker
from models.bounds import possible
from models.news2 import news2
from nodes.times import MINUTE_MS
from tests.data import needs
from tests.stand import Client, Gateway

FIELDS = ("hr", "rr", "spo2", "sbp", "temp")
"""The parameters of NEWS2 that physionet-icu-2012 carries."""
SETTLED = ("label", "probability", "scores", "abstained")


def _edgeward(*arguments: str | Path) -> str:
    finished = subprocess.run(
        [sys.executable, "-m", "gateway", *map(str, arguments)], capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


def _lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def _live(tmp_path: Path, agents: str, expected: int, *replay: str) -> list[Any]:
    """The classifications that a gateway publishes during a replay to a broker."""
    with (
        EmbeddedBroker() as broker,
        Client(broker) as client,
        Gateway(broker.url, tmp_path, "--clock", "events", "--agents", agents) as gateway,
    ):
        client.wait_online(gateway)
        _edgeward("replay", *replay, "--broker", broker.url)
        client.wait(lambda _: len(client.on("/classification/")) >= expected, f"{expected} answers", 240)
        return [each.event for each in client.on("/classification/")]


@pytest.mark.slow
def test_all_triage_records_are_answered_alike_live_offline_and_from_the_recording(tmp_path: Path) -> None:
    needs("ktas-triage")
    recording, results = tmp_path / "recording.jsonl", tmp_path / "results.jsonl"
    notes, answers = tmp_path / "notes.jsonl", tmp_path / "answers.jsonl"
    _edgeward("replay", "ktas-triage", "--output", recording)
    notes.write_text("".join(line["payload"] + "\n" for line in _lines(recording)))
    _edgeward("run", "--input", recording, "--output", results, "--agents", "triage-note")
    _edgeward("models", "run", "triage-note", "--input", notes, "--output", answers)
    offline = {row["id"]: {name: row[name] for name in SETTLED} for row in _lines(answers)}
    assert len(offline) == 950
    assert {row["label"] for row in offline.values()} <= set("12345")

    def settled(events: list[Any]) -> dict[str, Any]:
        assert len(events) == 950
        return {
            each["data"]["input"]["id"]: {name: each["data"][name] for name in SETTLED} for each in events
        }

    recorded = [
        json.loads(line["payload"]) for line in _lines(results) if "/classification/" in line["topic"]
    ]
    assert settled(recorded) == offline
    assert settled(_live(tmp_path, "triage-note", 950, "ktas-triage")) == offline


def _direct(recording: Path) -> dict[str, Any]:
    """NEWS2 of every message by the contract's rule, computed plainly over what had arrived of its device."""
    arrived: dict[str, dict[str, list[tuple[int, int, float]]]] = defaultdict(lambda: defaultdict(list))
    scores = {}
    for place, line in enumerate(_lines(recording)):
        payload = json.loads(line["payload"])
        sent = {name: payload[name] for name in FIELDS if name in payload and possible(name, payload[name])}
        time_ms, history = payload["time"], arrived[line["topic"]]
        for name, value in sent.items():
            history[name].append((time_ms, place, value))
        values: dict[str, float | str | bool] = {}
        for name, readings in history.items():
            fitting = [each for each in readings if time_ms - 60 * MINUTE_MS <= each[0] <= time_ms]
            if fitting:
                values[name] = max(fitting)[2]
        if sent or ("dbp" in payload and possible("dbp", payload["dbp"])):
            score = news2(values)
            scores[payload["id"]] = (score.total, dict(score.components), list(score.missing))
    return scores


@pytest.mark.slow
@pytest.mark.parametrize("disorder_hours", [0, 6])
def test_news2_of_a_hundred_patients_days_equals_a_direct_computation(
    tmp_path: Path, disorder_hours: int
) -> None:
    needs("physionet-icu-2012")
    recording = tmp_path / "recording.jsonl"
    part = ["physionet-icu-2012", "--devices", "100", "--hours", "24", "--seed", "3"]
    part += ["--disorder-hours", str(disorder_hours)]
    _edgeward("replay", *part, "--output", recording)
    times = [json.loads(line["payload"])["time"] for line in _lines(recording)]
    assert (sorted(times) == times) is (disorder_hours == 0)
    direct = _direct(recording)
    assert len(direct) > 2000
    live = {}
    for event in _live(tmp_path, "vitals", len(direct), *part):
        score = event["data"]["news2"]
        live[event["data"]["input"]["id"]] = (score["total"], score["components"], score["missing"])
    assert live == direct
