"""Training of triage-note: judges the recipe (`triage_recipe`) by nested validation, then writes the bundle.

The recipe's constants were chosen by hand on 633 of the 950 records (`explored`), but `KAPPA_TO_SPARE`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt

from models.bundle import CARD, MODEL, Bundle, write_bundle
from models.datasets import rows
from models.notes import FEATURES_FILE, NoteClassifier, NoteInput, note_input
from models.training import common, judge_acuity, triage_note_card
from models.training.judge_acuity import Answers
from models.training.triage_note_card import DATASET, LABELS, NAME
from models.training.triage_recipe import Acuities, Fitted, Records, exported, fit, view

EXPORT: common.ExportMode = "dynamic"
"""The one that is shipped: full int8 sums saturate on texts longer than the dataset's, and are slower."""
JOINED = 8
"""Complaints in one of the long texts that the exports are compared on."""
FOLDS = 10
REPEATS = 5
EXPLORED = 633
EXPLORED_SEED = 7


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
    *, bundle: Bundle, data: Path, made: Path, output: Path, seed: int, report: Callable[[str], None]
) -> dict[str, Any]:
    """What *bundle* answers to every record, as served (`every_record`), beside the figures in its manifest.

    A bundle that was trained on these records has seen the answers: its test is `cross_validated`, which only
    a training can repeat. Raises DataMissing.
    """
    del made, output
    records = read(data)
    answers = _served(bundle, records.notes)
    report(f"{len(records.notes)} records answered; a bundle trained on them has seen the answers")
    return {
        "every_record": judge_acuity.figures(records.truth, [answers], seed),
        "cross_validated": bundle.manifest.metrics.get("cross_validated", {}),
    }


def read(data: Path) -> Records:
    """The records of ktas-triage in *data*. Raises DataMissing."""
    found = list(rows(DATASET, data))
    truth = np.array([LABELS.index(row.truth["acuity"]) for row in found])
    nurse = np.array([LABELS.index(row.truth["nurse"]) for row in found])
    return Records([note_input(row.payload) for row in found], truth, nurse)


def explored(count: int) -> npt.NDArray[np.intp]:
    """Indices of the records on which the recipe was chosen, by hand and before the figures were taken."""
    return np.random.default_rng(EXPLORED_SEED).permutation(count)[:EXPLORED]


def _judge(records: Records, seed: int, report: Callable[[str], None]) -> dict[str, Any]:
    """Repeated cross-validation of the whole recipe, with baselines, partial notes and export modes."""
    from sklearn.model_selection import StratifiedKFold

    count = len(records.notes)
    views = {
        name: [Answers.none(count) for _ in range(REPEATS)] for name in ("whole", "text alone", "no text")
    }
    modes = {mode: Answers.none(count) for mode in common.EXPORT_MODES}
    long: dict[str, list[int]] = {mode: [] for mode in common.EXPORT_MODES}
    for repeat in range(REPEATS):
        folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed + repeat)
        for fold, (learn, judge) in enumerate(folds.split(records.truth, records.truth)):
            fitted = fit(records.at(learn), seed)
            held_out = records.at(judge).notes
            for name, answers in views.items():
                answers[repeat].put(judge, fitted.answer([view(name, note) for note in held_out]))
            if repeat == 0:
                for mode, served in modes.items():
                    with TemporaryDirectory() as folder:
                        bundle = _write(fitted, mode, records.at(learn), {}, seed, Path(folder) / NAME)
                    served.put(judge, _served(bundle, held_out))
                    long[mode] += _served(bundle, _joined(held_out)).labels.tolist()
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
        "long_texts_as_float32": {
            mode: common.figure(np.equal(said, long["float32"]).mean()) for mode, said in long.items()
        },
        "confusion_first_repeat": judge_acuity.confusion(records.truth, whole[0].labels).tolist(),
    }


def _joined(notes: Sequence[NoteInput]) -> list[NoteInput]:
    """Texts longer than the dataset's own: for each note, its complaint and the next ones', in one text."""
    texts = [note.text for note in notes]
    return [NoteInput(text=", ".join(texts[i : i + JOINED])) for i in range(len(texts))]


def _majority(truth: Acuities) -> Answers:
    counts = np.bincount(truth, minlength=len(LABELS))
    return Answers(
        np.tile(counts / counts.sum(), (len(truth), 1)), np.full(len(truth), counts.argmax(), np.intp)
    )


def _write(
    fitted: Fitted,
    mode: common.ExportMode,
    records: Records,
    metrics: dict[str, Any],
    seed: int,
    folder: Path,
) -> Bundle:
    files = {
        MODEL: exported(fitted, mode, records.notes),
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
