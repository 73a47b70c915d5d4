"""All faults of a scenario file at once: place, line, and what was expected.

Form is the types' work; what must fit between the parts is checked here. Parts that are broken in form are
left out of that, so that nothing is said which only follows from another fault.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError

from models.toml_lines import line_of, lines_of_keys, place
from simulators.scenario_parts import (
    ALLOWED_ON_BED,
    DEVICE_LIMIT,
    Beds,
    Department,
    Event,
    PathFault,
    Plant,
    Scenario,
    allowed_on_machine,
)

Place = tuple[str | int, ...]
Fault = tuple[Place, str]


def checked(values: dict[str, Any], text: str) -> tuple[Scenario | None, list[str]]:
    """The scenario that *values* (read from *text*) describe, or every fault as a sentence."""
    scenario: Scenario | None = None
    found: list[Fault] = []
    try:
        scenario = Scenario.model_validate(values)
    except ValidationError as error:
        errors = error.errors(include_url=False, include_input=False, include_context=False)
        found = [(each["loc"], _expectation(each["type"], each["msg"])) for each in errors]
    found += _Between(values, {path[:2] for path, _ in found}).faults()
    if not found:
        return scenario, []
    lines = lines_of_keys(text)
    told = [(tuple(map(str, path)), said) for path, said in found]
    told.sort(key=lambda fault: line_of(lines, fault[0]))  # in the file's order, to go through once
    return None, [f"{place(lines, path)}: {said}" for path, said in told]


def _expectation(kind: str, message: str) -> str:
    if kind == "string_pattern_mismatch":
        return "should be 1-100 characters of A-Z a-z 0-9 . _ ~ : -"
    if kind == "extra_forbidden":
        return "is not known here"
    if kind == "missing":
        return "should be there"
    return message.removeprefix("Value error, ").replace("Input should", "should").rstrip(".")


class _Between:
    """What only shows when the parts are seen together; *broken* are places of parts with other faults."""

    def __init__(self, values: dict[str, Any], broken: set[Place]) -> None:
        self._broken = broken
        hours = values.get("hours")
        sound = isinstance(hours, int | float) and ("hours",) not in broken
        self._hours = float(hours) if sound and hours is not None else None
        self._raw_events = values.get("events", ())
        self._beds = [(n, Beds.model_validate(raw)) for n, raw in self._sound("beds", values)]
        self._machines = [(n, Plant.model_validate(raw)) for n, raw in self._sound("machines", values)]
        self._emergency = [(n, Department.model_validate(raw)) for n, raw in self._sound("emergency", values)]
        self._events = [(n, Event.model_validate(raw)) for n, raw in self._sound("events", values)]
        self._faults = [(n, PathFault.model_validate(raw)) for n, raw in self._sound("faults", values)]
        self._all_known = not any(path[0] in ("beds", "machines", "emergency") for path in broken)
        self._allowed = {name: ALLOWED_ON_BED for _, group in self._beds for name in group.names}
        self._allowed |= {each.name: allowed_on_machine(each.kind) for _, each in self._machines}

    def faults(self) -> Iterator[Fault]:
        """All of them, each with its place."""
        yield from self._devices()
        yield from self._what_happens()
        yield from self._when()
        yield from self._path()

    def _sound(self, name: str, values: dict[str, Any]) -> Iterator[tuple[int, Any]]:
        entries = values.get(name, ())
        if (name,) not in self._broken and isinstance(entries, list):
            for number, raw in enumerate(entries):
                if (name, number) not in self._broken:
                    yield number, raw

    def _devices(self) -> Iterator[Fault]:
        if self._all_known and not (self._beds or self._machines or self._emergency):
            yield (), "there should be at least one [[beds]], [[emergency]] or [[machines]]"
        count = sum(group.count for _, group in self._beds) + len(self._machines)
        if count > DEVICE_LIMIT:
            yield (), f"there should be at most {DEVICE_LIMIT} beds and machines, not {count}"
        seen: set[str] = set()
        for number, group in self._beds:
            for name in [each for each in group.names if each in seen]:
                yield ("beds", number, "prefix"), f"device {name} should be there once"
            seen.update(group.names)
        for part, named in (("machines", self._machines), ("emergency", self._emergency)):
            for number, each in named:
                if each.name in seen:
                    yield (part, number, "name"), f"device {each.name} should be there once"
                seen.add(each.name)

    def _what_happens(self) -> Iterator[Fault]:
        events = self._raw_events if isinstance(self._raw_events, list) else ()
        for number, raw in enumerate(events):
            device, what = (raw.get("device"), raw.get("what")) if isinstance(raw, dict) else (None, None)
            if not isinstance(device, str) or not isinstance(what, str):
                continue
            if device not in self._allowed:
                if self._all_known:
                    yield ("events", number, "device"), f"{device} should be a bed or machine of this file"
            elif what not in self._allowed[device]:
                allowed = ", ".join(self._allowed[device])
                yield ("events", number, "what"), f"on {device} should be one of {allowed}"

    def _when(self) -> Iterator[Fault]:
        over: dict[tuple[str, str], tuple[float, int]] = {}
        for number, event in sorted(self._events, key=lambda each: each[1].from_hours):
            yield from self._begins("events", number, event.from_hours)
            track = "fault" if event.family in ("machine-fault", "sensor-fault") else event.family
            until, other = over.get((event.device, track), (0.0, 0))
            if event.from_hours < until:
                yield (
                    ("events", number, "from_hours"),
                    f"should be at least {until:g}, when events[{other + 1}] on {event.device} is over",
                )
            over[event.device, track] = max((until, other), (event.over_hours, number))

    def _path(self) -> Iterator[Fault]:
        names = [*self._allowed, *(each.device(1) for _, each in self._emergency)]
        for number, fault in self._faults:
            yield from self._begins("faults", number, fault.from_hours)
            if self._all_known and not any(fault.concerns(name) for name in names):
                yield ("faults", number, "devices"), "should name a device of this file, as `bed-*` does"
            if fault.what == "impersonate" and self._all_known and len(names) < 2:
                yield ("faults", number, "what"), "impersonate should have two devices or more"

    def _begins(self, part: str, number: int, from_hours: float) -> Iterator[Fault]:
        if self._hours is not None and from_hours >= self._hours:
            yield (
                (part, number, "from_hours"),
                f"should be below {self._hours:g}, where the scenario ends",
            )
