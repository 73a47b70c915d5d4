"""A run of `edgeward chaos` held against `edgeward run`: the same pipeline, over the same inputs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from gateway.recording import line_of, read_recording
from gateway.run import run_recording
from gateway.store import Store
from nodes.agents import AgentSettings, build_agent
from nodes.pipeline import Received
from simulators.ledger import Ledger

WITHOUT_WINDOW = ("triage-note", "log-line")
"""Agents whose answer rests on the one input alone, so that it is the same in whatever order inputs come."""
INPUTS = "inputs.jsonl"
"""A recording, in the run's folder, of what was sent to these agents."""


def compare(
    ledger: Ledger, agents: Sequence[AgentSettings], folder: Path, store: Path | None, *, gateway: str
) -> tuple[str, ...]:
    """Tells the *ledger* what an uninterrupted run answers, and returns the agents that were compared.

    Agents without a window over what was sent, in *folder*. The others, and alerts, over the readings in the
    order in which the gateway took them, which are in the state folder *store*; None where it has not kept
    them all. Results bear the name of the *gateway*.
    """
    windowless = [each for each in agents if each.name in WITHOUT_WINDOW]
    for result in _uninterrupted(folder / INPUTS, windowless, folder, gateway):
        ledger.compare(result.topic, result.payload)
    if store is None:
        return tuple(each.name for each in windowless)
    taken = folder / "taken.jsonl"
    with taken.open("wb") as recording, Store.open_to_read(store) as opened:
        for each in opened.readings():
            recording.write(line_of(each.topic, each.time_ms, each.payload))
    alerts = {}
    compared_above = tuple(f"/{name}" for name in WITHOUT_WINDOW)
    for result in _uninterrupted(taken, agents, folder, gateway):
        if "/alert/" in result.topic:
            alerts[result.topic] = result.payload
        elif not result.topic.endswith(compared_above):
            ledger.compare(result.topic, result.payload)
    ledger.compare_alerts(alerts)
    return tuple(each.name for each in agents)


def _uninterrupted(
    recording: Path, agents: Sequence[AgentSettings], folder: Path, gateway: str
) -> Iterator[Received]:
    """What `edgeward run` makes of *recording*."""
    results = folder / "results.jsonl"
    run_recording(recording, results, [build_agent(each) for each in agents], gateway=gateway)
    return read_recording(results)
