"""How the code is laid out."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import gateway
import models
import nodes
import simulators

ROOT = Path(__file__).parent.parent
PACKAGES = (gateway, simulators, nodes, models)
MODULES = sorted(path for package in PACKAGES for path in Path(str(package.__file__)).parent.rglob("*.py"))


def test_the_four_packages_lie_in_one_place() -> None:
    """Their names are plain words: another project's `models` must not be the one that is found."""
    assert {Path(str(package.__file__)).parent.parent for package in PACKAGES} == {ROOT}


def test_imports_run_one_way() -> None:
    finished = subprocess.run(
        [Path(sys.executable).parent / "lint-imports"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, finished.stdout


def test_every_module_that_serves_a_model_is_kept_from_training() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (apart,) = [each for each in contracts if each.get("forbidden_modules") == ["models.training"]]
    folder = ROOT / "models"
    here = {path.stem for path in folder.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert {f"models.{name}" for name in here - {"__init__", "training"}} <= set(apart["source_modules"])


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_says_first_what_may_live_there(module: Path) -> None:
    assert ast.get_docstring(ast.parse(module.read_text())), "no opening lines"


def test_no_path_outside_the_checkout_stands_in_it() -> None:
    files = [*MODULES, *(ROOT / "docs").rglob("*.md"), *(ROOT / "tests").glob("*.py"), ROOT / "README.md"]
    outside = re.compile(r"\.\./shared|/work/|/tmp/|/root/")
    here = Path(__file__)
    assert [str(path) for path in files if path != here and outside.search(path.read_text())] == []


def test_the_daemon_needs_few_packages() -> None:
    """A new dependency is a decision: it belongs in this list with its reason in pyproject.toml."""
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    names = {re.split(r"[<>=; ]", each)[0] for each in wanted}
    assert names == {
        "ai-edge-litert",
        "tflite-runtime",
        "numpy",
        "paho-mqtt",
        "pydantic",
        "rich",
        "structlog",
    }
    assert importlib.metadata.version("edgeward")
