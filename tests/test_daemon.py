"""The daemon's loop and its outbox: over real brokers with the NEWS2 agent, which needs no model file."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from gateway import outbox
from gateway.broker import BrokerKind, EmbeddedBroker
from gateway.daemon import Daemon, wall_ms
from gateway.link import Delivery, LinkEvent, Will
from gateway.outbox import Outbox
from gateway.store import Store
from models.errors import BrokerAway, BrokerRefused
from nodes.agents import SHIPPED, build_agent
from nodes.outputs import Publication
from nodes.pipeline import Pipeline
from tests.conftest import MakeLink, Peer, connected
from tests.stand import PATIENCE_SECONDS, Client, Gateway

NAME = "g1"
NOW_MS = 1_790_000_000_000
STATUS = f"edgeward/gateway/{NAME}/status"
COUNTERS = f"edgeward/gateway/{NAME}/counters"
ILL = {"hr": 140, "rr": 30, "spo2": 85, "sbp": 85, "temp": 39.5, "acvpu": "V", "on_oxygen": True}
WELL = {"hr": 70, "rr": 16, "spo2": 98, "sbp": 125, "temp": 37.0, "acvpu": "A", "on_oxygen": False}


def news2_pipeline(topic: str | None = None) -> Pipeline:
    (settings,) = (each for each in SHIPPED if each.name == "vitals")
    if topic is not None:
        settings = replace(settings, topic=topic)
    return Pipeline([build_agent(settings)], gateway=NAME, now=wall_ms)


@contextmanager
def running(
    make_link: MakeLink, broker: EmbeddedBroker, pipeline: Pipeline | None = None
) -> Iterator[Pipeline]:
    """A gateway in a thread of its own, which ends well when the block does."""
    stop = threading.Event()
    failures: list[BaseException] = []
    working = pipeline or news2_pipeline()

    def work() -> None:
        try:
            with make_link(broker.port, f"edgeward-{NAME}", will=Will(STATUS, b"offline")) as link:
                Daemon(link, working, name=NAME, stopping=stop.is_set).run()
        except BaseException as exc:
            failures.append(exc)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield working
    finally:
        stop.set()
        thread.join(30)
    assert not thread.is_alive()
    assert failures == []


def watching(make_link: MakeLink, broker: EmbeddedBroker) -> Peer:
    return connected(make_link(broker.port, "edgeward-watch"), "edgeward/#")


def send(peer: Peer, payload: dict[str, Any], device: str = "bed-1") -> None:
    peer.link.publish(f"edgeward/v1/ward/{device}/vitals", json.dumps(payload).encode())


def on(peer: Peer, topic: str) -> list[bytes]:
    return [each.payload for each in peer.deliveries if each.topic == topic]


def of(peer: Peer, part: str) -> list[Delivery]:
    return [each for each in peer.deliveries if f"/{part}/" in each.topic]


def until_online(peer: Peer, times: int = 1) -> None:
    peer.until(lambda: on(peer, STATUS).count(b"online") >= times)


def test_from_online_to_stopped(broker: EmbeddedBroker, make_link: MakeLink) -> None:
    """An ill patient's vitals are classified and raise an alert; at the end counters and status are said."""
    peer = watching(make_link, broker)
    with running(make_link, broker):
        until_online(peer)
        send(peer, {"id": "1", **ILL})
        send(peer, {"id": "1", **ILL})
        peer.until(lambda: len(of(peer, "alert")) == 1)  # one that is over before it went out is never said
        send(peer, {"id": "2", **WELL, "hr": 999})
        peer.link.publish("edgeward/v1/ward/bed-1/vitals", b"{")
        peer.until(lambda: len(of(peer, "classification")) == 2)
    peer.until(lambda: b"stopped" in on(peer, STATUS))
    counters = json.loads(on(peer, COUNTERS)[-1])
    assert {key: counters[key] for key in ("received", "classified", "in_part", "rejected", "repeated")} == {
        "received": 4,
        "classified": 1,
        "in_part": 1,
        "rejected": 1,
        "repeated": 1,
    }
    assert on(peer, STATUS) == [b"online", b"stopped"]
    alert, cleared = of(peer, "alert")
    assert json.loads(alert.payload)["data"]["code"] == "vitals"
    assert cleared.payload == b""


