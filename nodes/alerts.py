"""The alerts that are on, over all devices: the rules are `policy`'s, here they are held and told."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from operator import itemgetter
from typing import Any

from models.errors import InputRefused
from nodes.agents.base import Agent, Answer
from nodes.messages import Taken
from nodes.outputs import Publication, alert_topic
from nodes.policy import AlertState, end, follow
from nodes.publications import alert, clearing
from nodes.state import DEVICE_LIMIT, DeviceState
from nodes.topics import Identity


class Alerts:
    """Which alerts are on; *gateway* is the name of the gateway that holds them."""

    def __init__(self, gateway: str) -> None:
        self._gateway = gateway
        self._on: dict[str, tuple[Identity, AlertState]] = {}
        self._moved: deque[Identity] = deque(maxlen=DEVICE_LIMIT)  # a bound for owners that never ask

    def active(self) -> list[Publication]:
        """Every alert that is on, as it was last published, by topic."""
        states = (state for _, (_, state) in sorted(self._on.items(), key=itemgetter(0)))
        return [state.published for state in states if state.published is not None]

    def holds(self, topic: str) -> bool:
        """Whether the alert on *topic* is on."""
        return topic in self._on

    def hold(self, identity: Identity, device: DeviceState) -> None:
        """Holds the alerts of a device that is remembered again."""
        for name, state in device.alerts.items():
            if state.published is not None:
                self._on[alert_topic(identity, name)] = (identity, state)

    def end_all_due(self, now_ms: int) -> list[Publication]:
        """Ends every alert whose time is over."""
        due = [
            (topic, identity, state) for topic, (identity, state) in self._on.items() if _due(state, now_ms)
        ]
        self._moved.extend(identity for _, identity, _ in due)
        return [self._clear(topic, state) for topic, _, state in sorted(due, key=itemgetter(0))]

    def moved(self) -> list[Identity]:
        """Whose alerts went on, grew worse or ended since last asked (`drop` and `end_due` aside)."""
        moved = list(dict.fromkeys(self._moved))
        self._moved.clear()
        return moved

    def end_due(self, taken: Taken) -> list[Publication]:
        """Ends those alerts of an input's device whose time is over."""
        return [
            self._clear(alert_topic(taken.reading.identity, name), state)
            for name, state in taken.device.alerts.items()
            if _due(state, taken.now_ms)
        ]

    def drop(self, identity: Identity, device: DeviceState, agents: Collection[str]) -> list[Publication]:
        """Forgets a device's alerts of *agents*, by name; returns what clears those that are on."""
        states = [(name, device.alerts.pop(name)) for name in list(device.alerts) if name in agents]
        return [
            self._clear(alert_topic(identity, name), state)
            for name, state in states
            if state.published is not None
        ]

    def follow(
        self, taken: Taken, agent: Agent[Any, Any], answer: Answer | InputRefused
    ) -> tuple[Publication, ...]:
        """Moves the agent's alert by its answer, where that says anything of it."""
        if isinstance(answer, InputRefused) or answer.judgement is None or taken.historical:
            return ()
        identity = taken.reading.identity
        topic = alert_topic(identity, agent.name)
        state = taken.device.alerts.setdefault(agent.name, AlertState())
        match follow(
            state, taken.reading, answer.judgement, now_ms=taken.now_ms, off_after_ms=agent.off_after_ms
        ):
            case "clear":
                self._moved.append(identity)
                return (self._clear(topic, state),)
            case "raise" | "update":
                self._moved.append(identity)
                state.published = alert(
                    identity,
                    agent.name,
                    agent.model,
                    answer.scored.label,
                    answer.judgement,
                    answers=taken.input,
                    since_ms=state.since_ms,
                    gateway=self._gateway,
                    test=taken.reading.payload.test,
                )
                self._on[topic] = (identity, state)
                return (state.published,)
        return ()

    def _clear(self, topic: str, state: AlertState) -> Publication:
        end(state)
        del self._on[topic]
        return clearing(topic)


def _due(state: AlertState, now_ms: int) -> bool:
    return state.due_ms is not None and state.due_ms <= now_ms
