"""How well a score ranks: AUROC, average precision, thresholds; fast enough to bootstrap a million rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.intp]


class Ranking:
    """Scores against yes-or-no truth, sorted once; *scores* [n] higher for more likely, *truth* [n]
    booleans.
    """

    def __init__(self, scores: npt.NDArray[Any], truth: npt.NDArray[Any]) -> None:
        self.scores = np.asarray(scores, np.float64)
        self.truth = np.asarray(truth, bool)
        self._order = np.argsort(self.scores, kind="stable")
        ordered = self.scores[self._order]
        # First row of each run of equal scores, rising.
        self._starts = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))

    def _counts(self, rows: Rows | None) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Positives and negatives at each distinct score, rising; *rows* may name a row several times."""
        size = len(self.scores)
        weight = np.ones(size) if rows is None else np.bincount(rows, minlength=size).astype(np.float64)
        weight, truth = weight[self._order], self.truth[self._order]
        positives = np.add.reduceat(weight * truth, self._starts)
        return positives, np.add.reduceat(weight, self._starts) - positives

    def auroc(self, rows: Rows | None = None) -> float:
        """Probability that a positive scores above a negative, ties half; NaN without both (Mann-Whitney)."""
        positives, negatives = self._counts(rows)
        total = positives.sum() * negatives.sum()
        if total == 0:
            return float("nan")
        below = np.cumsum(negatives) - negatives
        return float((positives * (below + negatives / 2)).sum() / total)

    def average_precision(self, rows: Rows | None = None) -> float:
        """Mean precision over the recall gained at each threshold; NaN without positives."""
        positives, negatives = self._counts(rows)
        if positives.sum() == 0:
            return float("nan")
        hits = np.cumsum(positives[::-1])
        precision = hits / np.maximum(hits + np.cumsum(negatives[::-1]), 1)
        return float((precision * positives[::-1]).sum() / positives.sum())

    def threshold_at_specificity(self, specificity: float) -> float:
        """The lowest score from which on at most 1 - *specificity* of the negatives stand."""
        negatives = np.sort(self.scores[~self.truth])
        allowed = int((1 - specificity) * len(negatives))
        limit = negatives[len(negatives) - allowed - 1]
        above = self.scores[self.scores > limit]
        return float(above.min()) if len(above) else float(np.nextafter(limit, np.inf))

    def balanced_threshold(self) -> float:
        """The score from which on sensitivity plus specificity are highest (Youden 1950)."""
        positives, negatives = self._counts(None)
        caught = np.cumsum(positives[::-1])[::-1] / max(1.0, positives.sum())
        spared = 1 - np.cumsum(negatives[::-1])[::-1] / max(1.0, negatives.sum())
        best = int(np.argmax(caught + spared))
        return float(self.scores[self._order[self._starts[best]]])

    def at(self, threshold: float, rows: Rows | None = None) -> dict[str, float]:
        """Sensitivity, specificity and positive predictive value when *threshold* and above says yes."""
        chosen = slice(None) if rows is None else rows
        said, truth = self.scores[chosen] >= threshold, self.truth[chosen]
        hits, alarms = float((said & truth).sum()), float(said.sum())
        negatives = float((~truth).sum())
        return {
            "sensitivity": hits / max(1.0, float(truth.sum())),
            "specificity": 1 - (alarms - hits) / max(1.0, negatives),
            "ppv": hits / max(1.0, alarms),
        }
