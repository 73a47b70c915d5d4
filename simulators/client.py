"""Plain MQTT publishers, as devices are: pooled paho-mqtt sessions in one thread, pumped by one selector.

Nothing of the gateway is used here, so that the simulators check it from outside. A device always goes
through the same session, so its messages stay in order. All calls belong to one thread.
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
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from models.errors import BrokerRefused
from simulators.access import BrokerAccess, refusal

WINDOW = 200
"""Messages one session may have sent without an acknowledgement; a broker's Receive Maximum can lower it."""
KEEP_ALIVE_SECONDS = 30
CONNECT_SECONDS = 1.5
"""How long one attempt may block; below the two seconds in which a stop must take effect."""
ANSWER_SECONDS = 10.0
"""How long a broker may take to answer CONNECT, before the attempt counts as failed."""
FIRST_DELAY_SECONDS = 0.5
LONGEST_DELAY_SECONDS = 15.0
"""Reconnecting waits between half and the whole of a delay that doubles from the first to the longest."""
MISC_SECONDS = 0.1
"""How often keep-alives and reconnects are looked after."""

_UNSUPPORTED_PROTOCOL = 0x84  # MQTT 5 reason code; paho maps 3.1.1's return code 1 to it
_REFUSALS = {
    0x86: "user name or password is wrong",
    0x87: "not authorised",
    0x8A: "banned",
    0x8C: "bad method",
}

Say = Callable[[str], None]
OnMessage = Callable[[mqtt.MQTTMessage], None]
OnAcknowledged = Callable[[str], None]


class _Client(mqtt.Client):
    """paho's client, which leaves the socket of a failed TLS handshake open; this one closes it."""

    def _ssl_wrap_socket(self, tcp_sock: socket.socket) -> ssl.SSLSocket:
        context = self._ssl_context
        assert context is not None  # noqa: S101 - paho wraps only where there is one
        wrapped = context.wrap_socket(tcp_sock, server_hostname=self.host, do_handshake_on_connect=False)
        try:
            wrapped.settimeout(CONNECT_SECONDS)
            wrapped.do_handshake()
        except BaseException:
            wrapped.close()
            raise
        return wrapped


