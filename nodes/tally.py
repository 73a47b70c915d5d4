"""What the gateway has done since its start, counted. Nothing here names a patient, a device or a topic."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from nodes.outputs import Counters, encoded
from nodes.times import format_time


@dataclass(slots=True)
class Tally:
    """Every message received is in exactly one of the other four."""

    received: int = 0
    classified: int = 0
    in_part: int = 0
    rejected: int = 0
    repeated: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    """Why messages were rejected and values refused; the texts are a closed list (`nodes.reasons`)."""

    def add(self, verdict: str, reasons: Iterable[str]) -> None:
        """Counts one message that came to *verdict*, one of the four."""
        self.received += 1
        setattr(self, verdict, getattr(self, verdict) + 1)
        self.reasons.update(str(reason) for reason in reasons)

    def report(
        self, gateway: str, now_ms: int, *, owed: int, given_up: Mapping[str, int], durable: bool
    ) -> bytes:
        """The counters as they are published; what is on its way out comes from whoever sends it."""
        return encoded(
            Counters(
                gateway=gateway,
                time=format_time(now_ms),
                received=self.received,
                classified=self.classified,
                in_part=self.in_part,
                rejected=self.rejected,
                repeated=self.repeated,
                reasons=dict(sorted(self.reasons.items())),
                owed=owed,
                given_up=dict(sorted(given_up.items())),
                durable=durable,
            )
        )
