# SPDX-License-Identifier: Apache-2.0
"""L1 to L5: what is too large, too many or too slow ends with the right answer, in time, and is counted."""

import os
import threading
import time

import pytest

import conftest
import harness
import wire
from harness import CLOSE, SMUGGLED, answer, echo, eventually, forwarded, refused, replies, request, table

KIB = 1 << 10
OK = b"HTTP/1.1 200 OK\r\n"


# -- L1: requests ------------------------------------------------------------------------------------------------------


def long_target(door, line):
    """A request whose request line has exactly this length, without its CRLF."""
    path = "~/" + "a" * (line - len(b"GET / HTTP/1.1") - len(door.prefix))
    return request("GET", path)


@pytest.mark.parametrize("size", [16 * KIB - 2, 16 * KIB - 100, 8 * KIB])
def test_a_request_line_within_16_kib(door, size):
    received = forwarded(door, long_target(door, size))
    assert len(received.target) == size - len(b"GET  HTTP/1.1") - len(door.prefix)


@pytest.mark.parametrize("size", [16 * KIB + 1, 17 * KIB, 100 * KIB])
def test_a_request_line_over_16_kib(door, size):
    assert refused(door, long_target(door, size), (414,)).error == "header_too_large"


@table(
    "raw, statuses",
    {
        "request_line": (b"GET /" + b"a" * 20_000, (414,)),
        "method": (b"A" * 20_000, (400, 414, 501)),
        "field": (b"GET ~/x HTTP/1.1\r\nHost: cart\r\nX: " + b"a" * 40_000, (431,)),
        "field_name": (b"GET ~/x HTTP/1.1\r\nHost: cart\r\n" + b"a" * 40_000, (431, 400)),
        "section": (b"GET ~/x HTTP/1.1\r\nHost: cart\r\n" + b"X: aaaaaaaaaaaa\r\n" * 4000, (431,)),
    },
)
def test_the_limit_does_not_wait_for_the_end(door, raw, statuses):
    """What is too large already is refused, though its end has not come."""
    client = door.send(raw)
    assert client.response().status in statuses
    client.rest()
    assert door.origin.octets == b""


@table(
    "fields",
    {
        "one_field": ["X-A: " + "a" * (33 * KIB)],
        "one_far_too_long": ["X-A: " + "a" * (300 * KIB)],
        "section": [f"X-{n}: " + "a" * 4000 for n in range(16)],
        "name": ["a" * (33 * KIB) + ": v"],
        "host": ["X-A: b" * 10_000],
    },
)
def test_header_fields_that_are_too_large(door, fields):
    assert refused(door, request("GET", "~/x", *fields), (431,)).error == "header_too_large"


@table("fields", {"one_field": ["X-A: " + "a" * (31 * KIB)], "section": [f"X-{n}: " + "a" * 4000 for n in range(14)]})
def test_header_fields_just_within_the_limits(door, fields):
    received = forwarded(door, request("GET", "~/x", *fields))
    assert sum(
        len(value) for name, value in received.fields if name.startswith("x-") and set(value) == {ord("a")}
    ) == sum(field.count("a") for field in fields)


@pytest.mark.parametrize("count", [99, 100])
def test_100_fields(door, count):
    """Host is one of them."""
    received = forwarded(door, request("GET", "~/x", *[f"X-{n}: v" for n in range(count - 1)]))
    assert sum(value == b"v" for _, value in received.fields) == count - 1


@pytest.mark.parametrize("count", [101, 1000])
def test_more_than_100_fields(door, count):
    assert (
        refused(door, request("GET", "~/x", *[f"X-{n}: v" for n in range(count - 1)]), (431,)).error
        == "header_too_large"
    )


def test_too_large_is_counted(door):
    before = door.sidecar.errors("header_too_large")
    refused(door, request("GET", "~/x", "X-A: " + "a" * (33 * KIB)), (431,))
    assert door.sidecar.errors("header_too_large") == before + 1


def test_limits_hold_for_each_request_of_a_connection(door):
    """Large heads one after the other are not added up."""
    client = door.connect()
    for _ in range(5):
        client.send(door.get("/x", "X-A: " + "a" * (30 * KIB)))
        assert client.response().body == b"GET /x 0"


# -- L1: responses -----------------------------------------------------------------------------------------------------


@table(
    "head",
    {
        "section": b"".join(b"X-%d: %s\r\n" % (n, b"a" * 4000) for n in range(16)),
        "fields": b"X: v\r\n" * 201,
        "one_field": b"X: " + b"a" * (61 * KIB) + b"\r\n",
    },
)
def test_response_heads_that_are_too_large(door, head):
    door.origin.script = replies(OK + head + b"Content-Length: 0\r\n\r\n")
    response = door.ask(request())
    assert (response.status, response.error) == (502, "bad_upstream_response")
    door.origin.quiet()


