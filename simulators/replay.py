"""`edgeward replay`: a dataset's rows as the messages they could have been, to a broker or a recording."""

from __future__ import annotations

import json
import os
import random
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from models.datasets import registry
from models.errors import UsageError
from simulators.access import BrokerAccess
from simulators.client import Sessions
from simulators.play import POOL, TOPIC, Outgoing, Summary, checked_site, checked_speed, send_all

MS_PER_HOUR = 3_600_000


class Arrival(NamedTuple):
    """One row on its way: when it arrives on the dataset's clock, and what it then says."""

    time_ms: int
    device: str
    topic: str
    payload: str
    input_id: str


def replay(
    dataset: str,
    *,
    data_directory: Path,
    access: BrokerAccess | None = None,
    output: Path | None = None,
    speed: float | None = None,
    rate: float | None = None,
    devices: int | Sequence[str] | None = None,
    hours: float | None = None,
    disorder_hours: float = 0.0,
    seed: int = 0,
    site: str | None = None,
    stop: Callable[[], bool],
    say: Callable[[str], None],
) -> Summary:
    """Sends *dataset* to the broker of *access*, or writes it to *output* as a recording: one of them.

    Messages go out in order of arrival: at *rate* a second, or at *speed* times the time between the rows;
    with neither as fast as the broker takes them. *devices*, *hours*, *disorder_hours* and *seed* are those
    of `arrivals`; *site* defaults to the dataset's name. Raises `UsageError`, `DataMissing`, `BrokerRefused`.
    """
    speed = checked_speed(speed)
    if speed is not None and rate is not None:
        raise UsageError("A replay has a speed or a rate, not both.")
    if rate is not None and not 0 < rate < float("inf"):
        raise UsageError("A rate is a number of messages a second, above 0.")
    site = checked_site(site or dataset)
    rows = registry.rows(dataset, data_directory)
    on_the_way = arrivals(
        rows, site=site, devices=devices, hours=hours, disorder_hours=disorder_hours, seed=seed
    )
    if (access is None) == (output is None):
        raise UsageError("A replay goes to a broker or to a file, one of them.")
    if output is not None:
        return _record(on_the_way, output, site, stop)
    assert access is not None  # noqa: S101 - the other half of the check above
    client_id = f"edgeward-replay-{secrets.token_hex(4)}"
    with Sessions(access, count=POOL, client_id=client_id, rng=random.Random(), say=say) as sessions:
        return send_all(_schedule(on_the_way, speed, rate), sessions, site=site, stop=stop)


def arrivals(
    rows: Iterable[registry.Row],
    *,
    site: str,
    devices: int | Sequence[str] | None = None,
    hours: float | None = None,
    disorder_hours: float = 0.0,
    seed: int = 0,
) -> list[Arrival]:
    """The rows as messages, in order of arrival; those of one instant stay in the dataset's order.

    *devices* are the first so many, or those named; *hours* keeps each device's first hours, counted from its
    first row. Without *disorder_hours* a row arrives at its own time; with it up to that much later, drawn
    evenly by *seed*, so that rows overtake each other. All are held in memory: about 0.5 KB a row. Raises
    `UsageError` when a device that was named isn't there.
    """
    rng = random.Random(seed)
    named = None if devices is None or isinstance(devices, int) else set(devices)
    limit = devices if isinstance(devices, int) else None
    first_ms: dict[str, int] = {}
    found: list[Arrival] = []
    for row in rows:
        if row.device not in first_ms:
            if (named is not None and row.device not in named) or len(first_ms) == limit:
                continue
            first_ms[row.device] = row.time_ms
        if hours is not None and row.time_ms - first_ms[row.device] >= hours * MS_PER_HOUR:
            continue
        late_ms = round(rng.uniform(0, disorder_hours * MS_PER_HOUR)) if disorder_hours else 0
        payload = json.dumps(
            {"id": row.id, "time": row.time_ms, **row.payload}, ensure_ascii=False, separators=(",", ":")
        )
        topic = TOPIC.format(site=site, device=row.device, kind=row.kind)
        found.append(Arrival(row.time_ms + late_ms, row.device, topic, payload, row.id))
    if named is not None and (absent := sorted(named - first_ms.keys())):
        raise UsageError(f"The dataset has no device {', '.join(absent)}.")
    found.sort(key=lambda arrival: arrival.time_ms)
    return found


def _schedule(on_the_way: Sequence[Arrival], speed: float | None, rate: float | None) -> Iterator[Outgoing]:
    for index, arrival in enumerate(on_the_way):
        due_s = 0.0
        if rate is not None:
            due_s = index / rate
        elif speed is not None:
            due_s = (arrival.time_ms - on_the_way[0].time_ms) / 1000 / speed
        yield Outgoing(due_s, arrival.device, arrival.topic, arrival.payload.encode(), arrival.input_id)


def _record(on_the_way: Sequence[Arrival], output: Path, site: str, stop: Callable[[], bool]) -> Summary:
    """Writes the recording beside *output* first, so that a half-written one never stands there."""
    start_s = time.monotonic()
    unfinished = output.with_name(f".{output.name}.{os.getpid()}")
    written = 0
    try:
        with unfinished.open("w", encoding="utf-8") as file:
            for arrival in on_the_way:
                if stop():
                    return Summary(site, written, None, time.monotonic() - start_s, finished=False)
                line = {"topic": arrival.topic, "time": arrival.time_ms, "payload": arrival.payload}
                file.write(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n")
                written += 1
        unfinished.replace(output)
    except OSError as error:
        raise UsageError(f"The recording can't be written to {output}: {error.strerror}.") from error
    finally:
        unfinished.unlink(missing_ok=True)
    return Summary(site, written, None, time.monotonic() - start_s, finished=True)
