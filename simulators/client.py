"""Plain MQTT publishers, as devices are: paho-mqtt sessions in one thread, pumped by one selector.

Nothing of the gateway is used here, so that the simulators check it from outside. A device always goes
through the same session, its own or one that it shares, so its messages stay in order. All calls belong to
one thread.
"""

from __future__ import annotations

import random
import selectors
import socket
import ssl
import time
import zlib
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self

import paho.mqtt.client as mqtt
from paho.mqtt.enums import MQTTProtocolVersion

from models.errors import BrokerRefused
from simulators.access import BrokerAccess
from simulators.session import Session

WINDOW = 200
"""Messages one session may have sent without an acknowledgement; a broker's Receive Maximum can lower it."""
RESTLESS_SECONDS = 0.1
"""How often sessions that are not connected are looked after…"""
MISC_SECONDS = 1.0
"""…and how often the keep-alives of all."""
MOST_CONNECTING = 50
"""Sessions that may wait for the broker's answer at once: its queue of new connections is short (100 in
mosquitto), and a connection that finds it full waits for a second."""
ATTEMPTS_SECONDS = 0.05
"""How long the attempts of one round may take: with TLS two thousand of them would take many seconds."""

Say = Callable[[str], None]
OnMessage = Callable[[mqtt.MQTTMessage], None]
OnAcknowledged = Callable[[str], None]


