"""The store's file: opened, brought to this schema, its faults named. What is in it is `store`'s affair.

SQLite in WAL mode, every commit synced. The file holds readings and is readable by its owner alone.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path

from models.errors import StoreDamaged, StoreUnwritable, UsageError

FILE = "store.db"
"""Its name in the state folder."""
MARK = 0x45646765
"""SQLite's application id of our files: `Edge`."""
PAGES_BEFORE_CHECKPOINT = 4_000
"""Pages in the WAL at which it is copied into the file: 16 MiB, which also is the bound that it is cut to."""
PAGE_BYTES = 4_096
BUSY_SECONDS = 5.0
"""How long to wait for `edgeward store export` to finish a read."""

_UNWRITABLE = frozenset({"FULL", "IOERR", "READONLY", "CANTOPEN", "BUSY", "LOCKED", "PERM", "AUTH"})
_DAMAGED = frozenset({"CORRUPT", "NOTADB"})


@contextmanager
def translated(file: Path) -> Iterator[None]:
    """Turns SQLite's errors about the disk and the file into ours; any other is a fault of the program.

    Raises StoreUnwritable and StoreDamaged.
    """
    try:
        yield
    except sqlite3.Error as exc:
        name = getattr(exc, "sqlite_errorname", "").removeprefix("SQLITE_").partition("_")[0]
        if name in _DAMAGED:
            raise StoreDamaged(
                f"The store {file} is damaged. Stop the gateway and run: edgeward store repair."
            ) from exc
        if name in _UNWRITABLE:
            why = {"FULL": "the disk is full", "READONLY": "it is read-only"}.get(name, f"SQLite says {name}")
            raise StoreUnwritable(f"The store {file} can't be written: {why}.") from exc
        raise


def schema_version() -> int:
    """The schema that this version of Edgeward writes."""
    return len(_scripts())


def open_file(file: Path) -> sqlite3.Connection:
    """A connection to the store in *file*, made where it is missing and migrated where it is older.

    Raises StoreUnwritable, StoreDamaged, and UsageError when a newer Edgeward wrote it.
    """
    try:
        handle = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)  # SQLite gives its WAL the same mode
        os.fchmod(handle, 0o600)
        os.close(handle)
        folder = os.open(file.parent, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)
    except OSError as exc:
        raise StoreUnwritable(f"The store {file} can't be written: {exc.strerror}.") from exc
    with translated(file):
        connection = sqlite3.connect(file, isolation_level=None, timeout=BUSY_SECONDS)
        try:
            _settle(connection)
            _migrate(connection, file)
            check(connection, file)
        except BaseException:
            connection.close()
            raise
    return connection


def open_to_read(file: Path) -> sqlite3.Connection:
    """A connection that changes nothing, also beside a running gateway.

    Raises UsageError when there is no store or it is of another version, StoreDamaged, StoreUnwritable.
    """
    if not file.is_file():
        raise UsageError(f"There is no store at {file}.")
    with translated(file):
        connection = sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True, timeout=BUSY_SECONDS)
        try:
            version = _version(connection, file)
            check(connection, file)
            if version < schema_version():
                raise UsageError(
                    f"The store {file} is of an older version; the gateway brings it up to date."
                )
        except BaseException:
            connection.close()
            raise
    return connection


def _settle(connection: sqlite3.Connection) -> None:
    connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(f"PRAGMA wal_autocheckpoint = {PAGES_BEFORE_CHECKPOINT}")
    connection.execute(f"PRAGMA journal_size_limit = {PAGES_BEFORE_CHECKPOINT * PAGE_BYTES}")
    connection.execute("PRAGMA temp_store = MEMORY")


def _version(connection: sqlite3.Connection, file: Path) -> int:
    (mark,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > schema_version():
        raise UsageError(
            f"The store {file} was written by a newer Edgeward (its schema is {version}, this one knows "
            f"{schema_version()}): install that, or give the gateway another --state."
        )
    if version and mark != MARK:
        raise StoreDamaged(f"{file} is no store of Edgeward. Move it away.")
    return int(version)


def _migrate(connection: sqlite3.Connection, file: Path) -> None:
    """Runs the numbered scripts that the file has not seen, each with its number in one transaction."""
    version = _version(connection, file)
    for number, script in enumerate(_scripts()[version:], version + 1):
        marks = f"PRAGMA user_version = {number}; PRAGMA application_id = {MARK};"
        connection.executescript(f"BEGIN IMMEDIATE;\n{script}\n{marks}\nCOMMIT;")


def check(connection: sqlite3.Connection, file: Path) -> None:
    """Raises StoreDamaged where a page of the file is not what it should be."""
    (said,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if said != "ok":
        raise StoreDamaged(f"The store {file} is damaged. Stop the gateway and run: edgeward store repair.")


def _scripts() -> list[str]:
    folder = resources.files("gateway") / "schema"
    names = sorted(each.name for each in folder.iterdir() if each.name.endswith(".sql"))
    return [(folder / name).read_text("utf-8") for name in names]
