"""Recordings and configurations, as the score takes them: it lies among the simulators and knows neither."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from gateway.config import choose_agents, load_config
from gateway.recording import read_recording
from nodes.agents.settings import SHIPPED
from simulators.score import Run, judge
from simulators.signals import Signals
from simulators.truth import Truth

SHIPPED_KINDS: Mapping[str, str] = {agent.name: agent.kind for agent in SHIPPED}
"""The shipped agents, each with the kind of input that it reads."""


def agent_kinds(config: Path | None) -> Mapping[str, str]:
    """Agent to kind of input, of the configuration in *config* or of the shipped agents."""
    if config is None:
        return SHIPPED_KINDS
    return {agent.name: agent.kind for agent in choose_agents(load_config(config))}


def judge_recordings(
    truth: Truth, recordings: Sequence[Path], kinds: Mapping[str, str]
) -> tuple[Run, Signals]:
    """One run, in one file or in several (inputs, then outputs), against *truth*, and the signals to draw.

    Raises `UsageError`.
    """
    signals = Signals(truth.site)

    def messages() -> Iterator[tuple[str, bytes]]:
        for recording in recordings:
            for received in read_recording(recording):
                signals.came(received.topic, received.payload)
                yield received.topic, received.payload

    return judge(truth, messages(), kinds), signals
