"""Nurse and triage notes that fit a patient's state: terse complaints as wards write them.

A note is made of a complaint (one of several wordings of the same thing), perhaps a finding, perhaps
something denied, then abbreviated and mistyped now and then. The wordings are our own; only the manner
(a few words, no sentence) follows real emergency departments. Vital signs come from `ward.py`.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from typing import Any

from simulators.ward import Cause, Signs

TYPING_FAULT_SHARE = 0.12
"""Share of notes with a slip of the keyboard."""
DENIAL_SHARE = 0.3
"""Share of notes that also say what is not there ("denies chest pain")."""
ABBREVIATED_SHARE = 0.4
"""Share of notes that use the abbreviations below."""

# Why people without an emergency lie in a ward: (wordings, highest pain likely, injury).
_ADMISSIONS: Sequence[tuple[Sequence[str], int, bool]] = (
    (("ankle sprain", "twisted ankle, swelling", "right ankle pain after a twist"), 4, True),
    (("finger laceration", "cut finger, bleeding stopped", "open wound of the left finger"), 3, True),
    (("sore throat", "throat pain since yesterday", "sore throat and cough"), 3, False),
    (("rash", "itchy rash on both arms", "skin rash, itching"), 1, False),
    (("low back pain", "back pain after lifting", "chronic low back pain"), 5, False),
    (("dysuria", "burning on urination", "painful urination since two days"), 3, False),
    (("knee pain", "left knee pain and swelling", "pain, knee"), 4, False),
    (("for dressing change", "wound check", "dressing change, wound dry"), 1, False),
    (("cough", "dry cough since a week", "cough and runny nose"), 1, False),
    (("ear pain", "right ear pain", "earache"), 4, False),
    (("elective surgery tomorrow", "admitted for planned hernia repair", "for planned operation"), 0, False),
    (("mild headache", "headache since the morning, mild", "slight headache"), 3, False),
)
_DENIABLE = ("chest pain", "dyspnea", "fever", "vomiting", "shortness of breath", "dizziness", "nausea")
_WELL = ("no new complaints", "resting comfortably", "slept well, no complaints", "mobilised to the chair")

_EARLY: Mapping[Cause, Sequence[str]] = {
    "sepsis": (
        "fever and chills",
        "shivering, feels unwell",
        "febrile, general weakness",
        "feels hot and weak",
    ),
    "respiratory-failure": (
        "dyspnea",
        "short of breath on exertion",
        "shortness of breath, coughing",
        "breathing faster, feels tight in the chest",
    ),
    "bleed": ("dizziness on standing", "feels faint, pale", "black stool, dizziness", "nausea, looks pale"),
}
_LATE: Mapping[Cause, Sequence[str]] = {
    "sepsis": (
        "high fever, drowsy, low blood pressure",
        "mental change, fever, septic shock suspected",
        "confused, mottled skin, fever",
        "drowsy mentality, hypotension, fever",
    ),
    "respiratory-failure": (
        "severe dyspnea, using accessory muscles",
        "acute dyspnea, saturation dropping on oxygen",
        "respiratory distress, cannot finish sentences",
        "severe shortness of breath, cyanosis",
    ),
    "bleed": (
        "hematemesis, syncope, pale and sweating",
        "massive hematemesis, hypotension",
        "collapsed, hematochezia, cold skin",
        "syncope, active bleeding, confused",
    ),
}
LATE_FROM = 0.75
"""Severity from which a nurse writes the graver complaint."""

_ABBREVIATIONS = (
    ("shortness of breath", "SOB"),
    ("short of breath", "SOB"),
    ("blood pressure", "BP"),
    ("low back pain", "LBP"),
    ("headache", "HA"),
    ("right", "Rt."),
    ("left", "Lt."),
    ("abdominal", "abd."),
    ("complaints", "c/o"),
    ("denies", "(-)"),
    ("without", "w/o"),
    ("with", "w/"),
)


class Person:
    """What a note says of the person beside the text. Kept apart from the hidden state on purpose."""

    def __init__(self, rng: random.Random, age: int, sex: str) -> None:
        self._rng = rng
        self.age = age
        self.sex = sex
        self._reason, self._pain, self._injury = rng.choice(_ADMISSIONS)
        self._arrival = rng.choice(("walk-in", "walk-in", "private", "private", "ambulance", "other"))

    def admission(self, signs: Signs) -> dict[str, Any]:
        """The first note: why the person came, all vital signs. The contract's JSON without id and time."""
        payload = self._note(self._rng.choice(self._reason), signs)
        payload["pain"] = self._rng.randint(0, self._pain)
        payload["injury"] = self._injury
        payload["arrival"] = self._arrival
        return payload

    def change(self, signs: Signs, cause: Cause, severity: float) -> dict[str, Any]:
        """A note written because the patient got worse by *cause* to *severity* (0 to 1)."""
        wordings = _LATE[cause] if severity >= LATE_FROM else _EARLY[cause]
        payload = self._note(self._rng.choice(wordings), signs)
        payload["pain"] = self._rng.randint(0, 4)
        return payload

    def better(self, signs: Signs) -> dict[str, Any]:
        """A note on a patient who is well, or well again."""
        payload = self._note(self._rng.choice(_WELL), signs)
        payload["pain"] = self._rng.randint(0, 2)
        return payload

    def _note(self, complaint: str, signs: Signs) -> dict[str, Any]:
        text = complaint
        if self._rng.random() < DENIAL_SHARE:
            absent = self._rng.choice([word for word in _DENIABLE if word not in complaint])
            text += self._rng.choice((f", denies {absent}", f", no {absent}", f" without {absent}"))
        if self._rng.random() < ABBREVIATED_SHARE:
            text = abbreviated(text)
        if self._rng.random() < TYPING_FAULT_SHARE:
            text = mistyped(text, self._rng)
        vitals: dict[str, Any] = {
            "hr": signs.hr,
            "rr": signs.rr,
            "spo2": signs.spo2,
            "sbp": signs.sbp,
            "dbp": signs.dbp,
            "temp": signs.temp,
            "acvpu": signs.acvpu,
            "on_oxygen": signs.on_oxygen,
        }
        return {"text": text, "age": self.age, "sex": self.sex, "vitals": vitals}


def abbreviated(text: str) -> str:
    """*text* with the ward's abbreviations for whole words."""
    for long, short in _ABBREVIATIONS:
        text = re.sub(rf"\b{long}\b", short, text)
    return text


def mistyped(text: str, rng: random.Random) -> str:
    """*text* with one slip of the keyboard: two letters swapped, one left out, or one struck twice."""
    places = [i for i in range(len(text) - 1) if text[i].isalpha() and text[i + 1].isalpha()]
    if not places:
        return text
    at = rng.choice(places)
    slip = rng.randrange(3)
    if slip == 0:
        return text[:at] + text[at + 1] + text[at] + text[at + 2 :]
    if slip == 1:
        return text[:at] + text[at + 1 :]
    return text[:at] + text[at] + text[at:]
