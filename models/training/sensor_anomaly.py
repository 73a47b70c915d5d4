"""Training of `sensor-anomaly`: simulated machines with labelled faults, over the vectors that also serve.

Machines, never readings, are split into training, validation and test. The network is monotone: a reading
further from the machine's normal never scores lower, whatever the simulated machines happened to teach.
SKAB, a real testbed, only ever evaluates: nothing is fitted or chosen on it here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from models.anomaly import Learn, SensorNormal
from models.bundle import Bundle, write_bundle
from models.datasets import Row, rows
from models.datasets import made as made_data
from models.errors import DataMissing
from models.normality import FEATURES
from models.tabular import SCALER, Scaler
from models.training import common, tabular
from models.training.ranking import Ranking
from models.training.sensor_anomaly_card import card
from models.training.tabular import Flags, Report, Vectors

NAME = "sensor-anomaly"
VERSION = "0.1.0"
REAL = "skab"
HEALTHY_RUN = "skab-anomaly-free"
HIDDEN = (32, 16)
EPOCHS = 8
BATCH = 256
DROPOUT = 0.1
SEVERITY_LEAST = 0.15
"""Milder faults neither train nor count: at their start nothing can be seen yet."""
ON_SPECIFICITY = 0.97
"""On validation machines' healthy readings: the threshold at which an alert goes on. The label begins, and
an alert goes off, at the lower one that balances sensitivity and specificity there.
"""
REPEATS = 300
"""Bootstrap draws of machines."""

RISING = np.array([-1.0 if name == "quiet" else 1.0 for name in FEATURES], np.float32)
"""Every distance rises with a fault, but for the restlessness of the quietest channel: a stuck one falls
still.
"""


@dataclass(frozen=True, slots=True)
class Readings:
    """Readings after learning, as served: n rows in order of device and time."""

    features: Vectors
    truth: Flags
    device: npt.NDArray[np.str_]
    fault: npt.NDArray[np.str_]
    """Name of the simulated fault; empty without one, and for real data."""
    counts: Flags
    """False where truth is unclear: a fault that is too mild yet, or whose traces still fade."""

    def only(self, mask: Flags) -> Readings:
        """The rows of *mask*."""
        return Readings(
            self.features[mask], self.truth[mask], self.device[mask], self.fault[mask], self.counts[mask]
        )


def readings(source: Iterator[Row]) -> Readings:
    """Vectors and truth of every row after its device's learning time, through the serving code."""
    features, truth, device, fault, counts = [], [], [], [], []
    name, normal = "", SensorNormal(Learn())
    for row in source:
        if row.device != name:
            name, normal = row.device, SensorNormal(Learn())
        vector = normal.add(row.time_ms, row.payload["values"])
        if vector is not None:
            known = row.truth
            features.append(vector)
            truth.append(known["anomaly"])
            device.append(name)
            fault.append(known.get("fault") or "")
            unclear = 0 < known.get("severity", 1.0) < SEVERITY_LEAST or known.get("recovering", False)
            counts.append(not unclear)
    return Readings(np.stack(features), np.array(truth), np.array(device), np.array(fault), np.array(counts))


