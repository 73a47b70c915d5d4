"""The recipe of triage-note: a regularised linear model over hashed text and details, and its export.

Temperature and decision rule are fitted on inner folds of whatever it is trained on. Nothing here judges.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from models.errors import DataMissing
from models.notes import NUMBERS, NoteFeatures, NoteInput
from models.text import TextSpec, hashed
from models.training import common, judge_acuity
from models.training.common import bag_matrix
from models.training.judge_acuity import Answers
from models.training.triage_note_card import LABELS

TEXT = TextSpec(buckets=1 << 14, features=1024, characters=1000, numbers=True)

TEXT_STRENGTH = 4.0
"""A bag has length 1, a vector of details about 5; this brings both under one penalty."""
PENALTY = 0.5
"""scikit-learn's C of the logistic regression."""
VIEWS = (("whole", 1, 1.0), ("thinned", 3, 0.15), ("text alone", 1, 0.2), ("no text", 1, 0.2))
"""How each record is shown in training: which view, how often, at which weight. Without the partial views a
bare sentence, which the data never have, was answered at a kappa of 0.05 instead of 0.40."""
THINNING = 0.5
"""Probability that a thinned record loses a field."""
UNDER_TRIAGE_COSTS = (1.0, 1.25, 1.5, 1.75, 2.0)
"""What a level of under-triage may cost, to choose from; a level of over-triage costs 1."""
KAPPA_TO_SPARE = 0.01
"""Under-triage is made as dear as this loss of kappa on inner folds allows: missing the urgent is worse."""
TEMPERATURES = tuple(np.geomspace(0.5, 2.0, 25).tolist())

INNER_FOLDS = 5
CALIBRATION_NOTES = 200
"""Records that an int8 export measures its ranges on."""

Matrix = Any
"""A scipy sparse matrix: [notes, 1 + buckets + details]."""
Probabilities = npt.NDArray[np.float64]
Acuities = npt.NDArray[np.intp]
"""Class indices, 0 for acuity 1."""


@dataclass(frozen=True, slots=True)
class Records:
    """The dataset as the model sees it."""

    notes: list[NoteInput]
    truth: Acuities
    nurse: Acuities

    def at(self, places: npt.NDArray[np.intp]) -> Records:
        """The records at *places*."""
        return Records([self.notes[i] for i in places], self.truth[places], self.nurse[places])


@dataclass(frozen=True, slots=True)
class Fitted:
    """A trained model before export."""

    features: NoteFeatures
    weights: npt.NDArray[np.float64]
    """[1 + buckets + details, classes], the temperature folded in."""
    bias: npt.NDArray[np.float64]
    cost: npt.NDArray[np.float64]
    """Cost of publishing one label (row) where another is true (column)."""

    def answer(self, notes: Sequence[NoteInput]) -> Answers:
        """Probabilities and labels, in float64 and without TFLite."""
        logits = _matrix(notes, self.features) @ self.weights + self.bias
        probabilities = _softmax(logits)
        return Answers(probabilities, (probabilities @ self.cost.T).argmin(axis=1))


def fit(records: Records, seed: int) -> Fitted:
    """The recipe on *records*: weights; temperature and decision rule from inner folds."""
    from sklearn.model_selection import StratifiedKFold

    truth = records.truth
    features = _features(records.notes)
    held_out = np.zeros((len(truth), len(LABELS)))
    inner = StratifiedKFold(INNER_FOLDS, shuffle=True, random_state=seed)
    for learn, judge in inner.split(truth, truth):
        weights, bias = _weights(records.at(learn), features, seed)
        held_out[judge] = _matrix(records.at(judge).notes, features) @ weights + bias
    temperature = min(TEMPERATURES, key=lambda t: judge_acuity.log_loss(truth, _softmax(held_out / t)))
    probabilities = _softmax(held_out / temperature)
    kappas = {
        under: judge_acuity.kappa(truth, (probabilities @ _cost(under).T).argmin(axis=1))
        for under in UNDER_TRIAGE_COSTS
    }
    good = [under for under, found in kappas.items() if found >= max(kappas.values()) - KAPPA_TO_SPARE]
    weights, bias = _weights(records, features, seed)
    return Fitted(features, weights / temperature, bias / temperature, _cost(max(good)))