def test_whatever_was_answered_was_acknowledged(broker: EmbeddedBroker, make_link: MakeLink) -> None:
    """After a clean stop the broker has nothing of what was answered left to bring again."""
    peer = watching(make_link, broker)
    with running(make_link, broker):
        until_online(peer)
        for number in range(300):
            send(peer, {"id": str(number), **WELL}, f"bed-{number % 7}")
        peer.until(lambda: len(of(peer, "classification")) == 300)
    successor = Peer(make_link(broker.port, f"edgeward-{NAME}"))
    successor.until_up()
    again = successor.link.take(64, 0.0, 4.0 if broker.kind == "nats-server" else 0.5)
    assert [each for each in again if each.topic.endswith("/vitals") and "/v1/" in each.topic] == []


def test_what_was_published_while_the_gateway_was_away_is_answered(
    broker: EmbeddedBroker, make_link: MakeLink
) -> None:
    peer = watching(make_link, broker)
    with running(make_link, broker):
        until_online(peer)
    for number in range(20):
        send(peer, {"id": str(number), **WELL})
    peer.until(lambda: len(peer.settled) == 20)
    with running(make_link, broker):
        peer.until(lambda: len(of(peer, "classification")) == 20)


def test_a_broker_that_restarts_costs_nothing(broker: EmbeddedBroker, make_link: MakeLink) -> None:
    """What was published meanwhile is answered, each input once, and `online` is said again."""
    peer = watching(make_link, broker)
    with running(make_link, broker):
        until_online(peer)
        broker.stop()
        for number in range(50):
            send(peer, {"id": str(number), **WELL}, f"bed-{number % 5}")
        broker.restart()
        until_online(peer, 2)
        peer.until(lambda: len(of(peer, "classification")) >= 50)
    events = [json.loads(each.payload) for each in of(peer, "classification")]
    assert {event["data"]["input"]["id"] for event in events} == {str(number) for number in range(50)}
    assert len({event["id"] for event in events}) == 50


def test_after_a_broker_died_status_and_alerts_are_said_again_with_the_same_ids(
    broker: EmbeddedBroker, make_link: MakeLink
) -> None:
    peer = watching(make_link, broker)
    with running(make_link, broker):
        until_online(peer)
        send(peer, {"id": "ill", **ILL})
        peer.until(lambda: len(of(peer, "alert")) == 1)
        broker.kill()
        broker.restart()
        peer.until(lambda: len(of(peer, "alert")) >= 2)
        ids = {json.loads(each.payload)["id"] for each in of(peer, "alert")}
        until_online(peer, 2)
    assert len(ids) == 1


def test_a_retained_alert_that_is_no_longer_held_is_cleared_and_others_are_left(
    broker: EmbeddedBroker, make_link: MakeLink
) -> None:
    peer = watching(make_link, broker)
    topics = {
        "edgeward/v1/ward/bed-1/alert/vitals": b'{"gateway": "g1"}',
        "edgeward/v1/ward/bed-2/alert/vitals": b'{"gateway": "g2"}',
        "edgeward/v1/ward/bed-3/alert/vitals": b"not JSON",
        "edgeward/v1/ward/bed-4/alert/vitals": b"[" * 100_000,
    }
    for topic, payload in topics.items():
        peer.link.publish(topic, payload, retain=True)
    peer.until(lambda: len(peer.settled) == len(topics))
    with running(make_link, broker) as pipeline:
        until_online(peer)
        peer.until(lambda: b"" in on(peer, "edgeward/v1/ward/bed-1/alert/vitals"))
        send(peer, {"id": "1", **WELL})
        peer.until(lambda: bool(of(peer, "classification")))
    late = connected(make_link(broker.port, "edgeward-late"), "edgeward/v1/#")
    late.until(lambda: len(late.deliveries) == 3)
    assert {each.topic for each in late.deliveries} == set(list(topics)[1:])
    assert pipeline.counters.received == 1


def test_its_own_outputs_are_never_its_input(broker: EmbeddedBroker, make_link: MakeLink) -> None:
    """…even when a template of the user's matches their topics."""
    peer = watching(make_link, broker)
    with running(make_link, broker, news2_pipeline("edgeward/v1/{site}/{device}/{way}/{what}")) as pipeline:
        until_online(peer)
        peer.link.publish("edgeward/v1/ward/bed-1/in/vitals", json.dumps({"id": "1", **ILL}).encode())
        peer.until(lambda: len(of(peer, "alert")) == 1)
        peer.link.publish("edgeward/v1/ward/bed-1/in/vitals", json.dumps({"id": "2", **ILL}).encode())
        peer.until(lambda: len(of(peer, "classification")) == 2)
    assert pipeline.counters.received == 2


