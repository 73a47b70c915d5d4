"""The picture of simulated beside real vital signs: one small plot for each, drawn by matplotlib."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from models.errors import UsageError
from simulators.samples import ENOUGH, SIGNS, Sample

INCHES = (10.0, 5.6)
DOTS_PER_INCH = 90
"""Small enough for a repository: below 100 kB."""
SHOWN: Mapping[str, tuple[float, float, float]] = {
    # From, to and width of the bars; widths are multiples of the resolution.
    "hr": (40, 140, 4),
    "rr": (8, 36, 2),
    "spo2": (86, 101, 1),
    "sbp": (70, 220, 10),
    "dbp": (30, 130, 5),
    "temp": (35, 40, 0.2),
}
STYLES = (
    # Okabe and Ito's colours, which everybody can tell apart, and dashes for who sees none.
    ("#0072B2", "-", 2.4),
    ("#E69F00", "-", 1.3),
    ("#009E73", "-", 1.3),
    ("#56B4E9", "--", 2.0),
    ("#D55E00", "--", 1.3),
)


def draw(samples: Sequence[Sample], file: Path) -> None:
    """Writes the picture of up to five *samples* as PNG. Raises `UsageError` without matplotlib."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        message = "The picture is drawn by matplotlib: install Edgeward with the extra `score`."
        raise UsageError(message) from error
    figure = Figure(figsize=INCHES, dpi=DOTS_PER_INCH, layout="constrained")
    FigureCanvasAgg(figure)
    plots = figure.subplots(2, 3)
    for sign, axes in zip(SIGNS, plots.flat, strict=True):
        low, high, width = SHOWN[sign.field]
        # Half a width lower, so that every value lies inside a bar and none on its border.
        edges = np.arange(low, high + width, width) - width / 2
        for each, (colour, dashes, thickness) in zip(samples, STYLES, strict=False):
            readings = each.of(sign.field)
            if len(readings) < ENOUGH:
                continue
            counts, _ = np.histogram(readings, edges)
            axes.stairs(
                counts / len(readings) * 100,
                edges,
                color=colour,
                linestyle=dashes,
                linewidth=thickness,
                label=each.name,
            )
        axes.set_title(f"{sign.title}, {sign.unit}", fontsize=10)
        axes.set_ylabel("% of readings", fontsize=8)
        axes.tick_params(labelsize=8)
        axes.spines[["top", "right"]].set_visible(False)
    handles, labels = plots.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    # Without matplotlib's version in it, the file changes with the data alone.
    figure.savefig(file, metadata={"Software": None})
