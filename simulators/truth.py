"""What is really wrong in a simulated world, and from when it could have been seen. Values only.

An episode is one thing that goes wrong with one device: it grows, stays, and goes away again. The truth of a
world is the list of intervals in which its episodes show, as JSON that scoring reads.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

VISIBLE_SEVERITY = 0.35
"""Severity from which an episode shows: a patient's NEWS2 has then risen by about 3, a machine is well out of
its noise. Below it nobody could be blamed for seeing nothing."""


@dataclass(frozen=True, slots=True)
class Episode:
    """One thing that goes wrong: from nothing to *peak* over the ramp, held, and back over the recovery.

    All times are epoch milliseconds; *to_ms* is when recovery begins.
    """

    device: str
    what: str
    from_ms: int
    ramp_ms: int
    to_ms: int
    recovery_ms: int
    peak: float

    def severity(self, time_ms: int) -> float:
        """0 to *peak* at *time_ms*, rising and falling smoothly (3x² - 2x³) and without a jump."""
        if time_ms <= self.from_ms:
            return 0.0
        risen = _smooth((time_ms - self.from_ms) / self.ramp_ms) if self.ramp_ms else 1.0
        if time_ms <= self.to_ms:
            return self.peak * risen
        left = 1.0 - (_smooth((time_ms - self.to_ms) / self.recovery_ms) if self.recovery_ms else 1.0)
        return self.peak * risen * left

    def interval(self, end_ms: int, kinds: Sequence[str]) -> Interval | None:
        """From when to when it shows before *end_ms*; None when it never does."""
        first = self._crossing(
            self.from_ms, min(self.to_ms, self.from_ms + max(1, self.ramp_ms)), rising=True
        )
        if first is None or first >= end_ms:
            return None
        last = self._crossing(self.to_ms, self.to_ms + self.recovery_ms + 1, rising=False)
        until = end_ms if last is None else min(end_ms, last)
        return Interval(self.device, self.what, self.from_ms, first, until, tuple(kinds))

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


@dataclass(frozen=True, slots=True)
class Truth:
    """All that is known of one run of a world."""

    scenario: str
    seed: int
    site: str
    start: int
    """Epoch ms."""
    end: int
    """Epoch ms."""
    devices: tuple[str, ...]
    intervals: tuple[Interval, ...]

    def write(self, path: Path) -> None:
        """As one JSON object; times are epoch milliseconds."""
        path.write_text(json.dumps({"format": 1, **asdict(self)}, indent=1) + "\n", "utf-8")
