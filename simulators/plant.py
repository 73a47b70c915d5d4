"""A plant's machines, simulated: what their sensors read, healthy and with a fault. Only physics lives here.

`Machine(kind, rng)` is one machine of a kind in `KINDS`. No two are alike: size, noise, load and thermal
inertia are drawn from *rng*, and the same generator state gives the same machine and the same readings.
`step` advances it to an instant and reads all its channels:

    machine = Machine("pump", np.random.default_rng(7))
    machine.step(0.0)                            # {"flow_l_min": 118.2, "pressure_out_bar": 3.91, …}
    machine.step(1.0, "cavitation", severity=0.6)

`FAULTS[kind]` are the faults of its own that a kind can have, `SENSOR_FAULTS` those of any sensor. *severity*
goes from 0 (nothing) to 1 (about to stop); who scripts the fault ramps it. A fault acts while it is given and
its traces fade as heat and pressure do, not at once. The formulas are textbook shapes (affinity laws,
first-order lags, hysteresis), chosen to move channels together as real machines do; they are not a model of
any product.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import numpy as np

MachineKind = Literal["pump", "valve", "bearing", "cold-room"]

KINDS: tuple[MachineKind, ...] = ("pump", "valve", "bearing", "cold-room")

FAULTS: dict[MachineKind, tuple[str, ...]] = {
    "pump": (
        "cavitation",
        "inlet-blockage",
        "outlet-blockage",
        "leak",
        "bearing-wear",
        "imbalance",
        "cooling-failure",
    ),
    "valve": ("valve-closing", "stiction", "seat-leak", "actuator-failure", "blockage"),
    "bearing": ("bearing-wear", "lubrication-loss", "imbalance", "misalignment", "overload"),
    "cold-room": ("cooling-failure", "door-open", "refrigerant-leak", "fan-failure", "ice-build-up"),
}
"""What can go wrong with each kind of machine."""

SENSOR_FAULTS = (
    "sensor-stuck",
    "sensor-drift",
    "sensor-offset",
    "sensor-noise",
    "sensor-spikes",
    "sensor-silent",
)
"""What can go wrong with one sensor of any machine; which one is drawn when the fault begins."""

NOISE = {
    # Standard deviation of a healthy sensor, in the channel's unit, before a machine's own factor.
    "flow_l_min": 1.2,
    "pressure_in_bar": 0.02,
    "pressure_out_bar": 0.04,
    "pressure_drop_bar": 0.03,
    "suction_pressure_bar": 0.04,
    "current_a": 0.08,
    "voltage_v": 1.5,
    "vibration_mm_s": 0.08,
    "vibration_axial_mm_s": 0.06,
    "vibration_radial_mm_s": 0.08,
    "acoustic_db": 0.6,
    "torque_nm": 0.8,
    "speed_rpm": 4.0,
    "command_pct": 0.0,
    "position_pct": 0.3,
    "humidity_pct": 0.8,
}
TEMPERATURE_NOISE_C = 0.12
"""Standard deviation of every temperature channel, °C."""
WANDER = 1.4
"""Median deviation of a level's slow straying, in noise deviations: no machine stays where it was learnt.
With it plain T² + Q flags 28 % of the healthy readings; on a real testbed it was published to flag 26.6 %
(SKAB).
"""
WANDER_S = 3600.0
"""How long a level remembers where it was, seconds."""


class Load:
    """How hard a machine is asked to work, 0 to 1, over time: steady, waving with a period, or in steps."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._pattern = rng.choice(["steady", "waves", "steps"])
        self._base = rng.uniform(0.5, 0.75)
        self._swing = rng.uniform(0.03, 0.2)
        self._period_s = math.exp(rng.uniform(math.log(60), math.log(1200)))
        self._phase = rng.uniform(0, 2 * math.pi)
        self._wander = 0.0
        self._level = 0.0
        self._next_step_s = -math.inf

    def at(self, time_s: float, elapsed_s: float) -> float:
        """Load at *time_s*, *elapsed_s* after the last call."""
        keep = math.exp(-elapsed_s / 120)
        self._wander = keep * self._wander + math.sqrt(1 - keep**2) * self._rng.normal(0, 0.015)
        swing = 0.0
        if self._pattern == "waves":
            swing = self._swing * math.sin(2 * math.pi * time_s / self._period_s + self._phase)
        elif self._pattern == "steps":
            if time_s >= self._next_step_s:
                self._level = self._swing * float(self._rng.choice([-1.0, -0.3, 0.3, 1.0]))
                self._next_step_s = time_s + self._period_s * self._rng.uniform(0.3, 1.0)
            swing = self._level
        return min(1.0, max(0.05, self._base + swing + self._wander))


