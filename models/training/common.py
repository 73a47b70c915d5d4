"""What every training shares: seeds, export to TFLite, intervals, and the words of a manifest and a card.

TensorFlow and Keras are imported inside the functions that need them: importing this module costs nothing.
Nothing here knows a task.
"""

from __future__ import annotations

import os
import platform
import random
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import metadata
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

ExportMode = Literal["float32", "dynamic", "int8"]
Indices = npt.NDArray[np.intp]

CONFIDENCE = 0.95
"""Of every interval that a card or a manifest shows."""

LIBRARIES = ("numpy", "scikit-learn", "keras", "tensorflow-cpu")


def seed_everything(seed: int) -> None:
    """Makes a training repeatable: seeds Python, numpy and TensorFlow, and asks for deterministic kernels."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # the converter is talkative below it
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")  # its kernels round by the processor they run on
    import keras
    import tensorflow as tf

    random.seed(seed)
    np.random.seed(seed)  # libraries that take no generator read the global state
    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()


def to_tflite(
    keras_model: Any,
    mode: ExportMode,
    calibration: Iterable[list[npt.NDArray[Any]]] | None = None,
    *,
    float_edges: bool = False,
) -> bytes:
    """A Keras model as the bytes of a TFLite file that both ai-edge-litert 2 and tflite-runtime 2.14 load.

    *mode*: `float32` changes nothing; `dynamic` keeps weights as int8, one scale a tensor (tflite-runtime
    refuses the per-channel form that TensorFlow 2.21 writes for dense layers); `int8` computes in int8 and needs
    *calibration*: lists of one array for each input, leading axis 1. Inputs and outputs of float type become
    int8 too, unless *float_edges*; integer inputs stay as they are.
    Raises ValueError for `int8` without calibration.
    """
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_keras_model(keras_model)
    if mode != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter._experimental_disable_per_channel_quantization_for_dense_layers = True
    if mode == "int8":
        if calibration is None:
            raise ValueError("int8 export needs calibration inputs")
        examples = list(calibration)
        converter.representative_dataset = lambda: iter(examples)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        if not float_edges:
            converter.inference_input_type = tf.int8
            converter.inference_output_type = tf.int8
    with warnings.catch_warnings():
        # Said of every int8 export, whatever its calibration.
        warnings.filterwarnings("ignore", message="Statistics for quantized inputs were expected")
        return bytes(converter.convert())


def bootstrap_interval(
    stat: Callable[[Indices], float],
    n_or_groups: int | Sequence[Any] | npt.NDArray[Any],
    seed: int,
    repeats: int = 1000,
) -> tuple[float, float]:
    """The percentile bootstrap interval of *stat*, a function of row indices, at `CONFIDENCE`.

    *n_or_groups* is a number of rows, each drawn alone, or a group for each row (patients, templates): then
    whole groups are drawn, as rows of one group are not independent. Draws for which *stat* is NaN (an AUROC
    without both classes) are left out. Source: Efron and Tibshirani, An Introduction to the Bootstrap, 1993.
    """
    generator = np.random.default_rng(seed)
    if isinstance(n_or_groups, int):
        members: list[Indices] | None = None
        count = n_or_groups
    else:
        _, group_of = np.unique(np.asarray(n_or_groups), return_inverse=True)
        order = np.argsort(group_of, kind="stable")
        members = np.split(order, np.flatnonzero(np.diff(group_of[order])) + 1)
        count = len(members)
    drawn = np.empty(repeats)
    for repeat in range(repeats):
        choice = generator.integers(0, count, count)
        rows = choice if members is None else np.concatenate([members[group] for group in choice])
        drawn[repeat] = stat(rows)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.nanquantile(drawn, [tail, 1 - tail])
    return float(low), float(high)


def library_versions() -> dict[str, str]:
    """Name to version of what a training computes with; a library that is not installed is left out."""
    versions = {"python": platform.python_version()}
    for library in LIBRARIES:
        try:
            versions[library] = metadata.version(library)
        except metadata.PackageNotFoundError:
            continue
    return versions


def trained_with(task: str, seed: int) -> dict[str, str]:
    """The manifest's `trained_with`: the command that makes the bundle again, its seed and the libraries."""
    return {
        "command": f"edgeward models train {task} --seed {seed}",
        "seed": str(seed),
        **library_versions(),
    }


def figure(value: float, interval: tuple[float, float] | None = None, digits: int = 4) -> dict[str, Any]:
    """One metric for a manifest: the value and, where it was measured, its interval, rounded."""
    rounded: dict[str, Any] = {"value": round(float(value), digits)}
    if interval is not None:
        rounded["interval"] = [round(float(end), digits) for end in interval]
    return rounded


def table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A Markdown table; figures made by `figure` are written as `0.583 (0.552 to 0.613)`."""
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(_cell(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines)


def _cell(cell: Any) -> str:
    if isinstance(cell, Mapping) and "value" in cell:
        text = f"{cell['value']:.3f}"
        if "interval" in cell:
            low, high = cell["interval"]
            text += f" ({low:.3f} to {high:.3f})"
        return text
    return f"{cell:.3f}" if isinstance(cell, float) else str(cell)


def card(title: str, sections: Mapping[str, str]) -> bytes:
    """A bundle's `card.md`: a title and its sections in order, UTF-8, one newline at the end."""
    parts = [f"# {title}"] + [f"## {head}\n\n{text.strip()}" for head, text in sections.items()]
    return ("\n\n".join(parts) + "\n").encode()
