"""The score as one HTML page that needs nothing else: tables, and the timelines as pictures inside it."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path

from models.errors import UsageError
from simulators.score import Run, Score
from simulators.score_table import Table, acuity_table, share, tables
from simulators.signals import Signals
from simulators.timelines import overview, ranked, timeline

DRAWN = 12
"""Devices of one run that get a picture of their own, those that went wrong first."""

_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2em auto; max-width: 76em; padding: 0 1em; color: #222 }
h1, h2, h3 { line-height: 1.2 } h2 { margin-top: 2.2em; border-bottom: 1px solid #ccc }
table { border-collapse: collapse; margin: .6em 0; font-variant-numeric: tabular-nums }
th, td { padding: .2em .7em; text-align: right; border-bottom: 1px solid #e4e4e4 }
th { vertical-align: bottom; background: #f4f4f4 } th:first-child, td:first-child { text-align: left }
img { max-width: 100%; display: block }
.said { font-size: 1.25em } .wrong { color: #b01c00; font-weight: 600 }
p.caption { color: #555; margin: .2em 0 } .wide { overflow-x: auto }
.acuity tr:nth-child(-n+2) td:nth-child(n+4) { background: #f7c6bb }
.acuity tr:nth-child(n+3) td:nth-child(2), .acuity tr:nth-child(n+3) td:nth-child(3) { background: #fdf0cf }
.acuity tr:nth-child(1) td:nth-child(2) { background: #c4e8d8 }
.acuity tr:nth-child(2) td:nth-child(3) { background: #c4e8d8 }
.acuity tr:nth-child(3) td:nth-child(4) { background: #c4e8d8 }
.acuity tr:nth-child(4) td:nth-child(5) { background: #c4e8d8 }
.acuity tr:nth-child(5) td:nth-child(6) { background: #c4e8d8 }
"""


def write_report(file: Path, runs: Sequence[tuple[Run, Signals]], score: Score) -> None:
    """Writes the page of *runs*, each with the signals to draw. Raises `UsageError`."""
    try:
        file.write_text(report(runs, score), "utf-8")
    except OSError as error:
        raise UsageError(f"The report can't be written to {file}: {error.strerror}.") from error


def report(runs: Sequence[tuple[Run, Signals]], score: Score) -> str:
    """The page. Raises `UsageError` where matplotlib is not installed."""
    names = ", ".join(run.truth.scenario for run, _ in runs)
    parts = [
        '<!doctype html><html lang="en"><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width">',
        f"<title>Score: {escape(names)}</title><style>{_STYLE}</style>",
        f"<h1>Score: {escape(names)}</h1>",
        _sentence(score),
    ]
    for run, signals in runs:
        parts += _run(run, signals, score)
    parts.append("<h2>Tables</h2>")
    parts += [_table(each) for each in tables(score.runs, score)]
    return "\n".join(parts) + "</html>\n"


def _run(run: Run, signals: Signals, score: Score) -> Iterator[str]:
    """One run's overview, and the timelines of the devices that it shows most of."""
    yield f"<h2>{escape(run.truth.scenario)}</h2>"
    yield _sentence(Score([run], score.kinds))
    if run.notes.total:
        yield _table(acuity_table(run.notes))
    if (picture := overview(run)) is None:
        yield "<p>No bed or machine had an event or an alert to draw.</p>"
        return
    yield _image(picture, f"All devices of {run.truth.scenario} with an event or an alert")
    devices = ranked(run)
    for device in devices[:DRAWN]:
        yield f"<h3>{escape(device)}</h3>"
        yield _image(timeline(run, signals, device), f"Signals, truth and alerts of {device}")
    if left := devices[DRAWN:]:
        yield f"<p>Not drawn, as nothing worse happened to them: {escape(', '.join(left))}.</p>"


def _sentence(score: Score) -> str:
    """What was missed and what was false, in one line."""
    false = sum(score.false_alerts(kind) for kind in ("bed", "machine", "arrival"))
    missed = ", ".join(
        f"{each.interval.what} on {each.interval.device}" for each in score.expected if not each.detected
    )
    said = [f"{score.detected} of {len(score.expected)} events detected"] if score.expected else ["No events"]
    said += [f'<span class="wrong">{score.missed} missed</span>'] if score.missed else []
    said.append(_wrong(false, "false alert") if false else "no false alert")
    if score.unanswered:
        said.append(f"{_wrong(score.unanswered, 'input')} without an answer")
    notes = score.notes
    if notes.kappa is not None:
        said.append(f"{share(notes.urgent_found)} of the urgent notes found, kappa {notes.kappa:.2f}")
    detail = f"<br>Missed: {escape(missed)}." if missed else ""
    return f'<p class="said">{", ".join(said)}.{detail}</p>'


def _wrong(number: int, what: str) -> str:
    """So many of something that should not be."""
    return f'<span class="wrong">{number} {what}{"s" * (number != 1)}</span>'


def _table(table: Table) -> str:
    head = "".join(f"<th>{escape(column)}</th>" for column in table.columns)
    rows = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in table.rows
    )
    kind = "acuity" if table.columns[0] == "true acuity" else "plain"
    return (
        f'<h3>{escape(table.title)}</h3><p class="caption">{escape(table.caption)}</p>'
        f'<div class="wide"><table class="{kind}"><thead><tr>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _image(png: bytes, alt: str) -> str:
    return f'<img alt="{escape(alt)}" src="data:image/png;base64,{base64.b64encode(png).decode()}">'
