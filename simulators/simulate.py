"""`edgeward simulate`: a scenario's messages to a broker, and its truth to a file."""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

from models.errors import UsageError
from simulators.access import BrokerAccess
from simulators.client import Sessions
from simulators.play import POOL, TOPIC, Outgoing, Summary, checked_site, checked_speed, send_all
from simulators.scenario import load_scenario
from simulators.world import World


def simulate(
    scenario: str,
    access: BrokerAccess,
    *,
    speed: float | None = 1.0,
    seed: int | None = None,
    site: str | None = None,
    truth_path: Path | None = None,
    start: str | None = None,
    stop: Callable[[], bool],
    say: Callable[[str], None],
) -> Summary:
    """Plays *scenario* (a shipped name or a TOML file) to the broker of *access*.

    *stop* ends it within two seconds. *speed* is times real time (None or 0: as fast as the broker takes it).
    *seed* and *start* (RFC 3339 or `now`) default to the scenario's own. *site* defaults to a name that is
    new in each run, so that a second run is no repeat; payloads do not depend on it. The truth goes to
    *truth_path* before the first message.
    Raises `ConfigRefused`, `UsageError`, `BrokerRefused`; a broker that is away is said and tried again.
    """
    speed = checked_speed(speed)
    name, loaded = load_scenario(scenario)
    world = World(name, loaded, seed=seed, start_ms=start_ms(start))
    site = checked_site(site) if site is not None else f"sim-{secrets.token_hex(3)}"
    if truth_path is not None:
        try:
            world.truth(site).write(truth_path)
        except OSError as error:
            raise UsageError(f"The truth can't be written to {truth_path}: {error.strerror}.") from error
    client_id = f"edgeward-sim-{secrets.token_hex(4)}"
    with Sessions(access, count=POOL, client_id=client_id, rng=random.Random(), say=say) as sessions:
        return send_all(schedule(world, site, speed), sessions, site=site, stop=stop)


def schedule(world: World, site: str, speed: float | None) -> Iterator[Outgoing]:
    """The world's messages with their topics and when they are due, at *speed* times real time."""
    for message in world.messages():
        due_s = 0.0 if speed is None else (message.time_ms - world.start_ms) / 1000 / speed
        topic = TOPIC.format(site=site, device=message.device, kind=message.kind)
        yield Outgoing(due_s, message.device, topic, message.body, message.payload["id"])


def start_ms(start: str | None) -> int | None:
    """Epoch ms of *start*: RFC 3339 with an offset, or `now`; None stays None. Raises `UsageError`."""
    if start is None:
        return None
    if start == "now":
        return time.time_ns() // 1_000_000
    try:
        moment = datetime.fromisoformat(start)
    except ValueError as error:
        raise UsageError("A start is `now` or a time like 2026-03-02T08:00:00Z.") from error
    if moment.tzinfo is None:
        raise UsageError("A start needs its offset, as in 2026-03-02T08:00:00Z.")
    return round(moment.timestamp() * 1000)
