"""The store and its keeper: what was kept is there after any end, and what no restart needs goes."""

from __future__ import annotations

import json
import random
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway import store as store_module
from gateway.cli import main
from gateway.keeper import Keeper
from gateway.recording import read_recording
from gateway.store import Store
from gateway.store_file import FILE
from models.errors import StoreDamaged, StoreUnwritable, UsageError
from nodes.agents import SHIPPED, build_agent
from nodes.outputs import Publication
from nodes.pipeline import Pipeline, Received
from nodes.topics import Identity

NOW = 1_790_000_000_000
HOUR_MS = 3_600_000
BEDS = [Identity("ward", f"bed-{number}") for number in range(4)]


def reading(number: int, bed: Identity = BEDS[0], payload: bytes | None = None) -> Received:
    raw = payload or json.dumps({"id": f"r{number}", "hr": 60 + number % 40}).encode()
    return Received(f"edgeward/v1/{bed.site}/{bed.device}/vitals", raw, NOW + number, f"{number:032x}")


def answer(number: int, *, topic: str | None = None, retain: bool = False) -> Publication:
    payload = json.dumps({"id": f"{number:032x}", "label": "low"}).encode()
    return Publication(topic or f"out/{number}", payload, "alert" if retain else "classification", retain)


def taken(*numbers: int, bed: Identity = BEDS[0]) -> list[tuple[Received, Sequence[Identity]]]:
    return [(reading(number, bed), [bed]) for number in numbers]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path) as opened:
        yield opened


def pages(store: Store) -> int:
    (count,) = store._connection.execute("PRAGMA page_count").fetchone()
    return int(count)


def limit_pages(store: Store, limit: int) -> None:
    """SQLite finds its disk full at *limit* pages."""
    store._connection.execute(f"PRAGMA max_page_count = {limit}")


def written_bytes() -> int:
    """What this process has sent to disks, by the kernel's count."""
    rows = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(rows["write_bytes"])


def test_what_was_taken_and_owed_is_there_after_it_was_closed(tmp_path: Path) -> None:
    odd = (Received("t/ü/x", b"\xff\x00\xfe", NOW, "ab" * 16, duplicate=True), [BEDS[1]])
    with Store.open(tmp_path) as first:
        ids = first.take([*taken(1, 2), odd], [answer(1), answer(2)], now_ms=NOW)
    with Store.open(tmp_path) as second:
        assert list(second.devices()) == [
            (BEDS[0], None, [reading(1), reading(2)]),
            (BEDS[1], None, [odd[0]]),
        ]
        assert list(second.owed()) == [(ids[0], answer(1), NOW), (ids[1], answer(2), NOW)]
        assert list(second.readings()) == [reading(1), reading(2), odd[0]]


def test_a_snapshot_stands_for_all_readings_before_it(store: Store) -> None:
    store.take(taken(1), [], now_ms=NOW)
    store.take(taken(2), [], now_ms=NOW, snapshots={BEDS[0]: b"state"})
    store.take(taken(3), [], now_ms=NOW)
    assert list(store.devices()) == [(BEDS[0], b"state", [reading(3)])]


def test_a_message_that_moved_two_devices_is_kept_for_both_and_exported_once(store: Store) -> None:
    store.take([(reading(1), BEDS[:2])], [], now_ms=NOW)
    assert [later for _, _, later in store.devices()] == [[reading(1)], [reading(1)]]
    assert list(store.readings()) == [reading(1)]


def test_what_moved_no_device_is_not_kept(store: Store) -> None:
    store.take([(reading(1), [])], [answer(1)], now_ms=NOW)
    assert list(store.readings()) == []
    assert len(list(store.owed())) == 1


def test_settled_rows_are_gone_and_no_id_is_given_twice(store: Store) -> None:
    (first,) = store.take([], [answer(1)], now_ms=NOW)
    (second,) = store.take([], [answer(2)], now_ms=NOW, settled=[first])
    assert second != first
    assert [row.id for row in store.owed()] == [second]


def test_a_newer_row_for_a_retained_topic_replaces_the_older(store: Store) -> None:
    """So that no stale alert comes back after its clear."""
    store.take([], [answer(1, topic="alert", retain=True)], now_ms=NOW)
    clear = Publication("alert", b"", "alert", retain=True)
    store.take([], [answer(2, topic="alert"), clear], now_ms=NOW)
    assert [row.publication for row in store.owed()] == [answer(2, topic="alert"), clear]


