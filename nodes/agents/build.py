"""From settings to an agent: which class serves which kind and bundle. This is the list to add to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from models.bundle import find_bundle, load_bundle
from models.errors import ModelRefused
from nodes.agents.base import Agent
from nodes.agents.note import NoteAgent
from nodes.agents.scores import AnomalyAgent, DeteriorationAgent, LineAgent
from nodes.agents.settings import AgentSettings
from nodes.agents.vitals import VitalsAgent

_BY_KIND: dict[str, Callable[..., Agent[Any, Any]]] = {
    "note": NoteAgent,
    "vitals": DeteriorationAgent,
    "sensor": AnomalyAgent,
    "log": LineAgent,
}


def build_agent(settings: AgentSettings, *, runtime: str | None = None) -> Agent[Any, Any]:
    """The agent that *settings* describe, with its bundle loaded and checked.

    *runtime* chooses the TFLite backend, see `models.runtime`. Raises ModelRefused when the bundle can't be
    used or is made for another kind of input, and RuntimeMissing without a TFLite runtime.
    """
    if settings.bundle is None:
        if settings.kind != "vitals":
            raise ModelRefused(f"agent {settings.name} needs a bundle: only vitals have a score without one")
        return VitalsAgent(settings)
    bundle = load_bundle(find_bundle(settings.bundle))
    if bundle.manifest.kind != settings.kind:
        raise ModelRefused(
            f"bundle {bundle.name} is made for {bundle.manifest.kind} input, "
            f"agent {settings.name} takes {settings.kind}"
        )
    return _BY_KIND[settings.kind](settings, bundle, runtime=runtime)
