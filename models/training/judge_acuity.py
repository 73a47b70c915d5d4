"""How acuities are judged: against the experts' levels, with bootstrap intervals over records."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from models.training.common import Indices, bootstrap_interval, figure

LEVELS = 5
URGENT = 2
"""Class indices below it are acuities 1 and 2, which raise an alert."""
CALIBRATION_BINS = 10

Levels = npt.NDArray[np.intp]
"""Class indices, 0 for acuity 1: the lower, the more urgent."""


@dataclass(frozen=True, slots=True)
class Answers:
    """A model's answers to all records: probabilities [records, 5], and the labels it publishes [records]."""

    probabilities: npt.NDArray[np.float64]
    labels: Levels

    @classmethod
    def none(cls, records: int) -> Answers:
        """Room for the answers to *records* records, to be filled fold by fold."""
        return cls(np.zeros((records, LEVELS)), np.zeros(records, np.intp))

    def put(self, places: Indices, answers: Answers) -> None:
        """Fills in the *answers* to the records at *places*."""
        self.probabilities[places] = answers.probabilities
        self.labels[places] = answers.labels

    def at(self, places: Indices) -> Answers:
        """The answers to the records at *places*."""
        return Answers(self.probabilities[places], self.labels[places])


def confusion(truth: Levels, labels: Levels) -> npt.NDArray[np.int64]:
    """Counts, [truth, label]."""
    return np.bincount(truth * LEVELS + labels, minlength=LEVELS * LEVELS).reshape(LEVELS, LEVELS)


def kappa(truth: Levels, labels: Levels) -> float:
    """Cohen's kappa with linear weights: 1 - Σ w·observed / Σ w·expected, w = |difference of levels|.

    0 for chance, 1 for full agreement. Source: Cohen, Psychological Bulletin 70(4):213, 1968.
    """
    counts = confusion(truth, labels).astype(np.float64)
    distance = np.abs(np.subtract.outer(np.arange(LEVELS), np.arange(LEVELS)))
    expected = np.outer(counts.sum(axis=1), counts.sum(axis=0)) / counts.sum()
    disagreement = float((distance * expected).sum())
    return 1 - float((distance * counts).sum()) / disagreement if disagreement else float("nan")


def log_loss(truth: Levels, probabilities: npt.NDArray[np.float64]) -> float:
    """Mean of -ln(probability of the true level), nats."""
    return float(-np.log(np.clip(probabilities[np.arange(len(truth)), truth], 1e-12, 1)).mean())


def figures(truth: Levels, repeats: Sequence[Answers], seed: int | None = None) -> dict[str, Any]:
    """Every figure of one model, the mean over *repeats* of answers to the same records.

    With a *seed*, each has its interval: records are drawn, not repeats. Undefined figures are left out.
    """
    measures: dict[str, Callable[[Levels, Answers], float]] = {
        "kappa_linear": lambda levels, answers: kappa(levels, answers.labels),
        "accuracy": lambda levels, answers: float((levels == answers.labels).mean()),
        "within_one_level": lambda levels, answers: float((abs(levels - answers.labels) <= 1).mean()),
        "urgent_recall": lambda levels, answers: _share(answers.labels < URGENT, levels < URGENT),
        "urgent_precision": lambda levels, answers: _share(levels < URGENT, answers.labels < URGENT),
        "under_triage": lambda levels, answers: float((answers.labels > levels).mean()),
        "over_triage": lambda levels, answers: float((answers.labels < levels).mean()),
        "log_loss": lambda levels, answers: log_loss(levels, answers.probabilities),
        "calibration_error": _calibration_error,
    }
    result = {}
    for name, measure in measures.items():

        def mean(chosen: Indices, measure: Callable[[Levels, Answers], float] = measure) -> float:
            return float(np.mean([measure(truth[chosen], answers.at(chosen)) for answers in repeats]))

        value = mean(np.arange(len(truth)))
        if np.isfinite(value):
            interval = None if seed is None else bootstrap_interval(mean, len(truth), seed)
            result[name] = figure(value, interval)
    return result


def _share(hits: npt.NDArray[np.bool_], among: npt.NDArray[np.bool_]) -> float:
    return float(hits[among].mean()) if among.any() else float("nan")


def _calibration_error(truth: Levels, answers: Answers) -> float:
    """Expected calibration error of the published label's probability, in equal bins (Guo et al. 2017)."""
    stated = answers.probabilities[np.arange(len(truth)), answers.labels]
    right = (truth == answers.labels).astype(np.float64)
    bins = np.minimum((stated * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    gaps = np.bincount(bins, stated - right, CALIBRATION_BINS)
    return float(np.abs(gaps).sum() / len(truth))
