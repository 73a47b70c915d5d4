"""The command line: `edgeward`. One module for each group of commands; this one joins them and ends them.

A command's module is imported to describe itself, so it imports what it needs to work inside its function.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from gateway.cli import (
    chaos,
    check,
    data,
    gateway,
    models,
    record,
    run,
    score,
    store,
    version,
    world,
)
from gateway.cli.arguments import Parser
from gateway.log import configure
from gateway.signals import INTERRUPTED
from models.errors import (
    ConfigRefused,
    DataMissing,
    EdgewardError,
    StoreDamaged,
    StoreUnwritable,
    UsageError,
)

DESCRIPTION = """\
Edgeward reads vital signs, patient notes, sensor readings and log lines from MQTT, runs small TFLite models
on them on this machine, and publishes classifications and alerts back. It is not a medical device."""

EPILOG = """\
Start with `edgeward demo`: it brings its own broker and plays a small ward and a small plant. With a broker
of your own: `edgeward gateway --broker mqtt://HOST:1883` in one terminal, `edgeward watch` in another."""


def exit_code(error: EdgewardError) -> int:
    """2 for a wrong call or configuration, 3 for missing data, 4 for the store's disk, 1 for all else."""
    if isinstance(error, UsageError | ConfigRefused):
        return 2
    if isinstance(error, StoreDamaged | StoreUnwritable):
        return 4
    return 3 if isinstance(error, DataMissing) else 1


def build_parser() -> Parser:
    """The whole command line."""
    parser = Parser(prog="edgeward", description=DESCRIPTION, epilog=EPILOG)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for module in (gateway, run, check, world, record, score, store, chaos, models, data, version):
        module.add(commands)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code; what went wrong is one sentence on standard error."""
    configure()
    try:
        chosen = build_parser().parse_args(arguments)
        code: int = chosen.command(chosen)
        sys.stdout.flush()
    except EdgewardError as error:
        print(f"edgeward: {error}", file=sys.stderr)
        return exit_code(error)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has gone; without this Python complains once more when it closes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return code