def test_when_too_much_is_owed_the_rest_waits_at_the_broker(
    broker: EmbeddedBroker, make_link: MakeLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "OWED_LIMIT", outbox.ALARM_RESERVE + 2)
    peer = watching(make_link, broker)
    with running(make_link, broker):
        until_online(peer)
        for number in range(200):
            send(peer, {"id": str(number), **WELL})
        peer.until(lambda: len(of(peer, "classification")) == 200)


class LinkInMemory:
    """The far end of an outbox, where a test decides what is settled when."""

    def __init__(self, window: int = 10) -> None:
        self.up = True
        self.window = window
        self.shed = 0
        self.sent: list[str] = []
        self.acked: list[int | None] = []
        self.withdrawn: list[str] = []
        self.said: list[tuple[object, object]] = []
        self._settled: list[int] = []

    def settle(self, *topics: str) -> None:
        self._settled += [self.sent.index(topic) for topic in topics]

    def publish(self, topic: str, *_: object, **said: object) -> int:
        self.sent.append(topic)
        self.said.append((said["expiry_s"], said["resent"]))
        return len(self.sent) - 1

    def withdraw(self, ticket: int) -> None:
        self.withdrawn.append(self.sent[ticket])

    def settled(self) -> list[int]:
        settled, self._settled = self._settled, []
        return settled

    def ack(self, delivery: Delivery) -> None:
        self.acked.append(delivery.handle)

    def take(self, *_: object) -> list[Delivery]:
        return []

    def events(self) -> list[LinkEvent]:
        return []

    def subscribe(self, filters: Sequence[str], *, fresh_only: bool = True) -> None: ...
    def unsubscribe(self, filters: Sequence[str]) -> None: ...
    def drop(self, error: BrokerAway | BrokerRefused) -> None: ...
    def close(self) -> None: ...


def owing(
    *groups: Sequence[str], window: int = 10
) -> tuple[LinkInMemory, Outbox, Callable[..., list[int | None]]]:
    """An outbox that owes a delivery for each group of topics, handled 0, 1, …; and a step that settles."""
    link = LinkInMemory(window)
    outbox = Outbox(link, now_ms=lambda: NOW_MS)
    for handle, topics in enumerate(groups):
        delivery = Delivery("in", b"", retained=False, duplicate=False, session=1, handle=handle)
        outbox.owe([Publication(topic, b"", "classification") for topic in topics], delivery)
    outbox.turn()

    def settle(*topics: str) -> list[int | None]:
        link.settle(*topics)
        outbox.turn()
        return link.acked

    return link, outbox, settle


def test_a_delivery_is_acknowledged_once_all_that_it_led_to_is_settled_and_in_order() -> None:
    _, outbox, settle = owing(["a", "b"], ["c"], [])
    assert settle("a") == []
    assert settle("c") == []
    assert settle("b") == [0, 1, 2]
    assert outbox.empty


def test_a_repeat_waits_for_everything_that_was_owed_before_it() -> None:
    """A repeat leads to nothing; its first copy's publications may still be on their way."""
    _, _, settle = owing(["a"], [])
    assert settle() == []
    assert settle("a") == [0, 1]


def test_no_more_is_in_flight_than_the_window_and_nothing_while_the_link_is_down() -> None:
    link, outbox, settle = owing(["a", "b", "c", "d"], window=2)
    assert link.sent == ["a", "b"]
    link.up = False
    settle("a")
    assert link.sent == ["a", "b"]
    link.up = True
    settle()
    assert link.sent == ["a", "b", "c"]
    assert outbox.owed == 3


def test_rows_that_no_delivery_asked_for_are_owed_too() -> None:
    link, outbox, settle = owing(["a"])
    outbox.owe([Publication("tick", b"", "alert", retain=True)])
    outbox.owe([])
    settle("a")
    assert not outbox.empty
    assert link.sent == ["a", "tick"]
    settle("tick")
    assert outbox.empty


def alert(topic: str, payload: bytes = b"on") -> Publication:
    return Publication(topic, payload, "alert", retain=True)


