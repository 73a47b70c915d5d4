"""Frames: a state's facts and arrays as bytes and back, to the last bit. Only the format lives here.

A frame is `EWF1`, the length of its head (four bytes, little-endian), the head as JSON (form, version,
facts, and name, type and shape of each array), then the arrays: float64, int64 or uint8, little-endian.
Integers are written as differences: times, which most of them are, then compress to almost nothing. A frame
guards against another form or version, not against damage; that is for what stores it.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from models.errors import SnapshotRefused

_MAGIC = b"EWF1"
_HEAD = struct.Struct("<4sI")
_TYPES = {"i": "<i8", "f": "<f8", "u": "|u1"}
"""numpy's letter for a kind of number to how it is written."""

Arrays = dict[str, npt.NDArray[Any]]


def pack(form: str, version: int, facts: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]) -> bytes:
    """A frame. *facts* is anything that JSON can hold; *arrays* are of int64, float64 or uint8."""
    described, bodies = [], []
    for name, array in arrays.items():
        written = _TYPES[array.dtype.kind]
        described.append([name, written, list(array.shape)])
        flat = array.ravel()
        bodies.append((np.diff(flat, prepend=0) if written == "<i8" else flat).astype(written).tobytes())
    head = {"form": form, "version": version, "facts": facts, "arrays": described}
    encoded = json.dumps(head, separators=(",", ":"), allow_nan=False).encode()
    return b"".join((_HEAD.pack(_MAGIC, len(encoded)), encoded, *bodies))


def unpack(raw: bytes, form: str, version: int) -> tuple[dict[str, Any], Arrays]:
    """Facts and arrays of a frame; the arrays are the caller's own and can be written to.

    Raises SnapshotRefused for anything but a frame of this *form* and *version*.
    """
    try:
        magic, length = _HEAD.unpack_from(raw)
        head = json.loads(raw[_HEAD.size : _HEAD.size + length]) if magic == _MAGIC else {}
        found = (head.get("form"), head.get("version"))
        arrays = _arrays(raw, _HEAD.size + length, head["arrays"]) if found == (form, version) else {}
    except (struct.error, AttributeError, KeyError, TypeError, ValueError) as exc:
        raise SnapshotRefused(f"A kept state is no frame, where {form} {version} should be.") from exc
    if found != (form, version):
        raise SnapshotRefused(f"A kept state is {found[0]} {found[1]}, where {form} {version} should be.")
    return head["facts"], arrays


def _arrays(raw: bytes, place: int, described: list[tuple[str, str, list[int]]]) -> Arrays:
    arrays: Arrays = {}
    for name, written, shape in described:
        flat = np.frombuffer(raw, written, math.prod(shape), place)
        place += flat.nbytes
        native = flat.astype(flat.dtype.newbyteorder("="))  # a copy, aligned as numpy's own arrays are
        arrays[name] = (np.cumsum(native) if written == "<i8" else native).reshape(shape)
    return arrays


def as_array(raw: bytes) -> npt.NDArray[np.uint8]:
    """Bytes as an array of a frame; `tobytes` is the way back."""
    return np.frombuffer(raw, np.uint8)
