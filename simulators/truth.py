"""What is really wrong in a simulated world, and from when it could have been seen. Values only.

An episode is one thing that goes wrong with one device: it grows, stays, and goes away again. The truth of a
world is the list of intervals in which its episodes show, and what its notes mean, as JSON that scoring
reads.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from models.errors import UsageError
from simulators.causes import HARMLESS

FORMAT = 2
"""Number of the JSON's form; 2 since devices have kinds and intervals have classes."""
VISIBLE_SEVERITY = 0.35
"""Severity from which an episode shows: a patient's NEWS2 has then risen by about 3, a machine is well out of
its noise. Below it nobody could be blamed for seeing nothing."""

Family = Literal["deterioration", "machine-fault", "sensor-fault", "artefact", "log"]
"""What sort of thing goes wrong; `class` in the JSON."""
DeviceKind = Literal["bed", "machine", "arrival"]
_SHOWS_ON: Mapping[Family, tuple[str, ...]] = {
    "deterioration": ("vitals", "note"),
    "artefact": ("vitals",),
    "machine-fault": ("sensor", "log"),
    "sensor-fault": ("sensor", "log"),
    "log": ("log",),
}


@dataclass(frozen=True, slots=True)
class Episode:
    """One thing that goes wrong: from nothing to *peak* over the ramp, held, and back over the recovery.

    All times are epoch milliseconds; *to_ms* is when recovery begins, by treatment if it is *treated*.
    """

    device: str
    what: str
    from_ms: int
    ramp_ms: int
    to_ms: int
    recovery_ms: int
    peak: float
    family: Family = "deterioration"
    treated: bool = False

    def severity(self, time_ms: int) -> float:
        """0 to *peak* at *time_ms*, rising and falling smoothly (3x² - 2x³) and without a jump."""
        if time_ms <= self.from_ms:
            return 0.0
        risen = _smooth((time_ms - self.from_ms) / self.ramp_ms) if self.ramp_ms else 1.0
        if time_ms <= self.to_ms:
            return self.peak * risen
        left = 1.0 - (_smooth((time_ms - self.to_ms) / self.recovery_ms) if self.recovery_ms else 1.0)
        return self.peak * risen * left

    def interval(self, end_ms: int) -> Interval | None:
        """From when to when it shows before *end_ms*; None when it never does."""
        first = self._crossing(
            self.from_ms, min(self.to_ms, self.from_ms + max(1, self.ramp_ms)), rising=True
        )
        if first is None or first >= end_ms:
            return None
        last = self._crossing(self.to_ms, self.to_ms + self.recovery_ms + 1, rising=False)
        return Interval(
            device=self.device,
            what=self.what,
            begins=self.from_ms,
            visible_from=first,
            until=end_ms if last is None else min(end_ms, last),
            kinds=_SHOWS_ON[self.family],
            family=self.family,
            alert_expected=self.family != "artefact" and self.what not in HARMLESS,
        )

    def _crossing(self, low_ms: int, high_ms: int, *, rising: bool) -> int | None:
        """First millisecond in the span at which it shows (or, falling, no longer does), by halving."""

        def crossed(time_ms: int) -> bool:
            return (self.severity(time_ms) >= VISIBLE_SEVERITY) == rising

        if not crossed(high_ms):
            return None
        while low_ms < high_ms:
            middle = (low_ms + high_ms) // 2
            low_ms, high_ms = (low_ms, middle) if crossed(middle) else (middle + 1, high_ms)
        return high_ms


def _smooth(share: float) -> float:
    x = min(1.0, max(0.0, share))
    return x * x * (3 - 2 * x)


@dataclass(frozen=True, slots=True)
class Interval:
    """A stretch in which something is wrong with a device and shows on messages of *kinds*; epoch ms."""

    device: str
    what: str
    begins: int
    """When it began to grow: an alert from here on is early, not false."""
    visible_from: int
    """From when it could have been seen: an alert must come only now."""
    until: int
    kinds: tuple[str, ...]
    family: Family = "deterioration"
    alert_expected: bool = True
    """False where nobody need come: an artefact, pain, a fever after an operation. An alert then is false."""


