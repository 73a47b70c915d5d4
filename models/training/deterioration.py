"""Training of `deterioration`: hourly sepsis labels of two hospitals, over the windows that also serve.

The label is the Challenge's: true from six hours before sepsis onset on. Patients, never hours, are split
into training, validation and test; thresholds and calibration come from the validation patients, every
figure from the test patients.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from models.bundle import Bundle, write_bundle
from models.datasets import DATASETS, rows
from models.news2 import PARAMETERS, news2
from models.risk import INPUTS, KNOWN_LEAST, VITALS, VitalsWindow
from models.tabular import SCALER, Scaler
from models.training import common, tabular
from models.training.deterioration_card import card
from models.training.ranking import Ranking
from models.training.tabular import Flags, Report, Split, Vectors

NAME = "deterioration"
VERSION = "0.1.0"
DATASET = "physionet-sepsis-2019"
HIDDEN = (128, 64)
EPOCHS = 14
CROSS_EPOCHS = 10
"""For the models that are trained on one hospital and only measured."""
BATCH = 2048
DROPOUT = 0.3
LABEL_SPECIFICITY = 0.95
"""Hourly, on validation patients: where `at-risk` begins and an alert goes on."""
OFF_SPECIFICITY = 0.90
"""The same for the lower threshold at which an alert goes off."""
REPEATS = 300
"""Bootstrap draws of patients; more change the second decimal of an interval's end by nothing that
matters."""


@dataclass(frozen=True, slots=True)
class Hours:
    """Every hour at which the model would answer, as served: n rows in order of hospital, patient and
    time.
    """

    features: Vectors
    truth: Flags
    patient: npt.NDArray[np.intp]
    hospital: npt.NDArray[np.str_]
    names: list[str]
    """A name for each patient."""
    seen: int
    """Hours read, those at which the model abstains included."""

    def of(self, mask: Flags) -> npt.NDArray[np.intp]:
        """Patient numbers of the rows of *mask*."""
        return self.patient[mask]


def hours(data: Path, report: Report) -> Hours:
    """Reads the dataset in *data* through the serving code; DataMissing when it is not there."""
    features, truth, patient, hospital = [], [], [], []
    names: list[str] = []
    window, seen = VitalsWindow(), 0
    for row in rows(DATASET, data):
        if not names or names[-1] != row.device:
            names.append(row.device)
            window = VitalsWindow()
            if len(names) % 5000 == 0:
                report(f"{len(names)} patients read")
        seen += 1
        vector = window.add(row.time_ms, row.payload)
        if vector[-1] >= KNOWN_LEAST:
            features.append(vector[:-1])
            truth.append(row.truth["sepsis"])
            patient.append(len(names) - 1)
            hospital.append(row.truth["hospital"])
    return Hours(np.stack(features), np.array(truth), np.array(patient), np.array(hospital), names, seen)


def splits(known: Hours, seed: int) -> Split:
    """Row masks by patient."""
    by_patient = tabular.split(known.names, seed)
    return Split(
        by_patient.train[known.patient], by_patient.validation[known.patient], by_patient.test[known.patient]
    )


def train(
    *,
    data: Path,
    made: Path,  # noqa: ARG001 (every training is called alike)
    output: Path,
    seed: int,
    report: Report,
) -> dict[str, Any]:
    """Trains, writes the bundle to *output* and returns the metrics that its manifest holds.

    *data* is the data directory; *made* is not used. Repeatable: the same seed gives the same bytes on the
    same machine with the same libraries. Raises DataMissing.
    """
    common.seed_everything(seed)
    known = hours(data, report)
    part = splits(known, seed)
    report(f"{len(known.truth)} hours of {len(known.names)} patients; training")
    scaler, network = _fitted(known, part.train, seed, EPOCHS)
    inputs = scaler.standardised(known.features)
    files = tabular.exported(network, inputs[part.train], seed)
    raw = {mode: tabular.logits(content, inputs) for mode, content in files.items()}
    size = {mode: len(content) for mode, content in files.items()}
    scaler = tabular.calibrated(scaler, raw["int8"][part.validation], known.truth[part.validation])
    valid = Ranking(tabular.probabilities(scaler, raw["int8"][part.validation]), known.truth[part.validation])
    label = valid.threshold_at_specificity(LABEL_SPECIFICITY)
    thresholds = {"label": label, "on": label, "off": valid.threshold_at_specificity(OFF_SPECIFICITY)}

    report("measuring on held-out patients")
    metrics = _measured(known, part, scaler, raw["int8"], thresholds, seed)
    metrics["export"] = {
        mode: {"bytes": size[mode], "auroc": _rounded(_auroc(known, part.test, raw[mode]))} for mode in files
    }
    metrics["hospitals"] = _across(known, part, seed, report)
    metrics["label_rule"] = f"{LABEL_SPECIFICITY:.0%} of the validation patients' negative hours lie below"
    metrics["off_rule"] = f"{OFF_SPECIFICITY:.0%} of them lie below"
    write_bundle(
        output,
        {
            "format": 1,
            "name": NAME,
            "version": VERSION,
            "task": "risk of deterioration (sepsis within hours) from a stream of vital signs",
            "description": "A small network over the last twelve hours of vital signs, by time.",
            "kind": "vitals",
            "input": {
                "features": "models.risk.VitalsWindow, standardised by scaler.json, int8",
                "count": len(INPUTS),
            },
            "output": {"logit": "scaler.json turns it into scores.risk, a calibrated probability"},
            "labels": ["stable", "at-risk"],
            "thresholds": thresholds,
            "licence": "Apache-2.0",
            "training_data": [
                {"name": DATASET, "origin": DATASETS[DATASET].origin, "licence": DATASETS[DATASET].licence}
            ],
            "metrics": metrics,
            "trained_with": common.trained_with(NAME, seed),
        },
        {
            "model.tflite": files["int8"],
            SCALER: tabular.scaler_file(scaler),
            "card.md": card(metrics, thresholds),
        },
    )
    return metrics


def evaluate(
    *,
    bundle: Bundle,
    data: Path,
    made: Path,  # noqa: ARG001 (every evaluation is called alike)
    output: Path,  # noqa: ARG001 (the same)
    seed: int,
    report: Report,
) -> dict[str, Any]:
    """Scores *bundle* on the patients that its own training held out; *seed* counts where it names none.

    Raises DataMissing, and ModelRefused where the scaler is not this version's.
    """
    seed = int(bundle.manifest.trained_with.get("seed", seed))
    scaler = tabular.scaler_of(bundle, INPUTS)
    known = hours(data, report)
    part = splits(known, seed)
    raw = tabular.logits(bundle.files["model.tflite"], scaler.standardised(known.features))
    return _measured(known, part, scaler, raw, dict(bundle.manifest.thresholds), seed)


def _fitted(known: Hours, mask: Flags, seed: int, epochs: int) -> tuple[Scaler, Any]:
    scaler = tabular.uncalibrated(INPUTS, known.features[mask])
    network = tabular.fit(
        scaler.standardised(known.features[mask]),
        known.truth[mask],
        hidden=HIDDEN,
        epochs=epochs,
        batch=BATCH,
        dropout=DROPOUT,
        seed=seed,
    )
    return scaler, network


def _auroc(known: Hours, mask: Flags, raw: npt.NDArray[np.float64]) -> float:
    return Ranking(raw[mask], known.truth[mask]).auroc()


def _rounded(value: float) -> float:
    return round(value, 4)


def _measured(
    known: Hours,
    part: Split,
    scaler: Scaler,
    raw: npt.NDArray[np.float64],
    thresholds: dict[str, float],
    seed: int,
) -> dict[str, Any]:
    """Figures on the test patients, both hospitals together and each, beside NEWS2 on the same hours."""
    totals = np.full(len(known.truth), -1, np.int8)
    totals[part.test] = [_news2_total(vector) for vector in known.features[part.test]]
    risk = tabular.probabilities(scaler, raw)
    metrics: dict[str, Any] = {
        "rows": f"hours at which at least {KNOWN_LEAST} of {len(VITALS)} vital signs are known",
        "answered": _rounded(len(known.truth) / known.seen),
    }
    for name, inside in (
        ("both", np.ones(len(known.truth), bool)),
        ("A", known.hospital == "A"),
        ("B", known.hospital == "B"),
    ):
        mask = part.test & inside
        model, rule = Ranking(raw[mask], known.truth[mask]), Ranking(totals[mask], known.truth[mask])
        groups = known.of(mask)
        metrics[name] = {
            "patients": len(np.unique(groups)),
            "hours": int(mask.sum()),
            "positive": _rounded(float(known.truth[mask].mean())),
            "auroc": common.figure(
                model.auroc(), common.bootstrap_interval(model.auroc, groups, seed, REPEATS)
            ),
            "average_precision": common.figure(
                model.average_precision(),
                common.bootstrap_interval(model.average_precision, groups, seed, REPEATS),
            ),
            "majority_auroc": 0.5,
            "news2_auroc": common.figure(
                rule.auroc(), common.bootstrap_interval(rule.auroc, groups, seed, REPEATS)
            ),
            "news2_average_precision": common.figure(rule.average_precision()),
            "at_label": _at(risk[mask], known.truth[mask], groups, thresholds["label"]),
        }
    return metrics


def _at(
    risk: npt.NDArray[np.float64], truth: Flags, groups: npt.NDArray[np.intp], threshold: float
) -> dict[str, float]:
    """What the threshold means by the hour and by the patient."""
    said = risk >= threshold
    _, patient = np.unique(groups, return_inverse=True)
    count = patient.max() + 1
    septic = np.bincount(patient, truth, count) > 0
    warned = np.bincount(patient, said & truth, count) > 0
    ever = np.bincount(patient, said, count) > 0
    figures = Ranking(risk, truth).at(threshold)
    figures["septic_patients_warned"] = float(warned[septic].mean())
    figures["other_patients_ever_warned"] = float(ever[~septic].mean())
    return {name: _rounded(value) for name, value in figures.items()}


def _across(known: Hours, part: Split, seed: int, report: Report) -> dict[str, Any]:
    """AUROC on each hospital's test patients of models that saw one hospital alone."""
    figures = {}
    for home, away in (("A", "B"), ("B", "A")):
        report(f"training on hospital {home} alone")
        scaler, network = _fitted(known, part.train & (known.hospital == home), seed, CROSS_EPOCHS)
        content = common.to_tflite(network, "float32")
        raw = tabular.logits(content, scaler.standardised(known.features))
        for place in (home, away):
            mask = part.test & (known.hospital == place)
            ranked = Ranking(raw[mask], known.truth[mask])
            interval = common.bootstrap_interval(ranked.auroc, known.of(mask), seed, REPEATS)
            figures[f"trained_{home}_tested_{place}"] = common.figure(ranked.auroc(), interval)
    return figures


def _news2_total(vector: npt.NDArray[np.float32]) -> int:
    """NEWS2 of a window's newest values (none older than its history), without consciousness and oxygen."""
    values: dict[str, float | str | bool] = {}
    for vital in VITALS:
        value = float(vector[INPUTS.index(f"{vital}_last")])
        if vital in PARAMETERS and value == value:
            values[vital] = round(value, 3)  # float32 back to the decimal that was sent
    return news2(values).total
