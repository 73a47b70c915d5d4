"""The triage-note model: its features, its bundle, and answers that do not depend on company."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.bundle import Bundle, find_bundle, load_bundle
from models.datasets import Row, rows
from models.errors import ModelRefused
from models.notes import FEATURES_FILE, LAYOUT, NUMBERS, NoteClassifier, NoteFeatures, NoteInput, note_input
from models.text import TextSpec
from tests.data import needs

FEATURES = NoteFeatures(
    TextSpec(buckets=16, features=8, characters=100, numbers=True),
    dict.fromkeys(NUMBERS, 50.0),
    dict.fromkeys(NUMBERS, 10.0),
)
SICK = NoteInput(
    "severe dyspnea, mental change",
    age=80,
    hr=135,
    rr=34,
    spo2=80,
    sbp=82,
    dbp=50,
    temp=35.1,
    acvpu="P",
    arrival="ambulance",
    injury=False,
    sex="M",
    pain=0,
)
WELL = NoteInput(
    "medication refill",
    age=25,
    hr=72,
    rr=16,
    spo2=99,
    sbp=122,
    dbp=78,
    temp=36.6,
    acvpu="A",
    arrival="walk-in",
    injury=False,
    sex="F",
    pain=0,
)


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    """The shipped one."""
    return load_bundle(find_bundle("triage-note"))


@pytest.fixture(scope="module")
def classifier(bundle: Bundle) -> NoteClassifier:
    """The shipped one's, under the runtime that EDGEWARD_RUNTIME names."""
    return NoteClassifier(bundle)


@pytest.fixture(scope="module")
def ktas() -> list[Row]:
    """The records of ktas-triage."""
    return list(rows("ktas-triage", needs("ktas-triage")))


def detail(note: NoteInput, name: str) -> float:
    return float(FEATURES.details(note)[LAYOUT.index(name)])


def test_what_is_not_known_is_marked_and_nothing_else() -> None:
    """An empty note has its marks of what is missing and zeros."""
    vector = FEATURES.details(NoteInput())
    marked = {name for name, value in zip(LAYOUT, vector.tolist(), strict=True) if value}
    assert {f"{name}?" for name in (*NUMBERS, "text", "vitals")} == marked


@pytest.mark.parametrize(
    ("value", "step"), [(111.0, 4), (110.9, 3), (0.0, 0), (350.0, 5), (131.0, 5), (130.9, 4)]
)
def test_a_number_stands_in_one_step_and_edges_belong_to_the_upper(value: float, step: int) -> None:
    """Heart rates around the early-warning charts' edges."""
    note = NoteInput(hr=value)
    assert [detail(note, f"hr:{place}") for place in range(6)] == [float(place == step) for place in range(6)]
    assert detail(note, "hr?") == 0


def test_the_shock_index_needs_both_its_parts_and_a_pressure() -> None:
    """hr / sbp; a pressure of 0 has none."""
    assert detail(NoteInput(hr=100, sbp=100), "shock_index:3") == 1
    for note in (NoteInput(hr=100), NoteInput(sbp=100), NoteInput(hr=100, sbp=0)):
        assert not any(detail(note, f"shock_index:{step}") for step in range(4))


def test_new_confusion_is_read_as_responding_to_voice() -> None:
    """The data that the model learnt from have no C."""
    assert (FEATURES.details(NoteInput(acvpu="C")) == FEATURES.details(NoteInput(acvpu="V"))).all()


def test_extreme_numbers_are_cut_at_four_deviations() -> None:
    """Their steps say the rest."""
    assert detail(NoteInput(temp=46), "temp") == pytest.approx(-0.4)
    assert detail(NoteInput(sbp=350), "sbp") == 4.0


def test_features_survive_their_file() -> None:
    """to_json and from_json are inverse, and another layout is refused."""
    assert NoteFeatures.from_json(FEATURES.to_json()) == FEATURES
    for content in (b"{}", b"[]", b"no json", FEATURES.to_json().replace(b'"text?"', b'"words?"')):
        with pytest.raises(ModelRefused, match=FEATURES_FILE):
            NoteFeatures.from_json(content)


