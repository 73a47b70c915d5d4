"""paho's client, set up as the link needs it. Only its construction, and that of its packets, lives here."""

from __future__ import annotations

import socket
import ssl
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from gateway.link import LinkSettings


class _Client(paho.Client):
    """paho's client, but a failed TLS handshake closes its socket instead of leaving it to the collector."""

    def _ssl_wrap_socket(self, tcp_sock: socket.socket) -> ssl.SSLSocket:
        context = self._ssl_context
        if context is None:
            raise TypeError("a TLS connection without a TLS context")
        sock = context.wrap_socket(tcp_sock, server_hostname=self.host, do_handshake_on_connect=False)
        try:
            sock.settimeout(self.connect_timeout)
            sock.do_handshake()
        except BaseException:
            sock.close()
            raise
        return sock


def new_client(
    settings: LinkSettings,
    protocol: MQTTProtocolVersion,
    tls: ssl.SSLContext | None,
    *,
    connect_seconds: float,
) -> paho.Client:
    """A client that knows where to connect and has not; it never reconnects or acknowledges by itself.

    Its session is kept by the broker: a fixed client id, no clean start, and on MQTT 5 an expiry.
    """
    address = settings.address
    five = protocol == MQTTProtocolVersion.MQTTv5
    client = _Client(
        CallbackAPIVersion.VERSION2,
        client_id=settings.client_id,
        clean_session=None if five else False,
        protocol=protocol,
        reconnect_on_failure=False,
        manual_ack=True,
    )
    client.connect_timeout = connect_seconds
    client.max_inflight_messages = 0  # unlimited here: the outbox keeps the window, which it can change
    client.on_socket_open = _without_delay
    if address.username is not None:
        client.username_pw_set(address.username, address.password)
    if tls is not None:
        client.tls_set_context(tls)
    if settings.will is not None:
        client.will_set(settings.will.topic, settings.will.payload, qos=1, retain=True)
    if five:
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call] # paho's own gap
        properties.ReceiveMaximum = settings.receive_maximum
        properties.SessionExpiryInterval = settings.session_expiry_seconds
        client.connect_async(
            address.host,
            address.port,
            settings.keepalive_seconds,
            clean_start=False,
            properties=properties,
        )
    else:
        client.connect_async(address.host, address.port, settings.keepalive_seconds)
    return client


def publish_properties(expiry_s: int | None, *, resent: bool) -> Properties | None:
    """What a publish says beside its payload on MQTT 5: how long it is worth keeping, and that it is late."""
    if expiry_s is None and not resent:
        return None
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call] # paho's own gap
    if expiry_s is not None:
        properties.MessageExpiryInterval = expiry_s
    if resent:
        properties.UserProperty = ("resent", "true")
    return properties


def _without_delay(_client: paho.Client, _userdata: Any, sock: Any) -> None:
    """Small packets leave at once: an acknowledgement after a publish would wait 40 ms for the peer's TCP."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
