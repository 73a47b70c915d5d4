"""What the documentation shows runs, and what it names exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from nodes.schemas import schemas

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]


def _blocks(page: Path, language: str) -> list[str]:
    """The code blocks of one language: every second stretch between fences is inside."""
    stretches = re.split(r"^```", page.read_text(), flags=re.MULTILINE)[1::2]
    split = (stretch.partition("\n") for stretch in stretches)
    return [code for head, _, code in split if head == language]


def test_the_example_agent_does_what_its_page_says(capsys: pytest.CaptureFixture[str]) -> None:
    page = ROOT / "docs" / "agents.md"
    namespace: dict[str, object] = {}
    for block in _blocks(page, "python"):
        exec(compile(block, str(page), "exec"), namespace)  # noqa: S102 - the page's own example
    (shown,) = _blocks(page, "")
    assert capsys.readouterr().out == shown


def test_the_committed_schemas_are_those_of_the_types() -> None:
    folder = ROOT / "docs" / "schemas"
    assert {path.name: path.read_text() for path in folder.glob("*.json")} == schemas()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_inside_the_documentation_leads_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text())
    inside = [target for target in targets if "://" not in target]
    assert [target for target in inside if not (page.parent / target).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_make_target_and_command_that_is_named_exists(page: Path) -> None:
    text = page.read_text()
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"`make ([a-z-]+)", text)) <= targets