def test_a_payload_becomes_the_models_view_without_what_the_gateway_refuses() -> None:
    """Vitals lie below `vitals`; SpO2 140 is no reading."""
    payload = {
        "text": "fall", "age": 71, "sex": "F", "pain": 3, "injury": True, "arrival": "private",
        "vitals": {"hr": 88, "spo2": 140, "acvpu": "A", "on_oxygen": False, "temp": math.nan},
    }  # fmt: skip
    expected = NoteInput(
        "fall", age=71, sex="F", pain=3, injury=True, arrival="private", hr=88, acvpu="A", on_oxygen=False
    )
    assert note_input(payload) == expected
    assert note_input({"text": "fall", "vitals": None}) == NoteInput("fall")


def test_the_sick_are_urgent_and_the_well_are_not(classifier: NoteClassifier) -> None:
    """Plain cases, as a smoke test: figures stand in the card."""
    sick, well = classifier.classify([SICK, WELL])
    assert sick.label in ("1", "2")
    assert well.label in ("4", "5")


def test_answers_are_probabilities_of_five_levels(classifier: NoteClassifier) -> None:
    """The label's own probability is published; it need not be the highest one."""
    for answer in classifier.classify([SICK, WELL, NoteInput(), NoteInput("??"), NoteInput("흉통")]):
        assert list(answer.scores) == ["1", "2", "3", "4", "5"]
        assert sum(answer.scores.values()) == pytest.approx(1)
        assert answer.probability == answer.scores[answer.label]
        assert not answer.abstained


def test_text_and_details_each_move_the_answer(classifier: NoteClassifier) -> None:
    """A bare sentence is judged by its words, and a note without words by the rest."""
    refill, arrest, sick, well = classifier.classify(
        [
            NoteInput("medication refill"),
            NoteInput("mental change, dyspnea"),
            replace(SICK, text=""),
            replace(WELL, text="?"),
        ]
    )
    assert refill.scores["5"] > arrest.scores["5"]
    assert arrest.scores["1"] + arrest.scores["2"] > refill.scores["1"] + refill.scores["2"]
    assert sick.scores["1"] + sick.scores["2"] > well.scores["1"] + well.scores["2"]


def test_a_text_without_letter_or_digit_is_no_text(classifier: NoteClassifier) -> None:
    """`??` in the data stands for a complaint that was lost."""
    one, two = classifier.classify([replace(SICK, text="??"), replace(SICK, text="")])
    assert one == two


def test_nothing_in_nothing_out(classifier: NoteClassifier) -> None:
    """An empty batch has an empty answer."""
    assert classifier.classify([]) == []


_NUMBER = st.none() | st.floats(0, 120)
_NOTES = st.builds(
    NoteInput,
    text=st.text(max_size=200) | st.sampled_from(["chest pain", "fever, cough", "open wound"]),
    age=_NUMBER, hr=_NUMBER, rr=_NUMBER, spo2=st.none() | st.floats(0, 100), sbp=_NUMBER,
    temp=st.none() | st.floats(20, 46), pain=st.none() | st.floats(0, 10),
    acvpu=st.sampled_from([None, *"ACVPU"]), injury=st.sampled_from([None, True, False]),
)  # fmt: skip


@settings(deadline=None)
@given(st.lists(_NOTES, min_size=1, max_size=9))
def test_a_note_is_answered_alike_alone_and_among_others(
    classifier: NoteClassifier, notes: list[NoteInput]
) -> None:
    """Exactly, not nearly: what is published does not depend on how messages were batched."""
    assert classifier.classify(notes) == [classifier.classify([note])[0] for note in notes]


