"""`edgeward` with a log-line agent whose model is made to fail as native code does; run as a program.

Nothing in the gateway knows of it: the agent takes the place of the shipped one in this process alone. What
its lines say happens in the middle of the invoke, on real invokes, journals, threads and signals.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Sequence

from gateway.cli import main
from nodes.agents import build
from nodes.agents.base import Answer
from nodes.agents.scores import LineAgent


class PoisonedAgent(LineAgent):
    """A line agent that does what a line asks for."""

    def answer(self, observations: Sequence[str]) -> list[Answer]:
        """As the shipped one, after the first line's wish."""
        for line in observations:
            if "CRASH" in line:
                ctypes.string_at(0)
            if "HANG" in line:
                ctypes.CDLL(None).pause()
            if "RAISE" in line:
                raise RuntimeError(line)
            if "EAT" in line:
                bytearray(2 << 30)
            if "KILL" in line:
                os.kill(os.getpid(), signal.SIGKILL)
        return super().answer(observations)


if __name__ == "__main__":
    build._BY_KIND["log"] = PoisonedAgent
    sys.exit(main())
