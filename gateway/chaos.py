"""`edgeward chaos`: counting devices, a broker and a gateway, and everything that may go wrong between them.

The driver: it starts all of them, stages the plan's faults, and ends with the ledger. What a fault does to
whom is in `chaos_stand` and `proxy`, what was owed and came in `simulators.ledger`.
"""

from __future__ import annotations

import heapq
import random
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

from paho.mqtt.client import MQTTMessage

from gateway.broker import BrokerKind, EmbeddedBroker
from gateway.chaos_compare import INPUTS, WITHOUT_WINDOW, compare
from gateway.chaos_plan import FAULTS, Planned, Settings, checked, plan
from gateway.chaos_report import Report
from gateway.chaos_stand import Gateway, SmallDisk, cannot, lose_packets, own_network
from gateway.config import Config, choose_agents
from gateway.proxy import HOST, Proxy
from gateway.recording import line_of
from models.errors import EdgewardError
from nodes.outputs import ROOT, gateway_topic
from simulators.access import BrokerAccess
from simulators.client import Sessions
from simulators.counter import START_MS, Counted, Devices
from simulators.ledger import Ledger

NAME = "chaos"
"""Of the gateway, and the site of its devices: both live with a broker of their own."""
STATUS = gateway_topic(NAME, "status")
ALERTS = f"{ROOT}/{NAME}/+/alert/+"
RESULTS = (f"{ROOT}/{NAME}/+/classification/+", gateway_topic(NAME, "rejected"), STATUS)
PUBLISHERS = 4
"""Sessions that the devices share."""
SESSION_SECONDS = 3_600
"""How long the broker keeps what comes for the observer while a fault keeps it away."""
KEEP_HOURS = 24
"""How long the gateway keeps its readings, so that all are there at the end: longer than any run."""
TURN_SECONDS = 0.02
START_SECONDS = 60.0
"""How long the gateway may take to come online for the first time, on a slow box from a cold disk."""
SAY_SECONDS = 10.0
BROKEN_SECONDS = 0.5
"""How long a broken configuration lies in its place after the SIGHUP."""
DELAY_SECONDS = (0.05, 0.3)
QUIET_SECONDS = 45.0
"""After so long without another answer the rest counts as lost: three times what a device waits before it
sends a reading again, and longer than the pauses of a gateway that reconnects."""
TAIL_SECONDS: dict[BrokerKind, float] = {"mosquitto": 1.0, "nats-server": 4.0}
"""How long repeats may still come after the last answer; nats-server delivers again after 3 s."""
LATE_SECONDS = 1.0
"""How long the retained alerts may take to reach a late subscriber."""


def chaos(settings: Settings, *, say: Callable[[str], None], stop: Callable[[], bool]) -> Report:
    """Runs it and returns what was found. For the main thread only, in a process without other threads.

    *say* gets a line now and then; *stop* ends it early. Raises UsageError for an unknown fault or agent,
    BrokerAway where the broker is not on this machine, EdgewardError where the gateway does not start.
    """
    names = checked(settings.faults)
    skipped = {name: why for name in names if (why := cannot(name)) is not None}
    names = tuple(name for name in names if name not in skipped)
    if "packet-loss" in names:
        own_network()
    with ExitStack() as opened:
        folder = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="edgeward-chaos-")))
        return _Run(settings, names, skipped, folder, opened, say, stop).report()


