"""`edgeward record`: live topics kept as a recording."""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict
from pathlib import Path

from gateway.cli.arguments import Commands, add_broker_options, address_of, positive_number


def add(commands: Commands[argparse.ArgumentParser]) -> None:
    """Describes the command."""
    parser = commands.add_parser(
        "record",
        help="keep live topics as a recording",
        description="Keeps what is published as JSON lines that `edgeward run` reads and `edgeward replay` "
        "plays again, until Ctrl-C. A recording that is there already goes on.",
    )
    add_broker_options(parser, default="mqtt://127.0.0.1:1883")
    parser.add_argument("--output", metavar="FILE", type=Path, required=True, help="the recording")
    parser.add_argument(
        "--topics",
        metavar="FILTER",
        action="append",
        help="an MQTT topic filter, which may be given several times (default edgeward/#)",
    )
    parser.add_argument("--for", dest="seconds", metavar="SECONDS", type=positive_number, help="how long")
    parser.add_argument("--json", action="store_true", help="print what was kept as one JSON object")
    parser.set_defaults(command=record)


def record(chosen: argparse.Namespace) -> int:
    """Records, and says how much was kept."""
    from gateway.access import access_to
    from gateway.record import TOPICS
    from gateway.record import record as keep
    from gateway.signals import stop_flag

    with stop_flag() as stopping:
        kept = keep(
            access_to(address_of(chosen)),
            chosen.output,
            topics=chosen.topics or TOPICS,
            seconds=chosen.seconds,
            now_ms=lambda: time.time_ns() // 1_000_000,
            stop=stopping,
            say=lambda sentence: print(sentence, file=sys.stderr, flush=True),
        )
    print(json.dumps({**asdict(kept), "output": str(chosen.output)}) if chosen.json else kept)
    return 0
