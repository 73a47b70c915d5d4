"""The configuration: one TOML file, checked whole, every fault told at once with its line.

What is not a setting is refused; secrets are never in it.
"""

from __future__ import annotations

import re
import socket
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from gateway.address import DEFAULT_URL, PASSWORD_ADVICE, parse_url
from gateway.outbox import LIFETIME_SECONDS
from gateway.watchdog import DEADLINE_SECONDS
from models.anomaly import Learn
from models.errors import ConfigRefused, InputRefused, UsageError
from models.toml_lines import lines_of_keys
from nodes.agents import SHIPPED, AgentSettings
from nodes.events import Kind
from nodes.outputs import ROOT
from nodes.times import parse_time
from nodes.topics import IDENTITY, Template

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
_SECRET = re.compile(r"passw|secret|token|credential", re.IGNORECASE)
WINDOWED = ("vitals", "sensor")
"""Kinds of input whose agents remember earlier ones."""
_AGENT_NAME = re.compile(r"[a-z0-9-]{1,64}", re.ASCII)


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class BrokerSection(_Section):
    """`[broker]`: where the broker is. File names are relative to the configuration's folder."""

    url: str = Field(DEFAULT_URL, description="mqtt://HOST:PORT or mqtts://HOST:PORT")
    username: str | None = None
    password_file: Path | None = None
    ca_file: Path | None = Field(None, description="certificates to trust; else the system's")
    cert_file: Path | None = None
    key_file: Path | None = None
    startup: Literal["wait", "fail"] = Field("wait", description="when the broker is away at the start")
    keepalive_seconds: int = Field(30, ge=5, le=65_535)
    receive_maximum: int = Field(1_000, ge=1, le=65_535, description="unacknowledged deliveries at once")
    session_expiry_seconds: int = Field(86_400, ge=0, le=0xFFFF_FFFF)

    @field_validator("url")
    @classmethod
    def _usable(cls, url: str) -> str:
        try:
            parse_url(url)
        except UsageError as exc:
            raise ValueError(str(exc)) from exc
        return url


class GatewaySection(_Section):
    """`[gateway]`: who this gateway is and how it reads time."""

    name: str | None = Field(None, description="the host name without it")
    clock: Literal["wall", "events"] | None = Field(None, description="wall without it")
    historical_after_minutes: Positive = 10.0
    state: Path | None = None
    step_deadline_seconds: Positive = Field(
        DEADLINE_SECONDS, description="how long a batch may take before the gateway ends itself"
    )
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @field_validator("name")
    @classmethod
    def _in_alphabet(cls, name: str | None) -> str | None:
        if name is not None and not IDENTITY.fullmatch(name):
            raise ValueError("should be 1-128 characters of A-Z a-z 0-9 . _ ~ : -")
        return name


class StoreSection(_Section):
    """`[store]`: how the gateway keeps what it has taken and owes."""

    on_fault: Literal["memory", "stop"] = Field("memory", description="when the disk does not work")
    commits: Literal["prompt", "sparing"] = Field("prompt", description="sparing: fewer, larger; SD cards")
    keep_readings_hours: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    classification_hours: Positive = Field(24.0, description="how long an answer is worth sending")
    rejected_hours: Positive = 24.0

    @property
    def lifetime_seconds(self) -> dict[str, int]:
        """By kind, how long a publication is worth sending; those that never expire are not in it."""
        given = {"classification": self.classification_hours, "rejected": self.rejected_hours}
        return {**LIFETIME_SECONDS, **{kind: max(1, round(each * 3_600)) for kind, each in given.items()}}


