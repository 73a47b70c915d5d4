"""Every shipped model, under whichever TFLite runtime the environment chooses."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest

from models.bundle import CARD, MODEL, find_bundle, load_bundle, shipped
from models.runtime import RUNTIME_VARIABLE, open_model
from nodes.agents import SHIPPED, build_agent, judge_lines

FIRST = {
    # What an agent is asked, and what its model has to be able to tell apart.
    "triage-note": (
        {"text": "cardiac arrest, CPR in progress", "vitals": {"hr": 30, "sbp": 60, "acvpu": "U"}, "pain": 0},
        {"text": "for dressing change, wound dry", "vitals": {"hr": 72, "sbp": 124, "acvpu": "A"}, "pain": 0},
    ),
    "deterioration": (
        {"hr": 135, "rr": 34, "spo2": 88, "sbp": 78, "dbp": 40, "temp": 39.6},
        {"hr": 72, "rr": 14, "spo2": 98, "sbp": 124, "dbp": 76, "temp": 36.8},
    ),
    "log-line": (
        {"line": "kernel panic: fatal machine check error, system halted"},
        {"line": "session opened for user backup"},
    ),
}
SCORE = {"triage-note": "2", "deterioration": "risk", "log-line": "alert"}


def _answers(agent_name: str, payloads: list[Any]) -> list[Any]:
    (settings,) = [each for each in SHIPPED if each.name == agent_name]
    # One agent for each payload: none is to be the other's past.
    return [
        next(iter(judge_lines(build_agent(settings), [json.dumps(payload).encode()]))) for payload in payloads
    ]


def test_the_agents_that_need_a_model_have_it_shipped() -> None:
    assert {settings.bundle for settings in SHIPPED} - {None} <= set(shipped())


@pytest.mark.parametrize("name", shipped())
def test_a_shipped_model_opens_in_the_runtime_that_is_asked_for(name: str) -> None:
    bundle = load_bundle(find_bundle(name))
    backend = open_model(bundle.files[MODEL]).backend
    assert backend.startswith(os.environ.get(RUNTIME_VARIABLE, "ai-edge-litert"))
    assert len(bundle.files[MODEL]) < 300_000
    assert "medical device" in bundle.files[CARD].decode() or bundle.manifest.kind in ("sensor", "log")
    evaluation_only = {"bgl", "loghub-logs", "skab"}
    assert not evaluation_only & {source.name for source in bundle.manifest.training_data}


@pytest.mark.parametrize("name", FIRST)
def test_a_model_tells_the_plainly_bad_from_the_plainly_good(name: str) -> None:
    bad, good = _answers(name, list(FIRST[name]))
    if name == "triage-note":
        urgent = [answer["scores"]["1"] + answer["scores"]["2"] for answer in (bad, good)]
        assert urgent[0] > urgent[1] + 0.3
        assert sum(bad["scores"].values()) == pytest.approx(1, abs=1e-5)
    else:
        assert bad["scores"][SCORE[name]] > good["scores"][SCORE[name]]


def test_an_anomaly_is_told_from_the_machines_own_normal() -> None:
    (settings,) = [each for each in SHIPPED if each.name == "sensor-anomaly"]
    normal = [
        {"values": {"a": 1 + 0.01 * (i % 7), "b": 5 - 0.02 * (i % 5)}, "time": i * 1000} for i in range(420)
    ]
    payloads = [*normal, {"values": {"a": 9.0, "b": -4.0}, "time": 500_000}]
    answers = list(judge_lines(build_agent(settings), [json.dumps(each).encode() for each in payloads]))
    assert [answer["label"] for answer in answers[:400]] == ["learning"] * 400
    assert all(answer["abstained"] for answer in answers[:400])
    assert {answer["label"] for answer in answers[400:420]} == {"normal"}
    assert answers[420]["label"] == "anomaly"
