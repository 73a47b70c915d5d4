"""Text to numbers for the small classifiers: normalising, cutting, hashing and weighting, and nothing else.

A text becomes a bag of hashed features (the hashing trick: Weinberger et al. 2009): its words, its pairs of
neighbouring words, and the 3-, 4- and 5-byte pieces within each word, so that spellings never seen share
features with those that were. No vocabulary is stored, and the same text gives the same numbers on every
machine and in every process. Training and serving both come through here.
"""

from __future__ import annotations

import math
import re
import unicodedata
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

WORD = re.compile(r"[^\W_]+")
"""A run of letters or digits; everything else parts words."""
_HEXADECIMAL = re.compile(r"\b0x[0-9a-f]+\b|\b(?=[a-f]*\d)(?=\d*[a-f])[0-9a-f]{6,}\b")
_NUMBER = re.compile(r"\d+")

PIECE_SIZES = (3, 4, 5)
"""Bytes of UTF-8 in a piece of a word, its two borders included as spaces."""
_MULTIPLIER = np.uint32(0x01000193)
"""The FNV-1a prime (draft-eastlake-fnv), used for pieces."""
_OFFSET = np.uint32(0x811C9DC5)
"""The FNV-1a offset basis (the same source)."""
_SPREAD = np.uint32(0x9E3779B1)
"""Knuth's multiplicative constant (TAOCP 3, 6.4): carries the low bits up to where the row is taken from."""


@dataclass(frozen=True, slots=True)
class TextSpec:
    """How a bundle's model wants its text; stored in the bundle and read back by the classifier."""

    buckets: int
    """Rows of the hashed table, a power of two; row 0 of the model's table is empty and comes on top."""
    features: int
    """Features of one text that the model takes: words and pairs first, then pieces from the start on."""
    characters: int
    """Characters of a text that are read; what follows is cut off."""
    numbers: bool
    """True keeps numbers as written; False makes each number `0` and each long hexadecimal word `0x`."""

    def __post_init__(self) -> None:
        """Raises ValueError for a table whose size is no power of two, or bounds below one."""
        if self.buckets < 2 or self.buckets & (self.buckets - 1):
            raise ValueError(f"buckets must be a power of two, not {self.buckets}")
        if self.features < 1 or self.characters < 1:
            raise ValueError("features and characters must be at least 1")


def words(text: str, spec: TextSpec) -> list[str]:
    """The words of *text*, in order: cut to the bound, in Unicode form NFKC, without case."""
    # NFKC may lengthen a character up to eighteen times; the bound holds before and after it.
    plain = unicodedata.normalize("NFKC", text[: spec.characters])[: spec.characters].casefold()
    if not spec.numbers:
        plain = _NUMBER.sub("0", _HEXADECIMAL.sub("0x", plain))
    return WORD.findall(plain)


def has_content(text: str, spec: TextSpec) -> bool:
    """Whether *text* says anything where it is read: without a letter or digit it counts as no text."""
    return bool(words(text, spec))


def hashed(text: str, spec: TextSpec) -> tuple[npt.NDArray[np.int32], float]:
    """The features of *text* as the model takes them: rows of its table, [features], and their common weight.

    Rows are 1 to *buckets*, each once; unused places at the end are 0. The weight is 1/√n for n rows, which
    makes the bag a vector of length 1, and 0.0 for a text without content.
    """
    rows = np.zeros(spec.features, np.int32)
    found = words(text, spec)
    if not found:
        return rows, 0.0
    every = np.concatenate([_word_rows(found, spec.buckets), _piece_rows(found, spec.buckets)])
    _, first = np.unique(every, return_index=True)
    distinct = every[np.sort(first)[: spec.features]]
    rows[: len(distinct)] = distinct + 1
    return rows, 1 / math.sqrt(len(distinct))


def _word_rows(found: Sequence[str], buckets: int) -> npt.NDArray[np.int32]:
    # The spaces keep a word apart from the same letters as a pair's half.
    singles = [zlib.crc32(word.encode()) for word in found]
    pairs = [zlib.crc32(f"{a} {b}".encode()) for a, b in pairwise(found)]
    return (np.array(singles + pairs, np.uint32) & np.uint32(buckets - 1)).astype(np.int32)


def _piece_rows(found: Sequence[str], buckets: int) -> npt.NDArray[np.int32]:
    """Rows of all pieces: a hash rolled over all windows of one size at once, those across words left out."""
    letters = np.frombuffer(f" {' '.join(found)} ".encode(), np.uint8).astype(np.uint32)
    borders = np.concatenate([[0], np.cumsum(letters == ord(" "))])
    shift = np.uint32(32 - (buckets.bit_length() - 1))
    kinds = []
    for size in PIECE_SIZES:
        count = len(letters) - size + 1
        if count < 1:
            break
        piece = np.full(count, _OFFSET + np.uint32(size), np.uint32)
        for place in range(size):
            piece = (piece ^ letters[place : place + count]) * _MULTIPLIER
        # A border may be the first or the last byte of a piece, never one between.
        inside = borders[size - 1 : size - 1 + count] == borders[1 : 1 + count]
        kinds.append(((piece[inside] * _SPREAD) >> shift).astype(np.int32))
    return np.concatenate(kinds) if kinds else np.zeros(0, np.int32)