def test_a_forgotten_device_is_gone_and_one_that_came_again_at_once_is_not(
    store: Store, tmp_path: Path
) -> None:
    store.take([*taken(1), *taken(2, bed=BEDS[1])], [], now_ms=NOW, snapshots={BEDS[0]: b"old"})
    store.take(taken(3), [], now_ms=NOW, forgotten=[BEDS[0], BEDS[1]])
    assert list(store.devices()) == [(BEDS[0], None, [reading(3)])]
    store.close()
    with Store.open(tmp_path) as again:
        assert list(again.devices()) == [(BEDS[0], None, [reading(3)])]


def test_a_row_set_aside_is_owed_no_longer_and_says_why(store: Store) -> None:
    first, second = store.take([], [answer(1), answer(2)], now_ms=NOW)
    store.take([], [], now_ms=NOW, aside={first: "refused: Not authorized"})
    assert [row.id for row in store.owed()] == [second]
    assert store.aside() == [(first, "refused: Not authorized")]


@dataclass
class Expected:
    """What the store should hold, in a few dictionaries."""

    snapshots: dict[Identity, bytes] = field(default_factory=dict)
    later: dict[Identity, list[Received]] = field(default_factory=dict)
    owed: dict[int, Publication] = field(default_factory=dict)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.tuples(st.integers(0, 2**32), st.booleans()), max_size=12))