def test_a_status_line_that_is_too_long(door):
    door.origin.script = replies(b"HTTP/1.1 200 " + b"a" * (17 * KIB) + b"\r\nContent-Length: 0\r\n\r\n")
    assert door.ask(request()).status == 502


def test_a_response_head_without_end(door):
    """An origin that sends fields for ever is stopped by the limit, not by a timeout."""

    def script(connection):
        connection.request()
        connection.send(OK)
        while True:
            connection.send(b"X: aaaaaaaaaaaaaaaa\r\n" * 100)

    door.origin.script = script
    assert door.ask(request()).status == 502
    door.origin.quiet()


@table(
    "head",
    {
        "section": b"".join(b"X-%d: %s\r\n" % (n, b"a" * 4000) for n in range(14)),
        "fields": b"X: v\r\n" * 199,
        "one_field": b"X: " + b"a" * (31 * KIB) + b"\r\n",
    },
)
def test_response_heads_within_the_limits(door, head):
    door.origin.script = replies(OK + head + b"Content-Length: 2\r\n\r\nok")
    response = door.ask(request())
    assert (response.status, response.body) == (200, b"ok") and len(response.fields) >= head.count(b"\r\n") + 1


def test_response_trailers_are_limited(door):
    door.origin.script = replies(
        OK + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n" + b"X: v\r\n" * 20_000 + b"\r\n"
    )
    client = door.send(request())
    try:
        assert client.response().status == 502
    except wire.Truncated:
        pass
    door.origin.quiet()


def test_response_chunk_extensions_are_limited(door):
    door.origin.script = replies(OK + b"Transfer-Encoding: chunked\r\n\r\n1;" + b"a" * 100_000 + b"\r\nx\r\n0\r\n\r\n")
    client = door.send(request())
    try:
        assert client.response().status == 502
    except wire.Truncated:
        pass
    door.origin.quiet()


# -- L2: slow heads ----------------------------------------------------------------------------------------------------


@table(
    "begin",
    {
        "request_line": b"GET ~/x",
        "one_octet": b"G",
        "fields": b"GET ~/x HTTP/1.1\r\nHost: cart\r\nX-A:",
        "almost": b"GET ~/x HTTP/1.1\r\nHost: cart\r\n\r",
    },
)
def test_a_head_that_does_not_end(brief_door, begin):
    before = brief_door.sidecar.errors("request_timeout")
    client = brief_door.send(begin)
    response = client.response()
    assert (response.status, response.error) == (408, "request_timeout")
    assert client.rest()[0] == b"" and brief_door.origin.octets == b""
    assert brief_door.sidecar.errors("request_timeout") == before + 1


def trickle(client, pieces, gap=0.05):
    """Sends a piece every now and then, for as long as the sidecar takes them: the gap is the subject."""
    try:
        for piece in pieces:
            client.send(piece)
            time.sleep(gap)
    except OSError:
        pass


def test_octets_now_and_then_do_not_prolong_a_head(brief_door):
    """The time is for the whole head."""
    client, begin = brief_door.connect(), time.monotonic()
    pieces = [brief_door.fill(b"GET ~/x HTTP/1.1\r\n")] + [b"X"] * 60
    thread = threading.Thread(target=trickle, args=(client, pieces), daemon=True)
    thread.start()
    assert client.response().status == 408
    assert time.monotonic() - begin < 2
    thread.join()


def test_a_slow_second_head(brief_door):
    """The time counts for every request of a connection, from its first octet."""
    client = brief_door.send(request())
    assert client.response().status == 200
    client.send(b"GET ")
    assert client.response().status == 408
    assert client.rest()[0] == b""


def test_a_slow_head_behind_a_pipelined_request(brief_door):
    client = brief_door.send(request() + b"GET ")
    assert client.response().status == 200
    assert client.response().status == 408


def test_many_slow_heads_are_gone_in_time(brief):
    """A thousand, and the others are served meanwhile."""
    clients = [brief.connect("127.0.0.2") for _ in range(1000)]
    for client in clients:
        client.send(b"GET / HTTP/1.1\r\nHost:")
    brief.settle()
    assert {client.response().status for client in clients} == {408}


def test_slow_heads_are_small(mesh):
    """At most 16 KiB each, though every one has sent a good part of a head."""

    def hold(count):
        for _ in range(count):
            mesh.connect("127.0.0.2").send(b"GET / HTTP/1.1\r\nHost: cart\r\nX-A: " + b"a" * 500)
        mesh.settle()

    hold(100)
    baseline = mesh.sidecar.resident()
    hold(400)
    grown = (mesh.sidecar.resident() - baseline) / 400
    assert grown <= 16 * KIB, f"{grown / KIB:.1f} KiB each"


