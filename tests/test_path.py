"""Faults of the path: each does what it says, to the messages it is about, and counts what it did."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulators.messages import Cut, Message, Numbered, Sent
from simulators.path import FaultyPath
from simulators.scenario_parts import PATH_FAULTS, PathFault

DEVICES = [("bed-01", "bed"), ("bed-02", "bed"), ("pump-1", "machine"), ("pump-2", "machine")]
END_MS = 3_600_000
STEP_MS = 10_000


def _made() -> list[Message]:
    numbered = {device: Numbered(device) for device, _ in DEVICES}
    return [
        numbered[device].message(time_ms, "log", {"line": f"{device} at {time_ms}"})
        for time_ms in range(0, END_MS, STEP_MS)
        for device, _ in DEVICES
    ]


def _through(*faults: PathFault, seed: int = 1) -> tuple[list[Sent], list[Cut], dict[str, int]]:
    path = FaultyPath(faults, seed=seed, start_ms=0, end_ms=END_MS, devices=DEVICES)
    items = list(path.through(_made()))
    times = [item.time_ms for item in items]
    assert times == sorted(times)
    counts = dict(path.summary())
    sent = [item for item in items if isinstance(item, Sent)]
    assert counts["sent"] == len(sent)
    assert counts["made"] == 4 * END_MS // STEP_MS
    assert (
        counts["sent"]
        == counts["made"] + counts["duplicated"] - counts["dropped"] - counts["lost_in_restart"]
    )
    return sent, [item for item in items if isinstance(item, Cut)], counts


def _fault(what: str, **details: Any) -> PathFault:
    return PathFault.model_validate({"what": what, **details})


def _by_device(sent: Sequence[Sent]) -> dict[str, list[Sent]]:
    found: dict[str, list[Sent]] = defaultdict(list)
    for each in sent:
        found[each.sender].append(each)
    return found


def _numbers(sent: Sequence[Sent]) -> list[int]:
    return [int(each.input_id.rpartition("-")[2]) for each in sent]


def test_a_path_without_faults_changes_nothing() -> None:
    sent, cuts, counts = _through()
    assert [(each.time_ms, each.device, each.body) for each in sent] == [
        (each.time_ms, each.device, each.body) for each in _made()
    ]
    assert cuts == []
    assert {name for name, count in counts.items() if count} == {"made", "sent"}


def test_a_delay_holds_messages_back_and_keeps_their_order() -> None:
    sent, _, counts = _through(_fault("delay", devices=["bed-*"], seconds=60, share=0.5))
    for device, messages in _by_device(sent).items():
        late = [each.time_ms - json.loads(each.body)["time"] for each in messages]
        assert _numbers(messages) == sorted(_numbers(messages))
        assert min(late) == 0
        assert max(late) <= 60_000
        assert (max(late) > 0) == device.startswith("bed")
    assert 300 < counts["delayed"] < 420
    assert counts["reordered"] == 0


def test_reordering_lets_messages_overtake_each_other_and_counts_those_overtaken() -> None:
    sent, _, counts = _through(_fault("reorder", devices=["pump-1"], seconds=60, share=0.3))
    overtaken = 0
    for messages in _by_device(sent).values():
        newest = 0
        for number in _numbers(messages):
            overtaken += number < newest
            newest = max(newest, number)
        assert sorted(_numbers(messages)) == list(range(1, END_MS // STEP_MS + 1))
    assert counts["reordered"] == overtaken > 10


def test_a_duplicate_is_the_same_message_again() -> None:
    sent, _, counts = _through(_fault("duplicate", share=0.25, seconds=30))
    assert 280 < counts["duplicated"] < 440
    bodies = [each.body for each in sent]
    assert len(bodies) - len(set(bodies)) == counts["duplicated"]
    assert counts["reordered"] == 0


def test_what_is_dropped_is_in_the_time_of_the_fault_and_nowhere_else() -> None:
    sent, _, counts = _through(_fault("drop", devices=["bed-01"], from_hours=0.25, to_hours=0.5))
    lost = {each.body for each in _made()} - {each.body for each in sent}
    assert counts["dropped"] == len(lost) == 90
    for body in lost:
        payload = json.loads(body)
        assert payload["line"].startswith("bed-01")
        assert 900_000 <= payload["time"] < 1_800_000


def test_corrupt_bytes_differ_from_what_was_made() -> None:
    sent, _, counts = _through(_fault("corrupt", share=0.1))
    whole = {each.body for each in _made()}
    assert counts["corrupted"] == sum(each.body not in whole for each in sent) > 100


def test_a_skewed_clock_moves_only_the_time_in_the_payload() -> None:
    sent, _, counts = _through(_fault("skew", devices=["pump-*"], seconds=-90, from_hours=0.5))
    assert counts["skewed"] == 360
    for each in sent:
        behind_ms = each.time_ms - json.loads(each.body)["time"]
        is_skewed = each.sender.startswith("pump") and each.time_ms >= END_MS / 2
        assert behind_ms == (90_000 if is_skewed else 0)


def test_a_device_that_restarts_is_away_and_counts_its_messages_from_one_again() -> None:
    fault = _fault("restart", devices=["bed-*"], from_hours=0.25, to_hours=0.5, seconds=120)
    sent, cuts, counts = _through(fault)
    assert {cut.sender for cut in cuts} == {"bed-01", "bed-02"}
    assert all(cut.is_restart and 900_000 <= cut.time_ms <= 1_800_000 for cut in cuts)
    assert (counts["restarts"], counts["reconnects"], counts["lost_in_restart"]) == (2, 0, 24)
    for cut in cuts:
        after = [each for each in sent if each.sender == cut.sender and each.time_ms >= cut.time_ms]
        assert _numbers(after) == list(range(1, len(after) + 1))
        assert min(each.time_ms for each in after) >= cut.time_ms + 120_000
        assert all(json.loads(each.body)["id"] == each.input_id for each in after)


def test_a_storm_of_reconnects_breaks_a_share_of_the_connections_and_loses_nothing() -> None:
    sent, cuts, counts = _through(_fault("reconnect-storm", from_hours=0.5, seconds=5))
    assert {cut.sender for cut in cuts} == {device for device, _ in DEVICES}
    assert all(1_800_000 <= cut.time_ms <= 1_805_000 and not cut.is_restart for cut in cuts)
    assert counts["reconnects"] == 4
    assert len(sent) == counts["made"]


def test_an_impostor_publishes_under_the_name_of_another_device_of_its_kind() -> None:
    sent, _, counts = _through(_fault("impersonate", devices=["bed-01", "pump-1"], share=0.5))
    false = [each for each in sent if each.device != each.sender]
    assert counts["impersonated"] == len(false) > 300
    assert {(each.sender, each.device) for each in false} == {("bed-01", "bed-02"), ("pump-1", "pump-2")}
    assert all(each.sender in json.loads(each.body)["line"] for each in false)


@given(
    what=st.lists(st.sampled_from(PATH_FAULTS), min_size=1, max_size=5),
    share=st.floats(0.01, 1),
    seed=st.integers(),
)
@settings(max_examples=10, deadline=None)
def test_any_faults_together_give_the_same_again(what: list[str], share: float, seed: int) -> None:
    """Counts add up, times rise, and one seed gives one run."""
    timed = ("delay", "reorder", "skew", "restart")
    faults = [_fault(each, share=share, **({"seconds": 30} if each in timed else {})) for each in what]
    assert _through(*faults, seed=seed) == _through(*faults, seed=seed)


@pytest.mark.parametrize("what", PATH_FAULTS)
def test_a_fault_leaves_other_devices_alone(what: str) -> None:
    timed = ("delay", "reorder", "skew", "restart")
    details = {"seconds": 30} if what in timed else {}
    sent, _, _ = _through(_fault(what, devices=["bed-01"], **details))
    clear, _, _ = _through()
    for device in ("bed-02", "pump-1", "pump-2"):
        assert _by_device(sent)[device] == _by_device(clear)[device]


def test_messages_of_one_device_stay_in_order_without_faults_that_reorder() -> None:
    sent, _, _ = _through(
        _fault("drop", share=0.2), _fault("delay", seconds=300), _fault("corrupt", share=0.2)
    )
    for messages in _by_device(sent).values():
        assert all(a < b for a, b in pairwise(_numbers(messages)))
