"""`edgeward store`: look at what a gateway keeps, repair it, and get its readings out."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.cli.arguments import Commands

if TYPE_CHECKING:
    from gateway.config import Config


def add(commands: Commands[argparse.ArgumentParser]) -> None:
    """Describes the commands."""
    parser = commands.add_parser(
        "store", help="what a gateway keeps: check it, repair it, export its readings"
    )
    parts = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    checked = parts.add_parser("check", help="check every page, and say what there is; also beside a gateway")
    checked.set_defaults(command=check)
    repaired = parts.add_parser(
        "repair",
        help="save what can be read of a damaged store",
        description="Puts a new store with all that can still be read in the place of a damaged one, which "
        "is kept beside it. The gateway must not be running.",
    )
    repaired.set_defaults(command=repair)
    exported = parts.add_parser(
        "export",
        help="write the kept readings as a recording for `edgeward run`; also beside a gateway",
        description="Writes the readings in the order in which they were taken. By default a gateway keeps "
        "only those that a restart needs; keep_readings_hours in [store] keeps more. They are patient data.",
    )
    exported.add_argument("--output", metavar="RECORDING", type=Path, required=True)
    exported.set_defaults(command=export)
    for part in (checked, repaired, exported):
        part.add_argument("--config", metavar="FILE", type=Path, help="the gateway's configuration")
        part.add_argument("--name", help="the gateway's name (default: the host name)")
        part.add_argument("--state", metavar="DIR", type=Path, help="the gateway's state folder")


def check(chosen: argparse.Namespace) -> int:
    """Prints what is kept. Raises StoreDamaged, StoreUnwritable, and UsageError when there is nothing."""
    from gateway.store import Store
    from gateway.store_file import FILE

    folder = _folder(chosen)
    with Store.open_to_read(folder) as store:
        counts = ", ".join(f"{number:,} {name}" for name, number in store.sizes().items())
        print(f"{folder / FILE} is sound: {counts}.")
        for row, why in store.aside():
            print(f"set aside: row {row}, {why}")
    return 0


def repair(chosen: argparse.Namespace) -> int:
    """Prints what was saved."""
    from gateway.salvage import repair as salvage
    from gateway.state import held
    from gateway.store import Store
    from models.errors import StoreDamaged

    with held(_folder(chosen)) as folder:
        try:
            with Store.open_to_read(folder):
                print("The store is sound: there is nothing to repair.")
                return 0
        except StoreDamaged:
            saved = salvage(folder)
    print(
        f"Saved {saved.devices:,} devices, {saved.readings:,} readings and {saved.owed:,} owed publications; "
        f"{saved.left_out:,} rows could not be used. The damaged store is {saved.damaged}."
    )
    return 0


def export(chosen: argparse.Namespace) -> int:
    """Writes the readings, whole or not at all."""
    from gateway.recording import line_of, written_whole
    from gateway.store import Store

    readings = 0
    with Store.open_to_read(_folder(chosen)) as store, written_whole(chosen.output, mode=0o600) as output:
        for received in store.readings():
            output.write(line_of(received.topic, received.time_ms, received.payload))
            readings += 1
    print(f"{readings:,} readings in {chosen.output}.")
    return 0


def _folder(chosen: argparse.Namespace) -> Path:
    from gateway.config import Config, default_name, load_config
    from gateway.state import state_folder

    config: Config = Config() if chosen.config is None else load_config(chosen.config)
    name = chosen.name or config.gateway.name or default_name()
    return state_folder(name, os.environ, chosen=chosen.state or config.gateway.state)
