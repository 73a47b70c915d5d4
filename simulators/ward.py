"""Patients in beds: one hidden state each, and the vital signs that follow from it together.

A patient is well or deteriorates by a cause with a severity from 0 to 1. The cause, not each vital sign by
itself, says how heart rate, breathing, saturation, pressure, temperature and consciousness move. Notes are
in `notes.py`, scripts (who deteriorates when) in `world.py`. Everything random comes from the patient's own
generator, so the same seed gives the same readings.

Where the numbers come from:
- resting values of adults and their spread: the "normal" bands of the NEWS2 chart (RCP 2017) and the usual
  rise of systolic pressure with age (about 0.5 mmHg a year, Franklin et al., Circulation 1997);
- circadian rhythm: temperature ±0.3 °C with its peak around 17:30 and pressure 10 % lower at night, heart
  rate ±5 per minute (textbook amplitudes: Refinetti & Menaker 1992; the "dipping" pattern of 24 h pressure);
- sepsis: heart rate about 10 per minute for each °C (Liebermeister's rule, 8 to 18 reported), breathing ≥ 22
  and systolic pressure ≤ 100 with altered mentation (qSOFA, Singer et al., JAMA 2016);
- bleed: the classes of haemorrhage of ATLS (class III: heart rate 120-140, breathing 30-40, pressure falls;
  pressure holds through classes I and II);
- respiratory failure: PaO2 below 60 mmHg is a saturation below about 90 %, breathing above 25-30.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

Cause = Literal["sepsis", "respiratory-failure", "bleed"]
CAUSES: tuple[Cause, ...] = ("sepsis", "respiratory-failure", "bleed")

DRIFT_MINUTES = 25.0
"""Time constant of the slow wandering around a patient's own normal values."""
OXYGEN_BELOW = 92.0
"""Measured saturation (%) at which the ward gives oxygen; the guideline's target begins at 94 %."""
OXYGEN_GAIN = 3.0
"""What oxygen adds to the saturation, in percentage points."""
OXYGEN_OFF_FROM = 97.0
"""Measured saturation (%) on oxygen from which it is taken away again: about 94 % without it."""


@dataclass(frozen=True, slots=True)
class Shift:
    """How far a cause at severity 1 moves each vital sign, and at which severity the mind clouds."""

    hr: float  # per minute
    rr: float  # per minute
    spo2: float  # percentage points
    sbp: float  # mmHg
    dbp: float  # mmHg
    temp: float  # °C
    pressure_holds_until: float  # severity up to which the body keeps its pressure
    confused_from: float  # severity


SHIFTS: Mapping[Cause, Shift] = {
    "sepsis": Shift(42, 12, -6, -36, -24, 2.3, pressure_holds_until=0.3, confused_from=0.7),
    "respiratory-failure": Shift(32, 15, -12, 12, 6, 0.4, pressure_holds_until=0.0, confused_from=0.8),
    "bleed": Shift(58, 14, -3, -48, -26, -0.5, pressure_holds_until=0.4, confused_from=0.75),
}

# Spread of the slow wandering and of a single measurement, in the vital sign's own unit.
_DRIFT = {"hr": 4.0, "rr": 1.0, "spo2": 0.6, "sbp": 5.0, "dbp": 3.0, "temp": 0.1}
_MEASUREMENT = {"hr": 2.0, "rr": 0.9, "spo2": 0.5, "sbp": 3.0, "dbp": 2.5, "temp": 0.08}


@dataclass(frozen=True, slots=True)
class Signs:
    """One full set of measured vital signs, in the contract's units and resolution."""

    hr: int
    rr: int
    spo2: int
    sbp: int
    dbp: int
    temp: float
    acvpu: Literal["A", "C", "V"]
    on_oxygen: bool


