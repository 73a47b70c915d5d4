"""A scenario: one TOML file that says which devices there are, what goes wrong when, and hence the truth.

Its parts are types in `scenario_parts.py`, its faults are told by `scenario_checks.py`, `world.py` plays it.
"""

from __future__ import annotations

import tomllib
from importlib.resources import files
from pathlib import Path

from models.errors import ConfigRefused
from simulators.scenario_checks import checked
from simulators.scenario_parts import Scenario

__all__ = ["Scenario", "load_scenario", "read_scenario", "shipped_scenarios"]


def shipped_scenarios() -> list[str]:
    """Names of the scenarios that come with the package."""
    folder = files("simulators") / "scenarios"
    return sorted(item.name.removesuffix(".toml") for item in folder.iterdir() if item.name.endswith(".toml"))


def load_scenario(name_or_path: str) -> tuple[str, Scenario]:
    """A shipped scenario by name, or a file by path: its name and what it says.

    Raises `ConfigRefused` with every fault: its place in the file and what was expected.
    """
    if name_or_path in shipped_scenarios():
        text = (files("simulators") / "scenarios" / f"{name_or_path}.toml").read_text("utf-8")
        return name_or_path, read_scenario(text, name_or_path)
    path = Path(name_or_path)
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        shipped = ", ".join(shipped_scenarios())
        fault = f"it can't be read as a file, and it is no shipped scenario ({shipped})"
        raise ConfigRefused(name_or_path, [fault]) from error
    return path.stem, read_scenario(text, name_or_path)


def read_scenario(text: str, source: str) -> Scenario:
    """The scenario in *text* (TOML); *source* names it in messages. Raises `ConfigRefused`."""
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigRefused(source, [f"it is not TOML: {error}"]) from error
    scenario, faults = checked(values, text)
    if scenario is None:
        raise ConfigRefused(source, faults)
    return scenario
