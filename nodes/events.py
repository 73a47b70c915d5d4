"""The messages that come in, as types: what a publisher may say, and within which bounds.

Contract version 1. These types are the border: they validate once, with pydantic, and their JSON Schemas
are the published contract (`docs/contract.md`). Inside, the values are trusted.

A number outside its bounds is not a reading that a person or a machine can have (SpO2 140 %); the bounds
are physical, wide, and no alarm limits. In `Vitals`, a note's details and a sensor's `values` such a value
is refused alone and the rest goes on: that is the codec's work, these types only say what is possible.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from models.bounds import BOUNDS

Kind = Literal["vitals", "note", "sensor", "log"]
"""The four lines of input, each with topics of its own."""

KINDS: tuple[Kind, ...] = ("vitals", "note", "sensor", "log")

ID_LIMIT = 256
"""Characters in an input's id."""
TEXT_LIMIT = 262_144
"""Characters in a note or a log line: whatever fits the payload limit."""
CHANNEL_LIMIT = 64
"""Channels in one sensor reading; the bound on a device's learnt covariance (64 × 64)."""
CHANNEL_NAME_LIMIT = 64
"""Characters in a channel's name."""


def _bounded(field: str) -> Any:
    low, high = BOUNDS[field]
    return Field(ge=low, le=high, allow_inf_nan=False, strict=True)


HeartRate = Annotated[float, _bounded("hr")]
RespiratoryRate = Annotated[float, _bounded("rr")]
Saturation = Annotated[float, _bounded("spo2")]
Pressure = Annotated[float, _bounded("sbp")]
BodyTemperature = Annotated[float, _bounded("temp")]
Age = Annotated[float, _bounded("age")]
PainScore = Annotated[float, _bounded("pain")]
ChannelName = Annotated[str, Field(min_length=1, max_length=CHANNEL_NAME_LIMIT)]
ChannelValue = Annotated[float, Field(ge=-1e15, le=1e15, allow_inf_nan=False, strict=True)]
StrictBoolean = Annotated[bool, Field(strict=True)]
Scale = Annotated[int, Field(ge=1, le=2, strict=True)]
Consciousness = Literal["A", "C", "V", "P", "U"]
Sex = Literal["F", "M"]
Arrival = Literal["walk-in", "ambulance", "private", "transfer", "other"]


def _id_text(value: object) -> object:
    """Numbering publishers send whole numbers: 5 and "5" are one id, and its text is what comes back."""
    return str(value) if type(value) is int and value.bit_length() <= 64 else value


InputId = Annotated[
    str,
    Field(min_length=1, max_length=ID_LIMIT, strict=True),
    BeforeValidator(_id_text, json_schema_input_type=str | int),
]
_StrictFloat = Annotated[float, Field(strict=True)]
_StrictText = Annotated[str, Field(strict=True)]
InputTime = Annotated[
    _StrictFloat | _StrictText,
    Field(description="RFC 3339 with an offset, or epoch milliseconds; without one, arrival counts"),
]


class _Payload(BaseModel):
    """What all inputs share: unknown fields are ignored on the wire, and nothing changes after parsing."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class VitalSigns(_Payload):
    """One set of vital signs, any subset of them."""

    hr: HeartRate | None = Field(None, description="heart rate, per minute")
    rr: RespiratoryRate | None = Field(None, description="breaths per minute")
    spo2: Saturation | None = Field(None, description="oxygen saturation, %")
    sbp: Pressure | None = Field(None, description="systolic blood pressure, mmHg")
    dbp: Pressure | None = Field(None, description="diastolic blood pressure, mmHg")
    temp: BodyTemperature | None = Field(None, description="body temperature, °C")
    acvpu: Consciousness | None = Field(
        None, description="Alert, new Confusion, responds to Voice, to Pain, Unresponsive"
    )
    on_oxygen: StrictBoolean | None = Field(None, description="true when breathing supplementary oxygen")
    spo2_scale: Scale | None = Field(
        None, description="NEWS2 SpO2 scale: a clinical order for the patient, 1 unless it is sent"
    )

    READINGS: ClassVar[tuple[str, ...]] = ("hr", "rr", "spo2", "sbp", "dbp", "temp", "acvpu", "on_oxygen")
    """The fields that say something of the patient; `spo2_scale` alone says nothing."""


class _Envelope(_Payload):
    """The part of a payload that must be right for the message to be taken at all."""

    id: InputId | None = Field(None, description="the publisher's own id, unique per device and kind")
    time: InputTime | None = None
    test: StrictBoolean = Field(False, description="true on simulated input; carried through to the outputs")


class Vitals(_Envelope, VitalSigns):
    """A payload on a vitals topic."""

    kind: ClassVar[Kind] = "vitals"


class Note(_Envelope):
    """A payload on a note topic; on the wire also bare text, any valid UTF-8 not starting with `{`."""

    kind: ClassVar[Kind] = "note"

    text: Annotated[str, Field(max_length=TEXT_LIMIT, strict=True)]
    age: Age | None = Field(None, description="years")
    sex: Sex | None = None
    vitals: VitalSigns | None = None
    pain: PainScore | None = Field(None, description="numeric rating scale, 0 to 10")
    injury: StrictBoolean | None = None
    arrival: Arrival | None = None


class Sensor(_Envelope):
    """A payload on a sensor topic: one reading of a machine, all its channels at one instant."""

    kind: ClassVar[Kind] = "sensor"

    values: Annotated[
        dict[ChannelName, ChannelValue], Field(max_length=CHANNEL_LIMIT, description="channel name to number")
    ]


class Log(_Envelope):
    """A payload on a log topic. On the wire it may also be the bare line."""

    kind: ClassVar[Kind] = "log"

    line: Annotated[str, Field(max_length=TEXT_LIMIT, strict=True)]


Payload = Vitals | Note | Sensor | Log
"""All that may come in; the list is closed."""

PAYLOADS: dict[Kind, type[Vitals] | type[Note] | type[Sensor] | type[Log]] = {
    "vitals": Vitals,
    "note": Note,
    "sensor": Sensor,
    "log": Log,
}
