"""The triage-note model: a note's text and what was measured with it, to an acuity. Features and classifier.

The features are a hashed bag of the text (`models.text`) and a short vector of details: numbers, whether
each is missing, the steps that clinicians read them by, and categories. Training and serving both come
through here.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from models.bag import BagModel
from models.bounds import possible
from models.bundle import Bundle
from models.errors import ModelRefused
from models.scored import Scored
from models.text import TextSpec, has_content

FEATURES_FILE = "features.json"
"""The bundle's file with the text's specification and the numbers' means and deviations."""

NUMBERS = ("age", "hr", "rr", "spo2", "sbp", "dbp", "temp", "pain")
"""Fields that are numbers, in the contract's units."""
STEPS: dict[str, tuple[float, ...]] = {
    # Where early-warning charts and triage manuals change their mind about a value (NEWS2, Royal College of
    # Physicians 2017, for the vital signs; mild, moderate and severe pain; decades of adult life).
    "age": (30, 45, 60, 75),
    "hr": (50, 60, 91, 111, 131),
    "rr": (12, 18, 21, 25),
    "spo2": (90, 94, 96),
    "sbp": (90, 101, 111, 160, 180),
    "dbp": (60, 90, 110),
    "temp": (36, 37.5, 38.1, 39),
    "pain": (0.5, 3.5, 6.5),
    "shock_index": (0.5, 0.7, 0.9),
}
"""Field to the lower edges of its steps but the first. The shock index is hr / sbp (Allgöwer and Burri
1967).
"""
CATEGORIES: dict[str, tuple[Any, ...]] = {
    "sex": ("F", "M"),
    "acvpu": ("A", "V", "P", "U"),
    "injury": (False, True),
    "arrival": ("walk-in", "ambulance", "private", "transfer", "other"),
}
"""Field to its values. New confusion (C) is read as V: the data the model learnt from have no C."""
DEVIATIONS_LIMIT = 4.0
"""Standardised numbers are cut here: beyond it the steps speak."""

LAYOUT: tuple[str, ...] = (
    *NUMBERS,
    *(f"{name}?" for name in NUMBERS),
    *(f"{name}:{step}" for name, edges in STEPS.items() for step in range(len(edges) + 1)),
    *(f"{name}={value}" for name, values in CATEGORIES.items() for value in values),
    "text?",
    "vitals?",
)
"""What stands where in the vector of details; `?` marks what is missing."""
_PLACE = {name: place for place, name in enumerate(LAYOUT)}
_VITALS = ("hr", "rr", "spo2", "sbp", "dbp", "temp")


@dataclass(frozen=True, slots=True)
class NoteInput:
    """What the model may know of one note. None means not known, which is normal."""

    text: str = ""
    age: float | None = None
    """Years."""
    hr: float | None = None
    """Per minute."""
    rr: float | None = None
    """Per minute."""
    spo2: float | None = None
    """%."""
    sbp: float | None = None
    """mmHg."""
    dbp: float | None = None
    """mmHg."""
    temp: float | None = None
    """°C."""
    pain: float | None = None
    """Numeric rating scale, 0 to 10."""
    sex: str | None = None
    acvpu: str | None = None
    on_oxygen: bool | None = None
    """Not used by the shipped model: the data it learnt from do not say."""
    injury: bool | None = None
    arrival: str | None = None


def note_input(payload: Mapping[str, Any]) -> NoteInput:
    """The model's view of a note *payload* (the contract's JSON), its impossible numbers left out."""
    vitals = payload.get("vitals") or {}
    fields = {name: payload.get(name, vitals.get(name)) for name in NUMBERS}
    numbers = {
        name: float(value) for name, value in fields.items() if value is not None and possible(name, value)
    }
    return NoteInput(
        text=payload.get("text", ""),
        sex=payload.get("sex"),
        acvpu=vitals.get("acvpu"),
        on_oxygen=vitals.get("on_oxygen"),
        injury=payload.get("injury"),
        arrival=payload.get("arrival"),
        **numbers,
    )


