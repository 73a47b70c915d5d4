"""What a run of `edgeward chaos` found: as one JSON object, and as a table that a person reads. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from gateway.chaos_plan import FAULTS
from simulators.ledger import Statement


@dataclass(frozen=True, slots=True)
class Report:
    """One run."""

    broker: str
    seed: int
    seconds: float
    """How long readings were sent."""
    finished: bool
    """False when it was interrupted."""
    rate: float
    """Readings a second that were asked for."""
    devices: int
    hold: bool
    """Whether devices sent again what they saw no result of."""
    staged: Mapping[str, int]
    """How often each fault happened; 1 for one that held during the whole run."""
    skipped: Mapping[str, str]
    """Faults that were asked for and that this machine can't stage, and why."""
    gateway_starts: int
    ended_by_itself: tuple[int, ...]
    """Exit codes of gateways that nobody had killed."""
    comparable: tuple[str, ...]
    """Agents whose results were held against an uninterrupted run."""
    ledger: Statement

    @property
    def faults(self) -> list[str]:
        """Why the run did not pass, a sentence each; none when it did."""
        ledger, found = self.ledger, []
        if ledger.lost:
            found.append(f"{ledger.lost} inputs were acknowledged and not answered.")
        if ledger.unacknowledged:
            found.append(f"{ledger.unacknowledged} inputs were neither acknowledged nor answered.")
        if ledger.unknown:
            found.append(f"{ledger.unknown} results answer nothing that was sent.")
        for agent in self.comparable:
            line = ledger.agents[agent]
            if line.different or line.repeated_different:
                found.append(f"{agent}: {line.different + line.repeated_different} results differ.")
            if line.compared < line.received:
                found.append(f"{agent}: the uninterrupted run lacks {line.received - line.compared}.")
        if ledger.alerts_different:
            found.append(f"{ledger.alerts_different} alerts at the end differ from the uninterrupted run's.")
        if self.ended_by_itself:
            found.append(f"The gateway ended by itself (exit codes {sorted(set(self.ended_by_itself))}).")
        if not self.finished:
            found.append("The run was interrupted.")
        return found

    def as_json(self) -> dict[str, Any]:
        """The report as plain values."""
        return {**asdict(self), "passed": not self.faults, "faults": self.faults}

    def as_table(self) -> str:
        """The report in lines."""
        ledger = self.ledger
        rows: list[tuple[str, str]] = [
            ("broker, seed", f"{self.broker}, {self.seed}"),
            (
                "sent for",
                f"{self.seconds:.0f} s, {self.devices} devices, {ledger.sent / self.seconds:.0f} a second",
            ),
            *((FAULTS[name].says, f"{times:,}") for name, times in self.staged.items()),
            *((FAULTS[name].says, f"not staged: {why}") for name, why in self.skipped.items()),
            ("gateway starts", f"{self.gateway_starts:,}"),
            ("sent", f"{ledger.sent:,}"),
            ("copies sent", f"{ledger.sent_again:,}"),
            ("acknowledged to the publisher", f"{ledger.acknowledged:,}"),
            ("answered by every agent", f"{ledger.answered:,}"),
            ("LOST: acknowledged, not answered", f"{ledger.lost:,}"),
            ("neither acknowledged nor answered", f"{ledger.unacknowledged:,}"),
        ]
        if ledger.alerts_different is not None:
            rows.append(("alerts on at the end", f"{ledger.alerts:,}"))
            rows.append(("of these other than the run's", f"{ledger.alerts_different:,}"))
        if self.hold:
            rows.append(("answered only after sent again", f"{ledger.answered_after_resending:,}"))
        width = max(len(name) for name, _ in rows)
        lines = [f"{name:<{width}}  {value}" for name, value in rows]
        lines += ["", _AGENTS.format("agent", "owed", "came", "again:same", "times", "other", "run:other")]
        for agent, line in ledger.agents.items():
            compared = f"{line.different:,}" if agent in self.comparable else "-"
            again = (line.repeated_same, line.repeated_in_time, line.repeated_different)
            counts = [f"{each:,}" for each in (line.owed, line.received, *again)]
            lines.append(_AGENTS.format(agent, *counts, compared))
        lines += ["", *self.faults] if self.faults else ["", "Nothing was lost."]
        return "\n".join(lines)


_AGENTS = "{:<15} {:>9} {:>9} {:>11} {:>7} {:>7} {:>10}"
