# SPDX-License-Identifier: Apache-2.0
"""Clients that read late, or not at all: they get every octet, and nobody's memory grows for them."""

import contextlib
import re
import select
import threading
import time

import pytest

import harness
import http2
from harness import CLOSE, answer, replies, request, table
from http2 import END_HEADERS, END_STREAM, HEADERS, frame
from life import Process
from test_http1_upgrade import tunnel

MEGABYTE = 1 << 20
BODY = bytes(range(256)) * 4096 * 20  # 20 MiB
# Longer than anything that may close a connection here, and the sweep that does it.
PAUSE = 0.8

# -- answers whose connection ends with them ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shared_hasty():
    """Whatever may close a connection is in a hurry."""
    mesh = harness.Mesh(timeouts=dict.fromkeys(("linger", "keepAlive", "halfClosed", "requestHead"), "200ms"))
    yield mesh
    mesh.stop()


@pytest.fixture(params=["incoming", "outgoing"])
def hasty(request, shared_hasty):
    yield harness.Door(shared_hasty, request.param)
    shared_hasty.fresh()


def taken(client, length):
    """So many octets of a body, or as many as came before the end."""
    body = bytearray()
    while len(body) < length and (client.reader.buffer or client.reader.fill()):
        body += client.reader.buffer
        client.reader.buffer.clear()
    return body


def test_a_client_that_has_closed_its_half_gets_all(hasty):
    """It has said all it will say, takes its time, and is not cut short for either."""
    hasty.origin.script = replies([answer(BODY), CLOSE])
    client = hasty.send(request("GET", "~/x"), receive_buffer=8192)
    client.half_close()
    client.head()
    body = taken(client, len(BODY) - 200_000)
    time.sleep(PAUSE)
    body += taken(client, len(BODY) - len(body))
    assert len(body) == len(BODY) and body == BODY


GET = request("GET", "~/x", "Connection: close")


@table(
    "name, raw, leave",
    {
        "close": ("incoming", GET, lambda client: None),
        # Its client could not tell the end from a cut.
        "http_1_0": ("incoming", GET.replace(b"HTTP/1.1", b"HTTP/1.0"), lambda client: None),
        "kept": ("outgoing", request("GET", "~/x"), lambda client: None),
        "half_closed": ("outgoing", request("GET", "~/x"), lambda client: client.half_close()),
    },
)
def test_a_connection_is_not_closed_before_all_is_written(shared_hasty, name, raw, leave):
    """Answers of many lengths: the last octets of some wait in the kernel, of others in the sidecar."""
    lengths = range(2 * MEGABYTE, 5 * MEGABYTE, 64 << 10)

    def script(connection):
        for asked in connection.requests():
            connection.send(answer(BODY[: int(asked.target[1:])]))

    door, clients = harness.Door(shared_hasty, name), {}
    door.origin.script = script
    for length in lengths:
        clients[length] = door.send(raw.replace(b"~/x", b"~/%d" % length), receive_buffer=8192)
        leave(clients[length])
    time.sleep(PAUSE)
    missing = {}
    for length, client in clients.items():
        client.head()
        if lost := length - len(taken(client, length)):
            missing[length] = lost
    shared_hasty.fresh()
    assert not missing


def test_a_tunnel_is_not_closed_before_all_is_written(hasty):
    """Both sides have closed their half; what was said before is still on its way."""
    client = tunnel(hasty, lambda connection: (connection.rest(), connection.perform([BODY, CLOSE])))
    client.half_close()
    time.sleep(PAUSE)
    body = taken(client, 2 * len(BODY))
    assert len(body) == len(BODY) and body == BODY and client.ended == "fin"


# -- clients that ask and do not read ----------------------------------------------------------------------------------

# By how much a sidecar may grow for a client that sends all and reads nothing.
ROOM = 20 * MEGABYTE
REQUESTS = 10 * MEGABYTE


@pytest.fixture(scope="module")
def shared_calm():
    """A process of its own, whose memory and CPU time are looked at."""

    class Calm(harness.Mesh):
        def start(self):
            self.sidecar = Process(self.origin.port, self.services, self.timeouts, self.limits)
            self.sidecar.workers = 1
            self.sidecar.start()

    mesh = Calm()
    yield mesh
    mesh.stop()


@pytest.fixture(params=["incoming", "outgoing"])
def calm(request, shared_calm):
    yield harness.Door(shared_calm, request.param)
    shared_calm.fresh()


