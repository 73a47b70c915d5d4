"""Why an input, or one value of it, was refused: the closed list. No reason holds a payload's content."""

from __future__ import annotations

from enum import StrEnum

from models.runtime import NOT_RUNNABLE

PAYLOAD_LIMIT = 262_144
"""Bytes in one payload (256 KiB)."""


class Reason(StrEnum):
    """Why a whole message was rejected; the text is what the publisher reads."""

    TOO_LARGE = f"the payload is larger than {PAYLOAD_LIMIT} bytes"
    NOT_UTF8 = "the payload is not valid UTF-8"
    NOT_JSON = "the payload is not valid JSON"
    TOO_DEEP = "the payload is nested too deep"
    NOT_AN_OBJECT = "the payload is JSON, but not an object"
    MISSING = "a required field is missing"
    WRONG_TYPE = "the field has the wrong type or structure"
    WRONG_SIZE = "the field is empty or too long"
    BAD_TIME = "the time is neither RFC 3339 with an offset nor epoch milliseconds"
    TIME_OUT_OF_BOUNDS = "the time is before 1970, after 9999, or more than a day ahead"
    BAD_IDENTITY = "the topic's level is not 1-128 characters of A-Z a-z 0-9 . _ ~ : -"
    SAME_ID = "the id was used before with another payload"
    NOT_RUNNABLE = NOT_RUNNABLE
    SET_ASIDE = "the gateway has died on this message before and does not take it again"
    NOTHING_USABLE = "no usable value is left"
    TOO_MANY_DEVICES = "the gateway already watches as many devices as it can"


class Refusal(StrEnum):
    """Why one value was refused while the rest went on."""

    WRONG_TYPE = "wrong type"
    NOT_FINITE = "not a finite number"
    IMPOSSIBLE = "outside what is possible"
    UNKNOWN_VALUE = "not one of the values that the contract lists"
    BAD_NAME = "the channel's name is empty or too long"
