"""The one place that touches a TFLite runtime: choose it, open a model's bytes, invoke, explain failures.

Two backends stand behind one adapter. `ai-edge-litert` is maintained; `tflite-runtime` 2.14 is frozen, needs
numpy 1, and is the only one with wheels for 32-bit ARM. Their numbers agree to a few quantisation steps, not
to the bit, so a result that is compared names its backend.

`open_model` trusts its bytes. A damaged file can load and answer differently under either backend, and
crashes `tflite-runtime`: hash first and open the very bytes that were hashed, as `models.bundle` does.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module, metadata
from typing import Any, Final

import numpy as np

from models.errors import InputRefused, ModelRefused, RuntimeMissing
from models.native_stderr import without_delegate_notice

RUNTIME_VARIABLE: Final = "EDGEWARD_RUNTIME"
"""The environment variable that chooses the backend."""

_MODULES: Final[Mapping[str, str]] = {
    "ai-edge-litert": "ai_edge_litert.interpreter",
    "tflite-runtime": "tflite_runtime.interpreter",
}
"""Backend (its distribution's name) to the module with its `Interpreter`, in the order they are tried."""

RUNTIMES: Final = tuple(_MODULES)
"""The names that `EDGEWARD_RUNTIME` and `open_model` take."""

NOT_RUNNABLE: Final = "the model can't compute an answer to this input"
"""The reason when a runtime fails on the values of an input."""

NOT_FINITE: Final = "not a finite number"
"""The reason when a value has no raw form."""

_IDENTIFIER: Final = b"TFL3"
"""Bytes 4 to 8 of every TFLite flatbuffer (TensorFlow, `schema.fbs`, `file_identifier`)."""

_THREADS: Final = 1
"""Threads per interpreter; a second one makes small models slower (5.4 → 16.9 µs, autoencoder int8)."""

_NATIVE_MESSAGE_LIMIT: Final = 200
"""Characters kept of a runtime's own message; some repeat one sentence for each tensor."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """What one input or output of a model is."""

    name: str
    shape: tuple[int, ...]
    """As stored in the file, where the leading axis of a batch is 1."""
    dtype: np.dtype[Any]
    scale: float
    """Real value of one step; 0.0 where the tensor is not quantised."""
    zero_point: int
    """The raw value that stands for 0.0."""


class TfliteModel:
    """One model, ready to answer. It belongs to the thread that uses it; a second thread opens its own."""

    backend: str
    """The runtime and its version, such as `ai-edge-litert 2.3.0`."""
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]

    def __init__(self, content: bytes, interpreter_type: Any, backend: str) -> None:
        """Raises ModelRefused when the runtime can't run *content*; prefer `open_model`."""
        self.backend = backend
        self._content = content
        self._interpreter_type = interpreter_type
        self._single = self._open()
        self._batch: _Prepared | None = None
        self.inputs = self._single.inputs
        self.outputs = self._single.outputs
        # None until the first batch has shown whether the model's rows are independent of each other.
        self._batches: bool | None = None if self._has_leading_one else False

    def invoke(self, *inputs: np.ndarray) -> tuple[np.ndarray, ...]:
        """Answers to *inputs*, one array per model input, in raw dtypes (see `quantised`).

        An input has the tensor's shape, or the same shape with n rows on the leading axis where that is 1;
        then all have n rows, and so have the outputs. Every row is answered as if it were alone: a model's
        state is reset before each, and a model whose rows would influence each other goes one by one.
        String tensors take `bytes`: dtype object, or `S`, which drops zero bytes at the end.

        Raises ModelRefused when number, dtype or shape of *inputs* don't suit the model, and InputRefused
        when the runtime fails on the values (an id beyond a table); the model can be used again after both.
        """
        rows = self._rows(inputs)
        if rows is None:
            return self._one(inputs)
        if rows == 0:
            return tuple(np.empty((0, *tensor.shape[1:]), tensor.dtype) for tensor in self.outputs)
        if rows == 1:
            return self._one(inputs)
        if self._batches is False:
            return self._one_by_one(inputs, rows)
        if self._batches is None:
            return self._first_batch(inputs, rows)
        return self._together(inputs, rows)

    @property
    def _has_leading_one(self) -> bool:
        tensors = (*self.inputs, *self.outputs)
        return not self._single.keeps_resources and all(t.shape[:1] == (1,) for t in tensors)

    def _rows(self, inputs: tuple[np.ndarray, ...]) -> int | None:
        """How many rows *inputs* hold; None when the model's inputs have no axis for rows."""
        if len(inputs) != len(self.inputs):
            raise ModelRefused(f"the model takes {len(self.inputs)} inputs and was given {len(inputs)}")
        rows: int | None = None
        for given, tensor in zip(inputs, self.inputs, strict=True):
            same_type = given.dtype == tensor.dtype or (tensor.dtype.kind == "S" and given.dtype.kind in "SO")
            leading_one = tensor.shape[:1] == (1,)
            same_shape = given.shape == tensor.shape or (
                leading_one and given.ndim == len(tensor.shape) and given.shape[1:] == tensor.shape[1:]
            )
            if not (same_type and same_shape):
                raise ModelRefused(
                    f"the model's input {tensor.name!r} is {tensor.dtype} {tensor.shape} "
                    f"and was given {given.dtype} {given.shape}"
                )
            if leading_one:
                if rows not in (None, given.shape[0]):
                    raise ModelRefused("the model's inputs were given different numbers of rows")
                rows = given.shape[0]
        if rows is not None and rows != 1 and any(tensor.shape[:1] != (1,) for tensor in self.inputs):
            raise ModelRefused("the model has an input without rows and can't be given several")
        return rows

    def _open(self) -> _Prepared:
        try:
            return _Prepared(self._interpreter_type(model_content=self._content, num_threads=_THREADS))
        except (ValueError, RuntimeError, SystemError) as exc:
            raise ModelRefused(_why_refused(str(exc), self.backend)) from exc

    def _one(self, inputs: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
        if self._single.keeps_resources and self._single.invoked:
            # Resource variables (VAR_HANDLE…) outlive reset_all_variables and allocate_tensors under both
            # backends: only a new interpreter starts afresh (0.1 to 0.25 ms for the wake-word models).
            self._single = self._open()
        return self._run(self._single, inputs)

    def _one_by_one(self, inputs: tuple[np.ndarray, ...], rows: int) -> tuple[np.ndarray, ...]:
        answers = [self._one(tuple(given[row : row + 1] for given in inputs)) for row in range(rows)]
        if all(tensor.shape[:1] == (1,) for tensor in self.outputs):
            return tuple(np.concatenate(parts) for parts in zip(*answers, strict=True))
        return tuple(np.stack(parts) for parts in zip(*answers, strict=True))

    def _first_batch(self, inputs: tuple[np.ndarray, ...], rows: int) -> tuple[np.ndarray, ...]:
        """Answers one by one, and learns: a batch that doesn't answer the same is never made again."""
        alone = self._one_by_one(inputs, rows)
        try:
            together = self._together(inputs, rows)
        except InputRefused:
            self._batches = False  # static shapes inside, or state that is sized for one row
            return alone
        # To the last bit: all batchable foreign models answer so under both backends, and it makes what is
        # published independent of how many messages happened to arrive together.
        self._batches = all(
            left.shape == right.shape and left.tobytes() == right.tobytes()
            for left, right in zip(alone, together, strict=True)
        )
        if not self._batches:
            self._batch = None
        return alone

    def _together(self, inputs: tuple[np.ndarray, ...], rows: int) -> tuple[np.ndarray, ...]:
        # An interpreter of its own: single invokes keep their shape. One that failed is not used again.
        prepared, self._batch = self._batch or self._open(), None
        answers = self._run(prepared, inputs, rows)
        self._batch = prepared
        return answers

    def _run(
        self, prepared: _Prepared, inputs: tuple[np.ndarray, ...], rows: int = 1
    ) -> tuple[np.ndarray, ...]:
        try:
            return prepared.run(inputs, rows)
        except (ValueError, RuntimeError) as exc:
            raise InputRefused(NOT_RUNNABLE) from exc


class _Prepared:
    """An interpreter with its tensors allocated for *rows* rows."""

    def __init__(self, interpreter: Any) -> None:
        interpreter.allocate_tensors()
        inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
        self.inputs = tuple(_tensor(details) for details in inputs)
        self.outputs = tuple(_tensor(details) for details in outputs)
        self.rows = 1
        self.invoked = False
        # Private, yet the only way to ask; it exists in both pinned backends.
        self.keeps_resources = any(
            operation["op_name"] == "VAR_HANDLE" for operation in interpreter._get_ops_details()
        )
        self._interpreter = interpreter
        self._input_indices = [details["index"] for details in inputs]
        self._output_indices = [details["index"] for details in outputs]

    def run(self, inputs: tuple[np.ndarray, ...], rows: int) -> tuple[np.ndarray, ...]:
        self.invoked = True
        interpreter = self._interpreter
        if rows != self.rows:
            for index, tensor in zip(self._input_indices, self.inputs, strict=True):
                interpreter.resize_tensor_input(index, (rows, *tensor.shape[1:]))
            interpreter.allocate_tensors()
            self.rows = rows
        interpreter.reset_all_variables()
        for index, given in zip(self._input_indices, inputs, strict=True):
            interpreter.set_tensor(index, given)
        interpreter.invoke()
        return tuple(interpreter.get_tensor(index) for index in self._output_indices)


def open_model(content: bytes, *, runtime: str | None = None) -> TfliteModel:
    """A model ready to answer, from the trusted bytes of a `.tflite` file (see the module's first lines).

    The backend is *runtime*, else `EDGEWARD_RUNTIME`, else the first of `RUNTIMES` that is installed and
    usable. Raises RuntimeMissing when there is none, ModelRefused when the model can't be run on it; a model
    that needs an operation which the runtime lacks is refused here and not at its first input.
    """
    interpreter_type, backend = _backend(runtime or os.environ.get(RUNTIME_VARIABLE) or None)
    if content[4:8] != _IDENTIFIER:
        raise ModelRefused("this is not a TFLite model: the file identifier TFL3 is missing")
    with without_delegate_notice():
        return TfliteModel(content, interpreter_type, backend)


def quantised(values: np.ndarray, tensor: Tensor) -> np.ndarray:
    """Real *values* as raw ones for *tensor*, same shape: round(value / scale) + zero point, saturated.

    Halves round away from zero, as TFLite's own QUANTIZE does. A tensor without a scale gets a plain cast.
    Raises InputRefused when a value for an integer tensor is not finite.
    """
    if tensor.dtype.kind not in "iu":
        return np.asarray(values).astype(tensor.dtype)
    if not np.isfinite(values).all():
        raise InputRefused(NOT_FINITE)
    if tensor.scale == 0.0:
        return np.asarray(values).astype(tensor.dtype)
    steps = np.asarray(values, np.float64) / tensor.scale
    limits = np.iinfo(tensor.dtype)
    raw = np.trunc(steps + np.copysign(0.5, steps)) + tensor.zero_point
    saturated: np.ndarray = np.clip(raw, limits.min, limits.max).astype(tensor.dtype)
    return saturated


def dequantised(raw: np.ndarray, tensor: Tensor) -> np.ndarray:
    """Real values of *raw*, float32, same shape: scale × (raw − zero point); a plain cast without a scale."""
    if tensor.scale == 0.0:
        return np.asarray(raw, np.float32)
    return (tensor.scale * (np.asarray(raw, np.float64) - tensor.zero_point)).astype(np.float32)


def _backend(asked: str | None) -> tuple[Any, str]:
    """The Interpreter class and what to call it; RuntimeMissing says why for each that was tried."""
    if asked is not None and asked not in _MODULES:
        raise RuntimeMissing(f"no TFLite runtime is called {asked!r}; it can be {' or '.join(RUNTIMES)}")
    reasons = []
    for name in (asked,) if asked is not None else RUNTIMES:
        if name == "tflite-runtime" and int(np.__version__.split(".")[0]) >= 2:
            # It imports under numpy 2 and dies when the first interpreter is made, so the version goes first.
            reasons.append(f"tflite-runtime needs numpy 1 and numpy {np.__version__} is installed")
            continue
        try:
            interpreter_type = import_module(_MODULES[name]).Interpreter
            return interpreter_type, f"{name} {metadata.version(name)}"
        except (ImportError, OSError) as exc:
            reasons.append(f"{name} can't be imported ({exc})")
    raise RuntimeMissing(f"no TFLite runtime is usable: {'; '.join(reasons)}")


def _tensor(details: Mapping[str, Any]) -> Tensor:
    scale, zero_point = details["quantization"]
    return Tensor(
        name=str(details["name"]),
        shape=tuple(int(size) for size in details["shape"]),
        dtype=np.dtype(details["dtype"]),
        scale=float(scale),
        zero_point=int(zero_point),
    )


def _why_refused(message: str, backend: str) -> str:
    """The runtime's *message* as one clear sentence. It speaks of the file alone: no input was given yet."""
    if "unresolved custom op: " in message:
        operation = message.split("unresolved custom op: ", 1)[1].split(".", 1)[0].split()[0]
        return f"the model needs the custom operation {operation}, which {backend} does not have"
    if "Select TensorFlow op" in message or "Flex" in message:
        return f"the model needs TensorFlow's own operations (Flex delegate), which {backend} does not have"
    words = " ".join(message.split())
    shown = words if len(words) <= _NATIVE_MESSAGE_LIMIT else f"{words[:_NATIVE_MESSAGE_LIMIT]}…"
    return f"{backend} can't run this model: {shown}"
