"""What goes out: CloudEvents 1.0 in JSON, as types, and the ids by which a repeat is recognised.

The types are the published contract (`docs/contract.md`); a field that was never set is left out of the
JSON, a field set to None is written as null.
"""

from __future__ import annotations

import hashlib
from typing import Annotated, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from nodes.topics import Identity

ROOT = "edgeward/v1"
"""Where version 1 of the contract lives among topics."""


OutputKind = Literal["alert", "classification", "rejected", "counters", "status"]
"""What a publication is, whatever its topic: its priority on the way out comes from this."""


class Publication(NamedTuple):
    """One message to publish, at QoS 1. Retained and empty, it clears what was retained."""

    topic: str
    payload: bytes
    kind: OutputKind
    retain: bool = False
    historical: bool = False
    """It answers an input that was already old when it arrived."""


class _Output(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class InputReference(_Output):
    """Which input an output answers."""

    id: str
    time: str = Field(description="RFC 3339, UTC")


class ModelReference(_Output):
    """Which model answered: known by its sha256, never by its name alone."""

    name: str
    version: str
    sha256: str


class RefusedField(_Output):
    """One value of the input that was left out."""

    field: str
    reason: str


class News2Data(_Output):
    """How a NEWS2 total came about."""

    total: int = Field(description="0 to 20; when partial, the sum of what is known: a lower bound")
    components: dict[str, int]
    missing: list[str]
    partial: bool


class ClassificationData(_Output):
    """One agent's answer to one input."""

    label: str
    probability: float | None
    scores: dict[str, float]
    abstained: bool
    input: InputReference
    received: str
    classified: str
    historical: bool
    model: ModelReference
    news2: News2Data | None = None
    refused: list[RefusedField] | None = None
    test: bool | None = None


class AlertData(_Output):
    """An alert that is on."""

    code: str
    since: str = Field(description="time of the input that raised it")
    label: str
    value: float
    threshold: float
    reason: str
    input: InputReference
    model: ModelReference
    historical: bool
    test: bool | None = None


class RejectedData(_Output):
    """An input that could not be used. It never holds any of the payload."""

    reason: str
    field: str | None = None
    topic: str
    sha256: str = Field(description="of the payload, so that the publisher finds it")
    bytes: int
    received: str


class _Event(_Output):
    specversion: Literal["1.0"] = "1.0"
    id: Annotated[str, Field(pattern="^[0-9a-f]{32}$")]
    source: str
    time: str
    datacontenttype: Literal["application/json"] = "application/json"


class ClassificationEvent(_Event):
    """On `edgeward/v1/{site}/{device}/classification/{agent}`, not retained."""

    type: Literal["edgeward.classification.v1"] = "edgeward.classification.v1"
    subject: str
    data: ClassificationData


class AlertEvent(_Event):
    """On `edgeward/v1/{site}/{device}/alert/{code}`, retained while the alert is on."""

    type: Literal["edgeward.alert.v1"] = "edgeward.alert.v1"
    subject: str
    gateway: str = Field(description="name of the gateway that holds the alert")
    data: AlertData


class RejectedEvent(_Event):
    """On `edgeward/gateway/{gateway}/rejected`, not retained."""

    type: Literal["edgeward.rejected.v1"] = "edgeward.rejected.v1"
    subject: str | None = None
    data: RejectedData


class Counters(_Output):
    """On `edgeward/gateway/{gateway}/counters`. Each input received is in exactly one of the other four."""

    gateway: str
    time: str
    received: int
    classified: int = Field(description="whole")
    in_part: int = Field(description="classified, with at least one value refused")
    rejected: int
    repeated: int
    reasons: dict[str, int] = Field(description="rejected messages and refused values by reason")
    owed: int = Field(description="publications that the broker has not taken yet")
    given_up: dict[str, int] = Field(description="publications that were not delivered, by why")
    durable: bool = Field(description="whether what is taken stands on disk before it is acknowledged")


class TechnicalData(_Output):
    """What is wrong with the gateway itself."""

    code: str
    since: str
    reason: str


class TechnicalEvent(_Event):
    """On `edgeward/gateway/{gateway}/fault/{code}`, retained while it lasts."""

    type: Literal["edgeward.technical.v1"] = "edgeward.technical.v1"
    data: TechnicalData


Output = ClassificationEvent | AlertEvent | RejectedEvent | TechnicalEvent | Counters
"""All that goes out as JSON; the list is closed. (A status is one plain word.)"""


def event_id(kind: str, source: str, input_id: str) -> str:
    """32 hexadecimal digits that are the same for the same kind of output, source and input."""
    return hashlib.sha256(f"{kind}\n{source}\n{input_id}".encode()).hexdigest()[:32]


def rounded(value: float) -> float:
    """A probability or score as published: six decimals, and never a negative zero."""
    return round(value, 6) + 0.0


def source_of(identity: Identity, agent: str) -> str:
    """The CloudEvents source of an agent's outputs about one device."""
    return f"/{ROOT}/{identity.site}/{identity.device}/{agent}"


def subject_of(identity: Identity) -> str:
    """The CloudEvents subject: whom it is about."""
    return f"{identity.site}/{identity.device}"


def classification_topic(identity: Identity, agent: str) -> str:
    """Where an agent's answers about one device are published."""
    return f"{ROOT}/{identity.site}/{identity.device}/classification/{agent}"


def alert_topic(identity: Identity, code: str) -> str:
    """Where an alert about one device is retained."""
    return f"{ROOT}/{identity.site}/{identity.device}/alert/{code}"


def gateway_topic(gateway: str, what: Literal["status", "rejected", "counters"]) -> str:
    """The gateway's own topics."""
    return f"edgeward/gateway/{gateway}/{what}"


def technical_topic(gateway: str, code: str) -> str:
    """Where an alert about the gateway itself is retained."""
    return f"edgeward/gateway/{gateway}/fault/{code}"


_CONSTANT = ("specversion", "type", "datacontenttype")
"""Fields that nobody sets and that are written all the same."""


def encoded(output: Output) -> bytes:
    """The JSON of an output; an optional field that was never set is left out, one set to None is null."""
    output.model_fields_set.update(name for name in _CONSTANT if name in type(output).model_fields)
    return output.model_dump_json(exclude_unset=True).encode()
