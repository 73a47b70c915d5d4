"""The contract as JSON Schema (draft 2020-12), made from the types: `python -m nodes.schemas FOLDER`."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel

from nodes.events import PAYLOADS
from nodes.outputs import AlertEvent, ClassificationEvent, Counters, RejectedEvent, TechnicalEvent

TYPES: Mapping[str, type[BaseModel]] = {
    **{f"in.{kind}": payload for kind, payload in PAYLOADS.items()},
    "out.classification": ClassificationEvent,
    "out.alert": AlertEvent,
    "out.rejected": RejectedEvent,
    "out.technical": TechnicalEvent,
    "out.counters": Counters,
}
"""Schema's file name, without its ending, to the type it is made from."""


def schemas() -> dict[str, str]:
    """File name to the text of its JSON Schema, byte for byte the same for the same types."""
    texts = {}
    for name, kind in TYPES.items():
        schema = kind.model_json_schema(mode="validation")
        schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
        texts[f"{name}.schema.json"] = json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
    return texts


def write(folder: Path) -> None:
    """Writes every schema into *folder*, made if it is not there."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in schemas().items():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