class _Run:
    """One run and all that it opens, which *opened* closes."""

    def __init__(
        self,
        settings: Settings,
        names: Sequence[str],
        skipped: dict[str, str],
        folder: Path,
        opened: ExitStack,
        say: Callable[[str], None],
        stop: Callable[[], bool],
    ) -> None:
        self._settings = settings
        self._names = names
        self._skipped = skipped
        self._folder = folder
        self._say = say
        self._stop = stop
        self._agents = choose_agents(Config(), settings.agents)
        self._staged = Counter({name: 1 for name in names if _holds_throughout(name)})
        self._later: list[tuple[float, int, Callable[[], None]]] = []  # heap: when, tie, what undoes a fault
        self._rng = random.Random(f"{settings.seed}/driver")  # noqa: S311 - repeatable, guards nothing
        answered_by: dict[str, list[str]] = {}
        for agent in self._agents:
            answered_by.setdefault(agent.kind, []).append(agent.name)
        self._ledger = Ledger(answered_by)
        self._say_at = 0.0
        self._online = False
        self._compared_as_sent = {agent.kind for agent in self._agents if agent.name in WITHOUT_WINDOW}

        self._broker = opened.enter_context(EmbeddedBroker(settings.broker, folder=_new(folder / "broker")))
        self._proxy = opened.enter_context(Proxy(self._broker.port))
        if "packet-loss" in names:
            lose_packets(self._proxy.port)
        url = f"mqtt://{HOST}:{self._proxy.port}"
        keep_hours = 0 if "disk-full" in names else KEEP_HOURS
        gateway = Gateway(url, name=NAME, folder=folder, agents=settings.agents, keep_hours=keep_hours)
        self._disk = opened.enter_context(SmallDisk(gateway.state)) if "disk-full" in names else None
        self._gateway = opened.enter_context(gateway)
        self._inputs: BinaryIO = opened.enter_context((folder / INPUTS).open("wb"))
        self._publisher = opened.enter_context(self._sessions("in"))
        listening = self._sessions("out", RESULTS, self._came, beside=self._publisher)
        self._observer = opened.enter_context(listening)
        shares = {"duplicates": 0.02, "disorder": 0.02, "bad": 0.01}
        faults = {"duplicates": "duplicates", "disorder": "disorder", "bad": "poison"}
        self._devices = Devices(
            self._publisher,
            self._ledger,
            seed=settings.seed,
            site=NAME,
            devices=settings.devices,
            rate=settings.rate,
            kinds={agent.kind for agent in self._agents},
            hold="broker-kill" in names or "broker-away" in names,
            on_first=self._note_input,
            **{share: shares[share] for share, fault in faults.items() if fault in names},
        )

    def report(self) -> Report:
        """Plays the plan, waits for the last answers, compares, and sums up."""
        self._get_ready()
        self._say(
            f"{self._broker.kind} and the gateway run; sending {self._settings.rate:g} readings a second."
        )
        started_s = time.monotonic()
        self._play(started_s)
        sent_s = time.monotonic() - started_s
        self._drain()
        self._gateway.stop()
        self._see_alerts()
        self._inputs.close()
        self._say("comparing with an uninterrupted run")
        keeps_all = "disk-full" not in self._names
        comparable = compare(
            self._ledger, self._agents, self._folder, self._gateway.state if keeps_all else None, gateway=NAME
        )
        return Report(
            broker=self._broker.kind,
            seed=self._settings.seed,
            seconds=round(sent_s, 1),
            finished=not self._stop(),
            rate=self._settings.rate,
            devices=self._settings.devices,
            hold=self._devices.hold,
            staged=dict(self._staged),
            skipped=self._skipped,
            gateway_starts=self._gateway.starts,
            ended_by_itself=tuple(self._gateway.ended_by_itself),
            comparable=comparable,
            ledger=self._ledger.statement(),
        )

    # Phases.

    def _play(self, started_s: float) -> None:
        seconds = self._settings.seconds
        faults = plan(
            self._names, seed=self._settings.seed, seconds=seconds, kill_seconds=self._settings.kill_seconds
        )
        due = iter([*faults, None])
        following = next(due)
        while (now_s := time.monotonic()) < started_s + seconds and not self._stop():
            while following is not None and now_s >= started_s + following.at_s:
                self._stage(following, now_s)
                following = next(due)
            self._turn(sending=True)

    def _drain(self) -> None:
        """Until every input is answered, or nothing more comes."""
        while self._later and not self._stop():
            self._turn(sending=False)
        left, since_s = self._devices.left, time.monotonic()
        while left and time.monotonic() - since_s < QUIET_SECONDS and not self._stop():
            self._turn(sending=False)
            if self._devices.left != left:
                left, since_s = self._devices.left, time.monotonic()
        self._until(time.monotonic() + TAIL_SECONDS[self._broker.kind])

    def _see_alerts(self) -> None:
        """What a subscriber who comes last finds retained."""
        with self._sessions("late", [ALERTS], self._came_late) as late:
            until_s = time.monotonic() + LATE_SECONDS
            while time.monotonic() < until_s and not self._stop():
                late.pump(TURN_SECONDS)

    # One turn, and what may happen in it.

    def _turn(self, *, sending: bool) -> None:
        now_s = time.monotonic()
        while self._later and self._later[0][0] <= now_s:
            heapq.heappop(self._later)[2]()
        self._gateway.mind()
        self._devices.turn(now_s, sending=sending)
        self._publisher.pump(TURN_SECONDS)
        self._observer.pump(0.0)
        if now_s >= self._say_at:
            self._say_at = now_s + SAY_SECONDS
            sent = self._publisher.sent
            self._say(f"{sent:,} sent, {self._devices.unanswered:,} unanswered, {dict(self._staged)}")

    def _until(self, until_s: float) -> None:
        while time.monotonic() < until_s and not self._stop():
            self._turn(sending=False)

    def _get_ready(self) -> None:
        """Until all are connected. What comes before the gateway has first subscribed is for nobody."""
        until_s = time.monotonic() + START_SECONDS
        while not ((self._publisher.ready and self._observer.ready and self._online) or self._stop()):
            if time.monotonic() > until_s:
                raise EdgewardError(f"The gateway does not come online. It said last: {self._gateway.said()}")
            self._gateway.mind()
            self._publisher.pump(TURN_SECONDS)
            self._observer.pump(0.0)

    def _stage(self, fault: Planned, now_s: float) -> None:
        """One fault of the plan."""
        until_s = now_s + fault.seconds
        match fault.name:
            case "gateway-kill":
                self._gateway.kill()
            case "broker-kill" | "broker-away":
                if self._broker.pid is None:
                    return
                self._broker.kill()
                self._undo(until_s, self._bring_broker_back)
            case "link-cut" | "link-away":
                self._proxy.cut(fault.seconds)
            case "link-delay":
                self._proxy.delay(self._rng.uniform(*DELAY_SECONDS), fault.seconds)
            case "half-open":
                self._proxy.half_open()
            case "reload-good":
                self._gateway.configure(broken=False)
                self._gateway.hang_up()
            case "reload-bad":
                self._gateway.configure(broken=True)
                self._gateway.hang_up()
                self._undo(now_s + BROKEN_SECONDS, lambda: self._gateway.configure(broken=False))
            case "disk-full" if self._disk is not None:
                self._disk.fill()
                self._undo(until_s, self._disk.empty)
        self._staged[fault.name] += 1

    def _undo(self, at_s: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._later, (at_s, sum(self._staged.values()), action))

    def _bring_broker_back(self) -> None:
        if self._broker.pid is None:
            self._broker.restart()

    # Devices and observer.

    def _sessions(
        self,
        what: str,
        filters: Sequence[str] = (),
        on_message: Callable[[MQTTMessage], None] | None = None,
        *,
        beside: Sessions | None = None,
    ) -> Sessions:
        """Those that publish, or one that listens to *filters*; the one *beside* them misses nothing."""
        return Sessions(
            BrokerAccess(HOST, self._broker.port),
            count=1 if filters else PUBLISHERS,
            client_id=f"chaos-{what}",
            rng=random.Random(f"{self._settings.seed}/{what}"),  # noqa: S311 - spreads reconnections
            say=lambda _sentence: None,  # that the broker goes away is what is staged
            filters=filters,
            on_message=on_message,
            on_acknowledged=self._ledger.acknowledged,
            keep_session_seconds=0 if beside is None else SESSION_SECONDS,
            beside=beside,
        )

    def _came(self, message: MQTTMessage) -> None:
        if message.topic == STATUS:
            self._online |= message.payload == b"online"
            return
        answered = self._ledger.received(message.topic, bytes(message.payload))
        if answered is not None:
            self._devices.answered(answered, time.monotonic())

    def _came_late(self, message: MQTTMessage) -> None:
        self._ledger.alert_on(message.topic, bytes(message.payload))

    def _note_input(self, message: Counted) -> None:
        """Keeps what the uninterrupted run is to read."""
        if message.kind in self._compared_as_sent:
            self._inputs.write(line_of(message.topic, START_MS, message.payload))


def _holds_throughout(name: str) -> bool:
    fault = FAULTS[name]
    return fault.every_s is None and not fault.once


def _new(folder: Path) -> Path:
    folder.mkdir()
    return folder
