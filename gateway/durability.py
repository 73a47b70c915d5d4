"""Which messages stand on disk before they are acknowledged: all but those of agents told otherwise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from gateway.config import Config
from nodes.agents import Agent
from nodes.topics import Template


def everything(_topic: str) -> bool:
    """The default."""
    return True


def kept_topics(config: Config, agents: Sequence[Agent[Any, Any]]) -> Callable[[str], bool]:
    """Whether a message on a topic is kept: not when all agents that read it have `durability = "broker"`."""
    loose = {name for name, section in (config.agents or {}).items() if section.durability == "broker"}
    if not loose:
        return everything
    templates = [(agent.name in loose, Template(agent.topic, agent.site)) for agent in agents]

    def kept(topic: str) -> bool:
        levels = topic.split("/")
        return not all(is_loose for is_loose, template in templates if template.matches(levels))

    return kept
