"""A device's state on its way through bytes: restored, it goes on as if nothing had happened."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models.anomaly import Learn, SensorNormal
from models.errors import SnapshotRefused
from models.frames import Arrays, as_array, pack, unpack
from models.normality import CHANNEL_LIMIT
from models.risk import VITALS, VitalsWindow
from nodes.agents import SHIPPED, Agent, AgentSettings, build_agent
from nodes.agents.vitals import HISTORY_LIMIT
from nodes.outputs import Publication
from nodes.pipeline import Clock, Outcome, Pipeline, Received
from nodes.state import DEVICE_LIMIT, RECENT_LIMIT
from nodes.times import MINUTE_MS, parse_time
from nodes.topics import Identity
from tests.level_agents import FragileAgent, LevelAgent, UrgencyAgent

NOW = parse_time("2026-11-23T12:00:00Z")
MACHINE_BYTES = 16 * 1024
"""The most that the snapshot of a learnt machine of eight channels may take."""
VITALS_BYTES = 24 * 1024
"""The same for a patient under both vitals agents, with full histories of readings once a minute."""


class ElsewhereAgent(UrgencyAgent):
    """Reads the same topics as the others, but takes their second level for a ward: another device."""

    def __init__(self) -> None:
        super().__init__("urgency", "edgeward/v1/{ward}/{device}/sensor")
        self.site = "elsewhere"


@cache
def _agents() -> tuple[Agent[Any, Any], ...]:
    """All shipped agents, sensors learning as shortly as they can, and three without a model."""
    shipped = [build_agent(each) for each in SHIPPED if each.name != "sensor-anomaly"]
    topic = "edgeward/v1/{site}/{device}/sensor"
    sensors = AgentSettings("sensor-anomaly", "sensor", topic, "sensor-anomaly", learn=Learn(readings=30))
    return (
        *shipped,
        build_agent(sensors),
        LevelAgent("level", topic),
        ElsewhereAgent(),
        FragileAgent("fragile", "edgeward/v1/{site}/{device}/fragile"),
    )


def _pipeline(clock: Clock = "wall") -> Pipeline:
    return Pipeline(_agents(), gateway="g", clock=clock)


class Kept:
    """What a store would keep of a pipeline's devices: snapshots, and the readings after them."""

    def __init__(self) -> None:
        self.devices: dict[Identity, tuple[bytes | None, list[Received]]] = {}

    def take(self, pipeline: Pipeline, batch: Sequence[Received], outcomes: Sequence[Outcome]) -> None:
        for identity in pipeline.evicted():
            self.devices.pop(identity, None)
        for received, outcome in zip(batch, outcomes, strict=True):
            for identity in outcome.identities:
                snapshot, readings = self.devices.pop(identity, (None, []))
                self.devices[identity] = (snapshot, [*readings, received])  # the newest stands last

    def snapshot(self, pipeline: Pipeline, identity: Identity) -> None:
        self.devices[identity] = (pipeline.snapshot(identity), [])

    def restored(self, clock: Clock) -> Pipeline:
        pipeline = _pipeline(clock)
        for identity, (snapshot, readings) in self.devices.items():
            assert pipeline.restore(identity, snapshot, readings) == ()
            assert pipeline.since_snapshot(identity) == len(readings)
        return pipeline


def _payload(kind: str, rng: random.Random) -> Any:
    match kind:
        case "vitals":
            ranges = {"hr": (30, 360), "rr": (5, 40), "spo2": (75, 100), "sbp": (60, 230), "dbp": (40, 130)}
            numbers = {name: rng.randrange(*ranges[name]) for name in rng.sample(sorted(ranges), 4)}
            others = {
                "temp": rng.uniform(34, 41),
                "acvpu": rng.choice("AACVPU"),
                "on_oxygen": rng.random() < 0.3,
            }
            scale = {"spo2_scale": rng.choice((1, 2))} if rng.random() < 0.1 else {}
            return {**numbers, **others, **scale}
        case "note":
            return {
                "text": rng.choice(("chest pain, sweating", "wants a repeat prescription", "...")),
                "pain": 8,
            }
        case "log":
            return {
                "line": rng.choice(("session opened for user root", "EDAC MC0: uncorrectable memory error"))
            }
        case _:
            channels = {f"c{place}": rng.gauss(place, 1) for place in range(4) if rng.random() < 0.9}
            return {"values": {**channels, "level": float(rng.randrange(10))}}


