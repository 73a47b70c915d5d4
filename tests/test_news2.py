"""NEWS2 is the chart: every band, both sides of every edge, and what is decided where the chart is silent."""

import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import InputRefused
from models.news2 import PARAMETERS, TABLE, TABLE_SHA256, news2

HEALTHY: dict[str, float | str | bool] = {
    "rr": 16,
    "spo2": 98,
    "on_oxygen": False,
    "sbp": 120,
    "hr": 70,
    "acvpu": "A",
    "temp": 37.0,
}

# Written from the chart as printed, not from the table in the code: last value of a band, and its points.
EDGES: dict[str, list[tuple[float, int]]] = {
    "rr": [(8, 3), (9, 1), (11, 1), (12, 0), (20, 0), (21, 2), (24, 2), (25, 3)],
    "spo2": [(91, 3), (92, 2), (93, 2), (94, 1), (95, 1), (96, 0), (100, 0)],
    "sbp": [(90, 3), (91, 2), (100, 2), (101, 1), (110, 1), (111, 0), (219, 0), (220, 3)],
    "hr": [(40, 3), (41, 1), (50, 1), (51, 0), (90, 0), (91, 1), (110, 1), (111, 2), (130, 2), (131, 3)],
    "temp": [
        (35.0, 3),
        (35.1, 1),
        (36.0, 1),
        (36.1, 0),
        (38.0, 0),
        (38.1, 1),
        (39.0, 1),
        (39.1, 2),
    ],
}
SCALE_2_ON_AIR = [(83, 3), (84, 2), (85, 2), (86, 1), (87, 1), (88, 0), (92, 0), (93, 0), (97, 0), (100, 0)]
SCALE_2_ON_OXYGEN = [
    *[(83, 3), (84, 2), (85, 2), (86, 1), (87, 1), (88, 0), (92, 0)],
    *[(93, 1), (94, 1), (95, 2), (96, 2), (97, 3), (100, 3)],
]


@pytest.mark.parametrize(
    ("field", "value", "points"), [(field, *edge) for field, edges in EDGES.items() for edge in edges]
)
def test_each_edge_of_each_band(field: str, value: float, points: int) -> None:
    """Each printed edge scores what the chart prints, on scale 1."""
    assert news2({field: value}).components == {field: points}


@pytest.mark.parametrize(("spo2", "points"), SCALE_2_ON_AIR)
def test_scale_2_on_air(spo2: float, points: int) -> None:
    """On air every saturation of 88 % or more scores 0."""
    assert news2({"spo2": spo2, "on_oxygen": False}, spo2_scale=2).components["spo2"] == points


@pytest.mark.parametrize(("spo2", "points"), SCALE_2_ON_OXYGEN)
def test_scale_2_on_oxygen(spo2: float, points: int) -> None:
    """On oxygen too high a saturation scores again."""
    assert news2({"spo2": spo2, "on_oxygen": True}, spo2_scale=2).components["spo2"] == points


@pytest.mark.parametrize(
    ("spo2", "known"), [(92, True), (92.4, True), (92.5, False), (93, False), (99, False)]
)
def test_scale_2_without_the_oxygen_state(spo2: float, known: bool) -> None:
    """From 93 % on, scale 2 can't be scored while nobody says whether oxygen is given."""
    score = news2({"spo2": spo2}, spo2_scale=2)
    assert ("spo2" in score.components) is known
    assert ("spo2" in score.missing) is not known


@pytest.mark.parametrize(
    ("field", "value", "points"),
    [
        ("rr", 8.49, 3),
        ("rr", 8.5, 1),
        ("rr", 20.5, 2),
        ("spo2", 93.4, 2),
        ("spo2", 93.5, 1),
        ("spo2", 95.5, 0),
        ("sbp", 90.49, 3),
        ("sbp", 90.5, 2),
        ("sbp", 219.5, 3),
        ("hr", 130.4, 2),
        ("hr", 130.5, 3),
        ("temp", 35.04, 3),
        ("temp", 35.05, 1),
        ("temp", 38.04, 0),
        ("temp", 38.05, 1),
        ("temp", 39.05, 2),
    ],
)
def test_values_between_bands_round_half_up(field: str, value: float, points: int) -> None:
    """A value between two bands goes to the nearer one, and up from the middle, by the decimal as written."""
    assert news2({field: value}).components == {field: points}


