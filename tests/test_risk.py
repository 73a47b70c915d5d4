"""The window describes a patient by time alone, and the model over it answers or says that it can't."""

import math
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.bundle import find_bundle, load_bundle
from models.risk import FEATURES, HOUR_MS, SLOT_LIMIT, SLOT_MS, VITALS, RiskModel, VitalsWindow

START_MS = 1_700_000_000_000
WELL: dict[str, float] = {"hr": 72, "rr": 15, "spo2": 97, "sbp": 122, "dbp": 75, "temp": 36.8}


def entry(vector: np.ndarray, name: str) -> float:
    return float(vector[FEATURES.index(name)])


def test_a_vector_has_one_entry_a_name() -> None:
    vector = VitalsWindow().add(START_MS, WELL)
    assert vector.shape == (len(FEATURES),)
    assert vector.dtype == np.float32
    assert len(set(FEATURES)) == len(FEATURES)


def test_one_reading_describes_itself() -> None:
    vector = VitalsWindow().add(START_MS, WELL)
    assert entry(vector, "hr_last") == 72
    assert entry(vector, "hr_std_6h") == 0
    assert math.isnan(entry(vector, "hr_change_3h"))
    assert entry(vector, "known_count") == 6
    assert entry(vector, "shock_index") == pytest.approx(72 / 122)
    assert entry(vector, "mean_pressure") == pytest.approx(75 + 47 / 3, abs=1e-4)


def test_hours_speak_with_their_newest_value() -> None:
    """Mean, extremes and change over a rising pulse, one reading an hour."""
    window = VitalsWindow()
    for hour in range(8):
        vector = window.add(START_MS + hour * HOUR_MS, {"hr": 70 + 10 * hour})
    assert entry(vector, "hr_last") == 140
    assert entry(vector, "hr_mean_6h") == pytest.approx(115)
    assert (entry(vector, "hr_min_6h"), entry(vector, "hr_max_6h")) == (90, 140)
    assert entry(vector, "hr_change_3h") == 30
    assert entry(vector, "hr_mean_12h") == pytest.approx(105)


def test_a_value_ages_and_then_is_unknown() -> None:
    window = VitalsWindow()
    window.add(START_MS, {"temp": 38.5})
    later = window.add(START_MS + 7 * HOUR_MS, {"hr": 80})
    assert entry(later, "temp_last") == entry(later, "temp_mean_12h") == 38.5
    assert math.isnan(entry(later, "temp_mean_6h"))
    assert entry(later, "known_count") == 2
    late = window.add(START_MS + 12 * HOUR_MS, {"hr": 80})
    assert math.isnan(entry(late, "temp_last"))
    assert entry(late, "known_count") == 1


def test_cadence_does_not_matter() -> None:
    """A steady patient looks the same every five minutes and every hour."""
    often, seldom = VitalsWindow(), VitalsWindow()
    for minute in range(0, 12 * 60 + 1, 5):
        every_five = often.add(START_MS + minute * 60_000, WELL)
        if minute % 60 == 0:
            hourly = seldom.add(START_MS + minute * 60_000, WELL)
    np.testing.assert_array_equal(every_five, hourly)


Readings = list[tuple[int, dict[str, float]]]

READINGS = st.lists(
    st.tuples(st.integers(0, 100), st.dictionaries(st.sampled_from(VITALS), st.floats(30, 45), min_size=1)),
    min_size=1,
    max_size=30,
    unique_by=lambda reading: reading[0],
)


@given(readings=READINGS, order=st.randoms(use_true_random=False))
def test_arrival_order_does_not_change_what_is_known(readings: Readings, order: random.Random) -> None:
    """Once everything has arrived, a reading at the end sees the same, whatever the order before it."""
    readings = [(START_MS + slot * SLOT_MS, values) for slot, values in readings]
    end_ms = START_MS + 101 * SLOT_MS
    straight, shuffled = VitalsWindow(), VitalsWindow()
    for time_ms, values in sorted(readings, key=lambda reading: reading[0]):
        straight.add(time_ms, values)
    mixed = list(readings)
    order.shuffle(mixed)
    for time_ms, values in mixed:
        shuffled.add(time_ms, values)
    np.testing.assert_array_equal(straight.add(end_ms, {}), shuffled.add(end_ms, {}))


