"""A model over hashed text: its inputs in the model's own order, one invoke for many texts, probabilities
out.

Shared by `models.notes` and `models.lines`; it knows no task.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from models.bundle import MODEL, Bundle
from models.errors import ModelRefused
from models.runtime import dequantised, open_model, quantised
from models.text import TextSpec, hashed


class BagModel:
    """The model of a bundle that takes rows of hashed text, their weight, and perhaps a vector of details."""

    def __init__(self, bundle: Bundle, text: TextSpec, details: int = 0, runtime: str | None = None) -> None:
        """Opens the model. *details* is the length of the vector of details, 0 for a model without.

        Raises ModelRefused when the model's tensors are not these, RuntimeMissing when no runtime is usable.
        """
        self._text = text
        self._labels = bundle.manifest.labels
        self._model = open_model(bundle.files[MODEL], runtime=runtime)
        wanted = {"rows": (1, text.features), "weight": (1, 1)} | (
            {"details": (1, details)} if details else {}
        )
        found = {
            name: place
            for place, tensor in enumerate(self._model.inputs)
            for name, shape in wanted.items()
            if tensor.shape == shape and (tensor.dtype.kind == "i" and not tensor.scale) == (name == "rows")
        }
        answers = [tensor.shape for tensor in self._model.outputs]
        if found.keys() != wanted.keys() or answers != [(1, len(self._labels))]:
            raise ModelRefused(
                f"the model of bundle {bundle.name} takes or gives other tensors than its kind"
            )
        self._names = sorted(found, key=lambda name: found[name])

    @property
    def backend(self) -> str:
        """The runtime in use, by name and version."""
        return self._model.backend

    def probabilities(
        self, texts: Sequence[str], details: npt.NDArray[np.float32] | None = None
    ) -> list[npt.NDArray[np.float64]]:
        """For each text, with its row of *details*, the probability of each label; they sum to 1."""
        if not texts:
            return []
        bags = [hashed(text, self._text) for text in texts]
        given: dict[str, npt.NDArray[np.generic]] = {
            "rows": np.stack([rows for rows, _ in bags]),
            "weight": np.array([[weight] for _, weight in bags], np.float32),
        }
        if details is not None:
            given["details"] = details
        ordered = [
            given[name] if name == "rows" else quantised(given[name], tensor)
            for name, tensor in zip(self._names, self._model.inputs, strict=True)
        ]
        (raw,) = self._model.invoke(*ordered)
        # One row at a time: numpy may sum a row among others in another order than a row alone.
        return [_softmax(row) for row in dequantised(raw, self._model.outputs[0]).astype(np.float64)]


def _softmax(logits: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    powers = np.exp(logits - logits.max())
    return np.asarray(powers / powers.sum())
