"""The score, number by number, of a world and a recording that are worked out by hand."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.cli import main
from gateway.recording import line_of
from gateway.scoring import SHIPPED_KINDS, agent_kinds
from models.errors import UsageError
from nodes.times import format_time
from simulators.alerts import FALSE, AlertPeriod, percentile, verdict
from simulators.report import report
from simulators.score import Run, Score, judge
from simulators.score_json import as_json
from simulators.score_notes import LEVELS, linear_kappa, score_notes
from simulators.score_table import NONE, tables
from simulators.signals import Signals
from simulators.truth import Device, Interval, NoteTruth, Truth

MINUTE = 60_000
DAY_MINUTES = 1440
SITE = "here"
Messages = list[tuple[str, bytes]]

VITALS_NOTE = ("vitals", "note")
SEPSIS = Interval("bed-1", "sepsis", 100 * MINUTE, 160 * MINUTE, 400 * MINUTE, VITALS_NOTE)
BLEED = Interval("bed-2", "bleed", 500 * MINUTE, 520 * MINUTE, 600 * MINUTE, VITALS_NOTE)
MOTION = Interval(
    "bed-2", "motion", 700 * MINUTE, 700 * MINUTE, 730 * MINUTE, ("vitals",), "artefact", alert_expected=False
)
CAVITATION = Interval(
    "pump-1", "cavitation", 300 * MINUTE, 310 * MINUTE, 500 * MINUTE, ("sensor", "log"), "machine-fault"
)
TRUTH = Truth(
    scenario="by-hand",
    seed=1,
    site=SITE,
    start=0,
    end=DAY_MINUTES * MINUTE,
    devices=(
        Device("bed-1", "bed"),
        Device("bed-2", "bed"),
        Device("pump-1", "machine"),
        Device("er-1", "arrival"),
        Device("er-2", "arrival"),
        Device("er-3", "arrival"),
    ),
    intervals=(SEPSIS, CAVITATION, BLEED, MOTION),
    notes=(NoteTruth("er-1", "n1", 2), NoteTruth("er-2", "n1", 4), NoteTruth("er-3", "n1", 3)),
)


class Gateway:
    """Writes what a gateway would have published, by minute of the world."""

    def __init__(self) -> None:
        self.messages: Messages = []
        self._numbers = count()

    def answered(self, device: str, agent: str, minute: float, **data: Any) -> None:
        self._publish(device, "classification", agent, minute, {"label": "low", **data})

    def raised(self, device: str, agent: str, minute: float, input_id: str | None = None) -> None:
        since = format_time(round(minute * MINUTE))
        self._publish(device, "alert", agent, minute, {"since": since}, input_id)

    def cleared(self, device: str, agent: str, minute: float) -> None:
        self.answered(device, agent, minute)
        self.messages.append((f"edgeward/v1/{SITE}/{device}/alert/{agent}", b""))

    def alert(self, device: str, agent: str, from_minute: float, to_minute: float | None) -> None:
        """One whole period, open for a *to_minute* of None."""
        self.raised(device, agent, from_minute)
        if to_minute is not None:
            self.cleared(device, agent, to_minute)

    def noted(self, device: str, label: str, *, abstained: bool = False) -> None:
        self._publish(
            device, "classification", "triage-note", 5, {"label": label, "abstained": abstained}, "n1"
        )

    def again(self) -> None:
        """The last message once more, as after a reconnection."""
        self.messages.append(self.messages[-1])

    def _publish(
        self,
        device: str,
        sort: str,
        agent: str,
        minute: float,
        data: Mapping[str, Any],
        input_id: str | None = None,
    ) -> None:
        number = next(self._numbers)
        time = format_time(round(minute * MINUTE))
        event = {
            "id": f"{number:032x}",
            "source": f"/edgeward/v1/{SITE}/{device}/{agent}",
            "data": {"input": {"id": input_id or f"i{number}", "time": time}, **data},
        }
        self.messages.append((f"edgeward/v1/{SITE}/{device}/{sort}/{agent}", json.dumps(event).encode()))


def _by_hand() -> Messages:
    gateway = Gateway()
    gateway.alert("bed-1", "deterioration", 120, 150)  # early: over before minute 160
    gateway.alert("bed-1", "vitals", 190, 420)  # true, 30 minutes after it could be seen
    gateway.again()  # a clearing once more changes nothing
    gateway.alert("bed-1", "triage-note", 200, 440)  # true; idle from 430, the end of grace
    gateway.alert("bed-2", "sensor-anomaly", 530, 540)  # beside: the bleed doesn't show on sensors
    gateway.alert("bed-2", "vitals", 710, 740)  # provoked by the motion; idle for 30 minutes
    gateway.alert("bed-2", "deterioration", 900, 960)  # false; idle for 60 minutes
    gateway.alert("pump-1", "log-line", 305, 345)  # true, and on when it could be seen: no delay
    gateway.alert("pump-1", "sensor-anomaly", 535, None)  # false: grace ended at 530; idle until the end
    gateway.again()
    gateway.noted("er-1", "1")
    gateway.raised("er-1", "triage-note", 5, "n1")  # true: acuity 2
    gateway.noted("er-2", "2")
    gateway.again()
    gateway.raised("er-2", "triage-note", 5, "n1")  # false: acuity 4
    return gateway.messages


def _score(messages: Iterable[tuple[str, bytes]], truth: Truth = TRUTH) -> Score:
    return Score([judge(truth, messages, SHIPPED_KINDS)], SHIPPED_KINDS)


def test_events_detected_and_missed() -> None:
    """Sepsis and cavitation are detected, the bleed is missed, the artefact is no event."""
    score = _score(_by_hand())
    assert (len(score.expected), score.detected, score.missed) == (3, 2, 1)
    assert [each.interval.what for each in score.expected if not each.detected] == ["bleed"]


def test_every_alert_has_one_worth() -> None:
    """Ten alerts: four true (one a note's), one early, one beside, one provoked, three false."""
    score = _score(_by_hand())
    assert score.verdicts == {"true": 4, "early": 1, "beside": 1, "provoked": 1, "false": 3}
    assert [each.verdict for each in score.alerts] == [
        "early",
        "true",
        "true",
        "beside",
        "provoked",
        "false",
        "true",
        "false",
        "true",
        "false",
    ]


@pytest.mark.parametrize(
    ("since_ms", "until_ms", "worth"),
    [
        # The sepsis grows from minute 100, can be seen from 160 to 400, and its grace ends at 430.
        (90 * MINUTE, 100 * MINUTE - 1, "false"),
        (90 * MINUTE, 100 * MINUTE, "early"),
        (90 * MINUTE, 160 * MINUTE - 1, "early"),
        (90 * MINUTE, 160 * MINUTE, "true"),
        (430 * MINUTE, 440 * MINUTE, "true"),
        (430 * MINUTE + 1, 440 * MINUTE, "false"),
    ],
)
def test_edges_of_an_event(since_ms: int, until_ms: int, worth: str) -> None:
    """To the millisecond: its edges belong to it, and so do those of its grace."""
    assert verdict(AlertPeriod("bed-1", "vitals", since_ms, until_ms), [SEPSIS], SHIPPED_KINDS) == worth


def test_false_alerts_per_device_day() -> None:
    """Two on two beds in a day, one on one machine, one about an arrival, which has no rate."""
    score = _score(_by_hand())
    assert tuple(score.false_alerts(kind) for kind in ("bed", "machine", "arrival")) == (2, 1, 1)
    assert (score.days("bed"), score.days("machine")) == (2.0, 1.0)
    assert (score.false_per_day("bed"), score.false_per_day("machine")) == (1.0, 1.0)
    assert _score(_by_hand(), replace(TRUTH, devices=TRUTH.devices[:2])).false_per_day("machine") is None


def test_time_to_the_first_alert() -> None:
    """30 minutes for the sepsis, none for the cavitation; nearest ranks of the two."""
    score = _score(_by_hand())
    assert score.delays_ms == [30 * MINUTE, 0]
    assert (score.delay_minutes(50), score.delay_minutes(90)) == (0.0, 30.0)


def test_alerts_per_event() -> None:
    """Two alerts detect the sepsis and one the cavitation: three for two events."""
    assert _score(_by_hand()).alerts_per_event == 1.5


def test_idle_time() -> None:
    """10 + 30 + 60 minutes on beds of two days; on the machine from minute 535 to the end of the day."""
    score = _score(_by_hand())
    assert score.idle_share("bed") == pytest.approx(100 / (2 * DAY_MINUTES))
    assert score.idle_share("machine") == pytest.approx((DAY_MINUTES - 535) / DAY_MINUTES)


def test_an_alert_that_never_goes_off_shows_as_idle() -> None:
    """It detects everything with one alert that is not false; its idle time gives it away."""
    gateway = Gateway()
    gateway.alert("bed-1", "vitals", 0, None)
    score = _score(gateway.messages, replace(TRUTH, intervals=(SEPSIS,), devices=TRUTH.devices[:1]))
    assert (score.detected, score.false_alerts("bed")) == (1, 0)
    # All of the day but the sepsis with its growth and grace, minutes 100 to 430.
    assert score.idle_share("bed") == pytest.approx((DAY_MINUTES - 330) / DAY_MINUTES)


def test_messages_and_repeats_are_counted() -> None:
    """The pump's alert and one answer came twice; a clearing has no id and repeats nothing."""
    messages = _by_hand()
    messages += [
        (f"edgeward/v1/{SITE}/bed-1/vitals", b"{}"),
        (f"edgeward/v1/{SITE}/bed-1/alert/vitals", b"no JSON"),
        ("edgeward/v1/elsewhere/bed-1/vitals", b"{}"),
        (
            "edgeward/gateway/g/rejected",
            json.dumps({"data": {"topic": f"edgeward/v1/{SITE}/bed-1/vitals", "sha256": "00"}}).encode(),
        ),
        (
            "edgeward/gateway/g/rejected",
            json.dumps({"data": {"topic": "edgeward/v1/elsewhere/x/note", "sha256": "00"}}).encode(),
        ),
        ("edgeward/gateway/g/rejected", b"[]"),
        ("edgeward/gateway/g/status", b"online"),
    ]
    score = _score(messages)
    # 7 clearings with an answer before each, and 3 answers to notes, of which one twice.
    assert score.count("classification") == 7 + 3
    assert score.count("alert") == 10 + 1
    assert score.repeats == 2
    assert tuple(score.count(each) for each in ("input", "rejected", "unreadable")) == (1, 1, 2)


def test_inputs_without_an_answer_are_counted() -> None:
    """One answered, one rejected, one lost; what has no id can't be told from others."""
    gateway = Gateway()
    for name in ("answered", "rejected", "lost"):
        gateway.messages.append((f"edgeward/v1/{SITE}/bed-1/vitals", json.dumps({"id": name}).encode()))
    gateway.messages.append((f"edgeward/v1/{SITE}/bed-1/log", b"a bare line"))
    gateway.answered("bed-1", "vitals", 1, input={"id": "answered", "time": format_time(MINUTE)})
    data = {
        "topic": f"edgeward/v1/{SITE}/bed-1/vitals",
        "sha256": hashlib.sha256(b'{"id": "rejected"}').hexdigest(),
    }
    gateway.messages.append(("edgeward/gateway/g/rejected", json.dumps({"data": data}).encode()))
    score = _score(gateway.messages)
    assert (score.count("input"), score.unanswered) == (4, 1)
    assert "1 input</span> without an answer" in report([(score.runs[0], Signals(SITE))], score)


def test_notes() -> None:
    """One urgent note found, one called urgent that isn't, one without an answer."""
    notes = _score(_by_hand()).notes
    assert (notes.answered, notes.declined, notes.unanswered) == (2, 0, 1)
    assert (notes.matrix[1, 0], notes.matrix[3, 1]) == (1, 1)
    assert (notes.agreement, notes.urgent_found, notes.urgent_right) == (0.0, 1.0, 0.5)


def test_the_first_answer_to_a_note_counts() -> None:
    """A second answer under the same id changes nothing, and a declined one is no label."""
    gateway = Gateway()
    gateway.noted("er-1", "2")
    gateway.noted("er-1", "5")
    gateway.noted("er-2", "unknown", abstained=True)
    notes = _score(gateway.messages).notes
    assert (notes.answered, notes.declined, notes.unanswered) == (1, 1, 1)
    assert notes.matrix[1, 1] == 1


@pytest.mark.parametrize(
    ("true", "labels", "kappa"),
    [
        # Observed: one apart once, 1. Expected: 2·3/4 + 2·1/4 = 2 times one apart.
        ((1, 1, 2, 2), (1, 2, 2, 2), 1 - 1 / 2),
        # Observed: four apart twice, 8. Expected: 1·1/2 four apart in both corners, 4.
        ((1, 5), (5, 1), -1.0),
        # Observed: 2. Expected: rows 1, 1, 1 and columns 3 at level 3: 2 + 1 + 0 = 3 · 1 over 3 cases · 3.
        ((1, 2, 3), (3, 3, 3), 0.0),
        ((1, 2, 3, 4, 5), (1, 2, 3, 4, 5), 1.0),
        ((3, 3), (3, 3), None),  # chance never disagrees
        ((), (), None),
    ],
)
def test_kappa_by_hand(true: tuple[int, ...], labels: tuple[int, ...], kappa: float | None) -> None:
    """Weighted kappa, from its formula with pencil and paper."""
    notes = [NoteTruth("d", str(number), acuity) for number, acuity in enumerate(true)]
    answers: dict[tuple[str, str], str | None] = {
        ("d", str(number)): str(label) for number, label in enumerate(labels)
    }
    found = score_notes(notes, answers).kappa
    assert found == (None if kappa is None else pytest.approx(kappa))


def test_by_what_and_by_agent() -> None:
    """The tables' lines: what is harmless comes last, and an agent is asked only for what it reads."""
    score = _score(_by_hand())
    assert sorted(
        ((line.what, line.expected, line.intervals, line.alerted) for line in score.by_what),
        key=lambda line: ["sepsis", "bleed", "cavitation", "motion"].index(line[0]),
    ) == [
        ("sepsis", True, 1, 1),
        ("bleed", True, 1, 0),
        ("cavitation", True, 1, 1),
        ("motion", False, 1, 1),
    ]
    assert not score.by_what[-1].expected
    by_agent = {line.agent: line for line in score.by_agent}
    assert list(SHIPPED_KINDS) == list(by_agent)
    # vitals: the sepsis, not the bleed; deterioration: early and false alone.
    assert (by_agent["vitals"].readable, by_agent["vitals"].detected, by_agent["vitals"].false) == (2, 1, 1)
    assert tuple(getattr(by_agent["deterioration"], name) for name in ("readable", "detected", "false")) == (
        2,
        0,
        1,
    )
    assert tuple(getattr(by_agent["log-line"], name) for name in ("readable", "detected", "false")) == (
        1,
        1,
        0,
    )


def test_an_agent_that_nobody_knows_detects_nothing() -> None:
    """Its alert on a failing device is beside, and it has a line of its own."""
    gateway = Gateway()
    gateway.alert("bed-1", "fever", 200, 210)
    score = _score(gateway.messages)
    assert (score.alerts[0].verdict, score.detected) == ("beside", 0)
    assert score.by_agent[-1].agent == "fever"


def test_two_runs_together_are_their_sum() -> None:
    """Pooled, counts and days add up, and percentiles are those of all delays."""
    run = judge(TRUTH, _by_hand(), SHIPPED_KINDS)
    one, both = Score([run], SHIPPED_KINDS), Score([run, run], SHIPPED_KINDS)
    assert (2 * one.detected, 2 * one.missed) == (both.detected, both.missed)
    assert one.false_per_day("bed") == both.false_per_day("bed")
    assert [*one.delays_ms, *one.delays_ms] == both.delays_ms
    assert (2 * one.notes.matrix == both.notes.matrix).all()
    first = tables(both.runs, both)[0]
    assert [row[0] for row in first.rows] == ["by-hand", "by-hand", "all together"]


def test_the_same_outputs_with_their_inputs_score_the_same() -> None:
    """Inputs are counted and change nothing else."""
    outputs = _by_hand()
    inputs = [(f"edgeward/v1/{SITE}/bed-1/vitals", b'{"hr": 60, "time": 1000}')] * 3
    alone, together = as_json_of(outputs), as_json_of([*inputs, *outputs])
    assert together["messages"].pop("input") == 3
    assert alone["messages"].pop("input") == 0
    assert alone == together


def as_json_of(messages: Messages) -> dict[str, Any]:
    """The overall part of the score as JSON, which must be plain."""
    score = _score(messages)
    overall: dict[str, Any] = json.loads(json.dumps(as_json(score.runs, score)))["overall"]
    return overall


def test_a_recording_of_another_site_is_refused() -> None:
    """A score of nothing would look like a quiet ward."""
    with pytest.raises(UsageError, match="no message of the truth's site nowhere"):
        _score(_by_hand(), replace(TRUTH, site="nowhere"))


def test_an_impossible_acuity_is_refused() -> None:
    """A truth's notes are of acuity 1 to 5."""
    with pytest.raises(UsageError, match="acuity"):
        _score(_by_hand(), replace(TRUTH, notes=(NoteTruth("er-1", "n1", 6),)))


def test_percentiles_are_nearest_ranks() -> None:
    """Of ten values the 50th percentile is the fifth and the 90th the ninth; of none there is none."""
    assert (percentile(range(1, 11), 50), percentile(range(1, 11), 90)) == (5, 9)
    assert percentile([], 50) is None


DEVICES = ("a", "b", "p")
AGENTS = (*SHIPPED_KINDS, "unknown")


@st.composite
def _worlds(draw: st.DrawFn) -> Truth:
    intervals = []
    for _ in range(draw(st.integers(0, 6))):
        begins = draw(st.integers(0, 1200))
        visible = begins + draw(st.integers(0, 100))
        until = visible + draw(st.integers(0, 300))
        kinds = draw(st.sampled_from([("vitals",), VITALS_NOTE, ("sensor", "log"), ("log",)]))
        expected = draw(st.booleans())
        interval = Interval(
            draw(st.sampled_from(DEVICES)),
            draw(st.sampled_from(["x", "y"])),
            begins * MINUTE,
            visible * MINUTE,
            until * MINUTE,
            kinds,
            "deterioration" if expected else "artefact",
            expected,
        )
        intervals.append(interval)
    devices = tuple(Device(name, "machine" if name == "p" else "bed") for name in DEVICES)
    return Truth("drawn", 1, SITE, 0, DAY_MINUTES * MINUTE, devices, tuple(intervals))


@st.composite
def _recordings(draw: st.DrawFn) -> Messages:
    gateway = Gateway()
    gateway.answered("a", "vitals", 0)
    steps = draw(
        st.lists(
            st.tuples(st.sampled_from(DEVICES), st.sampled_from(AGENTS), st.booleans(), st.integers(0, 60)),
            max_size=30,
        )
    )
    minute = 0
    for device, agent, on, later in steps:
        minute += later
        (gateway.raised if on else gateway.cleared)(device, agent, minute)
    return gateway.messages


@given(truth=_worlds(), messages=_recordings())
def test_what_always_holds(truth: Truth, messages: Messages) -> None:
    """Counts that must add up, whatever the world and the gateway."""
    score = _score(messages, truth)
    expected = [each for each in truth.intervals if each.alert_expected]
    assert score.detected + score.missed == len(expected)
    assert len(score.delays_ms) == score.detected
    assert all(delay >= 0 for delay in score.delays_ms)
    assert sum(score.verdicts.values()) == len(score.alerts)
    false = sum(score.verdicts[each] for each in FALSE)
    assert false == score.false_alerts("bed") + score.false_alerts("machine")
    assert false == sum(line.false for line in score.by_agent)
    assert sum(line.intervals for line in score.by_what) == len(truth.intervals)
    assert sum(line.alerted for line in score.by_what if line.expected) == score.detected
    worth = {id(each.period): each.verdict for each in score.alerts}
    for judged in score.expected:
        assert all(worth[id(alert)] == "true" for alert in judged.alerts)
    detecting = {id(alert) for judged in score.expected for alert in judged.alerts}
    assert detecting == {key for key, verdict in worth.items() if verdict == "true"}
    for alert in score.alerts:
        assert 0 <= alert.idle_ms <= _length_ms(alert.period, truth)
        if alert.verdict in FALSE:
            assert alert.idle_ms == _length_ms(alert.period, truth)
    json.dumps(as_json(score.runs, score), allow_nan=False)
    for table in tables(score.runs, score):
        assert all(len(row) == len(table.columns) for row in table.rows)


def _length_ms(period: AlertPeriod, truth: Truth) -> int:
    """How long the alert was on within the world's time."""
    until_ms = truth.end if period.until_ms is None else min(period.until_ms, truth.end)
    return max(0, until_ms - period.since_ms)


@given(
    st.lists(st.lists(st.integers(0, 9), min_size=LEVELS, max_size=LEVELS), min_size=LEVELS, max_size=LEVELS)
)
def test_kappa_is_its_formula(counts: Sequence[Sequence[int]]) -> None:
    """The same as summed pair by pair, at most 1, and the same for both raters swapped."""
    matrix = np.array(counts)
    cases = matrix.sum()
    observed = sum(abs(i - j) * int(matrix[i, j]) for i in range(LEVELS) for j in range(LEVELS))
    expected = sum(
        abs(i - j) * int(matrix[i].sum()) * int(matrix[:, j].sum()) / max(1, cases)
        for i in range(LEVELS)
        for j in range(LEVELS)
    )
    found = linear_kappa(matrix)
    assert (found is None) == (expected == 0)
    if found is not None:
        assert found == pytest.approx(1 - observed / expected)
        assert found <= 1
        assert linear_kappa(matrix.T) == pytest.approx(found)


def _files(folder: Path, messages: Messages, truth: Truth = TRUTH) -> list[str]:
    recording, true = folder / "run.jsonl", folder / "truth.json"
    recording.write_bytes(b"".join(line_of(topic, 0, payload) for topic, payload in messages))
    truth.write(true)
    return ["score", "--truth", str(true), "--run", str(recording)]


def test_the_command_prints_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One object with the overall numbers and those of each run; the missed event is named."""
    assert main([*_files(tmp_path, _by_hand()), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert tuple(said["runs"][0][name] for name in ("scenario", "seed", "site")) == ("by-hand", 1, SITE)
    assert said["overall"]["first_alert_minutes"] == {"p50": 0.0, "p90": 30.0}
    assert [each["what"] for each in said["overall"]["missed_events"]] == ["bleed"]


def test_the_command_prints_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Off a terminal plain columns, the scenario's row with its numbers."""
    assert main([*_files(tmp_path, _by_hand()), *_files(tmp_path, _by_hand())[1:]]) == 0
    out = capsys.readouterr().out
    assert sum(line.split()[:4] == ["by-hand", "3", "2", "1"] for line in out.splitlines()) == 2
    assert "all together" in out
    assert NONE in out


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (["--run", "x"], "needs its --run"),
        (["--config", "/no/such/file"], "can't be read"),
        (["--truth", "/no/such/file", "--run", "/no/such/file"], "can't be read"),
    ],
)
def test_wrong_calls_are_said(
    change: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2 and one sentence."""
    assert main([*_files(tmp_path, _by_hand()), *change]) == 2
    assert said in capsys.readouterr().err


def test_a_configuration_names_its_agents(tmp_path: Path) -> None:
    """With a configuration of one's own the agents' kinds come from there."""
    config = tmp_path / "gateway.toml"
    config.write_text(
        '[agents.early-warning]\nkind = "vitals"\ntopic = "edgeward/v1/{site}/{device}/vitals"\n'
    )
    assert agent_kinds(config) == {"early-warning": "vitals"}
    assert agent_kinds(None) == SHIPPED_KINDS


def test_a_run_keeps_its_truth() -> None:
    """What is drawn later is what was judged."""
    run: Run = judge(TRUTH, _by_hand(), SHIPPED_KINDS)
    assert run.truth is TRUTH
    assert [each.interval for each in run.intervals] == [SEPSIS, CAVITATION, BLEED, MOTION]