def train(*, data: Path, made: Path, output: Path, seed: int, report: Report) -> dict[str, Any]:
    """Trains, writes the bundle to *output* and returns the metrics that its manifest holds.

    *made* is the folder of made data: `sensor-anomaly` of the same *seed* must be there (DataMissing says how
    to make it). *data* is the data directory; without SKAB there, its figures are left out.
    """
    common.seed_everything(seed)
    simulated = _simulated(made, seed, report)
    part = tabular.split(list(simulated.device), seed)
    fitted = simulated.only(part.train & simulated.counts)
    valid = simulated.only(part.validation & simulated.counts)
    report(f"{len(simulated.truth)} readings; training")
    scaler = tabular.uncalibrated(FEATURES, fitted.features)
    network = tabular.fit(
        scaler.standardised(fitted.features),
        fitted.truth,
        hidden=HIDDEN,
        epochs=EPOCHS,
        batch=BATCH,
        dropout=DROPOUT,
        seed=seed,
        rising=RISING,
    )
    files = tabular.exported(network, scaler.standardised(fitted.features), seed)
    raw = tabular.logits(files["int8"], scaler.standardised(valid.features))
    scaler = tabular.calibrated(scaler, raw, valid.truth)
    ranked = Ranking(tabular.probabilities(scaler, raw), valid.truth)
    label = ranked.balanced_threshold()
    on = max(label, ranked.threshold_at_specificity(ON_SPECIFICITY))
    thresholds = {"label": label, "on": on, "off": label}

    report("measuring on held-out machines")
    held_out = simulated.only(part.test & simulated.counts)
    metrics = _measured(held_out, _real(data, report), scaler, files["int8"], thresholds, seed)
    metrics["export"] = {
        mode: {
            "bytes": len(content),
            "auroc": round(
                Ranking(
                    tabular.logits(content, scaler.standardised(held_out.features)), held_out.truth
                ).auroc(),
                4,
            ),
        }
        for mode, content in files.items()
    }
    metrics["label_rule"] = "the best sum of sensitivity and specificity on the validation machines"
    metrics["on_rule"] = f"{ON_SPECIFICITY:.0%} of the validation machines' healthy readings lie below"
    write_bundle(
        output,
        {
            "format": 1,
            "name": NAME,
            "version": VERSION,
            "task": "how far a machine's reading lies from the machine's own normal start",
            "description": "A small monotone network over distances from a normal learnt on the device.",
            "kind": "sensor",
            "input": {
                "features": "models.anomaly.SensorNormal, standardised by scaler.json, int8",
                "count": len(FEATURES),
            },
            "output": {"logit": "scaler.json turns it into scores.anomaly, a calibrated probability"},
            "labels": ["normal", "anomaly"],
            "thresholds": thresholds,
            "licence": "Apache-2.0",
            "training_data": [
                {"name": NAME, "origin": f"edgeward data make {NAME} --seed {seed}", "licence": "Apache-2.0"}
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
    made: Path,
    output: Path,  # noqa: ARG001 (every evaluation is called alike)
    seed: int,
    report: Report,
) -> dict[str, Any]:
    """Scores *bundle* on the simulated machines that its own training held out, and on SKAB where it is
    there.

    *seed* counts where the bundle names none. Raises DataMissing without the made data, ModelRefused where
    the scaler is not this version's.
    """
    seed = int(bundle.manifest.trained_with.get("seed", seed))
    scaler = tabular.scaler_of(bundle, FEATURES)
    simulated = _simulated(made, seed, report)
    part = tabular.split(list(simulated.device), seed)
    held_out = simulated.only(part.test & simulated.counts)
    real, model = _real(data, report), bundle.files["model.tflite"]
    return _measured(held_out, real, scaler, model, dict(bundle.manifest.thresholds), seed)


def _simulated(folder: Path, seed: int, report: Report) -> Readings:
    path = made_data.locate_made(NAME, seed, folder)
    report(f"reading {path.name}")
    return readings(made_data.rows(path))


def _real(data: Path, report: Report) -> Readings | None:
    """SKAB's labelled runs after learning, and the healthy run; None where the data are not there."""
    try:
        return readings(rows(REAL, data))
    except DataMissing as exc:
        report(f"without {REAL}: {exc}")
        return None


def _measured(
    held_out: Readings,
    real: Readings | None,
    scaler: Scaler,
    model: bytes,
    thresholds: dict[str, float],
    seed: int,
) -> dict[str, Any]:
    """Figures on held-out simulated machines and, where it is there, on SKAB, beside plain T² + Q."""

    def figures(of: Readings) -> dict[str, Any]:
        score = tabular.probabilities(scaler, tabular.logits(model, scaler.standardised(of.features)))
        ranked = Ranking(score, of.truth)
        return {
            "devices": len(np.unique(of.device)),
            "readings": len(of.truth),
            "anomalous": round(float(of.truth.mean()), 4),
            "auroc": common.figure(
                ranked.auroc(), common.bootstrap_interval(ranked.auroc, of.device, seed, REPEATS)
            ),
            "model": _rates(score >= thresholds["label"], of, seed),
            "alerts": _alerts(score, of, thresholds),
            "t2_q": _rates(_t2_q(of.features), of, seed),
            "all_flagged": _rates(np.ones(len(of.truth), bool), of, seed),
        }

    score = tabular.probabilities(scaler, tabular.logits(model, scaler.standardised(held_out.features)))
    metrics: dict[str, Any] = {"simulated": figures(held_out)}
    metrics["found_by_fault"] = {
        str(fault): round(float((score[held_out.fault == fault] >= thresholds["label"]).mean()), 3)
        for fault in np.unique(held_out.fault)
        if fault
    }
    if real is not None:
        healthy = real.device == HEALTHY_RUN
        metrics[REAL] = figures(real.only(~healthy))
        inputs = scaler.standardised(real.features[healthy])
        run = tabular.probabilities(scaler, tabular.logits(model, inputs))
        metrics["skab_healthy_run"] = {
            "model_far": round(float((run >= thresholds["label"]).mean()), 4),
            "t2_q_far": round(float(_t2_q(real.features[healthy]).mean()), 4),
        }
    return metrics


def _alerts(
    score: npt.NDArray[np.float64], of: Readings, thresholds: dict[str, float]
) -> dict[str, float | int]:
    """What on and off thresholds together raise: stretches of anomalous readings found, and false alerts."""
    on, off = thresholds["on"], thresholds["off"]
    before = ("", False)
    active = found = False
    stretches = detected = false = 0
    for device, anomalous, value in zip(of.device.tolist(), of.truth.tolist(), score.tolist(), strict=True):
        active = active and device == before[0] and value >= off
        raised = not active and value >= on
        active = active or raised
        if anomalous and before != (device, True):
            stretches += 1
            found = False
        if anomalous and active and not found:
            detected += 1
            found = True
        false += raised and not anomalous
        before = (device, anomalous)
    healthy = int((~of.truth).sum())
    return {
        "stretches": stretches,
        "stretches_found": detected,
        "false_alerts": false,
        "false_per_1000_healthy": round(1000 * false / max(1, healthy), 2),
    }


def _t2_q(features: Vectors) -> Flags:
    """Plain T² + Q: either beyond the 99 % quantile that it reached on the device's normal start."""
    flagged: Flags = (features[:, FEATURES.index("t2")] > 0) | (features[:, FEATURES.index("q")] > 0)
    return flagged


def _rates(said: Flags, of: Readings, seed: int) -> dict[str, Any]:
    """F1, false alarm rate (of healthy readings) and missed alarm rate (of anomalous ones), over all
    readings.
    """

    def rate(name: str, at: npt.NDArray[np.intp] | slice = slice(None)) -> float:
        flagged, truth = said[at], of.truth[at]
        hits, false, missed = (flagged & truth).sum(), (flagged & ~truth).sum(), (~flagged & truth).sum()
        above, below = {
            "f1": (2 * hits, 2 * hits + false + missed),
            "far": (false, (~truth).sum()),
            "mar": (missed, truth.sum()),
        }[name]
        return float(above / below) if below else float("nan")

    def interval(name: str) -> tuple[float, float]:
        return common.bootstrap_interval(lambda at: rate(name, at), of.device, seed, REPEATS)

    return {name: common.figure(rate(name), interval(name)) for name in ("f1", "far", "mar")}
