"""What the gateway keeps on disk: readings in the order taken, snapshots of devices, and what is owed.

The pipeline is deterministic, so a device's state is its last snapshot and the readings after it; nothing
else is saved of it. Readings are a log: appended at one end, cut off at the other once snapshots cover them.
One owner, one thread, one transaction a batch; after `take` returns, a power cut takes nothing of it away.
"""

from __future__ import annotations

import sqlite3
import zlib
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from gateway.store_file import FILE, open_file, open_to_read, translated
from nodes.outputs import Publication
from nodes.pipeline import Received
from nodes.topics import Identity

SNAPSHOT_READINGS = 64
"""A device's readings between two of its snapshots, at least."""
SNAPSHOT_BYTES_A_READING = 128
"""What snapshots may cost, in bytes a reading: a device whose last one had 16 KiB waits 128 readings for the
next. So what a reading costs on disk stays far below 1.5 KB, and a start has few readings to go through."""
LOG_READINGS = 20_000
LOG_READINGS_A_DEVICE = 32
LOG_BYTES = 64 * 1024 * 1024
"""How far the log may reach back, in readings (so many, and so many more for each device) and in bytes of
payloads, before the devices that hold its end get a snapshot although few of their readings came."""
OVERDUE_AT_ONCE = 64
"""Snapshots of such devices in one transaction."""
TRIM_READINGS = 256
"""Readings cut off at once: rows that leave by whole pages cost next to nothing."""
SPARE_PAGES = 1_024
"""Free pages that the file may hold (4 MiB) before it is made smaller."""
VACUUM_PAGES = 128
"""Pages given back in one transaction."""
ASIDE_LIMIT = 1_000
"""Rows set aside that are kept for a person to look at; the oldest make room."""

WBITS = -12
"""Deflate, without a header, in a window of 4 KiB: little memory to clear for each row."""


class Owed(NamedTuple):
    """A row that the broker has not taken."""

    id: int
    publication: Publication
    made_ms: int


