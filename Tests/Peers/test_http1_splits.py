# SPDX-License-Identifier: Apache-2.0
"""Any split of the octets into reads means the same: each message octet by octet, and cut at every position.

`Mesh.settle` makes the cut real: the next octets are sent only when the sidecar's event loop has read the ones before.
"""

import threading

from harness import echo, request, table

REQUESTS = {
    "get": request("GET", "~/a/b?c=d%2F", "X-A: 1", "X-B:  two \t", "Accept: */*"),
    "sloppy_but_valid": b"\r\nGET ~/x HTTP/1.1\r\nhOST:\tcart\t\r\nX-Empty:\r\nx-latin: \xe9\r\n\r\n",
    "many_fields": request("GET", "~/", *[f"X-{number}: {'v' * number}" for number in range(20)]),
    "host_last": b"GET ~/x HTTP/1.1\r\nX-A: 1\r\nHost: cart\r\n\r\n",
    "post_length": request("POST", "~/x", "Content-Length: 12", body=b"hello\r\n\r\nend"),
    "post_empty": request("POST", "~/x", "Content-Length: 0"),
    "chunked": request(
        "POST", "~/x", "Transfer-Encoding: chunked", body=b"5\r\nhello\r\n00A\r\n0123456789\r\n0\r\n\r\n"
    ),
    "chunked_ext": request(
        "PUT", "~/x", "Transfer-Encoding: Chunked", body=b'5;a="b;\\"c";d=e\r\nhello\r\n1;f\r\n\n\r\n0;g\r\n\r\n'
    ),
    "chunked_trailers": request(
        "POST", "~/x", "Trailer: X-T", "Transfer-Encoding: chunked", body=b"1\r\nx\r\n0\r\nX-T: v\r\nX-U: \tw\r\n\r\n"
    ),
    "hop_by_hop": request(
        "GET", "~/x", "Connection: X-Hop, keep-alive", "X-Hop: a", "TE: trailers", "Upgrade: h2c", "X-Kept: b"
    ),
    "http_1_0": request("GET", "~/x", "Connection: keep-alive").replace(b"HTTP/1.1", b"HTTP/1.0"),
    "later_minor": request("DELETE", "~/x", "X-A: 1").replace(b"HTTP/1.1", b"HTTP/1.7"),
    "head": request("HEAD", "~/x", "Cookie: a=b; c=d", "Cookie: e=f"),
}

RESPONSES = {
    "length": b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\nX-A: \t1 \r\n\r\nhello\r\n\r\nend",
    "empty": b"HTTP/1.1 200 \r\nContent-Length: 0\r\nX-Empty:\r\n\r\n",
    "chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n00A\r\n0123456789\r\n0\r\n\r\n",
    "chunked_ext": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    b'5;a="b;\\"c"\r\nhello\r\n1;f\r\n\n\r\n0;g\r\n\r\n',
    "chunked_trailers": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nX-T: v\r\nX-U: w\r\n\r\n",
    "no_content": b"HTTP/1.1 204 No Content\r\nX-A: 1\r\n\r\n",
    "not_modified": b"HTTP/1.1 304 Not Modified\r\nETag: a\r\nContent-Length: 9\r\n\r\n",
    "hints": b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "hop_by_hop": b"HTTP/1.1 200 OK\r\nConnection: X-Hop\r\nX-Hop: a\r\n"
    b"Keep-Alive: timeout=5\r\nContent-Length: 2\r\n\r\nok",
    "many_fields": b"HTTP/1.1 200 OK\r\n"
    + b"".join(b"Set-Cookie: a%d=b\r\n" % number for number in range(15))
    + b"Content-Length: 2\r\n\r\nok",
}


def whole(door, raw, method):
    """What the origin sees of a message in one piece: what every split of it has to mean too."""
    assert door.ask(raw, method).status == 200
    (received,) = door.origin.requests
    assert received.body == b"" or received.method in ("POST", "PUT")
    expected = received.same()
    door.mesh.fresh()
    return expected


def check(door, clients, expected, method):
    """Every client was answered, and the origin saw the same message each time."""
    assert {client.response(method).status for client in clients} == {200}
    assert len(door.origin.requests) == len(clients)
    for each in door.origin.requests:
        assert each.same() == expected


