"""Logging: what may be said, and how. Nothing else decides what reaches a log.

Event names and their fields come from the lists below; whatever is not listed is left out (under tests it is
an error). A topic, site or device is only ever written as a keyed pseudonym, with a key that lives as long
as the process: lines of one run can be joined, and no identity can be read from them or guessed. Exceptions
are written as their type and where they happened, never with their message or local variables, because a
message may quote what a publisher sent.
"""

from __future__ import annotations

import hashlib
import os
import sys
import traceback
from collections.abc import Callable, Mapping, MutableMapping
from types import TracebackType
from typing import Any, TextIO

import structlog

EVENTS = frozenset(
    {
        "starting",
        "agent_ready",
        "broker_up",
        "broker_away",
        "broker_refused",
        "session_lost",
        "subscribed",
        "subscription_refused",
        "online",
        "stale_alert_cleared",
        "restored",
        "snapshot_refused",
        "state_started_anew",
        "store_failed",
        "store_works_again",
        "given_up",
        "publish_refused",
        "messages_shed",
        "owed_limit_reached",
        "died_at_work",
        "input_set_aside",
        "model_set_aside",
        "journal_not_kept",
        "quarantine_unreadable",
        "quarantine_not_kept",
        "step_overdue",
        "answer_failed",
        "agent_unavailable",
        "reloaded",
        "reload_refused",
        "stopping",
        "stopped",
        "crashed",
    }
)
"""All that the gateway ever says."""

FIELDS = frozenset(
    {
        "agent",
        "agents",
        "broker",
        "changed",
        "count",
        "devices",
        "frames",
        "gateway",
        "model",
        "owed",
        "protocol",
        "readings",
        "resumed",
        "seconds",
        "sentence",
        "state",
        "type",
        "version",
        "who",
    }
)
"""Fields beside the event's name; `who` is a pseudonym, `sentence` comes from our own errors, whose messages
hold nothing of a payload."""

LEVELS = ("debug", "info", "warning", "error")
_ALWAYS = frozenset({"event", "level", "timestamp"})
FRAME_LIMIT = 30
"""Frames of a traceback that are written, the innermost ones."""

_key = os.urandom(16)


def pseudonym(identity: str) -> str:
    """A topic, site or device as it may stand in a log: the same within this process, and nowhere else."""
    return hashlib.blake2b(identity.encode("utf-8", "surrogatepass"), key=_key, digest_size=6).hexdigest()


def configure(*, level: str = "info", stream: TextIO | None = None, strict: bool = False) -> None:
    """Sets logging up for this process: readable on a terminal, JSON lines off it, to standard error.

    *strict* makes an event or field that is not listed an error instead of leaving it out: for tests.
    """
    output = sys.stderr if stream is None else stream
    renderer: structlog.typing.Processor
    if output.isatty():
        renderer = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    else:
        renderer = structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _bare_exceptions,
            _allow_listed(strict),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(output),
        cache_logger_on_first_use=False,
    )
    sys.excepthook = _log_crash


def frames(trace: TracebackType | None) -> list[str]:
    """Where an exception passed through, innermost last: file and line, and nothing that was in them."""
    walked = [f"{frame.f_code.co_filename}:{line}" for frame, line in traceback.walk_tb(trace)]
    return walked[-FRAME_LIMIT:]


def _log_crash(_kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    structlog.get_logger().error("crashed", type=_chain(error), frames=frames(trace))


def _chain(error: BaseException) -> str:
    """The exception's type and those of its causes."""
    names: list[str] = []
    cause: BaseException | None = error
    while cause is not None and len(names) < FRAME_LIMIT:
        names.append(type(cause).__name__)
        cause = cause.__cause__ or cause.__context__
    return " from ".join(names)


def _bare_exceptions(
    _logger: Any, _method: str, fields: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Turns `exc_info` into type and frames, before any renderer could print the message."""
    given = fields.pop("exc_info", None)
    error = given if isinstance(given, BaseException) else sys.exc_info()[1] if given else None
    if error is not None:
        fields["type"] = _chain(error)
        fields["frames"] = frames(error.__traceback__)
    return fields


def _allow_listed(
    strict: bool,
) -> Callable[[Any, str, MutableMapping[str, Any]], Mapping[str, Any]]:
    def only_listed(_logger: Any, _method: str, fields: MutableMapping[str, Any]) -> Mapping[str, Any]:
        unknown = sorted(fields.keys() - FIELDS - _ALWAYS)
        if fields["event"] not in EVENTS:
            unknown.append("event")
        if strict and unknown:
            raise ValueError(f"not on the list of what may be logged: {', '.join(unknown)}")
        if fields["event"] not in EVENTS:
            raise structlog.DropEvent
        return {key: value for key, value in fields.items() if key in FIELDS or key in _ALWAYS}

    return only_listed
