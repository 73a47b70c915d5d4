"""The program of the child process in which a new model is tried: limits, a few inputs, golden answers.

`python -m gateway.trial FOLDER` ends with 0 and prints the bundle's identity, or with 1 and prints what is
wrong with it. A bundle may bring `golden.json`: payloads as publishers send them, taken as one device's
stream, and what the model answers.
"""

from __future__ import annotations

import json
import math
import resource
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gateway.firstload import MEMORY_BYTES, SECONDS, identity_of
from models.anomaly import Learn
from models.bundle import load_bundle
from models.errors import EdgewardError
from nodes.agents import build_agent
from nodes.agents.lines import judge_lines
from nodes.agents.settings import AgentSettings

GOLDEN = "golden.json"
LEARN_READINGS = 10
"""Readings that a sensor model learns from in a trial; the fewest that are allowed."""
_ORDINARY: dict[str, list[bytes]] = {
    "vitals": [b'{"hr":72,"rr":16,"spo2":97,"sbp":124,"dbp":78,"temp":36.8}'],
    "note": [b'{"text":"chest pain since this morning","age":61,"pain":6}', b'{"text":"","age":30}'],
    "log": [b"session opened for user backup", b"CRITICAL: disk 2 failed"],
    "sensor": [b'{"values":{"a":%d}}' % (number % 3) for number in range(LEARN_READINGS + 2)],
}
"""What a model is tried on when its bundle brings nothing: it only has to answer."""


class _Case(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    payload: dict[str, Any]
    label: str
    scores: dict[str, Annotated[float, Field(allow_inf_nan=False)]] = {}


class Golden(BaseModel):
    """`golden.json`: cases in order, and how far a score may be off under another runtime."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1]
    tolerance: Annotated[float, Field(gt=0, le=0.1)] = 0.02
    cases: Annotated[tuple[_Case, ...], Field(min_length=1, max_length=10_000)]


def fault_of(folder: Path) -> str | None:
    """What is wrong with the bundle in *folder*: a clause, or None. Raises ModelRefused."""
    bundle = load_bundle(folder)
    kind = bundle.manifest.kind
    learn = Learn(readings=LEARN_READINGS) if kind == "sensor" else None
    settings = AgentSettings("trial", kind, "{site}/{device}", str(folder), learn=learn)
    for row in judge_lines(build_agent(settings), _ORDINARY[kind]):
        if "rejected" in row:
            return f"it can't answer an ordinary input ({row['rejected']})"
    if GOLDEN not in bundle.files:
        return None
    try:
        golden = Golden.model_validate_json(bundle.files[GOLDEN])
    except ValidationError as exc:
        return f"{GOLDEN} is not valid ({exc.error_count()} faults)"
    payloads = [json.dumps(case.payload).encode() for case in golden.cases]
    answers = judge_lines(build_agent(settings), payloads)
    for number, (case, row) in enumerate(zip(golden.cases, answers, strict=True), 1):
        if row["label"] != case.label:
            return f"case {number} of {GOLDEN} is answered {row['label']}, expected is {case.label}"
        for name, expected in case.scores.items():
            got = row["scores"].get(name, math.nan)
            if not abs(got - expected) <= golden.tolerance:
                return f"case {number} of {GOLDEN} has {name} {got:.4g}, expected is {expected:.4g}"
    return None


def main(folder: Path) -> int:
    """Tries the bundle in *folder* under the limits."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        fault = fault_of(folder)
        said = fault or identity_of(load_bundle(folder))
    except MemoryError:
        fault = said = f"it needs more than {MEMORY_BYTES >> 20} MiB"
    except EdgewardError as exc:
        fault = said = str(exc)
    except Exception as exc:
        # Nothing is above: whatever it was, the parent hears one sentence.
        fault = said = f"it fails with {type(exc).__name__}"
    print(said)
    return 0 if fault is None else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
