"""The score: what a gateway made of a world whose truth is known. Pure; docs/scoring.md says it for people.

`Run` holds one recording judged against its truth, `Score` the numbers of one run or of several together.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from models.errors import UsageError
from simulators.alerts import FALSE, GRACE_MS, VERDICTS, AlertPeriod, Verdict, detecting, percentile, verdict
from simulators.heard import Heard
from simulators.score_notes import LEVELS, URGENT, NotesScore, score_notes
from simulators.truth import Interval, Truth

DAY_MS = 86_400_000
MINUTE_MS = 60_000


@dataclass(frozen=True, slots=True)
class JudgedAlert:
    """An alert period and what it was worth."""

    period: AlertPeriod
    verdict: Verdict
    idle_ms: int
    """How long of it nothing was wrong with the device."""


@dataclass(frozen=True, slots=True)
class JudgedInterval:
    """Something that was wrong, and the alerts on while it showed: for what is harmless, false ones."""

    interval: Interval
    alerts: tuple[AlertPeriod, ...]

    @property
    def detected(self) -> bool:
        """Whether any alert was on for it."""
        return bool(self.alerts)

    @property
    def delay_ms(self) -> int | None:
        """From when it could be seen to its first alert; 0 where one was on by then, None where none came."""
        if not self.alerts:
            return None
        return max(0, min(each.since_ms for each in self.alerts) - self.interval.visible_from)


@dataclass(frozen=True, slots=True)
class Run:
    """One recording against its truth."""

    truth: Truth
    alerts: tuple[JudgedAlert, ...]
    intervals: tuple[JudgedInterval, ...]
    """In the truth's order."""
    notes: NotesScore
    counts: Mapping[str, int]
    """`input`, `classification`, `alert`, `rejected`, `unreadable`."""
    repeats: Mapping[str, int]
    """Classifications and alerts that came more than once, under the same CloudEvents source and id."""
    unanswered: int
    """Inputs in the recording that were neither answered nor rejected."""


def judge(truth: Truth, messages: Iterable[tuple[str, bytes]], kinds: Mapping[str, str]) -> Run:
    """The recording *messages* (topic and payload, in order) against *truth*.

    *kinds* is agent to the kind of input that it reads. Raises `UsageError` where the recording holds
    nothing of the truth's site: a score of nothing would look like a quiet ward.
    """
    heard = Heard(truth.site, kinds)
    for topic, payload in messages:
        heard.came(topic, payload)
    return judge_heard(truth, heard, kinds)


def judge_heard(truth: Truth, heard: Heard, kinds: Mapping[str, str]) -> Run:
    """The same, of what has been heard. Raises `UsageError`."""
    if not heard.counts.total():
        raise UsageError(f"The recording holds no message of the truth's site {truth.site}.")
    if any(not 1 <= note.acuity <= LEVELS for note in truth.notes):
        raise UsageError(f"The truth has a note with an acuity that is not 1 to {LEVELS}.")
    urgent = {(note.device, note.id) for note in truth.notes if note.acuity <= URGENT}
    wrong: dict[str, list[Interval]] = {}
    for interval in truth.intervals:
        wrong.setdefault(interval.device, []).append(interval)
    periods: dict[str, list[AlertPeriod]] = {}
    for period in heard.alerts.periods:
        periods.setdefault(period.device, []).append(period)

    def judged(period: AlertPeriod) -> JudgedAlert:
        mine = wrong.get(period.device, [])
        is_urgent = kinds.get(period.agent) == "note" and (period.device, period.input_id) in urgent
        worth: Verdict = "true" if is_urgent else verdict(period, mine, kinds)
        idle_ms = 0 if is_urgent else _idle_ms(period, mine, truth.end)
        return JudgedAlert(period, worth, idle_ms)

    return Run(
        truth=truth,
        alerts=tuple(judged(period) for period in heard.alerts.periods),
        intervals=tuple(
            JudgedInterval(interval, tuple(detecting(periods.get(interval.device, []), interval, kinds)))
            for interval in truth.intervals
        ),
        notes=score_notes(truth.notes, heard.notes),
        counts=heard.counts,
        repeats=heard.repeats,
        unanswered=heard.unanswered,
    )


def _idle_ms(period: AlertPeriod, intervals: Sequence[Interval], end_ms: int) -> int:
    """How much of the alert lies outside of every expected interval, from beginning to end of grace."""
    from_ms = period.since_ms
    until_ms = max(from_ms, end_ms if period.until_ms is None else min(period.until_ms, end_ms))
    idle_ms = 0
    for each in sorted((each for each in intervals if each.alert_expected), key=lambda each: each.begins):
        idle_ms += max(0, min(each.begins, until_ms) - from_ms)
        from_ms = min(max(from_ms, each.until + GRACE_MS), until_ms)
    return idle_ms + until_ms - from_ms


@dataclass(frozen=True, slots=True)
class WhatLine:
    """How one sort of wrong fared: *what* is a cause, a fault or an artefact, *family* its sort.

    Where no alert is *expected* (an artefact, a harmless pain) each alert is a false one.
    """

    what: str
    family: str
    expected: bool
    intervals: int
    alerted: int
    """Those with an alert."""
    delays_ms: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class AgentLine:
    """One agent's alerts by their worth, and in how many expected intervals of its kind it had one on."""

    agent: str
    verdicts: Mapping[Verdict, int]
    readable: int
    detected: int

    @property
    def false(self) -> int:
        """Its false alerts, the provoked among them."""
        return sum(self.verdicts[each] for each in FALSE)


