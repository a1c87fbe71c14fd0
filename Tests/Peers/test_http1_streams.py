# SPDX-License-Identifier: Apache-2.0
"""L5 and the streaming rule: every octet goes on at once, and nobody's slowness is kept in memory."""

import contextlib
import hashlib
import select
import threading

import pytest

from harness import PATIENCE, answer, echo, request, table

MEGABYTE = 1 << 20
BLOCK = hashlib.sha512(b"mesher").digest() * 1024  # 64 KiB without a period that a buffer size could hide


def blocks(count):
    """The digest of so many blocks."""
    digest = hashlib.sha256()
    for _ in range(count):
        digest.update(BLOCK)
    return digest.hexdigest()


class Steps:
    """Two threads that take turns: the origin goes on only when the client has what came before."""

    def __init__(self):
        self._turns = threading.Semaphore(0)

    def wait(self):
        assert self._turns.acquire(timeout=PATIENCE)

    def go(self):
        self._turns.release()


# -- no octet is held back ---------------------------------------------------------------------------------------------


@table(
    "head, wrap",
    {
        "chunked": (b"Transfer-Encoding: chunked\r\n", lambda piece: b"%x\r\n%s\r\n" % (len(piece), piece)),
        "length": (b"Content-Length: 30\r\n", lambda piece: piece),
        "until_close": (b"", lambda piece: piece),
        "event_stream": (
            b"Content-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n",
            lambda piece: b"%x\r\n%s\r\n" % (len(piece), piece),
        ),
        "event_stream_until_close": (
            b"Content-Type: text/event-stream\r\nCache-Control: no-cache\r\n",
            lambda piece: piece,
        ),
    },
)
def test_each_piece_of_a_response_arrives_before_the_next_is_sent(door, head, wrap):
    steps = Steps()

    def script(connection):
        connection.request()
        connection.send(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n")
        for number in range(3):
            steps.wait()
            connection.send(wrap(b"data: %03d\n" % number))
        steps.wait()
        if b"chunked" in head:
            connection.send(b"0\r\n\r\n")
        if b"Length" in head or b"chunked" in head:
            return echo(connection)
        connection.finish(connection.close)

    door.origin.script = script
    client = door.send(request())
    response = client.head()
    for number in range(3):
        steps.go()
        expected = b"data: %03d\n" % number
        got = client.chunk() if response.chunked else client.read(len(expected))
        assert got == expected
    steps.go()
    if response.chunked:
        assert client.chunk() == b"" and client.reader.line() == b""
    if b"Length" in head or b"chunked" in head:
        client.send(door.get("/after"))
        assert client.response().body == b"GET /after 0"


@pytest.mark.parametrize("framing", ["chunked", "length"])
def test_each_piece_of_a_request_arrives_before_the_next_is_sent(door, framing):
    arrived = threading.Semaphore(0)

    def script(connection):
        head = connection.head()
        seen = len(connection.received) - len(connection.reader.buffer)
        for number in range(3):
            while b"piece %d" % number not in connection.received[seen:]:
                assert connection.reader.fill()
            arrived.release()
        connection.body(head)
        connection.send(answer(b"done"))

    door.origin.script = script
    field = "Transfer-Encoding: chunked" if framing == "chunked" else "Content-Length: 21"
    client = door.send(request("POST", "~/x", field))
    for number in range(3):
        piece = b"piece %d" % number
        client.send(b"7\r\n" + piece + b"\r\n" if framing == "chunked" else piece)
        assert arrived.acquire(timeout=PATIENCE), "the piece is held back"
    if framing == "chunked":
        client.send(b"0\r\n\r\n")
    assert client.response().body == b"done"
    assert door.origin.requests[0].body == b"piece 0piece 1piece 2"


def test_a_part_of_a_chunk_arrives(door):
    """A chunk is a wrapping, not a unit: what came of it goes on."""
    steps = Steps()

    def script(connection):
        connection.request()
        connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\nhello")
        steps.wait()
        connection.send(b"world\r\n0\r\n\r\n")

    door.origin.script = script
    client = door.send(request())
    client.head()
    while b"hello" not in client.reader.buffer:
        assert client.reader.fill()
    steps.go()
    body = bytearray()
    while piece := client.chunk():
        body += piece
    assert body == b"helloworld"


# -- big bodies --------------------------------------------------------------------------------------------------------


def digest_of_download(client):
    """Reads a response with blocks of any framing, keeping only the digest."""
    response = client.head()
    digest, left = hashlib.sha256(), int(response.get("content-length") or 0)
    if response.chunked:
        while piece := client.chunk():
            digest.update(piece)
        return digest.hexdigest()
    while left:
        assert client.reader.buffer or client.reader.fill()
        piece = bytes(client.reader.buffer[:left])
        del client.reader.buffer[: len(piece)]
        digest.update(piece)
        left -= len(piece)
    return digest.hexdigest()


def downloads(count, framing="length"):
    """An origin that sends so many blocks."""

    def script(connection):
        for _ in connection.requests():
            chunked = framing == "chunked"
            connection.send(
                b"HTTP/1.1 200 OK\r\n"
                + (b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % (count * len(BLOCK)))
                + b"\r\n\r\n"
            )
            for _ in range(count):
                connection.send(b"%x\r\n%s\r\n" % (len(BLOCK), BLOCK) if chunked else BLOCK)
            if chunked:
                connection.send(b"0\r\n\r\n")

    return script


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_twenty_megabytes_down(door, framing):
    door.origin.script = downloads(320, framing)
    client = door.send(request())
    assert digest_of_download(client) == blocks(320)


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_twenty_megabytes_up(door, framing):
    chunked = framing == "chunked"
    client = door.send(
        request("POST", "~/x", "Transfer-Encoding: chunked" if chunked else f"Content-Length: {320 * len(BLOCK)}")
    )
    for _ in range(320):
        client.send(b"%x\r\n%s\r\n" % (len(BLOCK), BLOCK) if chunked else BLOCK)
    if chunked:
        client.send(b"0\r\n\r\n")
    assert client.response().body == b"POST /x %d" % (20 * MEGABYTE)
    assert hashlib.sha256(door.origin.requests[0].body).hexdigest() == blocks(320)


def test_both_ways_at_once(door):
    """An origin that echoes while it reads: neither direction may wait for the other."""

    def script(connection):
        connection.head()
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (5 * MEGABYTE))
        left = 5 * MEGABYTE
        while left:
            assert connection.reader.buffer or connection.reader.fill()
            piece = bytes(connection.reader.buffer)
            connection.reader.buffer.clear()
            connection.send(piece)
            left -= len(piece)

    door.origin.script = script
    client = door.send(request("POST", "~/x", f"Content-Length: {5 * MEGABYTE}"))
    sender = threading.Thread(target=lambda: [client.send(BLOCK) for _ in range(80)])
    sender.start()
    assert digest_of_download(client) == blocks(80)
    sender.join()


