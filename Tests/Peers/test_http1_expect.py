# SPDX-License-Identifier: Apache-2.0
"""S7: Expect: 100-continue works from end to end, and an early final answer leaves nothing in the way."""

import threading

import pytest

from harness import CLOSE, answer, echo, refused_or_forwarded, request, table

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
EXPECT = ("Expect: 100-continue", "Content-Length: 5")


def patient(connection):
    """An origin that asks for the body, and only then reads it."""
    while head := connection.head():
        assert connection.reader.buffer == b"", "the body came before it was asked for"
        connection.send(CONTINUE)
        connection.body(head)
        connection.send(answer(b"got %d" % len(head.body)))


@table(
    "fields, body",
    {
        "length": (EXPECT, b"hello"),
        "chunked": (("Expect: 100-continue", "Transfer-Encoding: chunked"), b"5\r\nhello\r\n0\r\n\r\n"),
        "case": (("expect: 100-Continue", "Content-Length: 5"), b"hello"),
    },
)
def test_100_is_relayed_and_the_body_follows(door, fields, body):
    door.origin.script = patient
    client = door.connect()
    for _ in range(2):
        client.send(door.fill(request("POST", "~/x", *fields)))
        assert client.response().status == 100
        client.send(body)
        response = client.response()
        assert (response.status, response.body) == (200, b"got 5")
    assert [each.body for each in door.origin.requests] == [b"hello"] * 2
    assert door.origin.requests[0].get("expect").lower() == b"100-continue"


def test_the_origin_gets_the_head_before_any_body(door):
    """The 100 comes from the origin, not from the sidecar: nothing is answered while the origin is silent."""
    client = door.send(request("POST", "~/x", *EXPECT))
    door.origin.until(lambda: door.origin.heads)
    door.mesh.settle()
    client.sock.setblocking(False)
    with pytest.raises(BlockingIOError):
        client.sock.recv(1)
    client.sock.settimeout(4)
    client.send(b"hello")
    assert client.response().body == b"POST /x 5"


def test_a_client_that_does_not_wait(door):
    """Body at once: it is forwarded, with or without a 100 of the origin."""

    def script(connection):
        head = connection.head()
        connection.send(CONTINUE)
        connection.body(head)
        connection.send(answer(b"got"))

    door.origin.script = script
    client = door.send(request("POST", "~/x", *EXPECT, body=b"hello"))
    while (response := client.response()).status == 100:
        pass
    assert response.body == b"got" and door.origin.requests[0].body == b"hello"


@pytest.mark.parametrize("status", [417, 413, 401, 404, 200, 302, 500])
@pytest.mark.parametrize("close", [True, False], ids=["origin_closes", "origin_stays"])
def test_an_early_final_answer(door, status, close):
    """The client may send the body or not: either the connection closes, or the body is drained."""
    refusing = True

    def script(connection):
        nonlocal refusing
        if not refusing:
            return echo(connection)
        head, refusing = connection.head(), False
        connection.send(answer(b"early", f"{status} Early", *(["Connection: close"] if close else [])))
        if not close:
            connection.body(head)
            echo(connection)

    door.origin.script = script
    client = door.send(request("POST", "~/x", *EXPECT))
    response = client.response()
    assert (response.status, response.body) == (status, b"early")
    if (response.get("connection") or b"").lower() == b"close":
        assert client.rest() == (b"", "fin")
    else:
        client.send(b"hello" + door.get("/after"))
        assert client.response().body == b"GET /after 0"
    assert door.ask(request("GET", "~/other")).body == b"GET /other 0"


def test_a_body_that_is_not_sent_after_a_refusal_is_not_invented(door):
    """The client goes on with another request on a new connection; the upstream connection with the missing body must
    not carry it: its octets would be that body."""

    def script(connection):
        while head := connection.head():
            connection.send(answer(b"no", "417 Expectation Failed") if head.get("expect") else answer(b"yes"))

    door.origin.script = script
    client = door.send(request("POST", "~/x", *EXPECT))
    assert client.response().status == 417
    assert door.ask(request("GET", "~/other")).body == b"yes"
    assert len(door.origin.connections) == 2
    assert b"other" not in door.origin.connections[0].received


@table("script", {"with_100": patient, "without": echo})
def test_http_1_0_never_gets_100(door, script):
    """RFC 9110 10.1.1: the expectation of a 1.0 client is ignored; the body comes at once."""
    if script is patient:

        def script(connection):
            head = connection.head()
            connection.send(CONTINUE)
            connection.body(head)
            connection.send(answer(b"got"))

    door.origin.script = script
    raw = request("POST", "~/x", *EXPECT, body=b"hello").replace(b"HTTP/1.1", b"HTTP/1.0")
    data, _ = door.send(raw).rest()
    assert data.startswith(b"HTTP/1.1 200") and data.count(b"HTTP/1.") == 1
    assert door.origin.requests[0].body == b"hello"


def test_an_expectation_without_a_body(door):
    assert refused_or_forwarded(door, request("GET", "~/x", "Expect: 100-continue"), (400, 417)) is not False


@pytest.mark.parametrize("value", ["200-ok", "100-continue, x", "x=y", ""])
def test_other_expectations(door, value):
    """RFC 9110 10.1.1: 417 or the origin's affair."""
    client = door.send(request("GET", "~/x", f"Expect: {value}"))
    response = client.response()
    assert response.status in (200, 400, 417)
    assert len(door.origin.requests) == (response.status == 200)
    if response.get("connection") != b"close":
        client.send(door.get("/next"))
        assert client.response().body == b"GET /next 0"


def test_100_after_the_body_is_harmless(door):
    door.origin.script = lambda connection: [connection.send(CONTINUE + answer(b"got")) for _ in connection.requests()]
    client = door.send(request("POST", "~/x", "Content-Length: 5", body=b"hello"))
    while (response := client.response()).status == 100:
        pass
    assert response.body == b"got"
    client.send(door.get())
    while (response := client.response()).status == 100:
        pass
    assert response.body == b"got"


def test_several_100s_for_one_request(door):
    def script(connection):
        head = connection.head()
        connection.send(CONTINUE * 3)
        connection.body(head)
        connection.send(answer(b"got"))

    door.origin.script = script
    client = door.send(request("POST", "~/x", *EXPECT))
    assert client.response().status == 100
    client.send(b"hello")
    while (response := client.response()).status == 100:
        pass
    assert response.body == b"got" and door.origin.requests[0].body == b"hello"


def test_origin_that_closes_instead_of_continuing(door):
    door.origin.script = lambda connection: (connection.head(), connection.perform([CLOSE]))
    response = door.ask(request("POST", "~/x", *EXPECT))
    assert (response.status, response.error) == (502, "upstream_reset")


def test_a_client_that_leaves_instead_of_sending(door):
    client = door.send(request("POST", "~/x", *EXPECT))
    door.origin.until(lambda: door.origin.heads)
    client.close()
    door.origin.quiet(2)
    assert door.origin.requests == []


def test_pipelined_after_an_expected_body(door):
    """What follows the body is the next request, also when all of it waits for the 100."""
    release = threading.Event()

    def script(connection):
        while head := connection.head():
            if head.get("expect"):
                release.wait(3)
                connection.send(CONTINUE)
            connection.body(head)
            connection.send(answer(b"%s %d" % (head.target, len(head.body))))

    door.origin.script = script
    client = door.send(request("POST", "~/a", *EXPECT, body=b"hello") + request("GET", "~/b"))
    release.set()
    got = []
    while len(got) < 2:
        response = client.response()
        got += [response.body] if response.status == 200 else []
    assert got == [b"/a 5", b"/b 0"]
