"""A TCP proxy that misbehaves on purpose: cuts, delay, half-open connections between client and server.

For `edgeward chaos` and tests. One thread moves the bytes; what it should do wrong is told from outside.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import struct
import threading
import time
from collections import deque
from types import TracebackType
from typing import Self

HOST = "127.0.0.1"
CHUNK_BYTES = 65_536
"""Read at once from one side."""
HELD_CHUNKS = 64
"""Chunks that may wait for one side before the other is no longer read: TCP then slows the sender down."""
IDLE_SECONDS = 0.5
"""How long the thread waits when nothing moves; the bound on noticing that a cut is over."""
STOP_SECONDS = 5.0

_RESET = struct.pack("ii", 1, 0)  # SO_LINGER on, 0 s: closing sends RST, as a dead machine's router would


class _Side:
    """One end of a connection, and what waits to be written to it."""

    def __init__(self, sock: socket.socket, *, at_server: bool) -> None:
        self.sock = sock
        self.at_server = at_server
        self.ending = False
        """Whether to close once all that waits was written."""
        self.other: _Side | None = None
        """The opposite end; None for one that was left half open."""
        self.waiting: deque[tuple[float, bytes]] = deque()  # (due in monotonic seconds, bytes)


class Proxy:
    """Listens on a free loopback port and passes everything on to *target_port*; a context manager.

    `cut`, `delay` and `half_open` may be called from any thread and take effect at once.
    """

    def __init__(self, target_port: int) -> None:
        self._target = (HOST, target_port)
        self._listener = socket.create_server((HOST, 0))
        self._listener.setblocking(False)
        self.port: int = self._listener.getsockname()[1]
        self._wake_here, self._wake_there = socket.socketpair()
        self._wake_here.setblocking(False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(self._wake_here, selectors.EVENT_READ)
        self._sides: dict[socket.socket, _Side] = {}
        self._lock = threading.Lock()
        self._cut_until = self._delay_until = 0.0
        self._delay_s = 0.0
        self._reset = self._halve = self._stopping = False
        self._thread = threading.Thread(target=self._work, name="chaos-proxy")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._tell(_stopping=True)
        self._thread.join(STOP_SECONDS)
        for each in (self._listener, self._wake_here, self._wake_there, *self._sides):
            each.close()
        self._selector.close()

    def cut(self, seconds: float) -> None:
        """Resets every connection and accepts none for *seconds*."""
        self._tell(_reset=True, _cut_until=time.monotonic() + seconds)

    def delay(self, each_way_s: float, seconds: float) -> None:
        """For *seconds* every byte arrives *each_way_s* later than it would."""
        self._tell(_delay_s=each_way_s, _delay_until=time.monotonic() + seconds)

    def half_open(self) -> None:
        """The server loses every present connection; the clients' ends stay open, and nobody answers them."""
        self._tell(_halve=True)

    def _tell(self, **what: float) -> None:
        with self._lock:
            for name, value in what.items():
                setattr(self, name, value)
        self._wake_there.send(b"\0")

    # The thread.

    def _work(self) -> None:
        while True:
            ready = self._selector.select(self._wait_s())
            with self._lock:
                stopping, reset, halve = self._stopping, self._reset, self._halve
                self._reset = self._halve = False
            if stopping:
                return
            if reset:
                for side in list(self._sides.values()):
                    self._drop(side)
            if halve:
                self._leave_half_open()
            for key, events in ready:
                if key.fileobj is self._listener:
                    self._accept()
                elif key.fileobj is self._wake_here:
                    with contextlib.suppress(BlockingIOError):
                        self._wake_here.recv(CHUNK_BYTES)
                elif (found := self._sides.get(key.data)) is not None and events & selectors.EVENT_READ:
                    self._read(found)
            now = time.monotonic()
            for side in list(self._sides.values()):
                if side.sock in self._sides:  # it may have gone with its other end
                    self._write(side, now)

    def _wait_s(self) -> float:
        """Until the next bytes are due, at most IDLE_SECONDS. What can't be written yet wakes by itself."""
        due = [side.waiting[0][0] for side in self._sides.values() if side.waiting]
        return max(0.0, min((each - time.monotonic() for each in due), default=IDLE_SECONDS))

    def _accept(self) -> None:
        try:
            client, _ = self._listener.accept()
        except OSError:  # it went away while it waited
            return
        try:
            if time.monotonic() < self._cut_until:
                raise ConnectionRefusedError
            server = socket.create_connection(self._target, timeout=1.0)
        except OSError:
            client.close()
            return
        near, far = _Side(client, at_server=False), _Side(server, at_server=True)
        near.other, far.other = far, near
        for side in (near, far):
            side.sock.setblocking(False)
            side.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._sides[side.sock] = side
            self._selector.register(side.sock, selectors.EVENT_READ, side.sock)

    def _read(self, side: _Side) -> None:
        try:
            data = side.sock.recv(CHUNK_BYTES)
        except BlockingIOError:
            return
        except OSError:
            self._drop(side)
            return
        if not data:
            if side.other is not None:
                side.other.ending, side.other.other = True, None
            self._forget(side)
        elif side.other is not None:
            now = time.monotonic()
            side.other.waiting.append((now + (self._delay_s if now < self._delay_until else 0.0), data))
            if len(side.other.waiting) >= HELD_CHUNKS:
                self._selector.unregister(side.sock)

    def _write(self, side: _Side, now: float) -> None:
        while side.waiting and side.waiting[0][0] <= now:
            due, data = side.waiting.popleft()
            try:
                written = side.sock.send(data)
            except BlockingIOError:
                written = 0
            except OSError:
                self._drop(side)
                return
            if written < len(data):
                side.waiting.appendleft((max(due, now + 0.001), data[written:]))
                return
        if side.ending and not side.waiting:
            self._forget(side)
            return
        other = side.other
        paused = other is not None and other.sock not in self._selector.get_map()
        if other is not None and paused and len(side.waiting) < HELD_CHUNKS:
            self._selector.register(other.sock, selectors.EVENT_READ, other.sock)

    def _leave_half_open(self) -> None:
        """Each connection loses the end at the server; what its client still sends is read and forgotten."""
        for side in list(self._sides.values()):
            if side.other is not None and side.at_server:
                client = side.other
                client.other = side.other = None
                client.waiting.clear()
                self._forget(side)

    def _drop(self, side: _Side) -> None:
        for each in (side, side.other):
            if each is not None and each.sock in self._sides:
                with contextlib.suppress(OSError):
                    each.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                self._forget(each)

    def _forget(self, side: _Side) -> None:
        del self._sides[side.sock]
        if side.sock in self._selector.get_map():
            self._selector.unregister(side.sock)
        side.sock.close()
