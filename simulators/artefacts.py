"""Artefacts: what goes wrong between a patient and the monitor, so that readings no longer tell of the
patient.

Each works on one set of vital signs in the contract's JSON, after it was measured. Spoilt values stay
possible readings (`models.bounds`): nothing is refused for them, which is what makes them worth simulating.
An alert that an artefact raises is a false one. The hidden state of the patient is in `ward.py` and is not
touched.

After the artefacts that cause most false alarms on wards and ICUs: probe and lead off, movement and low
perfusion, cuffs (Cvach, "Monitor alarm fatigue", Biomed Instrum Technol 2012; Drew et al., PLOS ONE 2014).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any, Literal, get_args

ArtefactName = Literal["probe-off", "motion", "cuff-failure", "flat-line", "swapped-leads", "stale-repeat"]
ARTEFACTS: tuple[str, ...] = get_args(ArtefactName)

ARTEFACT_DESCRIPTIONS: Mapping[str, str] = {
    "probe-off": "the finger probe hangs loose: saturation is missing or far too low, nothing else changes",
    "motion": "movement: heart and breathing are over-counted, saturation reads too low",
    "cuff-failure": "the cuff leaks or is too small: pressure is missing, far too low or too high",
    "flat-line": "the electrodes are off: heart rate and breathing read 0",
    "swapped-leads": "electrodes in each other's place: the heart is counted as breaths, and twice or half",
    "stale-repeat": "the monitor sends the same set again and again under new ids",
}
ARTEFACT_FIELDS: Mapping[str, frozenset[str]] = {
    "probe-off": frozenset({"spo2"}),
    "motion": frozenset({"hr", "rr", "spo2"}),
    "cuff-failure": frozenset({"sbp", "dbp"}),
    "flat-line": frozenset({"hr", "rr"}),
    "swapped-leads": frozenset({"hr", "rr"}),
    "stale-repeat": frozenset({"hr", "rr", "spo2", "sbp", "dbp", "temp", "acvpu", "on_oxygen"}),
}
"""The fields that an artefact may change or take away."""

MISSING_SHARE = 0.5
"""Share of a loose probe's and a failed cuff's readings that the monitor itself leaves out."""
HOLD_SHARE = 0.6
"""Chance that the next set goes on as the last one did (spoilt or not): artefacts come in runs."""
MOST_BREATHS = 100
"""The highest rate (per minute) at which a monitor counts breaths."""

Vitals = dict[str, Any]


class Artefact:
    """One artefact at one bed over one stretch of time; *rng* is its own."""

    def __init__(self, what: str, rng: random.Random) -> None:
        spoilers: dict[str, Callable[[Vitals], Vitals]] = {
            "probe-off": self._probe_off,
            "motion": self._motion,
            "cuff-failure": self._cuff_failure,
            "flat-line": self._flat_line,
            "swapped-leads": self._swapped_leads,
            "stale-repeat": self._stale_repeat,
        }
        self.what = what
        self._rng = rng
        self._spoiler = spoilers[what]
        self._at_work = False
        self._held: Vitals = {}
        self._counts_twice = rng.random() < 0.5
        self._cuff_share = rng.choice((0.55, 0.6, 1.35))

    def spoil(self, signs: Mapping[str, Any], severity: float) -> Vitals:
        """*signs* as the monitor sends them; *severity* (0 to 1) is the share of sets that is spoilt."""
        if severity <= 0:
            self._at_work, self._held = False, {}
            return dict(signs)
        if self._rng.random() >= HOLD_SHARE or severity >= 1:
            self._at_work = self._rng.random() < severity
        return self._spoiler(dict(signs)) if self._at_work else dict(signs)

    def _probe_off(self, signs: Vitals) -> Vitals:
        if "spo2" in signs:
            if self._rng.random() < MISSING_SHARE and len(signs) > 1:
                del signs["spo2"]
            else:
                signs["spo2"] = self._rng.randint(48, 84)
        return signs

    def _motion(self, signs: Vitals) -> Vitals:
        if "hr" in signs:
            signs["hr"] = min(230, signs["hr"] + self._rng.randint(15, 60))
        if "rr" in signs:
            signs["rr"] = min(MOST_BREATHS, signs["rr"] + self._rng.randint(4, 20))
        if "spo2" in signs:
            signs["spo2"] = max(60, signs["spo2"] - self._rng.randint(3, 14))
        return signs

    def _cuff_failure(self, signs: Vitals) -> Vitals:
        if self._rng.random() < MISSING_SHARE and set(signs) - {"sbp", "dbp"}:
            signs.pop("sbp", None)
            signs.pop("dbp", None)
            return signs
        share = self._cuff_share * self._rng.uniform(0.92, 1.08)
        for field in ("sbp", "dbp"):
            if field in signs:
                signs[field] = round(min(280, max(20, signs[field] * share)))
        return signs

    def _flat_line(self, signs: Vitals) -> Vitals:
        return signs | {field: 0 for field in ("hr", "rr") if field in signs}

    def _swapped_leads(self, signs: Vitals) -> Vitals:
        if "hr" in signs:
            heart = signs["hr"]
            if "rr" in signs:
                signs["rr"] = max(0, min(MOST_BREATHS, heart + self._rng.randint(-3, 3)))
            wrong = heart * 2 if self._counts_twice else heart // 2
            signs["hr"] = max(15, min(300, wrong + self._rng.randint(-4, 4)))
        return signs

    def _stale_repeat(self, signs: Vitals) -> Vitals:
        for field, value in signs.items():
            self._held.setdefault(field, value)
        return {field: self._held[field] for field in signs}