def test_idle_connections_are_small(mesh):
    def hold(count):
        clients = [mesh.connect("127.0.0.2") for _ in range(count)]
        for client in clients:
            client.send(request("GET", "/x"))
        for client in clients:
            assert client.response().status == 200

    hold(100)
    baseline = mesh.sidecar.resident()
    hold(400)
    grown = (mesh.sidecar.resident() - baseline) / 400
    assert grown <= 16 * KIB, f"{grown / KIB:.1f} KiB each"


# -- L3: the other timeouts --------------------------------------------------------------------------------------------


def test_an_idle_connection_is_closed_without_a_word(brief_door):
    client = brief_door.send(request())
    assert client.response().status == 200
    assert client.rest() == (b"", "fin")


def test_a_connection_that_never_spoke_is_closed(brief_door):
    data, _ = brief_door.connect().rest()
    assert data == b"" or data.startswith(b"HTTP/1.1 408")


@table(
    "raw",
    {
        "length": request("POST", "~/x", "Content-Length: 10", body=b"hello"),
        "nothing": request("POST", "~/x", "Content-Length: 10"),
        "chunked": request("POST", "~/x", "Transfer-Encoding: chunked", body=b"5\r\nhello\r\n"),
        "chunk_line": request("POST", "~/x", "Transfer-Encoding: chunked", body=b"5"),
    },
)
def test_a_silent_request_body(brief_door, raw):
    client = brief_door.send(raw)
    response = client.response()
    assert (response.status, response.error) == (408, "request_timeout")
    assert client.rest()[0] == b""
    brief_door.origin.quiet()
    assert brief_door.origin.requests == []


def test_a_slow_body_that_goes_on_is_no_timeout(brief_door):
    """Neither the body's time nor the first octet's: that one starts after the last octet of the request."""
    client = brief_door.send(request("POST", "~/x", "Content-Length: 10"))
    trickle(client, [b"a"] * 10, gap=0.1)
    assert client.response().body == b"POST /x 10"


@table(
    "raw",
    {
        "get": request(),
        "post": request("POST", "~/x", "Content-Length: 5", body=b"hello"),
        "upgrade": request(
            "GET",
            "~/x",
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Key: x",
            "Sec-WebSocket-Version: 13",
        ),
    },
)
def test_a_silent_upstream(brief_door, raw):
    before = brief_door.sidecar.errors("upstream_timeout")
    brief_door.origin.script = lambda connection: (connection.request(), connection.rest())
    response = brief_door.ask(raw)
    assert (response.status, response.error) == (504, "upstream_timeout")
    brief_door.origin.quiet()
    assert brief_door.sidecar.errors("upstream_timeout") == before + 1
    assert len(brief_door.origin.heads) == 1


@table("begin", {"half_a_head": OK + b"X: ", "one_octet": b"H"})
def test_an_upstream_that_stops_inside_the_head(brief_door, begin):
    brief_door.origin.script = lambda connection: (connection.request(), connection.send(begin), connection.rest())
    assert brief_door.ask(request()).status == 504
    brief_door.origin.quiet()


@table(
    "begin",
    {
        "length": OK + b"Content-Length: 10\r\n\r\nhello",
        "chunked": OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        "until_close": OK + b"\r\nhello",
        "nothing": OK + b"Content-Length: 10\r\n\r\n",
    },
)
def test_an_upstream_that_stops_inside_the_body(brief_door, begin):
    """Too late for a status: the client sees a cut."""
    brief_door.origin.script = lambda connection: (connection.request(), connection.send(begin), connection.rest())
    with pytest.raises(wire.Truncated):
        brief_door.ask(request())
    brief_door.origin.quiet()


