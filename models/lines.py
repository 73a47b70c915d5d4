"""The log-line model: one line of any log to `normal` or `alert`; training and serving both come through
here.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from models.bag import BagModel
from models.bundle import Bundle
from models.errors import ModelRefused
from models.scored import Scored
from models.text import TextSpec

FEATURES_FILE = "features.json"
"""The bundle's file with the text's specification."""
NORMAL, ALERT = "normal", "alert"
LABELS = (NORMAL, ALERT)
THRESHOLD = "label"
"""The manifest's threshold at which a line becomes an alert, a probability."""


class LineClassifier:
    """Log lines to labels, by one bundle. Belongs to one thread, as its interpreter does."""

    def __init__(self, bundle: Bundle, *, runtime: str | None = None) -> None:
        """Opens *bundle*'s model. Raises ModelRefused when its parts don't fit each other."""
        if bundle.manifest.labels != LABELS or THRESHOLD not in bundle.manifest.thresholds:
            raise ModelRefused(f"bundle {bundle.name} has other labels or thresholds than a log-line model")
        self._threshold = bundle.manifest.thresholds[THRESHOLD]
        self._model = BagModel(bundle, _spec(bundle), runtime=runtime)

    @property
    def backend(self) -> str:
        """The runtime in use, by name and version."""
        return self._model.backend

    def classify(self, lines: Sequence[str]) -> list[Scored]:
        """One answer a line, in order; the same for a line alone as among others.

        `scores` holds the probabilities of both labels. A line is an alert from the manifest's threshold on.
        """
        return [
            Scored(
                ALERT if alert >= self._threshold else NORMAL,
                alert if alert >= self._threshold else normal,
                {NORMAL: normal, ALERT: alert},
            )
            for normal, alert in (row.tolist() for row in self._model.probabilities(lines))
        ]


def features_json(spec: TextSpec) -> bytes:
    """The content of `features.json`."""
    return (json.dumps({"text": {name: getattr(spec, name) for name in TextSpec.__slots__}}) + "\n").encode()


def _spec(bundle: Bundle) -> TextSpec:
    try:
        return TextSpec(**json.loads(bundle.files[FEATURES_FILE])["text"])
    except (ValueError, KeyError, TypeError) as exc:
        raise ModelRefused(f"bundle {bundle.name} has no valid {FEATURES_FILE}") from exc
