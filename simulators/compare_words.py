"""Simulated notes beside real ones: how long they are, how they are written, how much they repeat."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np

from simulators.samples import QUANTILES

_WORD = re.compile(r"[a-z]+")


def words(text: str) -> list[str]:
    """The words of *text* in small letters."""
    return _WORD.findall(text.lower())


def words_table(simulated: Sequence[str], real: Sequence[str]) -> str:
    """Both kinds of texts in the same measures, as Markdown; texts without a word are left out."""
    lines = [
        "| notes | n | words: "
        + " | ".join(f"{q:.0%}" for q in QUANTILES)
        + " | comma | capital | different |",
        "|---|--:|" + "--:|" * (len(QUANTILES) + 3),
    ]
    for name, texts in (("emergency department (simulated)", simulated), ("triage (ktas-triage)", real)):
        told = [text for text in texts if words(text)]
        lengths = np.quantile([len(words(text)) for text in told], QUANTILES, method="inverted_cdf")
        shares = (
            sum("," in text for text in told) / len(told),
            sum(text[0].isupper() for text in told) / len(told),
            len({" ".join(words(text)) for text in told}) / len(told),
        )
        cells = [f"{len(told):,}", *(f"{q:.0f}" for q in lengths), *(f"{share:.0%}" for share in shares)]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def shared_words(simulated: Sequence[str], real: Sequence[str]) -> tuple[float, float]:
    """Shares (0 to 1) of the real notes' words that the simulated ones use too, and the other way round."""
    ours = Counter(word for text in simulated for word in words(text))
    theirs = Counter(word for text in real for word in words(text))
    return _known(theirs, ours), _known(ours, theirs)


def _known(counted: Counter[str], among: Counter[str]) -> float:
    return sum(count for word, count in counted.items() if word in among) / counted.total()
