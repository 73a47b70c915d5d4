"""Text to hashed features: the same everywhere, bounded, and blind to what does not matter."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from models.text import TextSpec, has_content, hashed, words

SPEC = TextSpec(buckets=1 << 12, features=64, characters=100, numbers=True)
GOLDEN = [952, 551, 3386, 2499, 3843, 2410, 1423, 557]
LOG = TextSpec(buckets=1 << 12, features=64, characters=200, numbers=False)


@given(st.text(max_size=400))
@example("㋀")  # no letter as it stands, and 1月 in Unicode's compatible form
def test_any_text_gives_bounded_distinct_rows_of_one_length(text: str) -> None:
    """Rows lie in the table, each once, unused places are at the end, and the bag has length 1 or 0."""
    rows, weight = hashed(text, SPEC)
    used = rows[rows > 0]
    assert rows.shape == (64,)
    assert rows.dtype == np.int32
    assert len(set(used.tolist())) == len(used)
    assert not rows[len(used) :].any()
    assert used.size == 0 or used.max() <= SPEC.buckets
    assert weight == (pytest.approx(1 / np.sqrt(len(used))) if has_content(text, SPEC) else 0.0)


@given(st.text(max_size=50), st.text(min_size=1))
def test_what_stands_behind_the_bound_changes_nothing(head: str, tail: str) -> None:
    """Only the first characters of a text are read."""
    padded = head.ljust(SPEC.characters, "x")[: SPEC.characters]
    assert hashed(padded, SPEC)[0].tolist() == hashed(padded + tail, SPEC)[0].tolist()


@pytest.mark.parametrize("text", ["", "??", " \n\t", "--- ...", "_", "‽ ¿"])
def test_a_text_without_letter_or_digit_is_no_text(text: str) -> None:
    """It has no words and no features."""
    assert not has_content(text, SPEC)
    assert words(text, SPEC) == []
    assert hashed(text, SPEC)[1] == 0.0


@pytest.mark.parametrize("text", ["a", "7", "?a?", "흉통", "é"])
def test_one_letter_or_digit_is_a_text(text: str) -> None:
    """In any script."""
    assert has_content(text, SPEC)
    assert hashed(text, SPEC)[1] > 0


def test_case_punctuation_and_width_do_not_matter() -> None:
    """Notes are typed in every way."""
    assert hashed("chest pain, Lt.", SPEC)[0].tolist() == hashed("CHEST  pain\nLT", SPEC)[0].tolist()
    assert hashed("ＳｐＯ２", SPEC)[0].tolist() == hashed("SpO2", SPEC)[0].tolist()


def test_spellings_share_pieces() -> None:
    """A misspelt word is nearer to the right one than to another word."""
    right, wrong, other = (
        set(hashed(word, SPEC)[0].tolist()) for word in ("dizziness", "diziness", "trauma")
    )
    assert len(right & wrong) > len(right & other) + 2


def test_order_of_words_counts_little_but_counts() -> None:
    """Pairs differ, words and pieces are the same."""
    one, two = (set(hashed(text, SPEC)[0].tolist()) for text in ("pain chest", "chest pain"))
    assert len(one ^ two) == 2


def test_numbers_in_log_lines_are_numbers_and_no_values() -> None:
    """Counts, addresses and identifiers differ in every line and say nothing."""
    assert words("eth0 lost 17 of 4,096 at 0xDEADBEEF id 3f2a9b7c", LOG) == words(
        "eth1 lost 9 of 1,024 at 0x01 id 77aabb0c", LOG
    )
    assert words("17 beds", SPEC) == ["17", "beds"]
    assert "feedback" in words("feedback", LOG)


def test_features_are_the_same_in_another_process() -> None:
    """Nothing rests on Python's own hash, which differs from process to process."""
    program = (
        "from models.text import *;"
        "print(hashed('chest pain, Lt.', TextSpec(4096, 64, 100, True))[0].tolist())"
    )
    printed = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONHASHSEED": "7"},
    )
    assert printed.stdout.strip() == str(hashed("chest pain, Lt.", SPEC)[0].tolist())


def test_features_are_those_the_shipped_models_were_trained_with() -> None:
    """Changing any of these numbers means training every text model anew."""
    assert hashed("Chest pain", SPEC)[0].tolist()[:8] == GOLDEN


@pytest.mark.parametrize("wrong", [{"buckets": 1000}, {"buckets": 0}, {"features": 0}, {"characters": 0}])
def test_a_specification_that_cannot_work_is_refused(wrong: dict[str, int]) -> None:
    """ValueError, which a bundle's loader turns into a refusal."""
    with pytest.raises(ValueError, match="must be"):
        TextSpec(**{"buckets": 16, "features": 8, "characters": 8, "numbers": True} | wrong)  # type: ignore[arg-type]
