"""Reader of bgl: lines of the BlueGene/L supercomputer's log, labelled by its operators, as log messages."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from models.datasets.registry import Row

NO_ALERT = "-"
"""In the column Label; anything else is a class of alert."""


def rows(folder: Path) -> Iterator[Row]:
    """Rows in the order of the log: device is the node, id is `bgl-{LineId}`.

    The line is what the machine wrote after its timestamp and node: type, component, level, content. The
    level is part of every such line and stays; it is not the label (204 of the 347 FATAL lines are no
    alert). Truth is `alert`, and `template`, the number of the line's template in the source.
    """
    with (folder / "BGL_2k_structured.csv").open(encoding="utf-8", newline="") as file:
        for record in csv.DictReader(file):
            yield Row(
                device=record["Node"],
                time_ms=int(record["Timestamp"]) * 1000,
                kind="log",
                payload={
                    "line": " ".join(record[part] for part in ("Type", "Component", "Level", "Content"))
                },
                id=f"bgl-{record['LineId']}",
                truth={"alert": record["Label"] != NO_ALERT, "template": record["EventId"]},
            )
