"""What the demo shows while it runs: a live table on a terminal, a line now and then off it, or nothing."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.live import Live
from rich.table import Table

from gateway.demo_tally import Summary, Tally
from nodes.agents.settings import SHIPPED
from nodes.times import format_time

REDRAW_SECONDS = 0.25
LINE_SECONDS = 5.0


class View(Protocol):
    """Where the demo speaks. `show` is called often and draws when it is time; `say` takes a sentence."""

    def __enter__(self) -> Self:
        """Begins to draw."""
        ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Gives the terminal back."""
        ...

    def say(self, sentence: str) -> None:
        """A sentence for the one who watches."""
        ...

    def show(self, tally: Tally, ward_ms: int) -> None:
        """Where things stand, with the ward's clock at *ward_ms*."""
        ...


class Lines:
    """Plain lines for a log or a pipe; *quiet* leaves only what goes wrong out on standard error."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._begun_s = self._drawn_s = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def say(self, sentence: str) -> None:
        """See `View`."""
        print(sentence, file=sys.stderr if self._quiet else sys.stdout, flush=True)

    def show(self, tally: Tally, ward_ms: int) -> None:
        """See `View`."""
        now_s = time.monotonic()
        if self._quiet or now_s - self._drawn_s < LINE_SECONDS:
            return
        self._drawn_s = now_s
        print(
            f"{now_s - self._begun_s:4.0f} s  ward {clock(ward_ms)}  {tally.events_in} events in, "
            f"{tally.events_out} out, {len(tally.alert_topics)} alerts on",
            flush=True,
        )


class Screen:
    """A live table on a terminal."""

    def __init__(self, console: Console) -> None:
        self._live = Live(console=console, auto_refresh=False, transient=False)
        self._begun_s = time.monotonic()
        self._drawn_s = 0.0

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def say(self, sentence: str) -> None:
        """See `View`."""
        self._live.console.print(sentence, highlight=False, markup=False)

    def show(self, tally: Tally, ward_ms: int) -> None:
        """See `View`."""
        now_s = time.monotonic()
        if now_s - self._drawn_s >= REDRAW_SECONDS:
            self._drawn_s = now_s
            self._live.update(table(tally, ward_ms, now_s - self._begun_s), refresh=True)


def table(tally: Tally, ward_ms: int, seconds: float) -> Table:
    """The devices, what was last said of each, and their alerts."""
    recent = sorted(tally.latencies_s[-500:])
    median = f", {recent[len(recent) // 2] * 1000:.0f} ms" if recent else ""
    title = (
        f"{seconds:.0f} s · ward clock {clock(ward_ms)} · {tally.events_in} events in, "
        f"{tally.events_out} out{median}"
    )
    shown = Table(title=title, title_justify="left", expand=False)
    shown.add_column("device")
    shown.add_column("events", justify="right")
    for agent in SHIPPED:
        shown.add_column(agent.name)
    shown.add_column("alerts")
    for device, line in tally.devices.items():
        on = tally.alerts_on(device)
        answers = [line.answers.get(agent.name, "") for agent in SHIPPED]
        shown.add_row(device, str(line.events), *answers, ", ".join(on), style="bold red" if on else None)
    return shown


def told(summary: Summary, rejected: int) -> str:
    """The summary in words."""
    p50 = "-" if summary.p50_ms is None else f"{summary.p50_ms:.1f}"
    p99 = "-" if summary.p99_ms is None else f"{summary.p99_ms:.1f}"
    return (
        f"Events: {summary.events_in} in, {summary.events_out} out ({rejected} rejected).\n"
        f"Scripted faults: {summary.detected} detected, {summary.missed} missed; "
        f"{summary.false} false alerts.\n"
        f"From publishing to classification: p50 {p50} ms, p99 {p99} ms."
    )


def clock(ward_ms: int) -> str:
    """Hours and minutes of the ward's clock."""
    return format_time(ward_ms)[11:16]


def choose_view(*, json_only: bool) -> View:
    """A table where standard output is a terminal, lines where it isn't."""
    console = Console()
    return Screen(console) if console.is_terminal and not json_only else Lines(quiet=json_only)
