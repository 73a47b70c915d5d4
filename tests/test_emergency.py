"""Arrivals at the emergency department: as many as said, urgent as said, and with vital signs that fit."""

from __future__ import annotations

import random
import statistics
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.news2 import news2
from nodes.events import Note
from simulators.complaints import ACUITY_WEIGHTS, COMPLAINTS
from simulators.emergency import RHYTHM, Arrival, arrivals

HOUR_MS = 3_600_000
MIDNIGHT_MS = 20_000 * 24 * HOUR_MS


@pytest.fixture(scope="module")
def many() -> list[Arrival]:
    """A hundred days at 2 an hour."""
    return list(arrivals(random.Random(1), MIDNIGHT_MS, MIDNIGHT_MS + 2400 * HOUR_MS, 2.0))


def test_as_many_come_as_said(many: list[Arrival]) -> None:
    """4,800 are expected; five standard deviations of a Poisson count are 346."""
    assert abs(len(many) - 4800) < 346


def test_days_are_busier_than_nights(many: list[Arrival]) -> None:
    """The hours around 15:00 see about (1 + r) / (1 - r) times as many as those around 03:00."""
    hours = Counter(each.time_ms // HOUR_MS % 24 for each in many)
    ratio = sum(hours[hour] for hour in (14, 15, 16)) / sum(hours[hour] for hour in (2, 3, 4))
    assert 0.7 * (1 + RHYTHM) / (1 - RHYTHM) < ratio < 1.4 * (1 + RHYTHM) / (1 - RHYTHM)


def test_acuities_come_in_their_shares(many: list[Arrival]) -> None:
    """Each acuity comes within five standard errors of its share in the triage records."""
    counts = Counter(each.acuity for each in many)
    for acuity, weight in ACUITY_WEIGHTS.items():
        share = weight / sum(ACUITY_WEIGHTS.values())
        assert abs(counts[acuity] / len(many) - share) < 5 * (share * (1 - share) / len(many)) ** 0.5


def test_they_are_numbered_in_order(many: list[Arrival]) -> None:
    """Numbers rise by one and times never fall."""
    assert list(range(1, len(many) + 1)) == [each.number for each in many]
    assert all(a.time_ms <= b.time_ms for a, b in pairwise(many))


def test_notes_keep_the_contract(many: list[Arrival]) -> None:
    """Each note is one the contract takes whole, adult, with text, and without an id or time of its own."""
    for each in many:
        note = Note.model_validate(each.payload)
        assert note.text.strip()
        assert note.age is not None
        assert note.age >= 18
        assert not {"id", "time", "test"} & set(each.payload)


def test_vital_signs_fit_the_acuity(many: list[Arrival]) -> None:
    """Mean NEWS2 falls from acuity 1 to 4, and at 4 and 5 people are well."""
    scores: dict[int, list[int]] = {}
    for each in many:
        scores.setdefault(each.acuity, []).append(news2(each.payload["vitals"]).total)
    means = [statistics.fmean(scores[acuity]) for acuity in (1, 2, 3, 4)]
    assert means == sorted(means, reverse=True)
    assert statistics.median(scores[4]) <= 1
    assert statistics.median(scores[5]) <= 1


def test_texts_vary(many: list[Arrival]) -> None:
    """There are several times as many texts as wordings in the table."""
    wordings = {text for group in COMPLAINTS.values() for each in group for text in each.wordings}
    assert len({each.payload["text"] for each in many}) > 5 * len(wordings)


@given(seed=st.integers(), hours=st.floats(0, 5), per_hour=st.floats(0.5, 50))
@settings(max_examples=20, deadline=None)
def test_the_same_seed_brings_the_same_people(seed: int, hours: float, per_hour: float) -> None:
    """Twice the same arrivals, all inside the time asked for."""
    end_ms = MIDNIGHT_MS + round(hours * HOUR_MS)
    once, again = (list(arrivals(random.Random(seed), MIDNIGHT_MS, end_ms, per_hour)) for _ in range(2))
    assert once == again
    assert all(MIDNIGHT_MS <= each.time_ms < end_ms for each in once)
