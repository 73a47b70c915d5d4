"""What a machine's normal is: mean, spread and covariance of its channels, and how far a reading lies from
them.

The distances are textbook ones of multivariate process control: Hotelling's T² within the principal
components that carry most of the normal variance, Q (squared prediction error) outside them (Jackson and
Mudholkar 1979), exponentially weighted means of both kinds (Lowry et al. 1992), largest single deviations,
and rates of change. Each is taken relative to what it reached on the machine's own normal start, on a
logarithmic scale: so the vector means the same for a pump with eight channels and a room with three.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from models.frames import pack, unpack

Numbers = npt.NDArray[np.float64]

CHANNEL_LIMIT = 64
"""Channels that are learnt; a reading's further ones are passed over (the contract allows no more)."""
READINGS_LEAST = 30
"""Readings without which no covariance is worth anything."""
NEWEST_LIMIT = 512
"""Normal readings kept while learning, the newest; mean and covariance are of all of them."""
PRESENT_SHARE = 0.5
"""A channel belongs to the normal when at least this share of the learning readings had it."""
VARIANCE_KEPT = 0.85
"""Share of the normal variance that the principal components carry; the rest is Q's. The value of the
published T² + Q of SKAB's leaderboard (waico/SKAB, `core/t2.py`); with more, Q rests on directions too thin
to last.
"""
SPREAD_LEAST = 2e-3
"""Least standard deviation, as a share of the mean's size: a channel that stood still may move so much."""
SMOOTH_SLOW, SMOOTH_FAST, SMOOTH_CHANGE = 0.05, 0.2, 0.1
"""Weights of the newest reading in the exponentially weighted means."""
LOG_LIMIT = 6.0
"""Logarithms of ratios are cut here: e⁶ is 400 times the normal."""
QUANTILE = 0.99
"""Of a distance on the normal start: what the distance is compared with."""

DISTANCES = (
    "t2",
    "q",
    "z_first",
    "z_second",
    "z_mean",
    "slow",
    "fast",
    "smooth_t2",
    "smooth_q",
    "change",
    "restless",
    "quiet",
)
"""Named in the order of `Normal._distances`; `quiet` alone falls with the fault (a stuck sensor)."""
_QUIET = DISTANCES.index("quiet")
FEATURES = (*DISTANCES, "log_z", "log_t2", "log_q", "held_t2", "held_q", "beyond_3", "silent", "new")
"""Names of a vector's entries: log ratios to the normal start, three plain logarithms, two smoothed log
ratios, and the shares of channels beyond three standard deviations, silent, and new.
"""

_KEPT = (
    "mean",
    "spread",
    "axes",
    "variances",
    "step_spread",
    "before",
    "slow",
    "fast",
    "changes",
    "held",
    "reference",
)
"""The arrays that a `Normal` is made of."""

_TINY = 1e-6
_VARIANCE_LEAST = 1e-3
"""Least variance of a component, of 1 a channel: no machine is so exactly linear."""
_STEP_LEAST = 1e-2
"""Least spread of a channel's steps, in its standard deviations."""


