"""The simulator of log lines: seeded, labelled by template, and apart from the data that judge the model."""

from __future__ import annotations

import csv
import random
import re
from collections import Counter

import pytest

from models.datasets import locate
from models.text import WORD
from simulators.loglines import ALERT_SHARE, FIELDS, lines, rows, templates
from tests.data import needs

SHARED = 4
"""Words in a row that no template may share with LogHub's."""


def runs(text: str) -> set[tuple[str, ...]]:
    """All runs of SHARED words in *text*, without case."""
    found = WORD.findall(text.casefold())
    return {tuple(found[start : start + SHARED]) for start in range(len(found) - SHARED + 1)}


def test_the_same_seed_gives_the_same_lines() -> None:
    """And another seed others."""
    assert list(rows(7, 50)) == list(rows(7, 50))
    assert list(rows(7, 50)) != list(rows(8, 50))


def test_a_template_has_one_label_and_all_are_used() -> None:
    """So that data can be split by template."""
    label: dict[str, bool] = {}
    for _, alert, template in lines(random.Random(1), 20_000):
        assert label.setdefault(template, alert) == alert
    assert label == {name: alert for name, (_, alert) in templates().items()}


def test_alerts_have_their_share() -> None:
    """Within what chance allows of 20,000 draws."""
    alerts = sum(alert for _, alert, _ in lines(random.Random(2), 20_000))
    assert alerts / 20_000 == pytest.approx(ALERT_SHARE, abs=0.02)


def test_the_logged_severity_does_not_give_the_label_away() -> None:
    """Some normal lines shout and some alerts whisper."""
    seen = Counter(
        (alert, "grave" if re.search(r"\b(ERROR|CRITICAL|FATAL|SEVERE)\b", line) else "calm")
        for line, alert, _ in lines(random.Random(3), 5_000)
        if re.search(r"\b(ERROR|CRITICAL|FATAL|SEVERE|INFO|DEBUG|NOTICE)\b", line)
    )
    assert seen[(False, "grave")] > 0.05 * seen[(False, "calm")]
    assert seen[(True, "calm")] > 0.05 * seen[(True, "grave")]


def test_rows_are_log_messages_with_truth_beside_them() -> None:
    """As `edgeward data make log-line` writes them, in order of time."""
    made = list(rows(1, 200))
    assert all(row["kind"] == "log" and set(row["payload"]) == {"line"} for row in made)
    assert all(re.fullmatch(r"plc-\d\d", row["device"]) for row in made)
    assert [row["time"] for row in made] == sorted(row["time"] for row in made)
    assert len({row["id"] for row in made}) == 200
    assert all(set(row["truth"]) == {"alert", "template"} for row in made)


def test_every_field_of_a_template_is_filled() -> None:
    """A template's braces never reach a line; JSON's do."""
    named = {name for text, _ in templates().values() for name in re.findall(r"\{(\w+)\}", text)}
    assert named <= FIELDS.keys() | {"part"}
    for line, _, _ in lines(random.Random(4), 5_000):
        assert not re.search(r"\{\w+\}", line)
        assert line.isprintable()


def test_no_template_shares_four_words_in_a_row_with_loghub() -> None:
    """LogHub judges the model, so its wordings are not what the model is taught."""
    folder = locate("bgl", needs("bgl"))
    theirs: set[tuple[str, ...]] = set()
    for name in ("BGL_2k_structured.csv", "HDFS_templates.csv"):
        with (folder / name).open(encoding="utf-8", newline="") as file:
            for record in csv.DictReader(file):
                theirs |= runs(record["EventTemplate"])
    ours = {name: runs(re.sub(r"\{\w+\}", " ", text)) for name, (text, _) in templates().items()}
    assert len(theirs) > 100
    assert {name: shared for name, found in ours.items() if (shared := found & theirs)} == {}
