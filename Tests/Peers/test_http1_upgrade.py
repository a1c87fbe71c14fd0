# SPDX-License-Identifier: Apache-2.0
"""S6: an upgrade is websocket, is agreed on by the origin, and is a transparent tunnel from then on and not before."""

import threading

import pytest

from harness import RESET, SMUGGLED, answer, echo, eventually, replies, request, table

SWITCH = (
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\n\r\n"
)
FIELDS = (
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZQ==",
    "Sec-WebSocket-Version: 13",
)
ASK = request("GET", "~/chat", *FIELDS)


def switching(talk, before=b""):
    """An origin that agrees, and then talks."""

    def script(connection):
        connection.request()
        connection.send(SWITCH + before)
        talk(connection)

    return script


def parrot(connection):
    """Gives back what it gets, until the other side is done, and says so at the end."""
    while connection.reader.fill():
        connection.send(bytes(connection.reader.buffer).upper())
        connection.reader.buffer.clear()
    connection.send(b"<end>")
    connection.finish(connection.close)


def tunnel(door, talk=parrot, before=b""):
    """A client inside an open tunnel."""
    door.origin.script = switching(talk, before)
    client = door.send(ASK)
    response = client.response()
    assert (
        response.status == 101
        and response.get("upgrade") == b"websocket"
        and response.get("sec-websocket-accept") == b"x"
    )
    assert response.get("connection").lower() == b"upgrade"
    return client


@table(
    "fields",
    {
        "usual": FIELDS,
        "case": ("connection: upgrade", "upgrade: WebSocket", *FIELDS[2:]),
        "with_keep_alive": ("Connection: keep-alive, Upgrade", *FIELDS[1:]),
        "two_connection_fields": ("Connection: keep-alive", "Connection: Upgrade", *FIELDS[1:]),
    },
)
def test_the_request_arrives_as_an_upgrade(door, fields):
    door.origin.script = switching(parrot)
    assert door.ask(request("GET", "~/chat?a=b", *fields)).status == 101
    received = door.origin.requests[0]
    assert received.target == b"/chat?a=b" and received.get("upgrade").lower() == b"websocket"
    assert b"upgrade" in received.get("connection").lower() and received.get("sec-websocket-key") == b"dGhlIHNhbXBsZQ=="


def test_octets_pass_both_ways(door):
    client = tunnel(door)
    for data in (b"\x81\x05hello", b"GET / HTTP/1.1\r\n\r\n", b"\x00", b"x" * 1000):
        client.send(data)
        assert client.read(len(data)) == data.upper()


def test_a_lot_passes_both_ways_at_once(door):
    client = tunnel(door)
    data = bytes(range(65, 91)) * 100_000
    sender = threading.Thread(target=lambda: (client.send(data), client.half_close()))
    sender.start()
    got, end = client.rest()
    sender.join()
    assert got == data + b"<end>" and end == "fin"


def test_what_the_origin_says_together_with_101(door):
    client = tunnel(door, before=b"welcome")
    assert client.read(7) == b"welcome"
    client.send(b"a")
    assert client.read(1) == b"A"


def test_half_close_of_the_client_passes(door):
    client = tunnel(door)
    client.send(b"last words")
    client.half_close()
    assert client.rest() == (b"LAST WORDS<end>", "fin")


def test_half_close_of_the_origin_passes(door):
    """The origin has said all, the client has not."""

    def talk(connection):
        connection.send(b"all")
        connection.half_close()
        connection.rest()

    client = tunnel(door, talk)
    assert client.rest() == (b"all", "fin")
    client.send(b"not yet all")
    client.half_close()
    door.origin.quiet()
    assert door.origin.connections[0].received.endswith(b"not yet all")


def test_a_reset_of_the_origin_ends_the_tunnel(door):
    client = tunnel(door, lambda connection: connection.perform([RESET]))
    assert client.rest()[0] == b""


def test_a_reset_of_the_client_ends_the_tunnel(door):
    client = tunnel(door)
    client.send(b"a")
    client.read(1)
    client.reset()
    door.origin.quiet(2)


def test_the_connection_is_never_used_again(door):
    """After a tunnel both connections are over."""
    client = tunnel(door)
    client.half_close()
    client.rest()
    door.origin.script = echo
    assert door.ask(request()).body == b"GET /x 0"
    assert len(door.origin.connections) == 2


# -- before the origin has agreed --------------------------------------------------------------------------------------


@table("early", {"request": SMUGGLED, "frame": b"\x81\x85\x01\x02\x03\x04hello", "half_a_request": b"GET /smuggled HT"})
def test_nothing_passes_before_101(door, early):
    """Pingora CVE-2026-2833: what follows the upgrade request waits for the answer."""
    release = threading.Event()

    def script(connection):
        connection.request()
        release.wait(3)
        connection.send(SWITCH)
        parrot(connection)

    door.origin.script = script
    client = door.send(ASK + early)
    door.origin.until(lambda: door.origin.requests)
    door.mesh.settle()
    received = bytes(door.origin.connections[0].received)
    assert received.endswith(b"\r\n\r\n") and received.count(b"\r\n\r\n") == 1 and len(door.origin.connections) == 1
    release.set()
    response = client.response()
    assert response.status in (101, 400)
    if response.status == 101:
        client.half_close()
        assert client.rest()[0] in (door.fill(early).upper() + b"<end>", b"<end>")


