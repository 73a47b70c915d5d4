"""A scenario played: repeatable, within the contract, and as wrong as its truth says."""

from __future__ import annotations

import hashlib
import json
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.news2 import PARAMETERS, news2
from nodes.events import PAYLOADS
from simulators.scenario import load_scenario, shipped_scenarios
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
