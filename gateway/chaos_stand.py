"""What `edgeward chaos` does things to: the gateway as a process, its disk, and its network."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from gateway.child import tied

STOP_SECONDS = 15.0
"""How long the gateway may take to stop before it is killed."""
KEEP_ALIVE_SECONDS = 5
"""The least that may be configured: a half-open connection is found within one and a half of it."""
DISK_BYTES = 64 * 1024 * 1024
"""The small disk: some minutes of what the gateway keeps, filled in a moment."""
LOSS_PERCENT = 5
LOG_TAIL_CHARACTERS = 600

_CLONE_NEWNS, _CLONE_NEWNET = 0x0002_0000, 0x4000_0000
_LOSS = """\
table inet chaos {{
  chain loss {{
    type filter hook input priority 0;
    tcp dport {port} numgen random mod 100 < {percent} drop
    tcp sport {port} numgen random mod 100 < {percent} drop
  }}
}}
"""


class Gateway:
    """`edgeward gateway` over *url*, kept running; a context manager whose end stops it with SIGTERM.

    It keeps its readings *keep_hours* longer than it needs them, so that their order can be looked up.
    """

    def __init__(
        self, url: str, *, name: str, folder: Path, agents: Sequence[str] | None, keep_hours: int
    ) -> None:
        self._keep_hours = keep_hours
        self.log = folder / "gateway.log"
        self.configuration = folder / "gateway.toml"
        self.state = folder / "state"
        self.state.mkdir(exist_ok=True)
        self.starts = 0
        self.ended_by_itself: list[int] = []
        """Exit codes of those that nobody had killed."""
        command = [sys.executable, "-m", "gateway", "gateway", "--config", str(self.configuration)]
        command += ["--broker", url, "--name", name, "--clock", "events", "--state", str(self.state)]
        self._command = command + ([] if agents is None else ["--agents", ",".join(agents)])
        self._process: subprocess.Popen[bytes] | None = None
        self._reloads = 0

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def start(self) -> None:
        """Starts it, over a configuration without faults."""
        self.configure(broken=False)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                tied(self._command, signal.SIGKILL),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for us; we stop the gateway
            )
        self.starts += 1

    def mind(self) -> None:
        """Starts it again where it has ended by itself."""
        if self._process is not None and (code := self._process.poll()) is not None:
            self.ended_by_itself.append(code)
            self.start()

    def kill(self) -> None:
        """SIGKILL, and the next one right after, as a service manager would."""
        self.mind()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self.start()

    def hang_up(self) -> None:
        """SIGHUP, once the gateway listens for it: before, it would end it, as it ends any program.

        A service manager waits for the gateway to be ready; here the signal then falls away.
        """
        if (pid := self.pid) is not None and _catches(pid, signal.SIGHUP):
            os.kill(pid, signal.SIGHUP)

    def configure(self, *, broken: bool) -> None:
        """Writes the configuration: each time another valid one, or one that can't be used."""
        self._reloads += 1
        text = (
            f"[broker]\nkeepalive_seconds = {KEEP_ALIVE_SECONDS}\n\n"
            f"[gateway]\nhistorical_after_minutes = {10 + self._reloads % 2}\n\n"
            f"[store]\nkeep_readings_hours = {self._keep_hours}\n"
        )
        self.configuration.write_text("[broker\nurl = 5\n" if broken else text, "utf-8")

    def said(self) -> str:
        """The end of its log."""
        return self.log.read_text("utf-8", "replace")[-LOG_TAIL_CHARACTERS:].strip()

    def stop(self) -> None:
        """SIGTERM; SIGKILL where that does not end it in time."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self.ended_by_itself.append(self._process.wait())
        self._process = None


class SmallDisk:
    """A tmpfs of DISK_BYTES on *folder*, in a mount namespace of this process's own; a context manager.

    Only for root; the mount is seen by this process and its children alone and goes with them.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ballast = folder / "ballast"

    def __enter__(self) -> Self:
        _unshare(_CLONE_NEWNS)
        _do("mount", "--make-rprivate", "/")
        _do("mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES},mode=0700", "chaos", str(self._folder))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _do("umount", str(self._folder))

    def fill(self) -> None:
        """Takes all the space that is left."""
        with self._ballast.open("wb", buffering=0) as ballast:
            try:
                while ballast.write(bytes(65_536)):
                    pass
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise

    def empty(self) -> None:
        """Gives it back."""
        self._ballast.unlink(missing_ok=True)


def cannot(fault: str) -> str | None:
    """Why this machine can't stage *fault*, or None."""
    if fault in ("packet-loss", "disk-full") and os.geteuid() != 0:
        return "only root can stage it"
    if fault == "packet-loss" and not (shutil.which("nft") and shutil.which("ip")):
        return "nft or ip is not on this machine: apt-get install nftables iproute2"
    return None


def own_network() -> None:
    """A network namespace of this process's own, with a loopback. Before any thread or child is started."""
    _unshare(_CLONE_NEWNET)
    _do("ip", "link", "set", "lo", "up")


def lose_packets(port: int) -> None:
    """Drops LOSS_PERCENT of the packets to and from *port*, in `own_network`."""
    _do("nft", "-f", "-", stdin=_LOSS.format(port=port, percent=LOSS_PERCENT))


def _catches(pid: int, number: signal.Signals) -> bool:
    status = Path(f"/proc/{pid}/status").read_text("utf-8")
    (caught,) = (line.split()[1] for line in status.splitlines() if line.startswith("SigCgt:"))
    return bool(int(caught, 16) >> (number - 1) & 1)


def _unshare(what: int) -> None:
    if ctypes.CDLL(None, use_errno=True).unshare(what) != 0:
        raise OSError(ctypes.get_errno(), "unshare")


def _do(*command: str, stdin: str = "") -> None:
    subprocess.run(command, input=stdin, text=True, check=True, capture_output=True)
