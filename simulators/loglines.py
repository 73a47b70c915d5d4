"""Simulated log lines of a plant and its computers, each an alert or not: the log-line model's school.

A line is a *message* in the *style* of a logger. Messages are templates with random fields, of two sorts:
written whole (`simulators.logtemplates`), and composed of a part of a machine and something that happens to
it. What is wrong decides the label, not the severity a logger stamps on the line: severities fit the label
only mostly, as in real logs, where errors are logged that need nobody and notices that do.

No template shares four words in a row with the templates of LogHub, which judges the model; a test holds it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from simulators.logtemplates import ALERT_EVENTS, ALERTS, NORMAL_EVENTS, NORMALS, PARTS

ALERT_SHARE = 0.35
"""Of all lines: far more than a plant has, so that the model meets every alert often enough."""
COMPOSED_SHARE = 0.4
"""Of all lines, those composed of a part and an event."""
MISLEADING_SHARE = 0.15
"""Lines with a severity that speaks for the other label."""
FIRST = datetime(2026, 1, 5, tzinfo=UTC)
"""Instant of the first row; times are made up."""
DEVICES = 40

_CALM = ("INFO", "NOTICE", "DEBUG", "WARN", "WARNING")
_GRAVE = ("ERROR", "CRITICAL", "FATAL", "ALERT", "SEVERE", "FAILURE", "ERR", "WARN", "WARNING")

Field = Callable[[random.Random], str]


def _number(low: int, high: int) -> Field:
    return lambda rng: str(rng.randint(low, high))


def _hexadecimal(digits: int) -> Field:
    return lambda rng: f"{rng.getrandbits(4 * digits):0{digits}x}"


def _address(rng: random.Random) -> str:
    return ".".join(str(rng.randint(1, 254)) for _ in range(4))


def _node(rng: random.Random) -> str:
    return rng.choice(
        (
            f"rack{rng.randint(1, 9)}/blade{rng.randint(1, 16)}",
            f"cn{rng.randint(1, 999):03d}",
            f"edge-{rng.randint(1, 40)}",
            f"plc{rng.randint(1, 60):02d}",
            f"srv{rng.randint(1, 9)}.plant.example",
        )
    )


def _path(rng: random.Random) -> str:
    parts = ("var", "opt", "srv", "data", "lib", "spool", "recipes", "history", "batch", "cache", "state")
    return (
        "/"
        + "/".join(rng.sample(parts, rng.randint(1, 3)))
        + f"/{rng.choice('abcdefgh')}{rng.randint(1, 99)}"
    )


def _class(rng: random.Random) -> str:
    return ".".join(
        (
            "com",
            rng.choice(("plantworks", "linea", "acme")),
            rng.choice(("core", "io", "batch", "net")),
            rng.choice(("Scheduler", "Recorder", "Gateway", "Poller", "Session", "Store")),
        )
    )


FIELDS: dict[str, Field] = {
    "n": _number(0, 9),
    "int": _number(0, 99_999),
    "few": _number(1, 30),
    "pct": _number(1, 100),
    "ms": _number(1, 60_000),
    "sec": _number(1, 3600),
    "bytes": _number(64, 9_999_999),
    "pid": _number(100, 65_000),
    "port": _number(1024, 65_535),
    "real": lambda rng: f"{rng.uniform(0, 200):.2f}",
    "volt": lambda rng: f"{rng.uniform(0.8, 48):.2f}",
    "hex": lambda rng: "0x" + _hexadecimal(rng.choice((4, 8, 16)))(rng),
    "id": _hexadecimal(8),
    "ip": _address,
    "node": _node,
    "path": _path,
    "class": _class,
    "disk": lambda rng: rng.choice(("sda", "sdb", "nvme0n1", "mmcblk0", "md0", "dm-2")),
    "if": lambda rng: rng.choice(("eth0", "eth1", "enp3s0", "wlan0", "bond0", "can0")),
    "user": lambda rng: rng.choice(("root", "operator", "svc-batch", "anna", "maint", "historian")),
    "unit": lambda rng: rng.choice(
        ("historian", "opcua", "recorder", "gateway", "mosquitto", "chronyd", "reportd")
    ),
    "tag": lambda rng: (
        f"{rng.choice(('PT', 'TT', 'FT', 'LT', 'XV', 'MV', 'AI', 'DI'))}-{rng.randint(100, 999)}"
    ),
    "topic": lambda rng: (
        f"site/{rng.randint(1, 9)}/line{rng.randint(1, 9)}/{rng.choice(('temp', 'flow', 'state'))}"
    ),
}
"""What stands for a template's `{name}`."""


def lines(rng: random.Random, n: int) -> Iterator[tuple[str, bool, str]]:
    """*n* lines as (line, is it an alert, its template's name). One template has one label."""
    for _ in range(n):
        alert = rng.random() < ALERT_SHARE
        message, template = _message(rng, alert)
        grave = alert != (rng.random() < MISLEADING_SHARE)
        yield rng.choice(STYLES)(rng, message, rng.choice(_GRAVE if grave else _CALM)), alert, template