def test_a_long_text_is_cut(classifier: NoteClassifier) -> None:
    """The payload limit lets through texts of 256 KiB; the model reads the first 1,000 characters."""
    head = "pain " * 200
    one, two = classifier.classify([NoteInput(head), NoteInput(head + "cardiac arrest " * 10_000)])
    assert one == two


def test_all_records_are_answered_alike_alone_and_in_batches(
    classifier: NoteClassifier, ktas: list[Row]
) -> None:
    """All 950, in batches of 32, and not all with the same answer."""
    notes = [note_input(row.payload) for row in ktas]
    alone = [classifier.classify([note])[0] for note in notes]
    batched = [
        answer for start in range(0, 950, 32) for answer in classifier.classify(notes[start : start + 32])
    ]
    assert alone == batched
    assert {answer.label for answer in alone} == {"1", "2", "3", "4", "5"}


def test_records_follow_the_contract_and_hide_what_triage_did_not_know(ktas: list[Row]) -> None:
    """Mapping of the dataset: pain, arrival, injury, consciousness, sex; one device a record."""
    assert len(ktas) == len({row.device for row in ktas}) == len({row.time_ms for row in ktas}) == 950
    first = ktas[0]
    assert (first.device, first.id, first.kind) == ("ktas-1", "ktas-1", "note")
    assert first.payload == {
        "text": "right ocular pain", "age": 71.0, "sex": "M",
        "pain": 2.0, "injury": True, "arrival": "private",
        "vitals": {
            "sbp": 160.0, "dbp": 100.0, "hr": 84.0, "rr": 18.0, "temp": 36.6, "spo2": 100.0, "acvpu": "A"
        },
    }  # fmt: skip
    assert first.truth == {"acuity": "4", "nurse": "2"}
    known = {"text", "age", "sex", "pain", "injury", "arrival", "vitals"}
    assert set().union(*(row.payload for row in ktas)) == known
    assert sum(row.payload.get("pain") == 0 for row in ktas) == 416
    assert {row.payload["arrival"] for row in ktas} == {"walk-in", "ambulance", "private", "other"}


def test_the_manifest_reports_what_was_measured(bundle: Bundle) -> None:
    """Cross-validated, with baselines and intervals, and clearly above the majority class."""
    metrics: dict[str, Any] = bundle.manifest.metrics
    kappa = metrics["cross_validated"]["kappa_linear"]
    assert kappa["interval"][0] > metrics["majority_class"]["kappa_linear"]["value"] + 0.4
    assert metrics["text_alone"]["kappa_linear"]["interval"][0] > 0.3
    assert "triage_nurses" in metrics
    assert bundle.manifest.labels == ("1", "2", "3", "4", "5")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"labels": ("1", "2", "3", "4")}, "cost table"),
        ({"output": {}}, "cost table"),
        ({"output": {"cost": [[0]]}}, "cost table"),
    ],
)
def test_a_bundle_whose_parts_do_not_fit_is_refused(
    bundle: Bundle, change: dict[str, Any], words: str
) -> None:
    """Each in a sentence."""
    other = Bundle(bundle.manifest.model_copy(update=change), bundle.files)
    with pytest.raises(ModelRefused, match=words):
        NoteClassifier(other)


def test_a_model_of_another_kind_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    """A log-line model has no place for details; a bundle without features.json has no features."""
    log = load_bundle(find_bundle("log-line"))
    with pytest.raises(ModelRefused, match="other tensors"):
        NoteClassifier(Bundle(bundle.manifest, {**bundle.files, "model.tflite": log.files["model.tflite"]}))
    with pytest.raises(ModelRefused, match=FEATURES_FILE):
        NoteClassifier(Bundle(bundle.manifest, {"model.tflite": bundle.files["model.tflite"]}))


def test_impossible_categories_are_not_known() -> None:
    """NoteInput is trusted, yet an unknown category must not break the vector."""
    assert np.isfinite(FEATURES.details(NoteInput(sex="X", acvpu="?", arrival="helicopter"))).all()
