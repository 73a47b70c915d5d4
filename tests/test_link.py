"""What every link must do, against every broker that we know: the contract behind `gateway/link.py`."""

from __future__ import annotations

import random
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from gateway import backoff, inbox, paho_link
from gateway.backoff import Backoff
from gateway.broker import EmbeddedBroker
from gateway.inbox import Inbox
from gateway.link import BrokerAddress, Delivery, Down, PublishRefused, Subscribed, Up
from models.errors import BrokerAway, BrokerRefused, SessionTakenOver
from tests.conftest import PATIENCE_SECONDS, Certificates, MakeLink, Peer, connected


def test_it_speaks_the_newest_protocol_that_the_broker_has(
    broker: EmbeddedBroker, make_link: MakeLink
) -> None:
    peer = connected(make_link(broker.port))
    expected = "5" if broker.kind == "mosquitto" else "3.1.1"
    assert [Up(session=1, resumed=False, protocol=expected)] == peer.events


def test_what_is_published_arrives_once_in_order_and_is_settled(
    broker: EmbeddedBroker, make_link: MakeLink
) -> None:
    receiver = connected(make_link(broker.port, "edgeward-r"), "a/+")
    sender = connected(make_link(broker.port, "edgeward-s"))
    payloads = [bytes([number % 256]) * number for number in range(200)]
    tickets = [sender.link.publish(f"a/{n}", payload) for n, payload in enumerate(payloads)]
    sender.until(lambda: len(sender.settled) == 200)
    receiver.until(lambda: len(receiver.deliveries) == 200)
    assert payloads == receiver.payloads()
    assert [f"a/{number}" for number in range(200)] == [each.topic for each in receiver.deliveries]
    assert sorted(tickets) == sorted(sender.settled)


def test_qos_0_is_taken_and_wants_no_acknowledgement(broker: EmbeddedBroker, make_link: MakeLink) -> None:
    peer = connected(make_link(broker.port), "a")
    ticket = peer.link.publish("a", b"lightly", qos=0)
    peer.until(lambda: bool(peer.deliveries))
    assert peer.deliveries[0].handle is None
    assert [ticket] == peer.settled


@pytest.mark.parametrize(("bound", "value"), [("INBOX_LIMIT", 3), ("INBOX_BYTES_LIMIT", 300)])
def test_qos_0_that_finds_the_inbox_full_is_shed_and_counted(
    bound: str, value: int, mosquitto: EmbeddedBroker, make_link: MakeLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox, bound, value)
    peer = connected(make_link(mosquitto.port), "a")
    for _ in range(10):
        peer.link.publish("a", bytes(100), qos=0)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while peer.link.shed < 7:
        assert time.monotonic() < deadline
        peer.link.take(0, 0.0, 0.05)
    peer.until(lambda: len(peer.deliveries) == 3)
    peer.link.publish("a", b"room again", qos=0)
    peer.until(lambda: len(peer.deliveries) == 4)


def test_a_retained_message_says_so(broker: EmbeddedBroker, make_link: MakeLink) -> None:
    sender = connected(make_link(broker.port, "edgeward-s"))
    sender.link.publish("a/kept", b"kept", retain=True)
    sender.until(lambda: bool(sender.settled))
    receiver = connected(make_link(broker.port, "edgeward-r"), "a/+")
    sender.link.publish("a/now", b"now")
    receiver.until(lambda: len(receiver.deliveries) == 2)
    assert {each.payload: each.retained for each in receiver.deliveries} == {b"kept": True, b"now": False}


def test_take_gives_no_more_than_asked_for_and_none_when_nothing_is_asked_for(
    broker: EmbeddedBroker, make_link: MakeLink
) -> None:
    peer = connected(make_link(broker.port), "a")
    for number in range(10):
        peer.link.publish("a", bytes([number]))
    peer.until(lambda: len(peer.settled) == 10 and not peer.link.take(0, 0.0, 0.1))
    taken = peer.link.take(3, 1.0, 1.0)
    assert [delivery.payload for delivery in [*peer.deliveries, *taken]][:3] == [b"\0", b"\1", b"\2"]
    assert len(taken) <= 3


def test_unacknowledged_deliveries_come_again_after_a_reconnect(
    broker: EmbeddedBroker, make_link: MakeLink
) -> None:
    """…marked as duplicates of a new session, and an old session's delivery is not acknowledged."""
    receiver = connected(make_link(broker.port, "edgeward-r"), "a")
    sender = connected(make_link(broker.port, "edgeward-s"))
    for number in range(10):
        sender.link.publish("a", bytes([number]))
    sender.until(lambda: len(sender.settled) == 10)
    receiver.until(lambda: len(receiver.deliveries) == 10, acknowledge=False)
    first = list(receiver.deliveries)
    receiver.link.drop(BrokerAway("a test"))
    receiver.until_up(2)
    for delivery in first:
        receiver.link.ack(delivery)
    receiver.until(lambda: len(receiver.deliveries) == 20)
    again = receiver.deliveries[10:]
    assert sorted(each.payload for each in first) == sorted(each.payload for each in again)
    assert {True} == {each.duplicate for each in again}
    assert {first[0].session + 1} == {each.session for each in again}


