"""Where the keys of a TOML text stand, since `tomllib` does not tell. Only ever used to help a reader."""

from __future__ import annotations

import re
from collections.abc import Mapping

Path = tuple[str, ...]

_TABLE = re.compile(r"\s*\[\s*([^\[\]]+?)\s*\]")
_ENTRY = re.compile(r"\s*\[\[\s*([^\[\]]+?)\s*\]\]")
_KEY = re.compile(
    r"\s*((?:[A-Za-z0-9_-]+|\"[^\"]*\"|'[^']*')(?:\s*\.\s*(?:[A-Za-z0-9_-]+|\"[^\"]*\"|'[^']*'))*)\s*="
)
_LEVEL = re.compile(r"\"([^\"]*)\"|'([^']*)'|([A-Za-z0-9_-]+)")


def lines_of_keys(text: str) -> dict[Path, int]:
    r"""Path of each table and key to its line, from 1. A guess by shape: a long string may mislead it.

    An entry of an array of tables has its number, from 0, in its path; the array stands at its first entry.

    >>> lines_of_keys("[a.b]\nc = 1\nd.e = 2")
    {('a', 'b'): 1, ('a', 'b', 'c'): 2, ('a', 'b', 'd', 'e'): 3}
    >>> lines_of_keys("[[a]]\n[[a]]\nb = 1")
    {('a',): 1, ('a', '0'): 1, ('a', '1'): 2, ('a', '1', 'b'): 3}
    """
    lines: dict[Path, int] = {}
    entries: dict[Path, int] = {}
    table: Path = ()
    for number, line in enumerate(text.splitlines(), 1):
        if found := _ENTRY.match(line):
            array = _levels(found.group(1))
            entries[array] = entries.get(array, -1) + 1
            lines.setdefault(array, number)
            table = (*array, str(entries[array]))
            lines[table] = number
        elif found := _TABLE.match(line):
            table = _levels(found.group(1))
            lines.setdefault(table, number)
        elif found := _KEY.match(line):
            lines.setdefault(table + _levels(found.group(1)), number)
    return lines


def line_of(lines: Mapping[Path, int], path: Path) -> int:
    """The line of *path* or of the nearest above it that is known; 0 when none is."""
    while path and path not in lines:
        path = path[:-1]
    return lines.get(path, 0)


def place(lines: Mapping[Path, int], path: Path) -> str:
    """How a fault at *path* names its place: the nearest line known, and the path with entries from 1.

    >>> place({("a", "1"): 7}, ("a", "1", "b"))
    'line 7, a[2].b'
    """
    named = ""
    for level in path:
        named += f"[{int(level) + 1}]" if level.isdecimal() and named else f".{level}" if named else level
    line = line_of(lines, path)
    return f"line {line}, {named}" if line else named or "the file"


def _levels(path: str) -> Path:
    return tuple(next(part for part in found if part) for found in _LEVEL.findall(path))
