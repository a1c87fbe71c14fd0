# SPDX-License-Identifier: Apache-2.0
"""How exchanges end that have no end of their own: tunnels that are said goodbye to, and clients that just leave.

Through one sidecar, and through two: what one learns the other must hear of.
"""

import subprocess
import threading
import time

import pytest

import harness
from couple import Couple
from harness import answer, request, table
from observed import Metrics
from test_http1_upgrade import FIELDS, SWITCH

EVENTS = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n9\r\ndata: 1\n\n\r\n"
POLL = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n[\r\n"
GRACE = 1.0
# A sweep of the deadlines, and a machine that is busy.
SLACK = 0.8


def couple(**files):
    with Couple(files, files) as couple:
        yield couple


@pytest.fixture(scope="module")
def shared_pair():
    yield from couple()


@pytest.fixture(scope="module")
def shared_quick():
    """The same, with a shorter grace for clients that have closed their half."""
    yield from couple(mesher=f"mesher.timeouts.halfClosed: {int(GRACE * 1000)}ms\n")


class Way:
    """A way to the application: the listener of one sidecar, or both sidecars."""

    def __init__(self, pair, name):
        self.pair, self.name, self.origin = pair, name, pair.origin
        self.outgoing = name != "incoming"
        self.address = ("127.0.0.1", pair.caller.port) if self.outgoing else ("127.0.0.2", pair.callee.port)

    def send(self, method, path, *fields):
        client = harness.Client(self.address)
        client.send(request(method, f"http://cart{path}" if self.outgoing else path, *fields))
        return client

    def curl(self, path, *options):
        """curl until it ends by itself."""
        there = "http://{}:{}".format(*self.address)
        where = ["-x", there, f"http://cart{path}"] if self.outgoing else [there + path]
        return subprocess.run(["curl", "-sN", *options, *where], capture_output=True, timeout=20, check=False)


def used(pair, name):
    yield Way(pair, name)
    violations = list(pair.origin.violations)
    pair.origin.fresh()
    assert not violations


# The incoming listener alone and both in a row: the outgoing one is part of the latter.
WAYS = ["incoming", "both"]


@pytest.fixture(params=WAYS)
def way(request, shared_pair):
    yield from used(shared_pair, request.param)


@pytest.fixture(params=WAYS)
def quick(request, shared_quick):
    yield from used(shared_quick, request.param)


def ended(origin, since, within):
    """Seconds from then until the application saw the end of its connection."""
    origin.until(lambda: origin.connections[-1].ended, "the application was not told", within + 3)
    return time.monotonic() - since


def silent(head):
    """An application that begins an answer and then waits for whoever is to leave."""

    def script(connection):
        connection.request()
        connection.send(head)
        connection.rest()

    return script


# -- clients that leave ------------------------------------------------------------------------------------------------


def test_a_user_who_stops_listening_to_events(way):
    """curl -N -m 1 on a quiet stream, as somebody tries it out. A FIN is all that it says when it goes."""
    way.origin.script = silent(EVENTS)
    done = way.curl("/events", "-m", "1")
    since = time.monotonic()
    assert done.stdout == b"data: 1\n\n" and done.returncode == 28
    assert ended(way.origin, since, 2) <= 2


@table("head", {"events": EVENTS, "poll": POLL})
def test_a_client_that_resets_is_gone_at_once(way, head):
    way.origin.script = silent(head)
    client = way.send("GET", "/x")
    client.head()
    client.chunk()
    since = time.monotonic()
    client.reset()
    assert ended(way.origin, since, 1) <= SLACK


def test_a_client_that_closes_its_half_of_a_long_poll(quick):
    """It may be one that still reads, so there is a grace: one for the whole way, not one for each sidecar."""
    quick.origin.script = silent(POLL)
    client = quick.send("GET", "/poll")
    client.head()
    client.chunk()
    since = time.monotonic()
    client.half_close()
    assert GRACE - 0.1 <= ended(quick.origin, since, GRACE) <= GRACE + SLACK


def test_an_answer_within_the_grace_still_comes(quick):
    """What the grace is for: a client that has said all it has to say, and listens."""
    has_closed = threading.Event()

    def script(connection):
        connection.request()
        connection.send(POLL)
        has_closed.wait(5)
        connection.send(b"1\r\n]\r\n0\r\n\r\n")
        connection.rest()

    quick.origin.script = script
    client = quick.send("GET", "/poll")
    client.head()
    assert client.chunk() == b"["
    client.half_close()
    has_closed.set()
    assert (client.chunk(), client.chunk()) == (b"]", b"")


def test_an_answer_that_goes_on_is_not_cut(quick):
    """A download by a client that has closed its half takes as long as it takes."""
    pieces, pause = 8, GRACE / 4

    def script(connection):
        connection.request()
        connection.send(POLL)
        for _ in range(pieces):
            time.sleep(pause)
            connection.send(b"1\r\n,\r\n")
        connection.send(b"0\r\n\r\n")
        connection.rest()

    quick.origin.script = script
    client = quick.send("GET", "/poll")
    client.head()
    client.half_close()
    assert client.chunk() == b"["
    assert b"".join(client.chunk() for _ in range(pieces)) == b"," * pieces and client.chunk() == b""


def test_a_client_that_leaves_is_no_failure_of_the_service(way):
    """It is told as what it is, in the access log too, and nothing else suffers for it."""
    metrics = Metrics(way.pair.callee)
    way.origin.script = silent(EVENTS)
    client = way.send("GET", "/left")
    client.head()
    client.chunk()
    client.reset()
    way.origin.until(lambda: way.origin.connections[-1].ended)
    harness.eventually(
        lambda: metrics.moved("mesher_errors_total", reason="client_gone")["mesher_errors_total"] == 1, "not counted"
    )
    assert metrics.moved("failures_total")["failures_total"] == 0
    way.origin.script = harness.echo
    way.pair.settle(f"/after-{way.name}")
    (line,) = [each for each in way.pair.callee.accessed() if each.get("path") == "/left"][-1:]
    assert line["reason"] == "client_gone" and line["method"] == "GET"


# -- tunnels that end well ---------------------------------------------------------------------------------------------

TEXT, BYE = b"\x81\x85\0\0\0\0hello", b"\x88\x82\0\0\0\0\x03\xe8"
ECHO, GOODBYE = b"\x81\x05hello", b"\x88\x02\x03\xe8"


def polite(closes_first):
    """A WebSocket server that echoes a text, answers the goodbye, and closes, or waits for the client to."""

    def script(connection):
        connection.request()
        connection.send(SWITCH)
        assert connection.read(len(TEXT)) == TEXT
        connection.send(ECHO)
        assert connection.read(len(BYE)) == BYE
        connection.send(GOODBYE)
        if not closes_first:
            connection.rest()
        connection.finish(connection.close)

    return script


@table("server_closes", {"server_closes_first": True, "client_closes_first": False})
def test_a_websocket_that_ends_well(way, server_closes):
    """The whole closing handshake, five times: each is one line, a success, with its octets, and nobody is gone."""
    way.origin.script = polite(server_closes)
    path = f"/chat-{way.name}-{server_closes}"
    metrics = [Metrics(each) for each in way.pair.sidecars if each is way.pair.callee or way.outgoing]
    for _ in range(5):
        client = way.send("GET", path, *FIELDS)
        assert client.response().status == 101
        client.send(TEXT)
        assert client.read(len(ECHO)) == ECHO
        client.send(BYE)
        assert client.read(len(GOODBYE)) == GOODBYE
        if server_closes:
            assert client.rest() == (b"", "fin")
        client.close()
        way.origin.until(lambda: way.origin.connections[-1].ended)
    families = ("requests_total", "successes_total", "failures_total", "mesher_errors_total")
    for each in metrics:
        harness.eventually(lambda each=each: each.moved(*families)["requests_total"] >= 5, "not counted")
        assert each.moved(*families) == dict(zip(families, (5, 5, 0, 0), strict=True))
    way.origin.script = harness.echo
    way.pair.settle(f"/after{path}")
    for each in metrics:
        lines = each.sidecar.accessed()
        assert [line for line in lines if "method" not in line] == [], "a line for nobody"
        tunnels = [line for line in lines if line.get("path") == path]
        assert len(tunnels) == 5 and not any("reason" in line for line in tunnels)
        counted = {(line["status"], line["requestBytes"], line["responseBytes"]) for line in tunnels}
        assert counted == {(101, len(TEXT + BYE), len(ECHO + GOODBYE))}


def test_a_plain_answer_is_counted_as_before(way):
    """The neighbours of all that: a body of either direction."""
    way.origin.script = harness.replies(answer(b"x" * 1000))
    client = way.send("GET", f"/plain-{way.name}")
    assert len(client.response().body) == 1000
    client.close()
    way.origin.fresh()
    way.pair.settle(f"/after-plain-{way.name}")
    (line,) = [each for each in way.pair.callee.accessed() if each["path"] == f"/plain-{way.name}"]
    assert (line["status"], line["responseBytes"]) == (200, 1000)