def _messages(rng: random.Random, count: int) -> list[Received]:
    """All kinds from a few devices: in order and late, repeated, historical, without ids, and bad."""
    made: list[Received] = []
    arrival_ms = NOW
    for number in range(count):
        arrival_ms += rng.choice((10, 1_000, 20_000, 3 * MINUTE_MS))
        if rng.random() < 0.02:
            arrival_ms -= 20 * MINUTE_MS  # the gateway's clock is put back
        fresh_id = f"{number:032x}"
        if made and rng.random() < 0.1:
            made.append(rng.choice(made)._replace(time_ms=arrival_ms, fresh_id=fresh_id, duplicate=True))
            continue
        kind = rng.choice(("vitals", "note", "log", "sensor", "sensor", "sensor", "fragile"))
        site = rng.choice(("north", "north", "south"))
        topic = f"edgeward/v1/{site}/d{rng.randrange(4) // 3}/{kind}"
        payload = _payload(kind, rng)
        if rng.random() < 0.8:
            payload["id"] = str(rng.randrange(count * 4))
        if rng.random() < 0.7:
            payload["time"] = arrival_ms - rng.choice(
                (0, 0, 0, 500, 2 * MINUTE_MS, 15 * MINUTE_MS, -MINUTE_MS)
            )
        raw = json.dumps(payload).encode()
        bad = rng.random() < 0.05
        made.append(Received(topic, raw[: rng.randrange(len(raw))] if bad else raw, arrival_ms, fresh_id))
    return made


Turn = tuple[list[Outcome], list[Publication]]


def _turn(pipeline: Pipeline, batch: Sequence[Received]) -> Turn:
    return pipeline.process(batch), pipeline.tick(batch[-1].time_ms)


def test_the_drawn_messages_come_to_everything_that_can_become_of_one() -> None:
    pipeline = _pipeline()
    seen: set[tuple[str, int]] = set()
    labels: set[Any] = set()
    for received in _messages(random.Random(1), 260):
        ((outcome,), ended) = _turn(pipeline, [received])
        seen.add((outcome.verdict, len(outcome.identities)))
        labels |= {"ended by time"} if ended else set()
        for each in outcome.publications:
            event = json.loads(each.payload or b'{"type": "cleared", "data": {}}')
            labels |= {event["type"], event["data"].get("label"), each.historical and "historical"}
    moved = {("classified", 1), ("classified", 2), ("in_part", 1), ("rejected", 1)}
    assert seen >= {*moved, ("rejected", 0), ("repeated", 0)}
    assert labels >= {"cleared", "ended by time", "historical", "edgeward.alert.v1", "learning", "anomaly"}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.integers(0, 2**32),
    count=st.integers(2, 260),
    size=st.integers(1, 40),
    cut=st.floats(0, 1),
    every=st.integers(1, 60),
    clock=st.sampled_from(["wall", "events"]),
)
def test_restored_at_any_point_it_goes_on_as_if_it_had_never_stopped(
    seed: int, count: int, size: int, cut: float, every: int, clock: Clock
) -> None:
    messages = _messages(random.Random(seed), count)
    batches = [messages[start : start + size] for start in range(0, count, size)]
    stop = round(cut * len(batches))
    pipeline, kept = _pipeline(clock), Kept()
    for batch in batches[:stop]:
        outcomes, _ = _turn(pipeline, batch)
        kept.take(pipeline, batch, outcomes)
        changed = pipeline.changed()
        for identity in list(kept.devices):
            if identity in changed or pipeline.since_snapshot(identity) >= every:
                kept.snapshot(pipeline, identity)
    restored = kept.restored(clock)
    assert restored.active_alerts() == pipeline.active_alerts()
    assert all(restored.holds(alert.topic) for alert in pipeline.active_alerts())
    for batch in batches[stop:]:
        assert _turn(restored, batch) == _turn(pipeline, batch)
    for identity in kept.devices:
        assert restored.snapshot(identity) == pipeline.snapshot(identity)