def test_a_new_process_gets_what_waited_for_it(broker: EmbeddedBroker, make_link: MakeLink) -> None:
    """The session outlives the connection: fixed client id, no clean start, an expiry."""
    with make_link(broker.port, "edgeward-r") as link:
        connected(link, "a")
    sender = connected(make_link(broker.port, "edgeward-s"))
    sender.link.publish("a", b"meanwhile")
    sender.until(lambda: bool(sender.settled))
    receiver = Peer(make_link(broker.port, "edgeward-r"))
    receiver.until(lambda: bool(receiver.deliveries))
    assert receiver.payloads() == [b"meanwhile"]
    assert [each.resumed for each in receiver.events if isinstance(each, Up)] == [True]


def test_a_broker_that_is_killed_is_said_once_and_found_again(
    broker: EmbeddedBroker, make_link: MakeLink
) -> None:
    """What was in flight is settled once each, sent again by the link itself, and none is lost."""
    peer = connected(make_link(broker.port))
    broker.kill()
    tickets = [peer.link.publish("a", bytes([number])) for number in range(20)]
    peer.until(lambda: any(isinstance(each, Down) for each in peer.events))
    broker.restart()
    peer.until_up(2)
    peer.until(lambda: len(peer.settled) >= 20)
    assert sorted(tickets) == sorted(peer.settled)
    sentences = [str(each.error) for each in peer.events if isinstance(each, Down)]
    assert len(sentences) == len(set(sentences))


def test_a_broker_that_is_away_at_the_start_is_waited_for(
    broker: EmbeddedBroker, make_link: MakeLink
) -> None:
    port = broker.port
    broker.stop()
    peer = Peer(make_link(port))
    for _ in range(10):
        peer.link.take(1, 0.0, 0.2)
    events = peer.link.events()
    assert len(events) == 1
    assert isinstance(events[0], Down)
    assert f"The broker at 127.0.0.1:{port} does not answer: Connection refused." == str(events[0].error)
    broker.restart()
    peer.until_up()


def test_no_more_is_delivered_than_may_be_unacknowledged(
    mosquitto: EmbeddedBroker, make_link: MakeLink
) -> None:
    receiver = connected(make_link(mosquitto.port, "edgeward-r", receive_maximum=7), "a")
    sender = connected(make_link(mosquitto.port, "edgeward-s"))
    for number in range(30):
        sender.link.publish("a", bytes([number]))
    sender.until(lambda: len(sender.settled) == 30)
    receiver.until(lambda: len(receiver.deliveries) == 7, acknowledge=False)
    assert receiver.link.take(64, 0.0, 0.3) == []
    for delivery in receiver.deliveries:
        receiver.link.ack(delivery)
    receiver.until(lambda: len(receiver.deliveries) == 30)
    assert [bytes([number]) for number in range(30)] == receiver.payloads()