@dataclass(frozen=True, slots=True)
class NoteFeatures:
    """How notes become numbers for one bundle: what `features.json` holds."""

    text: TextSpec
    mean: Mapping[str, float]
    deviation: Mapping[str, float]

    def details(self, note: NoteInput) -> npt.NDArray[np.float32]:
        """Everything but the text, float32 [len(LAYOUT)]."""
        vector = np.zeros(len(LAYOUT), np.float32)
        stepped: dict[str, float] = {}
        for name in NUMBERS:
            value = getattr(note, name)
            if value is None:
                vector[_PLACE[f"{name}?"]] = 1
                continue
            stepped[name] = value
            standard = (value - self.mean[name]) / self.deviation[name]
            vector[_PLACE[name]] = min(max(standard, -DEVIATIONS_LIMIT), DEVIATIONS_LIMIT)
        if stepped.get("sbp") and "hr" in stepped:
            stepped["shock_index"] = stepped["hr"] / stepped["sbp"]
        for name, value in stepped.items():
            vector[_PLACE[f"{name}:{bisect_right(STEPS[name], value)}"]] = 1
        for name in CATEGORIES:
            category = getattr(note, name)
            place = _PLACE.get(f"{name}={'V' if category == 'C' else category}")
            if place is not None:
                vector[place] = 1
        vector[_PLACE["text?"]] = not has_content(note.text, self.text)
        vector[_PLACE["vitals?"]] = all(getattr(note, name) is None for name in _VITALS)
        return vector

    def to_json(self) -> bytes:
        """The content of `features.json`."""
        text = {name: getattr(self.text, name) for name in TextSpec.__slots__}
        content = {
            "text": text,
            "mean": dict(self.mean),
            "deviation": dict(self.deviation),
            "layout": LAYOUT,
        }
        return (json.dumps(content, indent=1) + "\n").encode()

    @classmethod
    def from_json(cls, content: bytes) -> NoteFeatures:
        """The reverse of `to_json`. Raises ModelRefused for content that this code can't serve."""
        try:
            found = json.loads(content)
            if tuple(found["layout"]) != LAYOUT:
                raise ModelRefused(f"{FEATURES_FILE} lays details out differently than this version")
            return cls(TextSpec(**found["text"]), found["mean"], found["deviation"])
        except (ValueError, KeyError, TypeError) as exc:
            raise ModelRefused(f"{FEATURES_FILE} is not what a triage-note bundle needs") from exc


class NoteClassifier:
    """Notes to acuities, by one bundle. Belongs to one thread, as its interpreter does."""

    def __init__(self, bundle: Bundle, *, runtime: str | None = None) -> None:
        """Opens *bundle*'s model. Raises ModelRefused when its parts don't fit each other."""
        if FEATURES_FILE not in bundle.files:
            raise ModelRefused(
                f"bundle {bundle.name} has no {FEATURES_FILE}, which a triage-note model needs"
            )
        self._features = NoteFeatures.from_json(bundle.files[FEATURES_FILE])
        self._labels = bundle.manifest.labels
        self._cost = _cost(bundle)
        self._model = BagModel(bundle, self._features.text, len(LAYOUT), runtime)

    @property
    def backend(self) -> str:
        """The runtime in use, by name and version."""
        return self._model.backend

    def classify(self, notes: Sequence[NoteInput]) -> list[Scored]:
        """One answer a note, in order; the same for a note alone as among others.

        `scores` holds the probability of every label; they sum to 1. The label is the one with the least
        expected cost by the manifest's cost table, which need not be the likeliest one.
        """
        if not notes:
            return []
        details = np.stack([self._features.details(note) for note in notes])
        texts = [note.text for note in notes]
        return [self._scored(row) for row in self._model.probabilities(texts, details)]

    def _scored(self, probabilities: npt.NDArray[np.float64]) -> Scored:
        label = self._labels[int(np.argmin(self._cost @ probabilities))]
        scores = dict(zip(self._labels, probabilities.tolist(), strict=True))
        return Scored(label, scores[label], scores)


def _cost(bundle: Bundle) -> npt.NDArray[np.float64]:
    """The manifest's table of what it costs to publish one label (row) where another is true (column)."""
    size = len(bundle.manifest.labels)
    try:
        cost = np.array(bundle.manifest.output["cost"], np.float64)
    except (KeyError, ValueError, TypeError) as exc:
        raise ModelRefused(f"the manifest of bundle {bundle.name} has no cost table of numbers") from exc
    if cost.shape != (size, size) or not np.isfinite(cost).all():
        raise ModelRefused(f"the cost table of bundle {bundle.name} is not {size} by {size} finite numbers")
    return cost