# Each window by itself: what is kept of it is all of it.


def _sensor_values(rng: random.Random, channels: int) -> dict[str, float]:
    return {f"channel {place}": rng.gauss(place, 1) for place in range(channels) if rng.random() < 0.95}


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    channels=st.integers(1, CHANNEL_LIMIT + 4),
    learn=st.sampled_from([Learn(readings=40), Learn(readings=None, minutes=1), Learn(readings=600)]),
    before=st.integers(0, 120),
)
def test_a_machine_restored_while_learning_or_after_describes_exactly_alike(
    seed: int, channels: int, learn: Learn, before: int
) -> None:
    rng = random.Random(seed)
    state = SensorNormal(learn)
    for second in range(before):
        state.add(NOW + second * 1000, _sensor_values(rng, channels))
    restored = SensorNormal.load(state.dump(), learn)
    assert restored.dump() == state.dump()
    for second in range(before, before + 60):
        values = _sensor_values(rng, channels)
        expected, found = state.add(NOW + second * 1000, values), restored.add(NOW + second * 1000, values)
        assert (None if expected is None else expected.tobytes()) == (
            None if found is None else found.tobytes()
        )


@given(
    readings=st.lists(
        st.tuples(
            st.integers(0, 20 * 60), st.dictionaries(st.sampled_from(VITALS), st.floats(30, 45), max_size=6)
        ),
        max_size=60,
    ),
    cut=st.integers(0, 60),
)
def test_a_restored_vitals_window_describes_exactly_alike(
    readings: list[tuple[int, dict[str, float]]], cut: int
) -> None:
    state = VitalsWindow()
    for minute, values in readings[:cut]:
        state.add(NOW + minute * MINUTE_MS, values)
    restored = VitalsWindow.load(state.dump())
    for minute, values in readings[cut:]:
        moment = NOW + minute * MINUTE_MS
        assert restored.add(moment, values).tobytes() == state.add(moment, values).tobytes()


@given(
    times=st.lists(st.integers(-(2**63), 2**63 - 1), max_size=20),
    values=st.lists(st.floats(), max_size=20),
    raw=st.binary(max_size=20),
)
def test_a_frame_gives_back_what_was_packed_to_the_last_bit(
    times: list[int], values: list[float], raw: bytes
) -> None:
    arrays: Arrays = {
        "times": np.array(times, np.int64),
        "values": np.array(values, np.float64),
        "raw": as_array(raw),
    }
    facts, found = unpack(pack("form", 3, {"name": "é", "at": 0.1}, arrays), "form", 3)
    assert facts == {"name": "é", "at": 0.1}
    assert {name: array.tobytes() for name, array in found.items()} == {
        name: array.tobytes() for name, array in arrays.items()
    }


@given(st.binary(max_size=60) | st.binary(max_size=60).map(lambda tail: b"EWF1\x02\x00\x00\x00" + tail))
def test_any_bytes_are_a_frame_or_refused(raw: bytes) -> None:
    with pytest.raises(SnapshotRefused):
        unpack(raw, "form", 1)


# What is refused, and what it costs.

VITALS_TOPIC = "edgeward/v1/s/bed/vitals"
BED = Identity("s", "bed")
ILL = {"hr": 140, "rr": 30, "spo2": 85, "sbp": 80, "id": "1"}


def _ill(pipeline: Pipeline) -> Received:
    message = Received(VITALS_TOPIC, json.dumps(ILL).encode(), NOW, "0" * 32)
    assert pipeline.process([message])[0].identities == (BED,)
    return message


@given(st.data())
def test_a_damaged_snapshot_is_refused_and_changes_nothing(data: st.DataObject) -> None:
    pipeline, other = _pipeline(), _pipeline()
    _ill(pipeline)
    whole = pipeline.snapshot(BED)
    place = data.draw(st.integers(0, len(whole) - 1))
    damaged = data.draw(
        st.sampled_from([whole[:place], whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :]])
    )
    with pytest.raises(SnapshotRefused):
        other.restore(BED, damaged, [])
    assert other.active_alerts() == []
    with pytest.raises(KeyError):
        other.snapshot(BED)


