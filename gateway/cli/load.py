"""`edgeward simulate --load`: a load test, and how its result is shown."""

from __future__ import annotations

import argparse
import json
import secrets
import sys
from typing import TYPE_CHECKING, Any

from gateway.cli.arguments import address_of, positive_number
from gateway.cli.output import table
from models.errors import UsageError

if TYPE_CHECKING:  # describing the command must not load what runs it
    from simulators.latency import Quantiles
    from simulators.load_report import LoadReport

DEFAULT_SECONDS = 30.0
QUANTILES = ("p50", "p90", "p99", "p99.9", "max")


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of `simulate` that make it a load test."""
    group = parser.add_argument_group("load test")
    group.add_argument(
        "--load",
        metavar="RATE",
        type=positive_number,
        help="send RATE messages a second by the clock, whatever comes back, and report loss, duplicates, "
        "order and latencies from the intended send times",
    )
    group.add_argument(
        "--for",
        dest="seconds",
        metavar="SECONDS",
        type=positive_number,
        help=f"how long (default {DEFAULT_SECONDS:g})",
    )
    group.add_argument("--json", action="store_true", help="print the report as one JSON object")


def load(chosen: argparse.Namespace) -> int:
    """Loads the gateway with a scenario's messages and prints what was measured."""
    from gateway.access import access_to
    from gateway.signals import INTERRUPTED, stop_flag
    from simulators.load import load as play
    from simulators.play import checked_site
    from simulators.resources import allow_sessions
    from simulators.scenario import load_scenario
    from simulators.simulate import session_plan
    from simulators.world import World

    if chosen.truth is not None or chosen.start is not None:
        raise UsageError("A load keeps to the clock: it has no --truth and no --start.")
    world = World(*load_scenario(chosen.scenario), seed=chosen.seed, devices=chosen.devices)
    keys, count = session_plan(chosen.sessions, world)
    allow_sessions(len(keys or ()) or count)
    with stop_flag() as stopping:
        report = play(
            world.messages(stopping),
            access_to(address_of(chosen)),
            rate=chosen.load,
            seconds=chosen.seconds or DEFAULT_SECONDS,
            site=checked_site(chosen.site or f"load-{secrets.token_hex(3)}"),
            keys=keys,
            count=count,
            stop=stopping,
            say=lambda sentence: print(sentence, file=sys.stderr, flush=True),
        )
        was_stopped = stopping()
    show(report, as_json=chosen.json)
    return INTERRUPTED if was_stopped else 0


def show(report: LoadReport, *, as_json: bool) -> None:
    """Prints *report* to standard output: tables and sentences, or one JSON object."""
    if as_json:
        print(json.dumps(report.as_json()))
        return
    end = "" if report.finished else " It did not come to its end."
    print(
        f"Site {report.site}: sent {report.sent} messages in {report.seconds:.1f} s, "
        f"{report.achieved_rate:.1f} a second of {report.rate:g} asked for; "
        f"{report.acknowledged} acknowledged.{end}"
    )
    print(
        f"Answers: {report.lost} lost, {report.duplicates} duplicates, {report.reordered} out of order. "
        f"The generator used {report.cpu_share:.0%} of a core."
    )
    columns = ["milliseconds from the intended send time", "count", *QUANTILES]
    rows = [
        _row("to classification", report.classification),
        *(_row(f"  {line.agent}", line.classification) for line in report.agents),
        _row("to alert", report.alert),
        *(_row(f"  {line.agent}", line.alert) for line in report.agents if line.alert is not None),
        _row("to being sent", report.send_lag),
    ]
    table(columns, [dict(zip(columns, row, strict=True)) for row in rows])
    for remark in report.remarks:
        print(remark)


def _row(what: str, found: Quantiles | None) -> list[Any]:
    if found is None:
        return [what, 0, *[None] * len(QUANTILES)]
    values = (found.p50_ms, found.p90_ms, found.p99_ms, found.p99_9_ms, found.max_ms)
    return [what, found.count, *(f"{value:.1f}" for value in values)]
