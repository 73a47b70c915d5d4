"""The ledger, by cases worked out by hand."""

from __future__ import annotations

import json

from simulators.ledger import REJECTED, Ledger

ANSWERED_BY = {"vitals": ("vitals", "deterioration"), "note": ("triage-note",)}


def result(
    name: str, agent: str, *, label: str = "low", at: str = "12:00", event: str = "e1"
) -> tuple[str, bytes]:
    data = {"label": label, "input": {"id": name}, "received": at, "classified": at}
    return f"edgeward/v1/w/d/classification/{agent}", json.dumps({"id": event, "data": data}).encode()


def rejection(sha256: str, event: str) -> tuple[str, bytes]:
    data = {"sha256": sha256, "reason": "not-json", "topic": "t", "bytes": 3, "received": event}
    return "edgeward/gateway/g/rejected", json.dumps({"id": event, "data": data}).encode()


def test_an_input_is_answered_when_every_agent_that_owes_an_answer_has_given_it() -> None:
    ledger = Ledger(ANSWERED_BY)
    ledger.sent("a", "vitals")
    ledger.acknowledged("a")
    assert ledger.received(*result("a", "vitals")) is None
    assert list(ledger.unanswered()) == ["a"]
    assert ledger.received(*result("a", "deterioration")) == "a"
    statement = ledger.statement()
    assert (statement.sent, statement.acknowledged, statement.answered, statement.lost) == (1, 1, 1, 0)


def test_lost_is_what_was_acknowledged_and_not_answered_in_full() -> None:
    """What was never acknowledged is its publisher's to send again, and stands in a column of its own."""
    ledger = Ledger(ANSWERED_BY)
    for name in ("answered", "half", "lost", "unacknowledged"):
        ledger.sent(name, "vitals")
    for name in ("answered", "half", "lost"):
        ledger.acknowledged(name)
    for name, agent in (("answered", "vitals"), ("answered", "deterioration"), ("half", "vitals")):
        ledger.received(*result(name, agent))
    statement = ledger.statement()
    assert (statement.answered, statement.lost, statement.unacknowledged) == (1, 2, 1)
    assert (statement.agents["vitals"].owed, statement.agents["vitals"].received) == (4, 2)


def test_a_repeat_is_told_by_its_bytes_then_by_its_result() -> None:
    ledger = Ledger(ANSWERED_BY)
    ledger.sent("a", "note")
    assert ledger.received(*result("a", "triage-note")) == "a"
    for repeat in (
        result("a", "triage-note"),
        result("a", "triage-note", at="12:05"),
        result("a", "triage-note", label="high"),
        result("a", "triage-note", event="e2"),
    ):
        assert ledger.received(*repeat) is None
    line = ledger.statement().agents["triage-note"]
    assert (line.received, line.repeated_same, line.repeated_in_time, line.repeated_different) == (1, 1, 1, 2)


def test_a_bad_input_is_answered_by_a_rejection_of_its_bytes() -> None:
    """A rejection that comes again is an event of its own, with another id, and the same result."""
    ledger = Ledger(ANSWERED_BY)
    ledger.sent("5f", REJECTED)
    assert ledger.received(*rejection("5f", "e1")) == "5f"
    ledger.received(*rejection("5f", "e2"))
    line = ledger.statement().agents[REJECTED]
    assert (line.owed, line.received, line.repeated_in_time, line.repeated_different) == (1, 1, 1, 0)


def test_a_result_that_nobody_asked_for_is_counted() -> None:
    ledger = Ledger(ANSWERED_BY)
    ledger.sent("a", "note")
    ledger.received(*result("b", "triage-note"))
    ledger.received(*result("a", "vitals"))
    assert ledger.statement().unknown == 2


def test_against_an_uninterrupted_run_only_times_may_differ() -> None:
    ledger = Ledger(ANSWERED_BY)
    for name in ("same", "other", "lost"):
        ledger.sent(name, "note")
    ledger.received(*result("same", "triage-note"))
    ledger.received(*result("other", "triage-note"))
    ledger.compare(*result("same", "triage-note", at="00:00"))
    ledger.compare(*result("other", "triage-note", label="high"))
    ledger.compare(*result("lost", "triage-note"))
    line = ledger.statement().agents["triage-note"]
    assert (line.compared, line.different) == (2, 1)


def test_what_was_answered_only_after_it_was_sent_again_stands_in_a_column_of_its_own() -> None:
    ledger = Ledger(ANSWERED_BY)
    for name in ("copied", "forgotten"):
        ledger.sent(name, "note")
        ledger.acknowledged(name)
    ledger.sent_again("copied", unanswered=False)
    ledger.sent_again("forgotten", unanswered=True)
    ledger.received(*result("copied", "triage-note"))
    ledger.received(*result("forgotten", "triage-note"))
    statement = ledger.statement()
    assert (statement.sent, statement.sent_again, statement.answered_after_resending) == (2, 2, 1)


def test_alerts_at_the_end_are_held_against_the_last_of_the_uninterrupted_run() -> None:
    ledger = Ledger(ANSWERED_BY)
    for topic, payload in (("same", b"1"), ("other", b"2"), ("ghost", b"3"), ("cleared", b"")):
        ledger.alert_on(topic, payload)
    assert ledger.statement().alerts_different is None
    ledger.compare_alerts({"same": b"1", "other": b"9", "missing": b"4", "ghost": b"", "cleared": b""})
    statement = ledger.statement()
    assert (statement.alerts, statement.alerts_different) == (3, 3)
