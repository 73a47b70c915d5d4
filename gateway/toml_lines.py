"""Where the keys of a TOML text stand, since `tomllib` does not tell. Only ever used to help a reader."""

from __future__ import annotations

import re

_TABLE = re.compile(r"\s*\[\[?\s*([^\]]+?)\s*\]")
_KEY = re.compile(
    r"\s*((?:[A-Za-z0-9_-]+|\"[^\"]*\"|'[^']*')(?:\s*\.\s*(?:[A-Za-z0-9_-]+|\"[^\"]*\"|'[^']*'))*)\s*="
)
_LEVEL = re.compile(r"\"([^\"]*)\"|'([^']*)'|([A-Za-z0-9_-]+)")


def lines_of_keys(text: str) -> dict[tuple[str, ...], int]:
    r"""Path of each table and key to its line, from 1. A guess by shape: a long string may mislead it.

    >>> lines_of_keys("[a.b]\nc = 1\nd.e = 2")
    {('a', 'b'): 1, ('a', 'b', 'c'): 2, ('a', 'b', 'd', 'e'): 3}
    """
    lines: dict[tuple[str, ...], int] = {}
    table: tuple[str, ...] = ()
    for number, line in enumerate(text.splitlines(), 1):
        if found := _TABLE.match(line):
            table = _levels(found.group(1))
            lines.setdefault(table, number)
        elif found := _KEY.match(line):
            lines.setdefault(table + _levels(found.group(1)), number)
    return lines


def _levels(path: str) -> tuple[str, ...]:
    return tuple(next(part for part in found if part) for found in _LEVEL.findall(path))
