"""Artefacts spoil what they say they spoil, and what they make of it still looks like readings."""

from __future__ import annotations

import random
from dataclasses import asdict
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.events import VitalSigns
from simulators.artefacts import ARTEFACT_DESCRIPTIONS, ARTEFACT_FIELDS, ARTEFACTS, Artefact, ArtefactName
from simulators.ward import Patient

MINUTE_MS = 60_000


def _sets(seed: int, count: int = 40) -> list[dict[str, Any]]:
    patient = Patient(random.Random(seed))
    return [asdict(patient.measure(step * 5 * MINUTE_MS)) for step in range(count)]


def test_every_artefact_is_described() -> None:
    """Names, descriptions and fields are of the same artefacts."""
    assert get_args(ArtefactName) == ARTEFACTS == tuple(ARTEFACT_DESCRIPTIONS) == tuple(ARTEFACT_FIELDS)


@given(what=st.sampled_from(ARTEFACTS), seed=st.integers(), severity=st.floats(0, 1), data=st.data())
def test_an_artefact_changes_only_what_it_should(
    what: str, seed: int, severity: float, data: st.DataObject
) -> None:
    """Of any subset of the vital signs only its own fields change, none is added, some are left."""
    artefact = Artefact(what, random.Random(seed))
    for signs in _sets(seed, 6):
        fields = data.draw(st.sets(st.sampled_from(sorted(signs)), min_size=1))
        shown = {field: signs[field] for field in sorted(fields)}
        before = dict(shown)
        spoilt = artefact.spoil(shown, severity)
        assert shown == before
        assert spoilt
        assert set(spoilt) <= set(shown)
        assert shown.keys() - spoilt.keys() <= ARTEFACT_FIELDS[what]
        assert {f for f in spoilt if spoilt[f] != shown[f]} <= ARTEFACT_FIELDS[what]


@pytest.mark.parametrize("what", ARTEFACTS)
@pytest.mark.parametrize("seed", range(8))
def test_spoilt_values_are_possible_readings(what: str, seed: int) -> None:
    """The contract's types take every spoilt set whole, and whole numbers stay whole."""
    artefact = Artefact(what, random.Random(seed))
    for signs in _sets(seed):
        spoilt = artefact.spoil(signs, 1.0)
        VitalSigns.model_validate(spoilt)
        assert all(type(value) is type(signs[field]) for field, value in spoilt.items())


@pytest.mark.parametrize("what", ARTEFACTS)
def test_severity_is_the_share_of_spoilt_sets(what: str) -> None:
    """At severity 0 nothing is spoilt, at 1 (nearly) everything, at 0.5 about half."""
    signs = _sets(1, 2000)

    def spoilt(severity: float) -> int:
        artefact = Artefact(what, random.Random(3))
        return sum(artefact.spoil(each, severity) != each for each in signs)

    assert spoilt(0.0) == 0
    assert spoilt(1.0) >= 0.98 * len(signs)
    assert 0.35 * len(signs) < spoilt(0.5) < 0.65 * len(signs)


def test_a_loose_probe_loses_saturation() -> None:
    """Saturation is missing or below 85 %, in both ways over time."""
    artefact = Artefact("probe-off", random.Random(1))
    seen = [artefact.spoil(signs, 1.0).get("spo2") for signs in _sets(1)]
    assert None in seen
    assert any(value is not None for value in seen)
    assert all(value is None or value < 85 for value in seen)


def test_a_flat_line_reads_zero() -> None:
    """Heart rate and breathing are 0, as monitors show it, not missing."""
    spoilt = Artefact("flat-line", random.Random(1)).spoil(_sets(1)[0], 1.0)
    assert (spoilt["hr"], spoilt["rr"]) == (0, 0)


def test_a_failed_cuff_keeps_diastolic_below_systolic() -> None:
    """What the cuff still reads looks like a pressure, but is far from the patient's."""
    for seed in range(12):
        artefact = Artefact("cuff-failure", random.Random(seed))
        for signs in _sets(seed):
            spoilt = artefact.spoil(signs, 1.0)
            if "sbp" in spoilt:
                assert spoilt["dbp"] < spoilt["sbp"]
                assert abs(spoilt["sbp"] - signs["sbp"]) > 0.2 * signs["sbp"]


def test_a_stale_monitor_repeats_the_first_set() -> None:
    """Every set is the first one again, until the artefact is over; then it lets go of it."""
    artefact = Artefact("stale-repeat", random.Random(1))
    signs = _sets(1)
    assert [signs[0]] * 20 == [artefact.spoil(each, 1.0) for each in signs[:20]]
    assert signs[20] == artefact.spoil(signs[20], 0.0)
    assert signs[21] == artefact.spoil(signs[21], 1.0)


@pytest.mark.parametrize("what", ARTEFACTS)
def test_the_same_seed_spoils_the_same(what: str) -> None:
    """Everything random is from the artefact's own generator."""

    def once() -> list[dict[str, Any]]:
        artefact = Artefact(what, random.Random(9))
        return [artefact.spoil(each, 0.6) for each in _sets(2)]

    assert once() == once()
