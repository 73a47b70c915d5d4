"""The link over paho-mqtt: MQTT 5 where the broker speaks it, else 3.1.1, in the caller's own thread.

`take` waits on the socket and pumps it through paho's `loop_read`, `loop_write` and `loop_misc`; paho's own
thread is never started. So no lock, no second queue, and keep-alive proves that the caller makes progress.
paho's callbacks only note what happened; decisions are made after paho has returned.
"""

from __future__ import annotations

import random
import select
import ssl
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self

import paho.mqtt.client as paho
from paho.mqtt.enums import MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from gateway.backoff import STABLE_SECONDS, Backoff
from gateway.inbox import Inbox
from gateway.link import (
    PUBLISH_WINDOW,
    Delivery,
    Down,
    LinkEvent,
    LinkSettings,
    PublishRefused,
    Subscribed,
    Up,
)
from gateway.paho_client import new_client, publish_properties
from gateway.refusals import UNSPECIFIED, UNSUPPORTED_VERSION, lost, not_accepted, not_connected
from gateway.tls import tls_context
from models.errors import BrokerAway, BrokerRefused

CONNECT_SECONDS = 5.0
"""How long a connection, its TLS handshake, and then the broker's CONNACK may take, each."""
FLEETING = 3
"""After so many short connections in a row it is said what may be behind it."""
PACKETS_A_TURN = 1_024
"""Reads between two looks at the clock and at what waits to be written."""
GOODBYE_SECONDS = 1.0
"""How long `close` tries to get its DISCONNECT out."""

_FIVE = MQTTProtocolVersion.MQTTv5


