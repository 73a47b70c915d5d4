"""The way of a message through the gateway's thinking: decoded, remembered, classified, judged.

Values in, values out: no thread, no clock, no socket. The daemon and `edgeward run` both drive it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from models.errors import InputRefused
from nodes.agents.base import Agent, Answer, answer_each
from nodes.codec import Decoded, Reading, decode, input_id, input_time
from nodes.events import Kind
from nodes.outputs import InputReference, Publication, alert_topic
from nodes.policy import AlertState, Judgement, end, follow
from nodes.publications import alert, classification, clearing, rejection
from nodes.reasons import Reason
from nodes.state import DeviceState, DeviceTable, RecentIds
from nodes.tally import Tally
from nodes.times import DAY_MS, format_time
from nodes.topics import Identity, Template, merge_filters

Clock = Literal["wall", "events"]
"""What `now` is: the wall clock at arrival, or the newest time that the device has sent."""

HISTORICAL_AFTER_MS = 600_000
"""On the wall clock, an input older than this is classified but changes no alert (10 minutes)."""

Verdict = Literal["classified", "in_part", "rejected", "repeated", "unmatched"]


class Received(NamedTuple):
    """One message as it came."""

    topic: str
    payload: bytes
    time_ms: int
    """Its arrival, epoch milliseconds."""
    duplicate: bool = False
    """The broker said that it sent this before."""


class Outcome(NamedTuple):
    """What became of one message. An `unmatched` one is no agent's, and not counted."""

    verdict: Verdict
    publications: tuple[Publication, ...] = ()
    reason: str | None = None


@dataclass(slots=True)
class _Taken:
    """One message as one kind of input, on its way through a batch."""

    received: Received
    reading: Reading
    decoded: Decoded
    input: InputReference
    device: DeviceState
    now_ms: int
    historical: bool
    agents: list[Agent[Any, Any]]
    answers: list[Answer | InputRefused]
    """One for each agent: its answer, or why its model could not run on this input."""


