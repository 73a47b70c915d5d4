"""The journal over deaths of real processes, whom they are blamed on, and the thread that ends a hang."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.journal import CRASH, KEYS_LIMIT, Cause, Death, Journal, key_of
from gateway.quarantine import FILE, MEMORY_MS, SUSPECTS_LIMIT, Finding, Quarantine, load
from gateway.watchdog import EXIT_HUNG, Watchdog

MODEL = "ab" * 32
OTHER = "cd" * 32
A, B, C = (key_of("edgeward/v1/ward/bed-1/log", payload) for payload in (b"a", b"b", b"c"))

STEP = """
import ctypes, os, signal, sys, threading, time
from pathlib import Path
from gateway.journal import Journal, crashes_noted, key_of
from gateway.watchdog import Watchdog
folder = Path(sys.argv[1])
A = key_of("edgeward/v1/ward/bed-1/log", b"a")
with Journal(folder) as journal, crashes_noted(folder), \\
        Watchdog(0.3, on_hang=lambda: journal.mark("hung")) as watchdog:
    journal.clear()
    with journal.step([A]):
        with journal.model("ab" * 32), watchdog.step():
            {inside}
    {after}
"""


def died(folder: Path, inside: str, after: str = "pass") -> tuple[int, Death | None]:
    """How a process ended that did *inside* within a step and *after* after it, and what it left."""
    program = STEP.replace("{inside}", inside).replace("{after}", after)
    ended = subprocess.run(
        [sys.executable, "-c", program, str(folder)], capture_output=True, check=False, timeout=30
    )
    with Journal(folder) as journal:
        return ended.returncode, journal.left


@pytest.mark.parametrize(
    ("inside", "status", "cause"),
    [
        ("ctypes.string_at(0)", -11, "crashed"),
        ("os.abort()", -6, "crashed"),
        ("os.kill(os.getpid(), signal.SIGKILL)", -9, "killed"),
        ("os._exit(3)", 3, "killed"),
        ("ctypes.CDLL(None).pause()", EXIT_HUNG, "hung"),
        ("time.sleep(60)", EXIT_HUNG, "hung"),
    ],
)
def test_a_death_within_a_step_is_found_by_the_next_process(
    tmp_path: Path, inside: str, status: int, cause: Cause
) -> None:
    assert died(tmp_path, inside) == (status, Death((A,), MODEL, cause))


def test_a_death_between_two_steps_leaves_nothing(tmp_path: Path) -> None:
    assert died(tmp_path, "pass", "os.kill(os.getpid(), signal.SIGKILL)") == (-9, None)
    assert died(tmp_path, "pass") == (0, None)


def test_a_note_of_a_crash_names_the_signal_and_no_value(tmp_path: Path) -> None:
    died(tmp_path, "marker = 'MARKER-Jane-Doe'; ctypes.string_at(0)")
    note = (tmp_path / CRASH).read_text()
    assert "Segmentation fault" in note
    assert "MARKER-Jane-Doe" not in note
    assert (tmp_path / CRASH).stat().st_mode & 0o777 == 0o600


def test_a_step_holds_many_inputs_and_the_next_fewer(tmp_path: Path) -> None:
    keys = [key_of("t", str(number).encode()) for number in range(KEYS_LIMIT)]
    with Journal(tmp_path) as journal:
        with journal.step(keys):
            pass
        with pytest.raises(RuntimeError), journal.step(keys[:3]):
            raise RuntimeError
    with Journal(tmp_path) as journal:
        assert journal.left == Death(tuple(keys[:3]), None, "raised")


def test_a_model_that_runs_while_a_device_is_rebuilt_stands_alone(tmp_path: Path) -> None:
    with Journal(tmp_path) as journal:
        inside = journal.model(MODEL)
        inside.__enter__()
        with Journal(tmp_path) as successor:
            assert successor.left == Death((), MODEL, "killed")
        inside.__exit__(None, None, None)
        with Journal(tmp_path) as successor:
            assert successor.left is None


@pytest.mark.parametrize("content", [b"", b"nonsense", random.Random(1).randbytes(8_192), bytes(8_192)])
def test_a_damaged_journal_is_no_death(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "journal").write_bytes(content)
    with Journal(tmp_path) as journal:
        assert journal.left is None


def test_without_a_disk_the_gateway_is_guarded_for_this_process_only(tmp_path: Path) -> None:
    with Journal(tmp_path / "missing") as journal:
        assert journal.fault is not None
        with journal.step([A]), journal.model(MODEL):
            pass


def test_copies_of_one_input_have_one_key() -> None:
    assert key_of("ab", b"c") == key_of("ab", b"c") != key_of("a", b"bc")


# Whom a death is blamed on.


def learnt(
    *deaths: str, cause: Cause = "crashed", model: str | None = MODEL, every_ms: int = 1_000
) -> Quarantine:
    """After deaths on inputs named by letters, one after the other."""
    names = {"a": A, "b": B, "c": C}
    quarantine = Quarantine()
    for number, inputs in enumerate(deaths):
        death = Death(tuple(names[each] for each in inputs), model, cause)
        quarantine.learn(death, number * every_ms)
    return quarantine


def test_two_deaths_on_one_input_set_it_aside() -> None:
    assert learnt("a", "a").inputs.keys() == {A}
    assert learnt("abc", "a").inputs.keys() == {A}


def test_one_death_makes_suspects_of_the_whole_batch_and_sets_nothing_aside() -> None:
    quarantine = learnt("abc")
    assert quarantine.suspects.keys() == {A, B, C}
    assert not quarantine.inputs
    assert not quarantine.models


def test_deaths_on_inputs_that_differ_set_the_model_aside() -> None:
    assert learnt("a", "b").models.keys() == {MODEL}
    assert learnt("abc", "a", "b").models.keys() == {MODEL}
    assert not learnt("abc", "a").models


def test_deaths_outside_any_model_blame_none() -> None:
    quarantine = learnt("a", "b", "b", cause="raised", model=None)
    assert not quarantine.models
    assert quarantine.inputs.keys() == {B}


def test_kills_from_outside_blame_nobody_before_the_third_on_the_same_input_alone() -> None:
    assert not learnt(*["abc"] * 9, "a", "b", cause="killed").inputs
    assert not learnt(*["a", "b", "c"] * 2, cause="killed").models
    assert learnt(*["a"] * 3, cause="killed").inputs.keys() == {A}


def test_a_model_that_needs_too_much_memory_for_every_input_is_set_aside() -> None:
    assert learnt(*["a"] * 3, *["b"] * 3, cause="killed").models.keys() == {MODEL}


def test_deaths_that_lie_far_apart_do_not_blame_the_model() -> None:
    assert not learnt("a", "b", every_ms=MEMORY_MS).models


def test_a_model_that_dies_while_devices_are_rebuilt_is_set_aside_at_the_second_death() -> None:
    assert not learnt("").models
    assert learnt("", "").models.keys() == {MODEL}


def test_an_input_that_ran_alone_is_no_suspect_any_more() -> None:
    quarantine = learnt("ab")
    quarantine.cleared(A)
    assert quarantine.learn(Death((A,), OTHER, "crashed"), 5) == []


def test_what_was_found_is_kept_and_read_again(tmp_path: Path) -> None:
    quarantine = learnt("abc", "a", "b")
    quarantine.save(tmp_path)
    assert load(tmp_path) == quarantine
    assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o600
    assert load(tmp_path / "missing") == Quarantine()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 2}', '{"format": 1}', "[" * 100_000, "\xff"])
def test_a_file_that_cannot_be_read_is_told_from_none(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE).write_text(text, "latin-1")
    assert load(tmp_path) is None


def test_suspects_have_a_bound_and_the_newest_stay() -> None:
    quarantine = Quarantine()
    for number in range(SUSPECTS_LIMIT // KEYS_LIMIT + 1):
        keys = tuple(key_of(str(number), str(each).encode()) for each in range(KEYS_LIMIT))
        quarantine.learn(Death(keys, MODEL, "killed"), number)
    assert len(quarantine.suspects) == SUSPECTS_LIMIT
    assert keys[-1] in quarantine.suspects


def test_a_finding_says_what_was_proved() -> None:
    quarantine = learnt("a")
    assert quarantine.learn(Death((A,), MODEL, "crashed"), 9) == [Finding("input", A.hex())]
    assert quarantine.learn(Death((B,), MODEL, "crashed"), 10) == [Finding("model", MODEL)]


# The thread.


def test_steps_that_end_in_time_end_nothing() -> None:
    """Each step has the whole deadline, also the one that goes on after a step within it."""
    now = [0.0]
    ended: list[int] = []
    with Watchdog(1.0, end=ended.append, monotonic=lambda: now[0]) as watchdog:
        for _ in range(5):
            with watchdog.step():
                now[0] += 0.9
                with watchdog.step():
                    now[0] += 0.9
                now[0] += 0.9
        now[0] += 100.0
    assert ended == []
