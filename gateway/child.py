"""Child processes that cannot outlive us: the kernel ends them when we die, however we die."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence

# Runs first in the child and becomes the command; PR_SET_PDEATHSIG is 1 and survives the exec. A wrapper,
# since `preexec_fn` is unsafe in a process with threads. The parent may have died before the call.
_WRAPPER = (
    "import ctypes, os, sys\n"
    "ctypes.CDLL(None).prctl(1, int(sys.argv[2]))\n"
    "os.getppid() == int(sys.argv[1]) or sys.exit(1)\n"
    "os.execv(sys.argv[3], sys.argv[3:])\n"
)


def tied(command: Sequence[str], end_with: signal.Signals) -> list[str]:
    """*command* (an absolute path and its arguments) such that it gets *end_with* when its parent dies.

    The parent is, to Linux, the thread that starts it. A command that changes its user loses the tie.
    """
    wrapper = [sys.executable, "-I", "-S", "-c", _WRAPPER, str(os.getpid()), str(int(end_with))]
    return [*wrapper, *command]
