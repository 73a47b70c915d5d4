"""The parts of a scenario file as types: beds, an emergency department, machines, events, faults of the path.

Only the form of each part lives here. What must fit between the parts is checked in `scenario_checks.py`.
"""

from __future__ import annotations

from datetime import datetime
from fnmatch import fnmatchcase
from typing import Annotated, Literal, Self, get_args

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from simulators.artefacts import ARTEFACTS
from simulators.plant import FAULTS, SENSOR_FAULTS, MachineKind
from simulators.truth import DeviceKind, Episode, Family
from simulators.ward import CAUSES

MS_PER_HOUR = 3_600_000
DEVICE_LIMIT = 2_000
"""Beds and machines that one file may declare; `--devices` multiplies them."""
LOG_STORM = "log-storm"
GROWS_HOURS = 0.5
"""Ramp and recovery of what doesn't say: diseases and faults grow, artefacts and storms are sudden."""

Hours = Annotated[float, Field(ge=0, le=24 * 31)]
DeviceName = Annotated[str, Field(pattern=r"^[A-Za-z0-9._~:-]{1,100}$")]
Age = Annotated[int, Field(ge=0, le=110)]
PathFaultName = Literal[
    "delay", "reorder", "duplicate", "drop", "corrupt", "skew", "restart", "reconnect-storm", "impersonate"
]
PATH_FAULTS: tuple[PathFaultName, ...] = get_args(PathFaultName)
NEEDS_SECONDS: tuple[PathFaultName, ...] = ("delay", "reorder", "skew", "restart")
TAKES_SECONDS: tuple[PathFaultName, ...] = (*NEEDS_SECONDS, "duplicate", "reconnect-storm")
MOMENTS: tuple[PathFaultName, ...] = ("restart", "reconnect-storm")
"""Faults that happen to a device once, at a moment between `from_hours` and `to_hours`."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Beds(_Part):
    """Beds that send vital signs and notes; they are named `{prefix}-01`, `{prefix}-02`, …"""

    prefix: DeviceName = "bed"
    count: Annotated[int, Field(ge=1, le=DEVICE_LIMIT)]
    vitals_minutes: Annotated[float, Field(ge=0.1, le=720)] = 5.0
    ages: tuple[Age, Age] | None = None
    """Youngest and oldest patient, years."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.ages is not None and self.ages[0] > self.ages[1]:
            raise ValueError("ages should be [youngest, oldest]")
        return self

    @property
    def names(self) -> list[str]:
        """The devices' names, in order."""
        return [f"{self.prefix}-{number:02d}" for number in range(1, self.count + 1)]


class Department(_Part):
    """An emergency department: each arrival is a device `{name}-p0001`, … that sends one triage note."""

    name: DeviceName
    arrivals_per_hour: Annotated[float, Field(gt=0, le=1000)]

    def device(self, number: int) -> str:
        """The name of arrival *number*, from 1."""
        return f"{self.name}-p{number:04d}"


class Plant(_Part):
    """One machine that sends sensor readings and log lines."""

    name: DeviceName
    kind: MachineKind
    reading_seconds: Annotated[float, Field(ge=0.1, le=3600)] = 20.0
    log_seconds: Annotated[float, Field(ge=0.1, le=36_000)] = 45.0


