"""Notes' acuity against the truth: a confusion matrix and what follows from it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from simulators.truth import NoteTruth

LEVELS = 5
"""Acuity 1 (resuscitation) to 5 (non-urgent)."""
URGENT = 2
"""An acuity up to this one needs somebody within minutes (ESI and KTAS levels 1 and 2)."""

Matrix = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class NotesScore:
    """How the notes of a run were answered. *matrix* counts true acuity (rows) by label (columns)."""

    matrix: Matrix
    declined: int = 0
    """The agent abstained."""
    unanswered: int = 0
    """No answer in the recording: the note was lost, rejected, or the gateway was not there."""

    def __add__(self, other: NotesScore) -> NotesScore:
        """Both together."""
        return NotesScore(
            self.matrix + other.matrix, self.declined + other.declined, self.unanswered + other.unanswered
        )

    @property
    def answered(self) -> int:
        """Notes with a label."""
        return int(self.matrix.sum())

    @property
    def total(self) -> int:
        """All notes whose true acuity is known."""
        return self.answered + self.declined + self.unanswered

    @property
    def agreement(self) -> float | None:
        """Share of the answered ones with the true acuity."""
        return self._share(int(np.trace(self.matrix)), self.answered)

    @property
    def urgent_found(self) -> float | None:
        """Share of the answered notes of acuity 1-2 that were labelled 1-2."""
        return self._share(int(self.matrix[:URGENT, :URGENT].sum()), int(self.matrix[:URGENT].sum()))

    @property
    def urgent_right(self) -> float | None:
        """Share of those labelled 1-2 that are."""
        return self._share(int(self.matrix[:URGENT, :URGENT].sum()), int(self.matrix[:, :URGENT].sum()))

    @property
    def kappa(self) -> float | None:
        """Weighted kappa, linear weights; None where it is not defined."""
        return linear_kappa(self.matrix)

    @staticmethod
    def _share(part: int, whole: int) -> float | None:
        return part / whole if whole else None


def score_notes(truth: Sequence[NoteTruth], labels: Mapping[tuple[str, str], str | None]) -> NotesScore:
    """The notes of *truth* against *labels*, by device and id; an answer to no known note is left aside."""
    matrix = np.zeros((LEVELS, LEVELS), np.int64)
    declined = unanswered = 0
    known = {str(level): level for level in range(1, LEVELS + 1)}
    for note in truth:
        label = labels.get((note.device, note.id), "")
        if label is None:
            declined += 1
        elif label in known:
            matrix[note.acuity - 1, known[label] - 1] += 1
        else:
            unanswered += 1
    return NotesScore(matrix, declined, unanswered)


def linear_kappa(matrix: Matrix) -> float | None:
    """Cohen's kappa with linear weights: 1 - Σ w·observed / Σ w·expected, where w = |row - column|.

    Expected is the product of the margins over the number of cases. 1 is full agreement, 0 is chance. None
    for no cases, or where chance alone never disagrees. Source: J. Cohen, Weighted kappa, Psychological
    Bulletin 70 (1968) 213-220; the linear weights are Cicchetti and Allison's (1971).
    """
    cases = matrix.sum()
    if not cases:
        return None
    levels = np.arange(len(matrix))
    weights = np.abs(levels[:, None] - levels[None, :])
    expected = np.outer(matrix.sum(1), matrix.sum(0)) / cases
    chance = float((weights * expected).sum())
    return 1 - float((weights * matrix).sum()) / chance if chance else None
