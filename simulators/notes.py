"""Nurse's notes that fit a patient's state: why the person came, what got worse, what was done, how it ended.

What a note says is chosen here, how it is written in `wording.py`. The wordings are our own; only the manner
follows real emergency departments. Vital signs come from `ward.py`, triage notes from `emergency.py`.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from simulators.causes import Cause
from simulators.complaints import HISTORIES
from simulators.ward import Signs
from simulators.wording import Extras, written

EXTRAS = Extras(denial=0.3, history=0.15)
"""What else a ward's note says: about as much as a hurried one."""
LATE_FROM = 0.75
"""Severity from which a nurse writes the graver complaint."""
DYING_FROM = 0.97
"""Severity from which a note means immediate danger (acuity 1)."""

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
    (("after hip replacement", "first day after hip surgery", "hip operated, drain in place"), 5, False),
    (("after bowel resection", "after laparoscopic cholecystectomy", "after hernia repair"), 5, False),
    (("mild headache", "headache since the morning, mild", "slight headache"), 3, False),
    (("constipation", "no stool for four days", "abdominal bloating"), 2, False),
    (("catheter change", "tube change", "catheter blocked, changed"), 2, False),
    (("poor appetite", "eats little, drinks well", "weight loss, for work-up"), 0, False),
    (("shoulder pain", "stiff neck", "pain in the left shoulder when lifting"), 4, False),
)
_WELL = (
    "no new complaints",
    "resting comfortably",
    "slept well, no complaints",
    "mobilised to the chair",
    "ate well, pain controlled",
    "walked along the corridor with help",
    "asleep, breathing quietly",
    "in good spirits, drank some tea",
)

_EARLY: Mapping[Cause, Sequence[str]] = {
    "sepsis": (
        "fever and chills",
        "shivering, feels unwell",
        "febrile, general weakness",
        "feels hot and weak",
        "fever, skin warm and flushed",
    ),
    "respiratory-failure": (
        "dyspnea",
        "short of breath on exertion",
        "shortness of breath, coughing",
        "breathing faster, feels tight in the chest",
        "wheezing, sits upright to breathe",
    ),
    "bleed": (
        "dizziness on standing",
        "feels faint, pale",
        "black stool, dizziness",
        "nausea, looks pale",
        "drain filled with blood, thirsty",
    ),
    "opioid": (
        "drowsy after morphine",
        "sleepy, slow to answer",
        "hard to keep awake, small pupils",
        "nodding off while talking, patient-controlled analgesia",
    ),
    "heart-failure": (
        "short of breath lying flat",
        "orthopnea, ankle swelling",
        "dyspnea, crackles on both lungs",
        "restless at night, coughing, sits up",
    ),
    "arrhythmia": (
        "palpitation",
        "heart racing, feels anxious",
        "irregular fast pulse",
        "palpitation and chest discomfort",
    ),
    "pain": ("wound pain", "pain on moving", "asks for analgesia", "operation site hurts, guarding"),
    "fever": ("warm, mild fever", "fever after operation, otherwise well", "temperature up, feels cold"),
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
    "opioid": (
        "hardly rousable, breathing 6 a minute",
        "responds to voice only, pinpoint pupils, shallow breathing",
        "respiratory depression after opioid, desaturation",
        "unconscious after morphine, slow breathing",
    ),
    "heart-failure": (
        "acute pulmonary edema, pink sputum",
        "severe dyspnea, sitting upright, cold and sweating",
        "cannot lie down, gasping, saturation dropping",
    ),
    "arrhythmia": (
        "tachycardia, syncope, hypotension",
        "fast heart, chest pain, sweating, confused",
        "unstable tachycardia, low blood pressure",
    ),
    "pain": ("severe wound pain", "strong pain at the operation site", "pain not controlled, restless"),
    "fever": ("high fever after operation, awake and stable", "fever, wound red"),
}
_TREATED: Mapping[Cause, Sequence[str]] = {
    "sepsis": ("antibiotics and fluids given", "blood cultures taken, antibiotic started"),
    "respiratory-failure": ("high-flow oxygen started", "nebuliser given, on non-invasive ventilation"),
    "bleed": ("two units of red cells given", "bleeding stopped by endoscopy, fluids running"),
    "opioid": ("naloxone given, awake again", "morphine pump stopped, naloxone 0.2 mg given"),
    "heart-failure": ("furosemide and nitrate given", "diuretic given, passing urine"),
    "arrhythmia": ("rate control given, pulse slower", "cardioverted, sinus rhythm"),
    "pain": ("analgesia given", "paracetamol and morphine given, pain easing"),
    "fever": ("paracetamol given", "antipyretic given, wound inspected"),
}
_PRESENT: Mapping[Cause, tuple[str, ...]] = {
    # What nobody denies who has this.
    "sepsis": ("fever",),
    "respiratory-failure": ("dyspnea", "chest pain"),
    "bleed": ("dizziness", "vomiting", "loss of consciousness"),
    "opioid": ("loss of consciousness", "dyspnea"),
    "heart-failure": ("dyspnea", "chest pain"),
    "arrhythmia": ("chest pain", "dizziness", "loss of consciousness"),
    "pain": ("abdominal pain",),
    "fever": ("fever",),
}


def acuity(cause: Cause | None, severity: float) -> int:
    """The acuity (1 to 5) that a ward's note means when it is written under *cause* at *severity* (0 to 1).

    4 for people who are well: they lie in a ward, so that "non-urgent" fits nobody.
    """
    if cause is None or severity <= 0:
        return 4
    if cause in ("pain", "fever"):
        return 3 if severity >= LATE_FROM else 4
    if severity < LATE_FROM:
        return 3
    return 1 if severity >= DYING_FROM else 2


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
        payload = self._note(self._rng.choice(self._reason), signs, None)
        payload["pain"] = self._rng.randint(0, self._pain)
        payload["injury"] = self._injury
        payload["arrival"] = self._arrival
        return payload

    def change(self, signs: Signs, cause: Cause, severity: float) -> dict[str, Any]:
        """A note written because the patient got worse by *cause* to *severity* (0 to 1)."""
        wordings = _LATE[cause] if severity >= LATE_FROM else _EARLY[cause]
        payload = self._note(self._rng.choice(wordings), signs, cause)
        low, high = (3, 9) if cause == "pain" else (0, 4)
        payload["pain"] = self._rng.randint(low, high)
        return payload

    def treated(self, signs: Signs, cause: Cause) -> dict[str, Any]:
        """A note on what the ward did about *cause*."""
        payload = self._note(self._rng.choice(_TREATED[cause]), signs, cause)
        payload["pain"] = self._rng.randint(0, 4)
        return payload

    def better(self, signs: Signs) -> dict[str, Any]:
        """A note on a patient who is well, or well again."""
        payload = self._note(self._rng.choice(_WELL), signs, None)
        payload["pain"] = self._rng.randint(0, 2)
        return payload

    def _note(self, complaint: str, signs: Signs, cause: Cause | None) -> dict[str, Any]:
        present = _PRESENT[cause] if cause is not None else ()
        text = written(complaint, self._rng, EXTRAS, histories=HISTORIES, present=present)
        return {"text": text, "age": self.age, "sex": self.sex, "vitals": asdict(signs)}
