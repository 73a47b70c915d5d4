"""Keeps one harmless line of the TFLite runtimes off standard error. Nothing else is hidden.

Both backends write "INFO: Created TensorFlow Lite XNNPACK delegate for CPU." straight to file descriptor 2,
once in a process, and have no switch for it. It would break the command line's promise that nothing but
messages for the user appears there.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Final

_NOTICE: Final = b"INFO: Created TensorFlow Lite XNNPACK delegate for CPU.\n"
_STDERR: Final = 2
_one_at_a_time: Final = Lock()


@contextmanager
def without_delegate_notice() -> Iterator[None]:
    """Holds back what is written to standard error meanwhile, then writes all of it but the notice.

    A descriptor belongs to the process: what other threads write meanwhile is held back too, and not lost.
    A crash meanwhile loses it. Without a usable standard error or temporary folder nothing is held back.
    """
    with _one_at_a_time:
        try:
            held = tempfile.TemporaryFile()  # noqa: SIM115 - closed below, together with the descriptor
            kept = os.dup(_STDERR)
        except OSError:
            yield
            return
        with held:
            os.dup2(held.fileno(), _STDERR)
            try:
                yield
            finally:
                os.dup2(kept, _STDERR)
                os.close(kept)
                held.seek(0)
                if rest := held.read().replace(_NOTICE, b""):
                    os.write(_STDERR, rest)
