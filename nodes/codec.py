"""From the bytes of a payload to a typed input, once, at the border.

A message is refused whole (InputRefused) when its envelope is bad or nothing usable is left. A single wrong,
non-finite or impossible value is refused alone, named in the result, and what is good around it goes on.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, NamedTuple

from pydantic import ValidationError
from pydantic_core import ErrorDetails, from_json

from models.errors import InputRefused
from nodes.events import PAYLOADS, Kind, Log, Note, Payload, Sensor, Vitals, VitalSigns
from nodes.reasons import PAYLOAD_LIMIT, Reason, Refusal
from nodes.times import parse_time
from nodes.topics import Identity

_ENVELOPE = frozenset({"id", "time", "test", "text", "line"})
"""Fields that must be right for the message to be taken at all."""

_TOO_DEEP = "recursion limit exceeded"
"""How the JSON parser words the one fault of nesting; it takes about 200 levels."""


class RefusedValue(NamedTuple):
    """One value that was left out, and why."""

    field: str
    reason: Refusal


@dataclass(frozen=True, slots=True)
class Decoded:
    """A payload as a typed input. *refused* is empty when all of it was good."""

    payload: Payload
    refused: tuple[RefusedValue, ...]


@dataclass(frozen=True, slots=True)
class Reading:
    """One input as agents see it: who, when, what."""

    identity: Identity
    time_ms: int
    """When it happened, by the publisher's clock; its arrival where it didn't say."""
    payload: Payload


def decode(kind: Kind, raw: bytes) -> Decoded:
    """The typed input in *raw*, the payload of a message on a topic of this *kind*.

    Raises InputRefused with a reason from the closed list, and a field of the contract where there is one.
    """
    if len(raw) > PAYLOAD_LIMIT:
        raise InputRefused(Reason.TOO_LARGE)
    try:
        text = raw.decode()
    except UnicodeDecodeError as exc:
        raise InputRefused(Reason.NOT_UTF8) from exc
    if kind in ("note", "log") and not text.startswith("{"):
        decoded = Decoded(Note(text=text) if kind == "note" else Log(line=text), ())
    else:
        decoded = _validate(kind, _parse(raw))
    if not _usable(decoded.payload):
        raise InputRefused(Reason.NOTHING_USABLE)
    return decoded


def _parse(raw: bytes) -> dict[str, Any]:
    try:
        parsed = from_json(raw)
    except ValueError as exc:
        raise InputRefused(Reason.TOO_DEEP if _TOO_DEEP in str(exc) else Reason.NOT_JSON) from None
    if not isinstance(parsed, dict):
        raise InputRefused(Reason.NOT_AN_OBJECT)
    return parsed


def _validate(kind: Kind, parsed: dict[str, Any]) -> Decoded:
    """Validates, leaves out the values that fail alone, and validates what is left."""
    refused: list[RefusedValue] = []
    # Leaving values out can only shrink the input, so the second pass finds no new faults among them;
    # the third is there to make a fault of ours loud instead of endless.
    for _ in range(3):
        try:
            return Decoded(PAYLOADS[kind].model_validate(parsed), tuple(refused))
        except ValidationError as exc:
            faults = exc.errors(include_url=False, include_context=False, include_input=False)
        for fault in faults:
            refused.append(_refuse(fault))
            _leave_out(parsed, fault["loc"])
        refused = list(dict.fromkeys(refused))
    raise AssertionError("a payload kept failing after its bad values were left out")


def _refuse(fault: ErrorDetails) -> RefusedValue:
    """The value to leave out for *fault*; raises InputRefused when the fault is the envelope's."""
    first, *rest = fault["loc"]
    field = str(first)
    if field in _ENVELOPE or (field == "values" and not rest):
        raise InputRefused(_envelope_reason(fault["type"]), field)
    if fault["loc"][-1] == "[key]":
        return RefusedValue("values", Refusal.BAD_NAME)
    return RefusedValue(".".join([field, *map(str, rest[:1])]), _value_reason(fault["type"]))


def _envelope_reason(fault_type: str) -> Reason:
    if fault_type == "missing":
        return Reason.MISSING
    return Reason.WRONG_SIZE if fault_type.endswith(("too_long", "too_short")) else Reason.WRONG_TYPE


def _value_reason(fault_type: str) -> Refusal:
    match fault_type:
        case "finite_number":
            return Refusal.NOT_FINITE
        case "greater_than_equal" | "less_than_equal":
            return Refusal.IMPOSSIBLE
        case "literal_error":
            return Refusal.UNKNOWN_VALUE
        case _:
            return Refusal.WRONG_TYPE


def _leave_out(parsed: dict[str, Any], loc: tuple[int | str, ...]) -> None:
    holder = parsed
    if len(loc) > 1 and isinstance(parsed.get(str(loc[0])), dict):
        holder = parsed[str(loc[0])]
        loc = loc[1:]
    holder.pop(str(loc[0]), None)


def has_words(text: str) -> bool:
    """Whether a note's text says anything: one without a letter or digit counts as no text."""
    return any(character.isalnum() for character in text)


def _has_readings(signs: VitalSigns | None) -> bool:
    return signs is not None and any(getattr(signs, name) is not None for name in VitalSigns.READINGS)


def _usable(payload: Payload) -> bool:
    match payload:
        case Vitals():
            return _has_readings(payload)
        case Note():
            details = (payload.age, payload.sex, payload.pain, payload.injury, payload.arrival)
            return (
                has_words(payload.text)
                or _has_readings(payload.vitals)
                or any(detail is not None for detail in details)
            )
        case Sensor():
            return bool(payload.values)
        case Log():
            return bool(payload.line.strip())


def input_time(payload: Payload, arrival_ms: int) -> int:
    """When the input happened: its own time, else its arrival. Raises InputRefused for a bad time."""
    return arrival_ms if payload.time is None else parse_time(payload.time)


def input_id(payload: Payload, topic: str, time_ms: int, raw: bytes) -> str | None:
    """The input's own id, or one made from topic, time and payload; None for an input with neither."""
    if payload.id is not None:
        return payload.id
    if payload.time is None:
        return None
    digest = hashlib.sha256(f"{topic}\n{time_ms}\n".encode())
    digest.update(raw)
    return digest.hexdigest()[:32]
