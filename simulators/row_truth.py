"""The truth of a replayed dataset: what its rows' labels say, as the intervals and notes that a score uses.

A label becomes truth here where it says that somebody should be alerted, or how urgent a note is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from models.datasets.registry import Row, RowKind
from models.errors import UsageError
from simulators.truth import Device, DeviceKind, Family, Interval, NoteTruth, Truth


@dataclass(frozen=True, slots=True)
class _Label:
    """A row's label of which a true value means that an alert is due."""

    name: str
    what: str
    family: Family


LABELS = {
    "bgl": _Label("alert", "alert-line", "log"),
    "nab": _Label("anomaly", "anomaly", "machine-fault"),
    "physionet-sepsis-2019": _Label("sepsis", "sepsis", "deterioration"),
    "skab": _Label("anomaly", "anomaly", "machine-fault"),
}
"""Dataset to the label that its intervals are made of."""
ACUITIES = {"ktas-triage": "acuity"}
"""Dataset to the label that gives a note's acuity, "1" to "5"."""
# The others have none that an alert could be held against: physionet-icu-2012 knows who died, not when they
# worsened; occupancy whether somebody was in; mts-dialog which section a text is.

_DEVICE_KINDS: dict[RowKind, DeviceKind] = {
    "vitals": "bed",
    "note": "arrival",
    "sensor": "machine",
    "log": "machine",
}


def check_has_truth(dataset: str) -> None:
    """Raises `UsageError` for a dataset whose labels say nothing of alerts."""
    if dataset not in LABELS and dataset not in ACUITIES:
        known = ", ".join(sorted([*LABELS, *ACUITIES]))
        raise UsageError(f"{dataset} has no truth that alerts can be held against; {known} have.")


def truth_of_rows(dataset: str, rows: Sequence[Row], *, seed: int, site: str) -> Truth:
    """What is true of *rows* of *dataset*, by the rows' own times.

    A stretch of labelled rows of a device, one after the other, is one interval, from the first one's time to
    a millisecond after the last one's. Raises `UsageError` where the dataset has no such truth.
    """
    check_has_truth(dataset)
    of_device: dict[str, list[Row]] = {}
    for row in rows:
        of_device.setdefault(row.device, []).append(row)
    devices = [Device(name, _DEVICE_KINDS[its_rows[0].kind]) for name, its_rows in of_device.items()]
    label = LABELS.get(dataset)
    intervals = [each for its_rows in of_device.values() for each in _stretches(its_rows, label)]
    intervals.sort(key=lambda interval: (interval.visible_from, interval.device))
    acuity = ACUITIES.get(dataset)
    notes = [NoteTruth(row.device, row.id, int(row.truth[acuity])) for row in rows] if acuity else []
    times = [row.time_ms for row in rows]
    return Truth(
        scenario=dataset,
        seed=seed,
        site=site,
        start=min(times, default=0),
        end=max(times, default=0) + 1,
        devices=tuple(devices),
        intervals=tuple(intervals),
        notes=tuple(notes),
    )


def _stretches(rows: Sequence[Row], label: _Label | None) -> list[Interval]:
    """The intervals of one device's rows; none where the dataset has no label for them."""
    found: list[Interval] = []
    if label is None:
        return found
    in_time = sorted(rows, key=lambda row: row.time_ms)
    for wrong, stretch in groupby(in_time, lambda row: bool(row.truth.get(label.name))):
        if wrong:
            labelled = list(stretch)
            first, last = labelled[0], labelled[-1]
            found.append(
                Interval(
                    device=first.device,
                    what=label.what,
                    begins=first.time_ms,
                    visible_from=first.time_ms,
                    until=last.time_ms + 1,
                    kinds=(first.kind,),
                    family=label.family,
                )
            )
    return found
