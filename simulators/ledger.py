"""What counting devices are owed and get: sent, acknowledged, answered, lost, repeated, different. Pure.

Everything is counted from outside: a reading by its publisher's acknowledgement and by the messages that came
on the output topics. Nothing of the gateway is used here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

REJECTED = "rejected"
"""Stands for an agent where the one answer that is owed is a rejection."""


@dataclass(slots=True)
class AgentLine:
    """One agent's results."""

    owed: int = 0
    """Answers that the readings sent call for, each counted once."""
    received: int = 0
    """Of these, how many came at least once."""
    repeated_same: int = 0
    """Came once more, byte for byte the same."""
    repeated_in_time: int = 0
    """Came once more with the same id and result and another `received` or `classified`."""
    repeated_different: int = 0
    """Came once more with another id or result."""
    compared: int = 0
    different: int = 0
    """Of those compared with an uninterrupted run: the result is another, or that run has none."""


@dataclass(frozen=True, slots=True)
class Statement:
    """A ledger's sums."""

    sent: int
    """Readings and bad inputs, each counted once."""
    sent_again: int
    """Copies beyond the first: duplicates made on purpose, and what a device sent again unanswered."""
    acknowledged: int
    """Of those sent, how many the broker acknowledged to their publisher."""
    answered: int
    """Of those sent, how many every agent answered."""
    lost: int
    """Acknowledged to the publisher and not answered in full."""
    unacknowledged: int
    """Neither acknowledged nor answered in full: the publisher knows that it must send them again."""
    answered_after_resending: int
    """Acknowledged, and answered only after a device that had no answer sent them again: forgotten by the
    broker, or answered so late."""
    unknown: int
    """Results for inputs that nobody sent."""
    alerts: int
    """Alerts that are on at the end."""
    alerts_different: int | None
    """Topics on which an uninterrupted run ends with another alert, or with or without one; None where none
    was held against them."""
    agents: dict[str, AgentLine]


@dataclass(slots=True)
class _Entry:
    """One input. *answers* holds, for each agent that has answered, hashes of the bytes and of the result."""

    agents: Sequence[str]
    acknowledged: bool = False
    resent: bool = False
    late: bool = False
    answers: dict[str, tuple[int, int]] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        return len(self.answers) == len(self.agents)


class Ledger:
    """Accounts for one site. *answered_by* names, for each kind of input, the agents that answer it.

    An input is known by a name: a reading by its id, which is never used twice on the site, a bad input by
    its payload's sha256, which its rejection bears.
    """

    def __init__(self, answered_by: Mapping[str, Sequence[str]]) -> None:
        self._answered_by = {kind: tuple(agents) for kind, agents in answered_by.items()}
        self._entries: dict[str, _Entry] = {}
        self._lines: dict[str, AgentLine] = {}
        self._sent_again = self._unknown = 0
        self._alerts: dict[str, bytes] = {}
        self._alerts_expected: dict[str, bytes] | None = None

    def sent(self, name: str, kind: str) -> None:
        """An input goes out for the first time; *kind* is REJECTED for a bad one."""
        agents = (REJECTED,) if kind == REJECTED else self._answered_by[kind]
        self._entries[name] = _Entry(agents)
        for agent in agents:
            self._line(agent).owed += 1

    def sent_again(self, name: str, *, unanswered: bool) -> None:
        """A copy goes out, because it is *unanswered* or just so."""
        self._sent_again += 1
        self._entries[name].resent |= unanswered

    def acknowledged(self, name: str) -> None:
        """The broker has acknowledged an input to its publisher."""
        self._entries[name].acknowledged = True

    def is_acknowledged(self, name: str) -> bool:
        """Whether it has."""
        return self._entries[name].acknowledged

    def received(self, topic: str, payload: bytes) -> str | None:
        """A message of the gateway's; the input's name when this completes its answers."""
        result = _result(topic, payload)
        if result is None:
            return None
        name, agent, content = result
        entry = self._entries.get(name)
        if entry is None or agent not in entry.agents:
            self._unknown += 1
            return None
        line = self._line(agent)
        seen = (hash(payload), content)
        first = entry.answers.setdefault(agent, seen)
        if first is not seen:
            if first == seen:
                line.repeated_same += 1
            elif first[1] == seen[1]:
                line.repeated_in_time += 1
            else:
                line.repeated_different += 1
            return None
        line.received += 1
        if not entry.complete:
            return None
        entry.late = entry.resent and entry.acknowledged
        return name

    def alert_on(self, topic: str, payload: bytes) -> None:
        """An alert that is retained at the end."""
        if payload:
            self._alerts[topic] = payload

    def compare_alerts(self, expected: Mapping[str, bytes]) -> None:
        """The last message on each alert topic of the uninterrupted run; empty where it was cleared."""
        self._alerts_expected = {topic: payload for topic, payload in expected.items() if payload}

    def compare(self, topic: str, payload: bytes) -> None:
        """A result of the uninterrupted run over the same inputs, held against what came."""
        result = _result(topic, payload)
        if result is None:
            return
        name, agent, content = result
        line = self._line(agent)
        entry = self._entries.get(name)
        if entry is not None and agent in entry.answers:
            line.compared += 1
            line.different += entry.answers[agent][1] != content

    def unanswered(self) -> Iterator[str]:
        """Names of the inputs that were acknowledged and have not been answered in full."""
        return (name for name, each in self._entries.items() if each.acknowledged and not each.complete)

    def statement(self) -> Statement:
        """The sums so far."""
        entries = self._entries.values()
        return Statement(
            sent=len(entries),
            sent_again=self._sent_again,
            acknowledged=sum(each.acknowledged for each in entries),
            answered=sum(each.complete for each in entries),
            lost=sum(each.acknowledged and not each.complete for each in entries),
            unacknowledged=sum(not each.acknowledged and not each.complete for each in entries),
            answered_after_resending=sum(each.late for each in entries),
            unknown=self._unknown,
            alerts=len(self._alerts),
            alerts_different=self._alerts_that_differ(),
            agents=dict(sorted(self._lines.items())),
        )

    def _alerts_that_differ(self) -> int | None:
        expected = self._alerts_expected
        if expected is None:
            return None
        topics = expected.keys() | self._alerts.keys()
        return sum(expected.get(topic) != self._alerts.get(topic) for topic in topics)

    def _line(self, agent: str) -> AgentLine:
        return self._lines.setdefault(agent, AgentLine())


def _result(topic: str, payload: bytes) -> tuple[str, str, int] | None:
    """The input's name, the agent, and a hash of the result without the times at which it was made."""
    if "/classification/" in topic:
        event: dict[str, Any] = json.loads(payload)
        data = event["data"]
        del data["received"], data["classified"]
        return data["input"]["id"], topic.rsplit("/", 1)[1], hash(json.dumps(event, sort_keys=True))
    if topic.endswith("/rejected"):
        event = json.loads(payload)
        # A rejected input has no id of its own, so each rejection is an event of its own, with its own id.
        data = event["data"]
        return data["sha256"], REJECTED, hash((data["reason"], data["topic"], data["bytes"]))
    return None
