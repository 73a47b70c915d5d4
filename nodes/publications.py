"""The messages that the pipeline publishes, made from what it decided. The same facts, the same bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from models.errors import InputRefused
from nodes.agents.base import Answer
from nodes.codec import RefusedValue
from nodes.outputs import (
    AlertData,
    AlertEvent,
    ClassificationData,
    ClassificationEvent,
    InputReference,
    ModelReference,
    Publication,
    RefusedField,
    RejectedData,
    RejectedEvent,
    alert_topic,
    classification_topic,
    encoded,
    event_id,
    gateway_topic,
    rounded,
    source_of,
    subject_of,
)
from nodes.policy import Judgement
from nodes.times import format_time
from nodes.topics import Identity


def classification(
    identity: Identity,
    agent: str,
    model: ModelReference,
    answer: Answer,
    *,
    answers: InputReference,
    received_ms: int,
    classified_ms: int,
    historical: bool,
    refused: Sequence[RefusedValue],
    test: bool,
) -> Publication:
    """One agent's answer to one input."""
    scored = answer.scored
    optional: dict[str, Any] = {}
    if answer.news2 is not None:
        optional["news2"] = answer.news2
    if refused:
        optional["refused"] = [RefusedField(field=each.field, reason=each.reason) for each in refused]
    if test:
        optional["test"] = True
    source = source_of(identity, agent)
    event = ClassificationEvent(
        id=event_id("classification", source, answers.id),
        source=source,
        subject=subject_of(identity),
        time=answers.time,
        data=ClassificationData(
            label=scored.label,
            probability=None if scored.probability is None else rounded(scored.probability),
            scores={name: rounded(value) for name, value in scored.scores.items()},
            abstained=scored.abstained,
            input=answers,
            received=format_time(received_ms),
            classified=format_time(classified_ms),
            historical=historical,
            model=model,
            **optional,
        ),
    )
    return Publication(
        classification_topic(identity, agent), encoded(event), "classification", historical=historical
    )


def alert(
    identity: Identity,
    agent: str,
    model: ModelReference,
    label: str,
    judgement: Judgement,
    *,
    answers: InputReference,
    since_ms: int,
    gateway: str,
    test: bool,
) -> Publication:
    """An alert that is on, retained."""
    source = source_of(identity, agent)
    event = AlertEvent(
        id=event_id("alert", source, answers.id),
        source=source,
        subject=subject_of(identity),
        time=answers.time,
        gateway=gateway,
        data=AlertData(
            code=agent,
            since=format_time(since_ms),
            label=label,
            value=judgement.value,
            threshold=judgement.threshold,
            reason=judgement.reason,
            input=answers,
            model=model,
            # A historical input changes no alert, so none is ever raised by one.
            historical=False,
            **({"test": True} if test else {}),
        ),
    )
    return Publication(alert_topic(identity, agent), encoded(event), "alert", retain=True)


def clearing(topic: str) -> Publication:
    """What ends a retained alert."""
    return Publication(topic, b"", "alert", retain=True)


def rejection(
    gateway: str,
    refused: InputRefused,
    *,
    topic: str,
    identity: Identity | None,
    payload: bytes,
    received_ms: int,
    fresh_id: str,
) -> Publication:
    """That an input was rejected, and why; never any of its content."""
    source = f"/edgeward/gateway/{gateway}"
    received = format_time(received_ms)
    event = RejectedEvent(
        id=event_id("rejected", source, fresh_id),
        source=source,
        time=received,
        data=RejectedData(
            reason=refused.reason,
            topic=topic,
            sha256=hashlib.sha256(payload).hexdigest(),
            bytes=len(payload),
            received=received,
            **({} if refused.field is None else {"field": refused.field}),
        ),
        **({} if identity is None else {"subject": subject_of(identity)}),
    )
    return Publication(gateway_topic(gateway, "rejected"), encoded(event), "rejected")