@dataclass(frozen=True, slots=True)
class Device:
    """A device of the world."""

    name: str
    kind: DeviceKind


@dataclass(frozen=True, slots=True)
class NoteTruth:
    """What a note really means: *acuity* 1 (most urgent) to 5 of the note *id* of *device*."""

    device: str
    id: str
    acuity: int
    time: int = 0
    """When it is sent, epoch ms."""


@dataclass(frozen=True, slots=True)
class Truth:
    """All that is known of one run of a world."""

    scenario: str
    seed: int
    site: str
    start: int
    """Epoch ms."""
    end: int
    """Epoch ms; of a run that was stopped, how far it came."""
    devices: tuple[Device, ...]
    intervals: tuple[Interval, ...]
    notes: tuple[NoteTruth, ...] = ()
    path: Mapping[str, int] = field(default_factory=dict)
    """What the faults of the path did, counted: `sent`, `dropped`, `duplicated` and so on. Empty until the
    run is over."""

    def until(self, end_ms: int) -> Truth:
        """The truth of a run that came only to *end_ms*: what began later did not happen."""
        if end_ms >= self.end:
            return self
        seen = (each for each in self.intervals if each.visible_from < end_ms)
        clipped = tuple(replace(each, until=min(each.until, end_ms)) for each in seen)
        notes = tuple(note for note in self.notes if note.time < end_ms)
        came = {note.device for note in notes}
        devices = tuple(each for each in self.devices if each.kind != "arrival" or each.name in came)
        return replace(self, end=end_ms, devices=devices, intervals=clipped, notes=notes)

    def write(self, path: Path) -> None:
        """As one JSON object with a line for each device, interval and note; times are epoch milliseconds."""
        facts = {
            "format": FORMAT,
            "scenario": self.scenario,
            "seed": self.seed,
            "site": self.site,
            "start": self.start,
            "end": self.end,
            "path": dict(self.path),
        }
        encode = json.JSONEncoder().encode
        lists: dict[str, list[dict[str, Any]]] = {
            "devices": [{"name": each.name, "kind": each.kind} for each in self.devices],
            "intervals": [_interval_row(each) for each in self.intervals],
            "notes": [asdict(each) for each in self.notes],
        }
        lines = [f"{encode(key)}: {encode(value)}" for key, value in facts.items()]
        for key, rows in lists.items():
            inner = ",\n  ".join(map(encode, rows))
            lines.append(f"{encode(key)}: [" + (f"\n  {inner}\n " if rows else "") + "]")
        path.write_text("{\n " + ",\n ".join(lines) + "\n}\n", "utf-8")


def _interval_row(interval: Interval) -> dict[str, Any]:
    row = asdict(interval)
    row["class"] = row.pop("family")
    return row


_TRUTH = TypeAdapter(Truth)


def read_truth(path: Path) -> Truth:
    """The truth that `Truth.write` wrote. Raises `UsageError` for anything else."""
    try:
        row = json.loads(path.read_text("utf-8"))
        if not isinstance(row, dict) or row.pop("format", None) != FORMAT:
            raise UsageError(f"{path} is no truth of format {FORMAT}.")
        for each in row.get("intervals", ()):
            each["family"] = each.pop("class", None)
        return _TRUTH.validate_python(row)
    except OSError as error:
        raise UsageError(f"{path} can't be read: {error.strerror}.") from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(level) for level in first["loc"])
        raise UsageError(f"{path} is no truth: {where}: {first['msg']}.") from error
    except (ValueError, AttributeError, TypeError, RecursionError) as error:
        raise UsageError(f"{path} is no truth: it is not the JSON of one.") from error