def rows(seed: int, n: int) -> Iterator[dict[str, Any]]:
    """*n* labelled messages as `edgeward data make log-line` writes them; the same seed gives the same ones.

    Truth is `alert` and `template`: whoever splits them for training splits by template.
    """
    rng = random.Random(seed)
    time = FIRST
    for number, (line, alert, template) in enumerate(lines(rng, n)):
        time += timedelta(milliseconds=rng.randint(1, 5000))
        yield {
            "device": f"plc-{rng.randint(1, DEVICES):02d}",
            "time": int(time.timestamp() * 1000),
            "kind": "log",
            "payload": {"line": line},
            "id": f"log-{seed}-{number}",
            "truth": {"alert": alert, "template": template},
        }


def templates() -> dict[str, tuple[str, bool]]:
    """Every template's name to its text, fields in braces, and its label; for tests and for splitting."""
    found: dict[str, tuple[str, bool]] = {}
    for label, written, events in ((True, ALERTS, ALERT_EVENTS), (False, NORMALS, NORMAL_EVENTS)):
        word = "alert" if label else "normal"
        found |= {f"{word}-{number}": (text, label) for number, text in enumerate(written)}
        found |= {f"{word}-event-{number}": (f"{{part}} {text}", label) for number, text in enumerate(events)}
    return found


def _message(rng: random.Random, alert: bool) -> tuple[str, str]:
    word = "alert" if alert else "normal"
    if rng.random() < COMPOSED_SHARE:
        events = ALERT_EVENTS if alert else NORMAL_EVENTS
        number = rng.randrange(len(events))
        part = rng.choice(PARTS)
        text = rng.choice(("{p} {e}", "{p} {n}: {e}", "{p} {n} {e}", "{p}[{n}] {e}", "{tag} {p}: {e}"))
        text = text.replace("{p}", part).replace("{e}", events[number])
        return filled(rng, text), f"{word}-event-{number}"
    written = ALERTS if alert else NORMALS
    number = rng.randrange(len(written))
    return filled(rng, written[number]), f"{word}-{number}"


def filled(rng: random.Random, template: str) -> str:
    """*template* with something of its kind for each `{name}` of `FIELDS`."""
    pieces = template.split("{")
    out = [pieces[0]]
    for piece in pieces[1:]:
        name, rest = piece.split("}", 1)
        out += [FIELDS[name](rng), rest]
    return "".join(out)


def _moment(rng: random.Random) -> datetime:
    return FIRST + timedelta(seconds=rng.uniform(0, 30_000_000))


def _bare(rng: random.Random, message: str, severity: str) -> str:  # noqa: ARG001  one shape for all styles
    return message


def _levelled(rng: random.Random, message: str, severity: str) -> str:
    shape = rng.choice(("{s} {m}", "{s}: {m}", "[{s}] {m}", "{s} {c} {m}", "{c} {s} {m}", "<{s}> {c}: {m}"))
    return shape.format(
        s=severity, m=message, c=rng.choice(("core", "app", "io", "sys", "hw", "net", "ctl", "db"))
    )


def _syslog(rng: random.Random, message: str, severity: str) -> str:
    stamp = _moment(rng).strftime("%b %d %H:%M:%S")
    program = rng.choice(
        (f"{FIELDS['unit'](rng)}[{rng.randint(100, 65_000)}]", "kernel", "systemd[1]", "sshd[812]")
    )
    level = rng.choice(("", f"{severity.lower()}: "))
    return f"{stamp} {_node(rng)} {program}: {level}{message}"


def _kernel(rng: random.Random, message: str, severity: str) -> str:  # noqa: ARG001  the kernel prints none
    return f"[{rng.uniform(0, 999_999):12.6f}] {message}"


def _application(rng: random.Random, message: str, severity: str) -> str:
    stamp = _moment(rng).strftime("%Y-%m-%d %H:%M:%S,%f")[:-3]
    thread = rng.choice(("main", "pool-1-thread-3", "worker"))
    return f"{stamp} {severity:<5} [{thread}] {_class(rng)} - {message}"


def _json(rng: random.Random, message: str, severity: str) -> str:
    quoted = message.replace("\\", "\\\\").replace('"', '\\"')
    return (
        f'{{"ts":"{_moment(rng).isoformat(timespec="milliseconds")}","level":"{severity.lower()}",'
        f'"logger":"{FIELDS["unit"](rng)}","msg":"{quoted}"}}'
    )


def _keyed(rng: random.Random, message: str, severity: str) -> str:
    stamp = _moment(rng).isoformat(timespec="seconds")
    return f'time={stamp} level={severity.lower()} msg="{message}" host={_node(rng)}'


def _controller(rng: random.Random, message: str, severity: str) -> str:
    stamp = _moment(rng).strftime("%d.%m.%Y %H:%M:%S.%f")
    return f"{stamp} PLC{rng.randint(1, 60):02d};{severity};{rng.randint(1, 9999)};{message}"


def _cluster(rng: random.Random, message: str, severity: str) -> str:
    return f"{_node(rng)} {rng.choice(('SVC', 'HWM', 'MON', 'ENV', 'OS'))} {severity} {message}"


STYLES: tuple[Callable[[random.Random, str, str], str], ...] = (
    _bare,
    _levelled,
    _levelled,
    _syslog,
    _kernel,
    _application,
    _json,
    _keyed,
    _controller,
    _cluster,
)
"""The loggers' ways of writing a message; one that stands twice is drawn twice as often."""