class Pusher:
    """A client that sends as long as somebody takes it, and reads nothing until it is told to."""

    def __init__(self, sidecar, sock, data):
        self.sidecar, self.sock, self.left, self.base = sidecar, sock, memoryview(data), sidecar.resident()
        self._push()

    def _push(self):
        """Until the sidecar does nothing any more: neither takes octets nor uses the processor."""
        self.sock.setblocking(False)
        still, spent = 0, self.sidecar.cpu()
        while still < 15:
            before = len(self.left)
            with contextlib.suppress(BlockingIOError):
                while self.left:
                    self.left = self.left[self.sock.send(self.left[: 1 << 16]) :]
            select.select([], [self.sock] if self.left else [], [], 0.02)
            time.sleep(0.01)
            is_still = len(self.left) == before and self.sidecar.cpu() == spent
            still, spent = still + 1 if is_still else 0, self.sidecar.cpu()
            self.check()
        self.sock.settimeout(harness.PATIENCE)

    def check(self):
        """Early, so that a sidecar that does grow does not take the machine with it."""
        grown = self.sidecar.resident() - self.base
        assert grown < ROOM, f"grown by {grown >> 20} MiB"

    @contextlib.contextmanager
    def going_on(self):
        """Sends what is left while the block reads."""
        sender = threading.Thread(target=lambda: self.sock.sendall(self.left), daemon=True)
        sender.start()
        yield
        sender.join()
        self.check()


def assert_others_are_served(door):
    began = time.monotonic()
    assert door.ask(request()).status == 200
    assert time.monotonic() - began < 1


def many(make):
    """So many requests as are 10 MB together."""
    return [make(number) for number in range(REQUESTS // len(make(10_000)))]


FLOODS = {
    "options": (lambda _: request("OPTIONS", "~/x", "Max-Forwards: 0"), 200),
    "refused": (lambda number: request("GET", f"~/{number}", "Expect: the-unexpected"), 417),
    "unknown": (lambda number: request("GET", f"http://no{number}/", host="Host: a"), 502),
}


@pytest.mark.parametrize("flood", FLOODS)
def test_pipelined_requests_of_a_client_that_does_not_read(calm, flood):
    """Answers of the sidecar's own cost a client nothing: nothing more is taken while they wait to be read."""
    if flood == "unknown" and not calm.outgoing:
        pytest.skip("an incoming listener knows no other services")
    make, status = FLOODS[flood]
    requests = [*many(make), request("OPTIONS", "~/x", "Max-Forwards: 0", "Connection: close")]
    client = calm.connect()
    pusher = Pusher(calm.sidecar, client.sock, calm.fill(b"".join(requests)))
    assert_others_are_served(calm)
    # Once it does read, it gets an answer to each, in the order of its requests.
    with pusher.going_on():
        data, end = client.rest()
    statuses = re.findall(rb"HTTP/1\.1 (\d{3}) ", data)
    assert end == "fin" and len(statuses) == len(requests)
    assert set(statuses[:-1]) == {b"%d" % status} and statuses[-1] == b"200"
    if flood == "unknown":
        assert [int(number) for number in re.findall(rb"key: no(\d+)\(", data)] == list(range(len(requests) - 1))


def test_streams_of_a_client_that_does_not_read(calm):
    """HTTP/2 with answers that have no body: no window holds them back."""
    head = [(":method", "OPTIONS"), (":scheme", "http"), (":path", "/x"), (":authority", "cart"), ("max-forwards", "0")]
    block = http2.block(*head)
    frames = many(lambda number: frame(HEADERS, END_HEADERS | END_STREAM, 2 * number + 1, block))
    with http2.Client(("127.0.0.1" if calm.outgoing else "127.0.0.2", calm.sidecar.port)) as client:
        client.until(lambda: client.settings)
        pusher = Pusher(calm.sidecar, client.sock, b"".join(frames))
        assert_others_are_served(calm)
        with pusher.going_on():
            answered = []
            while len(answered) < len(frames):
                received = client.receive()
                assert received, f"closed after {len(answered)} answers"
                client.frames.clear()
                kind, flags, stream, _ = received
                assert kind not in (http2.RST, http2.GOAWAY), received
                if flags & END_STREAM and kind in (HEADERS, http2.DATA):
                    answered.append(stream)
        assert answered == [2 * number + 1 for number in range(len(frames))]
