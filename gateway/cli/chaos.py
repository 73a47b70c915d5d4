"""`edgeward chaos`: faults on purpose, and whether anything was lost."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from gateway.cli.arguments import Commands, names, positive_number


def add(commands: Commands[argparse.ArgumentParser]) -> None:
    """Describes the command."""
    parser = commands.add_parser(
        "chaos",
        help="kill and cut on purpose, and count what was lost",
        description="Starts a broker, the gateway and devices whose readings are counted; kills, cuts and "
        "spoils at random moments; and says at the end what was sent, acknowledged, answered and lost. "
        "Exit 1 when anything acknowledged was lost.",
    )
    parser.add_argument("--minutes", metavar="M", type=positive_number, default=1.0, help="(default 1)")
    parser.add_argument("--seed", metavar="N", type=int, default=1, help="of devices and faults (default 1)")
    parser.add_argument(
        "--broker", choices=("mosquitto", "nats-server"), help="default: mosquitto where it is installed"
    )
    parser.add_argument("--faults", metavar="A,B", type=names, help="what to stage; `list` lists them")
    parser.add_argument(
        "--rate", metavar="R", type=positive_number, default=420.0, help="readings a second (default 420)"
    )
    parser.add_argument("--devices", metavar="N", type=int, default=90, help="(default 90)")
    parser.add_argument("--agents", metavar="A,B", type=names, help="run only these of the shipped agents")
    parser.add_argument(
        "--kill-every",
        metavar="SECONDS",
        type=positive_number,
        default=5.0,
        help="between two kills of the gateway, on average; the other faults in proportion (default 5)",
    )
    parser.add_argument("--report", metavar="FILE", type=Path, help="write the ledger there, as JSON")
    parser.set_defaults(command=chaos)


def chaos(chosen: argparse.Namespace) -> int:
    """Stages it, or lists what there is to stage."""
    from gateway.chaos import chaos as stage
    from gateway.chaos_plan import DEFAULT, FAULTS, Settings
    from gateway.signals import stop_flag
    from models.errors import UsageError

    if chosen.faults == ["list"]:
        for name, fault in FAULTS.items():
            print(f"{name:<13} {fault.says}{' (by default)' * (name in DEFAULT)}")
        return 0
    if chosen.devices < 1:
        raise UsageError("There should be at least one device.")
    if chosen.report is not None:
        try:
            chosen.report.touch()  # before the run, which may be long
        except OSError as error:
            raise UsageError(f"{chosen.report} can't be written: {error.strerror}.") from error
    settings = Settings(
        seconds=chosen.minutes * 60,
        seed=chosen.seed,
        broker=chosen.broker,
        faults=DEFAULT if chosen.faults is None else chosen.faults,
        rate=chosen.rate,
        devices=chosen.devices,
        agents=chosen.agents,
        kill_seconds=chosen.kill_every,
    )
    with stop_flag() as stopping:
        report = stage(settings, say=_say, stop=stopping)
    if chosen.report is not None:
        chosen.report.write_text(json.dumps(report.as_json(), indent=2) + "\n", "utf-8")
    print(report.as_table())
    return 1 if report.faults else 0


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)
