"""What the gateway tells systemd (`sd_notify(3)`): ready, reloading, stopping, and that its loop gets on.

One datagram a message to the socket that systemd names. Without one, as in a terminal, nothing is sent. The
watchdog is fed from the loop itself, never by a timer: a loop that stands still is a gateway that is dead.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self

FED_PART = 4
"""The watchdog is fed four times in its period: two may get lost on a busy box, and one comes late."""
START_SECONDS = 60.0
"""By how much each turn before READY extends the time to start: a broker may be away for long, a loop not."""


class Notifier:
    """Messages to the service manager, if there is one. What can't be delivered is left out."""

    def __init__(self, env: Mapping[str, str], *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._socket: socket.socket | None = None
        self._ready = False
        self._due = monotonic()
        self._watched = env.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        microseconds = env.get("WATCHDOG_USEC", "")
        self._watchdog = int(microseconds) / 1e6 if microseconds.isdecimal() and self._watched else None
        address = env.get("NOTIFY_SOCKET", "")
        if address[:1] in ("/", "@"):
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
            self._socket.setblocking(False)
            self._address = address.replace("@", "\0", 1) if address[0] == "@" else address

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._socket is not None:
            self._socket.close()

    def ready(self, status: str) -> None:
        """The gateway is online; *status* is a line for `systemctl status`."""
        if not self._ready:
            self._ready = True
            self._due = self._monotonic()  # the watchdog's time starts now
        self._send("READY=1", f"STATUS={status}")

    def status(self, status: str) -> None:
        """A line for `systemctl status`."""
        self._send(f"STATUS={status}")

    def reloading(self) -> None:
        """The configuration is being read again; `ready` ends it."""
        self._send("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self) -> None:
        """The gateway settles what it owes and ends."""
        self._send("STOPPING=1", "STATUS=Stopping")

    def turned(self) -> None:
        """The loop has done a turn: feeds the watchdog, or extends the time to start while that lasts."""
        if self._socket is None or self._monotonic() < self._due:
            return
        if not self._ready:
            self._due = self._monotonic() + START_SECONDS / FED_PART
            self._send(f"EXTEND_TIMEOUT_USEC={round(START_SECONDS * 1e6)}", "STATUS=Waiting for the broker")
        elif self._watchdog is not None:
            self._due = self._monotonic() + self._watchdog / FED_PART
            self._send("WATCHDOG=1")

    def _send(self, *assignments: str) -> None:
        if self._socket is None:
            return
        try:
            self._socket.sendto("\n".join(assignments).encode(), self._address)
        except OSError:
            # A manager that is away or slow must not hold the gateway; the next message says it again.
            return
