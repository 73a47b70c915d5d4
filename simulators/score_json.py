"""A score as plain values, for JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from simulators.alerts import percentile
from simulators.score import Run, Score
from simulators.score_table import minutes_of


def as_json(runs: Sequence[Run], score: Score) -> dict[str, Any]:
    """The score as plain values: `overall`, and one entry for each of `runs`."""
    return {
        "overall": _values(score),
        "runs": [
            {
                "scenario": run.truth.scenario,
                "seed": run.truth.seed,
                "site": run.truth.site,
                **_values(Score([run], score.kinds)),
            }
            for run in runs
        ],
    }


def _values(score: Score) -> dict[str, Any]:
    notes = score.notes
    return {
        "events": len(score.expected),
        "detected": score.detected,
        "missed": score.missed,
        "alerts": score.verdicts,
        "false": {kind: score.false_alerts(kind) for kind in ("bed", "machine", "arrival")},
        "days": {kind: score.days(kind) for kind in ("bed", "machine")},
        "false_per_day": {kind: score.false_per_day(kind) for kind in ("bed", "machine")},
        "idle_share": {kind: score.idle_share(kind) for kind in ("bed", "machine")},
        "first_alert_minutes": {"p50": score.delay_minutes(50), "p90": score.delay_minutes(90)},
        "alerts_per_event": score.alerts_per_event,
        "by_what": [
            {
                "what": line.what,
                "class": line.family,
                "alert_expected": line.expected,
                "intervals": line.intervals,
                "alerted": line.alerted,
                "first_alert_minutes": {
                    f"p{percent}": minutes_of(percentile(line.delays_ms, percent)) for percent in (50, 90)
                },
            }
            for line in score.by_what
        ],
        "by_agent": [
            {
                "agent": line.agent,
                "alerts": dict(line.verdicts),
                "events": line.readable,
                "detected": line.detected,
            }
            for line in score.by_agent
        ],
        "missed_events": [
            {
                "device": each.interval.device,
                "what": each.interval.what,
                "visible_from": each.interval.visible_from,
                "until": each.interval.until,
            }
            for each in score.expected
            if not each.detected
        ],
        "messages": {
            sort: score.count(sort) for sort in ("input", "classification", "alert", "rejected", "unreadable")
        },
        "unanswered": score.unanswered,
        "repeats": score.repeats,
        "notes": {
            "matrix": notes.matrix.tolist(),
            "answered": notes.answered,
            "declined": notes.declined,
            "unanswered": notes.unanswered,
            "agreement": notes.agreement,
            "kappa_linear": notes.kappa,
            "urgent_found": notes.urgent_found,
            "urgent_right": notes.urgent_right,
        },
    }
