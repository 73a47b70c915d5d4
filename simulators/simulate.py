"""`edgeward simulate`: a scenario's messages to a broker, and its truth to a file."""

from __future__ import annotations

import random
import re
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import chain
from pathlib import Path

from models.errors import UsageError
from simulators.access import BrokerAccess
from simulators.client import Sessions
from simulators.digest import Digest
from simulators.messages import Cut
from simulators.path import FaultyPath
from simulators.play import POOL, TOPIC, Break, Outgoing, Summary, checked_site, checked_speed, send_all
from simulators.resources import allow_sessions, lasting
from simulators.scenario import load_scenario
from simulators.truth import Truth
from simulators.world import World

MOST_SESSIONS = 2_000
"""Sessions in one process; more devices than that share some."""
MANY_DEVICES = 5_000
"""So many take seconds to set up, and it is said."""
PER_DEVICE = "per-device"
_POOLED = re.compile(r"pooled(?::([0-9]{1,6}))?")

Shows = Callable[[int, int], None]
"""Gets the number of messages sent and the world's time, epoch ms, after each message."""
Progress = Callable[[str, int, int], Shows]
"""Gets the scenario's name, its start and its end (epoch ms) and gives what shows how far it has come."""


def simulate(
    scenario: str,
    access: BrokerAccess,
    *,
    speed: float | None = 1.0,
    seed: int | None = None,
    site: str | None = None,
    truth_path: Path | None = None,
    start: str | None = None,
    devices: int | None = None,
    sessions: str = "pooled",
    stop: Callable[[], bool],
    say: Callable[[str], None],
    progress: Progress = lambda _name, _start_ms, _end_ms: _show_nothing,
) -> Summary:
    """Plays *scenario* (a shipped name or a TOML file) to the broker of *access*.

    *stop* ends it within two seconds. *speed* is times real time (None or 0: as fast as the broker takes it).
    *seed* and *start* (RFC 3339 or `now`) default to the scenario's own. *site* defaults to a name that is
    new in each run, so that a second run is no repeat; payloads do not depend on it. *devices* multiplies
    beds and machines. *sessions* is `per-device`, `pooled` or `pooled:N`. The truth goes to *truth_path*
    before the first message, and once more, with what the path did, after the last.
    Raises `ConfigRefused`, `UsageError`, `BrokerRefused`; a broker that is away is said and tried again.
    """
    speed = checked_speed(speed)
    name, loaded = load_scenario(scenario)
    world = World(name, loaded, seed=seed, start_ms=start_ms(start), devices=devices)
    site = checked_site(site) if site is not None else f"sim-{secrets.token_hex(3)}"
    keys, count = session_plan(sessions, world)
    allow_sessions(len(keys or ()) or count)
    truth = None
    if truth_path is not None:
        truth = world.truth(site)
        _write(truth, truth_path)
    path = world.path()
    digest = Digest()
    sent = 0
    reached_ms = world.start_ms
    shows = progress(name, world.start_ms, world.end_ms)

    def on_sent(message: Outgoing, _at_s: float) -> None:
        nonlocal sent, reached_ms
        sent, reached_ms = sent + 1, message.time_ms
        digest.add(message.device, message.topic.rpartition("/")[2], message.payload)
        shows(sent, reached_ms)

    outgoing = schedule(world, site, speed, path=path, stop=stop)
    if len(world.devices) >= MANY_DEVICES:
        say(f"Setting up {len(world.devices):,} devices.")
        outgoing = begun(outgoing)
    with Sessions(
        access,
        count=count,
        keys=keys,
        client_id=f"edgeward-sim-{secrets.token_hex(4)}",
        rng=random.Random(),
        say=say,
    ) as opened:
        summary = send_all(outgoing, opened, site=site, stop=stop, on_sent=on_sent)
    if truth is not None and truth_path is not None:
        played = truth if summary.finished else truth.until(reached_ms)
        _write(replace(played, path=path.summary()), truth_path)
    return replace(summary, digest=digest.hexdigest())


def schedule(
    world: World,
    site: str,
    speed: float | None,
    *,
    path: FaultyPath | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> Iterator[Outgoing | Break]:
    """The world's messages with their topics and when they are due, at *speed* times real time.

    They go by *path*, which counts them. *stop* is looked at while many devices are set up.
    """
    for each in world.played(path or world.path(), stop):
        due_s = 0.0 if speed is None else (each.time_ms - world.start_ms) / 1000 / speed
        if isinstance(each, Cut):
            yield Break(due_s, each.sender)
            continue
        topic = TOPIC.format(site=site, device=each.device, kind=each.kind)
        yield Outgoing(due_s, each.device, topic, each.body, each.input_id, each.sender, each.time_ms)


def begun(outgoing: Iterator[Outgoing | Break]) -> Iterator[Outgoing | Break]:
    """*outgoing* with its first message made, and so all devices set up, which takes seconds in which no
    session could be kept alive. They stay in memory until the process ends.
    """
    with lasting(outgoing):
        first = next(outgoing, None)
    return outgoing if first is None else chain((first,), outgoing)


def session_plan(sessions: str, world: World) -> tuple[Sequence[str] | None, int]:
    """The devices with a session of their own, or how many sessions are shared. Raises `UsageError`.

    People at an emergency department's door have no device of their own: with sessions per device they share.
    """
    if sessions == PER_DEVICE:
        if not 0 < len(world.devices) <= MOST_SESSIONS:
            raise UsageError(
                f"Sessions per device are for 1 to {MOST_SESSIONS} beds and machines, not "
                f"{len(world.devices)}: use --sessions pooled:N."
            )
        return world.devices, 0
    if (found := _POOLED.fullmatch(sessions)) is None:
        raise UsageError("Sessions are per-device, pooled, or pooled:N.")
    count = POOL if found.group(1) is None else int(found.group(1))
    if not 1 <= count <= MOST_SESSIONS:
        raise UsageError(f"A pool has 1 to {MOST_SESSIONS} sessions.")
    return None, count


def _show_nothing(_sent: int, _time_ms: int) -> None:
    """Where nobody looks."""


def _write(truth: Truth, path: Path) -> None:
    try:
        truth.write(path)
    except OSError as error:
        raise UsageError(f"The truth can't be written to {path}: {error.strerror}.") from error


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
