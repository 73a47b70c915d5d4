"""What every model answers with. Nothing else lives here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Scored:
    """One answer of one model for one input."""

    label: str
    """The label that is published: one of the manifest's, or when abstained `learning`, `unknown`…"""
    probability: float | None
    """Probability of *label*, 0 to 1; None where the model gives none (NEWS2)."""
    scores: Mapping[str, float] = field(default_factory=dict)
    """Name to value, 0 to 1: a probability for each label, or a named score such as `risk`."""
    abstained: bool = False
    """True when the model declines to answer: inputs too few, too old, or still learning."""
