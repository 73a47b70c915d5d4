"""The gateway's state folder: where it is, and that one gateway alone has it."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from models.errors import UsageError


def state_folder(name: str, env: Mapping[str, str], *, chosen: Path | None = None) -> Path:
    """Where the gateway *name* keeps what it keeps.

    *chosen*, else EDGEWARD_STATE, else systemd's STATE_DIRECTORY, else `~/.local/state/edgeward/{name}`.
    """
    if chosen is not None:
        return chosen
    if given := env.get("EDGEWARD_STATE"):
        return Path(given)
    if given := env.get("STATE_DIRECTORY"):
        return Path(given.split(":")[0])  # systemd lists several with colons
    return Path.home() / ".local" / "state" / "edgeward" / name


@contextmanager
def held(folder: Path) -> Iterator[Path]:
    """Makes *folder* where it is missing and holds it until the block ends, also against another process.

    Raises UsageError when another gateway holds it or it can't be written. The lock goes with the process,
    however that ends; the file stays.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = (folder / "lock").open("ab")
    except OSError as exc:
        raise UsageError(f"The state folder {folder} can't be used: {exc.strerror}.") from exc
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            raise UsageError(
                f"Another gateway is using the state folder {folder}: "
                "give each a --name or --state of its own."
            ) from exc
        yield folder
