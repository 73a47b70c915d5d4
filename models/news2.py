"""NEWS2: the Royal College of Physicians' table as data, and the arithmetic over it. Nothing else lives here.

Source: Royal College of Physicians, *National Early Warning Score (NEWS) 2: Standardising the assessment of
acute-illness severity in the NHS*, London: RCP, 2017, Chart 1 (scores) and its clinical risk words; the RCP
is acknowledged as the author of the score. The chart was read in copies, not in the report itself. Not a
medical device; not for people under 16 or in pregnancy.

Two things the chart leaves open are decided here:

- *Values between the printed bands.* The chart is written in whole numbers, temperature in tenths. A reading
  is first rounded half up to that resolution (93.5 % scores as 94 %, 38.05 °C as 38.1 °C), by the decimal
  number a person would see (the shortest one that stands for the float), so that 38.05 never depends on
  binary fractions.
- *Incomplete observations.* The chart scores a complete set. Here a score of an incomplete set is `partial`,
  names what is missing, and its total is the sum of what is known: a lower bound of the whole total, and its
  label the least risk that fits.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Literal

from models.errors import InputRefused

PARAMETERS = ("rr", "spo2", "on_oxygen", "sbp", "hr", "acvpu", "temp")
"""The seven parameters, named as in the contract, in the chart's order."""

VERSION = "2017.1"
"""The chart's year, and the number of our reading of it: it changes with the table or the rounding."""

Label = Literal["low", "low-medium", "medium", "high"]

MEDIUM_FROM = 5
"""Total of the chart's urgent response threshold."""
HIGH_FROM = 7
"""Total of the chart's emergency response threshold."""

TABLE: dict[str, Any] = {
    # Bands are [highest value of the band, points], in rising order; null is "and everything above".
    "rr": {"unit": "/min", "step": "1", "bands": [[8, 3], [11, 1], [20, 0], [24, 2], [None, 3]]},
    "spo2": {
        "unit": "%",
        "step": "1",
        "scale_1": [[91, 3], [93, 2], [95, 1], [None, 0]],
        "scale_2_on_air": [[83, 3], [85, 2], [87, 1], [None, 0]],
        "scale_2_on_oxygen": [[83, 3], [85, 2], [87, 1], [92, 0], [94, 1], [96, 2], [None, 3]],
    },
    "on_oxygen": {"false": 0, "true": 2},
    "sbp": {"unit": "mmHg", "step": "1", "bands": [[90, 3], [100, 2], [110, 1], [219, 0], [None, 3]]},
    "hr": {
        "unit": "/min",
        "step": "1",
        "bands": [[40, 3], [50, 1], [90, 0], [110, 1], [130, 2], [None, 3]],
    },
    "acvpu": {"A": 0, "C": 3, "V": 3, "P": 3, "U": 3},
    "temp": {"unit": "°C", "step": "0.1", "bands": [[35.0, 3], [36.0, 1], [38.0, 0], [39.0, 1], [None, 2]]},
}
"""Chart 1 as data. `TABLE_SHA256` identifies it wherever a score is published."""


