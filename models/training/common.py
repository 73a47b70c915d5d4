"""What every training shares: seeds, export to TFLite, intervals, and the words of a manifest and a card.

TensorFlow and Keras are imported inside the functions that need them: importing this module costs nothing.
Nothing here knows a task.
"""

from __future__ import annotations

import contextlib
import io
import os
import platform
import random
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import import_module, metadata
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from models.errors import UsageError
from models.text import TextSpec, hashed

ExportMode = Literal["float32", "dynamic", "int8"]
EXPORT_MODES: tuple[ExportMode, ...] = get_args(ExportMode)
Example = list[npt.NDArray[Any]] | dict[str, npt.NDArray[Any]]
Indices = npt.NDArray[np.intp]

CONFIDENCE = 0.95
"""Of every interval that a card or a manifest shows."""

LIBRARIES = ("numpy", "scikit-learn", "keras", "tensorflow-cpu")


def seed_everything(seed: int) -> None:
    """Makes a training repeatable: seeds Python, numpy and TensorFlow, and asks for deterministic kernels.

    Raises UsageError where a library that training needs is not installed.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # the converter is talkative below it
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")  # its kernels round by the processor they run on
    try:
        import keras
        import sklearn  # noqa: F401  asked for here, so that a training fails at its start or not at all
        import tensorflow as tf

        threads = import_module("threadpoolctl")  # scikit-learn's own dependency; it ships no types
    except ModuleNotFoundError as exc:
        raise UsageError(f"Training needs {exc.name}: pip install 'edgeward[train]'.") from exc

    # On matrices this small the threads of BLAS and OpenMP wait for each other: 30 s a fold instead of 5.
    threads.threadpool_limits(limits=1)
    random.seed(seed)
    np.random.seed(seed)  # libraries that take no generator read the global state
    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()


def to_tflite(
    keras_model: Any,
    mode: ExportMode,
    calibration: Iterable[Example] | None = None,
    *,
    float_edges: bool = False,
) -> bytes:
    """A Keras model as the bytes of a TFLite file that both ai-edge-litert 2 and tflite-runtime 2.14 load.

    *mode*: `float32` changes nothing; `dynamic` keeps weights as int8, one scale a tensor (tflite-runtime
    refuses the per-channel form that TensorFlow 2.21 writes for dense layers); `int8` computes in int8 and
    needs *calibration*: arrays with leading axis 1, in a list for one input, by name for several (their order
    in the file is the converter's own). Float inputs and outputs become int8 too, unless *float_edges*;
    integer inputs stay as they are.
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
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        # Both warnings come with every int8 export. Keras prints what it exports; stdout is for results.
        warnings.filterwarnings("ignore", message="Statistics for quantized inputs were expected")
        warnings.filterwarnings("ignore", message=r"\s*Warning: tf.lite.Interpreter is deprecated")
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


def bag_graph(
    table: npt.NDArray[np.float32],
    details: npt.NDArray[np.float32] | None,
    bias: npt.NDArray[np.float32],
    features: int,
) -> Any:
    """A linear classifier over hashed text as a Keras model, inputs and outputs as `models.bag` wants them.

    *table* is [rows, classes] and its row 0 is zero, for empty places; *details*, [length, classes], weighs a
    vector that comes beside the text, None for a model without; *bias* is [classes]. Out come logits:
    weight · Σ table[rows] + details · vector + bias.
    """
    import keras

    rows = keras.Input((features,), name="rows", dtype="int32")
    weight = keras.Input((1,), name="weight")
    lookup = keras.layers.Embedding(*table.shape, name="table")
    inputs = [rows, weight]
    logits = keras.ops.sum(lookup(rows), axis=1) * weight
    if details is None:
        logits = logits + bias
    else:
        vector = keras.Input((details.shape[0],), name="details")
        dense = keras.layers.Dense(details.shape[1], name="beside")
        inputs.append(vector)
        logits = logits + dense(vector)
    model = keras.Model(inputs, logits)
    lookup.set_weights([table])
    if details is not None:
        dense.set_weights([details, bias])
    return model


def bag_matrix(texts: Sequence[str], spec: TextSpec) -> Any:
    """*texts* as a scipy sparse matrix [texts, 1 + buckets]: the weight of each text at its rows."""
    from scipy import sparse

    starts, columns, values = [0], [], []
    for text in texts:
        rows, weight = hashed(text, spec)
        used = rows[rows > 0]
        columns.append(used)
        values.append(np.full(len(used), weight))
        starts.append(starts[-1] + len(used))
    shape = (len(texts), 1 + spec.buckets)
    return sparse.csr_array((np.concatenate(values), np.concatenate(columns), starts), shape=shape)
