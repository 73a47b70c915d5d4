"""Parsing shared by the commands: wrong use in one sentence, and the options that reach a broker."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import NoReturn

from gateway.address import resolve_address
from gateway.link import BrokerAddress
from models.errors import UsageError


class Parser(argparse.ArgumentParser):
    """An argparse parser whose complaint is one sentence, raised as UsageError."""

    def __init__(self, **options: object) -> None:
        # No abbreviations: an option added later must not change what a script means.
        options.setdefault("allow_abbrev", False)
        options.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(**options)  # type: ignore[arg-type] # argparse's own long list of keywords

    def error(self, message: str) -> NoReturn:
        """Called by argparse for wrong use."""
        sentence = message[:1].upper() + message[1:].rstrip(".")
        raise UsageError(f"{sentence}. Try {self.prog} --help.")


Commands = argparse._SubParsersAction
"""What `add_subparsers` returns; argparse has no public name for it."""


def add_broker_options(parser: argparse.ArgumentParser, *, default: str | None) -> None:
    """The options that say which broker, and how to be let in."""
    group = parser.add_argument_group("broker")
    group.add_argument(
        "--broker",
        metavar="URL",
        default=default,
        help="mqtt://HOST[:PORT] or mqtts://HOST[:PORT]" + (f" (default {default})" if default else ""),
    )
    group.add_argument("--username", metavar="USER", help="user name; or EDGEWARD_USERNAME, or in the URL")
    group.add_argument(
        "--password-file", metavar="FILE", type=Path, help="file with the password; or EDGEWARD_PASSWORD"
    )
    group.add_argument("--ca-file", metavar="FILE", type=Path, help="certificates to trust, for mqtts")
    group.add_argument("--cert-file", metavar="FILE", type=Path, help="our own certificate, for mqtts")
    group.add_argument("--key-file", metavar="FILE", type=Path, help="the key to our certificate")


def address_of(chosen: argparse.Namespace) -> BrokerAddress:
    """The address that the options of `add_broker_options` and the environment name."""
    return resolve_address(
        chosen.broker,
        os.environ,
        username=chosen.username,
        password_file=chosen.password_file,
        ca_file=chosen.ca_file,
        cert_file=chosen.cert_file,
        key_file=chosen.key_file,
    )


def names(text: str) -> list[str]:
    """A list written with commas."""
    return [name.strip() for name in text.split(",") if name.strip()]


def positive_number(text: str) -> float:
    """A finite number above zero."""
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError("should be a number above 0")
    return value
