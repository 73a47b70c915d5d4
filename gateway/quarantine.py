"""Whom the gateway blames for its deaths: inputs that are suspected or set aside, models that are set aside.

Pure rules over deaths, and one small JSON file that keeps what follows from them. An input that was being
worked on at a death runs alone from then on; dying on it alone proves it. Two inputs that one model's deaths
do not share prove the model. A kill from outside (memory, an operator, a power cut) says little: it makes
suspects, and only the third on the same input alone counts.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from gateway.journal import Death

PROVEN_DEATHS = 2
"""Deaths on one input, the last of them alone, that set it aside."""
PROVEN_KILLS = 3
"""Kills from outside that hit one input alone: twice may be chance where a gateway is killed often."""
MEMORY_MS = 24 * 3_600_000
"""How long a death counts against a model (a day): bad inputs months apart are no fault of the model."""
SUSPECTS_LIMIT = 4_096
"""Suspects remembered, and inputs set aside; the oldest make room."""
DEATHS_LIMIT = 16
"""Deaths remembered for one model; two that differ are enough to set it aside."""

FILE = "quarantine.json"
_FORMAT = 1


@dataclass(slots=True)
class _Suspect:
    deaths: int = 0
    killed_alone: int = 0


@dataclass(frozen=True, slots=True)
class Finding:
    """What a death has proved."""

    what: Literal["input", "model"]
    key: str
    """The input's key in hex, or the model's sha256."""


@dataclass(slots=True)
class Quarantine:
    """Suspects and what was set aside. `load` reads it, `save` writes it."""

    suspects: dict[bytes, _Suspect] = field(default_factory=dict)
    inputs: dict[bytes, int] = field(default_factory=dict)
    """Inputs set aside to when, epoch milliseconds."""
    models: dict[str, int] = field(default_factory=dict)
    """Models set aside (sha256) to when."""
    deaths: dict[str, list[tuple[int, frozenset[bytes]]]] = field(default_factory=dict)
    """A model's deaths: when, and the inputs of the step."""

    def learn(self, death: Death, now_ms: int) -> list[Finding]:
        """Draws the conclusions of one death at *now_ms*."""
        found: list[Finding] = []
        alone = len(death.keys) == 1
        blamed = death.cause != "killed"
        for key in death.keys:
            suspect = self.suspects.pop(key, None) or _Suspect()  # again at the end: the newest stay
            self.suspects[key] = suspect
            suspect.deaths += blamed
            suspect.killed_alone += alone and not blamed
            if alone and (suspect.deaths >= PROVEN_DEATHS or suspect.killed_alone >= PROVEN_KILLS):
                del self.suspects[key]
                self.inputs[key] = now_ms
                blamed = True  # now a kill, too, was this input's doing
                found.append(Finding("input", key.hex()))
        if blamed and death.model is not None and self._proves(death.model, frozenset(death.keys), now_ms):
            self.models[death.model] = now_ms
            found.append(Finding("model", death.model))
        for kept in (self.suspects, self.inputs):
            for key in list(kept)[: max(0, len(kept) - SUSPECTS_LIMIT)]:
                del kept[key]
        return found

    def cleared(self, key: bytes) -> None:
        """The input ran alone and nobody died."""
        self.suspects.pop(key, None)

    def _proves(self, model: str, keys: frozenset[bytes], now_ms: int) -> bool:
        """Whether *model*, with this death on *keys*, has died on two inputs that differ."""
        lately = [death for death in self.deaths.get(model, []) if abs(now_ms - death[0]) < MEMORY_MS]
        self.deaths[model] = [*lately, (now_ms, keys)][-DEATHS_LIMIT:]
        return model not in self.models and any(keys.isdisjoint(others) for _, others in lately)

    def save(self, folder: Path) -> None:
        """Writes it to *folder*, whole or not at all. Raises OSError."""
        fresh = folder / f"{FILE}.new"
        with fresh.open("w") as file:
            os.fchmod(file.fileno(), 0o600)
            json.dump(self._plain(), file)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(folder / FILE)

    def _plain(self) -> dict[str, Any]:
        return {
            "format": _FORMAT,
            "suspects": {key.hex(): [each.deaths, each.killed_alone] for key, each in self.suspects.items()},
            "inputs": {key.hex(): when for key, when in self.inputs.items()},
            "models": self.models,
            "deaths": {
                model: [[when, sorted(key.hex() for key in keys)] for when, keys in deaths]
                for model, deaths in self.deaths.items()
            },
        }


def load(folder: Path) -> Quarantine | None:
    """What `save` wrote to *folder*; a new one where there is none, None where it can't be read."""
    try:
        text = (folder / FILE).read_text("utf-8")
    except FileNotFoundError:
        return Quarantine()
    except (OSError, UnicodeDecodeError):
        return None
    try:
        return _from_plain(json.loads(text))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def _from_plain(plain: Mapping[str, Any]) -> Quarantine:
    if plain["format"] != _FORMAT:
        raise ValueError("another format")
    return Quarantine(
        {bytes.fromhex(key): _Suspect(int(each[0]), int(each[1])) for key, each in plain["suspects"].items()},
        {bytes.fromhex(key): int(when) for key, when in plain["inputs"].items()},
        {str(model): int(when) for model, when in plain["models"].items()},
        {
            str(model): [(int(when), frozenset(map(bytes.fromhex, keys))) for when, keys in deaths]
            for model, deaths in plain["deaths"].items()
        },
    )
