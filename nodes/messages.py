"""One message on its way through the pipeline: as it came, as it was taken, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from models.errors import InputRefused
from nodes.agents.base import Agent, Answer
from nodes.codec import Decoded, Reading
from nodes.outputs import InputReference, Publication
from nodes.state import DeviceState
from nodes.topics import Identity

Verdict = Literal["classified", "in_part", "rejected", "repeated", "unmatched"]


class Received(NamedTuple):
    """One message as it came."""

    topic: str
    payload: bytes
    time_ms: int
    """Its arrival, epoch milliseconds."""
    fresh_id: str
    """32 hexadecimal digits given at arrival: the id of an input that has neither id nor time, and of a
    rejection."""
    duplicate: bool = False
    """The broker said that it sent this before."""


class Outcome(NamedTuple):
    """What became of one message. An `unmatched` one is no agent's, and not counted."""

    verdict: Verdict
    publications: tuple[Publication, ...] = ()
    reason: str | None = None
    identities: tuple[Identity, ...] = ()
    """Whose state it moved: of them the message has to be kept until their next snapshot. Mostly one; several
    where topics overlap and agents read different devices from them; none for what was repeated or refused,
    except where a window had moved before a model refused."""


@dataclass(slots=True)
class Taken:
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
