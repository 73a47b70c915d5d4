"""The pipeline under guard: what it works on is on record, what hangs is ended, what kills is set aside.

`Guard` owns the journal, the quarantine and the watchdog of one state folder; `GuardedPipeline` and
`GuardedAgent` are the two places where work passes by them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import structlog

from gateway.journal import KEYS_LIMIT, Journal, crashes_noted, key_of
from gateway.log import frames, pseudonym
from gateway.quarantine import Quarantine, load
from gateway.watchdog import DEADLINE_SECONDS, Watchdog
from models.errors import InputRefused
from models.scored import Scored
from nodes.agents.base import Agent, Answer
from nodes.codec import Reading
from nodes.pipeline import Outcome, Pipeline, Received
from nodes.reasons import Reason

UNAVAILABLE = Answer(Scored("unavailable", None, abstained=True), None)
"""What an agent answers while its model is set aside."""


class Guard:
    """What is known of past deaths, and the means to notice the next; entered once, at the start."""

    def __init__(
        self,
        folder: Path,
        *,
        now_ms: Callable[[], int],
        deadline_seconds: float = DEADLINE_SECONDS,
    ) -> None:
        self._folder = folder
        self._now_ms = now_ms
        self._opened = ExitStack()
        self._log: structlog.typing.FilteringBoundLogger = structlog.get_logger()
        self.quarantine = Quarantine()
        self.journal = self._opened.enter_context(Journal(folder))
        self.watchdog = Watchdog(deadline_seconds, on_hang=lambda: self.journal.mark("hung"))

    def __enter__(self) -> Self:
        """Draws the conclusions of the last process's death, if it died at work."""
        if self.journal.fault is not None:
            self._log.error("journal_not_kept", sentence=self.journal.fault)
        self._remember()
        self._opened.enter_context(crashes_noted(self._folder))
        self._opened.enter_context(self.watchdog)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._opened.close()

    def sets_aside(self, model: str) -> bool:
        """Whether the model with this sha256 is out of use."""
        return model in self.quarantine.models

    def survived(self, key: bytes) -> None:
        """A suspect ran alone and all went well."""
        self.quarantine.cleared(key)
        if not self.quarantine.suspects:
            self._save()

    def _remember(self) -> None:
        known = load(self._folder)
        if known is None:
            self._log.warning("quarantine_unreadable")
        self.quarantine = known or Quarantine()
        if (death := self.journal.left) is not None:
            self._log.error(
                "died_at_work", type=death.cause, count=len(death.keys), model=_short(death.model)
            )
            for finding in self.quarantine.learn(death, self._now_ms()):
                if finding.what == "input":
                    self._log.error("input_set_aside", who=pseudonym(finding.key))
                else:
                    self._log.error("model_set_aside", model=_short(finding.key))
            self._save()
        # Only now: a death before this line is found again by the next start.
        self.journal.clear()

    def _save(self) -> None:
        try:
            self.quarantine.save(self._folder)
        except OSError as exc:
            self._log.error("quarantine_not_kept", sentence=f"{exc.strerror}.")


class GuardedAgent:
    """An agent whose model's every run is on record and has a deadline."""

    def __init__(self, agent: Agent[Any, Any], guard: Guard) -> None:
        self._agent = agent
        self._guard = guard
        self._log: structlog.typing.FilteringBoundLogger = structlog.get_logger()
        self.name = agent.name
        self.kind = agent.kind
        self.topic = agent.topic
        self.site = agent.site
        self.model = agent.model
        self.off_after_ms = agent.off_after_ms
        if guard.sets_aside(agent.model.sha256):
            self._log.warning("agent_unavailable", agent=agent.name, model=_short(agent.model.sha256))

    def new_state(self) -> Any:
        """As the agent's."""
        return self._agent.new_state()

    def dump(self, state: Any) -> bytes:
        """As the agent's."""
        return self._agent.dump(state)

    def load(self, raw: bytes) -> Any:
        """As the agent's."""
        return self._agent.load(raw)

    def observe(self, state: Any, reading: Reading) -> Any:
        """As the agent's; also while its model is set aside, so that windows stay whole."""
        return self._agent.observe(state, reading)

    def answer(self, observations: Sequence[Any]) -> list[Answer]:
        """As the agent's, or `unavailable` while its model is set aside.

        Raises InputRefused also for an error that nobody thought of: it is logged, and costs this input only.
        """
        if self._guard.sets_aside(self.model.sha256):
            return [UNAVAILABLE] * len(observations)
        with self._guard.journal.model(self.model.sha256), self._guard.watchdog.step():
            try:
                return self._agent.answer(observations)
            except InputRefused:
                raise
            except Exception as exc:
                # Answering changes no state, so that the loop can go on with the next input.
                self._log.error(
                    "answer_failed",
                    agent=self.name,
                    type=type(exc).__name__,
                    frames=frames(exc.__traceback__),
                )
                raise InputRefused(Reason.NOT_RUNNABLE) from exc


class GuardedPipeline(Pipeline):
    """A pipeline that works on suspects one at a time and on what was set aside not at all."""

    def __init__(self, agents: Sequence[Agent[Any, Any]], *, guard: Guard, **settings: Any) -> None:
        super().__init__(agents, **settings)
        self._guard = guard

    def process(self, batch: Sequence[Received]) -> list[Outcome]:
        """What becomes of each message, in order; batches change no result, so that they may be cut."""
        outcomes: list[Outcome] = []
        for portion, keys in self._portions(batch):
            if keys[0] in self._guard.quarantine.inputs:
                outcomes.append(self.reject(portion[0], InputRefused(Reason.SET_ASIDE)))
                continue
            with self._guard.journal.step(keys), self._guard.watchdog.step():
                outcomes += super().process(portion)
            if keys[0] in self._guard.quarantine.suspects:
                self._guard.survived(keys[0])
        return outcomes

    @property
    def fault(self) -> str | None:
        """Which agents answer `unavailable`; None while all models are in use."""
        names = [
            agent.name
            for agent, _ in self._agents
            if isinstance(agent, GuardedAgent) and self._guard.sets_aside(agent.model.sha256)
        ]
        if not names:
            return None
        return (
            f"The gateway died of a model more than once: without it {', '.join(names)} answers unavailable."
        )

    def _portions(self, batch: Sequence[Received]) -> Iterator[tuple[list[Received], list[bytes]]]:
        """The batch cut into runs of at most KEYS_LIMIT, and suspects and those set aside alone."""
        portion: list[Received] = []
        keys: list[bytes] = []
        quarantine = self._guard.quarantine
        for received in batch:
            key = key_of(received.topic, received.payload)
            alone = key in quarantine.suspects or key in quarantine.inputs
            if portion and (alone or len(portion) == KEYS_LIMIT):
                yield portion, keys
                portion, keys = [], []
            if alone:
                yield [received], [key]
            else:
                portion.append(received)
                keys.append(key)
        if portion:
            yield portion, keys


def _short(sha256: str | None) -> str | None:
    """Enough of a hash to find the model by."""
    return None if sha256 is None else sha256[:12]
