"""A score as tables of words; what draws the tables is elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from simulators.alerts import percentile
from simulators.path import COUNTS
from simulators.score import MINUTE_MS, Run, Score
from simulators.score_notes import LEVELS, URGENT, NotesScore

OVERALL = "all together"
PATH_FAULTS = tuple(name for name in COUNTS if name not in ("made", "sent"))
NONE = "–"
"""What stands where there is no number."""


@dataclass(frozen=True, slots=True)
class Table:
    """A title, a sentence that says how to read it, and cells as text."""

    title: str
    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def tables(runs: Sequence[Run], score: Score) -> list[Table]:
    """All tables of a score: those about notes only where there are notes."""
    each = [(run.truth.scenario, Score([run], score.kinds)) for run in runs]
    if len(each) > 1:
        each.append((OVERALL, score))
    found = [_events(each), _false(each), _by_what(score), _by_agent(score), _messages(each)]
    if any(run.truth.notes for run in runs):
        found += [
            _notes([(name, one.notes) for name, one in each if one.notes.total]),
            acuity_table(score.notes),
        ]
    found.append(_path(runs))
    return [table for table in found if table.rows]


def _events(scores: Sequence[tuple[str, Score]]) -> Table:
    return Table(
        "Events",
        "First alert: minutes from when the event could be seen, nearest rank.",
        (
            "scenario",
            "events",
            "detected",
            "missed",
            "first alert p50",
            "first alert p90",
            "alerts/event",
        ),
        tuple(
            (
                name,
                str(len(score.expected)),
                str(score.detected),
                str(score.missed),
                number(score.delay_minutes(50), 1),
                number(score.delay_minutes(90), 1),
                number(score.alerts_per_event, 1),
            )
            for name, score in scores
        ),
    )


def _false(scores: Sequence[tuple[str, Score]]) -> Table:
    return Table(
        "False alerts",
        "Provoked are those that an artefact or something harmless led to. Idle: share of device-time in "
        "which an alert was on and nothing was wrong.",
        (
            "scenario",
            "false",
            "provoked",
            "per bed-day",
            "per machine-day",
            "idle on beds",
            "on machines",
        ),
        tuple(
            (
                name,
                str(sum(score.false_alerts(kind) for kind in ("bed", "machine", "arrival"))),
                str(score.verdicts["provoked"]),
                number(score.false_per_day("bed"), 2),
                number(score.false_per_day("machine"), 2),
                share(score.idle_share("bed")),
                share(score.idle_share("machine")),
            )
            for name, score in scores
        ),
    )


def _by_what(score: Score) -> Table:
    return Table(
        "By what was wrong",
        "An alert at an artefact, or at something harmless, is a false one.",
        ("what", "sort", "intervals", "alerted", "missed", "first alert p50", "first alert p90"),
        tuple(
            (
                line.what,
                line.family if line.expected or line.family == "artefact" else f"harmless {line.family}",
                str(line.intervals),
                str(line.alerted),
                str(line.intervals - line.alerted) if line.expected else NONE,
                minutes(percentile(line.delays_ms, 50)),
                minutes(percentile(line.delays_ms, 90)),
            )
            for line in score.by_what
        ),
    )


def _by_agent(score: Score) -> Table:
    return Table(
        "By agent",
        "An early alert was over before anybody could have seen the event; one beside was on while something "
        "was wrong that the agent does not read. Events: those that show on what it reads.",
        ("agent", "alerts", "true", "early", "beside", "provoked", "other false", "events", "detected"),
        tuple(
            (
                line.agent,
                str(sum(line.verdicts.values())),
                *(
                    str(line.verdicts[verdict])
                    for verdict in ("true", "early", "beside", "provoked", "false")
                ),
                str(line.readable),
                str(line.detected),
            )
            for line in score.by_agent
        ),
    )


def _messages(scores: Sequence[tuple[str, Score]]) -> Table:
    return Table(
        "Messages",
        "Unanswered are inputs neither answered nor rejected. Repeats are outputs that came more than once "
        "under the same CloudEvents source and id.",
        (
            "scenario",
            "inputs",
            "unanswered",
            "classifications",
            "alerts",
            "rejected",
            "repeats",
            "unreadable",
        ),
        tuple(
            (
                name,
                str(score.count("input")),
                str(score.unanswered),
                *(str(score.count(sort)) for sort in ("classification", "alert", "rejected")),
                str(score.repeats),
                str(score.count("unreadable")),
            )
            for name, score in scores
        ),
    )


def _path(runs: Sequence[Run]) -> Table:
    faulty = [run for run in runs if any(run.truth.path.get(name) for name in PATH_FAULTS)]
    names = [name for name in PATH_FAULTS if any(run.truth.path.get(name) for run in faulty)]
    return Table(
        "Faults of the path",
        "What happened to messages between devices and broker.",
        ("scenario", *(name.replace("_", " ") for name in names)),
        tuple((run.truth.scenario, *(str(run.truth.path.get(name, 0)) for name in names)) for run in faulty),
    )


def _notes(scores: Sequence[tuple[str, NotesScore]]) -> Table:
    return Table(
        "Notes",
        f"Kappa has linear weights. Urgent is acuity 1-{URGENT}: how many of them were found, how many of "
        "those called urgent are.",
        (
            "scenario",
            "answered",
            "declined",
            "unanswered",
            "agreement",
            "kappa",
            "urgent found",
            "urgent right",
        ),
        tuple(
            (
                name,
                str(notes.answered),
                str(notes.declined),
                str(notes.unanswered),
                share(notes.agreement),
                number(notes.kappa, 2),
                share(notes.urgent_found),
                share(notes.urgent_right),
            )
            for name, notes in scores
        ),
    )


def acuity_table(notes: NotesScore) -> Table:
    """The confusion matrix."""
    return Table(
        "Acuity of notes",
        "Rows: the true acuity. Columns: the label. 1 is most urgent; right of the diagonal is under-triage.",
        ("true acuity", *(f"label {level}" for level in range(1, LEVELS + 1))),
        tuple(
            (str(level), *(str(count) for count in row))
            for level, row in enumerate(notes.matrix.tolist(), start=1)
        ),
    )


def minutes_of(milliseconds: float | None) -> float | None:
    """Milliseconds as minutes."""
    return None if milliseconds is None else milliseconds / MINUTE_MS


def minutes(milliseconds: float | None) -> str:
    """Milliseconds as minutes with one decimal."""
    return number(minutes_of(milliseconds), 1)


def number(value: float | None, decimals: int) -> str:
    """A number with so many decimals, or a dash."""
    return NONE if value is None else f"{value:.{decimals}f}"


def share(value: float | None) -> str:
    """A share in per cent, or a dash."""
    return NONE if value is None else f"{value:.1%}"
