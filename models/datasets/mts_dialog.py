"""Reader of mts-dialog: sections of clinical notes with the section's name, as note messages."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from models.datasets.registry import Row

FIRST_MS = int(datetime(2023, 1, 1, tzinfo=UTC).timestamp() * 1000)
"""The data have no times; the first note is given this instant."""
STEP_MS = 60_000
"""From one note to the next."""
PARTS = ("train", "validation")


def rows(folder: Path) -> Iterator[Row]:
    """Rows in the order of the files: one device and one note a section, both called `mts-{part}-{ID}`.

    The text is the section as a clinician wrote it, not the dialogue it was written from. Truth is `section`,
    one of 20 names such as `GENHX`.
    """
    count = 0
    for part in PARTS:
        with (folder / f"{part}.csv").open(encoding="utf-8", newline="") as file:
            for record in csv.DictReader(file):
                name = f"mts-{part}-{record['ID']}"
                yield Row(
                    device=name,
                    time_ms=FIRST_MS + count * STEP_MS,
                    kind="note",
                    payload={"text": record["section_text"]},
                    id=name,
                    truth={"section": record["section_header"]},
                )
                count += 1
