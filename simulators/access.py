"""How to reach a broker: address, credentials, certificates; checked once, before anything connects."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from models.errors import BrokerRefused, UsageError

DEFAULT_PORTS = {"mqtt": 1883, "mqtts": 8883}
"""The ports that IANA gives MQTT without and with TLS."""


@dataclass(frozen=True, slots=True)
class BrokerAccess:
    """Where a broker is and how to be let in. Make it with `from_url`."""

    host: str
    port: int
    tls: bool = False
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None

    @classmethod
    def from_url(
        cls,
        url: str,
        environment: Mapping[str, str],
        *,
        ca_file: Path | None = None,
        cert_file: Path | None = None,
        key_file: Path | None = None,
    ) -> Self:
        """Of `mqtt://[user@]host[:port]` or `mqtts://…`; user and password also from *environment*.

        EDGEWARD_USERNAME, and EDGEWARD_PASSWORD or a file named by EDGEWARD_PASSWORD_FILE. Raises
        `UsageError` for a URL that is none, or that holds a password: it would show in the process list.
        """
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise UsageError(f"The broker's URL is wrong: {error}.") from error
        if parts.scheme not in DEFAULT_PORTS or not parts.hostname or parts.path.strip("/"):
            raise UsageError("A broker's URL looks like mqtt://host:1883 or mqtts://host:8883.")
        if parts.password is not None:
            raise UsageError("A password in a URL can be read by others: use EDGEWARD_PASSWORD_FILE.")
        return cls(
            host=parts.hostname,
            port=port or DEFAULT_PORTS[parts.scheme],
            tls=parts.scheme == "mqtts",
            username=parts.username or environment.get("EDGEWARD_USERNAME"),
            password=_password(environment),
            ca_file=ca_file,
            cert_file=cert_file,
            key_file=key_file,
        )

    @property
    def url(self) -> str:
        """The address without anything secret, for messages."""
        return f"{'mqtts' if self.tls else 'mqtt'}://{self.host}:{self.port}"

    def tls_context(self) -> ssl.SSLContext:
        """A context that checks certificate and host name. Raises `UsageError` when a file can't be read."""
        try:
            context = ssl.create_default_context(cafile=str(self.ca_file) if self.ca_file else None)
            if self.cert_file is not None:
                context.load_cert_chain(self.cert_file, self.key_file)
        except (OSError, ssl.SSLError) as error:
            raise UsageError(f"A certificate or key file can't be used: {error}.") from error
        return context


def refusal(access: BrokerAccess, error: ssl.SSLError) -> BrokerRefused:
    """What to raise when the TLS handshake with *access* failed: trying again would change nothing."""
    why = getattr(error, "verify_message", "") or error.reason or "TLS failed"
    return BrokerRefused(f"{access.url} is refused: {why}.")


def _password(environment: Mapping[str, str]) -> str | None:
    file = environment.get("EDGEWARD_PASSWORD_FILE")
    if file is None:
        return environment.get("EDGEWARD_PASSWORD")
    try:
        return Path(file).read_text("utf-8").strip("\r\n")
    except OSError as error:
        raise UsageError(f"EDGEWARD_PASSWORD_FILE can't be read: {error.strerror}.") from error
