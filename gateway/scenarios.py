"""Every shipped scenario through the gateway's pipeline, and the score of all as a page.

    python -m gateway.scenarios docs/scenarios.md

writes the page, the same bytes each time, and a report with timelines for each scenario to another folder.
Some scenarios also go through a real broker and a real gateway, and must give the same score.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from gateway.log import configure
from gateway.recording import line_of, written_whole
from gateway.run import run_recording
from gateway.scenario_live import play_live
from gateway.scoring import SHIPPED_KINDS, judge_recordings
from models.errors import EdgewardError, UsageError
from nodes.agents import Agent, build_agent
from nodes.agents.settings import SHIPPED
from simulators.path import without_cuts
from simulators.play import TOPIC
from simulators.report import write_report
from simulators.scenario import load_scenario, shipped_scenarios
from simulators.score import Run, Score, judge
from simulators.score_json import as_json
from simulators.score_table import Table, tables
from simulators.signals import Signals
from simulators.world import World

REPORTS = Path("build/scenarios")
"""Where the reports go; not under version control."""
LIVE = ("busy-emergency", "mixed-hospital", "sepsis-ward", "valve-closing")
"""Scenarios that also go through a real broker: each kind of input, and faults of the path."""

_HEAD = """\
# What the gateway makes of the scenarios

Every scenario in `simulators/scenarios` through the gateway's pipeline with the shipped agents, on the events
clock, and judged against its truth. `make scenarios` wrote this page; the same code and seeds give the same
bytes. What each word means is told in [scoring.md](scoring.md). These are simulated worlds: what an agent
is worth on real data stands in its model's card.
"""
_LIVE = """
Also through a real broker and a real gateway, with the same score: {}.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Plays all scenarios and writes the page and the reports; 1 when something could not be done."""
    parser = argparse.ArgumentParser(prog="python -m gateway.scenarios", description=__doc__)
    parser.add_argument(
        "page", metavar="FILE", type=Path, help="the page to write, for instance docs/scenarios.md"
    )
    parser.add_argument("--reports", metavar="FOLDER", type=Path, default=REPORTS, help=f"default {REPORTS}")
    chosen = parser.parse_args(arguments)
    configure()
    try:
        chosen.reports.mkdir(parents=True, exist_ok=True)
        write_page(chosen.page, play_all(shipped_scenarios(), chosen.reports))
    except (EdgewardError, OSError) as error:
        print(f"scenarios: {error}", file=sys.stderr)
        return 1
    return 0


def play_all(names: Sequence[str], reports: Path) -> dict[str, tuple[World, Run]]:
    """The scenarios *names*, played and judged, a report of each in the folder *reports*; by name."""
    agents = [build_agent(settings) for settings in SHIPPED]
    played: dict[str, tuple[World, Run]] = {}
    for name in names:
        begun_s = time.monotonic()
        world = World(*load_scenario(name))
        with tempfile.TemporaryDirectory(prefix="edgeward-scenario-") as folder:
            run, signals = play_scenario(world, agents, Path(folder))
        write_report(reports / f"{name}.html", [(run, signals)], Score([run], SHIPPED_KINDS))
        if name in LIVE:
            check_live(world, run)
        played[name] = (world, run)
        print(f"{name}: {run.counts['input']} inputs, {time.monotonic() - begun_s:.1f} s", file=sys.stderr)
    return played


def play_scenario(world: World, agents: Sequence[Agent[Any, Any]], folder: Path) -> tuple[Run, Signals]:
    """One world through the pipeline without a broker, its recordings in *folder*, judged."""
    inputs, outputs = folder / "inputs.jsonl", folder / "outputs.jsonl"
    path = world.path()
    with written_whole(inputs) as recording:
        for sent in without_cuts(world.played(path)):
            topic = TOPIC.format(site=world.name, device=sent.device, kind=sent.kind)
            recording.write(line_of(topic, sent.time_ms, sent.body))
    run_recording(inputs, outputs, agents)
    truth = replace(world.truth(world.name), path=path.summary())
    return judge_recordings(truth, [inputs, outputs], SHIPPED_KINDS)


def _timeless(score: Any) -> Any:
    """*score* without the idle shares: an alert's end carries no time of its own and overtakes the answer
    that it came with, so that live it is heard one reading earlier.
    """
    if isinstance(score, dict):
        return {key: _timeless(value) for key, value in score.items() if not key.startswith("idle")}
    return [_timeless(value) for value in score] if isinstance(score, list) else score


def check_live(world: World, run: Run) -> None:
    """Plays *world* once more, to a real broker and gateway. Raises `EdgewardError` for another score."""
    live = judge(run.truth, play_live(world, world.name), SHIPPED_KINDS)
    ours, theirs = (_timeless(as_json([each], Score([each], SHIPPED_KINDS))) for each in (run, live))
    if ours != theirs:
        differing = [key for key, value in ours["overall"].items() if theirs["overall"][key] != value]
        raise EdgewardError(f"{world.name} through a broker scores differently: {', '.join(differing)}.")


def write_page(file: Path, played: Mapping[str, tuple[World, Run]]) -> None:
    """The page about all scenarios. Raises `UsageError` where it can't be written."""
    runs = [run for _, run in played.values()]
    live = [f"`{name}`" for name in played if name in LIVE]
    parts = [_HEAD + (_LIVE.format(", ".join(live)) if live else "")]
    parts += [_markdown(each) for each in tables(runs, Score(runs, SHIPPED_KINDS))]
    parts.append("## The scenarios\n")
    parts += [
        f"- `{name}`: {world.scenario.description or world.scenario.title}"
        for name, (world, _) in played.items()
    ]
    try:
        with written_whole(file) as page:
            page.write(("\n".join(parts) + "\n").encode())
    except OSError as error:
        raise UsageError(f"{file} can't be written: {error.strerror}.") from error


def _markdown(table: Table) -> str:
    rule = ["---", *("---:" for _ in table.columns[1:])]
    rows = [table.columns, rule, *table.rows]
    return (
        f"## {table.title}\n\n{table.caption}\n\n"
        + "\n".join(f"| {' | '.join(row)} |" for row in rows)
        + "\n"
    )


if __name__ == "__main__":
    sys.exit(main())
