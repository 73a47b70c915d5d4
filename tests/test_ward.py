"""The simulated ward and plant: repeatable, plausible, and as wrong as the scenario says."""

from __future__ import annotations

import hashlib
import json
import random
import statistics
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.errors import ConfigRefused
from models.news2 import PARAMETERS, news2
from nodes.events import PAYLOADS
from simulators.notes import abbreviated, mistyped
from simulators.scenario import load_scenario, read_scenario, shipped_scenarios
from simulators.truth import VISIBLE_SEVERITY, Episode
from simulators.ward import CAUSES, Cause, Patient, Signs
from simulators.world import Message, World

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS


def _score(signs: Signs) -> int:
    return news2({name: getattr(signs, name) for name in PARAMETERS}).total


def _day(seed: int, cause: Cause | None = None, severity: float = 0.0) -> list[Signs]:
    patient = Patient(random.Random(seed))
    return [patient.measure(step * 15 * MINUTE_MS, cause, severity) for step in range(96)]


def _digest(messages: list[Message]) -> str:
    return hashlib.sha256(b"\n".join(message.body for message in messages)).hexdigest()


def _world(name: str, seed: int | None = None, start_ms: int | None = None) -> World:
    return World(*load_scenario(name), seed=seed, start_ms=start_ms)


def test_well_patients_stay_well() -> None:
    """Over 100 patient-days nobody who is well reaches NEWS2 7, and the median is at most 1."""
    scores = [_score(signs) for seed in range(100) for signs in _day(seed)]
    assert max(scores) < 7
    assert statistics.median(scores) <= 1


@pytest.mark.parametrize("cause", CAUSES)
def test_each_cause_at_full_severity_passes_seven(cause: Cause) -> None:
    """Fully deteriorated patients score 7 or more, whoever they are."""
    for seed in range(40):
        assert statistics.median(_score(signs) for signs in _day(seed, cause, 1.0)) >= 7


@pytest.mark.parametrize(
    ("cause", "risen", "fallen"),
    [
        ("sepsis", {"hr", "rr", "temp"}, {"sbp", "dbp", "spo2"}),
        ("respiratory-failure", {"hr", "rr"}, {"spo2"}),
        ("bleed", {"hr", "rr"}, {"sbp", "dbp", "temp"}),
    ],
)
def test_a_cause_moves_vital_signs_together(cause: Cause, risen: set[str], fallen: set[str]) -> None:
    """The vital signs move the way the cause demands, on average over patients."""
    names = risen | fallen
    well = {name: statistics.fmean(getattr(s, name) for n in range(20) for s in _day(n)) for name in names}
    ill = {
        name: statistics.fmean(getattr(s, name) for n in range(20) for s in _day(n, cause, 0.9))
        for name in names
    }
    assert risen == {name for name in names if ill[name] > well[name]}


def test_nights_are_calmer() -> None:
    """Temperature and pressure are higher late in the afternoon than before dawn."""
    days = [_day(seed) for seed in range(40)]
    dawn, afternoon = 4 * 5, 4 * 17
    for name in ("temp", "sbp", "hr"):
        assert statistics.fmean(getattr(day[afternoon], name) for day in days) > statistics.fmean(
            getattr(day[dawn], name) for day in days
        )


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
    assert {device for device, _, _ in seen} == set(world.devices)


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


@given(
    ramp=st.integers(0, 5 * HOUR_MS),
    hold=st.integers(1, 5 * HOUR_MS),
    recovery=st.integers(0, 5 * HOUR_MS),
    peak=st.floats(0.01, 1),
)
def test_an_interval_is_where_the_episode_shows(ramp: int, hold: int, recovery: int, peak: float) -> None:
    """The interval begins at the first visible millisecond and ends at the first that no longer is."""
    episode = Episode("d", "x", 1000, ramp, 1000 + ramp + hold, recovery, peak)
    interval = episode.interval(100 * HOUR_MS, ["vitals"])
    if interval is None:
        assert peak < VISIBLE_SEVERITY
        return
    assert episode.severity(interval.visible_from) >= VISIBLE_SEVERITY
    assert episode.severity(interval.visible_from - 1) < VISIBLE_SEVERITY
    assert episode.severity(interval.until - 1) >= VISIBLE_SEVERITY
    assert episode.severity(interval.until + 1) < VISIBLE_SEVERITY


def test_all_faults_of_a_scenario_are_reported() -> None:
    """Form faults come together, each with its place and what was expected."""
    text = (
        'title = "x"\nseed = "one"\nstart = 2026-01-01T00:00:00\nhours = -1\ncolour = 1\n'
        '[[machines]]\nname = "a b"\nkind = "toaster"\n'
    )
    with pytest.raises(ConfigRefused) as refused:
        read_scenario(text, "here.toml")
    for place in ("seed", "start", "hours", "colour", "machines[1].name", "machines[1].kind"):
        assert any(f"{place}: " in fault for fault in refused.value.faults), place


def test_faults_between_the_parts_are_reported() -> None:
    """What only shows when the parts are seen together comes together too."""
    text = (
        'title = "x"\nseed = 1\nstart = 2026-01-01T00:00:00Z\nhours = 2\n'
        '[[beds]]\ncount = 2\n[[machines]]\nname = "bed-01"\nkind = "pump"\n'
        '[[events]]\ndevice = "bed-02"\nwhat = "cavitation"\nfrom_hours = 3\nto_hours = 4\n'
        '[[events]]\ndevice = "bed-09"\nwhat = "sepsis"\nfrom_hours = 0\nto_hours = 1\n'
    )
    with pytest.raises(ConfigRefused) as refused:
        read_scenario(text, "here.toml")
    said = str(refused.value)
    for part in (
        "device bed-01 should be there once",
        "should be one of sepsis",
        "where the scenario ends",
        "bed-09",
    ):
        assert part in said


@pytest.mark.parametrize(("text", "said"), [("= 1", "it is not TOML"), ("", "title: ")])
def test_what_is_no_scenario_is_refused(text: str, said: str) -> None:
    """Neither broken TOML nor an empty file gets through."""
    with pytest.raises(ConfigRefused, match=said):
        read_scenario(text, "here.toml")


def test_an_unknown_scenario_names_those_there_are() -> None:
    """A name that is neither shipped nor a file is refused with the shipped names."""
    with pytest.raises(ConfigRefused, match="demo, quiet-ward, sepsis-ward"):
        load_scenario("no-such-ward")


@given(text=st.text(alphabet="abc XY.,", max_size=30), seed=st.integers())
def test_a_slip_changes_one_letter_at_most(text: str, seed: int) -> None:
    """A mistyped note is as long as before, give or take one, and made of the same letters."""
    slipped = mistyped(text, random.Random(seed))
    assert abs(len(slipped) - len(text)) <= 1
    assert set(slipped) <= set(text)


def test_abbreviations_are_whole_words() -> None:
    """Only whole words are shortened."""
    assert abbreviated("shortness of breath, upright, right leg") == "SOB, upright, Rt. leg"