def test_a_healthy_adult_scores_nothing() -> None:
    score = news2(HEALTHY)
    assert (score.total, score.label, score.partial, score.missing) == (0, "low", False, ())
    assert tuple(score.components) == PARAMETERS


def test_the_worst_score_is_twenty() -> None:
    """Six parameters reach 3 and oxygen 2."""
    worst: dict[str, float | str | bool] = {
        "rr": 30,
        "spo2": 80,
        "on_oxygen": True,
        "sbp": 70,
        "hr": 150,
        "acvpu": "U",
        "temp": 34.0,
    }
    assert (news2(worst).total, news2(worst).label) == (20, "high")


@pytest.mark.parametrize("letter", ["C", "V", "P", "U"])
def test_anything_but_alert_scores_three(letter: str) -> None:
    score = news2({**HEALTHY, "acvpu": letter})
    assert (score.total, score.label) == (3, "low-medium")


@pytest.mark.parametrize(
    ("changed", "total", "label"),
    [
        ({"rr": 21, "hr": 111}, 4, "low"),
        ({"rr": 25, "hr": 91}, 4, "low-medium"),
        ({"rr": 21, "hr": 111, "temp": 38.5}, 5, "medium"),
        ({"rr": 25, "hr": 111}, 5, "medium"),
        ({"rr": 21, "hr": 111, "on_oxygen": True}, 6, "medium"),
        ({"rr": 25, "hr": 111, "on_oxygen": True}, 7, "high"),
    ],
)
def test_the_risk_words(changed: dict[str, float | str | bool], total: int, label: str) -> None:
    """0-4 low, a single 3 low-medium, 5-6 medium, 7 and more high."""
    score = news2({**HEALTHY, **changed})
    assert (score.total, score.label) == (total, label)


def test_an_incomplete_set_is_partial() -> None:
    """What is missing is named, and the total is the sum of the rest."""
    score = news2({"hr": 120, "spo2": 90})
    assert (score.total, score.partial) == (5, True)
    assert score.missing == ("rr", "on_oxygen", "sbp", "acvpu", "temp")
    assert news2({}).missing == PARAMETERS


@pytest.mark.parametrize(
    ("values", "scale", "field"),
    [({"hr": float("nan")}, 1, "hr"), ({"acvpu": "X"}, 1, "acvpu"), ({"hr": 70}, 3, "spo2_scale")],
)
def test_what_no_border_lets_through_is_refused(
    values: dict[str, float | str | bool], scale: int, field: str
) -> None:
    with pytest.raises(InputRefused) as refused:
        news2(values, spo2_scale=scale)
    assert refused.value.field == field


def test_the_tables_hash_is_of_its_canonical_json() -> None:
    canonical = json.dumps(TABLE, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert hashlib.sha256(canonical.encode()).hexdigest() == TABLE_SHA256


SETS = st.fixed_dictionaries(
    {},
    optional={
        "rr": st.floats(0, 120),
        "spo2": st.floats(0, 100),
        "on_oxygen": st.booleans(),
        "sbp": st.floats(0, 350),
        "hr": st.floats(0, 350),
        "acvpu": st.sampled_from("ACVPU"),
        "temp": st.floats(20, 46),
    },
)


@given(values=SETS, scale=st.sampled_from([1, 2]))
def test_any_possible_set_scores_within_the_chart(values: dict[str, float | str | bool], scale: int) -> None:
    """Total is the sum of the components, within 0 to 20, and every parameter is either scored or missing."""
    score = news2(values, spo2_scale=scale)
    assert score.total == sum(score.components.values())
    assert 0 <= score.total <= 20
    assert sorted((*score.components, *score.missing)) == sorted(PARAMETERS)
    assert score.partial is bool(score.missing)
