"""`edgeward check`: whether a configuration can run, before it does."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from gateway.cli.arguments import Commands


def add(commands: Commands[argparse.ArgumentParser]) -> None:
    """Describes the command."""
    parser = commands.add_parser(
        "check",
        help="check a configuration: every fault at once, and what would run",
        description="Reads a configuration, loads and checks the models that it names, and says what the "
        "gateway would do with it. It connects to nothing.",
    )
    parser.add_argument("file", metavar="FILE", type=Path, help="a TOML file; see deploy/edgeward.toml")
    parser.set_defaults(command=check)


def check(chosen: argparse.Namespace) -> int:
    """Prints what would run; raises ConfigRefused with all faults otherwise."""
    from gateway.address import resolve_address
    from gateway.config import choose_agents, default_name, load_config
    from gateway.state import state_folder
    from gateway.tls import tls_context
    from models.errors import BrokerRefused, ConfigRefused, ModelRefused, UsageError
    from nodes.agents import build_agent

    config = load_config(chosen.file)
    broker = config.broker
    faults = []
    try:
        address = resolve_address(
            broker.url,
            os.environ,
            username=broker.username,
            password_file=broker.password_file,
            ca_file=broker.ca_file,
            cert_file=broker.cert_file,
            key_file=broker.key_file,
        )
        if address.tls:
            tls_context(address)
    except (UsageError, BrokerRefused) as exc:
        faults.append(f"broker: {exc}")
    agents = []
    for settings in choose_agents(config):
        try:
            agents.append(build_agent(settings))
        except ModelRefused as exc:
            faults.append(f"agents.{settings.name}: {exc}")
    if faults:
        raise ConfigRefused(str(chosen.file), faults)
    name = config.gateway.name or default_name()
    print(f"{chosen.file} is in order.")
    print(f"gateway {name}, clock {config.gateway.clock or 'wall'}")
    print(f"broker {'mqtts' if address.tls else 'mqtt'}://{address.name}")
    print(f"state {state_folder(name, os.environ, chosen=config.gateway.state)}")
    for agent in agents:
        print(f"agent {agent.name}: {agent.kind} on {agent.topic}, {agent.model.name} {agent.model.version}")
    return 0
