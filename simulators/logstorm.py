"""Log storms: what a machine's log becomes when something upsets it. Lines and their labels; nothing else.

A storm is a row of bursts. In a burst one message repeats with other numbers, or several mix, or a program
dies and prints its stack, line by line or in one message of many lines. Half of the repeated messages are of
templates made for this storm, as a new firmware would bring. A line is an alert by what it says
(`simulators.logtemplates`); the lines of a stack below its first are noise.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from simulators.loglines import STYLES, filled, lines
from simulators.logtemplates import PARTS

BURST_LINES = 25.0
"""Mean number of lines in a burst."""
LONGEST_BURST = 200
CROWDING = 20.0
"""How many times closer than the storm's mean rate the lines of a burst stand."""
ALERT_SHARE = 0.3
"""Of all bursts, those about a fault that does not heal by itself; of the others some shout as loudly."""
NEW_TEMPLATES = 12
"""Templates that a storm brings with it."""
NEW_SHARE = 0.5
"""Of the bursts in which one message repeats, those with a new template."""
STACK_DEPTH = (4, 18)
"""Frames in a stack trace."""
_GRAVE = ("ERROR", "CRITICAL", "FATAL", "WARN")
_CALM = ("INFO", "WARN", "ERROR", "DEBUG")

Line = tuple[str, bool]
"""A log line and whether it is an alert."""

_ENDED = (
    "broke down at stage {n} and stays off",
    "was destroyed by heat, code {hex}",
    "cannot be brought back, spare {id} is needed",
    "gave up for good after {few} starts",
    "lost its calibration and must not be used",
    "runs away: {real} where {real} is the end of the scale",
)
"""How a new template ends that is an alert."""
_PASSED = (
    "came back by itself after {ms} ms",
    "took {ms} ms, a little longer than planned",
    "was read again, attempt {n} went well",
    "reports {real}, within its band",
    "moved to profile {id} as scheduled",
    "dropped {few} stale samples, none was needed",
)
"""How one ends that is none."""
_MAKERS = ("axon", "borea", "cryo", "delta-v", "helix", "ostra", "pilum", "quant")
_UNITS = ("stage", "loop", "cell", "bay", "channel", "bank", "lane", "head")


def storm(rng: random.Random, seconds: float, rate: float) -> Iterator[tuple[float, str, bool]]:
    """The lines of a storm of *seconds*, about *rate* a second in the mean: offset in seconds, line, alert.

    The first burst is an alert and comes at once, so that a storm shows from its beginning. Offsets rise and
    stay below *seconds*.
    """
    new = _new_templates(rng)
    at_s = 0.0
    first = True
    while at_s < seconds:
        began_s = at_s
        if first:
            burst = _chatter(rng, new[True], _length(rng), alert=True)
        else:
            burst = _burst(rng, new, alert=rng.random() < ALERT_SHARE)
        first = False
        for line, is_alert in burst:
            if at_s >= seconds:
                return
            yield at_s, line, is_alert
            at_s += rng.expovariate(rate * CROWDING)
        at_s = max(at_s, began_s + rng.expovariate(rate / BURST_LINES))


def _burst(rng: random.Random, new: dict[bool, list[str]], *, alert: bool) -> Iterator[Line]:
    """One burst, about a fault that is an *alert*, or about none."""
    kind = rng.random()
    if alert and kind < 0.3:
        yield from _stack(rng)
        return
    if kind < 0.7:
        yield from _chatter(rng, new[alert], _length(rng), alert=alert)
    else:
        mixed = ((line, is_alert) for line, is_alert, _ in lines(rng, 1 << 30) if alert or not is_alert)
        for _ in range(_length(rng)):
            yield next(mixed)


def _length(rng: random.Random) -> int:
    return 1 + min(int(rng.expovariate(1 / BURST_LINES)), LONGEST_BURST)


def _chatter(rng: random.Random, new: list[str], count: int, *, alert: bool) -> Iterator[Line]:
    """One message *count* times, each time with other numbers, by one logger."""
    style = rng.choice(STYLES)
    severity = rng.choice(_GRAVE if alert else _CALM)
    if rng.random() < NEW_SHARE:
        template = rng.choice(new)
        for _ in range(count):
            yield style(rng, filled(rng, template), severity), alert
        return
    line = next(line for line, is_alert, _ in lines(rng, 1 << 30) if is_alert == alert)
    for _ in range(count):
        yield line, alert


def _new_templates(rng: random.Random) -> dict[bool, list[str]]:
    """Templates that nobody has seen before, by whether they are alerts."""

    def made(ends: tuple[str, ...]) -> str:
        unit = f"{rng.choice(_MAKERS)} {rng.choice(_UNITS)} {{n}}"
        subject = rng.choice((unit, f"{unit}/{{id}}", f"{unit} ({rng.choice(PARTS)})"))
        return f"{subject} {rng.choice(ends)}"

    return {
        True: [made(_ENDED) for _ in range(NEW_TEMPLATES // 2)],
        False: [made(_PASSED) for _ in range(NEW_TEMPLATES // 2)],
    }


def _stack(rng: random.Random) -> Iterator[Line]:
    """A program dies: its last words are the alert, the frames below are noise, or all is one message."""
    head, *frames = rng.choice((_java, _python))(rng)
    if rng.random() < 0.5:
        yield "\n".join((head, *frames)), True
        return
    yield head, True
    for frame in frames:
        yield frame, False


def _java(rng: random.Random) -> list[str]:
    depth = rng.randint(*STACK_DEPTH)
    frames = [filled(rng, "\tat {class}.run(Worker.java:{int})") for _ in range(depth)]
    what = rng.choice(("IllegalStateException: ledger is corrupt", "OutOfMemoryError: heap exhausted"))
    return [
        filled(rng, f"{{class}}: unhandled exception, worker thread died: java.lang.{what}"),
        *frames,
        filled(rng, "\t... {few} more"),
    ]


def _python(rng: random.Random) -> list[str]:
    depth = rng.randint(*STACK_DEPTH)
    frames = [
        part
        for _ in range(depth)
        for part in (
            filled(rng, '  File "{path}/{unit}.py", line {int}, in step'),
            filled(rng, "    value = read(bank, offset)"),
        )
    ]
    head = filled(rng, "{unit}.service: main process exited on an unhandled error, service halts")
    return [head, "Traceback (most recent call last):", *frames]
