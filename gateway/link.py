"""The connection to a broker, as the daemon sees it: a small protocol and the values that cross it.

Nothing here knows an MQTT library; `paho_link.py` is one implementation, and the contract tests
(`tests/test_link.py`) are what another one has to pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from models.errors import BrokerAway, BrokerRefused

PUBLISH_WINDOW = 256
"""Publishes that may wait for the broker's PUBACK at once, unless the broker allows fewer. Enough to fill a
round trip of 20 ms at 10,000 messages/s."""


@dataclass(frozen=True, slots=True)
class BrokerAddress:
    """Where the broker is and how to be let in. The host name is always checked against the certificate."""

    host: str
    port: int
    tls: bool = False
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    ca_file: Path | None = None
    """Certificates to trust; without it the system's own."""
    cert_file: Path | None = None
    key_file: Path | None = None

    @property
    def name(self) -> str:
        """Host and port, for a sentence."""
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Will:
    """What the broker publishes, retained, when the connection ends without a goodbye."""

    topic: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class LinkSettings:
    """How to connect; the defaults fit a broker on the box."""

    address: BrokerAddress
    client_id: str
    will: Will | None = None
    keepalive_seconds: int = 30
    receive_maximum: int = 1_000
    """Deliveries that the broker may leave unacknowledged (MQTT 5); the bound on what a crash repeats."""
    session_expiry_seconds: int = 86_400
    """How long the broker keeps our session and what waits in it while we are away (MQTT 5)."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message as it came, with what settles it."""

    topic: str
    """As text; bytes that are not valid UTF-8 stand as `\\xNN`, which no topic template matches."""
    payload: bytes
    retained: bool
    duplicate: bool
    session: int
    """The connection that brought it; it can be acknowledged on no other."""
    handle: int | None
    """The packet id, or None for QoS 0, which wants no acknowledgement."""


@dataclass(frozen=True, slots=True)
class Up:
    """A connection was accepted. *resumed* is whether the broker had kept our session."""

    session: int
    resumed: bool
    protocol: str


@dataclass(frozen=True, slots=True)
class Down:
    """The connection was lost, or could not be made; the link goes on trying. Said once per change."""

    error: BrokerAway | BrokerRefused


@dataclass(frozen=True, slots=True)
class Subscribed:
    """The broker's answer to one `subscribe`; *refused* are the filters that it said no to."""

    filters: tuple[str, ...]
    refused: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PublishRefused:
    """The broker took a publish off our hands with a refusal; it counts as settled and is not sent again."""

    ticket: int
    reason: str


LinkEvent = Up | Down | Subscribed | PublishRefused


class Link(Protocol):
    """A connection that keeps itself up. It belongs to one thread and works only while `take` runs."""

    @property
    def up(self) -> bool:
        """Whether the broker has accepted the connection and it stands."""

    @property
    def window(self) -> int:
        """How many publishes may wait for their PUBACK at once on this connection."""

    @property
    def shed(self) -> int:
        """QoS 0 messages that found the inbox full, since the start."""

    def take(self, limit: int, linger_s: float, timeout_s: float) -> list[Delivery]:
        """Up to *limit* deliveries in order of arrival; all network work is done in here.

        Waits up to *timeout_s* for the first one, then up to *linger_s* for more; returns early, perhaps
        with none, when something else has happened (`settled`, `events`). With *limit* 0 it only works the
        network. Raises SessionTakenOver, and BrokerRefused as long as no connection ever succeeded.
        """

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
        """Hands a message over and returns its ticket. The link sends it again by itself after a
        reconnect: never publish the same row twice. On MQTT 5 the broker forgets it after *expiry_s*, and
        *resent* marks it as late with a user property.
        """

    def withdraw(self, ticket: int) -> None:
        """Takes a message back that was not settled, so that no reconnect sends it again."""

    def settled(self) -> list[int]:
        """Tickets whose PUBACK was seen since the last call (QoS 0: that were handed to the network)."""

    def events(self) -> list[LinkEvent]:
        """What happened to the connection since the last call, in order."""

    def subscribe(self, filters: Sequence[str], *, fresh_only: bool = True) -> None:
        """Asks for topics at QoS 1; the answer comes as a `Subscribed` event. *fresh_only* leaves out the
        retained messages of a subscription that the session already has, where MQTT 5 is spoken.
        """

    def unsubscribe(self, filters: Sequence[str]) -> None:
        """Takes subscriptions back."""

    def ack(self, delivery: Delivery) -> None:
        """Acknowledges; call it in order of arrival. A delivery of an earlier connection is left alone:
        the broker brings it again, or its packet id means another message by now.
        """

    def drop(self, error: BrokerAway | BrokerRefused) -> None:
        """Gives this connection up as failed; it is made again after a pause."""

    def close(self) -> None:
        """Says goodbye (the Will is not published) and closes; closing twice is fine."""
