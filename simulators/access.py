"""How to reach a broker: address, credentials, certificates. Where they come from is the caller's work."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from pathlib import Path

from models.errors import BrokerRefused, UsageError


@dataclass(frozen=True, slots=True)
class BrokerAccess:
    """Where a broker is and how to be let in."""

    host: str
    port: int
    tls: bool = False
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None

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
