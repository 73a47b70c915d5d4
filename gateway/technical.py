"""Alerts about the gateway itself: retained, one topic a code, while the matter lasts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

from nodes.outputs import (
    Publication,
    TechnicalData,
    TechnicalEvent,
    encoded,
    event_id,
    technical_topic,
)
from nodes.times import format_time

Code = Literal["store", "outbox", "session", "model", "configuration"]
"""`store`: nothing is kept on disk. `outbox`: publications were given up. `session`: the broker forgot what
waited for us. These two stay until the gateway starts anew: somebody should look. `model`: a model is set
aside. `configuration`: the files are not what is in force."""


class Technical:
    """What is wrong with *gateway* now; *now_ms* is the wall clock."""

    def __init__(self, gateway: str, now_ms: Callable[[], int]) -> None:
        self._gateway = gateway
        self._now_ms = now_ms
        self._on: dict[Code, tuple[str, Publication]] = {}

    def say(self, code: Code, reason: str | None) -> list[Publication]:
        """The matter *code* is as *reason* says, or over; publishes what changes."""
        if (None if code not in self._on else self._on[code][0]) == reason:
            return []
        if reason is None:
            del self._on[code]
            return [self._clearing(code)]
        self._on[code] = (reason, self._event(code, reason))
        return [self._on[code][1]]

    def states(self) -> list[Publication]:
        """Every code as it is now, for a broker that may know older ones."""
        return [self._on[code][1] if code in self._on else self._clearing(code) for code in get_args(Code)]

    def _clearing(self, code: Code) -> Publication:
        return Publication(technical_topic(self._gateway, code), b"", "status", retain=True)

    def _event(self, code: Code, reason: str) -> Publication:
        source, since = f"/edgeward/gateway/{self._gateway}", format_time(self._now_ms())
        event = TechnicalEvent(
            id=event_id("technical", source, f"{code} {since}"),
            source=source,
            time=since,
            data=TechnicalData(code=code, since=since, reason=reason),
        )
        return Publication(technical_topic(self._gateway, code), encoded(event), "status", retain=True)
