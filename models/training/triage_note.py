"""Training of triage-note: a regularised linear model over hashed text and details, judged by nested
validation.

The recipe (constants below) was chosen on 633 of the 950 records (`explored`); temperature and decision
rule are fitted on inner folds of whatever a model is trained on, never on what it is judged by.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt

from models.bundle import CARD, MODEL, Bundle, write_bundle
from models.datasets import rows
from models.errors import DataMissing
from models.notes import FEATURES_FILE, NUMBERS, NoteClassifier, NoteFeatures, NoteInput, note_input
from models.text import TextSpec, hashed
from models.training import common, judge_acuity, triage_note_card
from models.training.common import bag_matrix
from models.training.judge_acuity import Answers
from models.training.triage_note_card import LABELS, NAME

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
UNDER_TRIAGE_COSTS = (1.0, 1.25, 1.5, 2.0)
"""What a level too low in urgency may cost against one too high, to choose from."""
TEMPERATURES = tuple(np.geomspace(0.5, 2.0, 25).tolist())

EXPORTS: tuple[common.ExportMode, ...] = ("float32", "dynamic", "int8")
EXPORT: common.ExportMode = "dynamic"
"""The one that is shipped."""
CALIBRATION_NOTES = 200
"""Records that an int8 export measures its ranges on."""

FOLDS = 10
REPEATS = 5
INNER_FOLDS = 5
EXPLORED = 633
EXPLORED_SEED = 7

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


def read(data: Path) -> Records:
    """The records of ktas-triage in *data*. Raises DataMissing."""
    found = list(rows("ktas-triage", data))
    truth = np.array([LABELS.index(row.truth["acuity"]) for row in found])
    nurse = np.array([LABELS.index(row.truth["nurse"]) for row in found])
    return Records([note_input(row.payload) for row in found], truth, nurse)


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
    costs = [_cost(under) for under in UNDER_TRIAGE_COSTS]
    cost = max(costs, key=lambda c: judge_acuity.kappa(truth, (probabilities @ c.T).argmin(axis=1)))
    weights, bias = _weights(records, features, seed)
    return Fitted(features, weights / temperature, bias / temperature, cost)


def train(
    *, data: Path, made: Path, output: Path, seed: int, report: Callable[[str], None]
) -> dict[str, Any]:
    """Judges the recipe by repeated cross-validation, trains on all records, writes the bundle to *output*.

    *made* is not used: this model learns from real notes alone. The metrics are also the manifest's.
    """
    del made
    common.seed_everything(seed)
    records = read(data)
    metrics = _judge(records, seed, report)
    report("training on all records")
    _write(fit(records, seed), EXPORT, records, metrics, seed, output)
    return metrics


def evaluate(
    *, data: Path, made: Path, bundle: Bundle, seed: int, report: Callable[[str], None]
) -> dict[str, Any]:
    """What *bundle* answers to every record, as served. For a bundle trained on them this is no test: see
    `train`.
    """
    del made, seed
    records = read(data)
    answers = _served(bundle, records.notes)
    report(f"{len(records.notes)} records answered")
    return judge_acuity.figures(records.truth, [answers])


def _judge(records: Records, seed: int, report: Callable[[str], None]) -> dict[str, Any]:
    """Repeated cross-validation of the whole recipe, with baselines, partial notes and export modes."""
    from sklearn.model_selection import StratifiedKFold

    count = len(records.notes)
    views = {
        name: [Answers.none(count) for _ in range(REPEATS)] for name in ("whole", "text alone", "no text")
    }
    modes = {mode: Answers.none(count) for mode in EXPORTS}
    for repeat in range(REPEATS):
        folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed + repeat)
        for fold, (learn, judge) in enumerate(folds.split(records.truth, records.truth)):
            fitted = fit(records.at(learn), seed)
            held_out = records.at(judge).notes
            for name, answers in views.items():
                answers[repeat].put(judge, fitted.answer([_view(name, note, None) for note in held_out]))
            if repeat == 0:
                for mode, exported in modes.items():
                    with TemporaryDirectory() as folder:
                        bundle = _write(fitted, mode, records.at(learn), {}, seed, Path(folder) / NAME)
                    exported.put(judge, _served(bundle, held_out))
            report(f"repeat {repeat + 1} of {REPEATS}, fold {fold + 1} of {FOLDS}")
    unexplored = np.setdiff1d(np.arange(count), explored(count))
    nurses = Answers(np.eye(len(LABELS))[records.nurse], records.nurse)
    majority = _majority(records.truth)
    whole = views["whole"]
    return {
        "method": f"{REPEATS} times stratified {FOLDS}-fold cross-validation of the whole recipe "
        f"on {count} records; intervals: bootstrap over records, 95 %",
        "cross_validated": judge_acuity.figures(records.truth, whole, seed),
        "text_alone": judge_acuity.figures(records.truth, views["text alone"], seed),
        "no_text": judge_acuity.figures(records.truth, views["no text"], seed),
        "records_not_explored": judge_acuity.figures(
            records.truth[unexplored], [answers.at(unexplored) for answers in whole], seed
        ),
        "majority_class": judge_acuity.figures(records.truth, [majority], seed),
        "triage_nurses": judge_acuity.figures(records.truth, [nurses], seed),
        "exported_first_repeat": {
            mode: judge_acuity.figures(records.truth, [answers], seed) for mode, answers in modes.items()
        },
        "confusion_first_repeat": judge_acuity.confusion(records.truth, whole[0].labels).tolist(),
    }


def explored(count: int) -> npt.NDArray[np.intp]:
    """Indices of the records on which the recipe was chosen, by hand and before the figures were taken."""
    return np.random.default_rng(EXPLORED_SEED).permutation(count)[:EXPLORED]


def _view(name: str, note: NoteInput, generator: np.random.Generator | None) -> NoteInput:
    if name == "text alone":
        return NoteInput(text=note.text)
    if name == "no text":
        return replace(note, text="")
    if name == "thinned" and generator is not None:
        known = [field.name for field in fields(note) if field.name != "text"]
        lost: dict[str, Any] = dict.fromkeys(field for field in known if generator.random() < THINNING)
        return replace(note, **lost)
    return note


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
            shown += [_view(name, note, generator) for note in records.notes]
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


def _majority(truth: Acuities) -> Answers:
    counts = np.bincount(truth, minlength=len(LABELS))
    return Answers(
        np.tile(counts / counts.sum(), (len(truth), 1)), np.full(len(truth), counts.argmax(), np.intp)
    )


def _model(fitted: Fitted, mode: common.ExportMode, notes: Sequence[NoteInput]) -> bytes:
    """The TFLite file; *notes* calibrate an int8 one."""
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


def _write(
    fitted: Fitted,
    mode: common.ExportMode,
    records: Records,
    metrics: dict[str, Any],
    seed: int,
    folder: Path,
) -> Bundle:
    files = {
        MODEL: _model(fitted, mode, records.notes),
        FEATURES_FILE: fitted.features.to_json(),
        CARD: triage_note_card.card(metrics, fitted.cost.tolist()),
    }
    manifest = triage_note_card.manifest(metrics, fitted.cost.tolist(), seed)
    return write_bundle(folder, manifest, files)


def _served(bundle: Bundle, notes: Sequence[NoteInput]) -> Answers:
    """The answers of *bundle* through the code that serves it."""
    scored = NoteClassifier(bundle).classify(notes)
    probabilities = np.array([[answer.scores[label] for label in LABELS] for answer in scored])
    return Answers(probabilities, np.array([LABELS.index(answer.label) for answer in scored]))