@table("raw", REQUESTS)
def test_a_request_cut_at_every_position(door, raw):
    """All cuts at once, each on a connection of its own: first parts, a turn of the loop, second parts."""
    method = "HEAD" if raw.startswith(b"HEAD") else "GET"
    expected, filled = whole(door, raw, method), door.fill(raw)
    clients = [door.connect() for _ in range(1, len(filled))]
    for cut, client in enumerate(clients, 1):
        client.send(filled[:cut])
    door.mesh.settle()
    for cut, client in enumerate(clients, 1):
        client.send(filled[cut:])
    check(door, clients, expected, method)


@table("raw", REQUESTS)
def test_a_request_octet_by_octet(door, raw):
    method = "HEAD" if raw.startswith(b"HEAD") else "GET"
    expected, client = whole(door, raw, method), door.connect()
    for octet in door.fill(raw):
        client.send(bytes([octet]))
        door.mesh.settle()
    check(door, [client], expected, method)


def test_pipelined_requests_in_pieces_of_every_size(door):
    """The borders of reads fall anywhere in a stream of messages."""
    raw = b"".join(
        REQUESTS[name]
        for name in ("post_length", "get", "chunked_ext", "hop_by_hop", "chunked_trailers", "post_empty", "host_last")
    )
    client = door.send(raw)
    bodies = [client.response().body for _ in range(7)]
    expected = [each.same() for each in door.origin.requests]
    filled = door.fill(raw)
    for size in (1, 2, 3, 5, 7, 11, 13, 64, 100, 255, 256, 257):
        door.mesh.fresh()
        client = door.connect()
        for start in range(0, len(filled), size):
            client.send(filled[start : start + size])
            if size > 2 or start % 8 == 0:
                door.mesh.settle()
        assert [client.response().body for _ in range(7)] == bodies
        assert [each.same() for each in door.origin.requests] == expected


def read_all(client):
    """The interim answers and the final one."""
    got = [client.response()]
    while got[-1].status < 200:
        got.append(client.response())
    return [each.same() for each in got]


@table("raw", RESPONSES)
def test_a_response_cut_at_every_position(door, raw):
    """The requests say where their answers are cut; the second parts wait for all first ones."""
    door.origin.script = lambda connection: [connection.send(raw) for _ in connection.requests()]
    expected = read_all(door.send(request()))
    door.mesh.fresh()
    begun, go = threading.Semaphore(0), threading.Event()

    def script(connection):
        cut = int(connection.request().get("x-cut"))
        connection.send(raw[:cut])
        begun.release()
        go.wait(4)
        connection.send(raw[cut:])

    door.origin.script = script
    clients = [door.send(request("GET", "~/x", f"X-Cut: {cut}")) for cut in range(1, len(raw))]
    for _ in clients:
        assert begun.acquire(timeout=4)
    door.mesh.settle()
    go.set()
    for client in clients:
        assert read_all(client) == expected


@table("raw", RESPONSES)
def test_a_response_octet_by_octet(door, raw):
    door.origin.script = lambda connection: [connection.send(raw) for _ in connection.requests()]
    expected = read_all(door.send(request()))
    door.mesh.fresh()

    def script(connection):
        connection.request()
        for octet in raw:
            connection.send(bytes([octet]))
            door.mesh.settle()
        echo(connection)

    door.origin.script = script
    client = door.send(request())
    assert read_all(client) == expected
    client.send(door.get("/after"))
    assert client.response().body == b"GET /after 0"


def test_an_upgrade_octet_by_octet(door):
    """The switch comes in single octets, with tunnel data right behind it."""
    head = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"

    def script(connection):
        connection.request()
        for octet in head + b"welcome":
            connection.send(bytes([octet]))
            door.mesh.settle()
        connection.rest()

    door.origin.script = script
    client = door.connect()
    for octet in door.fill(
        request(
            "GET",
            "~/x",
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Key: x",
            "Sec-WebSocket-Version: 13",
        )
    ):
        client.send(bytes([octet]))
        door.mesh.settle()
    assert client.response().status == 101
    assert client.read(7) == b"welcome"
    client.send(b"done")
    client.half_close()
    door.origin.quiet()
    assert door.origin.connections[0].received.endswith(b"\r\n\r\ndone")


def test_a_bad_request_is_refused_however_it_is_cut(door):
    """No cut lets a smuggled request through."""
    raw = door.fill(request("POST", "~/x", "Content-Length: 5", "Transfer-Encoding: chunked", body=b"0\r\n\r\n"))
    clients = [door.connect() for _ in range(1, len(raw))]
    for cut, client in enumerate(clients, 1):
        client.send(raw[:cut])
    door.mesh.settle()
    for cut, client in enumerate(clients, 1):
        client.send(raw[cut:])
    assert {client.response().status for client in clients} == {400}
    assert door.origin.requests == []