class Sessions:
    """A pool of *count* sessions to one broker, or one session for each of *keys* (devices).

    A context manager. Sessions speak MQTT 5, and 3.1.1 where that is refused.
    *filters* are subscribed on each session (give them to a pool of one) and what arrives goes to
    *on_message*; with *keep_session_seconds* the broker keeps the session, and what comes for it, that long
    while it is away. *on_acknowledged* gets the token of each publish that the broker has taken. *say* gets a
    sentence when the broker goes away and when it is back. *rng* jitters the waiting between attempts. A pool
    *beside* another waits on the same selector, so that pumping either reads for both at once, though each
    looks after its own connections; it is closed first. Raises `BrokerRefused` when the broker or its
    certificate says no.
    """

    def __init__(
        self,
        access: BrokerAccess,
        *,
        count: int = 1,
        keys: Sequence[str] | None = None,
        window: int = WINDOW,
        client_id: str,
        rng: random.Random,
        say: Say,
        filters: Sequence[str] = (),
        on_message: OnMessage | None = None,
        on_acknowledged: OnAcknowledged | None = None,
        keep_session_seconds: int = 0,
        beside: Sessions | None = None,
    ) -> None:
        self.access = access
        self.window = window
        self.rng = rng
        self.filters = tuple(filters)
        self.on_message = on_message
        self.on_acknowledged = on_acknowledged
        self.keep_session_seconds = keep_session_seconds
        self.protocol = MQTTProtocolVersion.MQTTv5
        self.sent = 0
        self.acknowledged = 0
        self.turned_away = 0
        """Messages the broker answered with a refusal (a right or a quota is missing)."""
        self.refused: BrokerRefused | None = None
        self.closing = False
        self._say = say
        self._is_away = False
        self._owns_selector = beside is None
        self._selector: selectors.BaseSelector = (
            selectors.DefaultSelector() if beside is None else beside._selector
        )
        self._misc_at = 0.0
        self._restless_at = 0.0
        self.reconnects = 0
        """Connections that were broken on purpose, to be opened again."""
        self.tls_context = access.tls_context() if access.tls else None
        named = [str(number) for number in range(count)] if keys is None else keys
        self._sessions = [Session(self, f"{client_id}-{name}") for name in named]
        self._own = {} if keys is None else dict(zip(keys, self._sessions, strict=True))
        self._restless = dict.fromkeys(self._sessions)  # in order, so that none waits for ever

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def outstanding(self) -> int:
        """Messages that were sent and not yet acknowledged."""
        return self.sent - self.acknowledged - self.turned_away

    @property
    def ready(self) -> bool:
        """Whether every session is connected, and subscribed where it should be."""
        return not self._restless

    @property
    def opened(self) -> int:
        """Sessions that are connected, or were and will be again."""
        return sum(session.has_been_ready for session in self._sessions)

    def __len__(self) -> int:
        return len(self._sessions)

    def connect(self, stop: Callable[[], bool]) -> bool:
        """Waits until all sessions are ready, however long; False when *stop* came first."""
        while not self.ready:
            if stop():
                return False
            self.pump(0.05)
        return True

    def publish(
        self, key: str, topic: str, payload: bytes, *, retain: bool = False, token: str | None = None
    ) -> bool:
        """Sends at QoS 1 through the session of *key* (a device); False when it can take none now."""
        session = self._session(key)
        if not (session.ready or session.is_cut) or session.outstanding >= session.window:
            return False
        self.sent += 1
        session.publish(topic, payload, retain=retain, token=token)
        return True

    def cut(self, key: str) -> None:
        """Breaks the connection of *key* as a network does; it is opened again. Nothing sent is lost."""
        session = self._session(key)
        if session.ready:
            self.reconnects += 1
            session.cut()

    def _session(self, key: str) -> Session:
        """A device without a session of its own shares one, always the same."""
        return self._own.get(key) or self._sessions[zlib.crc32(key.encode()) % len(self._sessions)]

    def pump(self, seconds: float) -> None:
        """Reads and writes what can be, waiting up to *seconds* for it, and looks after the connections."""
        for key, events in self._selector.select(max(0.0, seconds)):
            client: mqtt.Client = key.data.client
            if events & selectors.EVENT_READ:
                client.loop_read()
                while isinstance(sock := client.socket(), ssl.SSLSocket) and sock.pending():
                    client.loop_read()  # decrypted bytes wait in the TLS layer, where select can't see them
            if events & selectors.EVENT_WRITE:
                client.loop_write()
        now = time.monotonic()
        if self._restless and now >= self._restless_at:
            self._restless_at = now + RESTLESS_SECONDS
            self._look_after_the_restless(now)
        if now >= self._misc_at:
            self._misc_at = now + MISC_SECONDS
            for session in self._sessions:
                if session.ready:
                    session.look_after(now)
        if self.refused is not None:
            raise self.refused

    def _look_after_the_restless(self, now: float) -> None:
        """Opens connections that are due, some at a time, and goes on at once where more are."""
        connecting = sum(session.is_connecting for session in self._restless)
        for session in list(self._restless):
            if session.is_connecting:
                session.look_after(now)
            elif session.retry_at is not None and now >= session.retry_at:
                if connecting >= MOST_CONNECTING or time.monotonic() - now > ATTEMPTS_SECONDS:
                    self._restless_at = now
                    return
                session.attempt(now)
                connecting += 1

    def restless(self, session: Session) -> None:
        """*session* is not connected and has to be."""
        self._restless[session] = None

    def settled(self, session: Session) -> None:
        """*session* is ready."""
        self._restless.pop(session, None)

    def drain(self, seconds: float, stop: Callable[[], bool]) -> bool:
        """Waits up to *seconds* for the acknowledgements still due; whether all came."""
        deadline = time.monotonic() + seconds
        while self.outstanding and time.monotonic() < deadline and not stop():
            self.pump(0.02)
        return not self.outstanding

    def close(self) -> None:
        """Says goodbye where there is a connection and closes all sockets; closing twice is fine."""
        self.closing = True
        for session in self._sessions:
            if session.client.socket() is not None:
                session.client.disconnect()
                while session.client.want_write() and not session.client.loop_write():
                    pass
                session.client.loop_misc()
            session.client.on_socket_close = None
            if (sock := session.client.socket()) is not None:
                self.unwatch(sock)
                sock.close()
        if self._owns_selector:
            self._selector.close()

    def watch(self, session: Session, sock: Any) -> None:
        """A socket was opened. Nagle's algorithm would hold a small message back for up to 40 ms."""
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._selector.register(sock, selectors.EVENT_READ, session)

    def unwatch(self, sock: Any) -> None:
        """A socket is about to be closed."""
        if sock in self._selector.get_map():
            self._selector.unregister(sock)

    def watch_writes(self, session: Session, sock: Any, *, wanted: bool) -> None:
        """There is something, or nothing any more, to write."""
        if isinstance(sock, socket.socket) and sock in self._selector.get_map():
            events = selectors.EVENT_READ | (selectors.EVENT_WRITE if wanted else 0)
            self._selector.modify(sock, events, session)

    def away(self, why: str) -> None:
        """Says once that the broker is away; not when it has said no, which is raised instead."""
        if not self._is_away and self.refused is None:
            self._is_away = True
            self._say(f"The broker at {self.access.url} is away ({why}); trying again.")

    def back(self) -> None:
        """Says once that the broker answers again."""
        if self._is_away:
            self._is_away = False
            self._say(f"The broker at {self.access.url} answers again.")