class LearnSection(_Section):
    """`learn`: how long a sensor agent learns a device's normal; exactly one of the three."""

    readings: int | None = Field(None, ge=10)
    minutes: Positive | None = None
    until: Annotated[datetime, Field(strict=True)] | str | None = Field(
        None, description="RFC 3339 with an offset"
    )

    @model_validator(mode="after")
    def _one(self) -> Self:
        if sum(each is not None for each in (self.readings, self.minutes, self.until)) != 1:
            raise ValueError("should have exactly one of readings, minutes, until")
        self.learn()
        return self

    def learn(self) -> Learn:
        """As the agent takes it."""
        if self.until is None:
            return Learn(readings=self.readings, minutes=self.minutes)
        text = self.until if isinstance(self.until, str) else self.until.isoformat()
        try:
            return Learn(readings=None, until_ms=parse_time(text))
        except InputRefused as exc:
            raise ValueError("until should be RFC 3339 with an offset") from exc


class AgentSection(_Section):
    """`[agents.NAME]`. What a shipped agent's section leaves out keeps its shipped value."""

    bundle: str | None = Field(None, description="a shipped model's name, or a bundle's folder")
    kind: Kind | None = None
    site: str | None = Field(None, description="where the topic has no {site}")
    topic: str | None = Field(
        None, description="a template, for instance hospital/{site}/bed/{device}/vitals"
    )
    on: float | None = Field(None, allow_inf_nan=False)
    off: float | None = Field(None, allow_inf_nan=False)
    learn: LearnSection | None = None
    validity_minutes: Positive | None = None
    off_after_minutes: Positive | None = None
    durability: Literal["store", "broker"] = Field(
        "store", description="broker: not on disk, the input waits for the broker to take the answer"
    )

    @field_validator("topic")
    @classmethod
    def _usable(cls, topic: str | None, info: ValidationInfo) -> str | None:
        if topic is not None:
            Template(topic, info.data.get("site"))
        return topic

    @field_validator("off")
    @classmethod
    def _below_on(cls, off: float | None, info: ValidationInfo) -> float | None:
        on = info.data.get("on")
        if off is not None and on is not None and off > on:
            raise ValueError("should not be above on")
        return off


class Config(_Section):
    """A whole configuration; without one, all defaults."""

    broker: BrokerSection = BrokerSection()
    gateway: GatewaySection = GatewaySection()
    store: StoreSection = StoreSection()
    agents: dict[str, AgentSection] | None = Field(None, min_length=1)

    @field_validator("agents")
    @classmethod
    def _complete(cls, agents: dict[str, AgentSection] | None) -> dict[str, AgentSection] | None:
        shipped = {settings.name for settings in SHIPPED}
        faults = []
        for name, section in (agents or {}).items():
            if not _AGENT_NAME.fullmatch(name):
                faults.append(f"the agent's name {name!r} should be 1-64 characters of a-z 0-9 -")
            if name not in shipped and section.kind is None:
                faults.append(f"agent {name} is none of the shipped ones and needs a kind")
            kind = section.kind or next((each.kind for each in SHIPPED if each.name == name), None)
            if section.durability == "broker" and kind in WINDOWED:
                faults.append(f"agent {name} remembers readings, so that its durability has to be store")
            if name not in shipped and section.kind not in ("vitals", None) and section.bundle is None:
                faults.append(f"agent {name} needs a bundle")
        if faults:
            raise ValueError("; ".join(faults))
        return agents


def load_config(file: Path) -> Config:
    """The configuration in *file*. Raises ConfigRefused with all that is wrong with it."""
    try:
        text = file.read_text("utf-8")
    except OSError as exc:
        raise ConfigRefused(str(file), [f"it can't be read: {exc.strerror}"]) from exc
    except UnicodeDecodeError as exc:
        raise ConfigRefused(str(file), ["it is not UTF-8 text"]) from exc
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        raise ConfigRefused(str(file), [f"it is not TOML: {exc}"]) from exc
    lines = lines_of_keys(text)
    secrets = list(_secrets(values))
    faults = [
        _fault(lines, path, f"a secret does not belong in this file: {PASSWORD_ADVICE}") for path in secrets
    ]
    try:
        config = Config.model_validate(values)
    except ValidationError as exc:
        for error in exc.errors(include_url=False, include_input=False, include_context=False):
            path = tuple(str(level) for level in error["loc"])
            if not any(path[: len(secret)] == secret for secret in secrets):
                faults.append(_fault(lines, path, _expectation(path, error["type"], error["msg"])))
    if faults:
        raise ConfigRefused(str(file), faults)
    return _anchored(config, file.parent)


