"""Training of log-line: a linear model over hashed lines, taught by simulated lines alone, split by template.

Calibration and threshold are fitted on templates that the weights have not seen. LogHub's BGL lines judge the
shipped model once, after everything is settled; nothing is trained or chosen on them (their licence, too).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt

from models.bundle import CARD, MODEL, Bundle, write_bundle
from models.datasets import Row, rows
from models.datasets.made import locate_made
from models.datasets.made import rows as made_rows
from models.errors import DataMissing
from models.lines import ALERT, FEATURES_FILE, THRESHOLD, LineClassifier, features_json
from models.text import TextSpec, hashed
from models.training import common, judge_lines, log_line_card
from models.training.log_line_card import NAME

TEXT = TextSpec(buckets=1 << 14, features=512, characters=512, numbers=False)
LINES = 10_000
"""Of the made file, from its start: some 20 lines a template; more lines of the same templates teach
little.
"""
PENALTY = 4.0
"""scikit-learn's C; from 1 to 16 the held-out figures differ by less than their intervals."""
FOLDS = 5
INNER_FOLDS = 4
FALSE_ALERTS = 0.05
"""Share of normal lines, of templates not seen, that may be called alerts: the threshold is set by it."""
EXPORT: common.ExportMode = "dynamic"
"""The one that is shipped."""
CALIBRATION_LINES = 200
"""Lines that an int8 export measures its ranges on."""

Report = Callable[[str], None]
Indices = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Lines:
    """Labelled lines: n texts, flags and templates' names."""

    texts: list[str]
    alert: npt.NDArray[np.bool_]
    template: npt.NDArray[np.str_]

    @classmethod
    def of(cls, found: Sequence[Row]) -> Lines:
        """The log rows *found*, whose truth has `alert` and `template`."""
        return cls(
            [row.payload["line"] for row in found],
            np.array([row.truth["alert"] for row in found], np.bool_),
            np.array([row.truth["template"] for row in found]),
        )

    def at(self, places: Indices) -> Lines:
        """The lines at *places*."""
        return Lines([self.texts[i] for i in places], self.alert[places], self.template[places])


@dataclass(frozen=True, slots=True)
class Fitted:
    """A trained model before export: logit = weight · Σ table[rows] + bias, calibrated."""

    table: npt.NDArray[np.float64]
    """[1 + buckets]."""
    bias: float
    threshold: float
    """Probability from which a line is an alert."""

    def probability(self, texts: Sequence[str]) -> npt.NDArray[np.float64]:
        """Of an alert, for each text, in float64 and without TFLite."""
        logits = common.bag_matrix(texts, TEXT) @ self.table + self.bias
        return np.asarray(1 / (1 + np.exp(-logits)))


def fit(lines: Lines, seed: int) -> Fitted:
    """The recipe on *lines*: weights; calibration and threshold from templates held out in inner folds."""
    from sklearn.linear_model import LogisticRegression

    held_out = np.zeros(len(lines.texts))
    for learn, judge in _folds(lines, INNER_FOLDS, seed):
        table, bias = _weights(lines.at(learn))
        held_out[judge] = common.bag_matrix(lines.at(judge).texts, TEXT) @ table + bias
    # Platt 1999: the logits of unseen templates are too sure of themselves by a factor and an offset.
    platt = LogisticRegression(C=1e6).fit(held_out[:, None], lines.alert)
    slope, offset = float(platt.coef_[0, 0]), float(platt.intercept_[0])
    unseen = 1 / (1 + np.exp(-(held_out * slope + offset)))
    threshold = float(np.quantile(unseen[~lines.alert], 1 - FALSE_ALERTS))
    table, bias = _weights(lines)
    return Fitted(table * slope, bias * slope + offset, round(threshold, 4))


def train(*, data: Path, made: Path, output: Path, seed: int, report: Report) -> dict[str, Any]:
    """Trains on made lines of *seed* in *made*, judges on held-out templates and BGL, writes to *output*.

    Raises DataMissing, naming the command that makes the lines. Without BGL in *data* its figures are left
    out.
    """
    common.seed_everything(seed)
    lines = read(made, seed)
    metrics = _held_out(lines, seed, report)
    report("training on all templates")
    fitted = fit(lines, seed)
    with TemporaryDirectory() as folder:
        bundle = _write(fitted, EXPORT, lines, metrics, seed, Path(folder) / NAME)
    metrics["bgl"] = _bgl(bundle, data, seed, report)
    _write(fitted, EXPORT, lines, metrics, seed, output)
    return metrics


def evaluate(
    *, bundle: Bundle, data: Path, made: Path, output: Path, seed: int, report: Report
) -> dict[str, Any]:
    """Judges *bundle* on BGL as served: no line of it was learnt from. Raises DataMissing."""
    del made, output
    rows("bgl", data)
    return _bgl(bundle, data, seed, report)


