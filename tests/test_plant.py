"""Simulated machines repeat by seed, and every fault that they claim shows in their readings."""

import json
import math
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from models.datasets import made as made_reader
from models.errors import UsageError
from nodes.events import CHANNEL_LIMIT, Sensor
from simulators.made import LEARNING, MAKERS, sensor_anomaly, write
from simulators.plant import FAULTS, KINDS, SENSOR_FAULTS, Machine, MachineKind
from simulators.scenario import load_scenario, shipped_scenarios
from simulators.world import World


def readings(
    kind: MachineKind, seed: int, count: int, fault: str | None = None, severity: float = 0.0
) -> list[dict[str, float]]:
    machine = Machine(kind, np.random.default_rng(seed))
    return [machine.step(float(second), fault, severity) for second in range(count)]


@pytest.mark.parametrize("kind", KINDS)
def test_a_machine_repeats_by_its_seed(kind: MachineKind) -> None:
    assert readings(kind, 5, 50) == readings(kind, 5, 50)
    assert readings(kind, 5, 50) != readings(kind, 6, 50)


@pytest.mark.parametrize("kind", KINDS)
def test_readings_are_payloads_of_the_contract(kind: MachineKind) -> None:
    """All channels at every step, finite numbers, few enough."""
    read = readings(kind, 1, 200)
    assert all(set(values) == set(read[0]) for values in read)
    assert len(read[0]) <= CHANNEL_LIMIT
    for values in read:
        Sensor.model_validate({"values": values})
        assert all(math.isfinite(value) for value in values.values())


def test_wrong_faults_fail_at_once() -> None:
    with pytest.raises(ValueError, match="a valve has no fault 'cavitation'"):
        readings("valve", 1, 1, "cavitation", 1.0)


@pytest.mark.parametrize(("kind", "fault"), [(kind, fault) for kind in KINDS for fault in FAULTS[kind]])
def test_a_machine_fault_moves_a_channel(kind: MachineKind, fault: str) -> None:
    """Twin machines, one of them at fault, come apart by far more than noise; at severity 0 they don't."""
    well = Machine(kind, np.random.default_rng(3))
    ill = Machine(kind, np.random.default_rng(3))
    for second in range(600):
        assert well.step(float(second)) == ill.step(float(second))
    moved: dict[str, list[float]] = {}
    spread: dict[str, list[float]] = {}
    for second in range(600, 1200):
        healthy, faulty = well.step(float(second)), ill.step(float(second), fault, 0.8)
        for channel in healthy:
            moved.setdefault(channel, []).append(faulty[channel] - healthy[channel])
            spread.setdefault(channel, []).append(healthy[channel])
    shifts = [abs(np.mean(moved[channel])) / (np.std(spread[channel]) + 1e-9) for channel in moved]
    assert max(shifts) > 0.5


def test_sensor_faults_spoil_one_channel() -> None:
    """A stuck channel repeats itself, a silent one is absent, and the others go on."""
    machine = Machine("pump", np.random.default_rng(8))
    for second in range(10):
        machine.step(float(second))
    stuck = [machine.step(10.0 + second, "sensor-stuck", 1.0) for second in range(20)]
    assert sum(len({values[channel] for values in stuck}) == 1 for channel in stuck[0]) == 1
    whole = set(machine.step(30.0))
    assert len(whole - set(machine.step(31.0, "sensor-silent", 1.0))) == 1
    assert set(SENSOR_FAULTS) <= set(machine.faults)


def test_made_machines_start_healthy_and_carry_their_truth() -> None:
    """No fault in the learning time, then some; each item is a row."""
    items = list(sensor_anomaly(3, machines=4))
    by_device: dict[str, list[bool]] = {}
    for item in items:
        by_device.setdefault(item["device"], []).append(item["truth"]["anomaly"])
        assert (item["truth"]["severity"] > 0) is item["truth"]["anomaly"]
        assert not (item["truth"]["anomaly"] and item["truth"]["recovering"])
    assert len(by_device) == 4
    for anomalies in by_device.values():
        assert not any(anomalies[:LEARNING])
        assert any(anomalies)
    assert len({item["id"] for item in items}) == len(items)


def test_made_data_repeat_by_their_seed() -> None:
    assert list(islice(sensor_anomaly(1), 20)) == list(islice(sensor_anomaly(1), 20))
    assert list(islice(sensor_anomaly(1), 20)) != list(islice(sensor_anomaly(2), 20))


def test_what_is_written_reads_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A made file is whole, named by name and seed, and read as rows; nothing else is left beside it."""
    monkeypatch.setitem(MAKERS, "sensor-anomaly", lambda seed: sensor_anomaly(seed, machines=1, readings=30))
    path = write("sensor-anomaly", 7, tmp_path / "made")
    assert [file.name for file in path.parent.iterdir()] == ["sensor-anomaly-7.jsonl"]
    rows = list(made_reader.rows(path))
    assert len(rows) == 30
    first = json.loads(path.read_text().splitlines()[0])
    assert (rows[0].device, rows[0].payload, rows[0].truth) == (
        first["device"],
        first["payload"],
        first["truth"],
    )


def test_unknown_made_data_are_a_wrong_call(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no made data 'x'; there are sensor-anomaly, log-line"):
        write("x", 1, tmp_path)


PLANT_SCENARIOS = ("pump-cavitation", "valve-closing", "bearing-wear", "log-storm")


@pytest.mark.parametrize("name", shipped_scenarios())
def test_machines_are_learnt_before_anything_happens_to_them(name: str) -> None:
    """An agent that learns from 400 readings has them, all healthy, before a machine's or sensor's fault."""
    scenario = load_scenario(name)[1]
    reading_seconds = {machine.name: machine.reading_seconds for machine in scenario.machines}
    for event in scenario.events:
        if event.family in ("machine-fault", "sensor-fault"):
            assert event.from_hours * 3600 > LEARNING * reading_seconds[event.device], event


@pytest.mark.parametrize("name", PLANT_SCENARIOS)
def test_plant_scenarios_have_a_machine_at_fault_and_one_that_is_well(name: str) -> None:
    """So that false alerts show as well as missed ones."""
    world = World(*load_scenario(name))
    machines = {device.name for device in world.truth("s").devices if device.kind == "machine"}
    wrong = {each.device for each in world.truth("s").intervals} & machines
    assert set() < wrong < machines


def test_a_storm_of_the_scenario_floods_only_its_machine() -> None:
    """While it lasts its machine writes far more than before, and the others as before."""
    world = World(*load_scenario("log-storm"))
    storms = [each for each in world.truth("s").intervals if each.family == "log"]
    assert [(each.device, each.kinds) for each in storms] == [
        ("line-1", ("log",)),
        ("line-2", ("log",)),
        ("line-1", ("log",)),
    ]
    counts = dict.fromkeys(world.devices, 0)
    stormy = 0
    for message in world.messages():
        if message.kind == "log":
            inside = any(
                each.device == message.device and each.visible_from <= message.time_ms < each.until
                for each in storms
            )
            stormy += inside
            counts[message.device] += not inside
    quiet_hours = 6.0 * 3 - sum(each.until - each.visible_from for each in storms) / 3_600_000
    storm_hours = 6.0 * 3 - quiet_hours
    assert stormy / storm_hours > 20 * sum(counts.values()) / quiet_hours
