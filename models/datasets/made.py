"""Reader of made data: the JSON lines that the simulators write (`edgeward data make NAME --seed N`)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from models.datasets.registry import Row
from models.errors import DataMissing


def made_path(name: str, seed: int, folder: Path) -> Path:
    """The file in *folder* that holds made data *name* of *seed*, whether it is there or not."""
    return folder / f"{name}-{seed}.jsonl"


def locate_made(name: str, seed: int, folder: Path) -> Path:
    """That file, or DataMissing with the command that makes it."""
    path = made_path(name, seed, folder)
    if not path.is_file():
        raise DataMissing(f"{path} is not there: make it with 'edgeward data make {name} --seed {seed}'")
    return path


def rows(path: Path) -> Iterator[Row]:
    """The rows of one made file, in order; DataMissing, with the line's number, where a line is no row."""
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            try:
                item = json.loads(line)
                yield Row(
                    device=item["device"],
                    time_ms=item["time"],
                    kind=item["kind"],
                    payload=item["payload"],
                    id=item["id"],
                    truth=item["truth"],
                )
            except (ValueError, KeyError, TypeError) as exc:
                raise DataMissing(
                    f"{path}, line {number}: not a row of made data; make the file again"
                ) from exc
