"""A scenario played: repeatable, within the contract, and as wrong as its truth says."""

from __future__ import annotations

import hashlib
import json
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.errors import UsageError
from models.news2 import PARAMETERS, news2
from nodes.events import PAYLOADS
from simulators.digest import Digest
from simulators.scenario import load_scenario, read_scenario, shipped_scenarios
from simulators.scenario_parts import NEEDS_SECONDS, PATH_FAULTS, PathFault
from simulators.world import Message, World

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS


def _digest(messages: list[Message]) -> str:
    return hashlib.sha256(b"\n".join(message.body for message in messages)).hexdigest()


def _world(name: str, seed: int | None = None, start_ms: int | None = None) -> World:
    return World(*load_scenario(name), seed=seed, start_ms=start_ms)


@pytest.mark.parametrize("name", shipped_scenarios())
def test_a_world_can_be_played_again(name: str) -> None:
    """Same scenario and seed, same bytes; another seed, other bytes; always in order of time."""
    first, again = list(_world(name).messages()), list(_world(name).messages())
    assert _digest(first) == _digest(again)
    assert _digest(first) != _digest(list(_world(name, seed=999).messages()))
    assert all(a.time_ms <= b.time_ms for a, b in pairwise(first))


@given(seed=st.integers(min_value=-(2**63), max_value=2**63))
@settings(max_examples=5, deadline=None)
def test_any_seed_can_be_played_again(seed: int) -> None:
    """Every seed gives one world."""
    assert _digest(list(_world("sepsis-ward", seed=seed).messages())) == _digest(
        list(_world("sepsis-ward", seed=seed).messages())
    )


def test_start_moves_only_the_clock() -> None:
    """A world that starts a whole day later says the same at other times."""
    own = _world("quiet-ward")
    later = _world("quiet-ward", start_ms=own.start_ms + 24 * HOUR_MS)
    for a, b in zip(own.messages(), later.messages(), strict=True):
        assert b.time_ms - a.time_ms == 24 * HOUR_MS
        assert {**a.payload, "time": 0} == {**b.payload, "time": 0}


@pytest.mark.parametrize("name", shipped_scenarios())
def test_payloads_keep_the_contract(name: str) -> None:
    """Each payload is one the gateway's types accept whole, is marked as a test, and has an id of its own."""
    world = _world(name)
    seen: set[tuple[str, str, str]] = set()
    for message in world.messages():
        event = PAYLOADS[message.kind].model_validate(json.loads(message.body))
        assert event.test
        assert event.id is not None
        assert message.time_ms == event.time
        assert world.start_ms <= message.time_ms < world.end_ms + HOUR_MS
        seen.add((message.device, message.kind, event.id))
    assert len(seen) == sum(1 for _ in world.messages())
    known = {device.name for device in world.truth("x").devices}
    assert {device for device, _, _ in seen} == known


def test_the_demo_s_ward_shows_its_truth() -> None:
    """Each scripted bed reaches NEWS2 7 within its interval and no other bed ever does."""
    world = _world("demo")
    intervals = {each.device: each for each in world.truth("x").intervals if "vitals" in each.kinds}
    known: dict[str, dict[str, float]] = {}
    reached: set[str] = set()
    for message in world.messages():
        if message.kind != "vitals":
            continue
        values = known.setdefault(message.device, {})
        values.update({name: value for name, value in message.payload.items() if name in PARAMETERS})
        if news2(values).total >= 7:
            interval = intervals[message.device]
            assert interval.visible_from - HOUR_MS < message.time_ms < interval.until + HOUR_MS
            reached.add(message.device)
    assert reached == set(intervals)


def test_the_demo_s_machines_fail_after_learning() -> None:
    """Every machine has sent its first 400 readings before its fault begins."""
    world = _world("demo")
    count: dict[str, int] = {}
    learnt: dict[str, int] = {}
    for message in world.messages():
        if message.kind == "sensor":
            count[message.device] = count.get(message.device, 0) + 1
            if count[message.device] == 400:
                learnt[message.device] = message.time_ms
    faults = [each for each in world.truth("x").intervals if "sensor" in each.kinds]
    assert len(faults) == 4
    assert all(learnt[each.device] < each.visible_from for each in faults)


def _device_digest(world: World) -> str:
    digest = Digest()
    for each in world.sent():
        digest.add(each.device, each.kind, each.body)
    return digest.hexdigest()


