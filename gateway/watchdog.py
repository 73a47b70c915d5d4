"""Ends a process whose work hangs: a thread that looks whether the loop's present step is past its deadline.

A model that never returns can't be stopped from outside its own code, but the invoke releases the
interpreter's lock, so that this thread still runs and can end the process, and with it the hang.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

import structlog

DEADLINE_SECONDS = 30.0
"""How long one step may take: the slowest model tried takes 20 ms an input on a Raspberry Pi 3, a batch has
at most 256, and what is six times slower than that has stopped."""
LOOK_PART = 10
"""The thread looks ten times in a deadline."""
EXIT_HUNG = 75
"""The exit status: `EX_TEMPFAIL`, a failure that a new start mends."""


class Watchdog:
    """Watches the steps that its owner marks; *on_hang* is called before the process is ended."""

    def __init__(
        self,
        deadline_seconds: float = DEADLINE_SECONDS,
        *,
        on_hang: Callable[[], None] = lambda: None,
        end: Callable[[int], None] = os._exit,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._deadline_seconds = deadline_seconds
        self._on_hang = on_hang
        self._end = end
        self._monotonic = monotonic
        self._until: float | None = None  # one store and one load of a reference: no lock is needed
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._look, name="watchdog", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed.set()
        self._thread.join()

    @contextmanager
    def step(self) -> Iterator[None]:
        """The block has to end within the deadline; a step inside another takes over, then gives back."""
        outer = self._until
        self._until = self._monotonic() + self._deadline_seconds
        try:
            yield
        finally:
            # What a step within took is not the outer one's: it has its whole time again.
            self._until = None if outer is None else self._monotonic() + self._deadline_seconds

    def _look(self) -> None:
        while not self._closed.wait(self._deadline_seconds / LOOK_PART):
            until = self._until
            if until is not None and self._monotonic() > until:
                self._on_hang()
                structlog.get_logger().error("step_overdue", seconds=self._deadline_seconds)
                self._end(EXIT_HUNG)
                return
