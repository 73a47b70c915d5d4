"""Topic templates, identities and the merging of filters."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import InputRefused
from nodes.topics import Identity, Template, merge_filters


def test_named_levels_are_read_wherever_they_stand() -> None:
    template = Template("hospital/{site}/{ward}/bed/{device}/vitals")
    levels = ["hospital", "north", "w2", "bed", "b.12", "vitals"]
    assert template.filter == "hospital/+/+/bed/+/vitals"
    assert template.matches(levels)
    assert template.identity(levels) == Identity("north", "b.12")


def test_a_topic_without_a_site_takes_the_one_it_is_given() -> None:
    template = Template("plant/{device}/data", site="hall-1")
    assert template.identity(["plant", "p1", "data"]) == Identity("hall-1", "p1")


@pytest.mark.parametrize(
    "text",
    [
        "a/+/{device}",
        "a/#",
        "a/{device}/{device}/{site}",
        "{site}/x",
        "a//{site}/{device}",
        "a/{Device}/{site}",
        "",
    ],
)
def test_a_template_that_cannot_work_is_refused_in_words(text: str) -> None:
    with pytest.raises(ValueError, match="template"):
        Template(text)


@pytest.mark.parametrize("device", ["", "a b", "é", "a" * 129, "a\n", "١", "x+y"])
def test_an_identity_outside_its_alphabet_is_refused(device: str) -> None:
    template = Template("t/{site}/{device}")
    with pytest.raises(InputRefused) as refused:
        template.identity(["t", "s", device])
    assert refused.value.field == "device"


def test_overlapping_filters_become_one_that_covers_them() -> None:
    assert merge_filters(["a/+/x", "a/b/+", "c/x", "c/x"]) == ("a/+/+", "c/x")


def test_merging_goes_on_until_nothing_overlaps() -> None:
    # The cover of the first two, a/+/+, reaches the third.
    assert merge_filters(["a/+/x", "a/b/+", "a/c/d"]) == ("a/+/+",)


_FILTERS = st.lists(
    st.lists(st.sampled_from(["a", "b", "+"]), min_size=1, max_size=4).map("/".join), max_size=6
)
_TOPICS = st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=4)


def _matches(text: str, topic: list[str]) -> bool:
    levels = text.split("/")
    return len(levels) == len(topic) and all(a in ("+", b) for a, b in zip(levels, topic, strict=True))


@given(_FILTERS, _TOPICS)
def test_merged_filters_cover_everything_and_bring_each_topic_once(
    filters: list[str], topic: list[str]
) -> None:
    merged = [text for text in merge_filters(filters) if _matches(text, topic)]
    assert len(merged) <= 1
    assert merged or not any(_matches(text, topic) for text in filters)
