"""`edgeward replay`: a dataset's rows as the messages they could have been, to a broker or a recording; and a
recording's inputs once more.
"""

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
from simulators.row_truth import check_has_truth, truth_of_rows

MS_PER_HOUR = 3_600_000


class Arrival(NamedTuple):
    """One row on its way: when it arrives on the dataset's clock, and what it then says."""

    time_ms: int
    device: str
    topic: str
    payload: str
    input_id: str


class Played(NamedTuple):
    """One message of a recording: its topic, its very bytes, and when it had arrived, epoch ms."""

    topic: str
    payload: bytes
    time_ms: int


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
    truth_path: Path | None = None,
    stop: Callable[[], bool],
    say: Callable[[str], None],
) -> Summary:
    """Sends *dataset* to the broker of *access*, or writes it to *output* as a recording: one of them.

    Messages go out in order of arrival: at *rate* a second, or at *speed* times the time between the rows;
    with neither as fast as the broker takes them. *devices*, *hours*, *disorder_hours* and *seed* are those
    of `arrivals`; *site* defaults to the dataset's name. What the labels say goes to *truth_path* before the
    first message, for datasets that have such a truth. Raises `UsageError`, `DataMissing`, `BrokerRefused`.
    """
    speed = _checked_pace(speed, rate)
    site = checked_site(site or dataset)
    if (access is None) == (output is None):
        raise UsageError("A replay goes to a broker or to a file, one of them.")
    if truth_path is not None:
        check_has_truth(dataset)
    rows: Iterable[registry.Row] = _chosen(registry.rows(dataset, data_directory), devices, hours)
    if truth_path is not None:
        rows = list(rows)
        try:
            truth_of_rows(dataset, rows, seed=seed, site=site).write(truth_path)
        except OSError as error:
            raise UsageError(f"The truth can't be written to {truth_path}: {error.strerror}.") from error
    on_the_way = arrivals(rows, site=site, disorder_hours=disorder_hours, seed=seed)
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
    found: list[Arrival] = []
    for row in _chosen(rows, devices, hours):
        late_ms = round(rng.uniform(0, disorder_hours * MS_PER_HOUR)) if disorder_hours else 0
        payload = json.dumps(
            {"id": row.id, "time": row.time_ms, **row.payload}, ensure_ascii=False, separators=(",", ":")
        )
        topic = TOPIC.format(site=site, device=row.device, kind=row.kind)
        found.append(Arrival(row.time_ms + late_ms, row.device, topic, payload, row.id))
    found.sort(key=lambda arrival: arrival.time_ms)
    return found


def replay_recording(
    inputs: Callable[[], Iterable[Played]],
    *,
    access: BrokerAccess,
    speed: float | None = None,
    rate: float | None = None,
    stop: Callable[[], bool],
    say: Callable[[str], None],
) -> Summary:
    """Sends the messages that *inputs* gives to the broker of *access*: the same bytes in the same order.

    Their spacing is the recording's own, divided by *speed* (1 where nothing is said, 0 for as fast as the
    broker takes them), or *rate* messages go out a second. One session sends them all, since a broker keeps
    the order within a session only. *inputs* is called twice: once to see that all can be read before the
    first is sent. Raises `UsageError`, `BrokerRefused`.
    """
    pace = _checked_pace(1.0 if speed is None and rate is None else speed, rate)
    sites = {levels[2] for message in inputs() if len(levels := message.topic.split("/")) > 2}
    site = next(iter(sites)) if len(sites) == 1 else f"({len(sites)} sites)"
    client_id = f"edgeward-replay-{secrets.token_hex(4)}"
    with Sessions(access, count=1, client_id=client_id, rng=random.Random(), say=say) as sessions:
        return send_all(_paced(inputs(), pace, rate), sessions, site=site, stop=stop)


def _paced(messages: Iterable[Played], speed: float | None, rate: float | None) -> Iterator[Outgoing]:
    first_ms: int | None = None
    for index, (topic, payload, time_ms) in enumerate(messages):
        first_ms = time_ms if first_ms is None else first_ms
        due_s = 0.0
        if rate is not None:
            due_s = index / rate
        elif speed is not None:
            due_s = (time_ms - first_ms) / 1000 / speed
        yield Outgoing(due_s, topic, topic, payload, "")


def _checked_pace(speed: float | None, rate: float | None) -> float | None:
    """The speed as `checked_speed` gives it. Raises `UsageError`, also for a bad rate and for both."""
    if speed is not None and rate is not None:
        raise UsageError("A replay has a speed or a rate, not both.")
    if rate is not None and not 0 < rate < float("inf"):
        raise UsageError("A rate is a number of messages a second, above 0.")
    return checked_speed(speed)


def _chosen(
    rows: Iterable[registry.Row], devices: int | Sequence[str] | None, hours: float | None
) -> Iterator[registry.Row]:
    """The rows of the devices and hours that were asked for, as `arrivals` says."""
    named = None if devices is None or isinstance(devices, int) else set(devices)
    limit = devices if isinstance(devices, int) else None
    first_ms: dict[str, int] = {}
    for row in rows:
        if row.device not in first_ms:
            if (named is not None and row.device not in named) or len(first_ms) == limit:
                continue
            first_ms[row.device] = row.time_ms
        if hours is None or row.time_ms - first_ms[row.device] < hours * MS_PER_HOUR:
            yield row
    if named is not None and (absent := sorted(named - first_ms.keys())):
        raise UsageError(f"The dataset has no device {', '.join(absent)}.")


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