class Store:
    """The store in one state folder. Every method raises StoreUnwritable or StoreDamaged.

    *keep_ms* keeps readings at least so long, also when no recovery needs them (`edgeward store export`).
    """

    def __init__(self, connection: sqlite3.Connection, file: Path, *, keep_ms: int = 0) -> None:
        self._connection = connection
        self._file = file
        self._keep_ms = keep_ms
        self._words = self._dictionary()
        self._primed = zlib.compressobj(1, zlib.DEFLATED, WBITS, 5, zlib.Z_DEFAULT_STRATEGY, self._words)
        self._numbers: dict[Identity, int] = {}
        self._snapshot_bytes: dict[Identity, int] = {}
        self._uncovered: OrderedDict[Identity, tuple[int, int]] = OrderedDict()
        """Device to the place of its first reading without a snapshot, and `_bytes` before it; in order."""
        self._bytes = 0
        self._trimmed = False
        self._first_place = self._next_place = self._next_number = self._next_owed = 1
        self._load()

    @classmethod
    def open(cls, folder: Path, *, keep_ms: int = 0, file: str = FILE) -> Self:
        """The store of the gateway whose state folder is *folder*.

        Raises StoreUnwritable, StoreDamaged, and UsageError when a newer Edgeward wrote it.
        """
        path = folder / file
        connection = open_file(path)
        with translated(path):
            try:
                return cls(connection, path, keep_ms=keep_ms)
            except BaseException:
                connection.close()
                raise

    @classmethod
    def open_to_read(cls, folder: Path) -> Self:
        """The same, changing nothing, also beside a running gateway. Raises UsageError when there is none."""
        file = folder / FILE
        connection = open_to_read(file)
        with translated(file):
            try:
                return cls(connection, file)
            except BaseException:
                connection.close()
                raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the file; closing twice is fine."""
        self._connection.close()

    def take(
        self,
        taken: Sequence[tuple[Received, Sequence[Identity]]],
        owed: Sequence[Publication],
        *,
        now_ms: int,
        snapshots: Mapping[Identity, bytes] | None = None,
        settled: Iterable[int] = (),
        forgotten: Iterable[Identity] = (),
        aside: Mapping[int, str] | None = None,
    ) -> list[int]:
        """One transaction; returns the ids of the rows for *owed*.

        Appends the readings, each with the devices whose state it moved (one that moved none is left out),
        adds what is owed (of a retained topic the newer row replaces the older), writes *snapshots*, which
        cover everything up to here, deletes the *settled* rows, drops the *forgotten* devices, as they were
        before these readings, and sets rows *aside*, each with why.
        """
        snapshots = snapshots or {}
        gone = {each: self._numbers[each] for each in forgotten if each in self._numbers}
        known = (
            {each: number for each, number in self._numbers.items() if each not in gone}
            if gone
            else self._numbers
        )
        new: dict[Identity, int] = {}
        uncovered: dict[Identity, tuple[int, int]] = {}
        rows = []
        place, size = self._next_place, self._bytes
        for received, identities in taken:
            message = self._packed(received.topic, received.payload) if identities else b""
            length, fresh_id = len(received.payload), bytes.fromhex(received.fresh_id)
            kept = (message, length, received.time_ms, fresh_id, received.duplicate)
            for again, identity in enumerate(identities):
                number = known.get(identity) or new.setdefault(identity, self._next_number + len(new))
                if identity not in self._uncovered or identity in gone:
                    uncovered.setdefault(identity, (place, size))
                rows.append((place, number, *kept, again > 0))
                place += 1
                size += length
        packed = {}
        for identity, raw in snapshots.items():
            number = known.get(identity) or new.setdefault(identity, self._next_number + len(new))
            packed[identity] = (zlib.compress(raw, 1), place - 1, number)
        ids = range(self._next_owed, self._next_owed + len(owed))
        newest = {each.topic: row for row, each in zip(ids, owed, strict=True) if each.retain}
        owing = [
            (row, topic if retain else None, self._packed(topic, payload), kind, historical, now_ms)
            for row, (topic, payload, kind, retain, historical) in zip(ids, owed, strict=True)
            if not retain or newest[topic] == row
        ]
        cut = self._cut(now_ms)
        if self._trimmed:
            self._shrink()
        with self._transaction() as sql:
            self._trim(sql, cut)
            sql.executemany("DELETE FROM owed WHERE id = ?", [(each,) for each in settled])
            sql.executemany("DELETE FROM devices WHERE number = ?", [(each,) for each in gone.values()])
            sql.executemany(
                "INSERT INTO devices (number, site, device, upto) VALUES (?, ?, ?, 0)",
                [(number, each.site, each.device) for each, number in new.items()],
            )
            sql.executemany("INSERT INTO readings VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)
            sql.executemany("DELETE FROM owed WHERE state = ?", [(topic,) for topic in newest])
            sql.executemany("INSERT INTO owed VALUES (?, ?, ?, ?, ?, ?, NULL)", owing)
            sql.executemany("UPDATE devices SET snapshot = ?, upto = ? WHERE number = ?", packed.values())
            self._put_aside(sql, aside or {})
        for identity in gone:
            del self._numbers[identity]
            self._snapshot_bytes.pop(identity, None)
            self._uncovered.pop(identity, None)
        self._numbers |= new
        self._next_number += len(new)
        self._next_place, self._bytes = place, size
        self._next_owed += len(owed)
        self._trimmed, self._first_place = cut > self._first_place, cut
        self._uncovered |= uncovered
        for identity, (raw, _, _) in packed.items():
            self._uncovered.pop(identity, None)
            self._snapshot_bytes[identity] = len(raw)
        return list(ids)

    def due(self, identity: Identity, readings: int) -> bool:
        """Whether a device with so many *readings* since its last snapshot should get one."""
        last = self._snapshot_bytes.get(identity, 0)
        return readings >= max(SNAPSHOT_READINGS, last // SNAPSHOT_BYTES_A_READING)

    def uncovered(self) -> list[Identity]:
        """Devices with readings since their last snapshot."""
        return list(self._uncovered)

    def overdue(self) -> list[Identity]:
        """Devices that hold back the end of a log that has grown too long; the longest silent first."""
        found = []
        longest = LOG_READINGS + LOG_READINGS_A_DEVICE * len(self._numbers)
        for identity, (place, size) in self._uncovered.items():
            if self._next_place - place <= longest and self._bytes - size <= LOG_BYTES:
                break
            found.append(identity)
            if len(found) == OVERDUE_AT_ONCE:
                break
        return found

    def owed(self) -> Iterator[Owed]:
        """What is owed, oldest first."""
        with translated(self._file):
            for row, state, message, kind, historical, made_ms in self._connection.execute(
                "SELECT id, state, message, kind, historical, made_ms FROM owed "
                "WHERE aside IS NULL ORDER BY id"
            ):
                topic, payload = unpacked(message, self._words)
                retain = state is not None
                yield Owed(row, Publication(topic, payload, kind, retain, bool(historical)), made_ms)

    def devices(self) -> Iterator[tuple[Identity, bytes | None, list[Received]]]:
        """Every device, those longest silent first: its last snapshot and the readings after it, in order."""
        later: dict[int, list[Received]] = {}
        newest: dict[int, int] = {}
        with translated(self._file):
            for number, place, *kept in self._connection.execute(
                "SELECT number, place, message, time_ms, fresh_id, duplicate FROM readings JOIN devices "
                "USING (number) WHERE place > upto ORDER BY place"
            ):
                later.setdefault(number, []).append(self._received(*kept))
                newest[number] = place
            found = self._connection.execute("SELECT number, upto FROM devices").fetchall()
            for number, _ in sorted(found, key=lambda row: newest.get(row[0], row[1])):
                site, device, snapshot = self._connection.execute(
                    "SELECT site, device, snapshot FROM devices WHERE number = ?", (number,)
                ).fetchone()
                raw = None if snapshot is None else zlib.decompress(snapshot)
                yield Identity(site, device), raw, later.pop(number, [])

    def readings(self) -> Iterator[Received]:
        """All readings that are kept, in the order taken."""
        with translated(self._file):
            for kept in self._connection.execute(
                "SELECT message, time_ms, fresh_id, duplicate FROM readings WHERE NOT again ORDER BY place"
            ):
                yield self._received(*kept)

    def sizes(self) -> dict[str, int]:
        """How many devices, readings and rows there are."""
        counts = {
            "devices": "SELECT count(*) FROM devices",
            "readings": "SELECT count(*) FROM readings WHERE NOT again",
            "owed": "SELECT count(*) FROM owed WHERE aside IS NULL",
            "set aside": "SELECT count(*) FROM owed WHERE aside IS NOT NULL",
        }
        with translated(self._file):
            return {name: self._connection.execute(sql).fetchone()[0] for name, sql in counts.items()}

    def aside(self) -> list[tuple[int, str]]:
        """The rows set aside, oldest first: id and why."""
        with translated(self._file):
            return list(
                self._connection.execute("SELECT id, aside FROM owed WHERE aside IS NOT NULL ORDER BY id")
            )

    def _packed(self, topic: str, payload: bytes) -> bytes:
        packer = self._primed.copy()
        return packer.compress(topic.encode() + b"\0" + payload) + packer.flush()

    def _received(self, message: bytes, time_ms: int, fresh_id: bytes, duplicate: int) -> Received:
        return Received(*unpacked(message, self._words), time_ms, fresh_id.hex(), bool(duplicate))

    def _transaction(self) -> _Transaction:
        return _Transaction(self._connection, self._file)

    def _dictionary(self) -> bytes:
        """The words that owed payloads are deflated with: the file's own, so that ours may change."""
        found = self._connection.execute("SELECT value FROM meta WHERE key = 'words'").fetchone()
        if found is not None:
            return bytes(found[0])
        words = default_words()
        self._connection.execute("INSERT INTO meta VALUES ('words', ?)", (words,))
        return words

    def _load(self) -> None:
        """What is known of the file without looking again."""
        sql = self._connection
        for number, site, device, size in sql.execute(
            "SELECT number, site, device, coalesce(length(snapshot), 0) FROM devices"
        ):
            self._numbers[Identity(site, device)] = number
            self._snapshot_bytes[Identity(site, device)] = size
        by_number = {number: identity for identity, number in self._numbers.items()}
        for number, place, size in sql.execute(
            "SELECT number, place, bytes FROM readings JOIN devices USING (number) "
            "WHERE place > upto ORDER BY place"
        ):
            self._uncovered.setdefault(by_number[number], (place, self._bytes))
            self._bytes += size
        self._first_place, last_place, last_number = sql.execute(
            "SELECT coalesce(min(place), 1), coalesce(max(place), 0), coalesce(max(number), 0) FROM readings"
        ).fetchone()
        # A snapshot's place counts too: the readings that it covers may all be gone.
        upto, newest = sql.execute(
            "SELECT coalesce(max(upto), 0), coalesce(max(number), 0) FROM devices"
        ).fetchone()
        self._next_place = max(last_place, upto) + 1
        self._next_number = max(last_number, newest) + 1
        (last_owed,) = sql.execute("SELECT coalesce(max(id), 0) FROM owed").fetchone()
        self._next_owed = last_owed + 1

    def _cut(self, now_ms: int) -> int:
        """Where the log may begin: no recovery needs what stands before, and it is old enough."""
        end = next(iter(self._uncovered.values()))[0] if self._uncovered else self._next_place
        if end - self._first_place < TRIM_READINGS:
            return self._first_place
        cut = min(end, self._first_place + 4 * TRIM_READINGS)
        if self._keep_ms:
            with translated(self._file):
                newest = self._connection.execute(
                    "SELECT time_ms FROM readings WHERE place < ? ORDER BY place DESC LIMIT 1", (cut,)
                ).fetchone()
            if newest is not None and newest[0] > now_ms - self._keep_ms:
                return self._first_place
        return cut

    def _trim(self, sql: sqlite3.Connection, cut: int) -> None:
        """Cuts off the readings before *cut*."""
        if cut > self._first_place:
            sql.execute("DELETE FROM readings WHERE place < ?", (cut,))

    def _shrink(self) -> None:
        """Gives free pages back where there are many."""
        with translated(self._file):
            (spare,) = self._connection.execute("PRAGMA freelist_count").fetchone()
            if spare > SPARE_PAGES:
                # As a script: `execute` would stop after the first page.
                self._connection.executescript(f"PRAGMA incremental_vacuum({VACUUM_PAGES})")

    def _put_aside(self, sql: sqlite3.Connection, aside: Mapping[int, str]) -> None:
        if not aside:
            return
        sql.executemany("UPDATE owed SET aside = ? WHERE id = ?", [(why, row) for row, why in aside.items()])
        sql.execute(
            "DELETE FROM owed WHERE aside IS NOT NULL AND id NOT IN "
            "(SELECT id FROM owed WHERE aside IS NOT NULL ORDER BY id DESC LIMIT ?)",
            (ASIDE_LIMIT,),
        )


class _Transaction:
    """BEGIN, and at the end COMMIT or, after an error, ROLLBACK; errors are ours."""

    def __init__(self, connection: sqlite3.Connection, file: Path) -> None:
        self._connection = connection
        self._file = file

    def __enter__(self) -> sqlite3.Connection:
        with translated(self._file):
            self._connection.execute("BEGIN IMMEDIATE")
        return self._connection

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with translated(self._file):
            try:
                if error is not None:
                    raise error
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise


def default_words() -> bytes:
    """The dictionary of new files: what messages look like, the commonest last."""
    return (resources.files("gateway") / "schema" / "words.txt").read_bytes()


def unpacked(message: bytes, words: bytes) -> tuple[str, bytes]:
    """Topic and payload of a kept message."""
    raw = zlib.decompressobj(wbits=WBITS, zdict=words).decompress(message)
    topic, _, payload = raw.partition(b"\0")  # no topic in MQTT holds one
    return topic.decode(), payload