class Machine:
    """One machine, its hidden state and its sensors. *kind* is one of `KINDS`; *rng* becomes its own."""

    def __init__(self, kind: MachineKind, rng: np.random.Generator) -> None:
        self.kind = kind
        self.rng = rng
        self.time_s: float | None = None
        self.load = Load(rng)
        self.size = rng.uniform(0.6, 1.6)
        """Scale of flows, currents and torques."""
        self.thermal_s = math.exp(rng.uniform(math.log(60), math.log(600)))
        """Time constant of the machine's heat, seconds."""
        self.ambient_c = rng.uniform(15, 28)
        self.slow: dict[str, float] = {}
        """State with inertia, by name: temperatures, a valve's position, a compressor's switch."""
        self._noise_factor = math.exp(rng.normal(0, 0.4))
        self._memory = rng.uniform(0, 0.7)
        """Share of a sensor's noise that stays from one reading to the next."""
        self._noise: dict[str, float] = {}
        self._wander = math.exp(rng.normal(math.log(WANDER), 0.8))
        """Deviation of a healthy sensor's straying level, in those of its noise."""
        self._level: dict[str, float] = {}
        self._fault: str | None = None
        self._target = ""
        self._held: float | None = None
        self._direction = 1.0

    @property
    def faults(self) -> tuple[str, ...]:
        """Every fault that `step` understands for this machine."""
        return FAULTS[self.kind] + SENSOR_FAULTS

    def step(self, time_s: float, fault: str | None = None, severity: float = 0.0) -> dict[str, float]:
        """Advance to *time_s* (seconds, not before the last one) and read every channel.

        *fault* is one of `faults` or None, *severity* 0 to 1. A channel that falls silent is absent.
        """
        if fault is not None and fault not in self.faults:
            raise ValueError(f"a {self.kind} has no fault {fault!r}; it has {', '.join(self.faults)}")
        elapsed_s = 1.0 if self.time_s is None else max(0.0, time_s - self.time_s)
        self.time_s = time_s
        self.ambient_c += self.rng.normal(0, 0.004) * math.sqrt(elapsed_s)
        load = self.load.at(time_s, elapsed_s)
        level = {fault: min(1.0, max(0.0, severity))} if fault else {}
        true = PHYSICS[self.kind](self, load, elapsed_s, lambda name: level.get(name, 0.0))
        read = {channel: self._sensed(channel, value, elapsed_s) for channel, value in true.items()}
        self._sensor_fault(read, fault, level.get(fault, 0.0) if fault else 0.0)
        return {channel: float(f"{value:.6g}") for channel, value in read.items()}

    def lag(self, name: str, target: float, elapsed_s: float, constant_s: float) -> float:
        """The slow quantity *name*, having followed *target* for *elapsed_s*; it starts there."""
        now = self.slow.get(name, target)
        self.slow[name] = now + (target - now) * (1 - math.exp(-elapsed_s / constant_s))
        return self.slow[name]

    def _sensed(self, channel: str, value: float, elapsed_s: float) -> float:
        spread = NOISE.get(channel, TEMPERATURE_NOISE_C) * self._noise_factor
        fresh = self.rng.normal(0, 1)
        kept = self._memory * self._noise.get(channel, 0.0) + math.sqrt(1 - self._memory**2) * fresh
        self._noise[channel] = kept
        keep = math.exp(-elapsed_s / WANDER_S)
        push = math.sqrt(1 - keep**2) * self._wander * self.rng.normal(0, 1)
        stray = self._level[channel] = keep * self._level.get(channel, 0.0) + push
        return value + spread * (kept + stray)

    def _sensor_fault(self, read: dict[str, float], fault: str | None, severity: float) -> None:
        """Spoil one channel of *read* in place, if *fault* is a sensor's."""
        if fault != self._fault:
            self._fault, self._held = fault, None
            self._target = str(self.rng.choice(sorted(read)))
            self._direction = float(self.rng.choice([-1.0, 1.0]))
        if fault not in SENSOR_FAULTS or severity <= 0:
            return
        channel = self._target
        scale = NOISE.get(channel, TEMPERATURE_NOISE_C) * self._noise_factor + 0.01 * abs(read[channel])
        if self._held is None:
            self._held = read[channel]
        if fault == "sensor-stuck":
            read[channel] = self._held
        elif fault in ("sensor-drift", "sensor-offset"):
            read[channel] += self._direction * scale * (20 if fault == "sensor-drift" else 12) * severity
        elif fault == "sensor-noise":
            read[channel] += self.rng.normal(0, 8 * scale * severity)
        elif fault == "sensor-spikes":
            if self.rng.random() < 0.1 + 0.3 * severity:
                read[channel] += self._direction * scale * (10 + 30 * severity)
        else:
            del read[channel]


