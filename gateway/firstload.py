"""The first load of a new model: in a child process with limits, where a bad file does no harm.

What passed is remembered in the state folder by its hashes. The shipped models are part of the program and
are not tried.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from importlib import metadata
from pathlib import Path

from gateway.child import tied
from models.bundle import Bundle, find_bundle, load_bundle, zoo
from models.errors import ModelRefused
from models.runtime import RUNTIMES

SECONDS = 60
"""Time, and processor time, for one trial: it takes 0.6 s here, perhaps 10 s on a small box."""
MEMORY_BYTES = 1 << 30
"""Address space of one trial: the shipped models need 250 MB of it, nearly all of it the libraries'."""
SAID_LIMIT = 2_000
"""Characters kept of what a trial says."""
KNOWN_LIMIT = 1_000
"""Models remembered; the oldest make room."""

FILE = "known-models.json"
_FORMAT = 1


def identity_of(bundle: Bundle) -> str:
    """A hash over all files of a bundle and the runtimes here: another scaler or runtime, another trial."""
    runtimes = {name: version for name in RUNTIMES if (version := _version(name)) is not None}
    listed = json.dumps([dict(sorted(bundle.manifest.files.items())), runtimes])
    return hashlib.sha256(listed.encode()).hexdigest()


def admit(name_or_folder: str, state: Path) -> None:
    """Lets a bundle in that is shipped, known in the folder *state*, or passes its trial now.

    Raises ModelRefused, also for a bundle that can't be found or read.
    """
    folder = find_bundle(name_or_folder)
    if folder.parent == zoo():
        return
    identity = identity_of(load_bundle(folder))
    known = _known(state)
    if identity in known:
        return
    if (said := _tried(folder)) != identity:
        raise ModelRefused(f"bundle {folder} is refused: it was exchanged while it was tried ({said[:64]})")
    _remember(state, [*known, identity][-KNOWN_LIMIT:])


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _tried(folder: Path) -> str:
    """What the trial said; raises ModelRefused when it failed or died."""
    # -P: a folder named gateway where we happen to stand is not ours.
    command = [sys.executable, "-P", "-m", "gateway.trial", str(folder)]
    try:
        ended = subprocess.run(
            tied(command, signal.SIGKILL),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as exc:
        raise ModelRefused(f"bundle {folder} is refused: its trial was not over in {SECONDS} s") from exc
    said = ended.stdout.decode("utf-8", "replace").strip()[:SAID_LIMIT]
    if ended.returncode < 0:
        name = signal.Signals(-ended.returncode).name
        raise ModelRefused(f"bundle {folder} is refused: its trial was ended by {name}")
    if ended.returncode:
        words = said if "is refused" in said else f"bundle {folder} is refused: {said or 'its trial failed'}"
        raise ModelRefused(words)
    return said


def _known(state: Path) -> list[str]:
    """The identities that passed; none where the file is missing or can't be read: they are tried again."""
    try:
        plain = json.loads((state / FILE).read_text("utf-8"))
    except (OSError, ValueError):
        return []
    known = plain.get("models") if isinstance(plain, dict) and plain.get("format") == _FORMAT else None
    return [each for each in known if isinstance(each, str)] if isinstance(known, list) else []


def _remember(state: Path, known: list[str]) -> None:
    """Not synced: what a power cut takes is tried once more."""
    fresh = state / f"{FILE}.new"
    try:
        with fresh.open("w") as file:
            os.fchmod(file.fileno(), 0o600)
            json.dump({"format": _FORMAT, "models": known}, file)
        fresh.replace(state / FILE)
    except OSError:
        # A full disk must not keep a sound model out: it is tried again at the next start.
        fresh.unlink(missing_ok=True)