def test_whatever_was_done_the_store_holds_what_it_should(
    steps: list[tuple[int, bool]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Batches, snapshots, forgotten devices and settled rows at random, with the file opened anew between."""
    folder = tmp_path_factory.mktemp("store")
    expected = Expected()
    opened = Store.open(folder)
    number = 0
    for seed, reopen in steps:
        rng = random.Random(seed)
        forgotten = [bed for bed in expected.later if rng.random() < 0.1]
        for bed in forgotten:
            expected.snapshots.pop(bed, None)
            expected.later.pop(bed)
        batch: list[tuple[Received, Sequence[Identity]]] = []
        for _ in range(rng.randrange(40)):
            number += 1
            beds = rng.sample(BEDS, rng.choice([0, 1, 1, 1, 2]))
            batch.append((reading(number), beds))
            for bed in beds:
                expected.later.setdefault(bed, []).append(reading(number))
        snapshots = {bed: rng.randbytes(50) for bed in expected.later if rng.random() < 0.3}
        for bed, raw in snapshots.items():
            expected.snapshots[bed], expected.later[bed] = raw, []
        settled = [row for row in expected.owed if rng.random() < 0.5]
        owed = [answer(each) for each in range(rng.randrange(5))]
        rows = opened.take(batch, owed, now_ms=NOW, snapshots=snapshots, settled=settled, forgotten=forgotten)
        expected.owed = {row: each for row, each in expected.owed.items() if row not in settled}
        expected.owed |= dict(zip(rows, owed, strict=True))
        if reopen:
            opened.close()
            opened = Store.open(folder)
    with opened:
        held = {bed: (snapshot, later) for bed, snapshot, later in opened.devices()}
        assert held == {bed: (expected.snapshots.get(bed), later) for bed, later in expected.later.items()}
        assert {row.id: row.publication for row in opened.owed()} == expected.owed
        assert set(opened.uncovered()) == {bed for bed, later in expected.later.items() if later}


# Bounds.


def test_readings_that_no_restart_needs_go_and_the_file_does_not_grow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "SPARE_PAGES", 16)
    rng = random.Random(1)
    sizes = []
    with Store.open(tmp_path) as opened:
        for batch in range(60):
            rows = [
                (reading(batch * 200 + place, payload=rng.randbytes(400)), [BEDS[0]]) for place in range(200)
            ]
            # At first nothing is covered, then all of it is.
            opened.take(rows, [], now_ms=NOW, snapshots={BEDS[0]: b"state"} if batch >= 30 else {})
            sizes.append(pages(opened))
        assert len(list(opened.readings())) < 1_000
    assert max(sizes) == max(sizes[:35])
    assert sizes[-1] < max(sizes) / 2


def test_readings_are_kept_as_long_as_they_are_wanted(tmp_path: Path) -> None:
    with Store.open(tmp_path, keep_ms=HOUR_MS) as opened:
        for start in range(0, 3_000, 100):
            rows = taken(*range(start, start + 100))
            opened.take(rows, [], now_ms=NOW, snapshots={BEDS[0]: b"state"})
        assert len(list(opened.readings())) == 3_000
        for _ in range(4):
            opened.take([], [], now_ms=NOW + 2 * HOUR_MS)
        assert len(list(opened.readings())) < store_module.TRIM_READINGS


def test_a_silent_device_that_holds_back_the_log_is_overdue(
    monkeypatch: pytest.MonkeyPatch, store: Store
) -> None:
    monkeypatch.setattr(store_module, "LOG_READINGS", 100)
    monkeypatch.setattr(store_module, "LOG_READINGS_A_DEVICE", 0)
    store.take(taken(1), [], now_ms=NOW)
    store.take(taken(*range(2, 90), bed=BEDS[1]), [], now_ms=NOW)
    assert store.overdue() == []
    store.take(taken(*range(90, 120), bed=BEDS[1]), [], now_ms=NOW, snapshots={BEDS[1]: b"state"})
    assert store.overdue() == [BEDS[0]]


def test_a_large_snapshot_is_due_less_often(store: Store) -> None:
    assert store.due(BEDS[0], store_module.SNAPSHOT_READINGS)
    store.take(taken(1), [], now_ms=NOW, snapshots={BEDS[0]: random.Random(1).randbytes(32_768)})
    assert not store.due(BEDS[0], 255)
    assert store.due(BEDS[0], 257)


def test_a_reading_costs_at_most_1500_bytes_on_disk(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Vitals with two answers each, batches of 64, incompressible windows of 16 KB; by the kernel's count."""
    agents = [build_agent(each) for each in SHIPPED if each.name in ("vitals", "deterioration")]
    pipeline = Pipeline(agents, gateway="g")
    rng = random.Random(1)
    beds = [Identity("ward", f"bed-{number}") for number in range(50)]
    since = dict.fromkeys(beds, 0)
    settled: list[int] = []
    readings = 64 * 150
    with Store.open(tmp_path) as opened:
        before = written_bytes()
        for batch in range(readings // 64):
            messages = []
            for place in range(64):
                bed, number = rng.choice(beds), batch * 64 + place
                vitals = {"id": f"{bed.device}-{number}", "time": NOW + number, "hr": rng.randrange(60, 90)}
                vitals |= {"rr": 16, "spo2": rng.randrange(94, 99), "sbp": rng.randrange(110, 140)}
                messages.append((reading(number, bed, json.dumps(vitals).encode()), [bed]))
                since[bed] += 1
            outcomes = pipeline.process([each for each, _ in messages])
            owed = [each for outcome in outcomes for each in outcome.publications]
            due = [bed for bed, count in since.items() if opened.due(bed, count)]
            snapshots = {bed: rng.randbytes(16_384) for bed in due}
            since |= dict.fromkeys(due, 0)
            settled = opened.take(messages, owed, now_ms=NOW, snapshots=snapshots, settled=settled)
        spent = (written_bytes() - before) / readings
    with capsys.disabled():
        print(f" {spent:.0f} bytes written a reading ", end="")
    if spent == 0:
        pytest.skip("the kernel counts nothing for this file system")
    assert spent <= 1_500


# Faults.


def test_the_file_is_its_owners_alone(store: Store, tmp_path: Path) -> None:
    store.take(taken(1), [], now_ms=NOW)
    assert {path.stat().st_mode & 0o777 for path in tmp_path.glob(f"{FILE}*")} == {0o600}


def test_a_store_of_a_newer_version_is_refused_with_a_sentence(store: Store, tmp_path: Path) -> None:
    store.close()
    connection = sqlite3.connect(tmp_path / FILE)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(UsageError, match="newer Edgeward"):
        Store.open(tmp_path)


@pytest.mark.parametrize("what", ["noise", "a stranger", "a bad page"])
def test_a_damaged_store_is_refused_with_a_sentence(tmp_path: Path, what: str) -> None:
    file = tmp_path / FILE
    if what == "noise":
        file.write_bytes(b"not a database" * 1_000)
    elif what == "a stranger":
        connection = sqlite3.connect(file)
        connection.execute("PRAGMA user_version = 1")
        connection.close()
    else:
        _damage(tmp_path)
    with pytest.raises(StoreDamaged):
        Store.open(tmp_path)


def _damage(folder: Path, readings: int = 600) -> None:
    """A store with a page of its readings overwritten."""
    with Store.open(folder) as opened:
        opened.take(taken(*range(readings)), [answer(1)], now_ms=NOW, snapshots={BEDS[1]: b"state"})
        sql = opened._connection
        (root,) = sql.execute("SELECT rootpage FROM sqlite_master WHERE name = 'readings'").fetchone()
    with (folder / FILE).open("r+b") as file:
        file.seek((root - 1) * 4_096)
        page = file.read(4_096)
        assert page[0] == 5  # an interior page: its cells begin with the number of a page below
        cell = int.from_bytes(page[16:18], "big")
        leaf = int.from_bytes(page[cell : cell + 4], "big")
        file.seek((leaf - 1) * 4_096)
        file.write(b"\x55" * 4_096)


def test_repair_saves_what_can_be_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _damage(tmp_path)
    assert main(["store", "check", "--state", str(tmp_path)]) == 4
    assert main(["store", "repair", "--state", str(tmp_path)]) == 0
    assert main(["store", "check", "--state", str(tmp_path)]) == 0
    assert "is sound" in capsys.readouterr().out
    assert (tmp_path / f"{FILE}.damaged-1").exists()
    with Store.open(tmp_path) as opened:
        saved = list(opened.readings())
        assert 500 < len(saved) < 600
        assert set(saved) <= {reading(number) for number in range(600)}
        assert {bed: snapshot for bed, snapshot, _ in opened.devices()}[BEDS[1]] == b"state"
        assert [row.publication for row in opened.owed()] == [answer(1)]


def test_what_is_no_database_at_all_is_put_aside(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"not a database" * 1_000)
    assert main(["store", "repair", "--state", str(tmp_path)]) == 0
    assert main(["store", "check", "--state", str(tmp_path)]) == 0


def test_export_is_a_recording_in_the_order_taken(store: Store, tmp_path: Path) -> None:
    store.take([*taken(3, 1), *taken(2, bed=BEDS[1])], [], now_ms=NOW)
    output = tmp_path / "taken.jsonl"
    assert main(["store", "export", "--state", str(tmp_path), "--output", str(output)]) == 0
    exported = [each._replace(fresh_id="") for each in read_recording(output)]
    expected = [reading(3), reading(1), reading(2, BEDS[1])]
    assert exported == [each._replace(fresh_id="") for each in expected]
    assert output.stat().st_mode & 0o777 == 0o600


def test_there_is_nothing_to_check_without_a_store(tmp_path: Path) -> None:
    assert main(["store", "check", "--state", str(tmp_path)]) == 2


KILLED = """
import sys
from pathlib import Path
from gateway.store import Store
from tests.test_store import BEDS, NOW, answer, taken
with Store.open(Path(sys.argv[1])) as store:
    for number in range(10**9):
        (row,) = store.take(taken(number), [answer(number)], now_ms=NOW)
        print(number, row, flush=True)
"""


def test_nothing_that_take_returned_is_lost_by_a_kill(tmp_path: Path) -> None:
    root = Path(__file__).parent.parent
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path)], stdout=subprocess.PIPE, text=True, cwd=root
    ) as child:
        assert child.stdout is not None
        said = [child.stdout.readline() for _ in range(200)]
        child.send_signal(signal.SIGKILL)
        said += child.stdout.readlines()
    told = [tuple(map(int, line.split())) for line in said if line.endswith("\n")]
    with Store.open(tmp_path) as opened:
        ((_, _, later),) = opened.devices()
        assert {each.fresh_id for each in later} >= {f"{number:032x}" for number, _ in told}
        assert {row.id for row in opened.owed()} >= {row for _, row in told}