def answer(topic: str, *, historical: bool = False) -> Publication:
    return Publication(topic, b"{}", "classification", historical=historical)


def outbox_over(link: LinkInMemory, now_ms: Callable[[], int] = lambda: NOW_MS) -> Outbox:
    return Outbox(link, now_ms=now_ms)


def test_alarms_go_first_then_the_gateways_own_then_live_answers_then_late_ones() -> None:
    link = LinkInMemory()
    box = outbox_over(link)
    box.owe([answer("kept")], ids=[1], made_ms=NOW_MS - 1_000)
    box.owe([answer("old", historical=True), answer("live")])
    box.owe([Publication("rejected", b"", "rejected"), alert("alarm")])
    box.turn()
    assert link.sent == ["alarm", "rejected", "live", "kept", "old"]
    assert [resent for _, resent in link.said] == [False, False, False, True, False]


def test_a_publication_carries_what_is_left_of_its_life_and_goes_when_there_is_none() -> None:
    now = [NOW_MS]
    link = LinkInMemory(window=0)
    box = outbox_over(link, lambda: now[0])
    box.owe([answer("a"), alert("alarm")], ids=[1, 2])
    now[0] += 86_399_000
    box.owe([answer("b")], ids=[3])
    now[0] += 1_000
    link.window = 10
    box.turn()
    assert link.sent == ["alarm", "b"]
    assert [expiry for expiry, _ in link.said] == [None, 86_399]
    assert box.settled_rows() == [1]
    assert box.dropped == {"expired": 1}


def test_an_alert_that_was_cleared_before_it_went_out_is_never_said() -> None:
    link = LinkInMemory(window=0)
    box = outbox_over(link)
    box.owe([alert("alarm"), alert("other")], ids=[1, 2])
    box.owe([alert("alarm", b"")], ids=[3])
    link.window = 10
    box.turn()
    assert link.sent == ["other", "alarm"]
    assert box.settled_rows() == [1]


def test_what_the_store_keeps_makes_no_delivery_wait() -> None:
    link = LinkInMemory()
    box = outbox_over(link)
    kept, loose = (Delivery("in", b"", False, False, session=1, handle=handle) for handle in (0, 1))
    box.owe([answer("a")], kept, ids=[1])
    box.owe([answer("b")], loose)
    box.turn()
    assert link.acked == [0]
    link.settle("a", "b")
    box.turn()
    assert link.acked == [0, 1]
    assert box.settled_rows() == [1]


def test_a_row_that_the_broker_refuses_is_set_aside_and_why() -> None:
    link = LinkInMemory()
    box = outbox_over(link)
    box.owe([answer("a"), answer("b")], ids=[1, 2])
    box.turn()
    box.refused(0, "Not authorized")
    link.settle("a", "b")
    box.turn()
    assert box.set_aside() == {1: "refused: Not authorized"}
    assert box.settled_rows() == [2]
    assert box.dropped == {"refused": 1}
    assert box.empty


def test_a_row_that_ends_every_connection_is_set_aside_and_its_neighbours_are_not() -> None:
    """The broker drops the connection whenever `bad` arrives."""
    link = LinkInMemory()
    box = outbox_over(link)
    topics = ["a", "bad", "b", "c"]
    box.owe([answer(topic) for topic in topics], ids=[1, 2, 3, 4])
    box.turn()
    seen: list[str] = []
    for _ in range(12):
        box.disconnected()
        known = len(link.sent)
        for _ in range(8):
            box.turn()
            fresh, known = link.sent[known:], len(link.sent)
            if "bad" in fresh:
                break
            for topic in fresh:
                seen.append(topic)
                link._settled.append(len(link.sent) - 1)
    assert sorted(seen) == ["a", "b", "c"]
    assert box.set_aside() == {2: "undeliverable: in flight at every disconnect"}
    assert sorted(box.settled_rows()) == [1, 3, 4]
    assert box.empty


def test_what_waited_while_the_broker_was_away_is_late_and_lets_live_answers_by() -> None:
    link = LinkInMemory(window=0)
    box = outbox_over(link)
    box.owe([answer("before")], ids=[1])
    box.disconnected()
    box.owe([answer("after")], ids=[2])
    link.window = 10
    box.turn()
    assert link.sent == ["after", "before"]
    assert [resent for _, resent in link.said] == [False, True]


# A gateway as a process, killed.


def onlines(client: Client) -> int:
    return [each.payload for each in client.on("/status")].count(b"online")


