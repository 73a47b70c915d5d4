"""The words of the log-line bundle: its manifest and its card. No arithmetic."""

from __future__ import annotations

from typing import Any

from models.lines import LABELS
from models.training import common

NAME = "log-line"
VERSION = "0.1.0"

_MEASURES = {
    "macro_f1": "macro-F1",
    "accuracy": "accuracy",
    "alert_recall": "alerts: recall",
    "alert_precision": "alerts: precision",
    "false_alert_rate": "normal lines called alerts",
    "auroc": "AUROC",
}


def manifest(metrics: dict[str, Any], thresholds: dict[str, float], seed: int) -> dict[str, Any]:
    """The manifest's fields but the files, which `write_bundle` adds."""
    return {
        "format": 1,
        "name": NAME,
        "version": VERSION,
        "task": "classification",
        "description": "Whether one line of a machine's or a computer's log says that somebody should look.",
        "kind": "log",
        "input": {
            "rows": "int32: rows of the hashed words, pairs and word pieces of the line, 0 for none",
            "weight": "float32: 1/sqrt(number of rows), 0 without text",
        },
        "output": {"logits": "one a label; their softmax is the probability of each"},
        "labels": LABELS,
        "thresholds": thresholds,
        "licence": "Apache-2.0",
        "training_data": [
            {"name": NAME, "origin": f"edgeward data make log-line --seed {seed}", "licence": "Apache-2.0"}
        ],
        "metrics": metrics,
        "trained_with": common.trained_with(NAME, seed),
    }


def card(metrics: dict[str, Any]) -> bytes:
    """The card; with empty *metrics*, for a model that is only being judged, without its figures."""
    sections = {"What it does": _PURPOSE, "What it is not": _LIMITS}
    if metrics:
        sections["How well"] = _results(metrics)
    sections["Training"] = _TRAINING
    return common.card(NAME, sections)


_PURPOSE = """
Reads one line of a log (of a controller, a computer, a service) and says `alert` when it speaks of a fault
that does not heal by itself, else `normal`. Numbers and long hexadecimal words are read as such, not by
value. Only the first 512 characters count. A line without a letter or digit is judged by nothing but how
common alerts were in training.
"""

_LIMITS = """
It learnt from simulated lines alone and has never seen your logs: expect false alerts on wordings it does not
know, and watch it before you page anybody. It sees one line at a time: floods, silences and sequences mean
nothing to it. 35 of 100 training lines were alerts, which no healthy plant has, so `probability` is too high
where alerts are rare. English only.
"""

_TRAINING = """
A logistic regression over hashed words, word pairs and word pieces (16,384 rows), its logits rescaled (Platt)
and its threshold set, so that 1 in 20 normal lines is called an alert, on templates that the weights had not
seen; written into a TFLite graph with int8 weights. LogHub's BGL lines were used for evaluation only: nothing
was trained or chosen on them, and no template shares four words in a row with LogHub's. It is no blind trial
all the same: the templates' author knew what such logs look like, and had seen the first figures, BGL's among
them, when the templates were extended (macro-F1 on BGL 0.725 before, 0.752 after).

Again: `edgeward data make log-line --seed 1`, then `edgeward models train log-line --seed 1`.
"""


def _results(metrics: dict[str, Any]) -> str:
    columns = {
        "unseen templates": metrics["unseen_templates"],
        "never alert": metrics["majority_class"],
    }
    bgl = metrics.get("bgl") or {}
    if bgl:
        columns |= {"BGL": bgl["as_served"], "BGL, never alert": bgl["majority_class"]}
    rows = [
        [words, *(found.get(measure, "") for found in columns.values())]
        for measure, words in _MEASURES.items()
    ]
    exports = [
        [mode, found["macro_f1"], found["accuracy"]]
        for mode in common.EXPORT_MODES
        for found in [metrics["exported"][mode]]
    ]
    parts = [f"Method: {metrics['method']}."]
    if bgl:
        parts.append(
            f"BGL: the shipped model on {bgl['lines']} lines ({bgl['templates']} templates) of a "
            "supercomputer's log, labelled by its operators."
        )
    return "\n\n".join(
        [
            *parts,
            common.table(["", *columns], rows),
            "The TFLite files on unseen templates, as served:",
            common.table(["export", "macro-F1", "accuracy"], exports),
        ]
    )
