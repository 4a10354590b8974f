"""A connection's two ends: what gunicorn's parser reads, and what a client is slow to take."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from authsvc.server.connection import PIECE, SLOWEST, STALL_SECONDS, Outlet, Received


@pytest.fixture
def ends() -> Iterator[tuple[Outlet, socket.socket]]:
    ours, client = socket.socketpair()
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    ours.setblocking(False)
    client.settimeout(10)
    with ours, client:
        yield Outlet(ours), client


def taken(client: socket.socket, size: int, outlet: Outlet) -> bytes:
    """Return what a client takes, as the outlet sends it."""
    found = b""
    while len(found) < size:
        outlet.flush()
        found += client.recv(65536)
    return found


def test_the_parser_gets_pieces_and_then_the_end() -> None:
    received = Received()
    received.data += b"a" * (PIECE + 10)
    assert [len(received.chunk()), len(received.chunk()), received.chunk()] == [PIECE, 10, b""]
    received.data += b"b" * 20_000
    assert len(received.chunk(15_000)) == 15_000


def test_what_the_parser_has_read_ahead_stands_before_what_arrives() -> None:
    received = Received()
    received.data += b"first second"
    assert received.read(5) == b"first"
    received.data += b" third"
    received.restore()
    assert received.data == b" second third"
    received.restore()
    assert received.data == b" second third"


def test_what_a_client_takes_is_sent_and_nothing_is_kept(ends: tuple[Outlet, socket.socket]) -> None:
    outlet, client = ends
    outlet.sendall(b"hello")
    assert (client.recv(10), outlet.is_pending, outlet.size, outlet.flush()) == (b"hello", False, 0, True)


def test_what_a_client_does_not_take_is_kept_in_order(ends: tuple[Outlet, socket.socket]) -> None:
    outlet, client = ends
    pieces = [b"a" * 100_000, b"b" * 100, b"c" * 100_000]
    for piece in pieces:
        outlet.sendall(piece)
    assert outlet.is_pending
    assert 0 < outlet.size < 200_100
    assert outlet.flush() is False
    assert outlet.patience() == STALL_SECONDS + outlet.size / SLOWEST
    assert taken(client, 200_100, outlet) == b"".join(pieces)
    assert (outlet.is_pending, outlet.size) == (False, 0)


def test_a_file_is_sent_from_its_descriptor_and_holds_no_memory(
    ends: tuple[Outlet, socket.socket], tmp_path: Path
) -> None:
    outlet, client = ends
    path = tmp_path / "file"
    path.write_bytes(b"x" * 10 + b"y" * 300_000)
    descriptors = len(os.listdir("/proc/self/fd"))  # noqa: PTH208  names alone
    with path.open("rb") as file:
        assert outlet.sendfile(file, 10) == 300_000
    assert (outlet.is_pending, outlet.size) == (True, 0)
    assert outlet.patience() > STALL_SECONDS
    outlet.sendall(b"end")
    assert taken(client, 300_003, outlet) == b"y" * 300_000 + b"end"
    assert len(os.listdir("/proc/self/fd")) == descriptors  # noqa: PTH208  as above


@pytest.mark.parametrize(("count", "sent"), [(0, b""), (3, b"xxx"), (99, b"x" * 10)])
def test_a_part_of_a_file_is_sent_and_what_it_lacks_is_not_waited_for(
    ends: tuple[Outlet, socket.socket], tmp_path: Path, count: int, sent: bytes
) -> None:
    outlet, client = ends
    path = tmp_path / "file"
    path.write_bytes(b"x" * 10)
    with path.open("rb") as file:
        outlet.sendfile(file, 0, count)
    outlet.sendall(b".")
    assert taken(client, len(sent) + 1, outlet) == sent + b"."
    assert not outlet.is_pending


def test_what_is_discarded_is_closed(ends: tuple[Outlet, socket.socket], tmp_path: Path) -> None:
    outlet, _ = ends
    path = tmp_path / "file"
    path.write_bytes(b"x" * 300_000)
    descriptors = len(os.listdir("/proc/self/fd"))  # noqa: PTH208  as above
    with path.open("rb") as file:
        outlet.sendfile(file)
    outlet.sendall(b"more")
    outlet.discard()
    assert (outlet.is_pending, outlet.size) == (False, 0)
    assert len(os.listdir("/proc/self/fd")) == descriptors  # noqa: PTH208  as above


def test_a_socket_is_never_made_to_block(ends: tuple[Outlet, socket.socket]) -> None:
    outlet, _ = ends
    outlet.setblocking(True)
    assert outlet.gettimeout() == 0.0


def test_a_client_that_has_gone_is_an_error(ends: tuple[Outlet, socket.socket]) -> None:
    outlet, client = ends
    client.close()
    with pytest.raises(BrokenPipeError):
        outlet.sendall(b"x")


def test_a_thread_waits_for_a_client_that_it_keeps_too_much_for(
    ends: tuple[Outlet, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("authsvc.server.connection.PENDING_LIMIT", 100_000)
    outlet, client = ends
    found = bytearray()

    def take() -> None:
        while outlet.size <= 100_000:
            time.sleep(0.001)
        time.sleep(0.05)  # until the other thread waits
        while len(found) < 300_000:
            found.extend(client.recv(65536))

    taker = threading.Thread(target=take)
    taker.start()
    outlet.sendall(b"a" * 200_000)
    outlet.sendall(b"b" * 200_000)
    assert outlet.size <= 100_000
    taker.join(10)
    found += taken(client, 400_000 - len(found), outlet)
    assert found == b"a" * 200_000 + b"b" * 200_000