def view(name: str, note: NoteInput, generator: np.random.Generator | None = None) -> NoteInput:
    """*note* as one of `VIEWS` shows it; only `thinned` draws from *generator*."""
    if name == "text alone":
        return NoteInput(text=note.text)
    if name == "no text":
        return replace(note, text="")
    if name == "thinned" and generator is not None:
        known = [field.name for field in fields(note) if field.name != "text"]
        lost: dict[str, Any] = dict.fromkeys(field for field in known if generator.random() < THINNING)
        return replace(note, **lost)
    return note


def exported(fitted: Fitted, mode: common.ExportMode, notes: Sequence[NoteInput]) -> bytes:
    """The bytes of a TFLite file; *notes* calibrate an int8 one."""
    text_rows = 1 + fitted.features.text.buckets
    # Logits are known up to a constant: centred ones waste no int8 step.
    centred = fitted.weights - fitted.weights.mean(axis=1, keepdims=True)
    table = (centred[:text_rows] * TEXT_STRENGTH).astype(np.float32)
    bias = (fitted.bias - fitted.bias.mean()).astype(np.float32)
    graph = common.bag_graph(table, centred[text_rows:].astype(np.float32), bias, TEXT.features)
    calibration: list[common.Example] = []
    for note in notes[:CALIBRATION_NOTES] if mode == "int8" else ():
        rows, weight = hashed(note.text, TEXT)
        details = fitted.features.details(note)
        calibration.append(
            {"rows": rows[None], "weight": np.array([[weight]], np.float32), "details": details[None]}
        )
    return common.to_tflite(graph, mode, calibration)


def _features(notes: Sequence[NoteInput]) -> NoteFeatures:
    mean, deviation = {}, {}
    for name in NUMBERS:
        known = np.array([value for note in notes if (value := getattr(note, name)) is not None])
        mean[name] = round(float(known.mean()), 3)
        deviation[name] = round(float(known.std()), 3)
    return NoteFeatures(TEXT, mean, deviation)


def _matrix(notes: Sequence[NoteInput], features: NoteFeatures) -> Matrix:
    from scipy import sparse

    text = bag_matrix([note.text for note in notes], features.text) * TEXT_STRENGTH
    details = sparse.csr_array(np.array([features.details(note) for note in notes], np.float64))
    return sparse.hstack([text, details], format="csr")


def _weights(
    records: Records, features: NoteFeatures, seed: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Logistic regression over all views of *records*, as [features, classes] and [classes]."""
    from sklearn.linear_model import LogisticRegression

    generator = np.random.default_rng(seed)
    shown, levels, share = [], [], []
    for name, times, weight in VIEWS:
        for _ in range(times):
            shown += [view(name, note, generator) for note in records.notes]
            levels.append(records.truth)
            share.append(np.full(len(records.notes), weight))
    model = LogisticRegression(C=PENALTY, max_iter=3000)
    model.fit(_matrix(shown, features), np.concatenate(levels), np.concatenate(share))
    if len(model.classes_) != len(LABELS):
        raise DataMissing("training needs records of every acuity, and of each at least two a fold")
    return model.coef_.T, model.intercept_


def _cost(under_triage: float) -> npt.NDArray[np.float64]:
    levels = np.arange(len(LABELS))
    late = np.subtract.outer(levels, levels)  # published minus true: above 0 is under-triage
    return np.where(late > 0, late * under_triage, -late).astype(np.float64)


def _softmax(logits: npt.NDArray[np.float64]) -> Probabilities:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))
