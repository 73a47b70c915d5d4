"""Patients in beds: one hidden state each, and the vital signs that follow from it together.

A patient is well or deteriorates by a cause with a severity from 0 to 1, may be treated, and recovers. The
cause (`causes.py`), not each vital sign by itself, says how heart rate, breathing, saturation, pressure,
temperature and consciousness move. Notes are in `notes.py`, what spoils a reading on its way to the monitor
in `artefacts.py`, scripts (who deteriorates when) in `world.py`. Everything random comes from the patient's
own generator, so the same seed gives the same readings.

Where the numbers come from:
- resting values of adults and their spread: the bands of the NEWS2 chart that score 0 (RCP 2017), held
  against the triage records in `docs/simulators.md`;
- age: systolic pressure rises by about 5 mmHg in ten years, diastolic falls after 60 (Franklin et al.,
  Circulation 1997); mean saturation falls from 96.9 % at 18-24 years to 95.5 % over 64 (the oxygen guideline
  of the British Thoracic Society, 2017), 0.3 points in ten years; who is 60 or older is 0.23 °C cooler
  (Geneva et al., OFID 2019), and fever is 0.15 °C lower for every ten years of age (Roghmann et al., Am J
  Med Sci 2001); hearts race up to 208 - 0.7 × age (Tanaka et al., JACC 2001);
- circadian rhythm: temperature ±0.25 °C with its peak around 17:30 (Refinetti & Menaker 1992), pressure 10 %
  lower at night ("dipping"), heart rate ±4 per minute;
- arousal (talking, walking, resting) moves heart, breathing and pressure together by a few units over
  minutes.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from simulators.causes import CAUSE_DESCRIPTIONS, CAUSES, HARMLESS, SHIFTS, TREATED, Cause, Mind, Shift

__all__ = [
    "CAUSES",
    "CAUSE_DESCRIPTIONS",
    "HARMLESS",
    "SHIFTS",
    "TREATED",
    "Cause",
    "Mind",
    "Patient",
    "Shift",
    "Signs",
]

DRIFT_MINUTES = 25.0
"""Time constant of the slow wandering around a patient's own normal values, and of arousal."""
TREATMENT_MINUTES = 30.0
"""Time constant with which treatment takes hold."""
OXYGEN_BELOW = 92.0
"""Measured saturation (%) at which the ward gives oxygen; the guideline's target begins at 94 %."""
OXYGEN_GAIN = 3.0
"""What oxygen adds to the saturation, in percentage points."""
OXYGEN_OFF_FROM = 96.0
"""Measured saturation (%) on oxygen from which it may be taken away again: about 93 % without it…"""
OXYGEN_KEPT_MINUTES = 60.0
"""…once no measurement has been lower for so long."""
AGES = (19.0, 95.0)
"""Youngest and oldest patient (years) of an adult ward; NEWS2 is not for those under 16."""

# Spread of the slow wandering and of a single measurement, in the vital sign's own unit.
_DRIFT = {"hr": 3.5, "rr": 0.9, "spo2": 0.6, "sbp": 4.0, "dbp": 2.5, "temp": 0.1}
_MEASUREMENT = {"hr": 2.0, "rr": 0.9, "spo2": 0.5, "sbp": 3.0, "dbp": 2.5, "temp": 0.08}
_AROUSAL = {"hr": 2.5, "rr": 0.5, "sbp": 3.5, "dbp": 2.0}


@dataclass(frozen=True, slots=True)
class Signs:
    """One full set of measured vital signs, in the contract's units and resolution."""

    hr: int
    rr: int
    spo2: int
    sbp: int
    dbp: int
    temp: float
    acvpu: Mind
    on_oxygen: bool


