"""Payloads at the border: what is taken, what is refused alone, what is rejected whole."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import InputRefused
from nodes.codec import decode, input_id
from nodes.events import KINDS, Kind, Log, Note, Sensor, Vitals
from nodes.reasons import PAYLOAD_LIMIT, Reason, Refusal
from tests.strategies import FIELDS, JSON


def _decode(kind: Kind, payload: Any) -> Any:
    return decode(kind, json.dumps(payload).encode())


def test_a_good_value_survives_its_bad_neighbours() -> None:
    decoded = decode(
        "vitals",
        b'{"hr": 72, "spo2": 140, "temp": NaN, "sbp": "120", "acvpu": "X", "on_oxygen": 1, "dbp": -5}',
    )
    assert isinstance(decoded.payload, Vitals)
    assert decoded.payload.hr == 72
    assert decoded.payload.spo2 is None
    assert dict(decoded.refused) == {
        "spo2": Refusal.IMPOSSIBLE,
        "temp": Refusal.NOT_FINITE,
        "sbp": Refusal.WRONG_TYPE,
        "acvpu": Refusal.UNKNOWN_VALUE,
        "on_oxygen": Refusal.WRONG_TYPE,
        "dbp": Refusal.IMPOSSIBLE,
    }


def test_channels_are_refused_one_by_one() -> None:
    decoded = decode("sensor", b'{"values": {"a": 1, "b": "x", "c": Infinity, "": 3, "d": null}}')
    assert isinstance(decoded.payload, Sensor)
    assert decoded.payload.values == {"a": 1.0}
    assert [field for field, _ in decoded.refused] == ["values.b", "values.c", "values", "values.d"]


def test_a_notes_details_are_refused_one_by_one() -> None:
    decoded = _decode("note", {"text": "fell", "age": 300, "vitals": {"hr": 90, "spo2": 140}, "pain": 11})
    assert isinstance(decoded.payload, Note)
    assert decoded.payload.vitals is not None
    assert decoded.payload.vitals.hr == 90
    assert {field for field, _ in decoded.refused} == {"age", "vitals.spo2", "pain"}


@pytest.mark.parametrize(
    ("kind", "raw", "reason"),
    [
        ("vitals", b"72", Reason.NOT_AN_OBJECT),
        ("vitals", b"", Reason.NOT_JSON),
        ("vitals", b"hr=72", Reason.NOT_JSON),
        ("vitals", b'{"hr": 72', Reason.NOT_JSON),
        ("vitals", b'{"hr": "\xff"}', Reason.NOT_UTF8),
        ("vitals", b'{"x": ' + b"[" * 5000 + b"]" * 5000 + b"}", Reason.TOO_DEEP),
        ("vitals", b'{"hr": 72, "x": "' + b"a" * PAYLOAD_LIMIT + b'"}', Reason.TOO_LARGE),
        ("vitals", b'{"hr": 72, "time": true}', Reason.WRONG_TYPE),
        ("vitals", b'{"hr": 72, "id": ""}', Reason.WRONG_SIZE),
        ("vitals", b'{"hr": 72, "id": {}}', Reason.WRONG_TYPE),
        ("vitals", b'{"hr": 72, "test": 1}', Reason.WRONG_TYPE),
        ("vitals", b"{}", Reason.NOTHING_USABLE),
        ("vitals", b'{"spo2": 140}', Reason.NOTHING_USABLE),
        ("vitals", b'{"spo2_scale": 2}', Reason.NOTHING_USABLE),
        ("sensor", b"{}", Reason.MISSING),
        ("sensor", b'{"values": []}', Reason.WRONG_TYPE),
        ("sensor", b'{"values": {}}', Reason.NOTHING_USABLE),
        ("sensor", json.dumps({"values": {str(i): i for i in range(65)}}).encode(), Reason.WRONG_SIZE),
        ("note", b'{"age": 40}', Reason.MISSING),
        ("note", b'{"text": 5}', Reason.WRONG_TYPE),
        ("note", b"{not json", Reason.NOT_JSON),
        ("note", b"\xc3\x28", Reason.NOT_UTF8),
        ("note", b" ?! ", Reason.NOTHING_USABLE),
        ("note", b"", Reason.NOTHING_USABLE),
        ("log", b"  ", Reason.NOTHING_USABLE),
        ("log", b'{"line": null}', Reason.WRONG_TYPE),
    ],
)
def test_a_bad_envelope_is_rejected_with_its_reason(kind: Kind, raw: bytes, reason: Reason) -> None:
    with pytest.raises(InputRefused) as refused:
        decode(kind, raw)
    assert refused.value.reason == reason


def test_text_that_does_not_start_with_a_brace_is_the_note_or_line_itself() -> None:
    assert decode("note", "Brust­schmerz, 3 h".encode()).payload == Note(text="Brust­schmerz, 3 h")
    assert decode("log", b' {"not": "json"}').payload == Log(line=' {"not": "json"}')


def test_unknown_fields_are_ignored_and_null_is_absent() -> None:
    decoded = _decode("vitals", {"hr": 72, "temp": None, "maker": {"x": [1]}})
    assert decoded.refused == ()


def test_numbering_publishers_may_send_whole_numbers_as_ids() -> None:
    assert _decode("vitals", {"hr": 72, "id": 5}).payload.id == "5"


def test_an_input_without_id_gets_one_from_topic_time_and_payload() -> None:
    raw = b'{"hr": 72, "time": 1000}'
    payload = decode("vitals", raw).payload
    made = input_id(payload, "a/b", 1000, raw)
    assert made is not None
    assert made == input_id(payload, "a/b", 1000, raw)
    assert made != input_id(payload, "a/c", 1000, raw)
    assert made != input_id(payload, "a/b", 1000, raw + b" ")
    assert input_id(decode("vitals", b'{"hr": 72}').payload, "a/b", 1000, b'{"hr": 72}') is None


@given(st.sampled_from(KINDS), st.dictionaries(FIELDS, JSON, max_size=8))
def test_any_object_is_taken_or_refused(kind: Kind, payload: dict[str, Any]) -> None:
    try:
        decoded = _decode(kind, payload)
    except InputRefused as refused:
        assert refused.reason in set(Reason)  # noqa: PT017 - either way is right, each has its claim
    else:
        assert decoded.payload.kind == kind


@given(st.sampled_from(KINDS), st.binary(max_size=200))
def test_any_bytes_are_taken_or_refused(kind: Kind, raw: bytes) -> None:
    try:
        decode(kind, raw)
    except InputRefused as refused:
        assert refused.reason in set(Reason)  # noqa: PT017 - either way is right, this one has the claim
