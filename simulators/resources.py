"""What a run may take of the machine and what it took: open files, memory, processor time."""

from __future__ import annotations

import gc
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from models.errors import UsageError

SPARE_FILES = 64
"""Open files besides the sessions: modules, certificates, standard streams."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What this process has used since it began."""

    peak_mib: float
    """The most memory it held at once, MiB."""
    cpu_seconds: float

    def __str__(self) -> str:
        return f"{self.peak_mib:,.0f} MiB of memory at most, {self.cpu_seconds:.1f} s of processor time"


def usage() -> Usage:
    """Now. Linux counts the resident set in KiB."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return Usage(used.ru_maxrss / 1024, used.ru_utime + used.ru_stime)


@contextmanager
def lasting(keep: object) -> Iterator[None]:
    """What is made within the block, and *keep*, live as long as the process: for its one large world.

    The collector of cycles would look at the two million objects of 100,000 devices again and again and stop
    everything meanwhile, and to free them one by one at the end takes a second that a stop does not have.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        # A cycle that the collector no longer looks at is never freed; the system takes it back at once.
        cycle: list[object] = [keep]
        cycle.append(cycle)
        gc.freeze()
        if was_enabled:
            gc.enable()


def allow_sessions(count: int) -> None:
    """Lets this process open *count* connections. Raises `UsageError` where the system's limit is lower."""
    needed = count + SPARE_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise UsageError(
            f"{count:,} sessions need {needed:,} open files and this process may have {hard:,}: raise "
            "the limit (ulimit -n) or share sessions (--sessions pooled)."
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
