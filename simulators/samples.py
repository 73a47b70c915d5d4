"""Samples of vital signs, simulated or real: what they are, their quantiles and how they move together.

Only measuring lives here; where samples come from and what is held against what is in `compare.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from models.bounds import possible

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
ENOUGH = 50
"""Fewer readings than this are not compared."""

Readings = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Sign:
    """One vital sign in tables: its unit, decimals, and how far apart two medians are worth a word."""

    field: str
    title: str
    unit: str
    decimals: int
    notable: float


SIGNS = (
    Sign("hr", "heart rate", "/min", 0, 4),
    Sign("rr", "breathing", "/min", 0, 2),
    Sign("spo2", "saturation", "%", 0, 1),
    Sign("sbp", "systolic pressure", "mmHg", 0, 6),
    Sign("dbp", "diastolic pressure", "mmHg", 0, 5),
    Sign("temp", "temperature", "°C", 1, 0.25),
)
TIES = (("hr", "rr"), ("hr", "temp"), ("hr", "sbp"), ("sbp", "dbp"), ("rr", "spo2"))
"""Pairs whose correlation is told."""


@dataclass(frozen=True, slots=True, eq=False)  # by identity: arrays have no truth of their own
class Sample:
    """Vital signs of many people, a set in each row, NaN where something was not measured."""

    name: str
    readings: Readings
    """One column for each of `SIGNS`."""

    def of(self, field: str) -> Readings:
        """All readings of one vital sign."""
        column: Readings = self.readings[:, [sign.field for sign in SIGNS].index(field)]
        return column[~np.isnan(column)]

    def quantiles(self, field: str) -> Readings | None:
        """The `QUANTILES`, each a value that was read; None where there are too few."""
        found = self.of(field)
        if len(found) < ENOUGH:
            return None
        return np.asarray(np.quantile(found, QUANTILES, method="inverted_cdf"))

    def correlation(self, one: str, other: str) -> float | None:
        """Pearson's, over the sets that have both; None where there are too few."""
        fields = [sign.field for sign in SIGNS]
        pair = self.readings[:, [fields.index(one), fields.index(other)]]
        pair = pair[~np.isnan(pair).any(axis=1)]
        return float(np.asarray(np.corrcoef(pair.T))[0, 1]) if len(pair) >= ENOUGH else None


def sample(name: str, payloads: Iterable[Mapping[str, Any]]) -> Sample:
    """*payloads* are vital signs in the contract's JSON; impossible values count as not measured."""
    table = [
        [
            float(value)
            if isinstance(value := vitals.get(sign.field), int | float) and possible(sign.field, value)
            else np.nan
            for sign in SIGNS
        ]
        for vitals in payloads
    ]
    return Sample(name, np.array(table, dtype=np.float64).reshape(-1, len(SIGNS)))


def quantile_table(samples: Sequence[Sample]) -> str:
    """The quantiles of every vital sign in every sample, as Markdown."""
    lines = [
        "| | sample | n | " + " | ".join(f"{q:.0%}" for q in QUANTILES) + " |",
        "|---|---|--:|" + "--:|" * len(QUANTILES),
    ]
    for sign in SIGNS:
        title = f"{sign.title}, {sign.unit}"
        for each in samples:
            found = each.quantiles(sign.field)
            told = ["–"] * len(QUANTILES) if found is None else [f"{q:.{sign.decimals}f}" for q in found]
            lines.append(f"| {title} | {each.name} | {len(each.of(sign.field)):,} | {' | '.join(told)} |")
            title = ""
    return "\n".join(lines)


def tie_table(samples: Sequence[Sample]) -> str:
    """How vital signs of one set move together in every sample, as Markdown."""
    lines = [
        "| sample | " + " | ".join(f"{one}, {other}" for one, other in TIES) + " |",
        "|---|" + "--:|" * len(TIES),
    ]
    for each in samples:
        found = (each.correlation(one, other) for one, other in TIES)
        told = ("–" if value is None else f"{value:+.2f}" for value in found)
        lines.append(f"| {each.name} | {' | '.join(told)} |")
    return "\n".join(lines)
