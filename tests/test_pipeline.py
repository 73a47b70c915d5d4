"""The way of a message through the pipeline, driven with plain values."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Callable
from typing import Any

import pytest

from models.news2 import PARAMETERS, news2
from nodes.agents import AgentSettings
from nodes.agents.vitals import VitalsAgent
from nodes.outputs import Publication
from nodes.pipeline import Clock, Outcome, Pipeline, Received
from nodes.reasons import Reason
from nodes.times import DAY_MS, MINUTE_MS, parse_time
from tests.level_agents import FragileAgent, LevelAgent, UrgencyAgent

NOW = parse_time("2026-11-23T12:00:00Z")


def _vitals(**settings: Any) -> VitalsAgent:
    return VitalsAgent(AgentSettings("vitals", "vitals", "t/{site}/{device}/vitals", **settings))


def _pipeline(*agents: Any, clock: Clock = "wall") -> Pipeline:
    return Pipeline(agents or [_vitals()], gateway="g", clock=clock)


_NUMBERS = itertools.count()


def _received(topic: str, payload: bytes, arrival_ms: int = NOW) -> Received:
    return Received(topic, payload, arrival_ms, f"{next(_NUMBERS):032x}")


def _send(
    pipeline: Pipeline, payload: Any, *, topic: str = "t/s/d/vitals", arrival_ms: int = NOW
) -> tuple[Outcome, list[Any]]:
    raw = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    (outcome,) = pipeline.process([_received(topic, raw, arrival_ms)])
    return outcome, [json.loads(each.payload or b"null") for each in outcome.publications]


HIGH = {"hr": 140, "rr": 30, "spo2": 85, "sbp": 80}
CALM = {"hr": 70, "rr": 15, "spo2": 98, "sbp": 120}


def test_a_classification_is_a_cloud_event_on_its_topic() -> None:
    outcome, (event, _) = _send(_pipeline(), {**HIGH, "id": "v1", "time": NOW - 1000, "test": True})
    assert outcome.publications[0].topic == "edgeward/v1/s/d/classification/vitals"
    assert not outcome.publications[0].retain
    assert event["specversion"] == "1.0"
    assert event["type"] == "edgeward.classification.v1"
    assert event["source"] == "/edgeward/v1/s/d/vitals"
    assert event["subject"] == "s/d"
    assert len(event["id"]) == 32
    data = event["data"]
    assert data["input"] == {"id": "v1", "time": "2026-11-23T11:59:59.000Z"}
    assert data["probability"] is None
    assert data["scores"] == {}
    assert data["test"] is True
    assert data["historical"] is False
    assert data["news2"]["total"] == 12
    assert data["model"]["name"] == "news2"


def test_the_alert_goes_on_at_seven_stays_between_and_goes_off_at_four() -> None:
    pipeline = _pipeline()
    _, (_, alert) = _send(pipeline, {**HIGH, "id": "1"})
    assert alert["type"] == "edgeward.alert.v1"
    assert alert["gateway"] == "g"
    assert alert["data"]["value"] == 12
    assert alert["data"]["since"] == "2026-11-23T12:00:00.000Z"
    assert pipeline.holds("edgeward/v1/s/d/alert/vitals")
    _, still = _send(pipeline, {"hr": 112, "rr": 22, "spo2": 94, "sbp": 120, "id": "2"})
    assert [each["type"] for each in still] == ["edgeward.classification.v1"]
    assert still[0]["data"]["news2"]["total"] == 5
    outcome, _ = _send(pipeline, {**CALM, "id": "3"})
    assert outcome.publications[1] == Publication("edgeward/v1/s/d/alert/vitals", b"", "alert", retain=True)
    assert pipeline.active_alerts() == []


def test_active_alerts_are_what_was_published_byte_for_byte() -> None:
    pipeline = _pipeline()
    outcome, _ = _send(pipeline, HIGH)
    assert pipeline.active_alerts() == [outcome.publications[1]]


def test_a_publication_says_what_it_is() -> None:
    pipeline = _pipeline()
    outcomes = [
        _send(pipeline, payload)[0]
        for payload in (b"{", {**HIGH, "time": 0}, {**HIGH, "time": NOW}, {**CALM, "time": NOW})
    ]
    assert [[(each.kind, each.historical) for each in outcome.publications] for outcome in outcomes] == [
        [("rejected", False)],
        [("classification", True)],
        [("classification", False), ("alert", False)],
        [("classification", False), ("alert", False)],
    ]


def test_the_same_input_gives_the_same_ids_from_another_pipeline() -> None:
    payload = {**HIGH, "time": NOW}
    first, second = _send(_pipeline(), payload), _send(_pipeline(), payload)
    assert first == second


def test_an_input_with_neither_id_nor_time_is_always_new() -> None:
    pipeline = _pipeline()
    (_, (first, _)), (_, (second,)) = _send(pipeline, HIGH), _send(pipeline, HIGH)
    assert first["id"] != second["id"]


def test_a_repeat_changes_nothing_and_is_not_answered_again() -> None:
    agent = LevelAgent()
    pipeline = _pipeline(agent)
    payload = {"values": {"level": 7}, "id": "1"}
    _send(pipeline, payload, topic="t/s/d/sensor")
    outcome, published = _send(pipeline, payload, topic="t/s/d/sensor")
    assert (outcome.verdict, published) == ("repeated", [])
    assert agent.invokes == [1]
    assert _send(pipeline, payload, topic="t/s/other/sensor")[0].verdict == "classified"


def test_the_same_id_with_another_payload_is_rejected() -> None:
    pipeline = _pipeline()
    _send(pipeline, {**CALM, "id": "1"})
    outcome, (event,) = _send(pipeline, {**HIGH, "id": "1"})
    assert outcome.verdict == "rejected"
    assert event["data"]["field"] == "id"


def test_one_rejection_for_a_message_however_many_agents_share_it() -> None:
    pipeline = _pipeline(_vitals(), LevelAgent("one"), LevelAgent("two"))
    outcome, (event,) = _send(pipeline, b"secret-marker", topic="t/s/d/sensor")
    assert outcome.publications[0].topic == "edgeward/gateway/g/rejected"
    assert event["type"] == "edgeward.rejected.v1"
    assert event["source"] == "/edgeward/gateway/g"
    assert set(event["data"]) == {"reason", "topic", "sha256", "bytes", "received"}
    assert "secret-marker" not in json.dumps(event)
    assert pipeline.counters.rejected == 1


def test_a_bad_identity_is_rejected_with_the_level_that_is_bad() -> None:
    _, (event,) = _send(_pipeline(), CALM, topic="t/s/bed 12/vitals")
    assert event["data"]["field"] == "device"
    assert "subject" not in event


def test_agents_of_two_kinds_on_one_topic_both_get_what_they_can_read() -> None:
    pipeline = _pipeline(_vitals(), LevelAgent("any", "t/{site}/{device}/{what}"))
    assert pipeline.filters == ("t/+/+/+",)
    outcome, (event,) = _send(pipeline, {"values": {"level": 1}}, topic="t/s/d/vitals")
    assert event["source"] == "/edgeward/v1/s/d/any"
    assert outcome.verdict == "in_part"
    outcome, published = _send(pipeline, {**CALM, "values": {"level": 1}}, topic="t/s/d/vitals")
    assert len(published) == 2
    assert outcome.verdict == "classified"


def test_what_merged_filters_bring_besides_is_left_aside_uncounted() -> None:
    pipeline = _pipeline()
    assert _send(pipeline, CALM, topic="t/s/d/other")[0].verdict == "unmatched"
    assert pipeline.counters.received == 0


def test_a_model_is_invoked_once_for_a_batch() -> None:
    agent = LevelAgent()
    batch = [
        _received(f"t/s/d{place % 3}/sensor", json.dumps({"values": {"level": place}}).encode(), NOW)
        for place in range(9)
    ]
    outcomes = _pipeline(agent).process(batch)
    assert agent.invokes == [9]
    scores = [json.loads(outcome.publications[0].payload)["data"]["scores"]["level"] for outcome in outcomes]
    assert scores == list(range(9))


def test_an_input_that_its_model_cannot_run_on_is_rejected_and_its_batch_goes_on() -> None:
    batch = [
        _received("t/s/d/sensor", json.dumps({"values": {"level": level}}).encode(), NOW)
        for level in (1, 9, 2)
    ]
    pipeline = _pipeline(FragileAgent())
    outcomes = pipeline.process(batch)
    assert [outcome.verdict for outcome in outcomes] == ["classified", "rejected", "classified"]
    assert pipeline.counters.reasons == {Reason.NOT_RUNNABLE: 1}
    (beside,) = _pipeline(FragileAgent(), LevelAgent("sturdy")).process(batch[1:2])
    assert beside.verdict == "in_part"


def test_an_alert_whose_time_is_over_ends_with_an_input_that_is_rejected_too() -> None:
    pipeline = _pipeline(FragileAgent(), clock="events")
    _send(pipeline, {"values": {"level": 7}, "time": NOW}, topic="t/s/d/sensor")
    late = {"values": {"level": 9}, "time": NOW + 15 * MINUTE_MS}
    outcome, _ = _send(pipeline, late, topic="t/s/d/sensor")
    assert outcome.verdict == "rejected"
    assert [each.kind for each in outcome.publications] == ["alert", "rejected"]
    assert pipeline.active_alerts() == []


def test_batches_change_nothing() -> None:
    rng = random.Random(5)
    messages = [
        _received(f"t/s/d{rng.randrange(4)}/sensor", json.dumps(payload).encode(), NOW + place * 1000)
        for place in range(200)
        for payload in [{"values": {"level": rng.uniform(0, 9)}, "id": str(rng.randrange(150))}]
    ]
    whole = _pipeline(LevelAgent()).process(messages)
    one_by_one = _pipeline(LevelAgent())
    assert [outcome for message in messages for outcome in one_by_one.process([message])] == whole


def test_the_counters_add_up() -> None:
    pipeline = _pipeline()
    for payload in ({**CALM, "id": "1"}, {**CALM, "id": "1"}, {**CALM, "spo2": 140}, b"{", CALM):
        _send(pipeline, payload)
    report = json.loads(pipeline.counters.report("g", NOW, owed=0, given_up={}, durable=True))
    assert (report["received"], report["classified"], report["in_part"]) == (5, 2, 1)
    assert (report["rejected"], report["repeated"]) == (1, 1)
    assert report["reasons"] == {"outside what is possible": 1, "the payload is not valid JSON": 1}


# Time.


def test_on_the_wall_clock_the_past_is_historical_and_changes_no_alert() -> None:
    pipeline = _pipeline()
    _, events = _send(pipeline, {**HIGH, "time": NOW - 10 * MINUTE_MS - 1})
    assert [event["data"]["historical"] for event in events] == [True]
    _, events = _send(pipeline, {**HIGH, "time": NOW - 10 * MINUTE_MS})
    assert len(events) == 2


def test_on_the_wall_clock_more_than_a_day_ahead_is_rejected() -> None:
    assert _send(_pipeline(), {**HIGH, "time": NOW + DAY_MS + 1})[0].verdict == "rejected"
    assert _send(_pipeline(), {**HIGH, "time": NOW + DAY_MS})[0].verdict == "classified"


def test_a_device_whose_clock_ran_ahead_does_not_silence_its_alert() -> None:
    pipeline = _pipeline()
    _send(pipeline, {**CALM, "time": NOW + DAY_MS})
    outcome, _ = _send(pipeline, {**HIGH, "time": NOW + 1000}, arrival_ms=NOW + 1000)
    assert len(outcome.publications) == 2


def test_on_the_events_clock_nothing_is_historical_or_in_the_future() -> None:
    pipeline = _pipeline(clock="events")
    _, events = _send(pipeline, {**HIGH, "time": 1000}, arrival_ms=NOW)
    assert len(events) == 2
    assert _send(pipeline, {**CALM, "time": NOW + 30 * DAY_MS})[0].verdict == "classified"


def test_a_late_reading_changes_no_alert() -> None:
    pipeline = _pipeline(clock="events")
    _send(pipeline, {**CALM, "time": NOW})
    _, events = _send(pipeline, {**HIGH, "time": NOW - MINUTE_MS})
    assert [event["data"]["label"] for event in events] == ["high"]


def test_an_alert_ends_by_time_on_the_wall_clock() -> None:
    pipeline = _pipeline(LevelAgent())
    _send(pipeline, {"values": {"level": 7}}, topic="t/s/d/sensor")
    assert pipeline.tick(NOW + 15 * MINUTE_MS - 1) == []
    assert pipeline.tick(NOW + 15 * MINUTE_MS) == [
        Publication("edgeward/v1/s/d/alert/level", b"", "alert", retain=True)
    ]
    assert pipeline.tick(NOW + 16 * MINUTE_MS) == []


def test_an_alert_ends_by_the_devices_own_time_on_the_events_clock() -> None:
    pipeline = _pipeline(LevelAgent(), _vitals(), clock="events")
    _send(pipeline, {"values": {"level": 7}, "time": NOW}, topic="t/s/d/sensor")
    assert pipeline.tick(NOW + DAY_MS) == []
    _send(pipeline, {**CALM, "time": NOW + 15 * MINUTE_MS}, topic="t/s/other/vitals")
    assert len(pipeline.active_alerts()) == 1
    outcome, _ = _send(pipeline, {**CALM, "time": NOW + 15 * MINUTE_MS})
    assert outcome.publications[0] == Publication("edgeward/v1/s/d/alert/level", b"", "alert", retain=True)


def test_another_reason_puts_the_end_off() -> None:
    pipeline = _pipeline(LevelAgent())
    _send(pipeline, {"values": {"level": 7}}, topic="t/s/d/sensor")
    _send(pipeline, {"values": {"level": 6}}, topic="t/s/d/sensor", arrival_ms=NOW + 10 * MINUTE_MS)
    assert pipeline.tick(NOW + 20 * MINUTE_MS) == []
    assert len(pipeline.tick(NOW + 25 * MINUTE_MS)) == 1


def test_a_worse_input_publishes_the_alert_again_with_the_same_since() -> None:
    pipeline = _pipeline(UrgencyAgent())
    _, (_, first) = _send(pipeline, {"values": {"level": 6}}, topic="t/s/d/sensor")
    _, (_, second) = _send(pipeline, {"values": {"level": 8}}, topic="t/s/d/sensor", arrival_ms=NOW + 1000)
    assert len(_send(pipeline, {"values": {"level": 7}}, topic="t/s/d/sensor", arrival_ms=NOW + 2000)[1]) == 1
    assert (first["data"]["value"], second["data"]["value"]) == (6, 8)
    assert first["data"]["since"] == second["data"]["since"]
    assert first["id"] != second["id"]


# NEWS2 on a stream.


def _direct_news2(arrived: list[tuple[int, dict[str, Any]]], time_ms: int) -> Any:
    """The rule, computed plainly over all messages that have arrived."""
    values = {}
    for name in PARAMETERS:
        candidates = [
            (sent_ms, place, payload[name])
            for place, (sent_ms, payload) in enumerate(arrived)
            if name in payload and time_ms - 60 * MINUTE_MS <= sent_ms <= time_ms
        ]
        if candidates:
            values[name] = max(candidates, key=lambda each: each[:2])[2]
    return news2(values)


@pytest.mark.parametrize("seed", range(5))
def test_news2_out_of_order_equals_a_direct_computation_over_what_had_arrived(seed: int) -> None:
    rng = random.Random(seed)
    draw: dict[str, Callable[[], Any]] = {
        "hr": lambda: rng.randrange(30, 160),
        "rr": lambda: rng.randrange(5, 35),
        "spo2": lambda: rng.randrange(80, 100),
        "sbp": lambda: rng.randrange(70, 230),
        "temp": lambda: round(rng.uniform(34, 41), 2),
        "acvpu": lambda: rng.choice("ACVPU"),
        "on_oxygen": lambda: rng.random() < 0.5,
    }
    pipeline = _pipeline(clock="events")
    arrived: list[tuple[int, dict[str, Any]]] = []
    for place in range(400):
        time_ms = NOW + rng.randrange(0, 6 * 60) * MINUTE_MS
        payload = {name: draw[name]() for name in rng.sample(sorted(draw), rng.randrange(1, 4))}
        arrived.append((time_ms, payload))
        _, (event, *_) = _send(pipeline, {**payload, "time": time_ms, "id": str(place)})
        direct = _direct_news2(arrived, time_ms)
        assert event["data"]["news2"] == {
            "total": direct.total,
            "components": dict(direct.components),
            "missing": list(direct.missing),
            "partial": direct.partial,
        }


def test_the_order_of_a_saturation_scale_stands_until_another_is_sent() -> None:
    pipeline = _pipeline(clock="events")

    def spo2_points(payload: dict[str, Any]) -> int:
        _, (event, *_) = _send(pipeline, payload)
        points: int = event["data"]["news2"]["components"]["spo2"]
        return points

    on_air = {"spo2": 90, "on_oxygen": False}
    assert spo2_points({**on_air, "time": 0}) == 3
    assert spo2_points({**on_air, "time": MINUTE_MS, "spo2_scale": 2}) == 0
    assert spo2_points({**on_air, "time": 600 * MINUTE_MS}) == 0
    assert spo2_points({**on_air, "time": 601 * MINUTE_MS, "spo2_scale": 1}) == 3


def test_vitals_without_any_parameter_of_news2_abstain() -> None:
    _, (event,) = _send(_pipeline(), {"dbp": 60})
    assert event["data"]["abstained"] is True
    assert event["data"]["label"] == "unknown"
