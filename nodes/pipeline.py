"""The way of a message through the gateway's thinking: decoded, remembered, classified, judged.

Values in, values out: no thread, no clock, no socket. The daemon and `edgeward run` both drive it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from operator import itemgetter
from typing import Any, Literal

from models.errors import InputRefused, SnapshotRefused
from nodes.agents.base import Agent, answer_each
from nodes.alerts import Alerts
from nodes.codec import Reading, decode, input_id, input_time
from nodes.events import Kind
from nodes.messages import Outcome, Received, Taken, Verdict
from nodes.outputs import InputReference, Publication
from nodes.publications import classification, rejection
from nodes.reasons import Reason
from nodes.snapshots import dump_device, load_device
from nodes.state import DeviceState, DeviceTable, RecentIds
from nodes.tally import Tally
from nodes.times import DAY_MS, format_time
from nodes.topics import Identity, Template, merge_filters

__all__ = ["Clock", "Outcome", "Pipeline", "Received"]

Clock = Literal["wall", "events"]
"""What `now` is: the wall clock at arrival, or the newest time that the device has sent."""

HISTORICAL_AFTER_MS = 600_000
"""On the wall clock, an input older than this is classified but changes no alert (10 minutes)."""

REPLAY_BATCH = 256
"""Readings processed together when a device is restored."""


class Pipeline:
    """All agents over all devices. It belongs to one thread.

    *gateway* is the gateway's name; *now* is read once a batch for `classified` (arrival stands in without
    it, as when a recording is judged).
    """

    def __init__(
        self,
        agents: Sequence[Agent[Any, Any]],
        *,
        gateway: str,
        clock: Clock = "wall",
        historical_after_ms: int = HISTORICAL_AFTER_MS,
        now: Callable[[], int] | None = None,
    ) -> None:
        self._agents = [(agent, Template(agent.topic, agent.site)) for agent in agents]
        self._gateway = gateway
        self._clock = clock
        self._historical_after_ms = historical_after_ms
        self._now = now
        self._devices = DeviceTable()
        self._alerts = Alerts(gateway)
        self.filters = merge_filters(template.filter for _, template in self._agents)
        self.counters = Tally()

    def process(self, batch: Sequence[Received]) -> list[Outcome]:
        """What becomes of each message, in order; each model is invoked once for the whole batch."""
        ways = [self._take(received) for received in batch]
        self._classify([taken for way in ways for taken in way if isinstance(taken, Taken)])
        classified_ms = None if self._now is None else self._now()
        return [
            self._conclude(received, way, classified_ms) for received, way in zip(batch, ways, strict=True)
        ]

    def tick(self, now_ms: int) -> list[Publication]:
        """Ends the alerts whose time is over; on the events clock inputs alone end them."""
        return [] if self._clock == "events" else self._alerts.end_all_due(now_ms)

    def active_alerts(self) -> list[Publication]:
        """Every alert that is on, as it was last published, by topic."""
        return self._alerts.active()

    def holds(self, topic: str) -> bool:
        """Whether the alert on *topic* is on."""
        return self._alerts.holds(topic)

    def exchange(self, agents: Sequence[Agent[Any, Any]], *, historical_after_ms: int) -> list[Publication]:
        """Goes on with other *agents*, and returns what clears the alerts of those that are gone.

        Windows and alerts stay with the name. An agent that is another object than before reads its windows
        as after a restart; those that it can't read start anew.
        """
        before = {agent.name: agent for agent, _ in self._agents}
        now = {agent.name: agent for agent in agents}
        changed = [(before[name], now[name]) for name in before.keys() & now.keys()]
        changed = [(old, new) for old, new in changed if old is not new]
        gone = before.keys() - now.keys()
        cleared: list[Publication] = []
        for identity, device in self._devices.items():
            cleared += self._alerts.drop(identity, device, gone)
            for name in gone:
                device.windows.pop(name, None)
            for old, new in changed:
                if old.name in device.windows:
                    device.windows[old.name] = _carried(device.windows[old.name], old, new)
        self._agents = [(agent, Template(agent.topic, agent.site)) for agent in agents]
        self._historical_after_ms = historical_after_ms
        self.filters = merge_filters(template.filter for _, template in self._agents)
        return sorted(cleared, key=itemgetter(0))

    # Keeping: a device's state is its last snapshot and the readings since.

    def snapshot(self, identity: Identity) -> bytes:
        """The whole state of a device that is remembered, for `restore`; KeyError for any other."""
        device = self._devices.known(identity)
        if device is None:
            raise KeyError(identity)
        device.unsaved = 0
        return dump_device(device, [agent for agent, _ in self._agents])

    def restore(
        self, identity: Identity, snapshot: bytes | None, readings: Sequence[Received]
    ) -> tuple[str, ...]:
        """Remembers a device again: as in *snapshot* (None: as new), then with *readings* taken again.

        Nothing is published or counted; a reading that is refused this time is passed over. Returns the names
        of agents that can't read what is kept for them and start anew. Raises SnapshotRefused, having changed
        nothing. Restore devices before anything is processed, those longest silent first; then `tick`.
        """
        device = DeviceState()
        anew: tuple[str, ...] = ()
        if snapshot is not None:
            device, anew = load_device(snapshot, identity, [agent for agent, _ in self._agents])
        self._devices.put(identity, device)
        self._alerts.hold(identity, device)
        for start in range(0, len(readings), REPLAY_BATCH):
            batch = readings[start : start + REPLAY_BATCH]
            ways = [way for received in batch for way in self._take(received, only=identity)]
            taken = [way for way in ways if isinstance(way, Taken)]
            self._classify(taken)
            for each in taken:
                self._alerts.end_due(each)
                for agent, answer in zip(each.agents, each.answers, strict=True):
                    self._alerts.follow(each, agent, answer)
        device.unsaved = len(readings)
        return anew

    def since_snapshot(self, identity: Identity) -> int:
        """How many readings moved a device since its last snapshot."""
        device = self._devices.known(identity)
        return 0 if device is None else device.unsaved

    def evicted(self) -> list[Identity]:
        """Devices that were forgotten to make room since this was last asked.

        What is kept of them has to go before the readings taken since are kept: one may have come again.
        """
        gone = list(self._devices.evicted)
        self._devices.evicted.clear()
        return gone

    def changed(self) -> list[Identity]:
        """Devices whose snapshot has to tell what their readings may not, since this was last asked.

        No reading tells that `tick` ended an alert; and one that raised it may be answered otherwise by the
        model, the thresholds or the want of either that the next start finds.
        """
        return [each for each in self._alerts.moved() if self._devices.known(each) is not None]

    # Taking: from a message to readings, one for each kind of input that its topic stands for.

    def _take(self, received: Received, *, only: Identity | None = None) -> list[Taken | InputRefused | None]:
        """A reading, a refusal, or None for a repeat, for each way in which agents read the message.

        With *only*, ways that lead to other devices are left aside.
        """
        levels = received.topic.split("/")
        agents: dict[tuple[Identity | InputRefused, Kind], list[Agent[Any, Any]]] = {}
        for agent, template in self._agents:
            if template.matches(levels):
                agents.setdefault((_identity(template, levels), agent.kind), []).append(agent)
        ways: list[Taken | InputRefused | None] = []
        for (identity, kind), sharing in agents.items():
            if only is not None and identity != only:
                continue
            try:
                ways.append(self._read(received, identity, kind, sharing))
            except InputRefused as refused:
                ways.append(refused)
        return ways

    def _read(
        self, received: Received, identity: Identity | InputRefused, kind: Kind, agents: list[Agent[Any, Any]]
    ) -> Taken | None:
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
        return Taken(
            received=received,
            reading=Reading(identity, time_ms, payload),
            decoded=decoded,
            input=InputReference(id=known_id or received.fresh_id, time=format_time(time_ms)),
            device=device,
            now_ms=now_ms,
            historical=self._clock == "wall" and time_ms < now_ms - self._historical_after_ms,
            agents=agents,
            answers=[],
        )

    # Classifying: windows move in order of arrival, then each agent answers once for the batch.

    def _classify(self, batch: list[Taken]) -> None:
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
        self, received: Received, ways: list[Taken | InputRefused | None], classified_ms: int | None
    ) -> Outcome:
        if not ways:
            return Outcome("unmatched")
        taken = [way for way in ways if isinstance(way, Taken)]
        answers = [answer for each in taken for answer in each.answers]
        refusals = [each for each in (*ways, *answers) if isinstance(each, InputRefused)]
        publications = [publication for each in taken for publication in self._publish(each, classified_ms)]
        moved = {each.reading.identity: each.device for each in taken}
        for device in moved.values():
            device.unsaved += 1
        if refusals and len(refusals) == len(ways) - len(taken) + len(answers):
            rejected = self.reject(received, refusals[0])
            return rejected._replace(
                publications=(*publications, *rejected.publications), identities=tuple(moved)
            )
        reasons = [refused.reason for refused in refusals]
        reasons += [value.reason for each in taken for value in each.decoded.refused]
        verdict: Verdict = "repeated" if not taken else "in_part" if reasons else "classified"
        self.counters.add(verdict, reasons)
        return Outcome(verdict, tuple(publications), identities=tuple(moved))

    def reject(self, received: Received, refused: InputRefused) -> Outcome:
        """Rejects a message, counted and told, that moved nothing."""
        levels = received.topic.split("/")
        identities = [_identity(template, levels) for _, template in self._agents if template.matches(levels)]
        publication = rejection(
            self._gateway,
            refused,
            topic=received.topic,
            identity=next((each for each in identities if isinstance(each, Identity)), None),
            payload=received.payload,
            received_ms=received.time_ms,
            fresh_id=received.fresh_id,
        )
        self.counters.add("rejected", [refused.reason])
        return Outcome("rejected", (publication,), refused.reason)

    def _publish(self, taken: Taken, classified_ms: int | None) -> Iterable[Publication]:
        identity = taken.reading.identity
        yield from self._alerts.end_due(taken)
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
            yield from self._alerts.follow(taken, agent, answer)


def _identity(template: Template, levels: list[str]) -> Identity | InputRefused:
    try:
        return template.identity(levels)
    except InputRefused as refused:
        return refused


def _carried(window: Any, old: Agent[Any, Any], new: Agent[Any, Any]) -> Any:
    """*window* as *new* keeps it, or a new one."""
    try:
        return new.load(old.dump(window))
    except SnapshotRefused:
        return new.new_state()