# -- L5: back-pressure -------------------------------------------------------------------------------------------------


def test_readers_that_stop_cost_no_memory(mesh):
    """Forty readers of 100 MB each that stop: the origin is stopped too, others are served, and memory stays."""
    mesh.origin.script = downloads(1600)
    mesh.settle()
    baseline, peak, clients = mesh.sidecar.resident(), 0, []
    for number in range(40):
        client = mesh.connect("127.0.0.1" if number % 2 else "127.0.0.2", receive_buffer=16 << 10)
        client.send(request("GET", "http://cart/x") if number % 2 else request("GET", "/x"))
        clients.append(client)
    assert all(client.head().get("content-length") == b"104857600" for client in clients)
    for _ in range(20):
        for client in clients:
            client.read(4 << 10)
        mesh.settle()
        peak = max(peak, mesh.sidecar.resident())
    assert peak - baseline < 8 * MEGABYTE, f"grew by {(peak - baseline) / MEGABYTE:.1f} MiB"
    left = 100 * MEGABYTE - 20 * (4 << 10)
    assert clients[0].read(left).endswith(BLOCK[-100:])


def test_uploads_to_a_stuck_origin_cost_no_memory(mesh):
    """Twenty uploads of 20 MB to an origin that does not read: the clients are stopped, the origin gets all in the end."""
    release = threading.Event()

    def script(connection):
        head = connection.head()
        release.wait(20)
        connection.body(head)
        connection.send(answer(b"%d" % len(head.body)))

    mesh.origin.script = script
    mesh.settle()
    baseline, clients, left = mesh.sidecar.resident(), [], {}
    for number in range(20):
        client = mesh.connect("127.0.0.1" if number % 2 else "127.0.0.2")
        client.send(request("POST", "http://cart/x" if number % 2 else "/x", f"Content-Length: {20 * MEGABYTE}"))
        clients.append(client)
        left[client.sock] = 20 * MEGABYTE
    peak = 0
    while writable := select.select([], left, [], 0.5)[1]:
        for sock in writable:
            with contextlib.suppress(BlockingIOError):
                left[sock] -= sock.send(BLOCK[: left[sock]], 0x40)  # MSG_DONTWAIT
        peak = max(peak, mesh.sidecar.resident())
        left = {sock: count for sock, count in left.items() if count}
    assert len(left) == 20, "the clients were not stopped"
    assert peak - baseline < 8 * MEGABYTE, f"grew by {(peak - baseline) / MEGABYTE:.1f} MiB"
    release.set()
    for client in clients[:2]:
        client.send(b"x" * left[client.sock])
        assert client.response().body == b"%d" % (20 * MEGABYTE)


def test_memory_comes_back_after_slow_readers_leave(mesh):
    """The same again and again must not add up."""
    mesh.origin.script = downloads(320)

    def once():
        clients = [mesh.connect("127.0.0.1", receive_buffer=16 << 10) for _ in range(10)]
        for client in clients:
            client.send(request("GET", "http://cart/x"))
        for client in clients:
            client.read(100_000)
        for client in clients:
            client.reset()
        mesh.origin.quiet()

    once()
    baseline = mesh.sidecar.resident()
    for _ in range(10):
        once()
    assert mesh.sidecar.resident() - baseline < 4 * MEGABYTE
