"""A gateway as a child process: for the demo, and for scenarios played through a real one."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from gateway.child import tied
from models.errors import EdgewardError

STOP_SECONDS = 15.0
"""How long the gateway may take to stop before it is killed."""
LOG_TAIL_CHARACTERS = 600


@contextmanager
def running_gateway(broker: str, name: str, folder: Path) -> Iterator[Callable[[], None]]:
    """`edgeward gateway` on the events clock, with state and log in *folder*.

    What it gives raises `EdgewardError`, with the end of the log, once that process has ended.
    """
    command = [sys.executable, "-m", "gateway", "gateway", "--broker", broker, "--name", name]
    command += ["--clock", "events", "--state", str(folder / "state")]
    log_path = folder / "gateway.log"
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            tied(command, signal.SIGTERM),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # Ctrl-C is for us; we stop the gateway
        )

    def check() -> None:
        if (code := process.poll()) is not None:
            said = log_path.read_text("utf-8", "replace")[-LOG_TAIL_CHARACTERS:].strip()
            raise EdgewardError(f"The gateway ended by itself (exit code {code}). It said last: {said}")

    try:
        yield check
        check()
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
