"""The report and the page about all scenarios: what they show, and that they need nothing else."""

from __future__ import annotations

import io
import re
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image

from gateway.broker import find_mosquitto
from gateway.cli import main
from gateway.recording import line_of
from gateway.scenarios import play_all, write_page
from gateway.scoring import SHIPPED_KINDS
from models.errors import UsageError
from nodes.times import format_time
from simulators.report import DRAWN, report
from simulators.score import Run, Score, judge
from simulators.signals import Signals
from simulators.timelines import overview, ranked, timeline
from simulators.truth import Device
from tests.test_score import MINUTE, SITE, TRUTH, Gateway, Messages


def _messages() -> Messages:
    """A bed with signals and a missed event, a machine with sensors and a false alert."""
    gateway = Gateway()
    for minute in range(0, 1440, 10):
        time = minute * MINUTE
        gateway.messages.append(
            (f"edgeward/v1/{SITE}/bed-2/vitals", f'{{"time": {time}, "hr": {60 + minute % 40}}}'.encode())
        )
        gateway.messages.append(
            (
                f"edgeward/v1/{SITE}/pump-1/sensor",
                f'{{"time": "{format_time(time)}", "values": {{"flow": {minute % 7}, "still": 1}}}}'.encode(),
            )
        )
        gateway.answered("bed-2", "vitals", minute, news2={"total": minute % 9})
        gateway.answered("bed-2", "deterioration", minute, scores={"risk": 0.01})
        gateway.answered("pump-1", "sensor-anomaly", minute, scores={"normal": 0.9, "anomaly": 0.1})
    gateway.alert("bed-1", "vitals", 190, 420)
    gateway.alert("pump-1", "sensor-anomaly", 900, None)
    return gateway.messages


def _run(messages: Messages) -> tuple[Run, Signals]:
    signals = Signals(SITE)
    for topic, payload in messages:
        signals.came(topic, payload)
    return judge(TRUTH, messages, SHIPPED_KINDS), signals


def _size(png: bytes | None) -> tuple[int, int]:
    assert png is not None
    with Image.open(io.BytesIO(png)) as image:
        image.load()
        return image.size


