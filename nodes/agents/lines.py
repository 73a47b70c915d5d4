"""One agent over a file of payloads, one a line: what `edgeward models run` does."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from models.errors import InputRefused
from nodes.agents.base import Agent, answer_each
from nodes.codec import Reading, decode, input_time
from nodes.outputs import rounded
from nodes.topics import Identity

BATCH = 256
"""Payloads judged together."""

_ONE = Identity("models", "run")


def judge_lines(agent: Agent[Any, Any], payloads: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    """The agent's answer to each payload, in order, all of them taken as one device's stream.

    Yields `id`, `label`, `probability`, `scores`, `abstained`; for a payload that can't be used `id` and
    `label` are None and `rejected` says why. A payload without a time takes the newest time before it.
    """
    state = agent.new_state()
    newest_ms = 0
    stream = iter(payloads)
    while batch := list(islice(stream, BATCH)):
        rows: list[dict[str, Any] | None] = []
        ids: list[str | None] = []
        observations: list[Any] = []
        for raw in batch:
            try:
                payload = decode(agent.kind, raw).payload
                time_ms = input_time(payload, newest_ms)
            except InputRefused as exc:
                rows.append({"id": None, "label": None, "rejected": str(exc)})
                continue
            newest_ms = max(newest_ms, time_ms)
            rows.append(None)
            ids.append(payload.id)
            observations.append(agent.observe(state, Reading(_ONE, time_ms, payload)))
        answers = zip(ids, answer_each(agent, observations), strict=True)
        for row in rows:
            if row is not None:
                yield row
                continue
            input_id, answer = next(answers)
            if isinstance(answer, InputRefused):
                yield {"id": input_id, "label": None, "rejected": str(answer)}
                continue
            scored = answer.scored
            yield {
                "id": input_id,
                "label": scored.label,
                "probability": None if scored.probability is None else rounded(scored.probability),
                "scores": {name: rounded(value) for name, value in scored.scores.items()},
                "abstained": scored.abstained,
            }
