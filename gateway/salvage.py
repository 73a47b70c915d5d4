"""Repairing a damaged store: what can still be read goes into a new file, the damaged one is put aside.

Each table is read from both ends, so that one bad page costs what stands on it and little else. A row whose
content can't be unpacked is left out; a snapshot that can't be is too, and that device starts anew.
"""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.store import Store, default_words, unpacked
from gateway.store_file import FILE, open_file, translated
from models.errors import StoreUnwritable

Row = tuple[Any, ...]

_COLUMNS = {
    "devices": "number, site, device, snapshot, upto",
    "readings": "place, number, message, bytes, time_ms, fresh_id, duplicate, again",
    "owed": "id, state, message, kind, historical, made_ms, aside",
}


@dataclass(frozen=True, slots=True)
class Salvage:
    """What was brought over, in rows, and where the damaged file is now."""

    devices: int
    readings: int
    owed: int
    left_out: int
    """Rows that were reached and could not be used; those on bad pages nobody can count."""
    damaged: Path


def repair(folder: Path) -> Salvage:
    """Puts a new store in the place of the one in *folder*. Its owner must not be running.

    Raises StoreUnwritable when the disk does not let us.
    """
    file, fresh = folder / FILE, folder / f"{FILE}.new"
    for leftover in _with_siblings(fresh):
        leftover.unlink(missing_ok=True)
    counted: dict[str, int] = {}
    left_out = 0
    with closing(open_file(fresh)) as target, translated(fresh):
        target.execute("BEGIN IMMEDIATE")
        with closing(_damaged(file)) as source:
            words = _words(source)
            target.execute("INSERT INTO meta VALUES ('words', ?)", (words,))
            for table, columns in _COLUMNS.items():
                counted[table] = 0
                marks = ", ".join("?" * len(columns.split(", ")))
                for row in _rows(source, table, columns):
                    usable = _usable(table, row, words)
                    if usable is None:
                        left_out += 1
                        continue
                    insert = f"INSERT OR IGNORE INTO {table} ({columns}) VALUES ({marks})"  # noqa: S608 - our own names
                    counted[table] += target.execute(insert, usable).rowcount
        target.execute("COMMIT")
        target.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with Store.open(folder, file=fresh.name):
        pass  # it opens, and every row that says where it belongs is understood
    damaged = _put_aside(file)
    try:
        fresh.replace(file)
    except OSError as exc:
        raise StoreUnwritable(f"The store {file} can't be written: {exc.strerror}.") from exc
    return Salvage(counted["devices"], counted["readings"], counted["owed"], left_out, damaged)


def _damaged(file: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(file, isolation_level=None)
    connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
    return connection


def _words(source: sqlite3.Connection) -> bytes:
    try:
        row = source.execute("SELECT value FROM meta WHERE key = 'words'").fetchone()
    except sqlite3.DatabaseError:
        row = None
    return bytes(row[0]) if row is not None else default_words()


def _rows(source: sqlite3.Connection, table: str, columns: str) -> Iterator[Row]:
    """What can be read of a table: forwards as far as it goes, then backwards from its end."""
    seen: set[int] = set()
    for order in ("ASC", "DESC"):
        # The table itself and no index: one of the two may be damaged.
        query = f"SELECT {columns} FROM {table} NOT INDEXED ORDER BY rowid {order}"  # noqa: S608 - our own names
        try:
            for row in source.execute(query):
                if row[0] in seen:
                    return
                seen.add(row[0])
                yield row
            return
        except sqlite3.DatabaseError:
            continue  # the damage; the other end is tried next


def _usable(table: str, row: Row, words: bytes) -> Row | None:
    """A row as it may be kept, or None."""
    try:
        if table == "devices":
            number, site, device, snapshot, upto = row
            try:
                raw = None if snapshot is None else zlib.decompress(snapshot)
            except zlib.error:
                raw = None
            return number, site, device, None if raw is None else snapshot, upto
        unpacked(row[2], words)
    except (zlib.error, TypeError, ValueError, UnicodeDecodeError):
        return None
    return row


def _put_aside(file: Path) -> Path:
    """Moves the damaged file and its WAL to the first free name."""
    number = 1
    while (aside := file.with_name(f"{file.name}.damaged-{number}")).exists():
        number += 1
    for sibling in _with_siblings(file):
        if sibling.exists():
            sibling.replace(aside.with_name(aside.name + sibling.name.removeprefix(file.name)))
    return aside


def _with_siblings(file: Path) -> list[Path]:
    return [file, file.with_name(f"{file.name}-wal"), file.with_name(f"{file.name}-shm")]
