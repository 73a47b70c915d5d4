"""From a configuration to agents, at the start and again at each SIGHUP: all of it, or nothing.

An agent whose settings and bundle are as before stays the very object it was, with its windows. What can't
change in a running gateway is a fault like any other, so that no file is half in force.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from gateway.config import Config, choose_agents, load_config
from gateway.firstload import admit, identity_of
from models.bundle import find_bundle, load_bundle
from models.errors import ConfigRefused, EdgewardError, ModelRefused, RuntimeMissing
from nodes.agents import Agent, AgentSettings, build_agent
from nodes.times import MINUTE_MS

CHANGEABLE = frozenset({"historical_after_minutes", "log_level"})
"""Settings of `[gateway]` that a running gateway can change; of `[broker]` there are none."""

Wrap = Callable[[Agent[Any, Any]], Agent[Any, Any]]


@dataclass(frozen=True, slots=True)
class _Built:
    """One agent, and all that it was made of."""

    settings: AgentSettings
    identity: str | None
    """Of its bundle's files; None without a bundle."""
    agent: Agent[Any, Any]


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration that is in order, and its agents."""

    config: Config
    agents: tuple[Agent[Any, Any], ...]

    @property
    def historical_after_ms(self) -> int:
        """After how long an input is historical, milliseconds."""
        return round(self.config.gateway.historical_after_minutes * MINUTE_MS)


class Loader:
    """Reads *file* (without one: all defaults) and builds its agents, of these *wanted*, where given.

    *state* is the state folder, in which models that passed their trial are remembered; *wrap* is put around
    each agent that has a model.
    """

    def __init__(
        self,
        file: Path | None,
        state: Path,
        *,
        wanted: Sequence[str] | None,
        wrap: Wrap = lambda agent: agent,
    ) -> None:
        self._file = file
        self._state = state
        self._wanted = wanted
        self._wrap = wrap
        self.fault: str | None = None
        """Why the files are not what is in force; None while they are."""
        self._config: Config | None = None
        self._built: dict[str, _Built] = {}

    def load(self) -> Loaded:
        """The configuration as the files are now.

        Raises ConfigRefused with every fault, and RuntimeMissing; what was loaded before then stays.
        """
        config = Config() if self._file is None else load_config(self._file)
        faults = [] if self._config is None else _fixed(self._config, config)
        built: dict[str, _Built] = {}
        for settings in choose_agents(config, self._wanted):
            try:
                built[settings.name] = self._build(settings)
            except RuntimeMissing:
                raise
            except ModelRefused as exc:
                faults.append(f"agents.{settings.name}: {exc}")
        if faults:
            raise ConfigRefused("the configuration" if self._file is None else str(self._file), faults)
        self._config, self._built = config, built
        return Loaded(config, tuple(each.agent for each in built.values()))

    def reload(self) -> Loaded | None:
        """`load` at a SIGHUP: None where the old configuration stays; either is said in the log."""
        log: structlog.typing.FilteringBoundLogger = structlog.get_logger()
        before = self._built
        try:
            loaded = self.load()
        except EdgewardError as exc:
            log.error("reload_refused", sentence=str(exc))
            # Without the faults themselves: they may quote the file, and this is published.
            self.fault = "The configuration was refused when it was read again; the one before is in force."
            return None
        self.fault = None
        changed = [name for name, each in self._built.items() if before.get(name) is not each]
        log.info("reloaded", agents=[each.name for each in loaded.agents], changed=changed)
        return loaded

    def _build(self, settings: AgentSettings) -> _Built:
        bundle = settings.bundle
        identity = None if bundle is None else identity_of(load_bundle(find_bundle(bundle)))
        before = self._built.get(settings.name)
        if before is not None and before.settings == settings and before.identity == identity:
            return before
        if bundle is not None:
            admit(bundle, self._state)
        agent = build_agent(settings)
        return _Built(settings, identity, agent if bundle is None else self._wrap(agent))


def _fixed(old: Config, new: Config) -> list[str]:
    """A fault for each setting that differs and only a start can change."""
    before, after = (config.model_dump(mode="json", exclude={"agents"}) for config in (old, new))
    return [
        f"{section}.{key}: is {json.dumps(before[section][key])} until the gateway is restarted"
        for section, values in after.items()
        for key, value in values.items()
        if value != before[section][key] and not (section == "gateway" and key in CHANGEABLE)
    ]