@given(seed=st.integers(), start_ms=st.integers(0, 2**41))
@settings(max_examples=5, deadline=None)
def test_what_goes_out_is_the_same_for_any_seed_and_start(seed: int, start_ms: int) -> None:
    """With all faults of the path: one digest a seed and start, and the site has no part in it."""
    name, scenario = load_scenario("demo")
    faulty = scenario.model_copy(
        update={
            "hours": 1.0,
            "faults": tuple(
                PathFault.model_validate(
                    {"what": what, "share": 0.3} | ({"seconds": 60} if what in NEEDS_SECONDS else {})
                )
                for what in PATH_FAULTS
            ),
        }
    )
    once = World(name, faulty, seed=seed, start_ms=start_ms)
    again = World(name, faulty, seed=seed, start_ms=start_ms)
    assert _device_digest(once) == _device_digest(again)
    assert once.truth("a").intervals == again.truth("b").intervals


def test_more_devices_are_copies_with_their_own_randomness() -> None:
    """The first copies send what they would alone; others differ from them and meet the same events."""
    name, scenario = load_scenario("demo")
    alone, many = World(name, scenario), World(name, scenario, devices=40)
    assert len(many.devices) == 40
    assert many.devices[:16] == alone.devices
    assert many.devices[16] == f"{alone.devices[0]}~2"
    bodies: dict[str, list[bytes]] = {}
    for message in many.messages():
        bodies.setdefault(message.device, []).append(message.body)
    own: dict[str, list[bytes]] = {}
    for message in alone.messages():
        own.setdefault(message.device, []).append(message.body)
    assert {device: bodies[device] for device in own} == own
    assert bodies["bed-03~2"] != bodies["bed-03"]
    wrong = {(each.device, each.what) for each in many.truth("x").intervals}
    assert {("bed-03", "sepsis"), ("bed-03~2", "sepsis"), ("bed-03~3", "sepsis")} <= wrong
    for count in (15, 100_001):
        with pytest.raises(UsageError, match="up to 100000"):
            World(name, scenario, devices=count)


def test_setting_up_many_devices_can_be_stopped() -> None:
    """Asked to stop meanwhile, a world of many devices gives no message at all."""
    world = World(*load_scenario("demo"), devices=2000)
    assert next(world.messages(lambda: True), None) is None


def test_an_emergency_department_s_notes_have_a_truth() -> None:
    """Every arrival is a device that sends one note, whose acuity the truth knows, until a run is stopped."""
    world = _world("busy-emergency")
    truth = world.truth("x")
    sent = {(message.device, message.payload["id"]): message.time_ms for message in world.messages()}
    assert {(note.device, note.id) for note in truth.notes} == sent.keys()
    assert {device.kind for device in truth.devices} == {"arrival"}
    assert {note.acuity for note in truth.notes} == {1, 2, 3, 4, 5}
    middle_ms = (world.start_ms + world.end_ms) // 2
    half = world.truth("x").until(middle_ms)
    assert {(note.device, note.id) for note in half.notes} == {
        known for known, time_ms in sent.items() if time_ms < middle_ms
    }


def test_a_treated_patient_gets_a_note_of_it_and_recovers() -> None:
    """After to_hours the ward writes what it did, and later that the patient is well again."""
    text = (
        'title = "x"\nseed = 4\nstart = 2026-03-02T08:00:00Z\nhours = 8\n[[beds]]\ncount = 1\n'
        '[[events]]\ndevice = "bed-01"\nwhat = "sepsis"\nfrom_hours = 1\nramp_hours = 1\nto_hours = 4\n'
        "recovery_hours = 2\ntreated = "
    )
    counts = {}
    for treated in ("true", "false"):
        world = World("x", read_scenario(text + treated, "x"))
        notes = [message for message in world.messages() if message.kind == "note"]
        counts[treated] = sum(note.time_ms > world.start_ms + 4 * HOUR_MS for note in notes)
        assert [note.acuity for note in notes][-1] == 4
    assert counts == {"true": 2, "false": 1}


def test_a_storm_s_lines_come_between_the_usual_ones_with_ids_that_rise() -> None:
    """In a log-storm a machine's lines are many more, and their ids still count up in order of time."""
    world = _world("log-storm")
    storm = next(each for each in world.truth("x").intervals if each.family == "log")
    logs = [
        message for message in world.messages() if (message.device, message.kind) == (storm.device, "log")
    ]
    numbers = [int(message.payload["id"].rpartition("-")[2]) for message in logs]
    assert numbers == list(range(1, len(logs) + 1))
    inside = sum(storm.visible_from <= message.time_ms < storm.until for message in logs)
    inside_share = inside / len(logs)
    assert inside_share > 2 * (storm.until - storm.visible_from) / (world.end_ms - world.start_ms)
