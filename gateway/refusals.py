"""What a failed connection means, in one sentence: wait and try again, or correct something first."""

from __future__ import annotations

import ssl

from paho.mqtt.reasoncodes import ReasonCode

from models.errors import BrokerAway, BrokerRefused, SessionTakenOver

UNSPECIFIED = 128
UNSUPPORTED_VERSION = 132
TAKEN_OVER = 142
NOT_LET_IN = {133, 134, 135, 138, 140}
"""MQTT 5 reason codes: client id, user or password, not authorised, banned, authentication method."""


def not_connected(address: str, exc: OSError, *, tls: bool) -> BrokerAway | BrokerRefused:
    """Why no connection came about, before a word of MQTT was spoken."""
    if isinstance(exc, ssl.SSLCertVerificationError):
        return BrokerRefused(
            f"The certificate of the broker at {address} is not trusted: {exc.verify_message}."
        )
    if isinstance(exc, ssl.SSLError) and not isinstance(exc, ssl.SSLEOFError):
        return BrokerRefused(
            f"No TLS connection with the broker at {address}: {exc.reason or 'handshake failed'}. "
            "Is this its mqtts port, and is the right certificate configured?"
        )
    ended = isinstance(exc, ssl.SSLEOFError | ConnectionResetError)
    hint = " Is this its mqtts port?" if tls and ended else ""
    why = exc.strerror or str(exc) or type(exc).__name__
    return BrokerAway(f"The broker at {address} does not answer: {why}.{hint}")


def not_accepted(address: str, reason: ReasonCode | None, network_error: str) -> BrokerAway | BrokerRefused:
    """Why the broker ended a connection that it had not accepted yet.

    *network_error* is what the socket said last; a broker that wants our certificate says so only there.
    """
    if reason is not None and reason.value in NOT_LET_IN:
        return BrokerRefused(
            f"The broker at {address} does not let us in: {reason}. "
            "Check user name, password file and the broker's access list."
        )
    if "certificate" in network_error.lower():
        return BrokerRefused(
            f"The broker at {address} refused our certificate, or wants one: set cert_file and key_file."
        )
    return BrokerAway(f"The broker at {address} closed the connection: {_word(reason)}.")


def lost(address: str, client_id: str, reason: ReasonCode | None, *, fleeting: bool) -> BrokerAway:
    """Why a standing connection ended; *fleeting* is whether the last few all ended soon.

    Raises SessionTakenOver when the broker says that another client has our id.
    """
    if reason is not None and reason.value == TAKEN_OVER:
        raise SessionTakenOver(
            f"Another client connected to {address} as {client_id!r}. "
            "Give each gateway a name of its own (--name)."
        )
    # mosquitto 2.0.11 closes without that word, so it can only be guessed.
    hint = " Does another client use the same name?" if fleeting else ""
    return BrokerAway(f"The connection to the broker at {address} was lost: {_word(reason)}.{hint}")


def _word(reason: ReasonCode | None) -> str:
    """The broker's own word; paho calls a connection that just closed "Unspecified error"."""
    return "connection closed" if reason is None or reason.value == UNSPECIFIED else str(reason)
