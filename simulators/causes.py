"""Why patients get worse: the causes, what each does to the vital signs, and how NEWS2 must move under it.

Data only; `ward.py` plays them. `docs/simulators.md` has the same numbers as a table. Where they come from:

- sepsis: heart rate about 10 per minute for each °C (Liebermeister's rule, 8 to 18 reported), breathing ≥ 22
  and systolic pressure ≤ 100 with altered mentation (qSOFA, Singer et al., JAMA 2016); early sepsis keeps its
  pressure;
- respiratory failure: PaO2 below 60 mmHg is a saturation below about 90 %, breathing above 25 to 30, the
  heart and the pressure driven up; confusion with the rising CO2 comes late;
- bleed: the classes of haemorrhage of ATLS (class III: heart rate 120 to 140, breathing 30 to 40, pressure
  falls; pressure holds through classes I and II);
- opioid: 12 breaths a minute or fewer with stupor point to the poisoning (Boyer, NEJM 2012); the saturation
  follows the breathing, heart and pressure fall a little;
- heart failure: acute pulmonary oedema with high pressure, breathing above 25, saturation below 90 % (ESC
  guideline 2021, its criteria of respiratory failure);
- arrhythmia: a fast rhythm around 150 per minute that the body no longer bears: falling pressure,
  breathlessness and clouding mind (the adverse features of the Resuscitation Council UK's tachycardia
  algorithm, 2021);
- pain and fever after an operation: arousal and a raised temperature with Liebermeister's heart rate. They
  move the score a little and call for no alert.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

Cause = Literal[
    "sepsis", "respiratory-failure", "bleed", "opioid", "heart-failure", "arrhythmia", "pain", "fever"
]
CAUSES: tuple[Cause, ...] = get_args(Cause)
HARMLESS: frozenset[Cause] = frozenset({"pain", "fever"})
"""Causes that move vital signs but call for no alert: one raised under them is false."""

Mind = Literal["A", "C", "V", "P", "U"]


@dataclass(frozen=True, slots=True)
class Shift:
    """How far a cause at severity 1 moves each vital sign, and at which severity the mind clouds."""

    hr: float  # per minute
    rr: float  # per minute
    spo2: float  # percentage points
    sbp: float  # mmHg
    dbp: float  # mmHg
    temp: float  # °C
    pressure_holds_until: float = 0.0
    """Severity up to which the body keeps its pressure."""
    mind: tuple[tuple[float, Mind], ...] = ()
    """From which severity on which letter of ACVPU, rising."""


SHIFTS: Mapping[Cause, Shift] = {
    "sepsis": Shift(42, 12, -6, -40, -26, 2.3, pressure_holds_until=0.3, mind=((0.7, "C"),)),
    "respiratory-failure": Shift(32, 15, -12, 12, 6, 0.4, mind=((0.8, "C"), (0.95, "V"))),
    "bleed": Shift(58, 14, -2, -54, -28, -0.5, pressure_holds_until=0.4, mind=((0.75, "C"), (0.95, "V"))),
    "opioid": Shift(-12, -10, -13, -16, -9, -0.3, mind=((0.45, "V"), (0.92, "P"))),
    "heart-failure": Shift(34, 13, -11, 30, 14, 0.0, mind=((0.85, "C"),)),
    "arrhythmia": Shift(76, 7, -2, -44, -18, 0.0, pressure_holds_until=0.2, mind=((0.8, "C"), (0.97, "V"))),
    "pain": Shift(16, 5, 0, 20, 10, 0.1),
    "fever": Shift(15, 3, 0, -4, -2, 2.2),
}

TREATED: Mapping[Cause, Mapping[str, float]] = {
    "sepsis": {"temp": 0.5, "sbp": 0.5, "dbp": 0.5, "hr": 0.8},  # antipyretics, fluids
    "respiratory-failure": {"rr": 0.7, "spo2": 0.6, "hr": 0.8},  # ventilatory support
    "bleed": {"sbp": 0.5, "dbp": 0.5, "hr": 0.7},  # volume and blood
    "opioid": {"rr": 0.2, "spo2": 0.3},  # naloxone works within minutes
    "heart-failure": {"sbp": 0.3, "rr": 0.6, "spo2": 0.5},  # nitrates, diuretics
    "arrhythmia": {"hr": 0.4, "sbp": 0.5},  # the rate controlled
    "pain": {"hr": 0.4, "rr": 0.4, "sbp": 0.4, "dbp": 0.4},  # analgesia
    "fever": {"temp": 0.4, "hr": 0.5},  # antipyretics
}
"""Share of a shift that is left once treatment works; what is not named stays whole. Rough clinical sense,
not taken from a source: it only makes treated patients recover in another order than they fell ill."""


@dataclass(frozen=True, slots=True)
class Expectation:
    """How NEWS2 must move under a cause: bands for the median over patients, and what carries the points."""

    half: tuple[int, int]
    """Lowest and highest median total at severity 0.5."""
    full: tuple[int, int]
    """The same at severity 1."""
    led_by: tuple[str, ...]
    """The NEWS2 parameters that each rise by a point or more on average between well and severity 1."""
    words: str


EXPECTATIONS: Mapping[Cause, Expectation] = {
    "sepsis": Expectation(
        (4, 8),
        (11, 17),
        ("rr", "spo2", "on_oxygen", "sbp", "hr", "acvpu", "temp"),
        "everything moves, pressure and mind late",
    ),
    "respiratory-failure": Expectation(
        (5, 9), (11, 16), ("rr", "spo2", "on_oxygen", "hr", "acvpu"), "breathing, saturation and oxygen lead"
    ),
    "bleed": Expectation(
        (2, 6), (9, 15), ("rr", "sbp", "hr", "acvpu"), "the heart first, pressure gives way late"
    ),
    "opioid": Expectation(
        (5, 10), (9, 14), ("rr", "spo2", "on_oxygen", "acvpu"), "breathing fails and the mind clouds early"
    ),
    "heart-failure": Expectation(
        (5, 9),
        (10, 15),
        ("rr", "spo2", "on_oxygen", "hr", "acvpu"),
        "as in respiratory failure, pressure high",
    ),
    "arrhythmia": Expectation(
        (2, 5), (8, 13), ("rr", "sbp", "hr", "acvpu"), "the heart leads, then pressure"
    ),
    "pain": Expectation(
        (0, 2), (1, 4), ("rr",), "a little, by heart and breathing; never to an alert by itself"
    ),
    "fever": Expectation((0, 2), (2, 5), ("temp",), "a little, by temperature and heart; no alert is due"),
}


def _description(cause: Cause) -> str:
    expected = EXPECTATIONS[cause]
    half, full = (f"{low} to {high}" for low, high in (expected.half, expected.full))
    return f"NEWS2 (median) {half} at severity 0.5, {full} at severity 1: {expected.words}"


CAUSE_DESCRIPTIONS: Mapping[str, str] = {cause: _description(cause) for cause in CAUSES}
"""How NEWS2 moves under each cause, in words and figures; a test holds them."""
