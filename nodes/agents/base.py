"""What an agent is. The pipeline knows agents by this protocol alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from models.bundle import Bundle
from models.errors import InputRefused
from models.scored import Scored
from nodes.codec import Reading
from nodes.events import Kind
from nodes.outputs import ModelReference, News2Data
from nodes.policy import Judgement

State = TypeVar("State")
Observation = TypeVar("Observation")


@dataclass(frozen=True, slots=True)
class Answer:
    """An agent's answer to one reading."""

    scored: Scored
    judgement: Judgement | None
    """What it means for the alert; None leaves the alert as it is, as every abstention does."""
    news2: News2Data | None = None


class Agent(Protocol[State, Observation]):
    """One line of work over one kind of input.

    For each reading, in order of arrival, the pipeline calls *observe* with the device's state; then it calls
    *answer* once for all observations of a batch, so that a model is invoked once. Answers keep the order.
    """

    name: str
    kind: Kind
    topic: str
    site: str | None
    model: ModelReference
    off_after_ms: int | None
    """After how long without another reason an alert ends by itself; None for never."""

    def new_state(self) -> State:
        """What is kept about one device between its readings, at the start."""
        ...

    def observe(self, state: State, reading: Reading) -> Observation:
        """What the model needs to know about this reading; moves *state*."""
        ...

    def answer(self, observations: Sequence[Observation]) -> list[Answer]:
        """One answer for each observation."""
        ...

    def dump(self, state: State) -> bytes:
        """The state as bytes, to the last bit; it survives the process by them. Empty where none is kept."""
        ...

    def load(self, raw: bytes) -> State:
        """The state that `dump` wrote. Raises SnapshotRefused for what this version didn't write."""
        ...


def answer_each(agent: Agent[Any, Any], observations: Sequence[Any]) -> Sequence[Answer | InputRefused]:
    """The agent's answers; where its model can't run on one input of a batch, each is asked for alone."""
    try:
        return agent.answer(observations)
    except InputRefused as refused:
        if len(observations) == 1:
            return [refused]
        return [answer for each in observations for answer in answer_each(agent, [each])]


def model_reference(bundle: Bundle) -> ModelReference:
    """How a bundle is named in every result."""
    return ModelReference(name=bundle.name, version=bundle.version, sha256=bundle.sha256)


def above(what: str, value: float, on: float, off: float) -> Judgement:
    """The judgement of a score that raises an alert at or above *on* and ends it at or below *off*.

    Its severity is always the same: a score that creeps upwards is no news.
    """
    if value >= on:
        return Judgement("on", value, on, f"{what} {value:.6g} is at or above {on:g}")
    if value <= off:
        return Judgement("off", value, on, f"{what} {value:.6g} is at or below {off:g}")
    return Judgement("hold", value, on, f"{what} {value:.6g} is between {off:g} and {on:g}")
