"""How the log-line model is judged: against labels of lines, with bootstrap intervals over templates."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from models.training.common import Indices, bootstrap_interval, figure

Flags = npt.NDArray[np.bool_]
Templates = npt.NDArray[np.str_]


def figures(truth: Flags, labels: Flags, templates: Templates, seed: int) -> dict[str, Any]:
    """Macro-F1 and what stands behind it; whole templates are drawn, as their lines are copies of each other.

    Figures that are undefined, such as the precision of a model that never alerts, are left out.
    """
    measures: dict[str, Callable[[Flags, Flags], float]] = {
        "macro_f1": lambda true, said: (_f1(true, said) + _f1(~true, ~said)) / 2,
        "accuracy": lambda true, said: float((true == said).mean()),
        "alert_recall": lambda true, said: _share(said, true),
        "alert_precision": lambda true, said: _share(true, said),
        "false_alert_rate": lambda true, said: _share(said, ~true),
    }
    result = {}
    for name, measure in measures.items():

        def chosen(rows: Indices, measure: Callable[[Flags, Flags], float] = measure) -> float:
            return measure(truth[rows], labels[rows])

        value = chosen(np.arange(len(truth)))
        if np.isfinite(value):
            result[name] = figure(value, bootstrap_interval(chosen, templates, seed))
    return result


def auroc(truth: Flags, scores: npt.NDArray[np.float64]) -> float:
    """How likely an alert's score is above a normal line's; ties are halves (Hanley and McNeil 1982)."""
    ordered = np.sort(scores)
    ranks = (np.searchsorted(ordered, scores, "left") + np.searchsorted(ordered, scores, "right") + 1) / 2
    alerts = int(truth.sum())
    return float((ranks[truth].sum() - alerts * (alerts + 1) / 2) / (alerts * (len(truth) - alerts)))


def _f1(truth: Flags, labels: Flags) -> float:
    hits = int((truth & labels).sum())
    return 2 * hits / (int(truth.sum()) + int(labels.sum())) if hits else 0.0


def _share(hits: Flags, among: Flags) -> float:
    return float(hits[among].mean()) if among.any() else float("nan")
