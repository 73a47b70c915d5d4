"""From a broker's URL, options, files and environment to a `BrokerAddress`.

A password comes from a file or the environment, never from a URL, a command line or a configuration, all of
which others can read.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

from gateway.link import BrokerAddress
from models.errors import UsageError

DEFAULT_URL = "mqtt://127.0.0.1:1883"
PORTS = {"mqtt": 1883, "mqtts": 8883}
"""The ports registered for MQTT and for MQTT over TLS."""
PASSWORD_FILE_LIMIT = 65_535
"""Bytes in a password, by the MQTT standard."""

PASSWORD_ADVICE = "put it in a file of its own (password_file) or in EDGEWARD_PASSWORD"  # noqa: S105 - no password


def parse_url(url: str) -> BrokerAddress:
    """Host, port and user name of `mqtt://[user@]host[:port]` or `mqtts://…`.

    Raises UsageError, whose message never holds a password, for anything else.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as exc:
        raise UsageError("The broker's URL has no usable port: write mqtt://HOST:PORT.") from exc
    if parts.password is not None:
        raise UsageError(f"A password does not belong in the broker's URL: {PASSWORD_ADVICE}.")
    if parts.scheme not in PORTS or not parts.hostname or parts.path not in ("", "/") or parts.query:
        raise UsageError("The broker's URL should look like mqtt://HOST:PORT or mqtts://HOST:PORT.")
    return BrokerAddress(
        host=parts.hostname,
        port=PORTS[parts.scheme] if port is None else port,
        tls=parts.scheme == "mqtts",
        username=None if parts.username is None else unquote(parts.username),
    )


def resolve_address(
    url: str,
    env: Mapping[str, str],
    *,
    username: str | None = None,
    password_file: Path | None = None,
    ca_file: Path | None = None,
    cert_file: Path | None = None,
    key_file: Path | None = None,
) -> BrokerAddress:
    """Everything needed to connect to *url*.

    The user name comes from the URL, else EDGEWARD_USERNAME, else *username*; the password from
    EDGEWARD_PASSWORD, else the file in EDGEWARD_PASSWORD_FILE, else *password_file*.
    Raises UsageError for a bad URL, an unreadable password file, or certificates without TLS.
    """
    address = parse_url(url)
    files = [each for each in (ca_file, cert_file, key_file) if each is not None]
    if files and not address.tls:
        raise UsageError("Certificate files are of no use with mqtt://: write mqtts://.")
    if key_file is not None and cert_file is None:
        raise UsageError("A key file needs its certificate file.")
    user = address.username or env.get("EDGEWARD_USERNAME") or username
    password = env.get("EDGEWARD_PASSWORD")
    if password is None:
        named = env.get("EDGEWARD_PASSWORD_FILE")
        source = Path(named) if named else password_file
        password = None if source is None else _password_in(source)
    if password is not None and user is None:
        raise UsageError("A password needs a user name: set it in the URL, or in EDGEWARD_USERNAME.")
    return BrokerAddress(
        host=address.host,
        port=address.port,
        tls=address.tls,
        username=user,
        password=password,
        ca_file=ca_file,
        cert_file=cert_file,
        key_file=key_file,
    )


def _password_in(file: Path) -> str:
    """The file's text without the newline that editors put at its end."""
    try:
        with file.open("rb") as opened:
            content = opened.read(PASSWORD_FILE_LIMIT + 1)
        text = content.decode()
    except OSError as exc:
        raise UsageError(f"The password file {file} can't be read: {exc.strerror}.") from exc
    except UnicodeDecodeError as exc:
        raise UsageError(f"The password file {file} is not UTF-8 text.") from exc
    if len(content) > PASSWORD_FILE_LIMIT:
        raise UsageError(f"The password file {file} is longer than a password can be.")
    return text.removesuffix("\n").removesuffix("\r")
