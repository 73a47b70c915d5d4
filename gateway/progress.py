"""How far a long run has come: a bar on a terminal, a line now and then off it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

BAR_SECONDS = 0.2
"""How often the bar is drawn; it appears with the first drawing, so short runs have none."""
LINE_SECONDS = 10.0
"""How often a line is printed where there is no terminal."""

Shows = Callable[[int, int], None]
"""Gets how many messages were sent and how far it has come, in the same unit as the total."""


@contextmanager
def progress(what: str, start: int, end: int, output: TextIO = sys.stderr) -> Iterator[Shows]:
    """Within the block, what is yielded shows how far *what* has come from *start* to *end*."""
    if output.isatty():
        with _bar(what, start, end, output) as shows:
            yield shows
    else:
        yield _lines(what, start, end, output)


@contextmanager
def _bar(what: str, start: int, end: int, output: TextIO) -> Iterator[Shows]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %  {task.fields[sent]:,} messages"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    bar = Progress(*columns, console=Console(file=output), auto_refresh=False, transient=True)
    task = bar.add_task(what, total=end - start, sent=0)
    due_s = time.monotonic() + BAR_SECONDS
    is_shown = False

    def shows(sent: int, reached: int) -> None:
        nonlocal due_s, is_shown
        if (now := time.monotonic()) < due_s:
            return
        due_s = now + BAR_SECONDS
        if not is_shown:
            is_shown = True
            bar.start()
        bar.update(task, completed=reached - start, sent=sent)
        bar.refresh()

    try:
        yield shows
    finally:
        if is_shown:
            bar.stop()


def _lines(what: str, start: int, end: int, output: TextIO) -> Shows:
    due_s = time.monotonic() + LINE_SECONDS

    def shows(sent: int, reached: int) -> None:
        nonlocal due_s
        if (now := time.monotonic()) < due_s:
            return
        due_s = now + LINE_SECONDS
        share = (reached - start) / max(1, end - start)
        print(f"{what}: {share:.0%}, {sent:,} messages", file=output, flush=True)

    return shows
