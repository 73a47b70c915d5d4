"""Log storms: seeded, labelled, in bursts, with wordings that nobody has seen and traces of many lines."""

from __future__ import annotations

import random
import re
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from nodes.events import Log
from simulators.loglines import templates
from simulators.logstorm import storm


def _storm(seed: int, seconds: float = 600, rate: float = 5) -> list[tuple[float, str, bool]]:
    return list(storm(random.Random(seed), seconds, rate))


@settings(deadline=None)
@given(st.integers(0, 2**32), st.floats(1, 100), st.floats(0.2, 20))
def test_a_storm_keeps_to_its_time_and_starts_with_an_alert(seed: int, seconds: float, rate: float) -> None:
    found = _storm(seed, seconds, rate)
    offsets = [offset for offset, _, _ in found]
    assert (offsets[0], found[0][2]) == (0.0, True)
    assert offsets == sorted(offsets)
    assert offsets[-1] < seconds
    for _, line, _ in found:
        Log.model_validate({"line": line})
        assert re.search(r"[A-Za-z0-9]", line)
    assert found == _storm(seed, seconds, rate)


def test_the_rate_is_the_mean_and_the_lines_come_in_bursts() -> None:
    """Over an hour about the asked-for number; half of the gaps are far shorter than the mean one."""
    found = _storm(1, 3600, 5)
    assert 0.5 < len(found) / (3600 * 5) < 1.5
    gaps = sorted(later - before for (before, _, _), (later, _, _) in pairwise(found))
    assert gaps[len(gaps) // 2] < 0.1 / 5
    assert gaps[-1] > 5 / 5


def test_alerts_and_noise_mix() -> None:
    shares = [sum(alert for _, _, alert in found) / len(found) for found in map(_storm, range(10))]
    assert min(shares) > 0.05
    assert max(shares) < 0.8


def test_a_storm_brings_wordings_that_the_model_was_not_taught() -> None:
    """Some lines fit no template that training knows, nor the next storm's."""

    def skeletons(seed: int) -> set[str]:
        return {re.sub(r"\W*\w*\d\w*", " ", line) for _, line, _ in _storm(seed)}

    known = [re.escape(text) for text, _ in templates().values()]
    fits = re.compile("|".join(re.sub(r"\\\{\w+\\\}", ".+", text) for text in known))
    new = [line for _, line, _ in _storm(3) if not fits.search(line)]
    assert len(new) > 20
    assert skeletons(3) - skeletons(4)


def test_traces_come_whole_and_line_by_line() -> None:
    """The head is the alert; its frames, when sent one by one, are noise."""
    found = [each for seed in range(5) for each in _storm(seed)]
    whole = [alert for _, line, alert in found if "\n" in line]
    frames = [alert for _, line, alert in found if line.startswith(("\tat ", "  File "))]
    assert whole
    assert all(whole)
    assert frames
    assert not any(frames)