def read(made: Path, seed: int) -> Lines:
    """The first lines of the made file of *seed*. Raises DataMissing."""
    return Lines.of(list(islice(made_rows(locate_made(NAME, seed, made)), LINES)))


def _held_out(lines: Lines, seed: int, report: Report) -> dict[str, Any]:
    """The recipe judged on templates that it has not seen, as float64 and as each TFLite export serves it."""
    count = len(lines.texts)
    probability, labels = np.zeros(count), np.zeros(count, np.bool_)
    served = {mode: np.zeros(count, np.bool_) for mode in common.EXPORT_MODES}
    for fold, (learn, judge) in enumerate(_folds(lines, FOLDS, seed)):
        fitted = fit(lines.at(learn), seed)
        unseen = lines.at(judge)
        probability[judge] = fitted.probability(unseen.texts)
        labels[judge] = probability[judge] >= fitted.threshold
        for mode, said in served.items():
            with TemporaryDirectory() as folder:
                bundle = _write(fitted, mode, lines.at(learn), {}, seed, Path(folder) / NAME)
            said[judge] = _labels(bundle, unseen.texts)
        report(f"templates held out, fold {fold + 1} of {FOLDS}")
    return {
        "method": f"{FOLDS}-fold cross-validation of the whole recipe on {count} made lines, split by their "
        f"{len(set(lines.template.tolist()))} templates; intervals: bootstrap over templates, 95 %",
        "unseen_templates": judge_lines.figures(lines.alert, labels, lines.template, seed)
        | {"auroc": common.figure(judge_lines.auroc(lines.alert, probability))},
        "majority_class": judge_lines.figures(lines.alert, np.zeros(count, np.bool_), lines.template, seed),
        "exported": {
            mode: judge_lines.figures(lines.alert, said, lines.template, seed)
            for mode, said in served.items()
        },
    }


def _bgl(bundle: Bundle, data: Path, seed: int, report: Report) -> dict[str, Any]:
    try:
        lines = Lines.of(list(rows("bgl", data)))
    except DataMissing as exc:
        report(f"BGL is left out: {exc}")
        return {}
    scored = LineClassifier(bundle).classify(lines.texts)
    labels = np.array([answer.label == ALERT for answer in scored])
    scores = np.array([answer.scores[ALERT] for answer in scored])
    never = np.zeros(len(labels), np.bool_)
    report(f"judged on {len(labels)} lines of BGL")
    return {
        "lines": len(labels),
        "templates": len(set(lines.template.tolist())),
        "as_served": judge_lines.figures(lines.alert, labels, lines.template, seed)
        | {"auroc": common.figure(judge_lines.auroc(lines.alert, scores))},
        "majority_class": judge_lines.figures(lines.alert, never, lines.template, seed),
    }


def _folds(lines: Lines, folds: int, seed: int) -> list[tuple[Indices, Indices]]:
    """Where to learn and where to judge, whole templates on one side."""
    from sklearn.model_selection import StratifiedGroupKFold

    split = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    return list(split.split(lines.alert, lines.alert, lines.template))


def _weights(lines: Lines) -> tuple[npt.NDArray[np.float64], float]:
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=PENALTY, max_iter=2000)
    model.fit(common.bag_matrix(lines.texts, TEXT), lines.alert)
    return model.coef_[0], float(model.intercept_[0])


def _labels(bundle: Bundle, texts: Sequence[str]) -> npt.NDArray[np.bool_]:
    return np.array([answer.label == ALERT for answer in LineClassifier(bundle).classify(texts)])


def _write(
    fitted: Fitted, mode: common.ExportMode, lines: Lines, metrics: dict[str, Any], seed: int, folder: Path
) -> Bundle:
    # A softmax of two logits, half of it up and half down, is the logistic function of their difference.
    halves = np.array([-0.5, 0.5])
    table = np.outer(fitted.table, halves).astype(np.float32)
    graph = common.bag_graph(table, None, (fitted.bias * halves).astype(np.float32), TEXT.features)
    calibration: list[common.Example] = []
    for text in lines.texts[:CALIBRATION_LINES] if mode == "int8" else ():
        found, weight = hashed(text, TEXT)
        calibration.append({"rows": found[None], "weight": np.array([[weight]], np.float32)})
    files = {
        MODEL: common.to_tflite(graph, mode, calibration),
        FEATURES_FILE: features_json(TEXT),
        CARD: log_line_card.card(metrics),
    }
    return write_bundle(folder, log_line_card.manifest(metrics, {THRESHOLD: fitted.threshold}, seed), files)
