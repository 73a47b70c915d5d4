"""The log-line model: its bundle, and answers that do not depend on company."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.bundle import Bundle, find_bundle, load_bundle
from models.datasets import Row, rows
from models.errors import ModelRefused
from models.lines import FEATURES_FILE, LineClassifier
from tests.data import needs

ALERTS = (
    "kernel: Out of memory: killed process 4711 (recorder) score 912",
    "FATAL emergency stop pressed at station 3, line halted",
    "2026-02-01T10:00:00 disk sdb has failed",
)
NORMALS = (
    "INFO session 77 opened for operator",
    "valve XV-204 closed",
    "Started recorder.service",
)


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    """The shipped one."""
    return load_bundle(find_bundle("log-line"))


@pytest.fixture(scope="module")
def classifier(bundle: Bundle) -> LineClassifier:
    """The shipped one's, under the runtime that EDGEWARD_RUNTIME names."""
    return LineClassifier(bundle)


@pytest.fixture(scope="module")
def bgl() -> list[Row]:
    """The labelled lines of BGL."""
    return list(rows("bgl", needs("bgl")))


def test_plain_faults_are_alerts_and_plain_events_are_not(classifier: LineClassifier) -> None:
    """A smoke test: figures stand in the card."""
    assert [answer.label for answer in classifier.classify(ALERTS)] == ["alert"] * 3
    assert [answer.label for answer in classifier.classify(NORMALS)] == ["normal"] * 3


def test_answers_are_probabilities_of_both_labels(classifier: LineClassifier) -> None:
    """The label's own probability is published."""
    for answer in classifier.classify([*ALERTS, *NORMALS, "", "???"]):
        assert list(answer.scores) == ["normal", "alert"]
        assert sum(answer.scores.values()) == pytest.approx(1)
        assert answer.probability == answer.scores[answer.label]


def test_the_label_follows_the_manifests_threshold(bundle: Bundle) -> None:
    """An operator who raises it gets fewer alerts, and one who puts it at 0 only alerts."""
    never, always = (
        LineClassifier(Bundle(bundle.manifest.model_copy(update={"thresholds": {"label": at}}), bundle.files))
        for at in (1.1, 0.0)
    )
    assert {answer.label for answer in never.classify([*ALERTS, *NORMALS])} == {"normal"}
    assert {answer.label for answer in always.classify([*ALERTS, *NORMALS])} == {"alert"}


@settings(deadline=None)
@given(st.lists(st.text(max_size=300) | st.sampled_from([*ALERTS, *NORMALS]), min_size=1, max_size=9))
def test_a_line_is_answered_alike_alone_and_among_others(
    classifier: LineClassifier, lines: list[str]
) -> None:
    """Exactly, not nearly."""
    assert classifier.classify(lines) == [classifier.classify([line])[0] for line in lines]


def test_nothing_in_nothing_out(classifier: LineClassifier) -> None:
    """An empty batch has an empty answer."""
    assert classifier.classify([]) == []


def test_a_long_line_is_cut(classifier: LineClassifier) -> None:
    """The first 512 characters count."""
    head = "started ".ljust(512, ".")
    one, two = classifier.classify([head, head + "fatal error " * 1000])
    assert one == two


def test_lines_of_a_system_never_seen_are_ranked_well(classifier: LineClassifier, bgl: list[Row]) -> None:
    """BGL, for evaluation only: its alerts score above its normal lines; the card has the figures."""
    answers = classifier.classify([row.payload["line"] for row in bgl])
    scores = np.array([answer.scores["alert"] for answer in answers])
    alert = np.array([row.truth["alert"] for row in bgl])
    assert len(bgl) == 1500
    assert alert.sum() == 118
    above = (scores[alert][:, None] > scores[~alert][None, :]).mean()
    assert above > 0.9


def test_lines_of_bgl_are_messages_without_their_label(bgl: list[Row]) -> None:
    """Type, component, level and content; the class of alert stands in no line."""
    first = bgl[0]
    assert first.payload == {"line": "RAS KERNEL INFO generating core.4368"}
    assert (first.device, first.id, first.time_ms) == ("R31-M1-NF-C:J15-U01", "bgl-51", 1117990951000)
    assert first.truth == {"alert": False, "template": "E67"}


def test_a_bundle_whose_parts_do_not_fit_is_refused(bundle: Bundle) -> None:
    """Each in a sentence."""
    manifest = bundle.manifest
    updates: list[dict[str, Any]] = [{"labels": ("ok", "bad")}, {"thresholds": {}}]
    for update in updates:
        with pytest.raises(ModelRefused, match="labels or thresholds"):
            LineClassifier(Bundle(manifest.model_copy(update=update), bundle.files))
    for content in (b"{}", b"no json", b'{"text": {"buckets": 3}}'):
        with pytest.raises(ModelRefused, match=FEATURES_FILE):
            LineClassifier(Bundle(manifest, {**bundle.files, FEATURES_FILE: content}))
