"""What people complain of at the door of an emergency department: our own table of short complaints.

Data only; `emergency.py` draws from it and `notes.py` writes the words down. The manner (a few words, no
sentence, "pain, chest", "abd pain") and the shares of the acuities follow real triage records (Moon et al.,
PLOS ONE 2019); no record is copied. Acuities are the five levels of the Korean and Canadian triage scales
(KTAS, CTAS): 1 resuscitation, 2 emergency, 3 urgent, 4 less urgent, 5 non-urgent.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from simulators.causes import Cause, Mind


@dataclass(frozen=True, slots=True)
class Complaint:
    """One reason to come, in several wordings, and what the vital signs then look like."""

    wordings: tuple[str, ...]
    """With `{limb}` and the other names of `PLACES` where any such place fits."""
    cause: Cause | None = None
    severity: tuple[float, float] = (0.0, 0.0)
    """Of the cause, lowest and highest."""
    pain: tuple[int, int] = (0, 0)
    """Numeric rating scale 0 to 10, lowest and highest likely."""
    injury: bool = False
    mind: Mind | None = None
    """The letter of ACVPU that the complaint itself demands."""
    ages: tuple[int, int] = (18, 95)


# A cause stands here for the vital signs it brings: intoxications for an opioid, a fit for a racing heart.
COMPLAINTS: Mapping[int, Sequence[Complaint]] = {
    1: (
        Complaint(
            ("cardiac arrest", "CPR in progress", "found pulseless, CPR ongoing"), mind="U", ages=(40, 95)
        ),
        Complaint(("unresponsive", "mental change, no response", "coma"), "opioid", (0.95, 1.0), mind="U"),
        Complaint(
            ("severe respiratory distress", "respiratory arrest", "dyspnea, cyanosis, mental change"),
            "respiratory-failure",
            (0.95, 1.0),
            mind="P",
        ),
        Complaint(("septic shock", "shock, fever, stupor"), "sepsis", (0.97, 1.0), mind="P", ages=(45, 95)),
        Complaint(
            ("massive bleeding, shock", "hypovolemic shock", "major trauma, active bleeding"),
            "bleed",
            (0.95, 1.0),
            mind="P",
            injury=True,
        ),
        Complaint(
            ("drug intoxication, unconscious", "overdose, no response"), "opioid", (0.95, 1.0), mind="U"
        ),
        Complaint(("status epilepticus", "continuous seizure"), "arrhythmia", (0.4, 0.6), mind="U"),
    ),
    2: (
        Complaint(
            ("chest pain", "ant. chest pain", "chest tightness", "squeezing chest pain", "chest discomfort"),
            pain=(2, 8),
            ages=(35, 90),
        ),
        Complaint(("palpitation, dizziness", "tachycardia, chest discomfort"), "arrhythmia", (0.5, 0.75)),
        Complaint(
            ("dyspnea", "severe dyspnea", "shortness of breath at rest", "desaturation"),
            "respiratory-failure",
            (0.45, 0.75),
        ),
        Complaint(("dyspnea, orthopnea", "pulmonary edema"), "heart-failure", (0.45, 0.8), ages=(50, 95)),
        Complaint(
            ("{side} side weakness", "hemiparesis", "facial palsy, slurred speech", "dysarthria"),
            ages=(45, 95),
        ),
        Complaint(
            ("mental change", "altered mental state", "confused mentality", "drowsy mentality"),
            mind="V",
            ages=(45, 95),
        ),
        Complaint(("hematemesis", "hematochezia, dizziness", "melena, syncope"), "bleed", (0.4, 0.7)),
        Complaint(("fever, drowsy", "fever and hypotension", "fever, mental change"), "sepsis", (0.65, 0.85)),
        Complaint(("seizure", "convulsion", "seizure, postictal"), mind="V"),
        Complaint(("sudden severe headache", "thunderclap headache"), "pain", (0.5, 0.9), pain=(7, 10)),
        Complaint(("drug intoxication", "drug overdose", "took sleeping pills"), "opioid", (0.45, 0.6)),
        Complaint(
            ("multiple trauma", "traffic accident, chest pain"), "pain", (0.5, 1.0), pain=(5, 9), injury=True
        ),
    ),
    3: (
        Complaint(
            (
                "abdominal pain",
                "epigastric pain",
                "{quadrant} quadrant pain",
                "diffuse abdominal pain",
                "low abdominal pain",
                "flank pain",
            ),
            "pain",
            (0.2, 0.7),
            pain=(3, 7),
        ),
        Complaint(
            ("fever", "fever and chills", "high fever", "febrile sense"), "fever", (0.4, 1.0), pain=(0, 3)
        ),
        Complaint(("dyspnea", "dyspnea on exertion", "asthma attack"), "respiratory-failure", (0.1, 0.35)),
        Complaint(("dizziness", "vertigo", "whirling dizziness"), ages=(30, 90)),
        Complaint(("headache", "headache, vomiting"), "pain", (0.1, 0.5), pain=(3, 7)),
        Complaint(("general weakness", "poor oral intake", "general weakness, fever"), "sepsis", (0.1, 0.35)),
        Complaint(("syncope", "transient loss of consciousness", "presyncope")),
        Complaint(("melena", "hematochezia", "vaginal bleeding"), "bleed", (0.1, 0.3)),
        Complaint(("vomiting", "nausea and vomiting", "diarrhea, vomiting"), pain=(0, 4)),
        Complaint(("palpitation", "irregular heart beat"), "arrhythmia", (0.1, 0.35)),
        Complaint(
            ("open wound", "{face} laceration, deep", "deep laceration of the {limb}", "{side} {limb} burn"),
            pain=(2, 5),
            injury=True,
        ),
        Complaint(
            ("hip pain after a fall", "fall, back pain"),
            "pain",
            (0.3, 0.8),
            pain=(4, 8),
            injury=True,
            ages=(55, 95),
        ),
        Complaint(("hyperglycemia", "high blood sugar"), ages=(35, 85)),
        Complaint(("suicidal ideation", "anxiety, hyperventilation"), ages=(18, 60)),
    ),
    4: (
        Complaint(("headache", "mild headache"), pain=(2, 5)),
        Complaint(("abdominal pain", "abdominal discomfort", "indigestion"), pain=(1, 4)),
        Complaint(("low back pain", "back pain", "lumbago", "post neck pain"), pain=(2, 6)),
        Complaint(
            ("{limb} pain", "{side} {limb} pain", "{limb} injury", "{side} {limb} injury", "ankle sprain"),
            pain=(2, 6),
            injury=True,
        ),
        Complaint(
            ("laceration", "finger laceration", "{face} laceration", "open wound", "{side} {limb} wound"),
            pain=(1, 4),
            injury=True,
        ),
        Complaint(
            ("sore throat", "cough", "cough and sputum", "common cold", "myalgia"),
            "fever",
            (0.0, 0.3),
            pain=(0, 3),
        ),
        Complaint(("urticaria", "skin rash", "allergic reaction")),
        Complaint(("diarrhea", "vomiting"), pain=(0, 3)),
        Complaint(("dysuria", "voiding difficulty", "urinary frequency"), pain=(0, 4)),
        Complaint(
            ("foreign body sense", "ocular pain", "{side} eye pain", "eye injury", "blurred vision"),
            pain=(1, 4),
        ),
        Complaint(
            ("leg swelling", "{side} {limb} edema", "tingling sense", "numbness", "{side} {limb} numbness"),
            pain=(0, 3),
        ),
        Complaint(("epistaxis", "nose bleeding")),
        Complaint(
            ("neck pain after a traffic accident", "traffic accident, neck pain"), pain=(1, 4), injury=True
        ),
    ),
    5: (
        Complaint(("dressing change", "wound dressing", "stitch out", "suture removal")),
        Complaint(("medication refill", "prescription", "needs a certificate")),
        Complaint(("abrasion", "small abrasion", "minor bruise"), pain=(0, 2), injury=True),
        Complaint(("catheter change", "Foley catheter change", "tube change"), ages=(50, 95)),
        Complaint(("insect bite", "itching sense", "rash since a week")),
        Complaint(("for result of examination", "wants a check-up", "vaccination")),
    ),
}

ACUITY_WEIGHTS: Mapping[int, int] = {1: 20, 2: 165, 3: 365, 4: 344, 5: 56}
"""How often each acuity comes: the experts' levels in 950 triage records (ktas-triage; Moon et al. 2019)."""

PLACES: Mapping[str, tuple[str, ...]] = {
    "limb": ("arm", "forearm", "elbow", "wrist", "hand", "shoulder", "leg", "knee", "ankle", "foot"),
    "face": ("scalp", "forehead", "eyebrow", "eyelid", "lip", "chin", "ear"),
    "side": ("left", "right"),
    "quadrant": ("right lower", "right upper", "left lower", "left upper"),
}
"""Places of the body that a wording names one of."""

HISTORIES = (
    "hypertension",
    "diabetes mellitus",
    "coronary artery disease",
    "atrial fibrillation",
    "liver cirrhosis",
    "chronic kidney disease",
    "asthma",
    "stroke",
    "breast cancer",
)
ONSETS = (
    "since yesterday",
    "since this morning",
    "for three days",
    "2 hours ago",
    "onset one week ago",
    "suddenly",
    "worse today",
)


def placed(wording: str, rng: random.Random) -> str:
    """*wording* with a place of the body for each name in braces."""
    return wording.format_map({name: rng.choice(places) for name, places in PLACES.items()})