class Patient:
    """One patient: age, sex and own normal values drawn from *rng*, and vital signs that follow the state.

    *circadian_peak_hours* moves the daily rhythm; the default has its highest temperature at 17:30.
    """

    def __init__(self, rng: random.Random, *, circadian_peak_hours: float = 17.5) -> None:
        self._rng = rng
        self._peak_hours = circadian_peak_hours
        self.age = round(min(95.0, max(19.0, rng.gauss(58, 19))))
        self.sex: Literal["F", "M"] = rng.choice(("F", "M"))
        self._normal = {
            "hr": _within(rng.gauss(78, 10), 56, 98),
            "rr": _within(rng.gauss(16.5, 1.6), 13, 20),
            "spo2": _within(rng.gauss(96.6, 1.1), 94.5, 99),
            "sbp": _within(rng.gauss(108 + 0.35 * self.age, 8), 112, 150),
            "temp": _within(rng.gauss(36.75, 0.25), 36.2, 37.4),
        }
        self._normal["dbp"] = self._normal["sbp"] * rng.uniform(0.56, 0.64)
        self._drift = {name: rng.gauss(0, spread) for name, spread in _DRIFT.items()}
        self._time_ms: int | None = None
        self.on_oxygen = False

    def measure(self, time_ms: int, cause: Cause | None = None, severity: float = 0.0) -> Signs:
        """All vital signs at *time_ms* (epoch ms, never going back) under *cause* at *severity* (0 to 1)."""
        self._wander(time_ms)
        true = self._true_values(time_ms, cause, severity)
        seen = {name: value + self._rng.gauss(0, _MEASUREMENT[name]) for name, value in true.items()}
        spo2 = round(_within(seen["spo2"], 50, 100))
        self._treat(spo2)
        return Signs(
            hr=round(_within(seen["hr"], 25, 220)),
            rr=round(_within(seen["rr"], 5, 60)),
            spo2=spo2,
            sbp=round(_within(seen["sbp"], 45, 240)),
            dbp=round(_within(min(seen["dbp"], seen["sbp"] - 12), 25, 150)),
            temp=round(_within(seen["temp"], 33, 42), 1),
            acvpu=self._mind(cause, severity),
            on_oxygen=self.on_oxygen,
        )

    def _wander(self, time_ms: int) -> None:
        """First-order autoregression over real time, so that the cadence of measuring does not matter."""
        minutes = 0.0 if self._time_ms is None else max(0, time_ms - self._time_ms) / 60_000
        self._time_ms = time_ms
        keep = math.exp(-minutes / DRIFT_MINUTES)
        for name, spread in _DRIFT.items():
            fresh = self._rng.gauss(0, spread * math.sqrt(1 - keep * keep))
            self._drift[name] = keep * self._drift[name] + fresh

    def _true_values(self, time_ms: int, cause: Cause | None, severity: float) -> dict[str, float]:
        hours = time_ms / 3_600_000 % 24
        day = math.cos(
            (hours - self._peak_hours) / 24 * 2 * math.pi
        )  # 1 in the late afternoon, -1 before dawn
        rhythm: Mapping[str, Callable[[float], float]] = {
            "hr": lambda hr: hr + 4 * day,
            "rr": lambda rr: rr + 0.4 * day,
            "spo2": lambda spo2: spo2 + 0.2 * day,
            "sbp": lambda sbp: sbp * (1 + 0.04 * day),
            "dbp": lambda dbp: dbp * (1 + 0.04 * day),
            "temp": lambda temp: temp + 0.25 * day,
        }
        values = {name: adjust(self._normal[name]) + self._drift[name] for name, adjust in rhythm.items()}
        if cause is not None and severity > 0:
            shift = SHIFTS[cause]
            held = shift.pressure_holds_until
            pressure = max(0.0, severity - held) / (1 - held)
            values["hr"] += shift.hr * severity * _old_heart(self.age)
            values["rr"] += shift.rr * severity
            values["spo2"] += shift.spo2 * severity
            values["sbp"] += shift.sbp * pressure
            values["dbp"] += shift.dbp * pressure
            values["temp"] += shift.temp * severity
        if self.on_oxygen:
            values["spo2"] += OXYGEN_GAIN
        return values

    def _treat(self, spo2: int) -> None:
        if spo2 < OXYGEN_BELOW:
            self.on_oxygen = True
        elif self.on_oxygen and spo2 >= OXYGEN_OFF_FROM:
            self.on_oxygen = False

    @staticmethod
    def _mind(cause: Cause | None, severity: float) -> Literal["A", "C", "V"]:
        if cause is None or severity < SHIFTS[cause].confused_from:
            return "A"
        return "V" if severity > 0.95 and cause != "sepsis" else "C"


def _old_heart(age: float) -> float:
    """Old hearts race less (maximum about 208 - 0.7 × age, Tanaka et al., JACC 2001); 1 at 40 years."""
    return (208 - 0.7 * age) / (208 - 0.7 * 40)


def _within(value: float, low: float, high: float) -> float:
    return min(high, max(low, value))
