"""Ten thousand payloads of nonsense on every input topic, through a real broker into a real gateway."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from gateway.broker import EmbeddedBroker
from nodes.events import KINDS, Kind
from tests.stand import Client, Gateway
from tests.strategies import FIELDS, JSON

PAYLOADS = 10_000
"""For each topic: half of them made by hypothesis, half random bytes and damaged good payloads."""
A_DRAW = 25

GOOD: dict[Kind, bytes] = {
    "vitals": b'{"id": "a", "time": 1795450140000, "hr": 72, "rr": 15, "temp": 36.9, "acvpu": "A"}',
    "note": b'{"text": "chest pain, denies dyspnea", "age": 61, "sex": "M", "vitals": {"hr": 90}, "pain": 4}',
    "sensor": b'{"time": "2026-11-23T16:09:00Z", "values": {"pressure": 2.5, "flow": 31, "temp": 40.1}}',
    "log": b'{"line": "kernel: EDAC MC0: 1 CE memory read error", "test": true}',
}

_PAYLOAD = (
    st.dictionaries(FIELDS, JSON, max_size=6).map(lambda each: json.dumps(each).encode())
    | st.text(max_size=40).map(lambda each: each.encode("utf-8", "surrogatepass"))
    | st.fixed_dictionaries(
        {"values": st.dictionaries(st.text(max_size=8), st.floats() | st.integers(), max_size=5)}
    ).map(lambda each: json.dumps(each).encode())
    | st.fixed_dictionaries({"hr": st.floats(-10, 400), "spo2": st.floats(-10, 150)}).map(
        lambda each: json.dumps(each).encode()
    )
)


def _made_by_hypothesis(count: int) -> list[bytes]:
    made: list[bytes] = []

    @seed(2026)
    @settings(
        max_examples=count // A_DRAW,
        phases=[Phase.generate],
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.lists(_PAYLOAD, min_size=A_DRAW, max_size=A_DRAW))
    def draw(payloads: list[bytes]) -> None:
        made.extend(payloads)

    draw()
    return made


def _damaged(kind: Kind, count: int, rng: random.Random) -> list[bytes]:
    made = []
    for place in range(count):
        if place % 2:
            made.append(rng.randbytes(rng.randrange(120)))
            continue
        raw = bytearray(GOOD[kind])
        for _ in range(rng.randrange(1, 4)):
            at = rng.randrange(len(raw))
            raw[at : at + rng.randrange(3)] = rng.randbytes(rng.randrange(3))
        made.append(bytes(raw))
    return made


@pytest.mark.slow
def test_nonsense_is_classified_in_part_or_whole_or_rejected_and_the_counters_add_up(tmp_path: Path) -> None:
    rng = random.Random(7)
    drawn = _made_by_hypothesis(PAYLOADS // 2)
    sent: list[tuple[str, bytes]] = []
    for kind in KINDS:
        payloads = [*drawn, *_damaged(kind, PAYLOADS - len(drawn), rng)]
        # Empty payloads would be no retained message's end here, just one more input.
        sent += [(f"edgeward/v1/fuzz/d{rng.randrange(50)}/{kind}", payload) for payload in payloads]
    rng.shuffle(sent)
    sent += [(f"edgeward/v1/fuzz/last/{kind}", GOOD[kind]) for kind in KINDS]
    with (
        EmbeddedBroker() as broker,
        Client(broker, ["edgeward/gateway/#", "edgeward/v1/+/last/#"]) as client,
        Gateway(broker.url, tmp_path, "--clock", "events") as gateway,
    ):
        client.wait_online(gateway)
        infos = [client.publish(topic, payload) for topic, payload in sent]
        client.flush(infos)
        client.wait(lambda _: len(client.on("/last/classification/")) >= 5, "the last answers", 300)
        assert gateway.stop() == 0
        counters: dict[str, Any] = client.wait(lambda _: client.on("/counters"), "counters")[-1].event
        rejected = client.on("/rejected")
    assert counters["received"] == len(sent)
    outcomes = [counters[each] for each in ("classified", "in_part", "rejected", "repeated")]
    assert sum(outcomes) == len(sent)
    assert min(outcomes[:3]) > 100
    assert len(rejected) == counters["rejected"]
    assert all(each.event["data"]["reason"] for each in rejected)
