"""How words are written down in a hurry: synonyms, what is denied, history, abbreviations, order and slips.

Only the manner of writing lives here, not what there is to say. It follows real short complaints: a few
words without a sentence, "pain, chest", "abd pain", a letter case of its own, a slip now and then; most
carry nothing beside the complaint.
"""

from __future__ import annotations

import random
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

SYNONYM_SHARE = 0.3
"""Share of notes that say the same in another common word."""
ABBREVIATED_SHARE = 0.35
"""Share of notes that use the abbreviations below."""
INVERTED_SHARE = 0.15
"""Share of notes on a pain that are written "pain, chest"."""
CAPITALS_SHARE = 0.15
"""Share of notes In Capitals; a fifth as many are all upper case."""
SLIP_SHARE = 0.12
"""Share of notes with a slip of the keyboard or a common misspelling."""

SYNONYMS: Mapping[str, tuple[str, ...]] = {
    "dyspnea": ("shortness of breath", "difficulty breathing", "breathlessness"),
    "shortness of breath": ("dyspnea",),
    "fever": ("febrile", "pyrexia"),
    "vomiting": ("emesis",),
    "dizziness": ("lightheaded",),
    "syncope": ("fainting", "collapse"),
    "headache": ("cephalalgia",),
    "abdominal pain": ("stomach ache", "belly pain"),
    "general weakness": ("weakness, whole body", "fatigue"),
    "laceration": ("cut",),
    "hypotension": ("low blood pressure",),
    "low blood pressure": ("hypotension",),
    "cough": ("coughing",),
    "swelling": ("edema",),
}
ABBREVIATIONS = (
    ("shortness of breath", "SOB"),
    ("short of breath", "SOB"),
    ("blood pressure", "BP"),
    ("low back pain", "LBP"),
    ("loss of consciousness", "LOC"),
    ("traffic accident", "TA"),
    ("right lower quadrant", "RLQ"),
    ("right upper quadrant", "RUQ"),
    ("left lower quadrant", "LLQ"),
    ("left upper quadrant", "LUQ"),
    ("dyspnea on exertion", "DOE"),
    ("diabetes mellitus", "DM"),
    ("hypertension", "HTN"),
    ("coronary artery disease", "CAD"),
    ("atrial fibrillation", "Afib"),
    ("chronic kidney disease", "CKD"),
    ("nausea and vomiting", "N/V"),
    ("fever and chills", "F/C"),
    ("headache", "HA"),
    ("anterior", "ant."),
    ("history of", "Hx."),
    ("saturation", "SpO2"),
    ("patient", "pt"),
    ("operation", "OP"),
    ("right", "Rt."),
    ("left", "Lt."),
    ("abdominal", "abd."),
    ("complaints", "c/o"),
    ("without", "w/o"),
    ("with", "w/"),
)
MISSPELLINGS: Mapping[str, str] = {
    "dyspnea": "dyspena",
    "hematemesis": "hemetemesis",
    "hematochezia": "hematochesia",
    "diarrhea": "diarhea",
    "laceration": "lacertion",
    "vomiting": "vomitting",
    "seizure": "sezure",
    "epigastric": "epigatric",
    "abdominal": "abdomenal",
    "confused": "confuse",
    "weakness": "weekness",
    "breath": "breathe",
}

CONCEPTS: Mapping[str, tuple[str, ...]] = {
    # What can be denied, and the words that would speak against the denial.
    "chest pain": ("chest", "cardiac"),
    "dyspnea": (
        "dyspnea",
        "breath",
        "respirat",
        "asthma",
        "orthopnea",
        "edema",
        "desaturation",
        "saturation",
    ),
    "fever": ("fever", "febrile", "pyrexia", "hot", "septic", "shiver", "chills"),
    "vomiting": ("vomit", "emesis", "n/v", "nausea"),
    "dizziness": ("dizz", "light", "faint", "vertigo", "syncope", "collapse"),
    "headache": ("headache", "cephalalgia"),
    "loss of consciousness": ("conscious", "syncope", "collapse", "faint", "mental", "seizure", "response"),
    "abdominal pain": ("abd", "belly", "stomach", "epigastric", "quadrant", "flank", "indigestion"),
}
_WAYS_TO_DENY = ("denies {}", "no {}", "without {}", "{} (-)", "not complaining of {}")


@dataclass(frozen=True, slots=True)
class Extras:
    """What a note says beside the complaint: each with the share of notes that have it."""

    denial: float = 0.0
    history: float = 0.0
    onset: float = 0.0


def written(
    complaint: str,
    rng: random.Random,
    extras: Extras,
    *,
    histories: Sequence[str] = (),
    onsets: Sequence[str] = (),
    present: Collection[str] = (),
) -> str:
    """*complaint* as somebody in a hurry writes it down; concepts *present* are never denied."""
    text = complaint
    if rng.random() < INVERTED_SHARE:
        text = inverted(text)
    if rng.random() < SYNONYM_SHARE:
        text = reworded(text, rng)
    if onsets and rng.random() < extras.onset:
        text += " " + rng.choice(onsets)
    if rng.random() < extras.denial:
        text = denying(text, rng, present)
    if histories and rng.random() < extras.history:
        text += rng.choice((", history of {}", ", known {}", " (hx {})")).format(rng.choice(histories))
    if rng.random() < ABBREVIATED_SHARE:
        text = abbreviated(text)
    if rng.random() < SLIP_SHARE:
        text = mistyped(text, rng)
    capitals = rng.random()
    if capitals < CAPITALS_SHARE / 5:
        return text.upper()
    return text.title() if capitals < CAPITALS_SHARE else text


def deniable(text: str, present: Collection[str] = ()) -> list[str]:
    """The concepts that *text* neither names nor hints at, without those *present*."""
    lower = text.lower()
    return [
        concept
        for concept, words in CONCEPTS.items()
        if concept not in present and not any(word in lower for word in words)
    ]


def denying(text: str, rng: random.Random, present: Collection[str] = ()) -> str:
    """*text* with one or two things said to be absent; unchanged where nothing can be denied."""
    free = deniable(text, present)
    chosen = rng.sample(free, min(len(free), rng.choice((1, 1, 2))))
    if not chosen:
        return text
    return f"{text}, {rng.choice(_WAYS_TO_DENY).format(' or '.join(chosen))}"


def reworded(text: str, rng: random.Random) -> str:
    """*text* with its first known word replaced by another common one."""
    for word, others in SYNONYMS.items():
        if re.search(rf"\b{word}\b", text):
            return re.sub(rf"\b{word}\b", rng.choice(others), text, count=1)
    return text


def inverted(text: str) -> str:
    """A bare pain the way lists of complaints have it: "chest pain" becomes "pain, chest"."""
    found = re.fullmatch(r"([a-z. ]+) (pain|laceration|injury|discomfort|swelling)", text)
    return f"{found[2]}, {found[1]}" if found else text


def abbreviated(text: str) -> str:
    """*text* with the ward's abbreviations for whole words."""
    for long, short in ABBREVIATIONS:
        text = re.sub(rf"\b{long}\b", short, text)
    return text


def mistyped(text: str, rng: random.Random) -> str:
    """*text* with a common misspelling, or one slip of the keyboard."""
    known = [word for word in MISSPELLINGS if word in text]
    if known and rng.random() < 0.5:
        word = rng.choice(known)
        return text.replace(word, MISSPELLINGS[word], 1)
    return slipped(text, rng)


def slipped(text: str, rng: random.Random) -> str:
    """*text* with two letters swapped, one left out, or one struck twice."""
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