class Learner:
    """Collects normal readings: running mean and covariance (Welford), and the newest in order of arrival."""

    __slots__ = ("_comoment", "_count", "_mean", "_newest", "_place", "readings")

    def __init__(self) -> None:
        self.readings = 0
        """Readings with at least one channel."""
        self._place: dict[str, int] = {}
        self._count = np.zeros(0)
        self._mean = np.zeros(0)
        self._comoment = np.zeros((0, 0))
        self._newest: deque[Mapping[str, float]] = deque(maxlen=NEWEST_LIMIT)

    @property
    def enough(self) -> bool:
        """Whether a normal can be made."""
        return self.readings >= READINGS_LEAST

    def add(self, values: Mapping[str, float]) -> None:
        """Take one reading, channel to number; an empty one is passed over."""
        for name in sorted(values):
            if name not in self._place and len(self._place) < CHANNEL_LIMIT:
                self._place[name] = len(self._place)
        known = {name: value for name, value in values.items() if name in self._place}
        if not known:
            return
        self.readings += 1
        self._newest.append(known)
        new = len(self._place) - len(self._mean)
        if new:
            self._count = np.pad(self._count, (0, new))
            self._mean = np.pad(self._mean, (0, new))
            self._comoment = np.pad(self._comoment, (0, new))
        row = np.array([known.get(name, np.nan) for name in self._place])
        present = ~np.isnan(row)
        self._count += present
        before = np.where(present, row - self._mean, 0.0)
        self._mean += before / np.maximum(self._count, 1)
        after = np.where(present, row - self._mean, 0.0)
        self._comoment += np.outer(before, after)

    def dump(self) -> bytes:
        """All that is learnt so far: what `load` makes of it goes on exactly alike."""
        newest = [[reading.get(name, np.nan) for name in self._place] for reading in self._newest]
        return pack(
            "sensor-learner",
            1,
            {"readings": self.readings, "channels": list(self._place)},
            {
                "count": self._count,
                "mean": self._mean,
                "comoment": self._comoment,
                "newest": np.array(newest, np.float64).reshape(len(newest), len(self._place)),
            },
        )

    @classmethod
    def load(cls, raw: bytes) -> Learner:
        """The learner that `dump` wrote. Raises SnapshotRefused."""
        facts, arrays = unpack(raw, "sensor-learner", 1)
        learner = cls()
        learner.readings = facts["readings"]
        learner._place = {name: place for place, name in enumerate(facts["channels"])}
        learner._count, learner._mean = arrays["count"], arrays["mean"]
        learner._comoment = arrays["comoment"]
        for row in arrays["newest"].tolist():
            known = zip(learner._place, row, strict=True)
            learner._newest.append({name: value for name, value in known if value == value})
        return learner

    def normal(self) -> Normal:
        """The normal that the readings so far make, of the channels that at least half of them had."""
        names = [name for name, at in self._place.items() if self._count[at] >= PRESENT_SHARE * self.readings]
        names = sorted(names or self._place)  # sorted, so that a publisher's order of keys changes nothing
        places = [self._place[name] for name in names]
        count = self._count[places]
        covariance = self._comoment[np.ix_(places, places)] / np.minimum.outer(count, count)
        newest = np.array([[reading.get(name, np.nan) for name in names] for reading in self._newest])
        return Normal(names, self._mean[places], (covariance + covariance.T) / 2, newest)


