"""Fixtures that several tests share: brokers of both kinds, certificates, and links to them."""

from __future__ import annotations

import datetime
import ipaddress
import random
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import structlog
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from gateway.broker import BrokerKind, EmbeddedBroker, find_mosquitto, find_nats_server
from gateway.link import BrokerAddress, Delivery, LinkEvent, LinkSettings, Subscribed, Up, Will
from gateway.paho_link import PahoLink

MakeLink = Callable[..., PahoLink]


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    """Logging is set up for a whole process; a test that does so leaves nothing behind."""
    import sys

    hook = sys.excepthook
    yield
    structlog.reset_defaults()
    sys.excepthook = hook


@pytest.fixture(params=["mosquitto", "nats-server"])
def kind(request: pytest.FixtureRequest) -> BrokerKind:
    """Each kind of broker that is on this machine."""
    wanted: BrokerKind = request.param
    if (find_mosquitto() if wanted == "mosquitto" else find_nats_server()) is None:
        pytest.skip(f"{wanted} is not on this machine")
    return wanted


@pytest.fixture
def broker(kind: BrokerKind) -> Iterator[EmbeddedBroker]:
    """A broker of each kind, one for each test."""
    with EmbeddedBroker(kind) as running:
        yield running


@pytest.fixture
def mosquitto() -> Iterator[EmbeddedBroker]:
    """A mosquitto, for what only MQTT 5 has."""
    if find_mosquitto() is None:
        pytest.skip("mosquitto is not on this machine")
    with EmbeddedBroker("mosquitto") as running:
        yield running


@pytest.fixture
def make_link() -> Iterator[MakeLink]:
    """Makes links to a broker's port, all of them closed at the end."""
    with ExitStack() as opened:

        def make(port: int, client_id: str = "edgeward-test", **settings: Any) -> PahoLink:
            address = settings.pop("address", BrokerAddress("127.0.0.1", port))
            will = settings.pop("will", Will(f"will/{client_id}", b"offline"))
            link = PahoLink(LinkSettings(address, client_id, will, **settings), rng=random.Random(1))
            return opened.enter_context(link)

        yield make


PATIENCE_SECONDS = 20.0


class Peer:
    """A link and all that it has told so far."""

    def __init__(self, link: PahoLink) -> None:
        self.link = link
        self.deliveries: list[Delivery] = []
        self.events: list[LinkEvent] = []
        self.settled: list[int] = []
        self._filters: tuple[str, ...] = ()

    def until(self, condition: Callable[[], bool], *, acknowledge: bool = True) -> None:
        """Works the link until *condition*, or fails."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            assert time.monotonic() < deadline, (self.events, len(self.deliveries), len(self.settled))
            for delivery in self.link.take(64, 0.0, 0.05):
                self.deliveries.append(delivery)
                if acknowledge:
                    self.link.ack(delivery)
            events = self.link.events()
            if self._filters and any(isinstance(each, Up) for each in events):
                self.link.subscribe(self._filters)  # the broker may have forgotten us
            self.events += events
            self.settled += self.link.settled()

    def until_up(self, times: int = 1) -> None:
        self.until(lambda: len([each for each in self.events if isinstance(each, Up)]) >= times)

    def until_subscribed(self, *filters: str) -> None:
        self._filters = filters
        self.link.subscribe(filters)
        self.until(lambda: Subscribed(filters, ()) in self.events)

    def payloads(self) -> list[bytes]:
        return [delivery.payload for delivery in self.deliveries]


def connected(link: PahoLink, *filters: str) -> Peer:
    peer = Peer(link)
    peer.until_up()
    if filters:
        peer.until_subscribed(*filters)
    return peer


@dataclass(frozen=True)
class Certificates:
    """A certificate authority, a server's certificate for localhost made by it, and a stranger's."""

    ca: Path
    server: Path
    key: Path
    stranger: Path


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Made anew for each run of the tests, valid for a day."""
    folder = tmp_path_factory.mktemp("certificates")
    ca_key, ca = _certificate("Edgeward test CA")
    _, stranger = _certificate("Somebody else's CA")
    key, server = _certificate("localhost", ca=(ca_key, ca))
    made = Certificates(
        folder / "ca.pem", folder / "server.pem", folder / "server.key", folder / "stranger.pem"
    )
    made.ca.write_bytes(ca.public_bytes(serialization.Encoding.PEM))
    made.server.write_bytes(server.public_bytes(serialization.Encoding.PEM))
    made.stranger.write_bytes(stranger.public_bytes(serialization.Encoding.PEM))
    made.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return made


def _certificate(
    name: str, ca: tuple[ec.EllipticCurvePrivateKey, x509.Certificate] | None = None
) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if ca is None else ca[1].subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=ca is None, path_length=None), critical=True)
    )
    if ca is not None:
        names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.2"))]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return key, builder.sign(key if ca is None else ca[0], hashes.SHA256())