class Event(_Part):
    """Something goes wrong: *what* grows over the ramp, stays until `to_hours`, and recovers.

    `what` is a cause, an artefact, a machine's or a sensor's fault, or `log-storm`. A `treated` one recovers
    because the ward treats it from `to_hours` on; one that lasts has `to_hours` at the scenario's end.
    """

    device: DeviceName
    what: str
    from_hours: Hours
    ramp_hours: Hours | None = None
    to_hours: Hours
    recovery_hours: Hours | None = None
    peak: Annotated[float, Field(gt=0, le=1)] = 1.0
    treated: bool = False

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.to_hours <= self.from_hours:
            raise ValueError("to_hours should be later than from_hours")
        return self

    @property
    def family(self) -> Family:
        """What sort of thing it is."""
        if self.what in ARTEFACTS:
            return "artefact"
        if self.what in SENSOR_FAULTS:
            return "sensor-fault"
        if self.what == LOG_STORM:
            return "log"
        return "deterioration" if self.what in CAUSES else "machine-fault"

    @property
    def over_hours(self) -> float:
        """When it is gone, hours after the start."""
        return self.to_hours + self._grows(self.recovery_hours)

    def episode(self, start_ms: int, device: str | None = None) -> Episode:
        """The same on the world's clock, for *device* where it is not the event's own."""
        return Episode(
            device=device or self.device,
            what=self.what,
            from_ms=start_ms + round(self.from_hours * MS_PER_HOUR),
            ramp_ms=round(self._grows(self.ramp_hours) * MS_PER_HOUR),
            to_ms=start_ms + round(self.to_hours * MS_PER_HOUR),
            recovery_ms=round(self._grows(self.recovery_hours) * MS_PER_HOUR),
            peak=self.peak,
            family=self.family,
            treated=self.treated,
        )

    def _grows(self, hours: float | None) -> float:
        if hours is not None:
            return hours
        return 0.0 if self.family in ("artefact", "log") else GROWS_HOURS


class PathFault(_Part):
    """What goes wrong between devices and broker, to a *share* of the messages (or devices) it is about.

    `seconds` is: for delay and reorder how late a message comes at most, for duplicate how much later the
    copy comes at most, for skew how far the device's clock is ahead (below 0: behind), for restart how long
    the device is away, for reconnect-storm over how long the connections break.
    """

    what: PathFaultName
    devices: Annotated[tuple[str, ...], Field(min_length=1)] = ("*",)
    """Patterns of device names, as `bed-*`."""
    from_hours: Hours = 0.0
    to_hours: Hours | None = None
    """Default: the scenario's end; of a restart or a reconnect-storm, the same moment."""
    share: Annotated[float, Field(gt=0, le=1)] = 1.0
    seconds: Annotated[float, Field(ge=-86_400 * 31, le=86_400 * 31)] | None = None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.to_hours is not None and self.to_hours < self.from_hours:
            raise ValueError("to_hours should not be earlier than from_hours")
        if self.what in NEEDS_SECONDS and self.seconds is None:
            raise ValueError(f"{self.what} should say its seconds")
        if self.what not in TAKES_SECONDS and self.seconds is not None:
            raise ValueError(f"{self.what} takes no seconds")
        if self.what != "skew" and (self.seconds or 0.0) < 0:
            raise ValueError(f"seconds of {self.what} should be 0 or more")
        return self

    def concerns(self, device: str) -> bool:
        """Whether it is about *device*."""
        return any(fnmatchcase(device, pattern) for pattern in self.devices)


class Scenario(_Part):
    """A whole scenario file."""

    title: str
    description: str = ""
    """What happens, in a sentence."""
    seed: int
    start: AwareDatetime
    hours: Annotated[float, Field(gt=0, le=24 * 31)]
    beds: tuple[Beds, ...] = ()
    emergency: tuple[Department, ...] = ()
    machines: tuple[Plant, ...] = ()
    events: tuple[Event, ...] = ()
    faults: tuple[PathFault, ...] = ()

    @property
    def start_ms(self) -> int:
        """The scenario's own start, epoch ms."""
        return _epoch_ms(self.start)

    @property
    def duration_ms(self) -> int:
        """How long it lasts."""
        return round(self.hours * MS_PER_HOUR)

    @property
    def declared(self) -> list[tuple[str, DeviceKind]]:
        """Beds and machines, by name and kind; arrivals only come while it is played."""
        beds: list[tuple[str, DeviceKind]] = [(name, "bed") for group in self.beds for name in group.names]
        return beds + [(machine.name, "machine") for machine in self.machines]


def allowed_on_machine(kind: MachineKind) -> tuple[str, ...]:
    """What may go wrong with a machine of *kind*."""
    return (*FAULTS[kind], *SENSOR_FAULTS, LOG_STORM)


ALLOWED_ON_BED = (*CAUSES, *ARTEFACTS)
"""What may go wrong with a patient or the monitor."""


def _epoch_ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)