@dataclass(frozen=True, slots=True)
class Score:
    """The numbers of one run, or of several together."""

    runs: Sequence[Run]
    kinds: Mapping[str, str] = field(repr=False)

    @property
    def expected(self) -> list[JudgedInterval]:
        """What should have been alerted."""
        return [each for run in self.runs for each in run.intervals if each.interval.alert_expected]

    @property
    def detected(self) -> int:
        """Expected intervals with an alert."""
        return sum(each.detected for each in self.expected)

    @property
    def missed(self) -> int:
        """Expected intervals without one."""
        return len(self.expected) - self.detected

    @property
    def delays_ms(self) -> list[int]:
        """Of the detected intervals: from when they could be seen to the first alert."""
        return [each.delay_ms for each in self.expected if each.delay_ms is not None]

    def delay_minutes(self, percent: int) -> float | None:
        """That percentile of the delays, by nearest rank."""
        found = percentile(self.delays_ms, percent)
        return None if found is None else found / MINUTE_MS

    @property
    def alerts(self) -> list[JudgedAlert]:
        """All alert periods."""
        return [each for run in self.runs for each in run.alerts]

    @property
    def verdicts(self) -> dict[Verdict, int]:
        """How many alerts were worth what."""
        found = Counter(each.verdict for each in self.alerts)
        return {each: found[each] for each in VERDICTS}

    @property
    def alerts_per_event(self) -> float | None:
        """Alerts that detected something, over what was detected: how often one event calls people."""
        calls = sum(len(each.alerts) for each in self.expected)
        return calls / self.detected if self.detected else None

    def days(self, kind: str) -> float:
        """Device-days of `bed`, `machine` or `arrival` devices."""
        return sum(
            (run.truth.end - run.truth.start) / DAY_MS * sum(each.kind == kind for each in run.truth.devices)
            for run in self.runs
        )

    def false_alerts(self, kind: str) -> int:
        """False alerts on devices of that kind."""
        return sum(
            alert.verdict in FALSE and alert.period.device in of_kind
            for run, of_kind in ((run, _names(run, kind)) for run in self.runs)
            for alert in run.alerts
        )

    def false_per_day(self, kind: str) -> float | None:
        """False alerts a device-day; None where there is no such device."""
        days = self.days(kind)
        return self.false_alerts(kind) / days if days else None

    def idle_share(self, kind: str) -> float | None:
        """Share of the device-time in which an alert of an agent was on and nothing was wrong.

        It shows what a count can't: an alert that never goes off is one alert, and detects everything.
        Several agents' alerts on one device add up.
        """
        days = self.days(kind)
        idle_ms = sum(
            alert.idle_ms
            for run, of_kind in ((run, _names(run, kind)) for run in self.runs)
            for alert in run.alerts
            if alert.period.device in of_kind
        )
        return idle_ms / DAY_MS / days if days else None

    @property
    def notes(self) -> NotesScore:
        """All notes together."""
        return sum((run.notes for run in self.runs), NotesScore(np.zeros((LEVELS, LEVELS), np.int64)))

    def count(self, sort: str) -> int:
        """Messages of that sort; see `Run.counts`."""
        return sum(run.counts.get(sort, 0) for run in self.runs)

    @property
    def repeats(self) -> int:
        """Outputs that came more than once."""
        return sum(sum(run.repeats.values()) for run in self.runs)

    @property
    def unanswered(self) -> int:
        """Inputs in the recordings that were neither answered nor rejected."""
        return sum(run.unanswered for run in self.runs)

    @property
    def by_what(self) -> list[WhatLine]:
        """One line for each sort of wrong, expected ones first."""
        grouped: dict[tuple[bool, str, str], list[JudgedInterval]] = {}
        for each in (each for run in self.runs for each in run.intervals):
            key = (not each.interval.alert_expected, each.interval.family, each.interval.what)
            grouped.setdefault(key, []).append(each)
        return [
            WhatLine(
                what,
                family,
                expected=not harmless,
                intervals=len(found),
                alerted=sum(each.detected for each in found),
                delays_ms=tuple(each.delay_ms for each in found if each.delay_ms is not None),
            )
            for (harmless, family, what), found in sorted(grouped.items())
        ]

    @property
    def by_agent(self) -> list[AgentLine]:
        """One line for each known agent, and for any other that raised an alert."""
        others = sorted({each.period.agent for each in self.alerts} - self.kinds.keys())
        return [self._agent(agent) for agent in (*self.kinds, *others)]

    def _agent(self, agent: str) -> AgentLine:
        found = Counter(each.verdict for each in self.alerts if each.period.agent == agent)
        readable = [each for each in self.expected if self.kinds.get(agent) in each.interval.kinds]
        return AgentLine(
            agent,
            {each: found[each] for each in VERDICTS},
            readable=len(readable),
            detected=sum(any(alert.agent == agent for alert in each.alerts) for each in readable),
        )


def _names(run: Run, kind: str) -> set[str]:
    return {device.name for device in run.truth.devices if device.kind == kind}