def test_a_slow_stream_that_goes_on_is_no_timeout(brief_door):
    """Events for a second, each within the time: twice as long as any timeout here."""

    def script(connection):
        connection.request()
        connection.send(OK + b"Content-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        trickle(connection, [b"5\r\nhello\r\n"] * 10, gap=0.1)
        connection.send(b"0\r\n\r\n")

    brief_door.origin.script = script
    assert brief_door.ask(request()).body == b"hello" * 10


def test_a_client_that_reads_nothing_is_dropped(brief_door):
    """Its answer stands still: the upstream call ends, and its buffers with it."""
    brief_door.origin.script = replies(answer(b"x" * (20 << 20)))
    client = brief_door.send(request(), receive_buffer=8 * KIB)
    client.head()
    brief_door.origin.quiet()


def test_a_half_closed_client_is_waited_for_so_long(brief_door):
    """An answer that does not begin within the grace: the client is let go, the upstream call ended."""
    brief_door.origin.script = lambda connection: (connection.request(), connection.rest())
    client = brief_door.send(request())
    client.half_close()
    client.rest()
    brief_door.origin.quiet()


def test_a_silent_tunnel_is_closed(brief_door):
    head = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    brief_door.origin.script = lambda connection: (connection.request(), connection.send(head), connection.rest())
    client = brief_door.send(
        request(
            "GET",
            "~/x",
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Key: x",
            "Sec-WebSocket-Version: 13",
        )
    )
    assert client.response().status == 101
    client.rest()
    brief_door.origin.quiet()


def test_an_idle_upstream_connection_is_closed(brief_door):
    assert brief_door.ask(request()).status == 200
    brief_door.origin.quiet()
    assert brief_door.origin.connections[0].ended == "fin"


def test_a_connect_that_is_not_answered():
    """The origin's queue of connections is full, so that the kernel drops further ones."""
    with harness.socket.socket() as stuck:
        stuck.bind(("127.0.0.1", 0))
        stuck.listen(0)
        fillers = [harness.socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(stuck.getsockname())
        mesh = harness.Mesh(timeouts=conftest.BRIEF, extra={"stuck": stuck.getsockname()[1]})
        try:
            client, begin = mesh.connect("127.0.0.1"), time.monotonic()
            client.send(request("GET", "http://stuck/x"))
            response = client.response()
            assert response.status in (502, 504) and response.error in ("connect_failed", "upstream_timeout")
            assert time.monotonic() - begin < 2
        finally:
            mesh.fresh()
            mesh.stop()
            for filler in fillers:
                filler.close()


def test_a_timeout_of_one_client_is_not_anothers(brief_door):
    """A stuck exchange does not hold up the loop."""
    brief_door.origin.script = lambda connection: (
        connection.rest() if connection.request().target == b"/stuck" else connection.send(answer(b"quick"))
    )
    stuck = brief_door.send(request("GET", "~/stuck"))
    assert brief_door.ask(request("GET", "~/quick")).body == b"quick"
    assert stuck.response().status == 504


# -- L4 and other settings ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shared_narrow():
    limits = {
        "connections": 4,
        "requestLine": "1KiB",
        "headerField": "2KiB",
        "headerSection": "4KiB",
        "requestHeaders": 10,
        "responseHeaders": 12,
        "interimResponses": 3,
    }
    yield from conftest.running(timeouts=conftest.LINGER, limits=limits)


@pytest.fixture(params=["incoming", "outgoing"])
def narrow(request, shared_narrow):
    """A listener of a sidecar with small limits."""
    for mesh in conftest.used_once(shared_narrow):
        yield harness.Door(mesh, request.param)


def test_a_full_listener_lets_the_next_client_wait(narrow):
    held = []
    for _ in range(4):
        held.append(narrow.send(request()))
        assert held[-1].response().status == 200
    waiting = narrow.send(request())
    held[0].send(narrow.get())
    assert held[0].response().status == 200
    waiting.sock.settimeout(0.3)
    with pytest.raises(TimeoutError):
        waiting.response()
    held[1].close()
    waiting.sock.settimeout(harness.PATIENCE)
    assert waiting.response().status == 200


@table(
    "raw, status",
    {
        "line": (request("GET", "~/" + "a" * 1100), 414),
        "field": (request("GET", "~/x", "X: " + "a" * 2100), 431),
        "section": (request("GET", "~/x", *["X: " + "a" * 1500] * 3), 431),
        "fields": (request("GET", "~/x", *["X: v"] * 10), 431),
    },
)
def test_limits_can_be_set(narrow, raw, status):
    assert narrow.ask(raw).status == status
    assert narrow.origin.octets == b""


@table(
    "raw",
    {
        "fields": OK + b"X: v\r\n" * 12 + b"Content-Length: 0\r\n\r\n",
        "interim": b"HTTP/1.1 103 Early Hints\r\n\r\n" * 4 + answer(b"final"),
    },
)
def test_limits_of_responses_can_be_set(narrow, raw):
    narrow.origin.script = replies([raw, CLOSE])
    client = narrow.send(request())
    while (response := client.response()).status < 200:
        pass
    assert response.status == 502


def test_a_pause_within_its_time(brief_door):
    """The same connection serves on after a long pause that is within its time."""
    client = brief_door.send(request())
    client.response()
    time.sleep(0.1)
    client.send(brief_door.get())
    assert client.response().status == 200


def test_nothing_is_left_open(mesh):
    """After all of this the descriptors of the sidecar are what they were."""

    def descriptors():
        return len(os.listdir(f"/proc/{mesh.sidecar.process.pid}/fd"))

    mesh.settle()
    before = descriptors()
    mesh.origin.script = echo
    clients = [mesh.connect("127.0.0.2") for _ in range(50)]
    for client in clients:
        client.send(SMUGGLED.replace(b"~", b""))
        client.response()
    for client in clients:
        client.reset()
    for connection in mesh.origin.connections:
        connection.half_close()
    eventually(lambda: descriptors() <= before, lambda: f"{descriptors()} descriptors, {before} before")