def test_without_a_snapshot_readings_alone_restore_a_device() -> None:
    pipeline, other = _pipeline(), _pipeline()
    other.restore(BED, None, [_ill(pipeline)])
    assert other.active_alerts() == pipeline.active_alerts() != []
    assert other.counters.received == 0
    assert other.since_snapshot(BED) == 1
    assert other.snapshot(BED) == pipeline.snapshot(BED)
    assert other.since_snapshot(BED) == 0


def test_an_agent_that_changed_its_line_of_work_starts_anew_and_the_rest_stays() -> None:
    vitals = AgentSettings("vitals", "vitals", "edgeward/v1/{site}/{device}/vitals")
    other = AgentSettings("other", "vitals", vitals.topic)
    scored = AgentSettings("vitals", "vitals", vitals.topic, "deterioration")
    pipeline = Pipeline([build_agent(vitals), build_agent(other)], gateway="g")
    message = _ill(pipeline)
    changed = Pipeline([build_agent(scored)], gateway="g")
    assert changed.restore(BED, pipeline.snapshot(BED), []) == ("vitals",)
    assert [each.topic for each in changed.active_alerts()] == ["edgeward/v1/s/bed/alert/vitals"]
    assert changed.process([message])[0].verdict == "repeated"


def test_the_device_that_makes_room_is_named_once() -> None:
    pipeline = Pipeline([LevelAgent()], gateway="g")
    payload = b'{"values": {"level": 1}}'
    for number in range(DEVICE_LIMIT + 2):
        pipeline.process([Received(f"t/s/d{number}/sensor", payload, NOW, f"{number:032x}")])
    assert pipeline.evicted() == [Identity("s", "d0"), Identity("s", "d1")]
    assert pipeline.evicted() == []


def test_a_device_whose_alert_went_on_or_off_is_named_once() -> None:
    """Its snapshot tells so for certain; the next start may have another model for its readings."""
    pipeline = Pipeline([LevelAgent()], gateway="g")
    pipeline.process([Received("t/s/d/sensor", b'{"values": {"level": 1}}', NOW, "1" * 32)])
    assert pipeline.changed() == []
    pipeline.process([Received("t/s/d/sensor", b'{"values": {"level": 9}}', NOW, "0" * 32)])
    assert pipeline.changed() == [Identity("s", "d")]
    assert pipeline.changed() == []
    pipeline.tick(NOW + 15 * MINUTE_MS)
    assert pipeline.changed() == [Identity("s", "d")]
    assert pipeline.changed() == []


def _bytes_of_a_snapshot(identity: Identity, topic: str, payload: Callable[[int], Any], count: int) -> int:
    pipeline = Pipeline([build_agent(each) for each in SHIPPED], gateway="g")
    for number in range(count):
        moment = NOW + number * MINUTE_MS
        raw = json.dumps({**payload(number), "id": str(number), "time": moment}).encode()
        pipeline.process([Received(topic, raw, moment, f"{number:032x}")])
    return len(pipeline.snapshot(identity))


def test_snapshots_stay_small() -> None:
    """Random values, full histories and full lists of ids: what compresses worst."""
    rng = random.Random(1)
    walk = {"hr": 80.0, "rr": 16.0, "spo2": 96.0, "sbp": 120.0, "dbp": 80.0, "temp": 37.0}

    def patient(_: int) -> dict[str, Any]:
        for name in walk:
            walk[name] = round(walk[name] + rng.gauss(0, 0.3), 1)
        return {**walk, "acvpu": "A", "on_oxygen": False, "spo2_scale": 1}

    def machine(_: int) -> dict[str, Any]:
        return {"values": {f"channel_{place}": rng.gauss(place, 1) for place in range(8)}}

    full = max(HISTORY_LIMIT, RECENT_LIMIT) + 1
    patients = _bytes_of_a_snapshot(BED, VITALS_TOPIC, patient, full)
    machines = _bytes_of_a_snapshot(Identity("s", "m"), "edgeward/v1/s/m/sensor", machine, full)
    print(f"a patient's snapshot: {patients} bytes; a learnt machine's of 8 channels: {machines} bytes")
    assert patients <= VITALS_BYTES
    assert machines <= MACHINE_BYTES