class _Session:
    """One MQTT session: a paho client driven from outside, and what it still waits for."""

    def __init__(self, pool: Sessions, client_id: str) -> None:
        self.pool = pool
        self.client_id = client_id
        self.outstanding = 0
        self.window = pool.window
        self.ready = False
        self.retry_at: float | None = 0.0
        """Monotonic time of the next attempt; None while connecting or connected."""
        self.answer_by = 0.0
        self.failures = 0
        self.client = self._new_client()
        self._opened_before = False
        self._answered = False
        self._tokens: dict[int, str] = {}  # packet id -> what the acknowledgement is reported under

    def _new_client(self) -> mqtt.Client:
        pool = self.pool
        old = pool.protocol != MQTTProtocolVersion.MQTTv5
        client = _Client(
            CallbackAPIVersion.VERSION2,
            client_id=self.client_id,
            protocol=pool.protocol,
            clean_session=not pool.keep_session_seconds if old else None,
        )
        client.connect_timeout = CONNECT_SECONDS
        client.max_inflight_messages_set(pool.window)
        access = pool.access
        if access.username is not None:
            client.username_pw_set(access.username, access.password)
        if access.tls:
            client.tls_set_context(access.tls_context())
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish
        client.on_subscribe = self._on_subscribe
        client.on_socket_open = lambda _c, _u, sock: pool.watch(self, sock)
        client.on_socket_close = lambda _c, _u, sock: pool.unwatch(sock)
        client.on_socket_register_write = lambda _c, _u, sock: pool.watch_writes(self, sock, wanted=True)
        client.on_socket_unregister_write = lambda _c, _u, sock: pool.watch_writes(self, sock, wanted=False)
        if pool.on_message is not None:
            hand_over = pool.on_message
            client.on_message = lambda _client, _userdata, message: hand_over(message)
        return client

    def attempt(self, now: float) -> None:
        """Opens the connection; the answer comes through callbacks."""
        self.retry_at, self.answer_by, self._answered = None, now + ANSWER_SECONDS, False
        try:
            if self._opened_before:
                self.client.reconnect()
            else:
                access = self.pool.access
                self.client.connect(access.host, access.port, KEEP_ALIVE_SECONDS, **self._session_kept())
                self._opened_before = True
        except ssl.SSLError as error:
            raise refusal(self.pool.access, error) from error
        except OSError as error:
            self.pool.away(error.strerror or type(error).__name__)
            self._wait(now)

    def publish(self, topic: str, payload: bytes, *, retain: bool, token: str | None) -> None:
        """Sends at QoS 1; the caller has looked at the window."""
        self.outstanding += 1
        sent = self.client.publish(topic, payload, qos=1, retain=retain)
        if token is not None:
            self._tokens[sent.mid] = token

    def _session_kept(self) -> dict[str, Any]:
        """What asks an MQTT 5 broker to keep the session while we are away."""
        seconds = self.pool.keep_session_seconds
        if not seconds or self.pool.protocol != MQTTProtocolVersion.MQTTv5:
            return {}
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = seconds
        return {"clean_start": False, "properties": properties}

    def look_after(self, now: float) -> None:
        """Keep-alive, and the next attempt when it is due."""
        if self.retry_at is not None:
            if now >= self.retry_at:
                self.attempt(now)
            return
        self.client.loop_misc()
        if not self._answered and self.retry_at is None and now >= self.answer_by:
            self.pool.away("no answer to CONNECT")
            self._wait(now)

    def _wait(self, now: float) -> None:
        self.ready = False
        delay = min(LONGEST_DELAY_SECONDS, FIRST_DELAY_SECONDS * 2.0**self.failures)
        self.failures += 1
        self.retry_at = now + delay * self.pool.rng.uniform(0.5, 1.0)

    def _on_connect(
        self, _client: mqtt.Client, _userdata: object, _flags: object, reason: ReasonCode, properties: Any
    ) -> None:
        self._answered = True
        if reason.value == _UNSUPPORTED_PROTOCOL and self.pool.protocol == MQTTProtocolVersion.MQTTv5:
            self.pool.protocol = MQTTProtocolVersion.MQTTv311
        elif reason.value in _REFUSALS:
            self.pool.refused = BrokerRefused(f"{self.pool.access.url} says no: {_REFUSALS[reason.value]}.")
        elif not reason.is_failure:
            self.failures = 0
            limit = getattr(properties, "ReceiveMaximum", None)
            self.window = min(self.pool.window, limit or self.pool.window)
            self.pool.back()
            if self.pool.filters:
                self.client.subscribe([(name, 1) for name in self.pool.filters])
            else:
                self.ready = True

    def _on_disconnect(self, *_details: object) -> None:
        was_ready, self.ready = self.ready, False
        if self.client.protocol != self.pool.protocol and not was_ready:
            self.client, self._opened_before = self._new_client(), False
            self.retry_at = 0.0
        elif not self.pool.closing:
            self.pool.away("the connection was closed")
            self._wait(time.monotonic())

    def _on_subscribe(self, *details: Any) -> None:
        if any(reason.is_failure for reason in details[3]):
            self.pool.refused = BrokerRefused(f"{self.pool.access.url} does not grant the subscription.")
        else:
            self.ready = True

    def _on_publish(
        self,
        _client: mqtt.Client,
        _userdata: object,
        mid: int,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        self.outstanding -= 1
        token = self._tokens.pop(mid, None)
        if reason.is_failure:
            self.pool.turned_away += 1
            return
        self.pool.acknowledged += 1
        if token is not None and self.pool.on_acknowledged is not None:
            self.pool.on_acknowledged(token)


class Sessions:
    """A pool of *count* sessions to one broker; a context manager. MQTT 5, and 3.1.1 where that is refused.

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
        self._sessions = [_Session(self, f"{client_id}-{number}") for number in range(count)]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def outstanding(self) -> int:
        """Messages that were sent and not yet acknowledged."""
        return sum(session.outstanding for session in self._sessions)

    @property
    def ready(self) -> bool:
        """Whether every session is connected, and subscribed where it should be."""
        return all(session.ready for session in self._sessions)

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
        session = self._sessions[zlib.crc32(key.encode()) % len(self._sessions)]
        if not session.ready or session.outstanding >= session.window:
            return False
        self.sent += 1
        session.publish(topic, payload, retain=retain, token=token)
        return True

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
        if now >= self._misc_at:
            self._misc_at = now + MISC_SECONDS
            for session in self._sessions:
                session.look_after(now)
        if self.refused is not None:
            raise self.refused

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

    def watch(self, session: _Session, sock: Any) -> None:
        """A socket was opened. Nagle's algorithm would hold a small message back for up to 40 ms."""
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._selector.register(sock, selectors.EVENT_READ, session)

    def unwatch(self, sock: Any) -> None:
        """A socket is about to be closed."""
        if sock in self._selector.get_map():
            self._selector.unregister(sock)

    def watch_writes(self, session: _Session, sock: Any, *, wanted: bool) -> None:
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