def _canonical(table: Mapping[str, Any]) -> bytes:
    """The one JSON text of *table*: sorted keys, no spaces, UTF-8."""
    return json.dumps(table, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


TABLE_SHA256 = hashlib.sha256(_canonical(TABLE)).hexdigest()
"""sha256 of the table's canonical JSON, hex: what `model.sha256` says of a NEWS2 classification."""


@dataclass(frozen=True, slots=True)
class News2:
    """One score."""

    total: int
    """0 to 20; of a partial score the sum of what is known, a lower bound."""
    components: Mapping[str, int]
    """Points of each parameter that could be scored, in the chart's order."""
    missing: tuple[str, ...]
    """Parameters that could not be scored, in the chart's order."""
    partial: bool
    """True when anything is missing."""
    label: Label
    """The clinical risk word for what is known."""


Bands = tuple[tuple[Decimal | None, int], ...]


def _bands(rows: list[list[Any]]) -> Bands:
    return tuple((None if top is None else Decimal(repr(top)), points) for top, points in rows)


_STEP = {field: Decimal(TABLE[field]["step"]) for field in ("rr", "spo2", "sbp", "hr", "temp")}
_BANDS = {field: _bands(TABLE[field]["bands"]) for field in ("rr", "sbp", "hr", "temp")}
_SCALE_1 = _bands(TABLE["spo2"]["scale_1"])
_SCALE_2_ON_AIR = _bands(TABLE["spo2"]["scale_2_on_air"])
_SCALE_2_ON_OXYGEN = _bands(TABLE["spo2"]["scale_2_on_oxygen"])


def _rounded(field: str, value: float) -> Decimal:
    """*value* rounded half up to the chart's resolution for *field*; no scored value is below 0."""
    if not math.isfinite(value):
        raise InputRefused("not a finite number", field)
    return Decimal(repr(float(value))).quantize(_STEP[field], rounding=ROUND_HALF_UP)


def _points(bands: Bands, value: Decimal) -> int:
    return next(points for top, points in bands if top is None or value <= top)


def _spo2_points(value: Decimal, scale: int, on_oxygen: bool | None) -> int | None:
    """Points for a saturation; None where scale 2 depends on an oxygen state that isn't known."""
    if scale == 1:
        return _points(_SCALE_1, value)
    air, oxygen = _points(_SCALE_2_ON_AIR, value), _points(_SCALE_2_ON_OXYGEN, value)
    if on_oxygen is None:
        return air if air == oxygen and value <= 92 else None
    return oxygen if on_oxygen else air


def news2(values: Mapping[str, float | str | bool], spo2_scale: int = 1) -> News2:
    """Score any subset of `PARAMETERS`, in the contract's units.

    *values* maps a parameter to its reading: numbers (per minute, %, mmHg, °C), `on_oxygen` a boolean,
    `acvpu` one of A, C (new confusion), V, P, U; other keys are ignored. *spo2_scale* is the clinical order
    for the patient, 1 or 2, never inferred. On scale 2 a saturation of 93 % or more can't be scored while
    `on_oxygen` is unknown, and counts as missing. Raises InputRefused for what no border should let
    through: a number that isn't finite, another scale, another consciousness letter.

    >>> score = news2({"rr": 22, "spo2": 95, "on_oxygen": False, "sbp": 105, "hr": 112, "temp": 38.4})
    >>> score.total, score.label, score.missing
    (7, 'high', ('acvpu',))
    """
    if spo2_scale not in (1, 2):
        raise InputRefused("not a scale of NEWS2", "spo2_scale")
    oxygen = bool(values["on_oxygen"]) if "on_oxygen" in values else None
    components: dict[str, int] = {}
    for field in PARAMETERS:
        if field not in values:
            continue
        if field == "on_oxygen":
            components[field] = TABLE["on_oxygen"]["true" if oxygen else "false"]
        elif field == "acvpu":
            points = TABLE["acvpu"].get(values[field])
            if points is None:
                raise InputRefused("not a letter of ACVPU", field)
            components[field] = points
        elif field == "spo2":
            scored = _spo2_points(_rounded(field, float(values[field])), spo2_scale, oxygen)
            if scored is not None:
                components[field] = scored
        else:
            components[field] = _points(_BANDS[field], _rounded(field, float(values[field])))
    total = sum(components.values())
    missing = tuple(field for field in PARAMETERS if field not in components)
    return News2(total, components, missing, bool(missing), _label(total, components))


def _label(total: int, components: Mapping[str, int]) -> Label:
    """The chart's risk word: a total of 7 or more, of 5 or 6, a single parameter of 3, or none of these."""
    if total >= HIGH_FROM:
        return "high"
    if total >= MEDIUM_FROM:
        return "medium"
    return "low-medium" if 3 in components.values() else "low"