class _Page(HTMLParser):
    """Tags that are open, and every address on the page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.addresses: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_a_report_is_whole_and_needs_nothing_else() -> None:
    """Every tag is closed, every picture is inside, and what was missed stands in its first lines."""
    run, signals = _run(_messages())
    text = report([(run, signals)], Score([run], SHIPPED_KINDS))
    page = _Page(text)
    assert page.open == []
    assert len(page.addresses) == 1 + len(ranked(run))
    assert all(address.startswith("data:image/png;base64,") for address in page.addresses)
    assert "://" not in re.sub(r"base64,[^\"]*", "", text)
    head = text[: text.index("<h2>")]
    assert '<span class="wrong">2 missed</span>' in head
    assert "bleed on bed-2" in head
    assert '<span class="wrong">1 false alert</span>' in head


def test_what_went_wrong_comes_first() -> None:
    """Missed events, here on bed-2 and the pump, then false alerts, then the rest."""
    run, _ = _run(_messages())
    assert ranked(run) == ["pump-1", "bed-2", "bed-1"]  # the pump has both


def test_a_report_draws_so_many_devices_and_names_the_rest() -> None:
    """A bad night must not make a page that no browser opens."""
    gateway = Gateway()
    names = [f"bed-{number:02d}" for number in range(DRAWN + 3)]
    for name in names:
        gateway.alert(name, "vitals", 10, 20)
    truth = replace(TRUTH, devices=tuple(Device(name, "bed") for name in names), intervals=(), notes=())
    run = judge(truth, gateway.messages, SHIPPED_KINDS)
    text = report([(run, Signals(SITE))], Score([run], SHIPPED_KINDS))
    assert text.count("<img ") == 1 + DRAWN
    assert "bed-12, bed-13, bed-14" in text


def test_names_are_only_text() -> None:
    """Whatever a scenario is called, it is no markup."""
    run, signals = _run(_messages())
    named = replace(run, truth=replace(run.truth, scenario="<script>x</script>"))
    assert "<script>" not in report([(named, signals)], Score([named], SHIPPED_KINDS))


def test_pictures_have_a_panel_for_each_signal() -> None:
    """More signals make a higher picture; an overview has a row for each device."""
    run, signals = _run(_messages())
    bare, full = (_size(timeline(run, each, "bed-2")) for each in (Signals(SITE), signals))
    assert full[1] > bare[1]
    assert full[0] == bare[0]
    assert _size(timeline(run, signals, "pump-1"))[1] > bare[1]
    assert _size(overview(run))[0] == full[0]
    assert timeline(run, signals, "bed-2") == timeline(run, signals, "bed-2")


def test_a_quiet_run_has_nothing_to_draw() -> None:
    """Without events and alerts there is no picture, and the page says so."""
    truth = replace(TRUTH, intervals=(), notes=())
    gateway = Gateway()
    gateway.answered("bed-1", "vitals", 1)
    run = judge(truth, gateway.messages, SHIPPED_KINDS)
    assert overview(run) is None
    assert "No bed or machine had an event" in report([(run, Signals(SITE))], Score([run], SHIPPED_KINDS))


def test_signals_are_those_that_alerts_rest_on() -> None:
    """Vital signs, sensors and the scores with a threshold; damaged inputs are left aside."""
    messages = _messages()
    for damaged in (b"", b"[]", b"\xff", b'{"time": "x"}', b'{"time": 1, "values": 3}', b'{"hr": true}'):
        messages.append((f"edgeward/v1/{SITE}/bed-2/vitals", damaged))
        messages.append((f"edgeward/v1/{SITE}/bed-2/sensor", damaged))
        messages.append((f"edgeward/v1/{SITE}/bed-2/classification/vitals", damaged))
    _, signals = _run(messages)
    assert set(signals.of("bed-2")) == {"hr", "NEWS2", "risk"}
    assert set(signals.of("pump-1")) == {"sensor/flow", "sensor/still", "anomaly"}
    assert list(signals.of("bed-2")["NEWS2"].values[:2]) == [0.0, 1.0]
    assert list(signals.of("pump-1")["sensor/flow"].times[:2]) == [0.0, 10.0 * MINUTE]


def test_the_command_writes_a_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A page beside the printed score; where it can't be written, that is said."""
    recording, truth, page = tmp_path / "run.jsonl", tmp_path / "truth.json", tmp_path / "page.html"
    recording.write_bytes(b"".join(line_of(topic, 0, payload) for topic, payload in _messages()))
    TRUTH.write(truth)
    call = ["score", "--truth", str(truth), "--run", str(recording), "--report"]
    assert main([*call, str(page)]) == 0
    assert page.read_text("utf-8").startswith("<!doctype html>")
    assert main([*call, str(tmp_path / "none" / "page.html")]) == 2
    assert "can't be written" in capsys.readouterr().err


def test_without_matplotlib_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The daemon's own dependencies don't draw."""
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    run, signals = _run(_messages())
    with pytest.raises(UsageError, match="extra `score`"):
        report([(run, signals)], Score([run], SHIPPED_KINDS))


def test_the_page_of_scenarios_is_the_same_each_time(tmp_path: Path) -> None:
    """Same seed, same bytes; a row and a report for each scenario."""
    pages = []
    for number in range(2):
        page = tmp_path / f"page-{number}.md"
        write_page(page, play_all(["bleed"], tmp_path))
        pages.append(page.read_bytes())
    assert pages[0] == pages[1]
    assert b"| bleed | 3 |" in pages[0]
    assert (tmp_path / "bleed.html").exists()


@pytest.mark.slow
@pytest.mark.skipif(find_mosquitto() is None, reason="mosquitto is not on this machine")
def test_a_scenario_scores_the_same_through_a_broker(tmp_path: Path) -> None:
    """Played to a real broker and gateway, its score is that of the pipeline alone, or this raises."""
    played = play_all(["busy-emergency"], tmp_path)
    _, run = played["busy-emergency"]
    assert run.notes.answered == run.counts["input"] > 0
    page = tmp_path / "page.md"
    write_page(page, played)
    assert "with the same score: `busy-emergency`" in page.read_text()
