"""`edgeward gateway`: the daemon, put together from its configuration and run until it is told to stop."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.cli.arguments import Commands, add_broker_options, names

if TYPE_CHECKING:  # imported when the command runs, so that `edgeward --help` need not load pydantic
    from gateway.config import Config
    from gateway.link import BrokerAddress


def add(commands: Commands[argparse.ArgumentParser]) -> None:
    """Describes the command."""
    parser = commands.add_parser(
        "gateway",
        help="run the gateway: MQTT in, classifications and alerts out",
        description="Runs the gateway until it is stopped (Ctrl-C or SIGTERM). Without a configuration: the "
        "shipped agents on the default topics, over mqtt://127.0.0.1:1883.",
    )
    parser.add_argument("--config", metavar="FILE", type=Path, help="a TOML file; see deploy/edgeward.toml")
    add_broker_options(parser, default=None)
    parser.add_argument("--name", help="the gateway's name (default: the host name)")
    parser.add_argument("--state", metavar="DIR", type=Path, help="folder for what the gateway keeps")
    parser.add_argument("--agents", metavar="A,B", type=names, help="run only these agents")
    parser.add_argument(
        "--clock", choices=("wall", "events"), help="what now is: arrival, or the newest time a device sent"
    )
    parser.set_defaults(command=serve)


def serve(chosen: argparse.Namespace) -> int:
    """Runs the gateway. Every fault of its settings is found before it connects."""
    import os
    import random

    import structlog

    from gateway.config import Config, choose_agents, default_name, load_config
    from gateway.daemon import Daemon, wall_ms
    from gateway.durability import kept_topics
    from gateway.guard import Guard, GuardedAgent, GuardedPipeline
    from gateway.keeper import kept_in
    from gateway.link import LinkSettings, Will
    from gateway.log import configure
    from gateway.notify import Notifier
    from gateway.paho_link import PahoLink
    from gateway.reload import Loaded, Loader
    from gateway.signals import reload_flag, stop_flag
    from gateway.state import held, state_folder
    from models.errors import UsageError
    from nodes.outputs import gateway_topic
    from nodes.topics import IDENTITY

    config = Config() if chosen.config is None else load_config(chosen.config)
    configure(level=config.gateway.log_level)
    log: structlog.typing.FilteringBoundLogger = structlog.get_logger()
    name = chosen.name or config.gateway.name or default_name()
    if not IDENTITY.fullmatch(name):
        raise UsageError("A gateway's name should be 1-128 characters of A-Z a-z 0-9 . _ ~ : -.")
    address = _address(chosen, config, os.environ)
    choose_agents(config, chosen.agents)  # raises for an unknown one, before anything starts
    with (
        stop_flag() as stopping,
        reload_flag() as asked_to_reload,
        Notifier(os.environ) as notifier,
        held(state_folder(name, os.environ, chosen=chosen.state or config.gateway.state)) as state,
        Guard(state, now_ms=wall_ms, deadline_seconds=config.gateway.step_deadline_seconds) as guard,
    ):
        log.info("starting", gateway=name, broker=address.name, state=str(state))
        loader = Loader(
            chosen.config, state, wanted=chosen.agents, wrap=lambda agent: GuardedAgent(agent, guard)
        )
        loaded = loader.load()
        for agent in loaded.agents:
            log.info("agent_ready", agent=agent.name, model=agent.model.name, version=agent.model.version)
        pipeline = GuardedPipeline(
            loaded.agents,
            guard=guard,
            gateway=name,
            clock=chosen.clock or config.gateway.clock or "wall",
            historical_after_ms=loaded.historical_after_ms,
            now=wall_ms,
        )

        def reload() -> Loaded | None:
            if not asked_to_reload():
                return None
            notifier.reloading()
            fresh = loader.reload()
            if fresh is not None:
                configure(level=fresh.config.gateway.log_level)
            notifier.ready("Online" if fresh is not None else "Online; the new configuration was refused")
            return fresh

        link_settings = LinkSettings(
            address=address,
            client_id=f"edgeward-{name}",
            will=Will(gateway_topic(name, "status"), b"offline"),
            keepalive_seconds=config.broker.keepalive_seconds,
            receive_maximum=config.broker.receive_maximum,
            session_expiry_seconds=config.broker.session_expiry_seconds,
        )
        jitter = random.Random()  # noqa: S311 - spreads reconnections, guards nothing
        with (
            kept_in(state, pipeline, config.store) as keeper,
            PahoLink(link_settings, rng=jitter) as link,
        ):
            Daemon(
                link,
                pipeline,
                name=name,
                stopping=stopping,
                keeper=keeper,
                kept=kept_topics(loaded.config, loaded.agents),
                lifetime_seconds=config.store.lifetime_seconds,
                patient=config.broker.startup == "wait",
                sparing=config.store.commits == "sparing",
                notifier=notifier,
                reload=reload,
                faults=lambda: {"model": pipeline.fault, "configuration": loader.fault},
            ).run()
    return 0


def _address(chosen: argparse.Namespace, config: Config, env: Mapping[str, str]) -> BrokerAddress:
    """The configuration's broker, where the command line says nothing else."""
    from gateway.address import resolve_address

    broker = config.broker
    return resolve_address(
        chosen.broker or broker.url,
        env,
        username=chosen.username or broker.username,
        password_file=chosen.password_file or broker.password_file,
        ca_file=chosen.ca_file or broker.ca_file,
        cert_file=chosen.cert_file or broker.cert_file,
        key_file=chosen.key_file or broker.key_file,
    )
