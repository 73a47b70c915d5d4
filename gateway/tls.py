"""The TLS context of the link: the peer is always verified, by certificate and by host name."""

from __future__ import annotations

import ssl

from gateway.link import BrokerAddress
from models.errors import BrokerRefused


def tls_context(address: BrokerAddress) -> ssl.SSLContext:
    """A client's context for *address*. Raises BrokerRefused, naming the file, for one that can't be used."""
    try:
        context = ssl.create_default_context(cafile=address.ca_file)
    except (OSError, ssl.SSLError) as exc:
        raise BrokerRefused(f"The CA file {address.ca_file} can't be used: {_why(exc)}.") from exc
    if address.cert_file is not None:
        try:
            # An encrypted key would ask for its passphrase on the terminal: a service has none.
            context.load_cert_chain(address.cert_file, address.key_file, password=_no_passphrase)
        except (OSError, ssl.SSLError, ValueError) as exc:
            raise BrokerRefused(
                f"The certificate {address.cert_file} with its key can't be used: {_why(exc)}."
            ) from exc
    return context


def _no_passphrase() -> str:
    raise ValueError("its key is encrypted, and a service has no one to ask for the passphrase")


def _why(exc: Exception) -> str:
    if isinstance(exc, ssl.SSLError):
        return "it is no PEM file of certificates, or the key does not belong to it"
    return getattr(exc, "strerror", None) or str(exc)
