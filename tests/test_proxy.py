"""The proxy that misbehaves, over real sockets."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from gateway.proxy import HOST, Proxy

PATIENCE_SECONDS = 10.0


@pytest.fixture
def echo() -> Iterator[int]:
    """A server that sends back what comes; its port."""
    listener = socket.create_server((HOST, 0))
    threads: list[threading.Thread] = []

    def serve(connection: socket.socket) -> None:
        with connection:
            try:
                while data := connection.recv(65_536):
                    connection.sendall(data)
            except ConnectionError:
                return

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threads.append(threading.Thread(target=serve, args=(connection,)))
            threads[-1].start()

    accepting = threading.Thread(target=accept)
    accepting.start()
    yield int(listener.getsockname()[1])
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    for thread in (accepting, *threads):
        thread.join(PATIENCE_SECONDS)
        assert not thread.is_alive()


def connect(proxy: Proxy) -> socket.socket:
    return socket.create_connection((HOST, proxy.port), PATIENCE_SECONDS)


def exchange(connection: socket.socket, data: bytes) -> bytes:
    connection.sendall(data)
    came = b""
    while len(came) < len(data) and (part := connection.recv(65_536)):
        came += part
    return came


def test_what_is_sent_arrives_whole_and_in_order(echo: int) -> None:
    """…also where it is more than the proxy holds at once."""
    data = bytes(range(256)) * 50_000
    with Proxy(echo) as proxy, connect(proxy) as connection:
        sender = threading.Thread(target=connection.sendall, args=(data,))
        sender.start()
        came = bytearray()
        while len(came) < len(data):
            came += connection.recv(1 << 20)
        sender.join(PATIENCE_SECONDS)
    assert came == data


def test_a_cut_ends_what_stands_and_refuses_what_comes_until_it_is_over(echo: int) -> None:
    with Proxy(echo) as proxy, connect(proxy) as connection:
        assert exchange(connection, b"before") == b"before"
        proxy.cut(0.5)
        with pytest.raises(ConnectionResetError):
            connection.recv(1)
        with connect(proxy) as refused:
            assert refused.recv(1) == b""
        until = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < until:
            with connect(proxy) as again:
                try:
                    if exchange(again, b"after") == b"after":
                        break
                except ConnectionError:
                    pass
            time.sleep(0.05)
        else:
            pytest.fail("the cut did not end")


def test_delayed_bytes_come_later_and_in_order(echo: int) -> None:
    with Proxy(echo) as proxy, connect(proxy) as connection:
        proxy.delay(0.1, 0.5)
        began = time.monotonic()
        assert exchange(connection, b"slow") == b"slow"
        assert time.monotonic() - began >= 0.2
        assert exchange(connection, b"abc" * 1_000) == b"abc" * 1_000


def test_the_client_of_a_half_open_connection_is_not_told(echo: int) -> None:
    with Proxy(echo) as proxy, connect(proxy) as connection:
        assert exchange(connection, b"before") == b"before"
        proxy.half_open()
        with connect(proxy) as fresh:
            assert exchange(fresh, b"fresh") == b"fresh"
        connection.sendall(b"into the void")
        connection.settimeout(0.3)
        with pytest.raises(TimeoutError):
            connection.recv(1)


def test_an_end_at_one_side_reaches_the_other_after_the_last_bytes(echo: int) -> None:
    with Proxy(echo) as proxy, connect(proxy) as connection:
        connection.sendall(b"last words")
        connection.shutdown(socket.SHUT_WR)
        came = b""
        while part := connection.recv(100):
            came += part
