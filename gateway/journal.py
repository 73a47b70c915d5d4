"""What the gateway was working on when it died: one record of fixed size that outlives the process.

Before a step the keys of its inputs and the model's hash are written to a mapped file, afterwards they are
struck out. Nothing is synced: the file guards against a crash of the process, for which the kernel keeps the
pages, not against a power cut. How the process died stands beside it: Python writes one line to `crash.txt`
when native code is at fault, and a kill from outside leaves none.
"""

from __future__ import annotations

import faulthandler
import hashlib
import mmap
import os
import struct
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

KEYS_LIMIT = 256
"""Inputs in one record, and so in one step; `edgeward run` takes as many at once."""
KEY_BYTES = 16
_MODEL_BYTES = 32
_MAGIC = b"EDGEJRN1"
_HEAD = struct.Struct(f"<8s B B H {_MODEL_BYTES}s")  # magic, busy, cause, number of keys, model (zeros: none)
_SIZE = _HEAD.size + KEYS_LIMIT * KEY_BYTES
_BUSY, _CAUSE = 8, 9  # offsets of the two single bytes

Cause = Literal["killed", "crashed", "hung", "raised"]
"""How a process died within a step. `killed` is all that left no mark: SIGKILL, memory, power."""
_CAUSES: tuple[Cause, ...] = ("killed", "crashed", "hung", "raised")

JOURNAL, CRASH = "journal", "crash.txt"


@dataclass(frozen=True, slots=True)
class Death:
    """What a process was doing when it died."""

    keys: tuple[bytes, ...]
    """The inputs of the step; none while a device was being rebuilt."""
    model: str | None
    """sha256 of the model that was running; None between two models."""
    cause: Cause


def key_of(topic: str, payload: bytes) -> bytes:
    """What an input is known by: the same for each copy that the broker brings."""
    named = topic.encode("utf-8", "surrogatepass")
    digest = hashlib.blake2b(len(named).to_bytes(4, "little") + named, digest_size=KEY_BYTES)
    digest.update(payload)
    return digest.digest()


class Journal:
    """The record, in *folder*. *left* is the death of the process before this one, or None; once it is told
    elsewhere its owner calls `clear`. *fault* says why nothing outlives this process, where that is so.
    """

    def __init__(self, folder: Path) -> None:
        self.fault: str | None = None
        crashed = False
        try:
            with (folder / JOURNAL).open("a+b") as file:
                os.fchmod(file.fileno(), 0o600)
                # Room is taken now: a write to a mapped page that the disk has no room for ends the process.
                os.posix_fallocate(file.fileno(), 0, _SIZE)
                self._map = mmap.mmap(file.fileno(), _SIZE)
            crashed = (folder / CRASH).exists() and (folder / CRASH).stat().st_size > 0
        except OSError as exc:
            # A full or read-only disk is no reason to stop: this process is guarded less well, and says so.
            self.fault = f"{exc.strerror}."
            self._map = mmap.mmap(-1, _SIZE)
        self.left = self._read(crashed=crashed)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._map.close()

    @contextmanager
    def step(self, keys: Sequence[bytes]) -> Iterator[None]:
        """Within the block these inputs are being worked on, at most KEYS_LIMIT.

        An exception that leaves the block ends the process: it stays on record as the cause.
        """
        self._map[_HEAD.size : _HEAD.size + len(keys) * KEY_BYTES] = b"".join(keys)
        _HEAD.pack_into(self._map, 0, _MAGIC, 1, 0, len(keys), bytes(_MODEL_BYTES))
        try:
            yield
        except Exception:
            self.mark("raised")
            raise
        self.clear()

    @contextmanager
    def model(self, sha256: str) -> Iterator[None]:
        """Within the block this model runs, inside a step or, while a device is rebuilt, alone."""
        busy = self._map[_BUSY]
        number = _HEAD.unpack_from(self._map)[3] if busy else 0
        _HEAD.pack_into(self._map, 0, _MAGIC, 1, 0, number, bytes.fromhex(sha256))
        try:
            yield
        finally:
            _HEAD.pack_into(self._map, 0, _MAGIC, busy, 0, number, bytes(_MODEL_BYTES))

    def mark(self, cause: Cause) -> None:
        """Writes why the process is about to die; from any thread."""
        self._map[_CAUSE] = _CAUSES.index(cause)

    def clear(self) -> None:
        """Nothing is being worked on."""
        self._map[_BUSY] = 0

    def _read(self, *, crashed: bool) -> Death | None:
        magic, busy, cause, number, model = _HEAD.unpack_from(self._map)
        if magic != _MAGIC or not busy or number > KEYS_LIMIT or cause >= len(_CAUSES):
            return None
        raw = self._map[_HEAD.size : _HEAD.size + number * KEY_BYTES]
        keys = tuple(raw[start : start + KEY_BYTES] for start in range(0, len(raw), KEY_BYTES))
        known = _CAUSES[cause]
        return Death(
            keys,
            model.hex() if any(model) else None,
            "crashed" if known == "killed" and crashed else known,
        )


@contextmanager
def crashes_noted(folder: Path) -> Iterator[None]:
    """Within the block a crash in native code is noted in *folder* before the process ends.

    The note holds the signal's name and the Python lines that led there, no value. For a process that is a
    gateway and nothing else: the handlers are the process's own. Call it after the journal was opened.
    """
    with ExitStack() as opened:
        try:
            file = opened.enter_context((folder / CRASH).open("wb"))
        except OSError:
            yield  # the journal has met the same fault, and its owner says it
            return
        os.fchmod(file.fileno(), 0o600)
        faulthandler.enable(file, all_threads=False)
        try:
            yield
        finally:
            faulthandler.disable()