class Pipeline:
    """All agents over all devices. It belongs to one thread.

    *gateway* is the gateway's name; *new_id* makes an id for an input that has neither id nor time; *now* is
    read once a batch for `classified` (arrival stands in without it, as when a recording is judged).
    """

    def __init__(
        self,
        agents: Sequence[Agent[Any, Any]],
        *,
        gateway: str,
        new_id: Callable[[], str],
        clock: Clock = "wall",
        historical_after_ms: int = HISTORICAL_AFTER_MS,
        now: Callable[[], int] | None = None,
    ) -> None:
        self._agents = [(agent, Template(agent.topic, agent.site)) for agent in agents]
        self._gateway = gateway
        self._new_id = new_id
        self._clock = clock
        self._historical_after_ms = historical_after_ms
        self._now = now
        self._devices = DeviceTable()
        self._on: dict[str, AlertState] = {}
        self.filters = merge_filters(template.filter for _, template in self._agents)
        self.counters = Tally()

    def process(self, batch: Sequence[Received]) -> list[Outcome]:
        """What becomes of each message, in order; each model is invoked once for the whole batch."""
        ways = [self._take(received) for received in batch]
        self._classify([taken for way in ways for taken in way if isinstance(taken, _Taken)])
        classified_ms = None if self._now is None else self._now()
        return [
            self._conclude(received, way, classified_ms) for received, way in zip(batch, ways, strict=True)
        ]

    def tick(self, now_ms: int) -> list[Publication]:
        """Ends the alerts whose time is over; on the events clock inputs alone end them."""
        return [] if self._clock == "events" else self._end_due(list(self._on.items()), now_ms)

    def active_alerts(self) -> list[Publication]:
        """Every alert that is on, as it was last published."""
        return [state.published for state in self._on.values() if state.published is not None]

    def holds(self, topic: str) -> bool:
        """Whether the alert on *topic* is on."""
        return topic in self._on

    # Taking: from a message to readings, one for each kind of input that its topic stands for.

    def _take(self, received: Received) -> list[_Taken | InputRefused | None]:
        """A reading, a refusal, or None for a repeat, for each way in which agents read the message."""
        levels = received.topic.split("/")
        agents: dict[tuple[Identity | InputRefused, Kind], list[Agent[Any, Any]]] = {}
        for agent, template in self._agents:
            if template.matches(levels):
                agents.setdefault((_identity(template, levels), agent.kind), []).append(agent)
        ways: list[_Taken | InputRefused | None] = []
        for (identity, kind), sharing in agents.items():
            try:
                ways.append(self._read(received, identity, kind, sharing))
            except InputRefused as refused:
                ways.append(refused)
        return ways

    def _read(
        self, received: Received, identity: Identity | InputRefused, kind: Kind, agents: list[Agent[Any, Any]]
    ) -> _Taken | None:
        if isinstance(identity, InputRefused):
            raise identity
        decoded = decode(kind, received.payload)
        payload = decoded.payload
        time_ms = input_time(payload, received.time_ms)
        if self._clock == "wall" and time_ms > received.time_ms + DAY_MS:
            raise InputRefused(Reason.TIME_OUT_OF_BOUNDS, "time")
        device = self._devices.of(identity)
        known_id = input_id(payload, received.topic, time_ms, received.payload)
        if known_id is not None:
            recent = device.recent.setdefault(kind, RecentIds())
            if recent.check(known_id, received.payload) == "repeated":
                return None
        device.newest_ms = max(device.newest_ms, time_ms)
        now_ms = received.time_ms if self._clock == "wall" else device.newest_ms
        return _Taken(
            received=received,
            reading=Reading(identity, time_ms, payload),
            decoded=decoded,
            input=InputReference(id=known_id or self._new_id(), time=format_time(time_ms)),
            device=device,
            now_ms=now_ms,
            historical=self._clock == "wall" and time_ms < now_ms - self._historical_after_ms,
            agents=agents,
            answers=[],
        )

    # Classifying: windows move in order of arrival, then each agent answers once for the batch.

    def _classify(self, batch: list[_Taken]) -> None:
        for agent, _ in self._agents:
            mine = [taken for taken in batch if agent in taken.agents]
            if not mine:
                continue
            observations = []
            for taken in mine:
                windows = taken.device.windows
                if agent.name not in windows:
                    windows[agent.name] = agent.new_state()
                observations.append(agent.observe(windows[agent.name], taken.reading))
            for taken, answer in zip(mine, answer_each(agent, observations), strict=True):
                taken.answers.append(answer)

    # Concluding: what is published, what becomes of alerts, and how the message counts.

    def _conclude(
        self, received: Received, ways: list[_Taken | InputRefused | None], classified_ms: int | None
    ) -> Outcome:
        if not ways:
            return Outcome("unmatched")
        taken = [way for way in ways if isinstance(way, _Taken)]
        answers = [answer for each in taken for answer in each.answers]
        refusals = [each for each in (*ways, *answers) if isinstance(each, InputRefused)]
        if refusals and len(refusals) == len(ways) - len(taken) + len(answers):
            return self._reject(received, refusals[0])
        publications = [publication for each in taken for publication in self._publish(each, classified_ms)]
        reasons = [refused.reason for refused in refusals]
        reasons += [value.reason for each in taken for value in each.decoded.refused]
        verdict: Verdict = "repeated" if not taken else "in_part" if reasons else "classified"
        self.counters.add(verdict, reasons)
        return Outcome(verdict, tuple(publications))

    def _reject(self, received: Received, refused: InputRefused) -> Outcome:
        levels = received.topic.split("/")
        identities = [_identity(template, levels) for _, template in self._agents if template.matches(levels)]
        publication = rejection(
            self._gateway,
            refused,
            topic=received.topic,
            identity=next((each for each in identities if isinstance(each, Identity)), None),
            payload=received.payload,
            received_ms=received.time_ms,
            new_id=self._new_id(),
        )
        self.counters.add("rejected", [refused.reason])
        return Outcome("rejected", (publication,), refused.reason)

    def _publish(self, taken: _Taken, classified_ms: int | None) -> Iterable[Publication]:
        identity = taken.reading.identity
        mine = ((alert_topic(identity, name), state) for name, state in taken.device.alerts.items())
        yield from self._end_due(mine, taken.now_ms)
        for agent, answer in zip(taken.agents, taken.answers, strict=True):
            if isinstance(answer, InputRefused):
                continue
            yield classification(
                identity,
                agent.name,
                agent.model,
                answer,
                answers=taken.input,
                received_ms=taken.received.time_ms,
                classified_ms=taken.received.time_ms if classified_ms is None else classified_ms,
                historical=taken.historical,
                refused=taken.decoded.refused,
                test=taken.reading.payload.test,
            )
            if answer.judgement is not None and not taken.historical:
                yield from self._follow(taken, agent, answer.scored.label, answer.judgement)

    def _follow(
        self, taken: _Taken, agent: Agent[Any, Any], label: str, judgement: Judgement
    ) -> Iterable[Publication]:
        identity = taken.reading.identity
        topic = alert_topic(identity, agent.name)
        state = taken.device.alerts.setdefault(agent.name, AlertState())
        match follow(state, taken.reading, judgement, now_ms=taken.now_ms, off_after_ms=agent.off_after_ms):
            case "clear":
                yield self._clear(topic, state)
            case "raise" | "update":
                state.published = alert(
                    identity,
                    agent.name,
                    agent.model,
                    label,
                    judgement,
                    answers=taken.input,
                    since_ms=state.since_ms,
                    gateway=self._gateway,
                    test=taken.reading.payload.test,
                )
                self._on[topic] = state
                yield state.published

    def _clear(self, topic: str, state: AlertState) -> Publication:
        end(state)
        del self._on[topic]
        return clearing(topic)

    def _end_due(self, alerts: Iterable[tuple[str, AlertState]], now_ms: int) -> list[Publication]:
        return [
            self._clear(topic, state)
            for topic, state in alerts
            if state.due_ms is not None and state.due_ms <= now_ms
        ]


def _identity(template: Template, levels: list[str]) -> Identity | InputRefused:
    try:
        return template.identity(levels)
    except InputRefused as refused:
        return refused
