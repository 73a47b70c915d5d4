"""The patients of a simulated ward: plausible when well, and as ill as their cause and its severity say."""

from __future__ import annotations

import random
import statistics
from collections.abc import Sequence
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.news2 import PARAMETERS, News2, news2
from nodes.events import VitalSigns
from simulators.causes import EXPECTATIONS
from simulators.ward import CAUSE_DESCRIPTIONS, CAUSES, HARMLESS, SHIFTS, TREATED, Cause, Patient, Signs

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
PATIENTS = 30
SETS = 48
"""Of one patient: a day in half hours, so that both halves of the daily rhythm count the same."""


def _score(signs: Signs) -> News2:
    return news2({name: getattr(signs, name) for name in PARAMETERS})


@cache
def _day(seed: int, cause: Cause | None = None, severity: float = 0.0) -> tuple[Signs, ...]:
    patient = Patient(random.Random(seed))
    return tuple(patient.measure(step * 30 * MINUTE_MS, cause, severity) for step in range(SETS))


@cache
def _scores(cause: Cause | None = None, severity: float = 0.0) -> tuple[News2, ...]:
    return tuple(_score(signs) for seed in range(PATIENTS) for signs in _day(seed, cause, severity))


def _median(scores: Sequence[News2]) -> float:
    return statistics.median(score.total for score in scores)


def test_well_patients_stay_well() -> None:
    """Over 100 patient-days nobody who is well reaches NEWS2 7, and the median is at most 1."""
    scores = [_score(signs).total for seed in range(100) for signs in _day(seed)]
    assert max(scores) < 7
    assert statistics.median(scores) <= 1


@pytest.mark.parametrize("cause", CAUSES)
def test_each_cause_moves_news2_as_its_description_says(cause: Cause) -> None:
    """Medians over patients lie in the bands that the description names, half-way and at the full."""
    expected = EXPECTATIONS[cause]
    for severity, (low, high) in ((0.5, expected.half), (1.0, expected.full)):
        assert f"{low} to {high} at severity {severity:g}" in CAUSE_DESCRIPTIONS[cause]
        assert low <= _median(_scores(cause, severity)) <= high


@pytest.mark.parametrize("cause", CAUSES)
def test_the_parameters_that_lead_are_those_of_the_description(cause: Cause) -> None:
    """Between well and severity 1 those parameters, and no others, gain a point or more on average."""
    well, ill = (
        {name: statistics.fmean(score.components[name] for score in scores) for name in PARAMETERS}
        for scores in (_scores(), _scores(cause, 1.0))
    )
    assert set(EXPECTATIONS[cause].led_by) == {name for name in PARAMETERS if ill[name] - well[name] >= 1}


@pytest.mark.parametrize("cause", CAUSES)
def test_more_severity_never_means_a_lower_score(cause: Cause) -> None:
    """The median rises with severity, from tenth to tenth."""
    medians = [_median(_scores(cause, tenth / 10)) for tenth in range(0, 11, 2)]
    assert medians == sorted(medians)


@pytest.mark.parametrize("cause", [cause for cause in CAUSES if cause not in HARMLESS])
def test_each_grave_cause_at_full_severity_passes_seven(cause: Cause) -> None:
    """Fully deteriorated patients score 7 or more, whoever they are."""
    for seed in range(PATIENTS):
        assert statistics.median(_score(signs).total for signs in _day(seed, cause, 1.0)) >= 7


@pytest.mark.parametrize("cause", sorted(HARMLESS))
def test_a_harmless_cause_stays_below_seven(cause: Cause) -> None:
    """Of a hundred sets of patients in pain or fever at most one reaches the alert's threshold."""
    assert statistics.fmean(score.total >= 7 for score in _scores(cause, 1.0)) <= 0.01


@pytest.mark.parametrize("cause", CAUSES)
def test_a_cause_moves_vital_signs_as_its_shifts_say(cause: Cause) -> None:
    """Heart, breathing, pressure and temperature move in the direction of the cause's shift, together."""
    for name in ("hr", "rr", "sbp", "temp"):
        shift = getattr(SHIFTS[cause], name)
        well, ill = (
            statistics.fmean(getattr(signs, name) for seed in range(PATIENTS) for signs in day(seed))
            for day in (_day, lambda seed: _day(seed, cause, 0.9))
        )
        assert (ill - well) * shift > 0 or shift == 0, name