class Patient:
    """One patient: age, sex and own normal values drawn from *rng*, and vital signs that follow the state.

    *ages* bounds the age in years (the mean moves with it); *circadian_peak_hours* moves the daily rhythm,
    the default has its highest temperature at 17:30.
    """

    def __init__(
        self,
        rng: random.Random,
        *,
        ages: tuple[float, float] | None = None,
        circadian_peak_hours: float = 17.5,
    ) -> None:
        self._rng = rng
        self._peak_hours = circadian_peak_hours
        low, high = ages or AGES
        middle, spread = (58.0, 19.0) if ages is None else ((low + high) / 2, (high - low) / 4)
        self.age = round(_within(rng.gauss(middle, spread), low, high))
        self.sex: Literal["F", "M"] = rng.choice(("F", "M"))
        age = self.age
        self._normal = {
            "hr": _within(rng.gauss(78, 10), 56, 98),
            "rr": _within(rng.gauss(16.8, 1.6), 13, 20),
            "spo2": _within(rng.gauss(97.4 - 0.03 * max(0, age - 40), 0.9), 94.5, 99),
            "sbp": _within(rng.gauss(102 + 0.5 * age, 16), 103, 185),
            "temp": _within(rng.gauss(36.75 - (0.2 if age >= 60 else 0.0), 0.25), 36.2, 37.4),
        }
        self._normal["dbp"] = self._normal["sbp"] * rng.uniform(0.54, 0.66) * (1 - 0.002 * max(0, age - 60))
        self._drift = {name: rng.gauss(0, spread) for name, spread in _DRIFT.items()}
        self._arousal = rng.gauss(0, 1)
        self._relief = 0.0  # 0 untreated, 1 treatment at work
        self._time_ms: int | None = None
        self.on_oxygen = False
        self._low_ms = 0  # when the saturation was last too low to do without oxygen

    def measure(
        self, time_ms: int, cause: Cause | None = None, severity: float = 0.0, *, treated: bool = False
    ) -> Signs:
        """All vital signs at *time_ms* (epoch ms, never going back) under *cause* at *severity* (0 to 1).

        While *treated*, what is in `TREATED` eases with time, whatever the severity does.
        """
        self._wander(time_ms, treated=treated)
        true = self._true_values(time_ms, cause, severity)
        seen = {name: value + self._rng.gauss(0, _MEASUREMENT[name]) for name, value in true.items()}
        spo2 = round(_within(seen["spo2"], 50, 100))
        self._give_oxygen(time_ms, spo2)
        return Signs(
            hr=round(_within(seen["hr"], 25, 220)),
            rr=round(_within(seen["rr"], 4, 60)),
            spo2=spo2,
            sbp=round(_within(seen["sbp"], 45, 240)),
            dbp=round(_within(min(seen["dbp"], seen["sbp"] - 12), 25, 150)),
            temp=round(_within(seen["temp"], 33, 42), 1),
            acvpu=_mind(cause, severity),
            on_oxygen=self.on_oxygen,
        )

    def _wander(self, time_ms: int, *, treated: bool) -> None:
        """First-order autoregression over real time, so that the cadence of measuring does not matter."""
        minutes = 0.0 if self._time_ms is None else max(0, time_ms - self._time_ms) / 60_000
        self._time_ms = time_ms
        keep = math.exp(-minutes / DRIFT_MINUTES)
        fresh = math.sqrt(1 - keep * keep)
        for name, spread in _DRIFT.items():
            self._drift[name] = keep * self._drift[name] + self._rng.gauss(0, spread * fresh)
        self._arousal = keep * self._arousal + self._rng.gauss(0, fresh)
        held = math.exp(-minutes / TREATMENT_MINUTES)
        self._relief = held * self._relief + (1 - held) * (1.0 if treated else 0.0)

    def _true_values(self, time_ms: int, cause: Cause | None, severity: float) -> dict[str, float]:
        hours = time_ms / 3_600_000 % 24
        # 1 in the late afternoon, -1 before dawn
        day = math.cos((hours - self._peak_hours) / 24 * 2 * math.pi)
        rhythm: Mapping[str, Callable[[float], float]] = {
            "hr": lambda hr: hr + 4 * day,
            "rr": lambda rr: rr + 0.4 * day,
            "spo2": lambda spo2: spo2 + 0.2 * day,
            "sbp": lambda sbp: sbp * (1 + 0.05 * day),
            "dbp": lambda dbp: dbp * (1 + 0.05 * day),
            "temp": lambda temp: temp + 0.25 * day,
        }
        values = {
            name: adjust(self._normal[name]) + self._drift[name] + _AROUSAL.get(name, 0.0) * self._arousal
            for name, adjust in rhythm.items()
        }
        if cause is not None and severity > 0:
            for name, shift in self._shifts(cause, severity).items():
                values[name] += shift
        if self.on_oxygen:
            values["spo2"] += OXYGEN_GAIN
        return values

    def _shifts(self, cause: Cause, severity: float) -> dict[str, float]:
        """What *cause* adds to each vital sign of this patient now."""
        shift = SHIFTS[cause]
        held = shift.pressure_holds_until
        pressure = max(0.0, severity - held) / (1 - held)
        shifts = {
            "hr": shift.hr * severity * (_old_heart(self.age) if shift.hr > 0 else 1.0),
            "rr": shift.rr * severity,
            "spo2": shift.spo2 * severity,
            "sbp": shift.sbp * pressure,
            "dbp": shift.dbp * pressure,
            "temp": shift.temp * severity * (_old_fever(self.age) if shift.temp > 0 else 1.0),
        }
        left = TREATED[cause]
        return {
            name: value * (1 - self._relief * (1 - left.get(name, 1.0))) for name, value in shifts.items()
        }

    def _give_oxygen(self, time_ms: int, spo2: int) -> None:
        if spo2 < OXYGEN_OFF_FROM:
            self._low_ms = time_ms
        if spo2 < OXYGEN_BELOW:
            self.on_oxygen = True
        elif time_ms - self._low_ms >= OXYGEN_KEPT_MINUTES * 60_000:
            self.on_oxygen = False


def _mind(cause: Cause | None, severity: float) -> Mind:
    """The letter of ACVPU: the deepest whose severity is reached."""
    letter: Mind = "A"
    for reached, deeper in SHIFTS[cause].mind if cause is not None else ():
        if severity >= reached:
            letter = deeper
    return letter


def _old_heart(age: float) -> float:
    """Old hearts race less (maximum about 208 - 0.7 × age); 1 at 40 years."""
    return (208 - 0.7 * age) / (208 - 0.7 * 40)


def _old_fever(age: float) -> float:
    """Old people's fever is lower: 1 up to 60 years, 0.75 at 90."""
    return 1 - 0.25 * _within((age - 60) / 30, 0, 1)


def _within(value: float, low: float, high: float) -> float:
    return min(high, max(low, value))