def choose_agents(config: Config, wanted: Sequence[str] | None = None) -> tuple[AgentSettings, ...]:
    """The agents to run: those configured, or the shipped ones; of these *wanted*, where it is given.

    Raises UsageError for a name in *wanted* that there is no agent of.
    """
    shipped = {settings.name: settings for settings in SHIPPED}
    if config.agents is None:
        settings: tuple[AgentSettings, ...] = SHIPPED
    else:
        settings = tuple(_settings(name, section, shipped) for name, section in config.agents.items())
    if wanted is None:
        return settings
    known = [each.name for each in settings]
    unknown = [name for name in wanted if name not in known]
    if unknown or not wanted:
        raise UsageError(
            f"There is no agent {', '.join(unknown) or 'named'}: choose from {', '.join(known)}."
        )
    return tuple(each for each in settings if each.name in wanted)


def default_name() -> str:
    """The host name, within the alphabet of names."""
    name = re.sub(r"[^A-Za-z0-9._~:-]", "-", socket.gethostname())[:128]
    return name or "gateway"


def _settings(name: str, section: AgentSection, shipped: Mapping[str, AgentSettings]) -> AgentSettings:
    given = {key: getattr(section, key) for key in section.model_fields_set - {"durability"}}
    if section.learn is not None:
        given["learn"] = section.learn.learn()
    if name in shipped:
        return replace(shipped[name], **given)
    given.setdefault("topic", f"{ROOT}/{{site}}/{{device}}/{section.kind}")
    return AgentSettings(name=name, **given)


def _anchored(config: Config, folder: Path) -> Config:
    """File names made relative to the configuration's own folder; a bundle only where it is a path."""

    def files_of(section: BaseModel) -> dict[str, Path]:
        values = {name: getattr(section, name) for name in type(section).model_fields}
        return {name: folder / value for name, value in values.items() if isinstance(value, Path)}

    agents = config.agents and {
        name: section.model_copy(update={"bundle": str(folder / section.bundle)})
        if section.bundle is not None and "/" in section.bundle
        else section
        for name, section in config.agents.items()
    }
    return config.model_copy(
        update={
            "broker": config.broker.model_copy(update=files_of(config.broker)),
            "gateway": config.gateway.model_copy(update=files_of(config.gateway)),
            "agents": agents,
        }
    )


def _secrets(values: Mapping[str, Any], above: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found = []
    for key, value in values.items():
        path = (*above, key)
        if isinstance(value, dict):
            found += _secrets(value, path)
        elif _SECRET.search(key) and path != ("broker", "password_file"):
            found.append(path)
    return found


def _fault(lines: Mapping[tuple[str, ...], int], path: tuple[str, ...], sentence: str) -> str:
    reach = path
    while reach and reach not in lines:
        reach = reach[:-1]
    where = f"line {lines[reach]}, " if reach else ""
    return f"{where}{'.'.join(path)}: {sentence}"


def _expectation(path: tuple[str, ...], kind: str, message: str) -> str:
    if kind == "extra_forbidden":
        return f"is no setting; known here are {', '.join(_known_beside(path))}"
    if kind in ("model_type", "dict_type"):
        return "should be a table"
    return message.removeprefix("Value error, ").replace("Input should", "should").rstrip(".")


def _known_beside(path: tuple[str, ...]) -> list[str]:
    sections: dict[str, type[BaseModel]] = {
        "broker": BrokerSection,
        "gateway": GatewaySection,
        "store": StoreSection,
    }
    model: type[BaseModel] = Config
    if len(path) > 1:
        model = sections.get(path[0], AgentSection)
    if len(path) > 3:
        model = LearnSection
    return sorted(model.model_fields)