class Normal:
    """A learnt normal, and the smoothed state of the machine since.

    *mean* is [channels], *covariance* [channels, channels], *newest* the last learning readings in order,
    [n, channels] with NaN for missing: on them each distance learns what it reaches normally.
    """

    def __init__(self, names: list[str], mean: Numbers, covariance: Numbers, newest: Numbers) -> None:
        self._names = names
        self._known = frozenset(names)
        self._mean = mean
        least = SPREAD_LEAST * np.abs(mean) + _TINY
        self._spread = np.maximum(np.sqrt(np.maximum(np.diag(covariance), 0.0)), least)
        values, vectors = np.linalg.eigh(covariance / np.outer(self._spread, self._spread))
        values, vectors = np.maximum(values[::-1], 0.0), vectors[:, ::-1]
        shares = np.cumsum(values) / max(float(values.sum()), _TINY)
        kept = min(int(np.searchsorted(shares, VARIANCE_KEPT)) + 1, len(names))
        # Contiguous, as they are after `load`: what a product rounds to depends on how a matrix lies.
        self._axes = np.ascontiguousarray(vectors[:, :kept])
        self._variances = np.maximum(values[:kept], _VARIANCE_LEAST)
        self._rest = max(float(values[kept:].sum()), _VARIANCE_LEAST * len(names))
        scaled = self._scaled(newest)
        self._step_spread = np.maximum(np.diff(scaled, axis=0).std(axis=0), _STEP_LEAST)
        size = len(names)
        self._before = scaled[0]
        self._slow = np.zeros(size)
        self._fast = np.zeros(size)
        self._changes = np.ones(size)
        self._held = np.full(2, -1.0)
        normal = np.array([self._distances(row) for row in scaled])
        self._reference = np.quantile(normal, QUANTILE, axis=0)
        self._reference[_QUIET] = np.quantile(normal[:, _QUIET], 1 - QUANTILE)

    def dump(self) -> bytes:
        """The normal and the smoothed state: what `load` makes of it describes exactly alike."""
        arrays = {name: getattr(self, f"_{name}") for name in _KEPT}
        return pack("sensor-normal", 1, {"channels": self._names, "rest": self._rest}, arrays)

    @classmethod
    def load(cls, raw: bytes) -> Normal:
        """The normal that `dump` wrote. Raises SnapshotRefused."""
        facts, arrays = unpack(raw, "sensor-normal", 1)
        normal = cls.__new__(cls)  # what `__init__` works out is what was kept
        normal._names = facts["channels"]
        normal._known = frozenset(normal._names)
        normal._rest = facts["rest"]
        for name in _KEPT:
            setattr(normal, f"_{name}", arrays[name])
        return normal

    def describe(self, values: Mapping[str, float]) -> npt.NDArray[np.float32]:
        """Where one reading, channel to number, stands: float32 [F], named by `FEATURES`."""
        row = np.array([values.get(name, np.nan) for name in self._names], np.float64)
        silent = float(np.isnan(row).mean())
        new = sum(name not in self._known for name in values) / max(1, len(values))
        scaled = self._scaled(row)
        distances = self._distances(scaled)
        ratios = np.clip(np.log((distances + _TINY) / (self._reference + _TINY)), -LOG_LIMIT, LOG_LIMIT)
        self._held += SMOOTH_CHANGE * (ratios[:2] - self._held)
        plain = np.clip(np.log(distances[[2, 0, 1]] + _TINY), -LOG_LIMIT, LOG_LIMIT)
        shares = [float((np.abs(scaled) > 3).mean()), silent, new]
        return np.concatenate((ratios, plain, self._held, shares)).astype(np.float32)

    def _scaled(self, values: Numbers) -> Numbers:
        """Deviations from the mean in standard deviations; 0 where nothing was read."""
        # Cut far beyond what any distance tells apart, and small enough to be squared.
        cut = np.clip((values - self._mean) / self._spread, -1e6, 1e6)
        filled: Numbers = np.nan_to_num(cut, nan=0.0)
        return filled

    def _distances(self, scaled: Numbers) -> Numbers:
        """The `DISTANCES` of one row of deviations, [channels]; moves the smoothed state on by a reading."""
        change = (scaled - self._before) / self._step_spread
        self._before = scaled
        self._slow += SMOOTH_SLOW * (scaled - self._slow)
        self._fast += SMOOTH_FAST * (scaled - self._fast)
        self._changes += SMOOTH_CHANGE * (np.minimum(change * change, 1e6) - self._changes)
        largest = np.sort(np.abs(scaled))[::-1]
        t2, q = self._t2_and_q(scaled)
        smooth_t2, smooth_q = self._t2_and_q(self._fast)
        return np.array(
            [
                t2,
                q,
                largest[0],
                largest[min(1, len(largest) - 1)],
                largest.mean(),
                np.abs(self._slow).max(),
                np.abs(self._fast).max(),
                smooth_t2,
                smooth_q,
                np.abs(change).max(),
                self._changes.max(),
                self._changes.min(),
            ]
        )

    def _t2_and_q(self, scaled: Numbers) -> tuple[float, float]:
        """T² per component kept, and Q relative to its mean on the normal start."""
        scores = scaled @ self._axes
        t2 = float((scores * scores / self._variances).sum()) / len(self._variances)
        return t2, max(0.0, float(scaled @ scaled - scores @ scores)) / self._rest
