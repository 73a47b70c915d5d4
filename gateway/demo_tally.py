"""What the demo counts: events in and out, alerts against the truth, and how long an answer took. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway.scoring import SHIPPED_KINDS
from models.errors import InputRefused
from nodes.outputs import ROOT, gateway_topic
from nodes.times import parse_time
from simulators.alerts import FALSE, AlertLog, detecting, percentile, verdict
from simulators.truth import Interval


@dataclass(slots=True)
class DeviceLine:
    """What a device's row in the table says."""

    events: int = 0
    latest_ms: int = 0
    """Time of the newest input that was answered, epoch ms."""
    answers: dict[str, str] = field(default_factory=dict)
    """The last answer of each agent, in a word or two."""


@dataclass(frozen=True, slots=True)
class Summary:
    """The demo's result, as its last line says it."""

    events_in: int
    events_out: int
    detected: int
    missed: int
    false: int
    p50_ms: float | None
    """Publish to classification, milliseconds; None when nothing was answered."""
    p99_ms: float | None


class Tally:
    """Counts what goes in and comes out for *site* and *gateway*; grows with the inputs of one scenario."""

    def __init__(self, site: str, gateway: str, devices: Sequence[str]) -> None:
        self._prefix = f"{ROOT}/{site}/"
        self._status = gateway_topic(gateway, "status")
        self._rejected = gateway_topic(gateway, "rejected")
        self._waiting: dict[str, float] = {}  # input id -> monotonic seconds when it was sent
        self._alerts = AlertLog()
        self.status = ""
        self.events_in = 0
        self.events_out = 0
        self.rejected = 0
        self.latencies_s: list[float] = []
        self.devices = {device: DeviceLine() for device in devices}

    @property
    def filters(self) -> list[str]:
        """What to subscribe: the outputs, and not the inputs."""
        outputs = [f"{self._prefix}+/classification/+", f"{self._prefix}+/alert/+"]
        return [*outputs, self._status, self._rejected]

    @property
    def unanswered(self) -> int:
        """Inputs that no classification has answered yet."""
        return len(self._waiting)

    @property
    def alert_topics(self) -> list[str]:
        """Topics of the alerts that are on now."""
        return list(self._alerts.on)

    @property
    def status_topic(self) -> str:
        """Where the gateway says whether it is online."""
        return self._status

    def alerts_on(self, device: str) -> list[str]:
        """The agents whose alert about *device* is on."""
        return [period.agent for period in self._alerts.on.values() if period.device == device]

    def sent(self, device: str, input_id: str, at_s: float) -> None:
        """An input goes out at monotonic time *at_s*."""
        self.events_in += 1
        self.devices[device].events += 1
        self._waiting[input_id] = at_s

    def came(self, topic: str, payload: bytes, at_s: float) -> None:
        """A message of the gateway's came in at monotonic time *at_s*."""
        if topic == self._status:
            self.status = payload.decode("utf-8", "replace")
        elif topic == self._rejected:
            self.events_out += 1
            self.rejected += 1
        elif topic.startswith(self._prefix):
            device, what, agent = topic.removeprefix(self._prefix).split("/")
            if what == "alert":
                self._alert(topic, device, agent, payload)
            else:
                self._classification(device, agent, json.loads(payload)["data"], at_s)

    def _classification(self, device: str, agent: str, data: dict[str, Any], at_s: float) -> None:
        self.events_out += 1
        if (sent_s := self._waiting.pop(data["input"]["id"], None)) is not None:
            self.latencies_s.append(at_s - sent_s)
        line = self.devices[device]
        line.latest_ms = max(line.latest_ms, _milliseconds(data["input"]["time"]))
        line.answers[agent] = _in_a_word(data)

    def _alert(self, topic: str, device: str, agent: str, payload: bytes) -> None:
        if payload:
            self.events_out += 1
            since_ms = _milliseconds(json.loads(payload)["data"]["since"])
            self._alerts.raised(topic, device, agent, since_ms)
        else:
            self._alerts.cleared(topic, self.devices[device].latest_ms)

    def summary(self, truth: Sequence[Interval], until_ms: int) -> Summary:
        """The result against the intervals that showed before *until_ms*, where the ward's clock stopped.

        What detected and false mean is said in `simulators.alerts`.
        """
        shown = [each for each in truth if each.alert_expected and each.visible_from < until_ms]
        periods = self._alerts.periods
        detected = sum(bool(detecting(periods, interval, SHIPPED_KINDS)) for interval in shown)
        false = sum(verdict(period, truth, SHIPPED_KINDS) in FALSE for period in periods)
        return Summary(
            events_in=self.events_in,
            events_out=self.events_out,
            detected=detected,
            missed=len(shown) - detected,
            false=false,
            p50_ms=self._percentile_ms(50),
            p99_ms=self._percentile_ms(99),
        )

    def _percentile_ms(self, percent: int) -> float | None:
        found = percentile(self.latencies_s, percent)
        return None if found is None else round(found * 1000, 2)


def _in_a_word(data: dict[str, Any]) -> str:
    if "news2" in data:
        return f"{data['news2']['total']} {data['label']}"
    probability = data["probability"]
    return str(data["label"]) if probability is None else f"{data['label']} {probability:.2f}"


def _milliseconds(text: str) -> int:
    try:
        return parse_time(text)
    except InputRefused:
        return 0
