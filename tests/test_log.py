"""What may reach a log, and what never does."""

from __future__ import annotations

import ast
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import structlog

from gateway.log import EVENTS, FIELDS, LEVELS, configure, pseudonym

MARKER = "MARKER-Jane-Doe-7"
SOURCES = sorted((Path(__file__).parent.parent / "gateway").rglob("*.py"))


def logged(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_off_a_terminal_is_json_with_its_time_and_level() -> None:
    stream = io.StringIO()
    configure(stream=stream)
    structlog.get_logger().info("online", gateway="g")
    (line,) = logged(stream)
    assert line.keys() == {"event", "level", "timestamp", "gateway"}
    assert (line["event"], line["level"], line["gateway"]) == ("online", "info", "g")


def test_an_event_or_field_that_is_not_listed_is_left_out() -> None:
    stream = io.StringIO()
    configure(stream=stream)
    log = structlog.get_logger()
    log.info("online", topic=MARKER)
    log.info(f"patient {MARKER}")
    (line,) = logged(stream)
    assert "topic" not in line
    assert MARKER not in stream.getvalue()


def test_under_tests_it_is_an_error() -> None:
    configure(stream=io.StringIO(), strict=True)
    with pytest.raises(ValueError, match="not on the list of what may be logged: topic"):
        structlog.get_logger().info("online", topic=MARKER)
    with pytest.raises(ValueError, match="event"):
        structlog.get_logger().info("patient admitted")


def test_what_is_below_the_level_is_not_written() -> None:
    stream = io.StringIO()
    configure(level="warning", stream=stream)
    structlog.get_logger().info("online")
    assert stream.getvalue() == ""


def test_an_exception_is_logged_as_type_and_place() -> None:
    """Its message and the local variables of its frames may quote what a publisher sent."""
    stream = io.StringIO()
    configure(stream=stream)
    note = MARKER
    try:
        raise KeyError(note)
    except KeyError:
        structlog.get_logger().error("crashed", exc_info=True)
    (line,) = logged(stream)
    assert line["type"] == "KeyError"
    assert Path(__file__).name in line["frames"][-1]
    assert MARKER not in stream.getvalue()


def test_a_crash_says_type_and_place_and_nothing_else() -> None:
    program = (
        "from gateway.log import configure; configure()\n"
        f"note = {MARKER!r}\n"
        "try:\n    raise ValueError(note)\nexcept ValueError as exc:\n    raise RuntimeError(note) from exc\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    line = json.loads(ended.stderr)
    assert ended.returncode == 1
    assert (line["event"], line["type"]) == ("crashed", "RuntimeError from ValueError")
    assert MARKER not in ended.stderr + ended.stdout


def test_a_pseudonym_is_the_same_within_a_process_and_another_in_the_next() -> None:
    program = f"from gateway.log import pseudonym; print(pseudonym({MARKER!r}))"
    elsewhere = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert pseudonym(MARKER) == pseudonym(MARKER) != pseudonym(MARKER + "8")
    assert pseudonym(MARKER) != elsewhere.stdout.strip()
    assert MARKER not in pseudonym(MARKER)


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.name)
def test_everything_that_is_logged_anywhere_is_on_the_lists(source: Path) -> None:
    for call in ast.walk(ast.parse(source.read_text("utf-8"))):
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Attribute):
            continue
        if call.func.attr not in LEVELS or "log" not in ast.unparse(call.func.value):
            continue
        events = {node.value for node in ast.walk(call.args[0]) if isinstance(node, ast.Constant)}
        assert events <= EVENTS, f"{source.name}:{call.lineno}"
        assert {keyword.arg for keyword in call.keywords} <= FIELDS, f"{source.name}:{call.lineno}"
