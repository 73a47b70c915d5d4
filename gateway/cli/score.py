"""`edgeward score`: a recording against the truth of the world that it is of."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from gateway.cli.arguments import Commands
from models.errors import UsageError


def add(commands: Commands[argparse.ArgumentParser]) -> None:
    """Describes the command."""
    parser = commands.add_parser(
        "score",
        help="say what a gateway made of a world whose truth is known",
        description="Judges what `edgeward record` or `edgeward run` kept against what `edgeward simulate "
        "--truth` or `edgeward replay --truth` wrote: detected, missed and false alerts, how soon they came, "
        "and how well notes were read. docs/scoring.md says what each word means.",
    )
    parser.add_argument("--truth", metavar="FILE", type=Path, action="append", required=True)
    parser.add_argument(
        "--run",
        metavar="RECORDING",
        type=Path,
        action="append",
        required=True,
        help="of the truth named at the same place; both may be given several times",
    )
    parser.add_argument(
        "--config", metavar="FILE", type=Path, help="the gateway's, where it isn't the default"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--report", metavar="FILE", type=Path, help="write a page with the timelines (HTML)")
    parser.set_defaults(command=score)


def score(chosen: argparse.Namespace) -> int:
    """Prints the score, and writes the report."""
    from gateway.cli.output import table
    from gateway.scoring import agent_kinds, judge_recordings
    from simulators.report import write_report
    from simulators.score import Score
    from simulators.score_json import as_json
    from simulators.score_table import tables
    from simulators.truth import read_truth

    if len(chosen.truth) != len(chosen.run):
        counted = f"{len(chosen.truth)} of one and {len(chosen.run)} of the other"
        raise UsageError(f"Each --truth needs its --run: there are {counted}.")
    kinds = agent_kinds(chosen.config)
    runs = [
        judge_recordings(read_truth(truth), [recording], kinds)
        for truth, recording in zip(chosen.truth, chosen.run, strict=True)
    ]
    scored = Score([run for run, _ in runs], kinds)
    if chosen.report is not None:
        write_report(chosen.report, runs, scored)
    if chosen.json:
        print(json.dumps(as_json(scored.runs, scored)))
        return 0
    for number, each in enumerate(tables(scored.runs, scored)):
        print(("\n" if number else "") + each.title)
        table(each.columns, [dict(zip(each.columns, row, strict=True)) for row in each.rows])
    return 0
