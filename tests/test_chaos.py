"""`edgeward chaos` itself: its plan, its devices, and short runs of it over both brokers."""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from gateway.broker import BrokerKind
from gateway.chaos_plan import DEFAULT, FAULTS, checked, plan
from gateway.chaos_stand import cannot
from gateway.cli import main
from models.errors import InputRefused, UsageError
from nodes.codec import decode
from nodes.events import KINDS
from simulators.counter import Streams, bad_input, reading


def test_the_same_seed_gives_the_same_plan_and_another_seed_another() -> None:
    assert plan(DEFAULT, seed=1, seconds=600) == plan(DEFAULT, seed=1, seconds=600)
    assert plan(DEFAULT, seed=1, seconds=600) != plan(DEFAULT, seed=2, seconds=600)


def test_leaving_a_fault_out_moves_no_other() -> None:
    whole = plan(("gateway-kill", "link-cut"), seed=1, seconds=600)
    assert [each for each in whole if each.name == "link-cut"] == plan(("link-cut",), seed=1, seconds=600)


def test_twenty_minutes_hold_two_hundred_kills_of_the_gateway_and_twenty_of_the_broker() -> None:
    for seed in range(20):
        names = [each.name for each in plan(("gateway-kill", "broker-kill"), seed=seed, seconds=1200)]
        assert names.count("gateway-kill") >= 200
        assert names.count("broker-kill") >= 20


def test_every_fault_ends_with_the_run() -> None:
    for each in plan(tuple(FAULTS), seed=3, seconds=300):
        assert 0 < each.at_s < each.at_s + each.seconds <= 300 or each.seconds == 0


def test_an_unknown_fault_is_a_wrong_call() -> None:
    with pytest.raises(UsageError, match="gateway-kill"):
        checked(["earthquake"])


def test_a_reading_is_a_function_of_seed_device_and_number() -> None:
    assert reading(1, "s", "d", "vitals", 7) == reading(1, "s", "d", "vitals", 7)
    assert reading(1, "s", "d", "vitals", 7).payload != reading(2, "s", "d", "vitals", 7).payload


def test_every_reading_can_be_used_and_no_bad_input_can() -> None:
    for message in islice(Streams(1, "s", 18), 900):
        (kind,) = (each for each in KINDS if each == message.kind)
        assert decode(kind, message.payload).refused == ()
    for kind in KINDS:
        for number in range(40):
            with pytest.raises(InputRefused):
                decode(kind, bad_input(1, "s", "d", kind, number).payload)


def test_the_names_of_all_inputs_differ() -> None:
    names = [message.name for message in islice(Streams(1, "s", 18), 900)]
    names += [bad_input(1, "s", "d", "log", number).name for number in range(900)]
    assert len(set(names)) == len(names)


def test_the_faults_can_be_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["chaos", "--faults", "list"]) == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in FAULTS)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--devices", "0"],
        ["--faults", "earthquake"],
        ["--agents", "oracle"],
        ["--report", "nowhere/report.json"],
    ],
)
def test_wrong_use_is_said_at_once(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["chaos", *arguments]) == 2
    assert capsys.readouterr().err.startswith("edgeward: ")


def staged(folder: Path, *arguments: str) -> dict[str, Any]:
    """The report of a run in a process of its own."""
    file = folder / "report.json"
    command = [sys.executable, "-m", "gateway", "chaos", "--report", str(file), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert file.exists(), done.stderr
    report: dict[str, Any] = json.loads(file.read_text())
    assert done.returncode == (0 if report["passed"] else 1)
    assert report["passed"], (report["faults"], done.stdout)
    return report


def test_killed_and_cut_off_the_gateway_loses_nothing_that_was_acknowledged(
    kind: BrokerKind, tmp_path: Path
) -> None:
    """…and all answers and alerts are those of an uninterrupted run."""
    faults = "gateway-kill,link-cut,duplicates,disorder,poison"
    report = staged(tmp_path, "--minutes", "0.1", "--kill-every", "1", "--broker", kind, "--faults", faults)
    ledger = report["ledger"]
    assert ledger["sent"] > 1_000
    assert ledger["lost"] == ledger["unacknowledged"] == ledger["unknown"] == 0
    assert ledger["answered"] == ledger["acknowledged"] == ledger["sent"]
    assert report["staged"]["gateway-kill"] >= 3
    assert len(report["comparable"]) == 5
    assert ledger["agents"]["vitals"]["compared"] == ledger["agents"]["vitals"]["received"] > 0
    assert ledger["alerts"] > 0


def test_a_killed_broker_costs_nothing_where_devices_hold_their_readings(tmp_path: Path) -> None:
    arguments = ("--minutes", "0.1", "--kill-every", "0.5", "--rate", "200", "--agents", "vitals,log-line")
    report = staged(tmp_path, *arguments, "--faults", "broker-kill")
    assert report["hold"]
    assert report["staged"]["broker-kill"] >= 1
    assert report["ledger"]["answered"] == report["ledger"]["sent"] > 500


@pytest.mark.skipif(cannot("packet-loss") is not None, reason="only root can stage it, with nft")
def test_a_gateway_behind_a_link_that_loses_packets_answers_everything(tmp_path: Path) -> None:
    arguments = ("--minutes", "0.05", "--rate", "100", "--agents", "vitals")
    report = staged(tmp_path, *arguments, "--faults", "packet-loss")
    assert report["ledger"]["answered"] == report["ledger"]["sent"] > 200