def test_two_gateways_of_one_name_are_told_what_may_be_wrong(
    mosquitto: EmbeddedBroker, make_link: MakeLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    """mosquitto 2.0.11 only closes the older connection, so this can be guessed and not known."""
    monkeypatch.setattr(backoff, "LIMIT_SECONDS", 0.1)
    first, second = Peer(make_link(mosquitto.port)), Peer(make_link(mosquitto.port))

    def guessed() -> bool:
        second.until(lambda: True)
        second.events += second.link.events()
        second.link.take(0, 0.0, 0.01)
        return any(isinstance(each, Down) and "the same name" in str(each.error) for each in first.events)

    first.until(guessed)


def test_the_will_is_published_when_the_process_fails_and_not_when_it_says_goodbye(
    broker: EmbeddedBroker, make_link: MakeLink
) -> None:
    watcher = connected(make_link(broker.port, "edgeward-w"), "will/+")
    with make_link(broker.port, "edgeward-polite") as link:
        connected(link)
    with suppress(ZeroDivisionError), make_link(broker.port, "edgeward-failing") as link:
        connected(link)
        raise ZeroDivisionError
    watcher.until(lambda: bool(watcher.deliveries))
    assert [(each.topic, each.payload) for each in watcher.deliveries] == [
        ("will/edgeward-failing", b"offline")
    ]


def with_password(folder: Path) -> list[str]:
    """Settings of a mosquitto that asks for a password and lets one user at one topic."""
    passwords, access = folder / "passwords", folder / "access"
    passwords.write_text("")
    subprocess.run(["mosquitto_passwd", "-b", str(passwords), "gateway", "sesame"], check=True)
    passwords.chmod(0o600)
    access.write_text("user gateway\ntopic readwrite open/#\n")
    return ["allow_anonymous false", f"password_file {passwords}", f"acl_file {access}"]


def test_a_wrong_password_is_refused_in_one_sentence(tmp_path: Path, make_link: MakeLink) -> None:
    with EmbeddedBroker("mosquitto", settings=with_password(tmp_path)) as broker:
        right = BrokerAddress("127.0.0.1", broker.port, username="gateway", password="sesame")
        connected(make_link(broker.port, address=right))
        wrong = BrokerAddress("127.0.0.1", broker.port, username="gateway", password="open")
        peer = Peer(make_link(broker.port, "edgeward-other", address=wrong))
        with pytest.raises(BrokerRefused, match="does not let us in") as refused:
            peer.until_up()
        assert "open" not in str(refused.value)
        assert "open" not in repr(wrong)


def test_a_refused_publication_is_said_and_counts_as_settled(tmp_path: Path, make_link: MakeLink) -> None:
    with EmbeddedBroker("mosquitto", settings=with_password(tmp_path)) as broker:
        address = BrokerAddress("127.0.0.1", broker.port, username="gateway", password="sesame")
        peer = connected(make_link(broker.port, address=address))
        ticket = peer.link.publish("closed/a", b"")
        peer.until(lambda: bool(peer.settled))
        assert PublishRefused(ticket, "Not authorized") in peer.events
        assert [ticket] == peer.settled


def tls_settings(certificates: Certificates) -> list[str]:
    return [f"certfile {certificates.server}", f"keyfile {certificates.key}"]


def test_tls_with_the_right_authority_works(certificates: Certificates, make_link: MakeLink) -> None:
    """Messages larger than a TLS record arrive whole, without waiting for the next packet."""
    with EmbeddedBroker("mosquitto", settings=tls_settings(certificates), tls=True) as broker:
        address = BrokerAddress("localhost", broker.port, tls=True, ca_file=certificates.ca)
        peer = connected(make_link(broker.port, address=address), "a")
        payloads = [bytes([number]) * 60_000 for number in range(20)]
        for payload in payloads:
            peer.link.publish("a", payload)
        peer.until(lambda: len(peer.deliveries) == 20 and len(peer.settled) == 20)
        assert payloads == peer.payloads()


@pytest.mark.parametrize(("host", "authority"), [("localhost", "stranger"), ("127.0.0.1", "ca")])
def test_tls_with_a_wrong_authority_or_host_name_is_refused(
    host: str, authority: str, certificates: Certificates, make_link: MakeLink
) -> None:
    with EmbeddedBroker("mosquitto", settings=tls_settings(certificates), tls=True) as broker:
        address = BrokerAddress(host, broker.port, tls=True, ca_file=getattr(certificates, authority))
        peer = Peer(make_link(broker.port, address=address))
        with pytest.raises(BrokerRefused, match=r"certificate of the broker at .* is not trusted"):
            peer.until_up()


def test_tls_to_a_port_without_it_is_said(
    mosquitto: EmbeddedBroker, certificates: Certificates, make_link: MakeLink
) -> None:
    address = BrokerAddress("localhost", mosquitto.port, tls=True, ca_file=certificates.ca)
    peer = Peer(make_link(mosquitto.port, address=address))
    peer.until(lambda: bool(peer.events))
    assert [
        "Is this its mqtts port?" in str(each.error) for each in peer.events if isinstance(each, Down)
    ] == [True]


@pytest.mark.parametrize("content", [b"", b"no certificate"])
def test_a_ca_file_that_is_none_is_refused_before_connecting(
    content: bytes, tmp_path: Path, make_link: MakeLink
) -> None:
    ca_file = tmp_path / "ca.pem"
    ca_file.write_bytes(content)
    with pytest.raises(BrokerRefused, match=r"The CA file .* can't be used"):
        make_link(1, address=BrokerAddress("localhost", 1, tls=True, ca_file=ca_file))


CONNACK = b"\x20\x03\x00\x00\x00"  # MQTT 5: accepted, no session, no properties


@contextmanager
def scripted_broker(*answers: bytes) -> Iterator[int]:
    """The port of a broker that says what no honest one can be made to say: an answer to each packet."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            connection, _ = listening.accept()
            with connection:
                for answer in answers:
                    connection.recv(4096)
                    connection.sendall(answer)
                while connection.recv(4096):
                    pass

        thread = threading.Thread(target=serve)
        thread.start()
        yield listening.getsockname()[1]
        thread.join()


def test_a_topic_that_is_not_valid_utf8_is_delivered_as_something_no_template_matches(
    make_link: MakeLink,
) -> None:
    publish = b"\x30\x07\x00\x03a/\xff\x00!"  # QoS 0, topic a/\xff, no properties, payload "!"
    with scripted_broker(CONNACK + publish) as port:
        peer = Peer(make_link(port))
        peer.until(lambda: bool(peer.deliveries))
        peer.link.close()
    assert [each.topic for each in peer.deliveries] == ["a/\\xff"]


def test_a_session_that_was_taken_over_ends_us(make_link: MakeLink) -> None:
    with scripted_broker(CONNACK + b"\xe0\x01\x8e") as port:  # DISCONNECT, reason 142
        peer = Peer(make_link(port))
        with pytest.raises(SessionTakenOver, match="Give each gateway a name of its own"):
            peer.until(lambda: False)
        peer.link.close()


def test_a_refused_subscription_is_said(make_link: MakeLink) -> None:
    suback = b"\x90\x05\x00\x01\x00\x01\x87"  # packet 1: granted QoS 1, not authorised
    with scripted_broker(CONNACK, suback) as port:
        peer = connected(make_link(port))
        peer.link.subscribe(["open/a", "closed/a"])
        peer.until(lambda: Subscribed(("open/a", "closed/a"), ("closed/a",)) in peer.events)
        peer.link.close()


def test_a_broker_that_never_answers_is_given_up_and_said(
    make_link: MakeLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paho_link, "CONNECT_SECONDS", 0.2)
    with scripted_broker() as port:
        peer = Peer(make_link(port))
        peer.until(lambda: bool(peer.events))
        peer.link.close()
    assert ["does not answer" in str(each.error) for each in peer.events if isinstance(each, Down)] == [True]


def test_pauses_double_up_to_a_limit_and_start_again_after_a_stable_connection() -> None:
    pauses = Backoff(random.Random(1))
    drawn = [pauses.pause_s() for _ in range(20)]
    for ceiling, pause in zip([1.0, 2.0, 4.0, 8.0, 16.0, *[30.0] * 15], drawn, strict=True):
        assert ceiling / 2 <= pause <= ceiling
    assert len(set(drawn)) == 20
    assert pauses.pause_s(lasted_s=60.0) <= 0.5


def test_an_inbox_keeps_order_and_refuses_qos_1_only_beyond_what_mqtt_allows() -> None:
    box = Inbox()
    made = [
        Delivery("a", b"", retained=False, duplicate=False, session=1, handle=number)
        for number in range(inbox.INBOX_LIMIT + 1)
    ]
    assert [box.put(delivery) for delivery in made] == [True] * inbox.INBOX_LIMIT + [False]
    assert box.take(2) == made[:2]
    box.put(Delivery("b", b"", retained=False, duplicate=False, session=1, handle=None))
    box.forget_unacknowledged()
    assert [delivery.topic for delivery in box.take(9)] == ["b"]


def test_what_was_withdrawn_is_not_sent_by_the_next_connection(
    broker: EmbeddedBroker, make_link: MakeLink
) -> None:
    watch = connected(make_link(broker.port, "edgeward-watch"), "out/#")
    peer = connected(make_link(broker.port))
    broker.stop()
    peer.until(lambda: not peer.link.up)
    peer.link.withdraw(peer.link.publish("out/a", b"withdrawn"))
    peer.link.publish("out/b", b"sent")
    broker.restart()
    watch.until(lambda: b"sent" in watch.payloads() or bool(peer.link.take(0, 0.0, 0.05)))
    assert watch.payloads() == [b"sent"]


def test_on_mqtt_5_a_publish_says_how_long_it_lives_and_that_it_is_late(
    mosquitto: EmbeddedBroker, make_link: MakeLink
) -> None:
    seen: list[paho.MQTTMessage] = []
    client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)

    def on_connect(*_: object) -> None:
        client.subscribe("out/#", qos=1)

    client.on_connect = on_connect
    client.on_message = lambda _client, _userdata, message: seen.append(message)
    client.connect("127.0.0.1", mosquitto.port)
    client.loop_start()
    try:
        peer = connected(make_link(mosquitto.port))
        peer.link.publish("out/late", b"{}", retain=True, expiry_s=60, resent=True)
        peer.until(lambda: len(seen) == 1)
    finally:
        client.disconnect()
        client.loop_stop()
    said = vars(seen[0].properties)
    assert said["UserProperty"] == [("resent", "true")]
    assert 0 < said["MessageExpiryInterval"] <= 60
