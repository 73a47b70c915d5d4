"""Which faults `edgeward chaos` stages and when: pure, the same plan for the same seed."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from gateway.broker import BrokerKind
from models.errors import UsageError


@dataclass(frozen=True, slots=True)
class Fault:
    """One kind of fault."""

    says: str
    every_s: float | None = None
    """Mean seconds between two; None for what holds during the whole run, or happens once."""
    lasts_s: tuple[float, float] = (0.0, 0.0)
    """Shortest and longest, seconds."""
    once: bool = False
    """It happens once: from a quarter of the run to three quarters of it."""


KILL_SECONDS = 5.0
"""Mean time between two SIGKILLs of the gateway: 240 in 20 minutes. It takes half a second to come back."""

FAULTS: dict[str, Fault] = {
    "gateway-kill": Fault("SIGKILL of the gateway", KILL_SECONDS),
    "broker-kill": Fault("SIGKILL of the broker, and its restart", 40.0, (0.0, 2.0)),
    "link-cut": Fault("the gateway's connection reset, and no new one", 20.0, (0.1, 3.0)),
    "link-delay": Fault("50 to 300 ms more each way on the gateway's link", 30.0, (1.0, 5.0)),
    "half-open": Fault("the broker loses the gateway's connection, the gateway is not told", 60.0),
    "reload-good": Fault("SIGHUP with a changed configuration", 25.0),
    "reload-bad": Fault("SIGHUP with a broken configuration", 25.0),
    "disk-full": Fault("the gateway's disk is full (a small tmpfs)", 90.0, (10.0, 60.0)),
    "link-away": Fault("the gateway's link cut for half of the run", once=True),
    "broker-away": Fault("the broker killed, and away for half of the run", once=True),
    "duplicates": Fault("2 % of the readings sent twice"),
    "disorder": Fault("2 % of the readings sent late, after others of their device"),
    "poison": Fault("after 1 % of the readings a message that can't be used"),
    "packet-loss": Fault("5 % of the packets on the gateway's link dropped (nftables)"),
}
DEFAULT = ("gateway-kill", "link-cut", "link-delay", "half-open", "duplicates", "disorder", "poison")
"""What is staged without a list: what every machine can stage, and what costs a broker nothing."""

SETTLED_SECONDS = 2.0
"""No fault before: devices and observer are connected first, and the broker has stored their sessions."""
SPREAD = (0.4, 1.6)
"""Shortest and longest pause, times the mean: a kill also meets a gateway that is still starting."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What to stage."""

    seconds: float
    seed: int = 1
    broker: BrokerKind | None = None
    faults: Sequence[str] = DEFAULT
    rate: float = 420.0
    """Readings a second, in all; 500,000 in 20 minutes."""
    devices: int = 90
    agents: Sequence[str] | None = None
    """Those of the shipped agents to run; None for all."""
    kill_seconds: float = KILL_SECONDS
    """Mean time between two SIGKILLs of the gateway; the other faults come in proportion."""


class Planned(NamedTuple):
    """One fault at its time."""

    at_s: float
    """Seconds after the start."""
    name: str
    seconds: float
    """How long it lasts."""


def checked(names: Sequence[str]) -> tuple[str, ...]:
    """*names*, if there are such faults. Raises UsageError."""
    if unknown := [name for name in names if name not in FAULTS]:
        raise UsageError(f"There is no fault {', '.join(unknown)}: choose from {', '.join(FAULTS)}.")
    return tuple(dict.fromkeys(names))


def plan(
    names: Sequence[str], *, seed: int, seconds: float, kill_seconds: float = KILL_SECONDS
) -> list[Planned]:
    """All faults of a run of *seconds*, in order of time. Each kind has random times of its own.

    *kill_seconds* is the mean time between two kills of the gateway; the others come as much more often or
    more seldom.
    """
    planned = []
    for name in names:
        fault = FAULTS[name]
        if fault.once:
            planned.append(Planned(seconds / 4, name, seconds / 2))
        if fault.every_s is None:
            continue
        rng = random.Random(f"{seed}/{name}")  # noqa: S311 - repeatable, guards nothing
        mean_s = fault.every_s * kill_seconds / KILL_SECONDS
        at_s = SETTLED_SECONDS + mean_s * rng.uniform(0.0, 1.0)
        while at_s < seconds:
            planned.append(Planned(at_s, name, min(rng.uniform(*fault.lasts_s), seconds - at_s)))
            at_s += mean_s * rng.uniform(*SPREAD)
    return sorted(planned)
