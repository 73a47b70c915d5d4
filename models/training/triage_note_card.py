"""The words of the triage-note bundle: its manifest and its card. No arithmetic."""

from __future__ import annotations

from typing import Any

from models.datasets import dataset
from models.training import common

NAME = "triage-note"
VERSION = "0.1.0"
DATASET = "ktas-triage"
LABELS = ("1", "2", "3", "4", "5")

_MEASURES = {
    "kappa_linear": "weighted kappa (linear)",
    "accuracy": "accuracy",
    "within_one_level": "within one level",
    "urgent_recall": "urgent (1-2): recall",
    "urgent_precision": "urgent (1-2): precision",
    "under_triage": "under-triage",
    "over_triage": "over-triage",
    "log_loss": "log loss (nats)",
    "calibration_error": "calibration error",
}


def manifest(metrics: dict[str, Any], cost: list[list[float]], seed: int) -> dict[str, Any]:
    """The manifest's fields but the files, which `write_bundle` adds."""
    source = dataset(DATASET)
    return {
        "format": 1,
        "name": NAME,
        "version": VERSION,
        "task": "classification",
        "description": "Acuity of a triage note, 1 (resuscitation) to 5 (non-urgent), from its text and "
        "what was measured with it. Not a medical device.",
        "kind": "note",
        "input": {
            "rows": "int32: rows of the hashed words, pairs and word pieces of the text, 0 for none",
            "weight": "float32: 1/sqrt(number of rows), 0 without text",
            "details": "float32: age, sex, vital signs, pain, injury, arrival; layout in features.json",
        },
        "output": {
            "logits": "one a label; their softmax is the probability of each",
            "cost": cost,
            "rule": "the label published is the one with the least expected cost; cost[published][true]",
        },
        "labels": LABELS,
        "thresholds": {},
        "licence": "Apache-2.0; trained on CC BY 4.0 data, doi:10.1371/journal.pone.0216972",
        "training_data": [{"name": source.name, "origin": source.origin, "licence": source.licence}],
        "metrics": metrics,
        "trained_with": common.trained_with(NAME, seed),
    }


def card(metrics: dict[str, Any], cost: list[list[float]]) -> bytes:
    """The card; with empty *metrics*, for a model that is only being judged, without its figures."""
    sections = {"What it does": _PURPOSE, "What it is not": _LIMITS, "How it decides": _rule(cost)}
    if metrics:
        sections["How well"] = _results(metrics)
    sections["Training"] = _TRAINING
    return common.card("triage-note", sections)


_PURPOSE = """
Reads one triage note (the complaint in free text, and age, sex, vital signs, pain, injury and way of
arrival as far as they are known) and gives the acuity that triage experts would give it: 1 resuscitation, 2
emergency, 3 urgent, 4 less urgent, 5 non-urgent (Korean Triage and Acuity Scale). Any part may be missing.
A text without a letter or digit counts as no text.
"""

_LIMITS = """
Not a medical device, and not for clinical use. It learnt from 950 adult visits to two Korean emergency
departments (2016-2017), mostly terse English complaints; it has seen no children, no other language, and
only 20 patients of acuity 1. Urgent patients are missed: see the recall below, and compare the nurses. It
does not use `on_oxygen` (the data do not say) and reads new confusion (C) as "responds to voice" (the data
have no C). Only the first 1,000 characters of a text count; a long document is not what it learnt from.
"""

_TRAINING = """
A multinomial logistic regression over hashed words, word pairs and word pieces (16,384 rows) and a vector of
details, written into a TFLite graph with int8 weights. Full int8 is as good on the dataset's short
complaints, but its sums saturate on longer texts (last column above: eight complaints in one text), so the
sums stay float.

Each record is also shown thinned, as text alone and without text, at a lower weight: the data nearly
always have all vital signs, and without these views a bare sentence was answered at a kappa of 0.05.
Recipe and penalties were chosen by hand on 633 of the 950 records; `not explored` above are the other
317. One choice came later: that under-triage may cost 0.01 of kappa was decided after the first figures
(urgent recall 0.60). Temperature and cost of under-triage are fitted on inner folds of the training part.
Never inputs: the nurse's level, diagnosis, disposition, error group, lengths of stay and of triage,
mistriage, the hospital, patients an hour.

Again: `edgeward models train triage-note --seed 1`.
"""


def _rule(cost: list[list[float]]) -> str:
    return (
        "It publishes the level with the least expected cost: one a level of over-triage, "
        f"{cost[1][0]:g} a level of under-triage (as dear as 0.01 of kappa on inner folds allows). "
        "`probability` is the published label's own, calibrated; another label may have a higher one. "
        "`scores` holds all five and sums to 1."
    )


def _results(metrics: dict[str, Any]) -> str:
    columns = {
        "this model": "cross_validated",
        "not explored": "records_not_explored",
        "text alone": "text_alone",
        "no text": "no_text",
        "always 3": "majority_class",
        "triage nurses": "triage_nurses",
    }
    rows = [
        [words, *(metrics[key].get(measure, "") for key in columns.values())]
        for measure, words in _MEASURES.items()
    ]
    for row, measure in zip(rows, _MEASURES, strict=True):
        if measure in ("log_loss", "calibration_error"):
            row[-1] = ""  # the nurses give a level, not a probability
    exports = [
        [
            mode,
            *(found[name] for name in ("kappa_linear", "accuracy", "log_loss")),
            metrics["long_texts_as_float32"][mode],
        ]
        for mode in common.EXPORT_MODES
        for found in [metrics["exported_first_repeat"][mode]]
    ]
    confusion = [
        [f"true {label}", *counts]
        for label, counts in zip(LABELS, metrics["confusion_first_repeat"], strict=True)
    ]
    return "\n\n".join(
        [
            f"Method: {metrics['method']}. Truth is the experts' level.",
            common.table(["", *columns], rows),
            "The TFLite files of the first repeat, as served:",
            common.table(
                ["export", "kappa", "accuracy", "log loss", "labels as float32, long texts"], exports
            ),
            "Counts of the first repeat:",
            common.table(["", *LABELS], confusion),
        ]
    )
