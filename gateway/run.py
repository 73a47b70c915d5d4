"""`edgeward run`: the gateway's pipeline over a recording, without a broker, as fast as it goes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from gateway.recording import line_of, read_recording, written_whole
from nodes.agents import Agent
from nodes.pipeline import Clock, Pipeline
from nodes.tally import Tally

BATCH = 256
"""Messages processed together on the events clock. Batches change no result, only the speed."""
GATEWAY = "run"
"""The gateway's name in results where no configuration gives one: the same on every machine."""


def run_recording(
    recording: Path,
    results: Path,
    agents: Sequence[Agent[Any, Any]],
    *,
    clock: Clock = "events",
    historical_after_ms: int = 600_000,
    gateway: str = GATEWAY,
) -> Tally:
    """Processes *recording* into *results*, both as in `recording`, and returns what was counted.

    The same recording and agents give the same bytes: an input with neither id nor time gets its id from the
    recording's content and its own line, and `classified` is the time of arrival.
    Raises UsageError for a bad line, and then writes nothing.
    """
    pipeline = Pipeline(
        agents,
        gateway=gateway,
        clock=clock,
        historical_after_ms=historical_after_ms,
    )
    messages = read_recording(recording)
    # On the wall clock alerts also end between two messages, so each is a turn of its own.
    size = BATCH if clock == "events" else 1
    with written_whole(results) as output:
        while batch := list(islice(messages, size)):
            for ended in pipeline.tick(batch[0].time_ms):
                output.write(line_of(ended.topic, batch[0].time_ms, ended.payload))
            for received, outcome in zip(batch, pipeline.process(batch), strict=True):
                for publication in outcome.publications:
                    output.write(line_of(publication.topic, received.time_ms, publication.payload))
    return pipeline.counters
