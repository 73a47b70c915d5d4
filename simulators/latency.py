"""What came back of a load: latencies from the intended send time, and what was lost, repeated, out of order.

Times are monotonic seconds of one clock, handed in; nothing here sends, waits or reads a clock.
"""

from __future__ import annotations

import json
from array import array
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from models.errors import UsageError
from simulators.heard import ROOT

LONGEST_US = 3_600_000_000
"""The longest latency that is told apart, microseconds: an hour. What took longer counts as that."""
DIGITS = 3
"""Significant digits that a histogram keeps, as HdrHistogram's own examples do."""


@dataclass(frozen=True, slots=True)
class Quantiles:
    """A distribution of latencies, in milliseconds."""

    count: int
    p50_ms: float
    p90_ms: float
    p99_ms: float
    p99_9_ms: float
    max_ms: float


class Histogram:
    """Durations in an HdrHistogram: bounded memory, every value to three digits.

    Raises `UsageError` where the library is not installed.
    """

    def __init__(self) -> None:
        try:
            from hdrh.histogram import HdrHistogram
        except ImportError as error:
            raise UsageError("A load needs hdrhistogram: pip install 'edgeward[score]'.") from error
        self._counts: Any = HdrHistogram(1, LONGEST_US, DIGITS)

    def add(self, seconds: float) -> None:
        """Counts one duration; less than a microsecond counts as one."""
        self._counts.record_value(min(LONGEST_US, max(1, round(seconds * 1e6))))

    def include(self, other: Histogram) -> None:
        """Counts all that *other* has counted."""
        self._counts.add(other._counts)

    @property
    def quantiles(self) -> Quantiles | None:
        """Where its parts end; None when it is empty."""
        if not (count := self._counts.get_total_count()):
            return None

        def at(percentile: float) -> float:
            return float(self._counts.get_value_at_percentile(percentile)) / 1000

        return Quantiles(count, at(50), at(90), at(99), at(99.9), float(self._counts.get_max_value()) / 1000)


@dataclass(slots=True)
class NumbersSeen:
    """Which of the numbers 1, 2, 3 … of one device an agent has answered, in which order."""

    following: int = 1
    """The number that comes next if nothing goes wrong; all below it are there or missing."""
    missing: set[int] = field(default_factory=set)
    duplicates: int = 0
    reordered: int = 0
    """Answers that came after one to a later input."""

    def came(self, number: int) -> bool:
        """Takes note of *number*; whether it is there for the first time."""
        if number >= self.following:
            self.missing.update(range(self.following, number))
            self.following = number + 1
            return True
        if number in self.missing:
            self.missing.remove(number)
            self.reordered += 1
            return True
        self.duplicates += 1
        return False

    def lost(self, sent: int) -> int:
        """How many of *sent* have not come."""
        return len(self.missing) + sent - (self.following - 1)


@dataclass(frozen=True, slots=True)
class AgentLine:
    """What one agent did with a load."""

    agent: str
    kind: str
    inputs: int
    """Of its kind; it owes an answer to each."""
    lost: int
    duplicates: int
    reordered: int
    classification: Quantiles | None
    alert: Quantiles | None


@dataclass(slots=True)
class _Agent:
    kind: str
    classification: Histogram = field(default_factory=Histogram)
    alert: Histogram = field(default_factory=Histogram)
    devices: dict[str, NumbersSeen] = field(default_factory=dict)


class Answers:
    """Compares what is sent for *site* with what comes back; grows by 8 bytes an input, and with the alerts.

    Inputs have ids `{device}-{kind}-{number}`, numbered from 1 for each device and kind.
    """

    def __init__(self, site: str) -> None:
        self._prefix = f"{ROOT}/{site}/"
        self._intended: dict[str, array[float]] = {}  # device-kind -> intended send time of each number
        self._sent: Counter[str] = Counter()
        self._agents: dict[str, _Agent] = {}
        self._alerts: set[str] = set()
        self.rejected = 0
        """Rejections of any input while the load went on; they don't say whose."""
        self.unreadable = 0
        """Outputs that are not what the contract says."""

    @property
    def filters(self) -> list[str]:
        """What to subscribe: the outputs, and not the inputs."""
        outputs = [f"{self._prefix}+/classification/+", f"{self._prefix}+/alert/+"]
        return [*outputs, "edgeward/gateway/+/rejected"]

    def sent(self, device: str, kind: str, intended_s: float) -> None:
        """The next input of *device* and *kind* goes out, which was to go out at *intended_s*."""
        self._intended.setdefault(f"{device}-{kind}", array("d")).append(intended_s)
        self._sent[kind] += 1

    def came(self, topic: str, payload: bytes, at_s: float) -> None:
        """A message of a gateway's arrived at *at_s*."""
        if not topic.startswith(self._prefix):
            self.rejected += 1
            return
        if not payload:
            return  # an alert that is gone
        device, what, agent = topic.removeprefix(self._prefix).split("/")
        try:
            event = json.loads(payload)
            event_id, input_id = event["id"], event["data"]["input"]["id"]
            stream, _, digits = input_id.rpartition("-")
            number = int(digits)
            intended = self._intended[stream]
        except (ValueError, KeyError, TypeError, AttributeError):
            self.unreadable += 1
            return
        if not 1 <= number <= len(intended):
            self.unreadable += 1
            return
        taken_s = at_s - intended[number - 1]
        state = self._agents.get(agent)
        if state is None:
            state = self._agents[agent] = _Agent(kind=stream.rpartition("-")[2])
        if what == "alert":
            if event_id not in self._alerts:  # the same one comes again after each connection
                self._alerts.add(event_id)
                state.alert.add(taken_s)
        elif state.devices.setdefault(device, NumbersSeen()).came(number):
            state.classification.add(taken_s)

    @property
    def owed(self) -> int:
        """Answers still to come of the agents that have answered before."""
        return sum(self._lost(agent) for agent in self._agents.values())

    @property
    def any_came(self) -> bool:
        """Whether any agent has answered anything."""
        return bool(self._agents)

    @property
    def unanswered(self) -> dict[str, int]:
        """Inputs of each kind that was sent and that no agent has ever answered."""
        answered = {agent.kind for agent in self._agents.values()}
        return {kind: count for kind, count in sorted(self._sent.items()) if kind not in answered}

    def lines(self) -> list[AgentLine]:
        """Each agent's part, by name."""
        return [self._line(name, agent) for name, agent in sorted(self._agents.items())]

    def overall(self, what: str) -> Quantiles | None:
        """All agents' latencies to `classification` or `alert` together."""
        together = Histogram()
        for agent in self._agents.values():
            together.include(getattr(agent, what))
        return together.quantiles

    def _line(self, name: str, agent: _Agent) -> AgentLine:
        sequences = agent.devices.values()
        return AgentLine(
            agent=name,
            kind=agent.kind,
            inputs=self._sent[agent.kind],
            lost=self._lost(agent),
            duplicates=sum(each.duplicates for each in sequences),
            reordered=sum(each.reordered for each in sequences),
            classification=agent.classification.quantiles,
            alert=agent.alert.quantiles,
        )

    def _lost(self, agent: _Agent) -> int:
        """Inputs of the agent's kind that it has not answered."""
        ending = f"-{agent.kind}"
        return sum(
            agent.devices.get(stream.removesuffix(ending), _NOTHING).lost(len(times))
            for stream, times in self._intended.items()
            if stream.endswith(ending)
        )


_NOTHING = NumbersSeen()
"""What has come of a device of which nothing has."""
