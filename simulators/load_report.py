"""What a load test found, as values and as sentences. Nothing here measures."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from simulators.latency import AgentLine, Quantiles

LAG_LIMIT_MS = 10.0
"""If 1 of 100 messages goes out later than that, the load may not be the one that was asked for…"""
LAG_SHARE = 0.1
"""…and is not where that is more than this share of the latency at the same quantile."""
CPU_LIMIT = 0.9
"""Share of a core from which the sender itself shapes the latencies."""
HELD_BACK_LIMIT = 0.1
"""Share of the time in which the broker would take no more, from which that is said."""


@dataclass(frozen=True, slots=True)
class LoadReport:
    """What a load found; shares are of 1."""

    site: str
    rate: float
    """Messages a second, as asked for."""
    achieved_rate: float
    """Messages a second that went out."""
    seconds: float
    """From the first message's time to the last one's sending."""
    sent: int
    acknowledged: int
    """By the broker."""
    lost: int
    """Answers that never came of agents that answer this kind of input; and inputs of kinds with no agent."""
    duplicates: int
    reordered: int
    rejected: int
    unreadable: int
    unanswered: dict[str, int]
    """Inputs of each kind that no agent has ever answered."""
    agents: list[AgentLine]
    classification: Quantiles | None
    """From the intended send time to the arrival of the answer."""
    alert: Quantiles | None
    """The same of the first publication of each alert."""
    send_lag: Quantiles | None
    """From the intended to the real send time."""
    held_back_seconds: float
    """How long the next message was due and the broker had not acknowledged enough to take it."""
    cpu_share: float
    """Of one core, this process's."""
    finished: bool
    """False when it was stopped."""

    @property
    def held_back(self) -> bool:
        """Whether the broker, by late acknowledgements, kept the load from being the one asked for."""
        return self.held_back_seconds > HELD_BACK_LIMIT * self.seconds

    @property
    def late(self) -> bool:
        """Whether messages went out so late that it shows in the latencies."""
        if self.send_lag is None or self.send_lag.p99_ms <= LAG_LIMIT_MS:
            return False
        return self.classification is None or self.send_lag.p99_ms > LAG_SHARE * self.classification.p99_ms

    @property
    def generator_limited(self) -> bool:
        """Whether the sender itself, not broker or gateway, could not keep up."""
        return self.cpu_share > CPU_LIMIT or (self.late and not self.held_back)

    @property
    def remarks(self) -> list[str]:
        """What to know before believing the figures, in sentences."""
        said = []
        if self.generator_limited:
            lag_ms = 0.0 if self.send_lag is None else self.send_lag.p99_ms
            said.append(
                f"The generator itself was the limit: it used {self.cpu_share:.0%} of a core, and 1 of 100 "
                f"messages went out {lag_ms:.1f} ms late or later. Latencies hold its own delay; ask for a "
                "lower rate or use a faster machine."
            )
        if self.held_back:
            said.append(
                f"The broker held messages back for {self.held_back_seconds:.1f} s: its acknowledgements "
                "came too late."
            )
        if self.unanswered:
            kinds = ", ".join(self.unanswered)
            said.append(f"No gateway answered any input of the kind {kinds}: is one running, with agents?")
        if self.rejected:
            said.append(f"Gateways rejected {self.rejected} messages meanwhile, of this load or others.")
        return said

    def as_json(self) -> dict[str, Any]:
        """All of it as JSON's types."""
        return {**asdict(self), "generator_limited": self.generator_limited, "remarks": self.remarks}
