"""The simulators' notes: varied, in the manner of real short complaints, and never against their own
facts."""

from __future__ import annotations

import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.events import Note
from simulators.causes import CAUSES, Cause
from simulators.complaints import COMPLAINTS, placed
from simulators.notes import Person, acuity
from simulators.ward import Patient
from simulators.wording import (
    CONCEPTS,
    Extras,
    abbreviated,
    deniable,
    denying,
    inverted,
    mistyped,
    reworded,
    slipped,
    written,
)

DENIAL = re.compile(r", (?:denies |no |without |not complaining of )(.+)|, (.+) \(-\)$")


@given(text=st.text(alphabet="abc XY.,", max_size=30), seed=st.integers())
def test_a_slip_changes_one_letter_at_most(text: str, seed: int) -> None:
    """A mistyped note is as long as before, give or take one, and made of the same letters."""
    wrong = slipped(text, random.Random(seed))
    assert abs(len(wrong) - len(text)) <= 1
    assert set(wrong) <= set(text)


def test_common_misspellings_are_among_the_slips() -> None:
    """A known word is sometimes written as many write it."""
    assert "vomitting" in {mistyped("vomiting", random.Random(seed)) for seed in range(20)}


def test_abbreviations_are_whole_words() -> None:
    """Only whole words are shortened."""
    assert abbreviated("shortness of breath, upright, right leg") == "SOB, upright, Rt. leg"


def test_a_bare_pain_is_turned_round() -> None:
    """ "chest pain" becomes "pain, chest"; anything longer stays."""
    assert inverted("chest pain") == "pain, chest"
    assert inverted("knee pain, fever") == "knee pain, fever"


def test_synonyms_say_the_same_in_another_word() -> None:
    """A known word is replaced by one of its synonyms, once."""
    assert {"shortness of breath at rest", "difficulty breathing at rest", "breathlessness at rest"} == {
        reworded("dyspnea at rest", random.Random(seed)) for seed in range(30)
    }


@pytest.mark.parametrize(
    "text",
    sorted({text for group in COMPLAINTS.values() for complaint in group for text in complaint.wordings}),
)
def test_no_note_denies_what_it_says(text: str) -> None:
    """What is denied is neither named nor hinted at in the complaint, also after it was reworded."""
    for seed in range(20):
        rng = random.Random(seed)
        said = reworded(placed(text, rng), rng)
        whole = denying(said, rng)
        found = DENIAL.search(whole.removeprefix(said))
        assert found is not None
        for concept in (found[1] or found[2]).split(" or "):
            assert concept in CONCEPTS
            assert not any(word in said.lower() for word in CONCEPTS[concept])


def test_nothing_is_left_to_deny_of_what_is_present() -> None:
    """Concepts that are present, and a text that names all others, are never denied."""
    assert deniable("rash", present=tuple(CONCEPTS)) == []
    assert denying("rash", random.Random(1), present=tuple(CONCEPTS)) == "rash"


@pytest.mark.parametrize("cause", CAUSES)
@pytest.mark.parametrize("severity", [0.4, 0.8])
def test_ward_notes_fit_the_contract_and_vary(cause: Cause, severity: float) -> None:
    """Every kind of note is one the contract takes whole, and many persons write many texts."""
    texts = set()
    for seed in range(40):
        patient = Patient(random.Random(seed))
        signs = patient.measure(0, cause, severity)
        person = Person(random.Random(seed), patient.age, patient.sex)
        for payload in (
            person.admission(signs),
            person.change(signs, cause, severity),
            person.treated(signs, cause),
            person.better(signs),
        ):
            note = Note.model_validate(payload)
            assert note.vitals is not None
            assert note.vitals.hr == signs.hr
            texts.add(note.text)
    assert len(texts) > 60


def test_a_sicker_patient_s_note_is_never_less_urgent() -> None:
    """Acuity falls (gets more urgent) with severity, from 4 for who is well to 1 for who is dying."""
    for cause in CAUSES:
        acuities = [acuity(cause, tenth / 10) for tenth in range(11)]
        assert acuities == sorted(acuities, reverse=True)
    assert [acuity("sepsis", severity) for severity in (0.0, 0.4, 0.8, 1.0)] == [4, 3, 2, 1]
    assert acuity(None, 0.0) == 4


def test_most_words_are_written_plainly() -> None:
    """Without extras more than a third of all notes are the complaint itself."""
    plain = sum(
        written("cough and runny nose", random.Random(seed), Extras()) == "cough and runny nose"
        for seed in range(300)
    )
    assert plain > 100
