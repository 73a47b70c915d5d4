"""The store as the daemon uses it: what is kept when, and what happens when the disk does not work.

While the disk works, a batch is one transaction. When it does not, the keeper says so and keeps nothing: the
daemon then acknowledges only what the broker has answers to, and goes on. It tries again by itself; the first
transaction that works brings the snapshots of every device whose readings were missed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import structlog

from gateway.config import StoreSection
from gateway.log import pseudonym
from gateway.store import Owed, Store
from models.errors import SnapshotRefused, StoreDamaged, StoreUnwritable
from nodes.outputs import Publication
from nodes.pipeline import Pipeline, Received
from nodes.times import MINUTE_MS
from nodes.topics import Identity

OnFault = Literal["memory", "stop"]
"""When the disk does not work: go on in memory, or stop."""

RETRY_SECONDS = 5.0
"""How long to leave a disk alone that did not work."""
SETTLE_SECONDS = 1.0
"""How long the deletion of rows that the broker has taken may wait for a batch to go with. A crash before
then publishes them again, under the same ids."""
SNAPSHOTS_AT_ONCE = 256
"""Snapshots in one transaction when all devices get theirs."""

Taken = tuple[Received, Sequence[Identity]]


class Keeper:
    """Keeps what *pipeline* does in *store*. Without one, *fault* says why, and nothing is kept."""

    def __init__(
        self,
        store: Store | None,
        pipeline: Pipeline,
        *,
        fault: StoreUnwritable | StoreDamaged | None = None,
        on_fault: OnFault = "memory",
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._pipeline = pipeline
        self._on_fault = on_fault
        self._monotonic = monotonic
        self._log: structlog.typing.FilteringBoundLogger = structlog.get_logger()
        self.fault: str | None = None
        """Why nothing is kept; None while the disk works."""
        self.restored = False
        """Whether there was anything to bring back: this is not the first start."""
        self._settled: list[int] = []
        self._settled_since = 0.0
        self._aside: dict[int, str] = {}
        self._forgotten: list[Identity] = []
        self._missed: set[Identity] = set()
        self._retry_at = 0.0
        if fault is not None:
            self._failed(fault)

    @property
    def keeps(self) -> bool:
        """Whether what is taken stands on disk before it is acknowledged."""
        return self._store is not None and self.fault is None

    def restore(self, progress: Callable[[], None] = lambda: None) -> list[Owed]:
        """Brings every device back as it was kept, and returns what is owed. Call it once, first of all.

        *progress* is called after each device.
        """
        if self._store is None:
            return []
        devices = readings = 0
        started = self._monotonic()
        try:
            for identity, snapshot, later in self._store.devices():
                try:
                    anew = self._pipeline.restore(identity, snapshot, later)
                except SnapshotRefused as refused:
                    anew = self._pipeline.restore(identity, None, later)
                    self._log.error("snapshot_refused", who=pseudonym(str(identity)), sentence=str(refused))
                for agent in anew:
                    self._log.error("state_started_anew", who=pseudonym(str(identity)), agent=agent)
                devices += 1
                progress()
                readings += len(later)
            owed = list(self._store.owed())
        except (StoreUnwritable, StoreDamaged) as fault:
            self._failed(fault)
            self._store = None  # what was not read must not be written over
            return []
        seconds = round(self._monotonic() - started, 3)
        self.restored = bool(devices or owed)
        if self.restored:
            self._log.info("restored", devices=devices, readings=readings, owed=len(owed), seconds=seconds)
        return owed

    def keep(
        self,
        taken: Sequence[Taken],
        owed: Sequence[Publication],
        *,
        now_ms: int,
        settled: Iterable[int] = (),
        aside: Mapping[int, str] | None = None,
    ) -> list[int] | None:
        """One batch, in one transaction, if there is anything to write; returns the rows of *owed*.

        None means that it is not on disk, and that *owed* lives in memory only. Raises StoreUnwritable and
        StoreDamaged where a fault is to stop the gateway.
        """
        if self._store is None:
            return None
        self._settled += settled
        self._aside |= aside or {}
        self._forgotten += self._pipeline.evicted()
        changed = self._pipeline.changed()
        moved = {identity for _, identities in taken for identity in identities}
        if self.fault is not None:
            self._missed |= moved | set(changed)
            if self._monotonic() < self._retry_at:
                return None
        elif not (moved or owed or changed or self._aside or self._overripe()):
            return []
        wanted = self._wanted(moved, changed)
        try:
            rows = self._store.take(
                taken,
                owed,
                now_ms=now_ms,
                snapshots={each: self._pipeline.snapshot(each) for each in wanted},
                settled=self._settled,
                forgotten=self._forgotten,
                aside=self._aside,
            )
        except (StoreUnwritable, StoreDamaged) as fault:
            self._missed |= moved | wanted
            self._failed(fault)
            return None
        self._settled, self._aside, self._forgotten = [], {}, []
        if self.fault is not None:
            self._log.warning("store_works_again", devices=len(self._missed))
            self.fault = None
        self._missed.clear()
        return rows

    def cover(self, *, now_ms: int, progress: Callable[[], None] = lambda: None) -> None:
        """Snapshots of all devices that moved since their last: what comes next starts from here.

        *progress* is called after each transaction.
        """
        if self._store is None or self.fault is not None:
            return
        moved = [each for each in self._store.uncovered() if self._pipeline.since_snapshot(each)]
        try:
            for start in range(0, len(moved), SNAPSHOTS_AT_ONCE):
                portion = moved[start : start + SNAPSHOTS_AT_ONCE]
                self._store.take(
                    [], [], now_ms=now_ms, snapshots={each: self._pipeline.snapshot(each) for each in portion}
                )
                progress()
        except (StoreUnwritable, StoreDamaged) as fault:
            self._missed |= set(moved)
            self._failed(fault)

    def finish(self, *, now_ms: int, settled: Iterable[int], aside: Mapping[int, str]) -> None:
        """A clean stop: all that waited for a batch to go with, and snapshots, so that a start is quick."""
        self._settled_since = 0.0
        self.keep([], [], now_ms=now_ms, settled=settled, aside=aside)
        self.cover(now_ms=now_ms)

    def _wanted(self, moved: set[Identity], changed: Sequence[Identity]) -> set[Identity]:
        """Who gets a snapshot now. Those missed are all remembered, or were forgotten meanwhile."""
        assert self._store is not None  # noqa: S101 - asked only with a store
        since = self._pipeline.since_snapshot
        due = {each for each in moved if self._store.due(each, since(each))}
        held = {each for each in self._store.overdue() if since(each)}
        forgotten = set(self._forgotten)
        missed = {each for each in self._missed if each not in forgotten or since(each)}
        return due | held | set(changed) | missed

    def _overripe(self) -> bool:
        """Whether rows have waited long enough to be deleted by themselves."""
        now = self._monotonic()
        if not self._settled:
            self._settled_since = now
        return now - self._settled_since >= SETTLE_SECONDS

    def _failed(self, fault: StoreUnwritable | StoreDamaged) -> None:
        self._retry_at = self._monotonic() + RETRY_SECONDS
        if str(fault) != self.fault:
            self._log.error("store_failed", sentence=str(fault))
        self.fault = str(fault)
        if self._on_fault == "stop":
            raise fault


@contextmanager
def kept_in(folder: Path, pipeline: Pipeline, settings: StoreSection) -> Iterator[Keeper]:
    """A keeper over the store in *folder*, which is closed when the block ends.

    Raises UsageError when a newer Edgeward wrote it, and its fault where that is to stop the gateway.
    """
    try:
        store = Store.open(folder, keep_ms=round(settings.keep_readings_hours * 60 * MINUTE_MS))
    except (StoreUnwritable, StoreDamaged) as fault:
        yield Keeper(None, pipeline, fault=fault, on_fault=settings.on_fault)
        return
    with store:
        yield Keeper(store, pipeline, on_fault=settings.on_fault)
