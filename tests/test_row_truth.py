"""Every dataset replays as messages that the gateway takes, and its labels become a truth where they can."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path

import pytest

from gateway.cli import main
from models.bounds import possible
from models.datasets import DATASETS, Row, rows
from models.errors import InputRefused, UsageError
from nodes.codec import decode
from simulators.replay import arrivals
from simulators.row_truth import ACUITIES, LABELS, truth_of_rows
from simulators.truth import Interval, read_truth
from tests.data import needs

SOME_ROWS = 3_000


def _some(name: str) -> list[Row]:
    return list(islice(rows(name, needs(name)), SOME_ROWS))


@pytest.mark.parametrize("name", DATASETS)
def test_what_is_replayed_is_what_the_gateway_takes(name: str) -> None:
    """Of each dataset's first rows a message is rejected, or a value refused, only where it is impossible."""
    some = _some(name)
    sent = {each.input_id: each for each in arrivals(some, site="s", devices=20)}
    assert sent
    for row in some:
        if (arrival := sent.get(row.id)) is None:
            continue
        assert arrival.topic == f"edgeward/v1/s/{row.device}/{row.kind}"
        signs = row.payload.get("vitals", row.payload) if row.kind in ("vitals", "note") else {}
        impossible = {
            field
            for field, value in signs.items()
            if isinstance(value, int | float) and not possible(field, value)
        }
        try:
            decoded = decode(row.kind, arrival.payload.encode())
        except InputRefused:
            assert impossible == set(row.payload), row.id
        else:
            assert {each.field.removeprefix("vitals.") for each in decoded.refused} == impossible, row.id
            assert decoded.payload.id == row.id


def _row(device: str, time_ms: int, wrong: bool) -> Row:
    return Row(device, time_ms, "sensor", {"values": {"v": 1}}, f"{device}-{time_ms}", {"anomaly": wrong})


def test_labelled_rows_in_a_row_are_one_interval() -> None:
    """By hand: two stretches of one device, the second of a single row, none of the other."""
    labels = [("a", 0, False), ("a", 10, True), ("b", 15, False), ("a", 20, True), ("a", 30, False)]
    given = [_row(*each) for each in [*labels, ("a", 40, True)]]
    truth = truth_of_rows("skab", given, seed=4, site="s")
    assert [(each.device, each.visible_from, each.until) for each in truth.intervals] == [
        ("a", 10, 21),
        ("a", 40, 41),
    ]
    assert truth.intervals[0] == Interval("a", "anomaly", 10, 10, 21, ("sensor",), "machine-fault", True)
    assert [(each.name, each.kind) for each in truth.devices] == [("a", "machine"), ("b", "machine")]
    assert (truth.start, truth.end, truth.seed, truth.site, truth.notes) == (0, 41, 4, "s", ())


@pytest.mark.parametrize("name", sorted([*LABELS, *ACUITIES]))
def test_the_truth_of_a_dataset_is_what_its_labels_say(name: str) -> None:
    """Every labelled row lies in an interval of its device and no other does; every note has its acuity."""
    some = _some(name)
    truth = truth_of_rows(name, some, seed=0, site="s")
    assert {each.name for each in truth.devices} == {row.device for row in some}
    if name in ACUITIES:
        assert [(each.id, str(each.acuity)) for each in truth.notes] == [
            (row.id, row.truth[ACUITIES[name]]) for row in some
        ]
        return
    spans: dict[str, list[tuple[int, int]]] = {}
    for each in truth.intervals:
        spans.setdefault(each.device, []).append((each.visible_from, each.until))
    label = LABELS[name].name
    wrong = {(row.device, row.time_ms) for row in some if row.truth[label]}
    for row in some:
        inside = any(first <= row.time_ms < until for first, until in spans.get(row.device, ()))
        # Lines of one second can be of both sorts; then the second counts as wrong.
        assert inside == ((row.device, row.time_ms) in wrong)


def test_the_command_writes_the_truth_beside_the_replay(tmp_path: Path) -> None:
    """With the replay's own site and devices, and before the first message."""
    needs("skab")
    recording, truth_path = tmp_path / "r.jsonl", tmp_path / "t.json"
    options = ["--devices", "3", "--site", "plant", "--truth", str(truth_path), "--output", str(recording)]
    assert main(["replay", "skab", *options]) == 0
    truth = read_truth(truth_path)
    assert truth.site == "plant"
    sent = {json.loads(line)["topic"].split("/")[3] for line in recording.read_text().splitlines()}
    assert {each.name for each in truth.devices} == sent
    assert {each.device for each in truth.intervals} <= sent
    assert truth.intervals
    named = ["--devices", "skab-valve1-2,skab-valve2-1", "--output", str(recording)]
    assert main(["replay", "skab", *named]) == 0
    sent = {json.loads(line)["topic"].split("/")[3] for line in recording.read_text().splitlines()}
    assert sent == {"skab-valve1-2", "skab-valve2-1"}
    assert main(["replay", "skab", "--devices", "nobody", "--output", str(recording)]) == 2


@pytest.mark.parametrize("name", sorted(DATASETS.keys() - LABELS.keys() - ACUITIES.keys()))
def test_labels_that_say_nothing_of_alerts_are_no_truth(name: str, tmp_path: Path) -> None:
    assert main(["replay", name, "--output", str(tmp_path / "r"), "--truth", str(tmp_path / "t")]) == 2
    with pytest.raises(UsageError, match="no truth that alerts can be held against"):
        truth_of_rows(name, [], seed=0, site="s")
