"""The shipped scenarios: their truth has what their descriptions say, and their patients show it."""

from __future__ import annotations

import re
from collections import Counter
from functools import cache

import pytest

from models.news2 import PARAMETERS, news2
from simulators.artefacts import ARTEFACTS
from simulators.scenario import load_scenario, shipped_scenarios
from simulators.truth import Truth
from simulators.ward import CAUSES, HARMLESS
from simulators.world import World

HOUR_MS = 3_600_000
MESSAGE_LIMIT = 30_000
"""So that all scenarios run through a gateway in minutes."""
COUNTED = re.compile(r"([a-z-]+) ×(\d+)")
CLINICAL = [name for name in shipped_scenarios() if load_scenario(name)[1].beds]
COUNTING = [name for name in shipped_scenarios() if COUNTED.search(load_scenario(name)[1].description)]


@cache
def _truth(name: str) -> Truth:
    return World(*load_scenario(name)).truth("x")


@cache
def _scores(name: str) -> dict[str, list[tuple[int, int]]]:
    """NEWS2 of each bed over time: each parameter's newest value, as an hour's validity would have it."""
    known: dict[str, dict[str, tuple[int, float]]] = {}
    scores: dict[str, list[tuple[int, int]]] = {}
    for message in World(*load_scenario(name)).messages():
        if message.kind == "vitals":
            values = known.setdefault(message.device, {})
            values |= {
                field: (message.time_ms, value)
                for field, value in message.payload.items()
                if field in PARAMETERS
            }
            fresh = {f: value for f, (at, value) in values.items() if at >= message.time_ms - HOUR_MS}
            scores.setdefault(message.device, []).append((message.time_ms, news2(fresh).total))
    return scores


def test_the_clinical_scenarios_are_all_there() -> None:
    """Seven of them, and the counting ones among them are counted below."""
    assert {
        "quiet-ward",
        "sepsis-ward",
        "respiratory-failure",
        "bleed",
        "post-op",
        "night-with-artefacts",
        "busy-emergency",
    } <= set(shipped_scenarios())
    assert {"sepsis-ward", "respiratory-failure", "bleed", "post-op", "night-with-artefacts"} <= set(COUNTING)


@pytest.mark.parametrize("name", shipped_scenarios())
def test_a_scenario_is_small_enough_to_be_run_with_all_others(name: str) -> None:
    """4 to 24 hours and at most 30,000 messages."""
    assert 4 <= load_scenario(name)[1].hours <= 24
    assert sum(1 for _ in World(*load_scenario(name)).messages()) <= MESSAGE_LIMIT


@pytest.mark.parametrize("name", COUNTING)
def test_truth_has_what_the_description_counts(name: str) -> None:
    """Every "what ×n" of the description is in the truth n times, and nothing else is."""
    scenario = load_scenario(name)[1]
    said = {what: int(count) for what, count in COUNTED.findall(scenario.description)}
    assert said == Counter(interval.what for interval in _truth(name).intervals)
    beds = re.match(r"(\d+) beds", scenario.description)
    assert beds is not None
    assert int(beds[1]) == sum(device.kind == "bed" for device in _truth(name).devices)


@pytest.mark.parametrize("name", shipped_scenarios())
def test_an_alert_is_due_for_what_is_grave_and_for_nothing_else(name: str) -> None:
    """Artefacts and harmless causes expect no alert; every other interval does."""
    for interval in _truth(name).intervals:
        assert interval.alert_expected == (interval.what not in {*ARTEFACTS, *HARMLESS})


@pytest.mark.parametrize("name", CLINICAL)
def test_who_deteriorates_shows_it_and_who_is_well_does_not(name: str) -> None:
    """NEWS2 reaches 5 in every interval that expects an alert; beds without events never reach 7."""
    truth = _truth(name)
    scores = _scores(name)
    for interval in truth.intervals:
        if interval.what in CAUSES and interval.alert_expected:
            assert any(
                total >= 5 and interval.visible_from <= at < interval.until
                for at, total in scores[interval.device]
            ), interval
    eventful = {interval.device for interval in truth.intervals}
    for device in scores.keys() - eventful:
        assert max(total for _, total in scores[device]) < 7, device


def test_the_quiet_ward_is_quiet() -> None:
    """Its truth has no interval at all."""
    assert _truth("quiet-ward").intervals == ()


def test_the_night_s_artefacts_are_worth_an_alarm() -> None:
    """Some artefact drives NEWS2 to 7 at a bed where nothing is wrong: what makes a false alert."""
    truth = _truth("night-with-artefacts")
    ill = {interval.device for interval in truth.intervals if interval.alert_expected}
    assert any(
        total >= 7
        for device, scores in _scores("night-with-artefacts").items()
        if device not in ill
        for _, total in scores
    )


def test_the_busy_department_is_busy() -> None:
    """More than 40 an hour come by day, each with one note of known acuity, of all five."""
    truth = _truth("busy-emergency")
    assert len(truth.notes) > 12 * 40
    assert {note.device for note in truth.notes} == {device.name for device in truth.devices}
    assert {note.acuity for note in truth.notes} == {1, 2, 3, 4, 5}
