"""One MQTT session of a simulated device: a paho client driven from outside. For `client.py` alone."""

from __future__ import annotations

import socket
import ssl
import time
from typing import TYPE_CHECKING, Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from models.errors import BrokerRefused
from simulators.access import refusal

if TYPE_CHECKING:
    from simulators.client import Sessions

KEEP_ALIVE_SECONDS = 30
CONNECT_SECONDS = 1.5
"""How long one attempt may block; below the two seconds in which a stop must take effect."""
ANSWER_SECONDS = 10.0
"""How long a broker may take to answer CONNECT, before the attempt counts as failed."""
FIRST_DELAY_SECONDS = 0.5
LONGEST_DELAY_SECONDS = 15.0
"""Reconnecting waits between half and the whole of a delay that doubles from the first to the longest."""

_UNSUPPORTED_PROTOCOL = 0x84  # MQTT 5 reason code; paho maps 3.1.1's return code 1 to it
_REFUSALS = {
    0x86: "user name or password is wrong",
    0x87: "not authorised",
    0x8A: "banned",
    0x8C: "bad method",
}


class Client(mqtt.Client):
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


class Session:
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
        self._cut = False
        self.has_been_ready = False
        self.is_cut = False
        """Broken on purpose and not yet back: a device then keeps what it has to say, and so does paho."""

    @property
    def is_connecting(self) -> bool:
        """Whether an attempt is under way that nobody has answered yet."""
        return self.retry_at is None and not self.ready

    def cut(self) -> None:
        """Breaks the connection as a network does, without a goodbye; it is opened again after a moment."""
        sock = self.client.socket()
        if self.ready and isinstance(sock, socket.socket):
            self._cut = self.is_cut = True
            self.ready = False
            self.pool.restless(self)
            sock.shutdown(socket.SHUT_RDWR)  # the next read finds the end and paho says it is disconnected

    def _new_client(self) -> mqtt.Client:
        pool = self.pool
        old = pool.protocol != MQTTProtocolVersion.MQTTv5
        client = Client(
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
        if pool.tls_context is not None:
            client.tls_set_context(pool.tls_context)
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
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call] # paho's own gap
        properties.SessionExpiryInterval = seconds
        return {"clean_start": False, "properties": properties}

    def look_after(self, now: float) -> None:
        """Keep-alive, or the end of waiting for an answer to CONNECT."""
        self.client.loop_misc()
        if not self._answered and self.retry_at is None and now >= self.answer_by:
            self.pool.away("no answer to CONNECT")
            self._wait(now)

    def _wait(self, now: float) -> None:
        self.ready = False
        delay = min(LONGEST_DELAY_SECONDS, FIRST_DELAY_SECONDS * 2.0**self.failures)
        self.failures += 1
        self.retry_at = now + delay * self.pool.rng.uniform(0.5, 1.0)
        self.pool.restless(self)

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
                self._is_ready()

    def _is_ready(self) -> None:
        self.ready, self.has_been_ready, self.is_cut = True, True, False
        self.pool.settled(self)

    def _on_disconnect(self, *_details: object) -> None:
        was_ready, self.ready = self.ready, False
        if self.client.protocol != self.pool.protocol and not was_ready:
            self.client, self._opened_before = self._new_client(), False
            self.retry_at = 0.0
            self.pool.restless(self)
        elif not self.pool.closing:
            if not self._cut:
                self.pool.away("the connection was closed")
            self._cut = False
            self._wait(time.monotonic())

    def _on_subscribe(self, *details: Any) -> None:
        if any(reason.is_failure for reason in details[3]):
            self.pool.refused = BrokerRefused(f"{self.pool.access.url} does not grant the subscription.")
        else:
            self._is_ready()

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