@pytest.mark.parametrize("status", ["200 OK", "403 Forbidden", "426 Upgrade Required", "404 Not Found"])
def test_a_refused_upgrade_leaves_http(door, status):
    """What follows is then a request, not tunnel data."""
    door.origin.script = replies(answer(b"plain", status), answer(b"second"))
    client = door.send(ASK + request("GET", "~/second"))
    response = client.response()
    assert (response.status, response.body) == (int(status[:3]), b"plain")
    if response.get("connection") != b"close":
        assert client.response().body == b"second"
        assert [each.target for each in door.origin.requests] == [b"/chat", b"/second"]


def test_a_slow_101(door):
    """Interim answers may come first."""
    door.origin.script = lambda connection: (
        connection.request(),
        connection.send(b"HTTP/1.1 103 Early Hints\r\n\r\n" + SWITCH),
        parrot(connection),
    )
    client = door.send(ASK)
    assert [client.response().status, client.response().status] == [103, 101]
    client.send(b"a")
    assert client.read(1) == b"A"


# -- what is no websocket ----------------------------------------------------------------------------------------------


@table(
    "fields",
    {
        "h2c": ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__"),
        "h2c_upper": ("Connection: Upgrade", "Upgrade: H2C"),
        "h2c_list": ("Connection: Upgrade, HTTP2-Settings", "Upgrade: websocket, h2c", "HTTP2-Settings: AAMAAABk"),
        "h2c_second_field": ("Connection: Upgrade", "Upgrade: foo", "Upgrade: h2c"),
        "tls": ("Connection: Upgrade", "Upgrade: TLS/1.0"),
        "connect_udp": ("Connection: Upgrade", "Upgrade: connect-udp"),
        "unknown": ("Connection: Upgrade", "Upgrade: foo/2"),
        "not_named_in_connection": ("Upgrade: websocket",),
        "only_connection": ("Connection: Upgrade",),
    },
)
def test_other_upgrades_are_stripped(door, fields):
    """The request goes on without; the origin must not be able to switch to what nobody here can bound."""
    response = door.ask(request("GET", "~/x", *fields))
    assert (response.status, response.body) == (200, b"GET /x 0")
    received = door.origin.requests[0]
    assert b"h2c" not in b"".join(received.all("upgrade")).lower() and "http2-settings" not in received.names()
    if not any("websocket" in field and "h2c" in field for field in fields):
        assert "upgrade" not in received.names()


def test_upgrade_of_an_http_1_0_client_is_ignored(door):
    """RFC 9110 7.8."""
    response = door.ask(ASK.replace(b"HTTP/1.1", b"HTTP/1.0"))
    assert response.status == 200 and "upgrade" not in door.origin.requests[0].names()


@table(
    "raw",
    {
        "h2c_asked": request("GET", "~/x", "Connection: Upgrade", "Upgrade: h2c"),
        "nothing_asked": request(),
        "connection_only": request("GET", "~/x", "Connection: Upgrade"),
        "post": request("POST", "~/x", "Content-Length: 5", body=b"hello"),
    },
)
def test_unsolicited_101(door, raw):
    door.origin.script = replies(SWITCH + b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison")
    response = door.ask(raw)
    assert (response.status, response.error) == (502, "bad_upstream_response")
    door.origin.quiet()


@table(
    "head", {"other_protocol": b"Connection: Upgrade\r\nUpgrade: h2c\r\n", "no_protocol": b"Connection: Upgrade\r\n"}
)
def test_101_for_something_else(door, head):
    """Only what was asked for may be switched to."""
    door.origin.script = replies(b"HTTP/1.1 101 Switching Protocols\r\n" + head + b"\r\n")
    assert door.ask(ASK).status == 502


def test_an_upgrade_with_a_body(door):
    """Either the upgrade is not offered, or the body goes before: never body octets in the tunnel."""
    door.origin.script = switching(parrot)
    client = door.send(request("POST", "~/chat", *FIELDS, "Content-Length: 5", body=b"hello"))
    response = client.response()
    assert response.status in (101, 400, 502)
    if response.status == 101:
        client.half_close()
        assert door.origin.requests[0].body == b"hello" and client.rest()[0] == b"<end>"


def test_a_reading_pause_in_a_tunnel_is_back_pressure(door):
    """A client that does not read stops the origin instead of filling the sidecar."""
    sent = [0]

    def talk(connection):
        for _ in range(640):
            connection.send(b"x" * (64 << 10))
            sent[0] += 64 << 10
        connection.finish(connection.close)

    client = tunnel(door, talk)
    baseline = door.sidecar.resident()
    stalled = [None]

    def stands():
        stalled.append(sent[0])
        return len(stalled) > 60 and stalled[-60] == sent[0] > 0

    eventually(stands, "the origin was never stopped")
    assert sent[0] < 40 << 20 and door.sidecar.resident() - baseline < 8 << 20
    assert len(client.rest()[0]) == 40 << 20
