"""`edgeward data`: which datasets there are, where they lie, and making simulated ones."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

from gateway.cli.arguments import Commands


def add(commands: Commands[argparse.ArgumentParser]) -> None:
    """Describes the commands."""
    parser = commands.add_parser("data", help="datasets: list them, find them, make simulated ones")
    parts = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    listed = parts.add_parser("list", help="the datasets that replay and training can read")
    listed.add_argument("--json", action="store_true", help="one JSON object a line")
    listed.set_defaults(command=show_list)
    where = parts.add_parser("where", help="check a dataset's files and print its folder")
    where.add_argument("name", metavar="DATASET")
    where.set_defaults(command=show_where)
    make = parts.add_parser(
        "make",
        help="have the simulators write labelled data",
        description="Writes simulated, labelled JSON lines that training reads like any dataset, to "
        "NAME-SEED.jsonl in EDGEWARD_MADE or ./data/made.",
    )
    make.add_argument("name", metavar="NAME")
    make.add_argument("--seed", type=int, default=1, help="the same seed makes the same bytes (default 1)")
    make.add_argument("--output", metavar="DIR", type=Path, help="another folder")
    make.set_defaults(command=make_data)


def show_list(chosen: argparse.Namespace) -> int:
    """Prints every dataset and whether it is here."""
    from gateway.cli.output import table
    from models.datasets import DATASETS, data_directory, made_directory
    from simulators.made import MAKERS

    directory = data_directory(os.environ)
    rows = [
        {
            "name": each.name,
            "title": each.title,
            "licence": each.licence,
            "here": (directory / each.folder).is_dir(),
        }
        for each in DATASETS.values()
    ]
    made = made_directory(os.environ)
    rows += [
        {
            "name": name,
            "title": f"simulated: edgeward data make {name}",
            "licence": "Apache-2.0",
            "here": any(made.glob(f"{name}-*.jsonl")),
        }
        for name in MAKERS
    ]
    if chosen.json:
        for row in rows:
            print(json.dumps(row))
    else:
        table(["name", "here", "licence", "title"], rows)
    return 0


def show_where(chosen: argparse.Namespace) -> int:
    """Prints the folder of a dataset whose files are all what they should be."""
    from models.datasets import data_directory, locate

    print(locate(chosen.name, data_directory(os.environ)))
    return 0


def make_data(chosen: argparse.Namespace) -> int:
    """Has the simulators write a dataset and prints where it is."""
    from models.datasets import made_directory
    from models.errors import UsageError
    from simulators import made

    if chosen.name not in made.MAKERS:
        raise UsageError(f"No data called {chosen.name} can be made: choose from {', '.join(made.MAKERS)}.")
    print(made.write(chosen.name, chosen.seed, chosen.output or made_directory(os.environ)))
    return 0
