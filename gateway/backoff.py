"""How long to wait before a connection is tried again."""

from __future__ import annotations

import random

FIRST_SECONDS = 0.5
LIMIT_SECONDS = 30.0
STABLE_SECONDS = 10.0
"""A connection that lasted so long makes the next pause short again; one that is dropped at once does not."""


class Backoff:
    """Pauses that double up to a limit, spread by *rng* so that gateways do not come back all at once."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self.failures = 0
        """Attempts and short connections in a row."""

    def pause_s(self, lasted_s: float = 0.0) -> float:
        """Seconds to wait, between half of the present ceiling and all of it, after *lasted_s* connected."""
        self.failures = 0 if lasted_s >= STABLE_SECONDS else self.failures + 1
        ceiling = min(LIMIT_SECONDS, FIRST_SECONDS * 2.0 ** min(self.failures, 10))
        return ceiling * (0.5 + self._rng.random() / 2)