# The keeper.


class Bench:
    """A pipeline with NEWS2 over a store, and a clock that a test moves."""

    def __init__(self, folder: Path, on_fault: str = "memory") -> None:
        (settings,) = (each for each in SHIPPED if each.name == "vitals")
        self.pipeline = Pipeline([build_agent(settings)], gateway="g")
        self.seconds = 0.0
        self.store = Store.open(folder)
        self.keeper = Keeper(
            self.store,
            self.pipeline,
            on_fault="stop" if on_fault == "stop" else "memory",
            monotonic=lambda: self.seconds,
        )
        self.owed = self.keeper.restore()

    def send(self, *numbers: int, bed: Identity = BEDS[0]) -> list[int] | None:
        messages = [reading(number, bed) for number in numbers]
        outcomes = self.pipeline.process(messages)
        moved = [(each, outcome.identities) for each, outcome in zip(messages, outcomes, strict=True)]
        owed = [each for outcome in outcomes for each in outcome.publications]
        return self.keeper.keep(moved, owed, now_ms=NOW)

    def states(self) -> dict[Identity, bytes]:
        return {bed: self.pipeline.snapshot(bed) for bed in BEDS if self.knows(bed)}

    def knows(self, bed: Identity) -> bool:
        try:
            self.pipeline.snapshot(bed)
        except KeyError:
            return False
        return True


