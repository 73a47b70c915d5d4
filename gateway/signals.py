"""Signals: they set a flag, the loop ends itself, and the old handlers come back."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

INTERRUPTED = 130
"""The exit code that a shell makes of Ctrl-C."""


@contextmanager
def stop_flag() -> Iterator[Callable[[], bool]]:
    """Within the block SIGTERM and SIGINT only set the flag, which is yielded as a function.

    For the main thread only, as Python's signals are.
    """
    stopping = False

    def note(_number: int, _frame: FrameType | None) -> None:
        nonlocal stopping
        stopping = True

    old = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield lambda: stopping
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


@contextmanager
def reload_flag() -> Iterator[Callable[[], bool]]:
    """Within the block SIGHUP only sets a flag, which is yielded as a function that takes it back.

    For the main thread only.
    """
    asked = False

    def note(_number: int, _frame: FrameType | None) -> None:
        nonlocal asked
        asked = True

    def taken() -> bool:
        nonlocal asked
        if not asked:
            return False
        asked = False  # before the work: a signal that comes during it asks for another
        return True

    old = signal.signal(signal.SIGHUP, note)
    try:
        yield taken
    finally:
        signal.signal(signal.SIGHUP, old)