class PahoLink:
    """A `Link` over paho; the protocol documents each method.

    *rng* spreads the pauses between attempts; *now* is monotonic seconds. Raises BrokerRefused when a
    certificate file can't be used.
    """

    def __init__(
        self, settings: LinkSettings, *, rng: random.Random, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._settings = settings
        self._backoff = Backoff(rng)
        self._now = now
        self._tls = tls_context(settings.address) if settings.address.tls else None
        self._protocol = _FIVE
        self._client = self._new_client()
        self._inbox = Inbox()
        self._events: list[LinkEvent] = []
        self._settled: list[int] = []
        self._tickets: dict[int, int] = {}  # packet id -> ticket, of what waits for its PUBACK
        self._next_ticket = 1
        self._subscribing: dict[int, tuple[str, ...]] = {}  # packet id -> filters
        self._poll = select.poll()
        self._socket_fd = -1
        self._session = 0
        self._up = False
        self._ever_up = False
        self._open = False  # a socket stands, whether or not the broker has accepted us
        self._window = PUBLISH_WINDOW
        self._since = 0.0  # when the present state began, monotonic seconds
        self._next_attempt = 0.0
        self._said: str | None = None
        self._reason: ReasonCode | None = None  # the broker's own word on why
        self._overflowed = False
        self._network_error = ""
        self._closed = False

    @property
    def up(self) -> bool:
        """See `Link.up`."""
        return self._up

    @property
    def window(self) -> int:
        """See `Link.window`."""
        return self._window

    @property
    def shed(self) -> int:
        """See `Link.shed`."""
        return self._inbox.shed

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._discard_socket()  # without goodbye, so that the broker publishes the Will
            self._closed = True
        self.close()

    def take(self, limit: int, linger_s: float, timeout_s: float) -> list[Delivery]:
        """See `Link.take`."""
        until = self._now() + timeout_s
        self._turn(0.0)
        while not (self._settled or self._events or (limit and self._inbox)):
            if (left := until - self._now()) <= 0:
                break
            self._turn(left)
        if limit and self._inbox:
            until = self._now() + linger_s
            while len(self._inbox) < limit and self._up and (left := until - self._now()) > 0:
                self._turn(left)
        return self._inbox.take(limit)

    def publish(
        self,
        topic: str,
        payload: bytes,
        *,
        qos: int = 1,
        retain: bool = False,
        expiry_s: int | None = None,
        resent: bool = False,
    ) -> int:
        """See `Link.publish`."""
        properties = publish_properties(expiry_s, resent=resent) if self._protocol == _FIVE else None
        ticket, self._next_ticket = self._next_ticket, self._next_ticket + 1
        while True:
            info = self._client.publish(topic, payload, qos=qos, retain=retain, properties=properties)
            # paho's packet ids go round; one that still waits for its PUBACK is passed over.
            if info.rc != MQTTErrorCode.MQTT_ERR_QUEUE_SIZE:
                break
        if qos:
            self._tickets[info.mid] = ticket
        else:
            self._settled.append(ticket)
        return ticket

    def withdraw(self, ticket: int) -> None:
        """See `Link.withdraw`."""
        for packet_id in [each for each, its in self._tickets.items() if its == ticket]:
            del self._tickets[packet_id]
            # paho has no way to take one message back.
            self._client._out_messages.pop(packet_id, None)

    def settled(self) -> list[int]:
        """See `Link.settled`."""
        settled, self._settled = self._settled, []
        return settled

    def events(self) -> list[LinkEvent]:
        """See `Link.events`."""
        events, self._events = self._events, []
        return events

    def subscribe(self, filters: Sequence[str], *, fresh_only: bool = True) -> None:
        """See `Link.subscribe`."""
        if self._protocol == _FIVE:
            handling = (
                SubscribeOptions.RETAIN_SEND_IF_NEW_SUB
                if fresh_only
                else SubscribeOptions.RETAIN_SEND_ON_SUBSCRIBE
            )
            result, mid = self._client.subscribe(
                [(wanted, SubscribeOptions(qos=1, retainHandling=handling)) for wanted in filters]
            )
        else:
            result, mid = self._client.subscribe([(wanted, 1) for wanted in filters])
        if result == MQTTErrorCode.MQTT_ERR_SUCCESS and mid is not None:
            self._subscribing[mid] = tuple(filters)

    def unsubscribe(self, filters: Sequence[str]) -> None:
        """See `Link.unsubscribe`."""
        self._client.unsubscribe(list(filters))

    def ack(self, delivery: Delivery) -> None:
        """See `Link.ack`."""
        if delivery.handle is not None and self._up and delivery.session == self._session:
            self._client.ack(delivery.handle, 1)

    def drop(self, error: BrokerAway | BrokerRefused) -> None:
        """See `Link.drop`."""
        self._fail(error)

    def close(self) -> None:
        """See `Link.close`."""
        if self._closed:
            return
        self._closed = True
        if self._up:
            self._client.disconnect()
            until = self._now() + GOODBYE_SECONDS
            while self._client.socket() is not None and (left := until - self._now()) > 0:
                self._wait(left)
        self._up = self._open = False
        self._discard_socket()

    # The network, one turn at a time.

    def _turn(self, wait_s: float) -> None:
        if not self._open:
            pause = self._next_attempt - self._now()
            if pause <= 0:
                self._connect()
            elif wait_s > 0:
                time.sleep(min(pause, wait_s))
            return
        self._wait(wait_s)
        if self._client.socket() is None:
            self._lost()
        elif self._overflowed:
            self._fail(BrokerAway("The broker sent more than MQTT allows; the connection is made again."))
        elif not self._up and self._now() - self._since > CONNECT_SECONDS:
            self._try_other_protocol()
            self._fail(BrokerAway(f"The broker at {self._address} took the connection but does not answer."))

    def _wait(self, wait_s: float) -> None:
        """One poll of the socket, and all that it brought."""
        client = self._client
        sock = client.socket()
        if sock is None:
            return
        if self._socket_fd != sock.fileno():
            self._socket_fd = sock.fileno()
            self._poll = select.poll()
        self._poll.register(self._socket_fd, select.POLLIN | (select.POLLOUT if client.want_write() else 0))
        ready = self._poll.poll(0 if self._decrypted() else wait_s * 1000)
        if ready and ready[0][1] & select.POLLOUT:
            client.loop_write()
        self._poll.register(self._socket_fd, select.POLLIN)
        packets = 0
        while (
            client.socket() is not None
            and packets < PACKETS_A_TURN
            and (self._decrypted() or self._poll.poll(0))
        ):
            client.loop_read()
            packets += 1
        client.loop_misc()

    def _decrypted(self) -> bool:
        """Whether TLS holds bytes that the socket no longer shows."""
        sock = self._client.socket()
        return isinstance(sock, ssl.SSLSocket) and sock.pending() > 0

    def _connect(self) -> None:
        client = self._client
        client.on_log = self._note_network_error
        self._reason = None
        self._overflowed = False
        self._network_error = ""
        self._open = True
        try:
            client.reconnect()
            self._since = self._now()
        except OSError as exc:  # TLS errors are among them
            self._fail(not_connected(self._address, exc, tls=self._tls is not None))

    def _lost(self) -> None:
        """The socket is gone: why, and what now."""
        reason = self._reason
        if self._up:
            short = self._now() - self._since < STABLE_SECONDS
            fleeting = short and self._backoff.failures >= FLEETING
            self._fail(lost(self._address, self._settings.client_id, reason, fleeting=fleeting))
        elif reason is not None and reason.value == UNSUPPORTED_VERSION and self._protocol == _FIVE:
            self._try_other_protocol()
            self._open = False
            self._next_attempt = self._now()
        else:
            if reason is None or reason.value == UNSPECIFIED:
                self._try_other_protocol()  # closing without a word is an old broker's answer to MQTT 5
            self._fail(not_accepted(self._address, reason, self._network_error))

    def _fail(self, error: BrokerAway | BrokerRefused) -> None:
        """This connection, or the attempt at one, is over; the next comes after a pause."""
        lasted_s = self._now() - self._since if self._up else 0.0
        self._up = self._open = False
        self._subscribing.clear()
        self._discard_socket()
        if isinstance(error, BrokerRefused) and not self._ever_up:
            raise error
        self._next_attempt = self._now() + self._backoff.pause_s(lasted_s)
        if str(error) != self._said:
            self._said = str(error)
            self._events.append(Down(error))

    def _try_other_protocol(self) -> None:
        """3.1.1 instead of 5 or back, until a broker has accepted one; that one stays."""
        if not self._ever_up:
            self._protocol = MQTTProtocolVersion.MQTTv311 if self._protocol == _FIVE else _FIVE
            self._discard_socket()
            self._client = self._new_client()

    def _discard_socket(self) -> None:
        # Closed under paho, which closes it once more when it reconnects: paho's own `disconnect` says
        # goodbye, and then the broker would not publish the Will.
        sock = self._client.socket()
        if sock is not None:
            sock.close()
        self._socket_fd = -1

    @property
    def _address(self) -> str:
        return self._settings.address.name

    def _new_client(self) -> paho.Client:
        client = new_client(self._settings, self._protocol, self._tls, connect_seconds=CONNECT_SECONDS)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        client.on_publish = self._on_publish
        client.on_subscribe = self._on_subscribe
        return client

    # paho's callbacks, called from within its loop functions: they note and return.

    def _on_connect(
        self,
        client: paho.Client,
        _userdata: Any,
        flags: paho.ConnectFlags,
        reason: ReasonCode,
        properties: Properties | None,
    ) -> None:
        if reason.is_failure:
            self._reason = reason
            return
        client.on_log = None  # paho formats every packet for it
        self._session += 1
        self._up = self._ever_up = True
        self._since = self._now()
        self._said = None
        self._window = min(PUBLISH_WINDOW, getattr(properties, "ReceiveMaximum", PUBLISH_WINDOW))
        if flags.session_present:
            self._inbox.forget_unacknowledged()
        protocol = "5" if self._protocol == _FIVE else "3.1.1"
        self._events.append(Up(self._session, flags.session_present, protocol))

    def _on_disconnect(
        self,
        _client: paho.Client,
        _userdata: Any,
        _flags: paho.DisconnectFlags,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        if self._reason is None:  # the CONNACK's word, if there was one, says more
            self._reason = reason

    def _on_message(self, _client: paho.Client, _userdata: Any, message: paho.MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError as exc:
            topic = bytes(exc.object).decode("utf-8", "backslashreplace")
        handle = message.mid if message.qos else None
        payload = bytes(message.payload)
        delivery = Delivery(topic, payload, message.retain, message.dup, self._session, handle)
        if not self._inbox.put(delivery):
            self._overflowed = True  # unacknowledged, so the next connection brings it again

    def _on_publish(
        self,
        _client: paho.Client,
        _userdata: Any,
        mid: int,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        ticket = self._tickets.pop(mid, None)
        if ticket is None:  # QoS 0, settled when it was handed over
            return
        self._settled.append(ticket)
        if reason.is_failure:
            self._events.append(PublishRefused(ticket, str(reason)))

    def _on_subscribe(
        self,
        _client: paho.Client,
        _userdata: Any,
        mid: int,
        reasons: list[ReasonCode],
        _properties: Properties | None,
    ) -> None:
        filters = self._subscribing.pop(mid, ())
        refused = tuple(wanted for wanted, reason in zip(filters, reasons, strict=False) if reason.is_failure)
        self._events.append(Subscribed(filters, refused))

    def _note_network_error(self, _client: paho.Client, _userdata: Any, level: int, text: str) -> None:
        if level == paho.MQTT_LOG_ERR:
            self._network_error = text
