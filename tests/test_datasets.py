"""Datasets are found, checked and read as the messages their devices would have sent."""

import csv
import gzip
import json
from collections import Counter
from itertools import islice
from pathlib import Path

import pytest

from models.datasets import DATASETS, Dataset, Row, data_directory, dataset, locate, made_directory, rows
from models.datasets import made as made_reader
from models.errors import DataMissing, UsageError
from nodes.events import PAYLOADS
from tests.data import needs


def test_directories_come_from_the_environment() -> None:
    assert data_directory({}) == Path("data")
    assert data_directory({"EDGEWARD_DATA": "/somewhere"}) == Path("/somewhere")
    assert made_directory({}) == Path("data/made")
    assert made_directory({"EDGEWARD_MADE": "/elsewhere"}) == Path("/elsewhere")


def test_an_unknown_dataset_is_a_wrong_call(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no dataset 'mimic'.*ktas-triage"):
        locate("mimic", tmp_path)


def test_an_absent_dataset_says_where_it_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(DataMissing, match=r"skab is not here.*EDGEWARD_DATA"):
        locate("skab", tmp_path)


def test_another_file_is_not_the_dataset(tmp_path: Path) -> None:
    """A changed file and an absent one are both named."""
    folder = tmp_path / "physionet-sepsis-2019"
    folder.mkdir()
    (folder / "hospital_A.csv.gz").write_bytes(b"not the hospital")
    with pytest.raises(DataMissing) as missing:
        locate("physionet-sepsis-2019", tmp_path)
    assert "hospital_A.csv.gz is another file" in str(missing.value)
    assert "hospital_B.csv.gz can't be read" in str(missing.value)


@pytest.mark.parametrize("name", [name for name in DATASETS if name != "physionet-sepsis-2019"])
def test_every_row_is_a_message_of_the_contract(name: str) -> None:
    """Payloads have the contract's shape, ids are unique, times of a device don't go back."""
    last: dict[str, int] = {}
    ids = set()
    for row in islice(rows(name, needs(name)), 5000):
        fields = PAYLOADS[row.kind].model_fields
        assert set(row.payload) <= set(fields) - {"id", "time", "test"}
        assert row.payload
        assert json.loads(json.dumps(row.payload)) == row.payload
        assert row.time_ms >= last.get(row.device, 0)
        last[row.device] = row.time_ms
        assert (row.device, row.id) not in ids
        ids.add((row.device, row.id))
    assert ids


def test_icu_minutes_prefer_the_arterial_line() -> None:
    """One message a minute; the cuff speaks where the line doesn't; admission facts are no vital signs."""
    read = list(islice(rows("physionet-icu-2012", needs("physionet-icu-2012")), 200))
    first = read[0]
    assert (first.device, first.id) == ("icu-132539", "icu-132539-0007")
    assert first.payload == {"hr": 73, "rr": 19, "sbp": 147, "dbp": 65, "temp": 35.1}
    assert first.truth == {"died": False}
    assert first.time_ms % 86_400_000 == 7 * 60_000


def _icu(folder: Path, lines: list[str], outcomes: list[str]) -> list[Row]:
    head = "RecordID,SAPS-I,SOFA,Length_of_stay,Survival,In-hospital_death\n"
    for name in ("a", "b"):
        text = "RecordID,Time,Parameter,Value\n" + ("".join(lines) if name == "a" else "")
        (folder / f"events_set_{name}.csv.gz").write_bytes(gzip.compress(text.encode()))
        (folder / f"outcomes_{name}.csv").write_text(head + "".join(outcomes))
    return list(DATASETS["physionet-icu-2012"].reader(folder))


def test_an_unknown_outcome_is_no_truth(tmp_path: Path) -> None:
    """-1 is neither death nor survival; impossible values stay in; a minute without vital signs is no row."""
    lines = ["1,00:00,Age,50\n", "1,47:59,HR,-5\n", "1,47:59,NISysABP,120\n", "1,47:59,SysABP,118.5\n"]
    (row,) = _icu(tmp_path, lines, ["1,1,1,1,1,-1\n"])
    assert row.payload == {"hr": -5, "sbp": 118.5}
    assert row.truth == {}
    assert row.id == "icu-1-4759"


@pytest.mark.slow
def test_all_sepsis_hours_are_read() -> None:
    """Every hour with a vital sign, 30,251 patients, labels as in the file."""
    truth: Counter[bool] = Counter()
    devices = set()
    for row in rows("physionet-sepsis-2019", needs("physionet-sepsis-2019")):
        truth[row.truth["sepsis"]] += 1
        devices.add(row.device)
    assert truth == {False: 1_036_160, True: 19_378}
    assert len(devices) == 30_251


def test_skab_keeps_its_channels_and_labels() -> None:
    """26 runs; labels are truth and no channel."""
    devices: Counter[str] = Counter()
    for row in rows("skab", needs("skab")):
        devices[row.device] += 1
        assert not {"anomaly", "changepoint"} & set(row.payload["values"])
        assert len(row.payload["values"]) == 8
    assert len(devices) == 26
    assert devices["skab-anomaly-free"] == 9405
    with gzip.open(needs("skab") / "skab" / "valve1" / "1.csv.gz", "rt") as file:
        assert devices["skab-valve1-1"] == sum(1 for _ in csv.DictReader(file, delimiter=";"))


def test_made_rows_come_back_as_written(tmp_path: Path) -> None:
    path = made_reader.made_path("sensor-anomaly", 3, tmp_path)
    item = {
        "device": "pump-1",
        "time": 5,
        "kind": "sensor",
        "payload": {"values": {"a": 1.5}},
        "id": "pump-1-1",
        "truth": {"anomaly": False},
    }
    path.write_text(json.dumps(item) + "\n")
    assert made_reader.locate_made("sensor-anomaly", 3, tmp_path) == path
    assert list(made_reader.rows(path)) == [
        Row("pump-1", 5, "sensor", {"values": {"a": 1.5}}, "pump-1-1", {"anomaly": False})
    ]


def test_made_data_that_are_absent_say_how_they_are_made(tmp_path: Path) -> None:
    with pytest.raises(DataMissing, match="edgeward data make log-line --seed 4"):
        made_reader.locate_made("log-line", 4, tmp_path)


def test_a_damaged_made_file_names_its_line(tmp_path: Path) -> None:
    path = tmp_path / "x-1.jsonl"
    path.write_text('{"device": "a"}\n')
    with pytest.raises(DataMissing, match="line 1"):
        list(made_reader.rows(path))


def test_the_registry_is_complete() -> None:
    """Every dataset says where it comes from, under which licence, and hashes every file it reads."""
    for name in DATASETS:
        found = dataset(name)
        assert isinstance(found, Dataset)
        assert found.origin
        assert found.licence
        assert all(len(sha256) == 64 for sha256 in found.files.values())
