"""Alerts against the truth: periods, and what each was worth. The one place where these words are defined.

The score of a recording and the demo's live count share it; docs/scoring.md says the same for people. Which
kind of input an agent reads is an argument: the simulators know nothing of the gateway's agents.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from simulators.truth import Interval

GRACE_MINUTES = 30.0
"""How long after a fault stopped showing its alert still counts as its: readings stay valid for an hour, so
an alert may rightly come, or stay, a little later."""
GRACE_MS = round(GRACE_MINUTES * 60_000)

Verdict = Literal["true", "early", "beside", "provoked", "false"]
"""What an alert was worth, best first:

- true: on while something of its kind showed, or in the grace after
- early: on while that grew, and over before anybody could have seen it
- beside: something is wrong with the device, but nothing that this agent reads
- provoked: false, and on while an artefact spoilt what its agent reads, or something harmless showed there
- false: nothing is wrong with the device
"""
VERDICTS: tuple[Verdict, ...] = ("true", "early", "beside", "provoked", "false")
FALSE: tuple[Verdict, ...] = ("provoked", "false")
"""The verdicts that make an alert a false one."""


@dataclass(slots=True)
class AlertPeriod:
    """One alert from when it came on until it went off; epoch ms on the world's clock."""

    device: str
    agent: str
    since_ms: int
    until_ms: int | None = None
    """None while it is on."""
    input_id: str = ""
    """The input that raised it."""


@dataclass(slots=True)
class AlertLog:
    """The alert periods that a stream of retained alerts makes, in order of their raising."""

    periods: list[AlertPeriod] = field(default_factory=list)
    on: dict[str, AlertPeriod] = field(default_factory=dict)
    """Topic to the alert that is on now."""

    def raised(self, topic: str, device: str, agent: str, since_ms: int, input_id: str = "") -> None:
        """An alert came. One that is on already has only worsened, or was published again."""
        if topic not in self.on:
            self.on[topic] = AlertPeriod(device, agent, since_ms, input_id=input_id)
            self.periods.append(self.on[topic])

    def cleared(self, topic: str, at_ms: int) -> None:
        """The alert is gone; one that was never on changes nothing."""
        if (period := self.on.pop(topic, None)) is not None:
            period.until_ms = max(period.since_ms, at_ms)


def overlaps(period: AlertPeriod, from_ms: int, until_ms: int) -> bool:
    """Whether the alert was on between *from_ms* and the end of the grace after *until_ms*."""
    return period.since_ms <= until_ms + GRACE_MS and (period.until_ms is None or period.until_ms >= from_ms)


def reads(period: AlertPeriod, interval: Interval, kinds: Mapping[str, str]) -> bool:
    """Whether it is the same device, and its agent reads a kind of input that the interval shows on."""
    return period.device == interval.device and kinds.get(period.agent) in interval.kinds


def detecting(
    periods: Sequence[AlertPeriod], interval: Interval, kinds: Mapping[str, str]
) -> list[AlertPeriod]:
    """The alerts that detect *interval*: of an agent that reads it, on while it shows or in the grace after.

    *kinds* is agent to kind of input, here and below.
    """
    return [
        period
        for period in periods
        if reads(period, interval, kinds) and overlaps(period, interval.visible_from, interval.until)
    ]


def verdict(period: AlertPeriod, intervals: Sequence[Interval], kinds: Mapping[str, str]) -> Verdict:
    """What one alert was worth, given all *intervals* of the world (or of its device)."""
    wrong = [each for each in intervals if each.device == period.device]
    expected = [each for each in wrong if each.alert_expected]
    if any(detecting([period], each, kinds) for each in expected):
        return "true"
    growing = [each for each in expected if overlaps(period, each.begins, each.until)]
    if growing:
        return "early" if any(reads(period, each, kinds) for each in growing) else "beside"
    harmless = (each for each in wrong if not each.alert_expected and reads(period, each, kinds))
    return "provoked" if any(overlaps(period, each.begins, each.until) for each in harmless) else "false"


def percentile(values: Sequence[float], percent: int) -> float | None:
    """The smallest value that at least *percent* of them don't exceed (nearest rank); None of none."""
    return sorted(values)[-(-len(values) * percent // 100) - 1] if values else None
