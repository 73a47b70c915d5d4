"""`edgeward watch`: what goes by on a broker, one readable line for each message. Inputs only by their size:
notes and readings are patients' and are not shown.
"""

from __future__ import annotations

import json
import random
import secrets
import sys
import time
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from rich.console import Console
from rich.text import Text

from gateway.access import access_to
from gateway.link import BrokerAddress
from gateway.signals import stop_flag
from nodes.events import KINDS
from nodes.outputs import ROOT
from simulators.client import Sessions

FILTER = "edgeward/#"
WAIT_SECONDS = 0.2
"""How long it waits for messages before it looks for Ctrl-C."""
SHOWN_CHARACTERS = 200
"""A topic or field longer than this is cut; anyone may have published it."""

_STYLES = {"alert": "bold red", "alert-off": "green", "rejected": "yellow", "input": "dim", "gateway": "cyan"}

What = Literal["classification", "alert", "alert-off", "rejected", "gateway", "input", "other"]


@dataclass(frozen=True, slots=True)
class Seen:
    """One message, described: *subject* is `site/device` or a gateway's name, *said* the rest of the line."""

    what: What
    subject: str
    agent: str
    said: str


def watch(address: BrokerAddress, *, as_json: bool = False) -> int:
    """Prints what goes by under `edgeward/` until Ctrl-C or SIGTERM, then returns 0.

    With *as_json* each message is a JSON object: `topic`, `time` (arrival, epoch ms) and `payload`, or, of an
    input, `bytes` alone. A broker that is away is said on standard error and tried again. Raises
    `BrokerRefused`. For the main thread only.
    """
    console = Console(highlight=False, markup=False, soft_wrap=True)

    def print_line(topic: str, payload: bytes) -> None:
        if as_json:
            print(json_line(topic, payload, time.time_ns() // 1_000_000), flush=True)
        else:
            seen = describe(topic, payload)
            clock = f"{datetime.now().astimezone():%H:%M:%S}"
            line = f"{clock}  {seen.subject:<28} {seen.agent:<15} {seen.said}"
            console.print(Text(line, style=_STYLES.get(seen.what, "")))

    with (
        stop_flag() as interrupted,
        Sessions(
            access_to(address),
            client_id=f"edgeward-watch-{secrets.token_hex(4)}",
            rng=random.Random(),  # noqa: S311 - spreads reconnections, guards nothing
            say=lambda sentence: print(sentence, file=sys.stderr, flush=True),
            filters=[FILTER],
            on_message=lambda message: print_line(message.topic, bytes(message.payload)),
        ) as sessions,
    ):
        while not interrupted():
            sessions.pump(WAIT_SECONDS)
    return 0


def describe(topic: str, payload: bytes) -> Seen:
    """What a message is, in words that hold nothing of an input's payload."""
    parts = topic.split("/")
    if topic.startswith("edgeward/gateway/") and len(parts) == 4:
        return _of_gateway(parts[2], parts[3], payload)
    if topic.startswith(f"{ROOT}/"):
        subject = _clean("/".join(parts[2:4]))
        if len(parts) == 5 and parts[4] in KINDS:
            return Seen("input", subject, "", f"{parts[4]} in ({len(payload)} bytes)")
        if len(parts) == 6 and parts[4] == "alert" and not payload:
            return Seen("alert-off", subject, _clean(parts[5]), "alert off")
        data = _data(payload)
        if len(parts) == 6 and parts[4] == "alert" and data is not None:
            return Seen(
                "alert", subject, _clean(parts[5]), f"ALERT {_answer(data)}: {_field(data, 'reason')}"
            )
        if len(parts) == 6 and parts[4] == "classification" and data is not None:
            return Seen("classification", subject, _clean(parts[5]), _answer(data))
    return Seen("other", _clean(topic), "", f"({len(payload)} bytes)")


def json_line(topic: str, payload: bytes, time_ms: int) -> str:
    """The message as one JSON line; an input's payload is left out."""
    line: dict[str, Any] = {"topic": topic, "time": time_ms}
    if describe(topic, payload).what in ("input", "other"):
        line["bytes"] = len(payload)
    else:
        line["payload"] = payload.decode("utf-8", "replace")
    return json.dumps(line, ensure_ascii=True)


def _of_gateway(name: str, what: str, payload: bytes) -> Seen:
    gateway = _clean(name)
    if what == "status":
        return Seen("gateway", gateway, "", _clean(payload.decode("utf-8", "replace")) or "status cleared")
    content = _object(payload)
    if what == "counters" and content is not None:
        counted = ("received", "classified", "in_part", "rejected", "repeated")
        return Seen("gateway", gateway, "", ", ".join(f"{key} {_field(content, key)}" for key in counted))
    data = _data(payload)
    if what == "rejected" and data is not None:
        where = f", {_field(data, 'field')}" if "field" in data else ""
        return Seen(
            "rejected", gateway, "", f"rejected: {_field(data, 'reason')}{where}, on {_field(data, 'topic')}"
        )
    return Seen("other", gateway, "", f"{_clean(what)} ({len(payload)} bytes)")


def _answer(data: dict[str, Any]) -> str:
    said = _field(data, "label")
    if isinstance(news2 := data.get("news2"), dict):
        said += f", NEWS2 {_field(news2, 'total')}" + (" at least" if news2.get("partial") is True else "")
    number = data.get("probability", data.get("value"))
    if isinstance(number, int | float):
        said += f" {number:.3g}"
    if data.get("abstained") is True:
        said += " (abstained)"
    return said + (" (test)" if data.get("test") is True else "")


def _field(content: dict[str, Any], name: str) -> str:
    return _clean(str(content.get(name, "")))


def _data(payload: bytes) -> dict[str, Any] | None:
    content = _object(payload)
    data = None if content is None else content.get("data")
    return data if isinstance(data, dict) else None


def _object(payload: bytes) -> dict[str, Any] | None:
    try:
        content = json.loads(payload)
    except (ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def _clean(text: str) -> str:
    """*text* without anything that a terminal would obey."""
    return "".join(letter if letter.isprintable() else "?" for letter in text[:SHOWN_CHARACTERS])
