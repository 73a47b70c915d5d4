"""What the trainings of `models.tabular` bundles share: the split, the fit, the export, the calibration.

Keras and scikit-learn are imported inside the functions that need them. Nothing here knows a task.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from models.bundle import Bundle
from models.runtime import dequantised, open_model, quantised
from models.tabular import Scaler, TabularModel
from models.training.common import to_tflite

Vectors = npt.NDArray[np.float32]
Flags = npt.NDArray[np.bool_]

TRAIN_SHARE, VALIDATION_SHARE = 0.6, 0.15
"""Of the groups; the rest is held out and only ever scored."""
CLIP = 5.0
"""Standardised features are cut at five standard deviations: an int8 step is then 0.04 of one."""
CALIBRATION_ROWS = 2000
"""Training rows shown to the int8 converter."""
LOGIT_LIMIT = 6.0
"""Largest logit, either way, of those rows: a probability of 0.9975."""
SCORE_CHUNK = 8192
"""Rows invoked at once when a whole set is scored."""


@dataclass(frozen=True, slots=True)
class Split:
    """Row masks, [n] booleans, by whole groups."""

    train: Flags
    validation: Flags
    test: Flags


def split(groups: Sequence[str], seed: int) -> Split:
    """A split of rows by *groups*, a group name for each row: the same name and seed always fall the same
    way.
    """
    place = {group: _place(group, seed) for group in set(groups)}
    places = np.array([place[group] for group in groups])
    train = places < TRAIN_SHARE
    validation = ~train & (places < TRAIN_SHARE + VALIDATION_SHARE)
    return Split(train, validation, ~train & ~validation)


def _place(group: str, seed: int) -> float:
    """A number in [0, 1) that only name and seed decide."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{group}".encode()).digest()[:8], "big") / 2**64


def uncalibrated(names: Sequence[str], features: Vectors) -> Scaler:
    """A scaler of *features*, [n, F] with NaN where missing, whose calibration changes nothing yet."""
    mean = np.asarray(np.nanmean(features, axis=0, dtype=np.float64))
    std = np.asarray(np.nanstd(features, axis=0, dtype=np.float64))
    return Scaler(
        features=tuple(names),
        mean=tuple(float(f"{value:.8g}") for value in mean),
        std=tuple(float(f"{value:.8g}") if value > 1e-6 else 1.0 for value in std),
        clip=CLIP,
        slope=1.0,
        intercept=0.0,
    )


def fit(
    inputs: Vectors,
    truth: Flags,
    *,
    hidden: Sequence[int],
    epochs: int,
    batch: int,
    dropout: float,
    seed: int,
    rising: npt.NDArray[np.float32] | None = None,
) -> Any:
    """A Keras network from standardised *inputs*, [n, F], to one logit of *truth*, [n].

    AdamW with a cosine decay over all steps, binary cross-entropy, no early stop: the same seed and data give
    the same network. *rising*, [F] of 1 and -1, makes the logit rise (fall) with each input and never turn.
    """
    import keras

    keras.utils.set_random_seed(seed)
    first = later = None
    if rising is not None:
        signs = rising[:, None]
        later = keras.constraints.NonNeg()

        class Signed(keras.constraints.Constraint):  # type: ignore[misc]  # Keras ships no types
            """Weights of the first layer have their input's sign."""

            def __call__(self, w: Any) -> Any:
                return keras.ops.relu(w * signs) * signs

        first = Signed()
    layers: list[Any] = [keras.Input((inputs.shape[1],), name="features")]
    for units in hidden:
        constraint = first if len(layers) == 1 else later
        layers.append(keras.layers.Dense(units, activation="relu", kernel_constraint=constraint))
        layers.append(keras.layers.Dropout(dropout))
    network = keras.Sequential([*layers, keras.layers.Dense(1, name="logit", kernel_constraint=later)])
    steps = epochs * -(-len(inputs) // batch)
    network.compile(
        keras.optimizers.AdamW(keras.optimizers.schedules.CosineDecay(3e-3, steps), weight_decay=1e-3),
        keras.losses.BinaryCrossentropy(from_logits=True),
    )
    network.fit(
        inputs,
        truth.astype(np.float32),
        batch_size=batch,
        epochs=epochs,
        verbose=0,
    )
    return network


def exported(network: Any, inputs: Vectors, seed: int) -> dict[str, bytes]:
    """*network* as TFLite, `float32` and `int8`; the int8 ranges come from a sample of *inputs*, [n, F].

    Only rows whose logit is within ±`LOGIT_LIMIT` are in the sample: a few extreme ones would stretch the
    ranges until the steps near the thresholds are coarse. Beyond, int8 saturates, which changes no decision.
    """
    drawn = np.random.default_rng(seed).permutation(len(inputs))[: 2 * CALIBRATION_ROWS]
    sample = inputs[drawn]
    moderate = np.abs(network.predict(sample, verbose=0)[:, 0]) <= LOGIT_LIMIT
    examples = [[row[None, :]] for row in sample[moderate][:CALIBRATION_ROWS]]
    return {"float32": to_tflite(network, "float32"), "int8": to_tflite(network, "int8", examples)}


def logits(content: bytes, inputs: Vectors) -> npt.NDArray[np.float64]:
    """What the TFLite model *content* answers to standardised *inputs*, [n, F]: its logits, [n]."""
    model = open_model(content)
    answers = [
        dequantised(
            model.invoke(quantised(inputs[start : start + SCORE_CHUNK], model.inputs[0]))[0], model.outputs[0]
        )
        for start in range(0, len(inputs), SCORE_CHUNK)
    ]
    return np.concatenate(answers)[:, 0].astype(np.float64)


def calibrated(scaler: Scaler, raw: npt.NDArray[np.float64], truth: Flags) -> Scaler:
    """*scaler* with slope and intercept that make logits *raw*, [n], probabilities of *truth* (Platt
    1999).
    """
    from sklearn.linear_model import LogisticRegression

    line = LogisticRegression(C=1e6).fit(raw[:, None], truth)
    slope, intercept = float(line.coef_[0, 0]), float(line.intercept_[0])
    return scaler.model_copy(update={"slope": float(f"{slope:.8g}"), "intercept": float(f"{intercept:.8g}")})


def probabilities(scaler: Scaler, raw: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The published probability of every logit of *raw*, [n]."""
    unique, back = np.unique(raw, return_inverse=True)  # int8 logits are few
    return np.array([scaler.probability(float(logit)) for logit in unique])[back]


def scaler_of(bundle: Bundle, names: Sequence[str]) -> Scaler:
    """The scaler of *bundle*; ModelRefused unless it is one over the features *names*."""
    return TabularModel(bundle, names).scaler


def scaler_file(scaler: Scaler) -> bytes:
    """Content of `scaler.json`, the same bytes for the same scaler."""
    return (json.dumps(scaler.model_dump(mode="json"), sort_keys=True, indent=1) + "\n").encode()


Report = Callable[[str], None]
"""Where a training says, in a line, what it is doing."""