def test_results_that_a_kill_left_owed_come_after_the_restart_with_the_same_ids(
    kind: BrokerKind, tmp_path: Path
) -> None:
    """SIGKILL in the middle of a burst, three times: every reading is answered, always in the same words."""
    with EmbeddedBroker(kind) as broker, Client(broker) as client:
        sent = 0
        for starts in range(1, 4):
            with Gateway(broker.url, tmp_path, "--agents", "vitals") as gateway:
                until_online_as_often(client, starts)
                for _ in range(300):
                    sent += 1
                    vitals = {"id": f"v{sent}", "hr": 60 + sent % 50}
                    client.publish(f"edgeward/v1/n/bed-{sent % 5}/vitals", vitals)
                until_more_answers(client, 20)
                gateway.process.kill()
        with Gateway(broker.url, tmp_path, "--agents", "vitals") as gateway:
            client.wait(lambda _: len(answers_by_input(client)) == sent, "all answers")
            assert gateway.stop() == 0
        assert [words for words in answers_by_input(client).values() if len(words) != 1] == []


def until_online_as_often(client: Client, starts: int) -> None:
    client.wait(lambda _: onlines(client) == starts, "online")


def until_more_answers(client: Client, more: int) -> None:
    known = len(client.on("/classification/"))
    client.wait(lambda _: len(client.on("/classification/")) > known + more, "some answers")


def answers_by_input(client: Client) -> dict[str, set[bytes]]:
    """Input id to all the different payloads that answered it."""
    answers: dict[str, set[bytes]] = {}
    for each in client.on("/classification/"):
        answers.setdefault(each.event["data"]["input"]["id"], set()).add(each.payload)
    return answers


def test_a_broker_that_is_away_at_the_start_is_waited_for_or_not(tmp_path: Path) -> None:
    config = tmp_path / "impatient.toml"
    config.write_text('[broker]\nstartup = "fail"\n')
    gateway = Gateway("mqtt://127.0.0.1:1", tmp_path, "--config", str(config), "--agents", "vitals")
    assert gateway.process.wait(PATIENCE_SECONDS) == 1
    assert "127.0.0.1:1" in gateway.log.read_text()


def test_a_session_that_the_broker_forgot_is_said_loudly(mosquitto: EmbeddedBroker, tmp_path: Path) -> None:
    with Client(mosquitto) as client:
        with Gateway(mosquitto.url, tmp_path, "--agents", "vitals") as gateway:
            client.wait_online(gateway)
            client.publish("edgeward/v1/n/b/vitals", {"hr": 70})
            client.wait(lambda _: client.on("/classification/"), "the answer")
        _forget_session(mosquitto)
        with Gateway(mosquitto.url, tmp_path, "--agents", "vitals") as gateway:
            (fault, *_) = client.wait(
                lambda _: [each for each in client.on("/fault/session") if each.payload], "the fault"
            )
        assert "forgot our session" in fault.event["data"]["reason"]
        assert "session_lost" in gateway.log.read_text()


def _forget_session(broker: EmbeddedBroker) -> None:
    """Ends the gateway's session as an administrator would: a clean start under its client id."""
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="edgeward-stand", clean_session=True)
    client.connect("127.0.0.1", broker.port)
    while client.loop(0.1) == mqtt.MQTT_ERR_SUCCESS and not client.is_connected():
        pass
    client.disconnect()
    client.loop(0.1)


def test_an_agent_with_broker_durability_leaves_nothing_on_disk(
    mosquitto: EmbeddedBroker, tmp_path: Path
) -> None:
    config = tmp_path / "loose.toml"
    config.write_text('[agents.log-line]\ndurability = "broker"\n[agents.vitals]\n')
    with Client(mosquitto) as client, Gateway(mosquitto.url, tmp_path, "--config", str(config)) as gateway:
        client.wait_online(gateway)
        client.publish("edgeward/v1/n/plc/log", "service started, all checks passed")
        client.publish("edgeward/v1/n/bed/vitals", {"hr": 70, "id": "kept"})
        client.wait(lambda _: len(client.on("/classification/")) == 2, "the answers")
        assert gateway.stop() == 0
    with Store.open(tmp_path / "state") as store:
        assert [each.topic for each in store.readings()] == ["edgeward/v1/n/bed/vitals"]
        assert list(store.owed()) == []