Severity = Callable[[str], float]
"""Severity of a named fault now; 0 for one that isn't there."""


def _pump(machine: Machine, load: float, elapsed_s: float, fault: Severity) -> dict[str, float]:
    """A centrifugal pump by the affinity laws: flow as speed, head as its square, current as both."""
    cavitation = fault("cavitation")
    flutter = cavitation * machine.rng.normal(0, 0.12)
    inlet, outlet, leak = fault("inlet-blockage"), fault("outlet-blockage"), fault("leak")
    share = (1 - 0.7 * inlet) * (1 - 0.8 * outlet) * (1 - 0.25 * cavitation) * (1 + 0.15 * leak) + flutter
    flow = 150 * machine.size * load * max(0.0, share)
    head = 6.5 * load**2 * (1.3 - 0.3 * share**2) * (1 - 0.35 * leak - 0.3 * inlet - 0.25 * cavitation)
    wear, imbalance, cooling = fault("bearing-wear"), fault("imbalance"), fault("cooling-failure")
    current = machine.size * (1.2 + 5.5 * load * (0.35 + 0.65 * share) + 1.2 * wear) * (1 + 0.1 * flutter)
    shaking = (0.8 + 1.6 * load) * (1 + 2.5 * wear + 3 * imbalance * load + 2.5 * cavitation + inlet)
    shaking += (wear + cavitation) * abs(machine.rng.normal(0, 0.8))
    heat = machine.ambient_c + 30 * (current / (5 * machine.size)) ** 2 * (1 + 1.5 * cooling + 0.4 * wear)
    motor = machine.lag("motor", heat, elapsed_s, machine.thermal_s)
    warming = machine.ambient_c + 4 * load + 8 * (outlet + 0.5 * cavitation)
    return {
        "flow_l_min": flow * (1 - 0.3 * leak),
        "pressure_in_bar": 1.2 - 0.3 * load - 0.5 * inlet - 0.15 * cavitation + 0.5 * flutter,
        "pressure_out_bar": 1.0 + head + 2 * flutter,
        "current_a": current,
        "voltage_v": 231 - 2 * load,
        "vibration_mm_s": shaking,
        "motor_temperature_c": motor,
        "fluid_temperature_c": machine.lag("fluid", warming, elapsed_s, 2 * machine.thermal_s),
    }


def _valve(machine: Machine, load: float, elapsed_s: float, fault: Severity) -> dict[str, float]:
    """A control valve: the stem follows the command, flow is opening times the root of the pressure drop."""
    command = 100 * load
    closing, stiction, slow = fault("valve-closing"), fault("stiction"), fault("actuator-failure")
    wanted = command * (1 - 0.8 * closing)
    stem = machine.slow.setdefault("stem", wanted)
    if abs(wanted - stem) > 25 * stiction:  # a sticking stem moves only when pushed hard enough
        stem = machine.lag("stem", wanted, elapsed_s, 3 + 120 * slow)
    opening = stem / 100 + 0.25 * fault("seat-leak")
    blockage = fault("blockage")
    drop = 0.6 + 2.2 * (1 - min(1.0, opening)) ** 2 + 1.5 * blockage
    flow = 180 * machine.size * opening * math.sqrt(drop) * (1 - 0.75 * blockage)
    effort = 0.3 + 0.012 * abs(wanted - stem) + 0.8 * stiction + 0.9 * slow
    heat = machine.ambient_c + 12 * effort
    return {
        "command_pct": command,
        "position_pct": stem,
        "flow_l_min": flow,
        "pressure_drop_bar": drop,
        "current_a": effort,
        "actuator_temperature_c": machine.lag("actuator", heat, elapsed_s, machine.thermal_s),
    }


