"""What a recording holds of one site: alerts, answers to notes, repeats and counts. Reads the contract alone.

A recording may hold inputs and outputs, or outputs only. All times are those of the inputs (epoch ms), never
of arrival, so that a run at any speed and `edgeward run` give the same.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, get_args

from nodes.events import Kind
from simulators.alerts import AlertLog

ROOT = "edgeward/v1"
INPUT_KINDS = frozenset(get_args(Kind))


@dataclass(frozen=True, slots=True)
class Answer:
    """What is needed of a classification or an alert."""

    event: tuple[str, str]
    """CloudEvents source and id."""
    input_id: str
    time_ms: int
    """Of a classification its input's time, of an alert the time of the input that raised it; epoch ms."""
    data: Mapping[str, Any]


def read_answer(payload: bytes) -> Answer | None:
    """The classification or alert in *payload*; None where it is neither."""
    try:
        event = json.loads(payload)
        data = event["data"]
        time_ms = milliseconds(data["since"] if "since" in data else data["input"]["time"])
        return Answer((event["source"], event["id"]), data["input"]["id"], time_ms, data)
    except (ValueError, KeyError, TypeError):
        return None


class Heard:
    """Folds the messages of *site*, in order of arrival; grows with the outputs.

    *kinds* is agent to the kind of input that it reads: answers of agents that read notes are kept.
    """

    def __init__(self, site: str, kinds: Mapping[str, str]) -> None:
        self._prefix = f"{ROOT}/{site}/"
        self._note_agents = {agent for agent, kind in kinds.items() if kind == "note"}
        self._seen: set[tuple[str, str]] = set()
        self._newest: dict[str, int] = {}  # device -> time of its newest answered input
        self._asked: set[tuple[str, str]] = set()  # device and id of each input
        self._open: dict[tuple[str, str], bytes] = {}  # those not settled -> sha256 of the payload
        self._answered: set[tuple[str, str]] = set()
        self._refused: set[bytes] = set()  # sha256 of rejected payloads
        self.alerts = AlertLog()
        self.counts: Counter[str] = Counter()
        """`input`, `classification`, `alert`, `rejected`, and `unreadable`: an output that is none."""
        self.repeats: Counter[str] = Counter()
        """Classifications and alerts whose CloudEvents source and id came before."""
        self.notes: dict[tuple[str, str], str | None] = {}
        """Device and id of a note to the label it got; None where the agent declined to answer."""

    @property
    def unanswered(self) -> int:
        """Inputs with an id, neither answered nor rejected: lost, or the recording ended too soon."""
        # What is settled stays so: each is looked at only until then, as a live run asks after every input.
        self._open = {
            asked: sha256
            for asked, sha256 in self._open.items()
            if asked not in self._answered and sha256 not in self._refused
        }
        return len(self._open)

    def came(self, topic: str, payload: bytes) -> None:
        """One message; what is of another site, or no part of the contract, is left aside."""
        if topic.startswith("edgeward/gateway/") and topic.endswith("/rejected"):
            self._rejected(payload)
        elif topic.startswith(self._prefix):
            match topic.removeprefix(self._prefix).split("/"):
                case [device, kind] if kind in INPUT_KINDS:
                    self._input(device, payload)
                case [device, "alert", _] if not payload:
                    self.alerts.cleared(topic, self._newest.get(device, 0))
                case [device, ("alert" | "classification") as sort, agent]:
                    if (answer := read_answer(payload)) is None:
                        self.counts["unreadable"] += 1
                        return
                    self.counts[sort] += 1
                    self.repeats[sort] += answer.event in self._seen
                    self._seen.add(answer.event)
                    if sort == "alert":
                        self.alerts.raised(topic, device, agent, answer.time_ms, answer.input_id)
                    else:
                        self._classified(device, agent, answer)

    def _input(self, device: str, payload: bytes) -> None:
        self.counts["input"] += 1
        try:
            input_id = json.loads(payload)["id"]
        except (ValueError, KeyError, TypeError):
            return  # one without an id, or damaged: its answer can't be told from others
        asked = (device, str(input_id))
        if asked not in self._asked:
            self._asked.add(asked)
            self._open[asked] = hashlib.sha256(payload).digest()

    def _classified(self, device: str, agent: str, answer: Answer) -> None:
        self._answered.add((device, answer.input_id))
        self._newest[device] = max(self._newest.get(device, 0), answer.time_ms)
        if agent in self._note_agents:
            label = None if answer.data.get("abstained") else answer.data.get("label")
            self.notes.setdefault((device, answer.input_id), label)

    def _rejected(self, payload: bytes) -> None:
        try:
            data = json.loads(payload)["data"]
            ours, sha256 = data["topic"].startswith(self._prefix), bytes.fromhex(data["sha256"])
        except (ValueError, KeyError, TypeError, AttributeError):
            self.counts["unreadable"] += 1
            return
        if ours:
            self.counts["rejected"] += 1
            self._refused.add(sha256)


def milliseconds(text: str) -> int:
    """Epoch milliseconds of an output's time (RFC 3339). Raises ValueError or TypeError for anything else."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("a time without its offset")
    return round(moment.timestamp() * 1000)
