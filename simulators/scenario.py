"""A scenario: one TOML file that says which beds and machines there are and what goes wrong when.

Only the file's form and its checks live here; `world.py` plays it. All faults of a file are reported at once.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from datetime import datetime
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, model_validator

from models.errors import ConfigRefused
from simulators.plant import FAULTS, SENSOR_FAULTS, MachineKind
from simulators.truth import Episode
from simulators.ward import CAUSES

MS_PER_HOUR = 3_600_000
DEVICE_LIMIT = 2_000
"""Beds and machines in one scenario."""

Hours = Annotated[float, Field(ge=0, le=24 * 31)]
DeviceName = Annotated[str, Field(pattern=r"^[A-Za-z0-9._~:-]{1,128}$")]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Beds(_Part):
    """Beds that send vital signs and notes; they are named `{prefix}-01`, `{prefix}-02`, …"""

    prefix: Annotated[str, Field(pattern=r"^[A-Za-z0-9._~:-]{1,100}$")] = "bed"
    count: Annotated[int, Field(ge=1, le=DEVICE_LIMIT)]
    vitals_minutes: Annotated[float, Field(ge=0.1, le=720)] = 5.0

    @property
    def names(self) -> list[str]:
        """The devices' names, in order."""
        return [f"{self.prefix}-{number:02d}" for number in range(1, self.count + 1)]


class Plant(_Part):
    """One machine that sends sensor readings and log lines."""

    name: DeviceName
    kind: MachineKind
    reading_seconds: Annotated[float, Field(ge=0.1, le=3600)] = 20.0
    log_seconds: Annotated[float, Field(ge=0.1, le=36_000)] = 45.0


class Event(_Part):
    """Something goes wrong: *what* grows over the ramp, stays until `to_hours`, and recovers."""

    device: DeviceName
    what: str
    from_hours: Hours
    ramp_hours: Hours = 0.5
    to_hours: Hours
    recovery_hours: Hours = 0.5
    peak: Annotated[float, Field(gt=0, le=1)] = 1.0

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.to_hours <= self.from_hours:
            raise ValueError("to_hours must be later than from_hours")
        return self

    def episode(self, start_ms: int) -> Episode:
        """The same on the world's clock."""
        return Episode(
            device=self.device,
            what=self.what,
            from_ms=start_ms + round(self.from_hours * MS_PER_HOUR),
            ramp_ms=round(self.ramp_hours * MS_PER_HOUR),
            to_ms=start_ms + round(self.to_hours * MS_PER_HOUR),
            recovery_ms=round(self.recovery_hours * MS_PER_HOUR),
            peak=self.peak,
        )


class Scenario(_Part):
    """A whole scenario file."""

    title: str
    seed: int
    start: AwareDatetime
    hours: Annotated[float, Field(gt=0, le=24 * 31)]
    beds: tuple[Beds, ...] = ()
    machines: tuple[Plant, ...] = ()
    events: tuple[Event, ...] = ()

    @property
    def start_ms(self) -> int:
        """The scenario's own start, epoch ms."""
        return _epoch_ms(self.start)

    @property
    def duration_ms(self) -> int:
        """How long it lasts."""
        return round(self.hours * MS_PER_HOUR)


def shipped_scenarios() -> list[str]:
    """Names of the scenarios that come with the package."""
    folder = files("simulators") / "scenarios"
    return sorted(item.name.removesuffix(".toml") for item in folder.iterdir() if item.name.endswith(".toml"))


def load_scenario(name_or_path: str) -> tuple[str, Scenario]:
    """A shipped scenario by name, or a file by path: its name and what it says.

    Raises `ConfigRefused` with every fault: the key's place in the file and what was expected.
    """
    if name_or_path in shipped_scenarios():
        text = (files("simulators") / "scenarios" / f"{name_or_path}.toml").read_text("utf-8")
        return name_or_path, read_scenario(text, name_or_path)
    path = Path(name_or_path)
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        shipped = ", ".join(shipped_scenarios())
        fault = f"it can't be read as a file, and it is no shipped scenario ({shipped})"
        raise ConfigRefused(name_or_path, [fault]) from error
    return path.stem, read_scenario(text, name_or_path)


def read_scenario(text: str, source: str) -> Scenario:
    """The scenario in *text* (TOML); *source* names it in messages. Raises `ConfigRefused`."""
    try:
        scenario = Scenario.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise ConfigRefused(source, [f"it is not TOML: {error}"]) from error
    except ValidationError as error:
        raise ConfigRefused(source, [_sentence(fault) for fault in error.errors()]) from error
    if faults := list(_cross_faults(scenario)):
        raise ConfigRefused(source, faults)
    return scenario


def _sentence(fault: object) -> str:
    assert isinstance(fault, dict)  # noqa: S101 - pydantic's ErrorDetails
    place = ""
    for step in fault["loc"]:
        place += f"[{step + 1}]" if isinstance(step, int) else f".{step}" if place else str(step)
    return f"{place or 'the file'}: {fault['msg'].removeprefix('Value error, ')}"


def _cross_faults(scenario: Scenario) -> Iterator[str]:
    """What only shows when the parts are seen together."""
    beds = [name for group in scenario.beds for name in group.names]
    machines = {machine.name: machine for machine in scenario.machines}
    names = beds + [machine.name for machine in scenario.machines]
    if not names:
        yield "the file: expected at least one [[beds]] or [[machines]]"
    if len(names) > DEVICE_LIMIT:
        yield f"the file: expected at most {DEVICE_LIMIT} devices, it has {len(names)}"
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"device {name}: expected once, it is there {names.count(name)} times"
    known_beds = set(beds)
    ends: dict[str, float] = {}
    for number, event in enumerate(sorted(scenario.events, key=lambda e: e.from_hours), start=1):
        place = f"events: {event.what} on {event.device}"
        if event.device in known_beds:
            allowed: tuple[str, ...] = CAUSES
        elif event.device in machines:
            allowed = (*FAULTS[machines[event.device].kind], *SENSOR_FAULTS)
        else:
            yield f"{place}: expected a device of this scenario"
            continue
        if event.what not in allowed:
            yield f"{place}: expected one of {', '.join(allowed)}"
        if event.from_hours >= scenario.hours:
            yield f"{place}: expected to begin before the scenario ends, at {scenario.hours:g} hours"
        if event.from_hours < ends.get(event.device, 0.0):
            yield f"{place}: expected to begin after the device's event before it is over (number {number})"
        ends[event.device] = event.to_hours + event.recovery_hours


def _epoch_ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)