def _bearing(machine: Machine, load: float, elapsed_s: float, fault: Severity) -> dict[str, float]:
    """A shaft in a bearing: vibration grows with speed, heat with friction times speed."""
    wear, dry, overload = fault("bearing-wear"), fault("lubrication-loss"), fault("overload")
    imbalance, misalignment = fault("imbalance"), fault("misalignment")
    speed = (700 + 900 * load) * (1 - 0.12 * overload)
    pace = speed / 1500
    torque = 40 * machine.size * (0.4 + load) * (1 + 0.7 * overload + 0.25 * dry + 0.15 * wear)
    friction = 1 + 1.8 * dry + 0.9 * wear + 0.5 * overload + 0.4 * misalignment
    knocks = (wear + 0.5 * dry) * abs(machine.rng.normal(0, 0.9))
    heat = machine.ambient_c + 22 * friction * pace
    return {
        "speed_rpm": speed,
        "torque_nm": torque,
        "vibration_radial_mm_s": 1.4 * pace * (1 + 2.5 * wear + 3.5 * imbalance + misalignment) + knocks,
        "vibration_axial_mm_s": 0.8 * pace * (1 + 1.2 * wear + 3.5 * misalignment + 0.4 * dry) + 0.5 * knocks,
        "acoustic_db": 62 + 8 * pace + 9 * wear + 7 * dry + 4 * imbalance + 3 * knocks,
        "bearing_temperature_c": machine.lag("bearing", heat, elapsed_s, machine.thermal_s),
    }


def _cold_room(machine: Machine, load: float, elapsed_s: float, fault: Severity) -> dict[str, float]:
    """A cold room whose thermostat switches the compressor between 3 and 5 °C."""
    air = machine.slow.setdefault("air", 4.0)
    machine.slow.setdefault("product", air)
    running = machine.slow.get("running", 0.0) > 0
    running = air > 3.0 if running else air > 5.0
    machine.slow["running"] = float(running)
    ice, fan, leak = fault("ice-build-up"), fault("fan-failure"), fault("refrigerant-leak")
    capacity = (1 - fault("cooling-failure")) * (1 - 0.8 * leak) * (1 - 0.6 * ice) * (1 - 0.7 * fan)
    door = fault("door-open")
    rest_c = machine.ambient_c - (8 - 4 * load) + 4 * door  # where the room would drift to without cooling
    target = rest_c - (30 * capacity if running else 0)
    air = machine.lag("air", target, elapsed_s, 2 * machine.thermal_s / (1 + 2 * door))
    cold = air - 2 if not running else air - 9 * capacity - 10 * (ice + 0.8 * fan)
    evaporator = machine.lag("evaporator", cold, elapsed_s, 20)
    moist = 78 + 12 * door - 6 * (1 - ice) * running
    drawn = machine.lag(
        "drawn", machine.size * (5 * (1 - 0.4 * leak) + ice) if running else 0.2, elapsed_s, 4
    )
    suction = machine.lag(
        "suction", 2.2 + 0.08 * evaporator - 1.2 * leak if running else 3.6 - leak, elapsed_s, 10
    )
    return {
        "air_temperature_c": air,
        "product_temperature_c": machine.lag("product", air, elapsed_s, 6 * machine.thermal_s),
        "evaporator_temperature_c": evaporator,
        "humidity_pct": machine.lag("humidity", moist, elapsed_s, 60),
        "current_a": drawn,
        "suction_pressure_bar": suction,
    }


PHYSICS: dict[MachineKind, Callable[[Machine, float, float, Severity], dict[str, float]]] = {
    "pump": _pump,
    "valve": _valve,
    "bearing": _bearing,
    "cold-room": _cold_room,
}
"""What each kind's channels truly are at a load, before its sensors."""
