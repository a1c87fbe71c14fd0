# SPDX-License-Identifier: Apache-2.0
"""The admin API with clients that do not read, do not ask, or do not end: probes are answered all the same."""

import contextlib
import socket
import time

import pytest

import harness
from governance import Instance, World
from harness import eventually

STREAM = b"GET /v1/mesher/traffic/stream HTTP/1.1\r\nHost: localhost\r\n\r\n"
METRICS = b"GET /v1/mesher/metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"
# So often that all buffers on the way are full of answers.
DEAF = METRICS * 200
DRIP = b"POST /v1/mesher/explain HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n{"
# What a probe may take; Kubernetes waits a second.
QUICK = 0.1


@pytest.fixture
def world():
    with World({}) as world:
        yield world


class Deaf:
    """Clients that send something and never read."""

    def __init__(self, world, count, octets):
        self.world, self.octets = world, octets
        self.sockets = [self._open() for _ in range(count)]

    def _open(self):
        sock = socket.socket()
        # Little room, so that it is full soon.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        sock.connect(("127.0.0.1", self.world.sidecar.admin))
        sock.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            sock.send(self.octets)
        return sock

    @staticmethod
    def _is_closed(sock):
        # TCP_INFO begins with the state; 1 is ESTABLISHED.
        return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] != 1

    def closed(self):
        """How many the sidecar has closed."""
        return sum(map(self._is_closed, self.sockets))

    def refill(self):
        """Others in place of those that were closed: of many at once, some are taken for idle before they have asked."""
        self.sockets = [self._open() if self._is_closed(each) else each for each in self.sockets]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for each in self.sockets:
            each.close()


def slowest_probe(world, count=20):
    """The longest of some probes, all of which are answered 200, once what came in at the same moment is dealt with."""

    def probe(path="/healthz"):
        began = time.monotonic()
        assert world.sidecar.ask(path).status == 200
        return time.monotonic() - began

    eventually(lambda: probe() < QUICK, "probes stay slow")
    return max(probe(("/healthz", "/readyz")[number % 2]) for number in range(count))


@harness.table("octets", {"silent": b"", "half a head": b"GET /heal", "deaf": DEAF, "dripping": DRIP})
def test_probes_are_answered_whatever_64_clients_do(world, octets, record_property):
    with Deaf(world, 64, octets):
        slowest = slowest_probe(world)
        record_property("slowest_ms", round(slowest * 1000, 1))
        assert slowest < QUICK


def test_operators_get_a_word_while_all_places_are_busy(world):
    """503 and a remedy on the places for probes; an answer again when the others have had their time."""
    with Deaf(world, 64, DRIP) as deaf:
        asked = lambda: world.sidecar.ask("/v1/mesher/version")  # noqa: E731

        def refused():
            deaf.refill()
            answer = asked()
            return answer.status == 503 and answer

        found = eventually(refused, "operators are answered")
        assert b"56 connections are busy" in found.body
        assert slowest_probe(world) < QUICK
        eventually(lambda: asked().status == 200, "operators are shut out", seconds=20)


def test_streams_that_nobody_reads_are_closed(world, record_property):
    """With 64 other clients at the same time; then there are places for those who read."""
    with Deaf(world, 20, STREAM) as watchers, Deaf(world, 64, DEAF):
        began = time.monotonic()
        assert slowest_probe(world) < QUICK
        eventually(lambda: watchers.closed() == 20, lambda: f"{watchers.closed()} of 20 closed", seconds=60)
        record_property("closed_after_s", round(time.monotonic() - began))

    def is_taken():
        with harness.Client(("127.0.0.1", world.sidecar.admin)) as client:
            client.send(STREAM)
            return client.head().status == 200

    # A stream notices its end when it has something to say.
    eventually(is_taken, "no place for a reader")


def test_a_large_answer_is_not_slowed_down():
    """The kernel has room for several segments of it: no wait for a confirmation that is put off by 40 ms."""
    instance = Instance("all")
    with World({f"service-{index}": [instance] for index in range(200)}) as world:
        for index in range(200):
            assert world.ask(f"service-{index}").status == 200
        times = []
        for _ in range(5):
            with harness.Client(("127.0.0.1", world.sidecar.admin)) as client:
                client.send(METRICS)
                client.reader.fill()
                began = time.monotonic()
                assert len(client.response().body) > 500_000
                times.append(time.monotonic() - began)
        assert min(times) < 0.03, times


def test_an_idle_connection_makes_room(world):
    """Whoever has kept its connection longest without using it loses it to a new one, which may ask for anything."""
    clients = [harness.Client(("127.0.0.1", world.sidecar.admin)) for _ in range(56)]
    for each in clients:
        each.send(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert each.response().status == 200
    assert world.sidecar.ask("/v1/mesher/version").status == 200
    assert clients[0].rest() == (b"", "fin")
    clients[-1].send(b"GET /v1/mesher/version HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert clients[-1].response().status == 200
    for each in clients:
        each.close()
