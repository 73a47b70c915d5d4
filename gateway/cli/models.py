"""`edgeward models`: the shipped models, and training, evaluating and running one over a file."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.cli.arguments import Commands

if TYPE_CHECKING:
    from nodes.agents import AgentSettings

TRAINABLE = ("triage-note", "deterioration", "sensor-anomaly", "log-line")
"""Models with a training module of their own."""


def add(commands: Commands[argparse.ArgumentParser]) -> None:
    """Describes the commands."""
    parser = commands.add_parser("models", help="models: list, show, train, evaluate, run one over a file")
    parts = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    listed = parts.add_parser("list", help="the shipped models")
    listed.add_argument("--json", action="store_true", help="one manifest a line")
    listed.set_defaults(command=show_list)
    shown = parts.add_parser("show", help="one model's card, or its manifest")
    shown.add_argument("name", metavar="NAME", help="a shipped model's name or a bundle's folder")
    shown.add_argument("--json", action="store_true", help="the manifest instead of the card")
    shown.set_defaults(command=show)
    for verb, command, text in (
        ("train", train, "train a model anew (needs the extra: pip install 'edgeward[train]')"),
        ("evaluate", evaluate, "measure a model on the data it was held back from"),
    ):
        part = parts.add_parser(verb, help=text, description=f"{text[:1].upper()}{text[1:]}.")
        part.add_argument("name", metavar="NAME", choices=TRAINABLE, help=", ".join(TRAINABLE))
        part.add_argument(
            "--data", metavar="DIR", type=Path, help="datasets (default EDGEWARD_DATA or ./data)"
        )
        part.add_argument("--made", metavar="DIR", type=Path, help="simulated data (default EDGEWARD_MADE)")
        part.add_argument("--seed", type=int, default=1, help="default 1")
        part.add_argument(
            "--output", metavar="DIR", type=Path, help="the bundle's folder (default: the shipped one)"
        )
        part.set_defaults(command=command)
    run = parts.add_parser(
        "run",
        help="run one model over a file of payloads",
        description="Reads event payloads as JSON lines and writes one answer a line: id, label, "
        "probability, scores, abstained. The lines count as one device's stream.",
    )
    run.add_argument("name", metavar="NAME", help="a shipped agent or model, or a bundle's folder")
    run.add_argument("--input", metavar="IN", type=Path, required=True, help="one payload a line")
    run.add_argument("--output", metavar="OUT", type=Path, required=True, help="one answer a line")
    run.set_defaults(command=run_model)


def show_list(chosen: argparse.Namespace) -> int:
    """Prints every shipped bundle."""
    from gateway.cli.output import table
    from models.bundle import MODEL, find_bundle, load_bundle, shipped

    bundles = [load_bundle(find_bundle(name)) for name in shipped()]
    if chosen.json:
        for bundle in bundles:
            print(bundle.manifest.model_dump_json())
        return 0
    table(
        ["name", "version", "kind", "bytes", "licence", "task"],
        [
            {
                "name": bundle.name,
                "version": bundle.version,
                "kind": bundle.manifest.kind,
                "bytes": len(bundle.files[MODEL]),
                "licence": bundle.manifest.licence,
                "task": bundle.manifest.task,
            }
            for bundle in bundles
        ],
    )
    return 0


def show(chosen: argparse.Namespace) -> int:
    """Prints a bundle's card or manifest."""
    import sys

    from models.bundle import CARD, find_bundle, load_bundle

    bundle = load_bundle(find_bundle(chosen.name))
    if chosen.json:
        print(bundle.manifest.model_dump_json(indent=2))
        return 0
    card = bundle.files[CARD].decode("utf-8", "replace")
    if sys.stdout.isatty():
        from rich.console import Console
        from rich.markdown import Markdown

        Console().print(Markdown(card))
    else:
        print(card)
    return 0


def train(chosen: argparse.Namespace) -> int:
    """Trains one model and prints its metrics as JSON; progress goes to standard error."""
    metrics = _trained(chosen.name, "train", **_places(chosen))
    print(json.dumps(metrics, indent=2))
    return 0


def evaluate(chosen: argparse.Namespace) -> int:
    """Measures one model and prints its metrics as JSON."""
    from models.bundle import load_bundle

    places = _places(chosen)
    metrics = _trained(chosen.name, "evaluate", **places, bundle=load_bundle(places["output"]))
    print(json.dumps(metrics, indent=2))
    return 0


def run_model(chosen: argparse.Namespace) -> int:
    """Writes one answer for each payload."""
    from gateway.recording import written_whole
    from nodes.agents import build_agent, judge_lines

    agent = build_agent(_settings(chosen.name))
    with written_whole(chosen.output) as output:
        for row in judge_lines(agent, _payloads(chosen.input)):
            output.write(json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode() + b"\n")
    return 0


def _settings(name: str) -> AgentSettings:
    """The shipped agent of that name or model, else an agent for the bundle in that folder."""
    from models.bundle import find_bundle, load_bundle
    from nodes.agents import SHIPPED, AgentSettings
    from nodes.outputs import ROOT

    for settings in SHIPPED:
        if name in (settings.name, settings.bundle or "news2"):
            return settings
    manifest = load_bundle(find_bundle(name)).manifest
    topic = f"{ROOT}/{{site}}/{{device}}/{manifest.kind}"
    return AgentSettings(name=manifest.name, kind=manifest.kind, topic=topic, bundle=name)


def _payloads(file: Path) -> Iterator[bytes]:
    from gateway.recording import LINE_LIMIT
    from models.errors import UsageError

    try:
        with file.open("rb") as opened:
            while line := opened.readline(LINE_LIMIT + 1):
                if len(line) > LINE_LIMIT:
                    raise UsageError(f"{file} has a line longer than {LINE_LIMIT} bytes.")
                if payload := line.rstrip(b"\r\n"):
                    yield payload
    except OSError as exc:
        raise UsageError(f"{file} can't be read: {exc.strerror}.") from exc


def _trained(name: str, verb: str, **arguments: Any) -> Any:
    """What a model's training module says; only the extra `train` brings all that it needs."""
    from importlib import import_module

    from models.errors import UsageError

    try:
        return getattr(import_module(f"models.training.{name.replace('-', '_')}"), verb)(**arguments)
    except ModuleNotFoundError as exc:
        if exc.name is None or exc.name.startswith("models"):
            raise
        raise UsageError(f"This needs {exc.name}: pip install 'edgeward[train]'.") from exc


def _places(chosen: argparse.Namespace) -> dict[str, Any]:
    """What every training module's `train` and `evaluate` take."""
    import sys

    from models.bundle import zoo
    from models.datasets import data_directory, made_directory

    return {
        "data": chosen.data or data_directory(os.environ),
        "made": chosen.made or made_directory(os.environ),
        "output": chosen.output or zoo() / chosen.name,
        "seed": chosen.seed,
        "report": lambda line: print(line, file=sys.stderr, flush=True),
    }
