"""A small network over one vector of named numbers: standardise, invoke, calibrate. It knows no task.

The bundle's `scaler.json` holds what stands between features and tensor: each feature's name, mean and
standard deviation in training, the clip, and the calibration from the network's logit to a probability. A
feature that is missing (NaN) stands at its mean, that is at 0.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from models.bundle import Bundle
from models.errors import ModelRefused
from models.runtime import dequantised, open_model, quantised

SCALER = "scaler.json"
"""The file's name in a bundle."""

PROBABILITY_DECIMALS = 6
"""As published; labels are decided on the rounded number, so that label and number always agree."""


class Scaler(BaseModel):
    """Content of `scaler.json`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    features: tuple[str, ...] = Field(min_length=1)
    mean: tuple[float, ...]
    std: tuple[float, ...]
    clip: float = Field(gt=0)
    """Standardised features are cut to ±*clip*, which also bounds the int8 tensor's range."""
    slope: float
    intercept: float
    """Platt calibration: probability = 1 / (1 + exp(-(slope × logit + intercept)))."""

    def standardised(self, features: np.ndarray) -> np.ndarray:
        """*features*, float [n, F], as the network takes them: float32 [n, F], within ±clip, without NaN."""
        mean, std = np.asarray(self.mean, np.float32), np.asarray(self.std, np.float32)
        scaled = np.clip((np.asarray(features, np.float32) - mean) / std, -self.clip, self.clip)
        filled: np.ndarray = np.nan_to_num(scaled, nan=0.0).astype(np.float32)
        return filled

    def probability(self, logit: float) -> float:
        """The calibrated probability of one logit, rounded as published."""
        # One number at a time: numpy's vector exp may differ from its scalar one in the last bit.
        exponent = max(-60.0, min(60.0, self.slope * logit + self.intercept))
        return round(1 / (1 + math.exp(-exponent)), PROBABILITY_DECIMALS)


class TabularModel:
    """A bundle's network with its scaler. It belongs to the thread that uses it.

    *names* are the features that the caller computes, in its order. Raises ModelRefused when the bundle's
    scaler is none, names other features, or the network takes another number of them; RuntimeMissing as
    `open_model` does.
    """

    def __init__(self, bundle: Bundle, names: Sequence[str], *, runtime: str | None = None) -> None:
        try:
            self.scaler = Scaler.model_validate(json.loads(bundle.files[SCALER]))
        except (KeyError, ValueError, ValidationError) as exc:
            raise ModelRefused(f"bundle {bundle.name} has no readable {SCALER}") from exc
        size = len(names)
        if self.scaler.features != tuple(names):
            raise ModelRefused(
                f"bundle {bundle.name} was trained on other features than this version computes"
            )
        if len(self.scaler.mean) != size or len(self.scaler.std) != size or min(self.scaler.std) <= 0:
            raise ModelRefused(f"bundle {bundle.name} has a {SCALER} whose lists don't match")
        self._model = open_model(bundle.files["model.tflite"], runtime=runtime)
        self.backend = self._model.backend
        shapes = [tensor.shape for tensor in (*self._model.inputs, *self._model.outputs)]
        if shapes != [(1, size), (1, 1)]:
            raise ModelRefused(f"bundle {bundle.name} has a network of shapes {shapes}, not {size} to 1")

    def probabilities(self, features: Sequence[np.ndarray]) -> list[float]:
        """One calibrated probability for each vector of *features* (float32 [F] each), rounded."""
        if not features:
            return []
        taken, given = self._model.inputs[0], self._model.outputs[0]
        (raw,) = self._model.invoke(quantised(self.scaler.standardised(np.stack(features)), taken))
        return [self.scaler.probability(float(logit)) for logit in dequantised(raw, given)[:, 0]]


def thresholds(bundle: Bundle) -> tuple[float, float, float]:
    """The bundle's thresholds `label`, `on`, `off`; ModelRefused where one is absent or off is above on."""
    given = bundle.manifest.thresholds
    try:
        label, on, off = given["label"], given["on"], given["off"]
    except KeyError as exc:
        raise ModelRefused(f"bundle {bundle.name} lacks the threshold {exc.args[0]!r}") from exc
    if off > on:
        raise ModelRefused(f"bundle {bundle.name} has its threshold 'off' above 'on'")
    return label, on, off
