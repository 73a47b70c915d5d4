"""`edgeward version`."""

from __future__ import annotations

import argparse

from gateway.cli.arguments import Commands


def add(commands: Commands[argparse.ArgumentParser]) -> None:
    """Describes the command."""
    parser = commands.add_parser("version", help="say which version this is")
    parser.set_defaults(command=show)


def show(_chosen: argparse.Namespace) -> int:
    """Prints name and version."""
    from importlib.metadata import version

    print(f"edgeward {version('edgeward')}")
    return 0
