"""The agents whose model gives one score: deterioration, sensor anomaly and log line.

They differ in what they observe; what a score means for the alert is the same for all.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from models.anomaly import AnomalyModel, Learn, SensorNormal
from models.bundle import Bundle
from models.lines import LineClassifier
from models.risk import RiskModel, VitalsWindow
from models.scored import Scored
from nodes.agents.base import Answer, above, model_reference
from nodes.agents.settings import AgentSettings
from nodes.codec import Reading
from nodes.events import Kind, Log, Sensor, Vitals

Features = npt.NDArray[np.float32]

RISK_INPUTS = ("hr", "rr", "spo2", "sbp", "dbp", "temp")
"""The vital signs that the deterioration model looks at."""


class _ScoreAgent:
    """What the three share: identity, thresholds (settings before the bundle's), and the judgement.

    The model comes first: it refuses a bundle whose thresholds it lacks.
    """

    def __init__(self, settings: AgentSettings, bundle: Bundle, score: str) -> None:
        # A bundle that names one threshold alone means it for the label and for the alert.
        label = bundle.manifest.thresholds["label"]
        on, off = (bundle.manifest.thresholds.get(each, label) for each in ("on", "off"))
        self.name = settings.name
        self.topic = settings.topic
        self.site = settings.site
        self.model = model_reference(bundle)
        self.off_after_ms = settings.off_after_ms
        self._on = on if settings.on is None else settings.on
        self._off = off if settings.off is None else settings.off
        self._score = score

    def _answers(self, results: Sequence[Scored]) -> list[Answer]:
        return [
            Answer(
                scored,
                None
                if scored.abstained
                else above(self._score, round(scored.scores[self._score], 6), self._on, self._off),
            )
            for scored in results
        ]


class DeteriorationAgent(_ScoreAgent):
    """Publishes the risk of deterioration at every reading of a patient's vital signs."""

    kind: Kind = "vitals"

    def __init__(self, settings: AgentSettings, bundle: Bundle, *, runtime: str | None = None) -> None:
        self._model = RiskModel(bundle, runtime=runtime)
        super().__init__(settings, bundle, "risk")

    def new_state(self) -> VitalsWindow:
        """An empty window."""
        return VitalsWindow()

    def observe(self, state: VitalsWindow, reading: Reading) -> Features:
        """The window's features at the reading's time."""
        assert isinstance(reading.payload, Vitals)  # noqa: S101 - the pipeline routes by kind
        sent = {name: getattr(reading.payload, name) for name in RISK_INPUTS}
        return state.add(reading.time_ms, {name: value for name, value in sent.items() if value is not None})

    def answer(self, observations: Sequence[Features]) -> list[Answer]:
        """One risk a reading."""
        return self._answers(self._model.score(observations))

    def dump(self, state: VitalsWindow) -> bytes:
        """The window."""
        return state.dump()

    def load(self, raw: bytes) -> VitalsWindow:
        """The window again."""
        return VitalsWindow.load(raw)


class AnomalyAgent(_ScoreAgent):
    """Learns each machine's own normal start, then publishes how far each reading is from it."""

    kind: Kind = "sensor"

    def __init__(self, settings: AgentSettings, bundle: Bundle, *, runtime: str | None = None) -> None:
        self._model = AnomalyModel(bundle, runtime=runtime)
        super().__init__(settings, bundle, "anomaly")
        self._learn = settings.learn or Learn()

    def new_state(self) -> SensorNormal:
        """A normal that is still to be learnt."""
        return SensorNormal(self._learn)

    def observe(self, state: SensorNormal, reading: Reading) -> Features | None:
        """The reading's features against the learnt normal; None while learning."""
        assert isinstance(reading.payload, Sensor)  # noqa: S101 - the pipeline routes by kind
        return state.add(reading.time_ms, reading.payload.values)

    def answer(self, observations: Sequence[Features | None]) -> list[Answer]:
        """One score a reading; `learning`, abstained, before the normal is known."""
        scored = iter(self._answers(self._model.score([each for each in observations if each is not None])))
        learning = Answer(Scored("learning", None, abstained=True), None)
        return [learning if each is None else next(scored) for each in observations]

    def dump(self, state: SensorNormal) -> bytes:
        """What is learnt."""
        return state.dump()

    def load(self, raw: bytes) -> SensorNormal:
        """What was learnt."""
        return SensorNormal.load(raw, self._learn)


class LineAgent(_ScoreAgent):
    """Publishes whether a log line is an alert; the alert ends by time, not by the next harmless line."""

    kind: Kind = "log"

    def __init__(self, settings: AgentSettings, bundle: Bundle, *, runtime: str | None = None) -> None:
        self._classifier = LineClassifier(bundle, runtime=runtime)
        super().__init__(settings, bundle, "alert")
        # Harmless lines follow every alert line, so that none of them may end the alert.
        self._off = float("-inf") if settings.off is None else settings.off

    def new_state(self) -> None:
        """Each line stands by itself."""

    def observe(self, state: None, reading: Reading) -> str:  # noqa: ARG002 - the protocol's shape
        """The line."""
        assert isinstance(reading.payload, Log)  # noqa: S101 - the pipeline routes by kind
        return reading.payload.line

    def answer(self, observations: Sequence[str]) -> list[Answer]:
        """One label a line."""
        return self._answers(self._classifier.classify(observations))

    def dump(self, state: None) -> bytes:  # noqa: ARG002 - the protocol's shape
        """Nothing."""
        return b""

    def load(self, raw: bytes) -> None:
        """Nothing."""
