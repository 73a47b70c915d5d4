"""A scenario played: every message its devices send, in order of time, and the truth behind them.

Pure: the same scenario, seed and start give the same messages, byte for byte, whatever sends them and however
fast. Each device draws from generators of its own, so that adding a device changes no other.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain

from models.errors import UsageError
from simulators.devices import Run, bed, door, logs, sensors
from simulators.messages import Cut, Message, Sent
from simulators.path import FaultyPath, without_cuts
from simulators.scenario_parts import Beds, Event, Plant, Scenario
from simulators.truth import Device, DeviceKind, Episode, Interval, NoteTruth, Truth

__all__ = ["MOST_DEVICES", "Message", "World"]

MOST_DEVICES = 100_000
"""Devices that a scenario can be multiplied to; each takes about 12 KB of memory while it is played."""
STOP_EVERY = 500
"""Devices that are set up between two looks at whether to stop."""


class World:
    """One run of *scenario*, called *name*; *seed* and *start_ms* default to the scenario's own.

    *devices* multiplies its beds and machines, with all that happens to them, to so many: the second copy of
    `bed-01` is `bed-01~2`. Raises `UsageError` when they are too few or too many.
    """

    def __init__(
        self,
        name: str,
        scenario: Scenario,
        *,
        seed: int | None = None,
        start_ms: int | None = None,
        devices: int | None = None,
    ) -> None:
        self.name = name
        self.scenario = scenario
        self.seed = scenario.seed if seed is None else seed
        self.start_ms = scenario.start_ms if start_ms is None else start_ms
        self.end_ms = self.start_ms + scenario.duration_ms
        self._run = Run(self.seed, self.start_ms, self.end_ms)
        self._groups: dict[str, Beds] = {name: group for group in scenario.beds for name in group.names}
        self._plants: dict[str, Plant] = {machine.name: machine for machine in scenario.machines}
        self._events: dict[str, list[Event]] = {}
        for event in scenario.events:
            self._events.setdefault(event.device, []).append(event)
        declared = scenario.declared
        if devices is not None and not len(declared) <= devices <= MOST_DEVICES:
            raise UsageError(
                f"The scenario {name} has {len(declared)} beds and machines: devices can be that many "
                f"up to {MOST_DEVICES}."
            )
        if devices is not None and not declared:
            raise UsageError(f"The scenario {name} has neither beds nor machines to multiply.")
        wanted = len(declared) if devices is None else devices
        self._is_multiplied = wanted > len(declared)
        self._lasting = tuple(_copy(declared, index) for index in range(wanted))

    @property
    def devices(self) -> tuple[str, ...]:
        """All beds and machines; arrivals only come while it is played."""
        return tuple(device for device, _, _ in self._lasting)

    @property
    def kinds(self) -> Mapping[str, DeviceKind]:
        """Name to kind of all beds and machines."""
        return {device: kind for device, _, kind in self._lasting}

    def messages(self, stop: Callable[[], bool] = lambda: False) -> Iterator[Message]:
        """All messages as they were measured, by time; those of one instant by device.

        Setting many devices up takes seconds: *stop* is looked at meanwhile and ends it without a message.
        """
        streams: list[Iterator[Message]] = []
        for number, (device, origin, kind) in enumerate(self._lasting):
            if number % STOP_EVERY == 0 and stop():
                return
            begun = ((next(stream, None), stream) for stream in self._streams(device, origin, kind))
            streams += [chain((first,), rest) for first, rest in begun if first is not None]
        streams += [door(self._run, department) for department in self.scenario.emergency]
        yield from heapq.merge(*streams, key=lambda message: (message.time_ms, message.device))

    def path(self) -> FaultyPath:
        """The way from the devices to the broker, with the scenario's faults; for one run."""
        return FaultyPath(
            self.scenario.faults,
            seed=self.seed,
            start_ms=self.start_ms,
            end_ms=self.end_ms,
            devices=tuple(self.kinds.items()),
        )

    def sent(self) -> Iterator[Sent]:
        """What really goes out, after the faults of the path."""
        return without_cuts(self.played(self.path()))

    def played(self, path: FaultyPath, stop: Callable[[], bool] = lambda: False) -> Iterator[Sent | Cut]:
        """What goes out by way of *path*, and where connections break; *stop* as for `messages`."""
        return path.through(self.messages(stop))

    def truth(self, site: str) -> Truth:
        """What is really wrong, and from when it shows; what the path does is counted while it is played."""
        intervals: list[Interval] = []
        for device, origin, _ in self._lasting:
            for episode in self._episodes(device, origin):
                interval = episode.interval(self.end_ms)
                intervals += [interval] if interval is not None else []
        intervals.sort(key=lambda interval: (interval.visible_from, interval.device))
        devices = [Device(device, kind) for device, _, kind in self._lasting]
        for department in self.scenario.emergency:
            devices += [Device(message.device, "arrival") for message in door(self._run, department)]
        return Truth(
            self.name,
            self.seed,
            site,
            self.start_ms,
            self.end_ms,
            tuple(devices),
            tuple(intervals),
            tuple(self._notes()),
        )

    def _notes(self) -> Iterator[NoteTruth]:
        """What the notes mean that can be read, once each; the beds' only where they are not multiplied.

        A note's id and name can change on a faulty path, so there everything is played for it.
        """
        if self.scenario.faults and not self._is_multiplied:
            sent: Iterator[Sent | Message] = self.sent()
        else:
            sent = chain.from_iterable(door(self._run, department) for department in self.scenario.emergency)
            if not self._is_multiplied:
                beds = (
                    bed(self._run, device, self._groups[origin], self._episodes(device, origin))
                    for device, origin, kind in self._lasting
                    if kind == "bed"
                )
                sent = chain(sent, *beds)
        known: set[tuple[str, str]] = set()
        for each in sent:
            input_id = each.input_id if isinstance(each, Sent) else each.payload["id"]
            if each.acuity is not None and (each.device, input_id) not in known:
                known.add((each.device, input_id))
                yield NoteTruth(each.device, input_id, each.acuity, each.time_ms)

    def _streams(self, device: str, origin: str, kind: DeviceKind) -> Iterator[Iterator[Message]]:
        episodes = self._episodes(device, origin)
        if kind == "bed":
            yield bed(self._run, device, self._groups[origin], episodes)
        else:
            plant = self._plants[origin]
            yield sensors(self._run, plant, device, episodes)
            yield logs(self._run, plant, device, episodes)

    def _episodes(self, device: str, origin: str) -> Sequence[Episode]:
        return [event.episode(self.start_ms, device) for event in self._events.get(origin, ())]


def _copy(declared: Sequence[tuple[str, DeviceKind]], index: int) -> tuple[str, str, DeviceKind]:
    """Name, the device it is a copy of, and kind of device number *index* when *declared* is repeated."""
    name, kind = declared[index % len(declared)]
    copy = index // len(declared)
    return (name if copy == 0 else f"{name}~{copy + 1}"), name, kind