@given(readings=READINGS)
def test_nothing_later_is_seen(readings: Readings) -> None:
    """A late reading's vector equals the one computed from the readings up to its time alone."""
    readings = sorted((START_MS + slot * SLOT_MS, values) for slot, values in readings)
    middle = len(readings) // 2
    (time_ms, values), others = readings[middle], readings[:middle] + readings[middle + 1 :]
    everything, past = VitalsWindow(), VitalsWindow()
    for other_ms, other in others:
        everything.add(other_ms, other)
        if other_ms < time_ms:
            past.add(other_ms, other)
    np.testing.assert_array_equal(everything.add(time_ms, values), past.add(time_ms, values))


def test_a_repeat_changes_nothing() -> None:
    once, twice = VitalsWindow(), VitalsWindow()
    once.add(START_MS, WELL)
    twice.add(START_MS, WELL)
    np.testing.assert_array_equal(twice.add(START_MS, WELL), once.add(START_MS, WELL))


def test_impossible_values_and_other_keys_are_passed_over() -> None:
    vector = VitalsWindow().add(START_MS, {**WELL, "spo2": 140, "on_oxygen": 1, "hr": float("nan")})
    assert math.isnan(entry(vector, "spo2_last"))
    assert entry(vector, "known_count") == 4


def test_memory_is_bounded_and_survives_a_time_far_ahead() -> None:
    """Ten thousand readings keep the limit, and one reading of tomorrow doesn't empty the window."""
    window = VitalsWindow()
    for minute in range(10_000):
        window.add(START_MS + minute * 60_000, {"hr": 80})
    assert len(window._series["hr"].times) == SLOT_LIMIT
    now_ms = START_MS + 10_000 * 60_000
    window.add(now_ms + 86_400_000, {"hr": 300})
    vector = window.add(now_ms, {"rr": 15})
    assert entry(vector, "hr_last") == entry(vector, "hr_max_6h") == 80


@pytest.fixture(scope="module")
def model() -> RiskModel:
    """The shipped model."""
    return RiskModel(load_bundle(find_bundle("deterioration")))


def failing() -> list[np.ndarray]:
    """Vectors of a patient who is well for a day and then fails over six hours."""
    window = VitalsWindow()
    vectors = [window.add(START_MS + hour * HOUR_MS, WELL) for hour in range(24)]
    for step in range(7):
        sick = {
            "hr": 80 + 9 * step,
            "rr": 16 + 3 * step,
            "spo2": 97 - step,
            "sbp": 120 - 7 * step,
            "dbp": 72 - 5 * step,
            "temp": 37 + 0.4 * step,
        }
        vectors.append(window.add(START_MS + (24 + step) * HOUR_MS, sick))
    return vectors


def test_a_failing_patient_is_at_risk(model: RiskModel) -> None:
    """Risk rises, the label follows the threshold, and the probability is the label's."""
    scored = model.score(failing())
    assert scored[20].label == "stable"
    assert scored[-1].label == "at-risk"
    assert scored[-1].scores["risk"] > 3 * scored[20].scores["risk"]
    for answer in scored:
        risk = answer.scores["risk"]
        assert answer.probability == pytest.approx(risk if answer.label == "at-risk" else 1 - risk)


def test_alone_and_together_give_the_same_numbers(model: RiskModel) -> None:
    vectors = failing()
    assert model.score(vectors) == [model.score([vector])[0] for vector in vectors]


def test_too_little_is_not_answered(model: RiskModel) -> None:
    """With two vital signs the model abstains, also between others that it answers."""
    little = VitalsWindow().add(START_MS, {"hr": 80, "temp": 37})
    enough = VitalsWindow().add(START_MS, WELL)
    first, second, third = model.score([enough, little, enough])
    assert (second.label, second.probability, dict(second.scores), second.abstained) == (
        "unknown",
        None,
        {},
        True,
    )
    assert first == third
    assert not first.abstained
    assert model.score([]) == []