def test_a_pipeline_comes_back_as_it_was(tmp_path: Path) -> None:
    one = Bench(tmp_path)
    for start in range(0, 300, 30):
        one.send(*range(start, start + 20))
        one.send(*range(start + 20, start + 30), bed=BEDS[1])
    one.store.close()
    two = Bench(tmp_path)
    assert two.states() == one.states()
    assert len(two.owed) == 300
    two.store.close()


def test_after_a_clean_stop_no_reading_is_gone_through_again(tmp_path: Path) -> None:
    one = Bench(tmp_path)
    one.send(1, 2, 3)
    one.keeper.finish(now_ms=NOW, settled=[], aside={})
    assert [later for _, _, later in one.store.devices()] == [[]]
    one.store.close()


def test_a_full_disk_is_survived_in_memory_and_what_was_missed_is_kept_afterwards(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    assert bench.send(1) is not None
    limit_pages(bench.store, pages(bench.store))
    for number in range(2, 200, 2):
        bench.send(number, bed=BEDS[number // 2 % 3])
    assert not bench.keeper.keeps
    assert bench.keeper.fault is not None
    assert "full" in bench.keeper.fault
    limit_pages(bench.store, 100_000)
    assert bench.send(201) is None  # not tried again yet
    bench.seconds += 10
    assert bench.send(203, bed=BEDS[1]) is not None
    assert bench.keeper.keeps
    bench.store.close()
    again = Bench(tmp_path)
    assert again.states() == bench.states()
    again.store.close()


def test_a_fault_stops_the_gateway_where_that_is_wanted(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "stop")
    limit_pages(bench.store, pages(bench.store))
    with pytest.raises(StoreUnwritable, match="full"):
        bench.send(*range(1_000))
    bench.store.close()


def test_without_a_store_nothing_is_kept_and_it_says_why() -> None:
    keeper = Keeper(None, Pipeline([], gateway="g"), fault=StoreDamaged("It is damaged."))
    assert keeper.restore() == []
    assert keeper.keep([], [answer(1)], now_ms=NOW) is None
    assert (keeper.keeps, keeper.fault) == (False, "It is damaged.")


def test_a_state_that_this_version_cannot_read_starts_anew(tmp_path: Path) -> None:
    with Store.open(tmp_path) as opened:
        opened.take(taken(1), [], now_ms=NOW, snapshots={BEDS[0]: b"from another world"})
        opened.take(taken(2), [], now_ms=NOW)
    bench = Bench(tmp_path)
    assert bench.pipeline.since_snapshot(BEDS[0]) == 1
    bench.store.close()


def test_rows_that_the_broker_took_go_with_a_later_batch_or_after_a_second(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    rows = bench.send(1)
    assert rows is not None
    bench.keeper.keep([], [], now_ms=NOW, settled=rows)
    assert len(list(bench.store.owed())) == 1
    bench.seconds += 2
    bench.keeper.keep([], [], now_ms=NOW)
    assert list(bench.store.owed()) == []
    bench.store.close()


def test_a_reader_beside_the_owner_reads_and_cannot_write(store: Store, tmp_path: Path) -> None:
    store.take(taken(1), [], now_ms=NOW)
    with Store.open_to_read(tmp_path) as reader:
        assert list(reader.readings()) == [reading(1)]
        with pytest.raises(StoreUnwritable):
            reader.take(taken(2), [], now_ms=NOW)
