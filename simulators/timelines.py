"""Pictures of a judged run: an overview of all devices, and one device's signals, truth and alerts.

Drawn with matplotlib's own objects and no global state. Colours are told apart by everybody (Okabe and Ito's
palette, 2008), and nothing is said by colour alone: what is missed and what is false is also written out.
"""

from __future__ import annotations

from array import array
from io import BytesIO
from typing import TYPE_CHECKING

from models.errors import UsageError
from simulators.alerts import FALSE, AlertPeriod, Verdict
from simulators.score import JudgedAlert, JudgedInterval, Run
from simulators.signals import Series, Signals

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

HOUR_MS = 3_600_000
ROWS = 40
"""Devices in an overview."""
DOTS = 110
"""Dots an inch: readable on a page, and a picture stays below 100 KB."""

ALERT_COLOURS: dict[Verdict, str] = {
    "true": "#009e73",
    "early": "#0072b2",
    "beside": "#888888",
    "provoked": "#cc2200",
    "false": "#cc2200",
}
TRUTH, GROWING, HARMLESS = "#f6cf73", "#fdf3d8", "#dcc0d8"
SIGNAL = "#333333"
NEWS2_ON = 7
"""Where the shipped NEWS2 agent alerts; drawn as a line."""

PANELS = (
    ("hr\n/min", "hr"),
    ("SpO2\n%", "spo2"),
    ("NEWS2", "NEWS2"),
    ("risk", "risk"),
    ("anomaly", "anomaly"),
    ("log alert", "alert"),
)
"""Panels of a device's picture, each with the signal that it shows; one without it is left out."""
SHARES = ("risk", "anomaly", "log alert")
"""Panels of numbers from 0 to 1."""
FEW = 400
"""Up to so many readings are dots joined by a line, more are the line alone."""


def overview(run: Run) -> bytes | None:
    """All devices with an event or an alert, one row each, as PNG; None where there are none."""
    devices = sorted(ranked(run)[:ROWS], key=lambda device: (_kind(run, device), device), reverse=True)
    if not devices:
        return None
    figure = _figure(11, 1.3 + 0.36 * len(devices))
    axes = figure.add_subplot()
    for row, device in enumerate(devices):
        axes.axhline(row, color="#e8e8e8", linewidth=0.6, zorder=0)
        for judged in _intervals(run, device):
            _event_bar(axes, run, judged, row)
        for alert in _alerts(run, device):
            start, length = _span(run, alert.period)
            axes.barh(row, length, left=start, height=0.26, color=ALERT_COLOURS[alert.verdict], zorder=3)
            if alert.verdict in FALSE:
                axes.plot(start, row, marker="X", markersize=7, color=ALERT_COLOURS["false"], zorder=4)
    axes.set_yticks(range(len(devices)), devices)
    axes.set_ylim(-0.6, len(devices) - 0.4)
    _hours(axes, run)
    _legend(figure)
    return _png(figure)


