"""`edgeward demo`, `simulate`, `replay` and `watch`: a world to try the gateway on, and a look at it."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from gateway.cli import load
from gateway.cli.arguments import Commands, add_broker_options, address_of, names, positive_number
from models.errors import UsageError

DEFAULT_SECONDS = 60.0


def add(commands: Commands[argparse.ArgumentParser]) -> None:
    """Describes the commands."""
    _add_demo(commands)
    _add_simulate(commands)
    _add_replay(commands)
    parser = commands.add_parser(
        "watch",
        help="a live, readable view of what goes by",
        description="Shows classifications, alerts, rejections and the state of gateways as they are "
        "published, until Ctrl-C. What patients' notes say is not shown.",
    )
    add_broker_options(parser, default="mqtt://127.0.0.1:1883")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.set_defaults(command=watch)


def _add_demo(commands: Commands[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "demo",
        help="a small ward and plant at accelerated time, with a broker of its own",
        description="Starts a broker, the gateway with all agents, and a simulated ward and plant; shows "
        "what happens, and at the end how it went. Off a terminal the last line is one JSON object.",
    )
    parser.add_argument(
        "--broker",
        metavar="URL",
        default="embedded",
        help="a broker of your own; user and password from the environment (default: one is started)",
    )
    parser.add_argument(
        "--for",
        dest="seconds",
        metavar="SECONDS",
        type=positive_number,
        default=DEFAULT_SECONDS,
        help=f"how long (default {DEFAULT_SECONDS:g})",
    )
    parser.add_argument("--speed", metavar="N", type=positive_number, help="times real time")
    parser.add_argument("--json", action="store_true", help="print the summary as one JSON object only")
    parser.set_defaults(command=demo)


def _add_simulate(commands: Commands[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "simulate",
        help="play a scenario to a broker",
        description="Plays a scenario, a shipped one's name or a TOML file, to a broker.",
    )
    parser.add_argument("scenario", metavar="SCENARIO")
    add_broker_options(parser, default="mqtt://127.0.0.1:1883")
    parser.add_argument("--truth", metavar="FILE", type=Path, help="write what really happens, as JSON")
    parser.add_argument(
        "--speed", metavar="N", type=float, default=1.0, help="times real time; 0: all at once"
    )
    parser.add_argument("--seed", type=int, help="default: the scenario's own")
    parser.add_argument("--site", help="default: a new name in each run")
    parser.add_argument("--start", metavar="TIME", help="RFC 3339 or now (default: the scenario's own)")
    parser.add_argument(
        "--devices", metavar="N", type=int, help="multiply beds and machines to N, 100000 at most"
    )
    parser.add_argument(
        "--sessions",
        metavar="HOW",
        default="pooled",
        help="per-device: an MQTT session for each of up to 2000 devices; pooled[:N]: devices share N "
        "(default pooled: 4)",
    )
    load.add_options(parser)
    parser.set_defaults(command=simulate)


def _add_replay(commands: Commands[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "replay",
        help="publish a real dataset or a recording once more, or write a dataset as a recording",
        description="Publishes a dataset's rows in order of arrival (see `edgeward data list`), or a "
        "recording's inputs with the bytes, order and spacing that they had.",
    )
    parser.add_argument("source", metavar="DATASET|RECORDING", help="a dataset's name, or a recording's file")
    add_broker_options(parser, default=None)
    parser.add_argument("--output", metavar="FILE", type=Path, help="write a recording instead")
    parser.add_argument("--truth", metavar="FILE", type=Path, help="write what a dataset's labels say")
    parser.add_argument(
        "--speed",
        metavar="N",
        type=float,
        help="times the time between the rows (default: a dataset as fast as it goes, a recording 1; 0: as "
        "fast as it goes)",
    )
    parser.add_argument("--rate", metavar="N", type=positive_number, help="messages a second")
    parser.add_argument(
        "--devices", metavar="N|A,B", type=_some_devices, help="only the first N devices, or those named"
    )
    parser.add_argument("--hours", metavar="H", type=positive_number, help="only each device's first H hours")
    parser.add_argument(
        "--disorder-hours", metavar="H", type=float, default=0.0, help="let rows arrive up to H hours late"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the disorder")
    parser.add_argument("--site", help="default: the dataset's name")
    parser.set_defaults(command=replay)


def _some_devices(text: str) -> int | list[str]:
    return int(text) if text.isdecimal() else names(text)


def watch(chosen: argparse.Namespace) -> int:
    """Shows what goes by."""
    from gateway.watch import watch as show

    return show(address_of(chosen), as_json=chosen.json)


def demo(chosen: argparse.Namespace) -> int:
    """Plays the demonstration."""
    from gateway.demo import demo as play

    return play(chosen.seconds, chosen.speed, chosen.broker, json_only=chosen.json)


def simulate(chosen: argparse.Namespace) -> int:
    """Plays a scenario, or loads a gateway with it."""
    if chosen.load is not None:
        return load.load(chosen)
    if chosen.seconds is not None or chosen.json:
        raise UsageError("--for and --json are for a load test: add --load RATE.")
    from gateway.access import access_to
    from gateway.progress import progress
    from gateway.signals import INTERRUPTED, stop_flag
    from simulators.simulate import simulate as play

    with stop_flag() as stopping, ExitStack() as shown:
        summary = play(
            chosen.scenario,
            access_to(address_of(chosen)),
            speed=chosen.speed,
            seed=chosen.seed,
            site=chosen.site,
            truth_path=chosen.truth,
            start=chosen.start,
            devices=chosen.devices,
            sessions=chosen.sessions,
            stop=stopping,
            say=_say,
            progress=lambda *run: shown.enter_context(progress(*run)),
        )
        was_stopped = stopping()
    print(summary)
    return INTERRUPTED if was_stopped else 0


def replay(chosen: argparse.Namespace) -> int:
    """Publishes a dataset or a recording, or writes a dataset as one."""
    from models.datasets import DATASETS

    if chosen.source not in DATASETS and Path(chosen.source).is_file():
        return _replay_recording(chosen)
    return _replay_dataset(chosen)


def _replay_dataset(chosen: argparse.Namespace) -> int:
    from gateway.access import access_to
    from gateway.signals import INTERRUPTED, stop_flag
    from models.datasets import data_directory
    from simulators.replay import replay as play

    if (chosen.broker is None) == (chosen.output is None):
        raise UsageError("A replay goes to --broker URL or to --output FILE, one of them.")
    with stop_flag() as stopping:
        summary = play(
            chosen.source,
            data_directory=data_directory(os.environ),
            access=None if chosen.broker is None else access_to(address_of(chosen)),
            output=chosen.output,
            speed=chosen.speed,
            rate=chosen.rate,
            devices=chosen.devices,
            hours=chosen.hours,
            disorder_hours=chosen.disorder_hours,
            seed=chosen.seed,
            site=chosen.site,
            truth_path=chosen.truth,
            stop=stopping,
            say=_say,
        )
        was_stopped = stopping()
    print(summary)
    return INTERRUPTED if was_stopped else 0


def _replay_recording(chosen: argparse.Namespace) -> int:
    from gateway.access import access_to
    from gateway.recording import is_output, read_recording
    from gateway.signals import INTERRUPTED, stop_flag
    from simulators.replay import Played, replay_recording

    for_datasets = ("output", "truth", "devices", "hours", "disorder_hours", "site")
    if given := [f"--{name.replace('_', '-')}" for name in for_datasets if getattr(chosen, name)]:
        raise UsageError(f"A recording plays as it is; {', '.join(given)} is for datasets.")
    if chosen.broker is None:
        raise UsageError("The replay of a recording goes to --broker URL.")

    def inputs() -> Iterator[Played]:
        for message in read_recording(Path(chosen.source)):
            if not is_output(message.topic):
                yield Played(message.topic, message.payload, message.time_ms)

    with stop_flag() as stopping:
        summary = replay_recording(
            inputs,
            access=access_to(address_of(chosen)),
            speed=chosen.speed,
            rate=chosen.rate,
            stop=stopping,
            say=_say,
        )
        was_stopped = stopping()
    print(summary)
    return INTERRUPTED if was_stopped else 0


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)
