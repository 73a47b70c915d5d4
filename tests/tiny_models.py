"""TFLite models of one operation, written byte by byte: the adapter's tests need no data and no trainer.

The layout is that of FlatBuffers; table slots and enumeration values are those of TensorFlow's `schema.fbs`.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

FLOAT32, INT32, STRING = 0, 2, 5  # TensorType
CUSTOM, GATHER, REVERSE_V2 = 32, 36, 105  # BuiltinOperator
NO_OPTIONS, GATHER_OPTIONS, REVERSE_V2_OPTIONS = 0, 23, 81  # BuiltinOptions


@dataclass(frozen=True)
class Scalar:
    """A number in a table; *form* is struct's letter."""

    form: str
    number: int


Table = Mapping[int, "Field"]
Field = Scalar | str | bytes | Sequence[int] | Sequence["Table"] | Table


def _pad(out: bytearray, size: int) -> None:
    out.extend(bytes(-len(out) % size))


def _write(out: bytearray, field: str | bytes | Sequence[int] | Sequence[Table] | Table) -> int:
    """Appends *field* and gives its position; what it refers to follows it, as offsets only lead forwards."""
    if isinstance(field, Mapping):
        return _write_table(out, field)
    if isinstance(field, str | bytes):
        content = field.encode() if isinstance(field, str) else field
        out.extend(bytes(-(len(out) + 4) % 16))  # buffers are aligned to 16
        position = len(out)
        out.extend(struct.pack("<I", len(content)) + content + b"\0")
        return position
    _pad(out, 4)
    position = len(out)
    out.extend(struct.pack("<I", len(field)) + bytes(4 * len(field)))
    items: Sequence[int | Table] = field
    for index, item in enumerate(items):
        place = position + 4 + 4 * index
        if isinstance(item, int):
            struct.pack_into("<i", out, place, item)
        else:
            struct.pack_into("<I", out, place, _write_table(out, item) - place)
    return position


def _write_table(out: bytearray, fields: Table) -> int:
    _pad(out, 4)
    slots = max(fields, default=-1) + 1
    places = {slot: 4 + 4 * index for index, slot in enumerate(sorted(fields))}  # four bytes for each field
    vtable = len(out)
    out.extend(struct.pack("<HH", 4 + 2 * slots, 4 + 4 * len(fields)))
    out.extend(struct.pack(f"<{slots}H", *(places.get(slot, 0) for slot in range(slots))))
    _pad(out, 4)
    table = len(out)
    out.extend(struct.pack("<i", table - vtable) + bytes(4 * len(fields)))
    for slot, field in fields.items():
        place = table + places[slot]
        if isinstance(field, Scalar):
            struct.pack_into(f"<{field.form}", out, place, field.number)
        else:
            struct.pack_into("<I", out, place, _write(out, field) - place)
    return table


def _tensor(name: str, shape: Sequence[int], kind: int, buffer: int = 0) -> Table:
    return {0: shape, 1: Scalar("b", kind), 2: Scalar("I", buffer), 3: name}


def _model(
    operation: Table, options: tuple[int, Table], tensors: Sequence[Table], constants: Sequence[bytes]
) -> bytes:
    """One operation over the first two tensors; the third is its output, constants are buffers 1, 2…"""
    inputs = [index for index, tensor in enumerate(tensors[:2]) if tensor[2] == Scalar("I", 0)]
    node: dict[int, Field] = {0: Scalar("I", 0), 1: [0, 1], 2: [2]}
    if options[0] != NO_OPTIONS:
        node |= {3: Scalar("B", options[0]), 4: options[1]}
    graph: Table = {0: tensors, 1: inputs, 2: [2], 3: [node], 4: "main"}
    buffers: list[Table] = [{}, *({0: constant} for constant in constants)]
    out = bytearray(8)
    root = _write(out, {0: Scalar("I", 3), 1: [operation], 2: [graph], 3: "tiny", 4: buffers})
    struct.pack_into("<I4s", out, 0, root, b"TFL3")
    return bytes(out)


def _builtin(code: int) -> Table:
    return {0: Scalar("b", code), 2: Scalar("i", 2), 3: Scalar("i", code)}


def lookup_model(table: np.ndarray) -> bytes:
    """int32 ids [1, 3] to their rows of *table* (float32 [n, width]): [1, 3, width]."""
    width = table.shape[1]
    tensors = [
        _tensor("table", table.shape, FLOAT32, 1),
        _tensor("ids", (1, 3), INT32),
        _tensor("rows", (1, 3, width), FLOAT32),
    ]
    options: Table = {0: Scalar("i", 0)}
    return _model(_builtin(GATHER), (GATHER_OPTIONS, options), tensors, [table.astype("<f4").tobytes()])


def echo_model() -> bytes:
    """A string [1] to the same string [1]."""
    tensors = [
        _tensor("text", (1,), STRING),
        _tensor("first", (1,), INT32, 1),
        _tensor("echo", (1,), STRING),
    ]
    options: Table = {0: Scalar("i", 0)}
    return _model(_builtin(GATHER), (GATHER_OPTIONS, options), tensors, [bytes(4)])


def mixing_model() -> bytes:
    """float32 [1, 2] to the same, its rows in reverse order: with several rows each gets another's answer."""
    tensors = [
        _tensor("values", (1, 2), FLOAT32),
        _tensor("axis", (1,), INT32, 1),
        _tensor("reversed", (1, 2), FLOAT32),
    ]
    return _model(_builtin(REVERSE_V2), (REVERSE_V2_OPTIONS, {}), tensors, [bytes(4)])


def custom_model(operation: str) -> bytes:
    """A model that needs the custom *operation*."""
    tensors = [_tensor(name, (1, 2), FLOAT32) for name in ("left", "right", "answer")]
    code: Table = {0: Scalar("b", CUSTOM), 1: operation, 2: Scalar("i", 1), 3: Scalar("i", CUSTOM)}
    return _model(code, (NO_OPTIONS, {}), tensors, [])
