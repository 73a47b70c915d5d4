"""Scenario files: every fault at once, each with its line, its place and what was expected."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import ConfigRefused, UsageError
from models.toml_lines import line_of, lines_of_keys
from simulators.scenario import load_scenario, read_scenario, shipped_scenarios
from simulators.truth import VISIBLE_SEVERITY, Device, Episode, Interval, NoteTruth, Truth, read_truth

HOUR_MS = 3_600_000
HEAD = 'title = "x"\nseed = 1\nstart = 2026-01-01T00:00:00Z\nhours = 2\n'


def _faults(text: str) -> tuple[str, ...]:
    with pytest.raises(ConfigRefused) as refused:
        read_scenario(text, "here.toml")
    assert refused.value.source == "here.toml"
    return refused.value.faults


@pytest.mark.parametrize("name", shipped_scenarios())
def test_shipped_scenarios_are_sound_and_say_what_they_are(name: str) -> None:
    loaded, scenario = load_scenario(name)
    assert loaded == name
    assert scenario.title


def test_faults_of_form_and_between_parts_come_together_in_the_files_order() -> None:
    text = (
        'title = "x"\nseed = "one"\nstart = 2026-01-01T00:00:00\nhours = 2\ncolour = 1\n'
        "[[beds]]\ncount = 2\n"
        '[[machines]]\nname = "pump 1"\nkind = "toaster"\n'
        '[[events]]\ndevice = "bed-02"\nwhat = "cavitation"\nfrom_hours = 3\nto_hours = 4\n'
        '[[events]]\ndevice = "bed-01"\nwhat = "toothache"\nfrom_hours = -1\n'
        '[[faults]]\nwhat = "delay"\n'
        '[[faults]]\nwhat = "gossip"\nshare = 2\n'
    )
    faults = _faults(text)
    assert [fault.split(": ")[0] for fault in faults] == [
        "line 2, seed",
        "line 3, start",
        "line 5, colour",
        "line 9, machines[1].name",
        "line 10, machines[1].kind",
        "line 13, events[1].what",
        "line 14, events[1].from_hours",
        "line 16, events[2].to_hours",
        "line 18, events[2].what",
        "line 19, events[2].from_hours",
        "line 20, faults[1]",
        "line 23, faults[2].what",
        "line 24, faults[2].share",
    ]
    told = "\n".join(faults)
    for expectation in (
        "should be a valid integer",
        "should be 1-100 characters",
        "should be 'pump', 'valve', 'bearing' or 'cold-room'",
        "on bed-02 should be one of sepsis, ",
        "should be below 2, where the scenario ends",
        "should be there",
        "should be greater than or equal to 0",
        "delay should say its seconds",
        "'reconnect-storm' or 'impersonate'",
    ):
        assert expectation in told, expectation


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ("", "at least one [[beds]], [[emergency]] or [[machines]]"),
        ("[[beds]]\ncount = 2001", "should be less than or equal to 2000"),
        (
            '[[beds]]\ncount = 2000\n[[beds]]\nprefix = "b"\ncount = 1',
            "at most 2000 beds and machines, not 2001",
        ),
        ("[[beds]]\ncount = 1\n[[beds]]\ncount = 1", "line 7, beds[2].prefix: device bed-01 should"),
        (
            '[[beds]]\ncount = 1\n[[machines]]\nname = "bed-01"\nkind = "pump"',
            "line 8, machines[1].name: device bed-01 should be there once",
        ),
        ("[[beds]]\ncount = 1\nages = [50, 40]", "line 5, beds[1]: ages should be [youngest, oldest]"),
        (
            '[[beds]]\ncount = 1\n[[faults]]\nwhat = "drop"\ndevices = ["pump-*"]',
            "line 9, faults[1].devices: should name a device",
        ),
        ('[[beds]]\ncount = 1\n[[faults]]\nwhat = "impersonate"', "should have two devices or more"),
        ('[[beds]]\ncount = 1\n[[faults]]\nwhat = "drop"\nseconds = 1', "drop takes no seconds"),
        ('[[beds]]\ncount = 1\n[[faults]]\nwhat = "delay"\nseconds = -1', "of delay should be 0 or more"),
        (
            '[[beds]]\ncount = 1\n[[faults]]\nwhat = "drop"\nfrom_hours = 1\nto_hours = 0.5',
            "to_hours should not be earlier than from_hours",
        ),
        (
            '[[beds]]\ncount = 1\n[[events]]\ndevice = "bed-02"\nwhat = "pain"\nfrom_hours = 0\nto_hours = 1',
            "line 8, events[1].device: bed-02 should be a bed or machine of this file",
        ),
    ],
)
def test_what_does_not_fit_is_told_with_its_place(parts: str, said: str) -> None:
    told = _faults(HEAD + parts)
    assert any(said in fault for fault in told), told


def _event(what: str, from_hours: float, to_hours: float, device: str = "bed-01") -> str:
    return (
        f'[[events]]\ndevice = "{device}"\nwhat = "{what}"\nfrom_hours = {from_hours}\n'
        f"to_hours = {to_hours}\nrecovery_hours = 0.25\n"
    )


def test_a_devices_events_may_not_overlap_except_an_artefact_with_a_disease() -> None:
    beds = HEAD + "[[beds]]\ncount = 1\n"
    both = _event("sepsis", 0, 1) + _event("motion", 0.5, 0.75)
    assert len(read_scenario(beds + both, "x").events) == 2
    one_after_the_other = _event("bleed", 1.25, 1.5) + _event("sepsis", 0, 1)
    assert len(read_scenario(beds + one_after_the_other, "x").events) == 2
    told = _faults(beds + _event("sepsis", 0, 1) + _event("bleed", 1.2, 1.5))
    assert told == (
        "line 16, events[2].from_hours: should be at least 1.25, when events[1] on bed-01 is over",
    )
    machine = HEAD + '[[machines]]\nname = "p"\nkind = "pump"\n'
    assert _faults(machine + _event("leak", 0, 1, "p") + _event("sensor-drift", 0.5, 1, "p"))
    assert read_scenario(machine + _event("leak", 0, 1, "p") + _event("log-storm", 0.5, 1, "p"), "x")


def test_nothing_is_said_that_only_follows_from_another_fault() -> None:
    """An event on a bed whose group is broken is not told to be on an unknown device."""
    told = _faults(HEAD + '[[beds]]\nprefix = "bed"\ncount = 0\n' + _event("sepsis", 0, 1))
    assert told == ("line 7, beds[1].count: should be greater than or equal to 1",)


@pytest.mark.parametrize(("text", "said"), [("= 1", "it is not TOML"), ("", "title: should be there")])
def test_what_is_no_scenario_is_refused(text: str, said: str) -> None:
    assert any(said in fault for fault in _faults(text))


@pytest.mark.parametrize("text", ["beds = 3", 'events = [1, "x"]', "faults = {}", "hours = true"])
def test_the_wrong_shape_is_a_fault_and_no_traceback(text: str) -> None:
    assert _faults(text)


def test_an_unknown_scenario_names_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(ConfigRefused, match=r"demo, .*quiet-ward"):
        load_scenario("no-such-ward")
    (tmp_path / "bad.toml").write_bytes(b"\xff")
    with pytest.raises(ConfigRefused, match="can't be read"):
        load_scenario(str(tmp_path / "bad.toml"))


def test_entries_of_an_array_have_lines_of_their_own() -> None:
    lines = lines_of_keys("[[a]]\nb = 1\n[[a]]\nb = 1\n[c]\nd = 1")
    assert lines["a", "1", "b"] == 4
    assert line_of(lines, ("a", "1", "x")) == 3
    assert line_of(lines, ("z",)) == 0


@given(
    ramp=st.integers(0, 5 * HOUR_MS),
    hold=st.integers(1, 5 * HOUR_MS),
    recovery=st.integers(0, 5 * HOUR_MS),
    peak=st.floats(0.01, 1),
)
def test_an_interval_is_where_the_episode_shows(ramp: int, hold: int, recovery: int, peak: float) -> None:
    """The interval begins at the first visible millisecond and ends at the first that no longer is."""
    episode = Episode("d", "sepsis", 1000, ramp, 1000 + ramp + hold, recovery, peak)
    interval = episode.interval(100 * HOUR_MS)
    if interval is None:
        assert peak < VISIBLE_SEVERITY
        return
    assert episode.severity(interval.visible_from) >= VISIBLE_SEVERITY
    assert episode.severity(interval.visible_from - 1) < VISIBLE_SEVERITY
    assert episode.severity(interval.until - 1) >= VISIBLE_SEVERITY
    assert episode.severity(interval.until + 1) < VISIBLE_SEVERITY


def _truth() -> Truth:
    return Truth(
        "made",
        7,
        "s",
        0,
        10 * HOUR_MS,
        (Device("bed-01", "bed"), Device("er-p0001", "arrival"), Device("er-p0002", "arrival")),
        (
            Interval("bed-01", "motion", 0, HOUR_MS, 2 * HOUR_MS, ("vitals",), "artefact", False),
            Interval("bed-01", "sepsis", HOUR_MS, 3 * HOUR_MS, 6 * HOUR_MS, ("vitals", "note")),
            Interval("bed-01", "bleed", 7 * HOUR_MS, 8 * HOUR_MS, 9 * HOUR_MS, ("vitals", "note")),
        ),
        (
            NoteTruth("er-p0001", "er-p0001-note-1", 2, HOUR_MS),
            NoteTruth("er-p0002", "er-p0002-note-1", 4, 5 * HOUR_MS),
        ),
        {"sent": 5},
    )


def test_a_truth_is_read_as_it_was_written(tmp_path: Path) -> None:
    _truth().write(tmp_path / "truth.json")
    assert read_truth(tmp_path / "truth.json") == _truth()
    row = json.loads((tmp_path / "truth.json").read_text())
    assert row["format"] == 2
    assert row["devices"][0] == {"name": "bed-01", "kind": "bed"}
    assert row["intervals"][0]["class"] == "artefact"
    assert row["intervals"][0]["alert_expected"] is False


def test_the_truth_of_a_stopped_run_ends_where_it_was_stopped() -> None:
    stopped = _truth().until(4 * HOUR_MS)
    assert stopped.end == 4 * HOUR_MS
    assert [(each.what, each.until) for each in stopped.intervals] == [
        ("motion", 2 * HOUR_MS),
        ("sepsis", 4 * HOUR_MS),
    ]
    assert [note.device for note in stopped.notes] == ["er-p0001"]
    assert [device.name for device in stopped.devices] == ["bed-01", "er-p0001"]
    assert _truth().until(11 * HOUR_MS) == _truth()


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"format": 1}', '{"format": 2}', '{"format": 2, "intervals": [3]}', "[" * 99999]
)
def test_what_is_no_truth_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "t.json").write_text(text)
    with pytest.raises(UsageError, match="no truth"):
        read_truth(tmp_path / "t.json")
    with pytest.raises(UsageError, match="can't be read"):
        read_truth(tmp_path / "none.json")