def timeline(run: Run, signals: Signals, device: str) -> bytes:
    """One device's signals over what was really wrong, and its alerts below, as PNG."""
    series = signals.of(device)
    panels = [(label, [series[name]]) for label, name in PANELS if name in series]
    if channels := [name for name in series if name.startswith("sensor/")]:
        panels.insert(0, ("sensors,\nscaled", [_scaled(series[name]) for name in channels]))
    agents = sorted({each.period.agent for each in _alerts(run, device)}, reverse=True)
    heights = [1.0] * len(panels) + [0.3 + 0.25 * max(1, len(agents))]
    figure = _figure(11, 0.7 + 0.8 * sum(heights))
    from matplotlib.ticker import MaxNLocator  # after `_figure`, which says where matplotlib is missing

    stacked = figure.subplots(len(heights), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
    for axes in stacked:
        for judged in _intervals(run, device):
            _shade(axes, run, judged)
    for axes, (label, drawn) in zip(stacked, panels, strict=False):
        for each in drawn:
            _line(axes, run, each, alone=len(drawn) == 1)
        axes.yaxis.set_major_locator(MaxNLocator(3, integer=label not in SHARES))
        axes.set_ylabel(label, rotation=0, ha="right", va="center")
        if label == "NEWS2":
            axes.axhline(NEWS2_ON, color="#666666", linewidth=0.7, linestyle="--")
            axes.set_ylim(-0.5, max(10, axes.get_ylim()[1]))
        elif label in SHARES:
            axes.set_ylim(0, max(0.1, min(1.05, axes.get_ylim()[1])))
    bars = stacked[-1]
    for alert in _alerts(run, device):
        row = agents.index(alert.period.agent)
        start, length = _span(run, alert.period)
        bars.barh(row, length, left=start, height=0.6, color=ALERT_COLOURS[alert.verdict], zorder=3)
        if alert.verdict in FALSE:
            bars.plot(start, row, marker="X", markersize=7, color=ALERT_COLOURS["false"], zorder=4)
    bars.set_yticks(range(len(agents)), agents)
    bars.set_ylim(-0.6, max(1, len(agents)) - 0.4)
    _hours(bars, run)
    return _png(figure)


def ranked(run: Run) -> list[str]:
    """Devices with an event or an alert, those that went wrong first: missed, then false, then the rest."""
    missed = {
        each.interval.device for each in run.intervals if each.interval.alert_expected and not each.detected
    }
    false = {each.period.device for each in run.alerts if each.verdict in FALSE}
    shown = {each.interval.device for each in run.intervals} | {each.period.device for each in run.alerts}
    arrivals = {each.name for each in run.truth.devices if each.kind == "arrival"}
    return sorted(shown - arrivals, key=lambda device: (device not in missed, device not in false, device))


def _event_bar(axes: Axes, run: Run, judged: JudgedInterval, row: int) -> None:
    """An interval in an overview: growing, then showing; a missed one is framed and says so."""
    interval = judged.interval
    begins, visible, until = (
        _hour(run, time) for time in (interval.begins, interval.visible_from, interval.until)
    )
    colour = TRUTH if interval.alert_expected else HARMLESS
    axes.barh(row, visible - begins, left=begins, height=0.72, color=GROWING, zorder=1)
    missed = interval.alert_expected and not judged.detected
    axes.barh(
        row,
        until - visible,
        left=visible,
        height=0.72,
        color=colour,
        edgecolor="black" if missed else "none",
        linewidth=2 if missed else 0,
        zorder=2,
    )
    words = f"MISSED {interval.what}" if missed else interval.what
    axes.annotate(
        words,
        (begins, row + 0.36),
        xytext=(2, -1),
        textcoords="offset points",
        va="top",
        fontsize=7,
        fontweight="bold" if missed else "normal",
        zorder=5,
    )


def _shade(axes: Axes, run: Run, judged: JudgedInterval) -> None:
    interval = judged.interval
    begins, visible, until = (
        _hour(run, time) for time in (interval.begins, interval.visible_from, interval.until)
    )
    axes.axvspan(begins, visible, color=GROWING, linewidth=0, zorder=0)
    axes.axvspan(visible, until, color=TRUTH if interval.alert_expected else HARMLESS, linewidth=0, zorder=0)


def _line(axes: Axes, run: Run, series: Series, *, alone: bool) -> None:
    axes.plot(
        [_hour(run, time) for time in series.times],
        series.values,
        linewidth=0.8,
        marker="." if len(series.times) < FEW else "",
        markersize=3,
        color=SIGNAL if alone else None,
        alpha=1.0 if alone else 0.6,
        zorder=2,
    )


def _scaled(series: Series) -> Series:
    """The series around its median in units of its quartiles' distance, so that channels share an axis."""
    import numpy as np

    values = np.asarray(series.values)
    low, middle, high = np.percentile(values, (25, 50, 75))
    return Series(series.times, array("d", (values - middle) / ((high - low) or 1.0)))


def _intervals(run: Run, device: str) -> list[JudgedInterval]:
    return [each for each in run.intervals if each.interval.device == device]


def _alerts(run: Run, device: str) -> list[JudgedAlert]:
    return [each for each in run.alerts if each.period.device == device]


def _kind(run: Run, device: str) -> str:
    return next((each.kind for each in run.truth.devices if each.name == device), "")


def _hour(run: Run, time_ms: float) -> float:
    return (time_ms - run.truth.start) / HOUR_MS


def _span(run: Run, period: AlertPeriod) -> tuple[float, float]:
    """Where an alert's bar begins and how long it is, hours; one of a single reading stays visible."""
    until_ms = run.truth.end if period.until_ms is None else period.until_ms
    shortest = (run.truth.end - run.truth.start) / HOUR_MS / 300
    return _hour(run, period.since_ms), max((until_ms - period.since_ms) / HOUR_MS, shortest)


def _hours(axes: Axes, run: Run) -> None:
    axes.set_xlim(0, _hour(run, run.truth.end))
    axes.set_xlabel("hours from the start")


def _figure(width: float, height: float) -> Figure:
    """An empty figure in inches. Raises `UsageError` where matplotlib is not installed."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise UsageError(
            "Reports are drawn by matplotlib: install Edgeward with the extra `score`."
        ) from error
    figure = Figure(figsize=(width, height), dpi=DOTS, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _legend(figure: Figure) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    said: list[Patch | Line2D] = [
        Patch(color=GROWING, label="grows unseen"),
        Patch(color=TRUTH, label="event shows"),
        Patch(facecolor=TRUTH, edgecolor="black", linewidth=2, label="missed"),
        Patch(color=HARMLESS, label="artefact, harmless"),
        Patch(color=ALERT_COLOURS["true"], label="true alert"),
        Patch(color=ALERT_COLOURS["early"], label="early"),
        Patch(color=ALERT_COLOURS["beside"], label="of another sort"),
        Line2D([], [], color=ALERT_COLOURS["false"], marker="X", linewidth=4, label="FALSE alert"),
    ]
    figure.legend(handles=said, loc="outside upper center", ncols=len(said), frameon=False, fontsize=8)


def _png(figure: Figure) -> bytes:
    drawn = BytesIO()
    figure.savefig(drawn, format="png", metadata={"Software": None})
    return drawn.getvalue()
