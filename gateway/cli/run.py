"""`edgeward run`: a recording in, results out."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from gateway.cli.arguments import Commands, names


def add(commands: Commands[argparse.ArgumentParser]) -> None:
    """Describes the command."""
    parser = commands.add_parser(
        "run",
        help="run the same pipeline over a recording, without a broker",
        description='Reads JSON lines {"topic", "time", "payload"} (time: arrival, epoch milliseconds; '
        "payload: the exact text or an object; or payload_base64) and writes what the gateway would publish "
        "in the same form. The same input gives the same bytes.",
    )
    parser.add_argument("--input", metavar="RECORDING", type=Path, required=True, help="JSON lines to read")
    parser.add_argument("--output", metavar="RESULTS", type=Path, required=True, help="JSON lines to write")
    parser.add_argument("--config", metavar="FILE", type=Path, help="a TOML file; see deploy/edgeward.toml")
    parser.add_argument("--agents", metavar="A,B", type=names, help="run only these agents")
    parser.add_argument(
        "--clock", choices=("wall", "events"), help="what now is (default: the configuration's, else events)"
    )
    parser.add_argument("--json", action="store_true", help="print the counters as one JSON object")
    parser.set_defaults(command=run)


def run(chosen: argparse.Namespace) -> int:
    """Runs the pipeline and prints what was counted."""
    from gateway.config import Config, choose_agents, load_config
    from gateway.run import GATEWAY, run_recording
    from nodes.agents import build_agent

    config = Config() if chosen.config is None else load_config(chosen.config)
    agents = [build_agent(settings) for settings in choose_agents(config, chosen.agents)]
    tally = run_recording(
        chosen.input,
        chosen.output,
        agents,
        clock=chosen.clock or config.gateway.clock or "events",
        historical_after_ms=round(config.gateway.historical_after_minutes * 60_000),
        gateway=config.gateway.name or GATEWAY,
    )
    counted = {
        name: getattr(tally, name) for name in ("received", "classified", "in_part", "rejected", "repeated")
    }
    if chosen.json:
        print(json.dumps({**counted, "reasons": dict(sorted(tally.reasons.items()))}))
    else:
        print(", ".join(f"{number} {name.replace('_', ' ')}" for name, number in counted.items()) + ".")
    return 0