def test_nights_are_calmer() -> None:
    """Temperature, pressure and heart rate are higher late in the afternoon than before dawn."""
    days = [_day(seed) for seed in range(PATIENTS)]
    dawn, afternoon = 2 * 5, 2 * 17
    for name in ("temp", "sbp", "hr"):
        assert statistics.fmean(getattr(day[afternoon], name) for day in days) > statistics.fmean(
            getattr(day[dawn], name) for day in days
        )


def test_arousal_moves_heart_and_pressure_together() -> None:
    """Within one patient, around the daily rhythm, heart rate and pressure rise and fall together."""
    patient = Patient(random.Random(5))
    noon = [patient.measure(day * 24 * HOUR_MS) for day in range(400)]
    assert statistics.correlation([s.hr for s in noon], [s.sbp for s in noon]) > 0.1


def test_old_people_differ() -> None:
    """Old patients have a higher systolic pressure, a lower saturation, and a lower fever."""
    young, old = (
        [Patient(random.Random(seed), ages=ages).measure(12 * HOUR_MS) for seed in range(150)]
        for ages in ((20.0, 40.0), (75.0, 95.0))
    )
    assert statistics.fmean(s.sbp for s in old) > statistics.fmean(s.sbp for s in young)
    assert statistics.fmean(s.spo2 for s in old) < statistics.fmean(s.spo2 for s in young)
    hot_young, hot_old = (
        statistics.fmean(
            Patient(random.Random(seed), ages=ages).measure(0, "sepsis", 1.0).temp for seed in range(150)
        )
        for ages in ((20.0, 40.0), (75.0, 95.0))
    )
    assert hot_old < hot_young


@given(low=st.integers(18, 60), width=st.integers(0, 40), seed=st.integers())
def test_ages_keep_their_bounds(low: int, width: int, seed: int) -> None:
    """A patient of a ward with bounds is never younger or older."""
    age = Patient(random.Random(seed), ages=(low, low + width)).age
    assert low <= age <= low + width


@pytest.mark.parametrize("cause", CAUSES)
def test_treatment_eases_what_it_treats(cause: Cause) -> None:
    """After two hours of treatment at the same severity, NEWS2 is lower than without it, on average."""
    assert set(TREATED) == set(CAUSES)

    def after_two_hours(seed: int, *, treated: bool) -> int:
        patient = Patient(random.Random(seed))
        for step in range(12):
            signs = patient.measure(step * 10 * MINUTE_MS, cause, 0.8, treated=treated)
        return _score(signs).total

    untreated, treated = (
        statistics.fmean(after_two_hours(seed, treated=given) for seed in range(60))
        for given in (False, True)
    )
    assert treated < untreated


def test_oxygen_is_given_and_kept_for_an_hour() -> None:
    """Who falls below 92 % gets oxygen, and keeps it an hour after the saturation has recovered."""
    patient = Patient(random.Random(2))
    while not patient.measure(0, "respiratory-failure", 0.6).on_oxygen:
        pass
    on = [patient.measure(step * 5 * MINUTE_MS).on_oxygen for step in range(1, 60)]
    assert all(on[:11])
    assert not on[-1]
    assert on == sorted(on, reverse=True)


@given(
    seed=st.integers(),
    severity=st.floats(0, 1),
    cause=st.sampled_from(CAUSES),
    minutes=st.integers(0, 10_000),
)
@settings(max_examples=50)
def test_any_patient_keeps_the_contract(seed: int, severity: float, cause: Cause, minutes: int) -> None:
    """Whatever the state, every value is one that the contract's types take, and diastolic is the lower."""
    patient = Patient(random.Random(seed))
    patient.measure(0, cause, severity)
    signs = patient.measure(minutes * MINUTE_MS, cause, severity)
    VitalSigns.model_validate({name: getattr(signs, name) for name in VitalSigns.READINGS})
    assert signs.dbp < signs.sbp
