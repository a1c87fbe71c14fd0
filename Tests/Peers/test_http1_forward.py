# SPDX-License-Identifier: Apache-2.0
"""S4, S5, S10 and the life of a connection: what a hop adds, removes and keeps, and who learns of an end."""

import threading

import pytest

from harness import (
    CLOSE,
    RESET,
    SMUGGLED,
    Client,
    answer,
    echo,
    eventually,
    forwarded,
    refused,
    replies,
    request,
    table,
)

# -- the outgoing listener ---------------------------------------------------------------------------------------------


@table(
    "target, arrives, host",
    {
        "path": ("http://cart/x", b"/x", b"cart"),
        "port": ("http://cart:8080/x", b"/x", b"cart:8080"),
        "no_path": ("http://cart", b"/", b"cart"),
        "query_without_path": ("http://cart?a=b", b"/?a=b", b"cart"),
        "query": ("http://cart/x?a=http://b/../", b"/x?a=http://b/../", b"cart"),
        "scheme_upper": ("HTTP://cart/x", b"/x", b"cart"),
        "double_slash": ("http://cart//evil/x", b"//evil/x", b"cart"),
        "at_in_path": ("http://cart/@evil/x", b"/@evil/x", b"cart"),
        "at_in_query": ("http://cart/?u@evil", b"/?u@evil", b"cart"),
        "colon_in_path": ("http://cart/a:b", b"/a:b", b"cart"),
    },
)
def test_absolute_form_becomes_origin_form(outgoing, target, arrives, host):
    """The target's authority beats Host, and is what the origin gets."""
    received = forwarded(outgoing, request("GET", target, host="Host: other:99"))
    assert (received.target, received.host) == (arrives, host)


def test_the_explicit_port_travels_beside_the_host(outgoing):
    assert forwarded(outgoing, request("GET", "http://cart:8080/x")).get("x-forwarded-port") == b"8080"


def test_options_for_the_whole_server(outgoing):
    """RFC 9112 3.2.4: OPTIONS with an absolute target without a path becomes `*` at the last hop."""
    assert forwarded(outgoing, request("OPTIONS", "http://cart")).target == b"*"


@table(
    "target",
    {
        "userinfo": "http://user@cart/x",
        "password": "http://user:secret@cart/x",
        "empty_userinfo": "http://@cart/x",
        "userinfo_names_cart": "http://cart@evil/x",
        "no_host": "http:///x",
        "only_port": "http://:80/x",
        "only_scheme": "http://",
        "bad_port": "http://cart:x/x",
        "signed_port": "http://cart:+80/x",
        "port_overflow": "http://cart:99999999999/x",
        "two_ports": "http://cart:80:80/x",
        "backslash": "http://cart\\@evil/x",
        "backslash_host": "http://evil\\.cart/x",
        "comma_blank": "http://ca,rt /x",
        "fragment": "http://cart/x#y",
        "fragment_host": "http://cart#@evil/",
        "dots": "http://cart/../x",
        "encoded_dots": "http://cart/%2e%2e/x",
        "bracket": "http://[cart/x",
        "bracket_name": "http://[cart]/x",
        "percent_host": "http://ca%zzrt/x",
        "ftp": "ftp://cart/x",
        "no_slashes": "http:cart/x",
        "one_slash": "http:/cart/x",
        "three_slashes": "http:///cart/x",
        "scheme_blank": "http ://cart/x",
        "javascript": "javascript:alert(1)",
        "control": "http://ca\x01rt/x",
        "nul": "http://cart\x00.evil/x",
        "latin1": "http://caf\xe9/x",
        "angle": "http://<cart>/x",
        "quote": 'http://"cart"/x',
    },
)
def test_bad_absolute_targets(outgoing, target):
    refused(outgoing, request("GET", target, host="Host: cart"))


@table(
    "target",
    {
        "https": "https://cart/x",
        "ws": "ws://cart/x",
        "loopback": "http://127.0.0.1/x",
        "loopback_port": "http://127.0.0.1:80/x",
        "ipv6_loopback": "http://[::1]/x",
        "metadata": "http://169.254.169.254/x",
        "decimal_loopback": "http://2130706433/x",
        "unknown": "http://nosuch/x",
        "localhost": "http://localhost/x",
        "percent_encoded_name": "http://%63art/x",
    },
)
def test_targets_that_lead_nowhere(outgoing, target):
    """Names that no registry knows, and schemes that need TLS: an error, and no origin is asked."""
    response = outgoing.ask(request("GET", target, host="Host: cart"))
    assert response.status in (400, 403, 502, 501) and response.error
    assert outgoing.origin.octets == b""


def test_origin_form_at_the_outgoing_listener(outgoing):
    response = outgoing.ask(request("GET", "/x"))
    assert response.status == 400 and response.body.startswith(b"Invalid uri, please check:")
    assert outgoing.origin.octets == b""


@pytest.mark.parametrize("own", ["127.0.0.1", "127.0.0.2", "localhost"])
def test_the_sidecar_does_not_ask_itself(outgoing, own):
    port = outgoing.sidecar.port
    response = outgoing.ask(request("GET", f"http://{own}:{port}/x", host=f"Host: {own}:{port}"))
    assert response.status in (400, 403, 502, 508) and outgoing.origin.octets == b""


def test_asterisk_at_the_outgoing_listener(outgoing):
    assert outgoing.ask(request("OPTIONS", "*")).status == 400


# -- S5: hop-by-hop fields of a request --------------------------------------------------------------------------------


@table(
    "field",
    {
        "keep_alive": "Keep-Alive: timeout=5",
        "proxy_connection": "Proxy-Connection: keep-alive",
        "proxy_authorization": "Proxy-Authorization: Basic eA==",
        "proxy_authenticate": "Proxy-Authenticate: Basic",
        "te": "TE: gzip",
        "upgrade": "Upgrade: h2c",
        "connection": "Connection: keep-alive",
    },
)
def test_the_fixed_list_is_removed(door, field):
    received = forwarded(door, request("GET", "~/x", field, "X-Kept: 1"))
    name = field.partition(":")[0].lower()
    assert received.get("x-kept") == b"1"
    assert name not in received.names() or (name == "connection" and received.get(name).lower() == b"keep-alive")


@table(
    "fields",
    {
        "one": ["Connection: X-Hop"],
        "lower": ["connection: x-hop"],
        "upper": ["CONNECTION: X-HOP"],
        "among_others": ["Connection: keep-alive, X-Hop , X-Other"],
        "second_field": ["Connection: keep-alive", "Connection: X-Hop"],
        "empty_elements": ["Connection: ,,X-Hop,,"],
        "no_blank": ["Connection: keep-alive,X-Hop"],
        "tabs": ["Connection:\tkeep-alive\t,\tX-Hop\t"],
    },
)
@pytest.mark.parametrize("before", [True, False], ids=["named_before", "named_after"])
def test_fields_named_in_connection_are_removed(door, fields, before):
    hop = ["X-Hop: secret"]
    received = forwarded(
        door, request("GET", "~/x", *(fields + hop if before else hop + fields), "X-Kept: 1", "X-Hop-Too: 1")
    )
    assert "x-hop" not in received.names() and {"x-kept", "x-hop-too"} <= received.names()
    assert b"x-hop" not in (received.get("connection") or b"").lower()


def test_all_of_a_repeated_field_go(door):
    received = forwarded(door, request("GET", "~/x", "X-Hop: 1", "Connection: X-Hop", "x-hop: 2"))
    assert "x-hop" not in received.names()


@table("name", {name.lower().replace("-", "_"): name for name in ["Host", "Content-Length", "host", "content-length"]})
def test_connection_cannot_remove_host_and_length(door, name):
    received = forwarded(door, request("POST", "~/x", f"Connection: {name}", "Content-Length: 5", body=b"hello"))
    assert received.host == b"cart" and received.body == b"hello" and received.get("content-length") == b"5"


def test_connection_cannot_remove_transfer_encoding(door):
    body = b"5\r\nhello\r\n0\r\n\r\n"
    received = forwarded(
        door, request("POST", "~/x", "Connection: Transfer-Encoding", "Transfer-Encoding: chunked", body=body)
    )
    assert received.body == b"hello" and received.chunked


def test_connection_cannot_remove_what_the_sidecar_sets(door):
    """S5: the caller's name on the way out, the received host on the way in."""
    name = "x-cse-context" if door.outgoing else "X-Forwarded-Host"
    received = forwarded(door, request("GET", "~/x", f"Connection: {name}"))
    assert name.lower() in received.names()


def test_connection_cannot_remove_the_forwarded_port(outgoing):
    received = forwarded(outgoing, request("GET", "http://cart:8080/x", "Connection: X-Forwarded-Port"))
    assert received.get("x-forwarded-port") == b"8080"


@table("value", {"not_a_token": "a b", "quoted": '"X-Hop"', "nul": "X\x00", "slash": "a/b"})
def test_a_malformed_connection_field_harms_nothing(door, value):
    client = door.send(request("GET", "~/x", f"Connection: {value}", "Connection: close"))
    assert client.response().status in (200, 400)
    assert client.rest()[0] == b""


@pytest.mark.parametrize(
    "fields",
    [
        ["Connection: close"],
        ["Connection: Close"],
        ["connection: X-A, close"],
        ["Connection: keep-alive, close"],
        ["Connection: X-A", "Connection: close"],
    ],
    ids=str,
)
def test_connection_close_ends_the_connection_but_not_the_upstreams(door, fields):
    for _ in range(2):
        client = door.send(request("GET", "~/x", *fields) + SMUGGLED)
        assert client.response().body == b"GET /x 0"
        assert client.rest()[0] == b"", "what follows a close is not answered"
    assert len(door.origin.connections) == 1 and len(door.origin.requests) == 2


# -- pipelining --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [2, 20, 500])
def test_pipelined_requests_are_answered_in_order(door, count):
    client = door.send(b"".join(request("GET", f"~/{number}") for number in range(count)))
    assert [client.response().body for _ in range(count)] == [b"GET /%d 0" % number for number in range(count)]
    assert [each.target for each in door.origin.requests] == [b"/%d" % number for number in range(count)]


def test_pipelined_behind_bodies(door):
    raw = b"".join(
        request("POST", f"~/a{n}", "Content-Length: 5", body=b"GET /")
        + request("PUT", f"~/b{n}", "Transfer-Encoding: chunked", body=b"3\r\nGET\r\n0\r\n\r\n")
        + request("GET", f"~/c{n}")
        for n in range(5)
    )
    client = door.send(raw)
    expected = [line for n in range(5) for line in (b"POST /a%d 5" % n, b"PUT /b%d 3" % n, b"GET /c%d 0" % n)]
    assert [client.response().body for _ in expected] == expected


def test_a_slow_first_answer_holds_back_the_second(door):
    """The order is kept even if the second answer is there first; the second request may well wait."""
    release = threading.Event()

    def script(connection):
        for received in connection.requests():
            if received.target == b"/slow":
                release.wait(3)
            connection.send(answer(received.target))

    door.origin.script = script
    client = door.send(request("GET", "~/slow") + request("GET", "~/fast"))
    door.origin.until(lambda: door.origin.requests)
    door.mesh.settle()
    release.set()
    assert [client.response().body, client.response().body] == [b"/slow", b"/fast"]


def test_a_bad_request_behind_a_good_one(door):
    client = door.send(request("GET", "~/good") + request("GET", "~/bad", "X : 1") + SMUGGLED)
    assert client.response().body == b"GET /good 0"
    assert client.response().status == 400
    assert client.rest()[0] == b""
    assert [each.target for each in door.origin.requests] == [b"/good"]


def test_pipelined_with_head_and_errors(door):
    door.origin.script = replies(
        answer(b"a"), b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", answer(b"no", "404 Not Found"), answer(b"d")
    )
    client = door.send(request("GET", "~/a") + request("HEAD", "~/b") + request("GET", "~/c") + request("GET", "~/d"))
    got = [client.response(method) for method in ("GET", "HEAD", "GET", "GET")]
    assert [(each.status, each.body) for each in got] == [(200, b"a"), (200, b""), (404, b"no"), (200, b"d")]


def test_pipelined_clients_that_close_their_side_get_all_answers(door):
    client = door.send(b"".join(request("GET", f"~/{number}") for number in range(10)))
    client.half_close()
    assert [client.response().body for _ in range(10)] == [b"GET /%d 0" % number for number in range(10)]
    assert client.rest() == (b"", "fin")


# -- upstream trouble --------------------------------------------------------------------------------------------------


@table(
    "raw",
    {
        "get": request("GET"),
        "post": request("POST", "~/x", "Content-Length: 5", body=b"hello"),
        "chunked": request("POST", "~/x", "Transfer-Encoding: chunked", body=b"5\r\nhello\r\n0\r\n\r\n"),
    },
)
def test_refused_upstream(door, raw):
    """502 with the reason, the connection stays in step, and the next request finds the origin when it is back."""
    door.origin.refuse()
    try:
        client = door.send(raw)
        response = client.response()
        before = door.sidecar.errors("connect_failed")
        assert door.ask(raw).status == 502
        assert door.sidecar.errors("connect_failed") == before + 1
    finally:
        door.origin.listen()
    assert (response.status, response.error) == (502, "connect_failed")
    if response.get("connection") == b"close":
        client = door.connect()
    client.send(door.get())
    assert client.response().body == b"GET /x 0"


def test_a_failed_head_request_has_no_body(mesh):
    client = mesh.connect("127.0.0.1")
    client.send(request("HEAD", "http://dead/x", host="Host: dead"))
    response = client.response("HEAD")
    assert (response.status, response.error) == (502, "connect_failed")
    if response.get("connection") != b"close":
        client.send(request("GET", "http://cart/x"))
        assert client.response().body == b"GET /x 0"


@pytest.mark.parametrize("end", [CLOSE, RESET], ids=["fin", "rst"])
def test_an_idle_upstream_connection_that_closes_is_no_error(door, end):
    """Two hundred times the origin closes right after its answer, without saying so before."""
    door.origin.script = replies([answer(b"mine"), end])
    client = door.connect()
    for _ in range(200):
        client.send(door.get())
        assert client.response().body == b"mine"


@pytest.mark.parametrize("end", [CLOSE, RESET], ids=["fin", "rst"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_pooled_connection_that_dies_with_the_request_is_no_error(door, method, end):
    """The origin drops the second request of its first connection: a GET goes again, on a new one."""

    def script(connection):
        for number, _ in enumerate(connection.requests()):
            if number == 1 and connection is door.origin.connections[0]:
                return connection.perform([end])
            connection.send(answer(b"mine") if method == "GET" else answer(b""))

    door.origin.script = script
    client = door.connect()
    for _ in range(3):
        client.send(door.fill(request(method)))
        assert client.response(method).status == 200
    assert len(door.origin.connections) == 2


@pytest.mark.parametrize("end", [CLOSE, RESET], ids=["fin", "rst"])
@pytest.mark.parametrize(
    "raw",
    [
        request("POST", "~/x", "Content-Length: 5", body=b"hello"),
        request("PATCH", "~/x", "Transfer-Encoding: chunked", body=b"5\r\nhello\r\n0\r\n\r\n"),
        request("POST", "~/x"),
    ],
    ids=["length", "chunked", "no_body"],
)
def test_a_post_is_never_sent_twice(door, raw, end):
    """The same, with a method that may have had an effect: the client is told, the origin not asked again."""

    def script(connection):
        for received in connection.requests():
            if received.method != "GET":
                return connection.perform([end])
            connection.send(answer(b"mine"))

    door.origin.script = script
    client = door.send(request("GET"))
    assert client.response().status == 200
    client.send(door.fill(raw))
    response = client.response()
    assert (response.status, response.error) == (502, "upstream_reset")
    door.mesh.settle()
    assert [each.method for each in door.origin.heads] == ["GET", raw[: raw.index(b" ")].decode()]


def test_a_get_that_never_works_is_an_answer_too(door):
    """Retrying ends: an origin that drops every request makes one error, not a loop."""
    door.origin.script = lambda connection: (connection.request(), connection.perform([CLOSE]))
    response = door.ask(request())
    assert (response.status, response.error) == (502, "upstream_reset")
    assert len(door.origin.heads) <= 3


def test_a_new_connection_that_dies_before_an_answer_to_a_post(door):
    door.origin.script = lambda connection: (connection.request(), connection.perform([RESET]))
    response = door.ask(request("POST", "~/x", "Content-Length: 5", body=b"hello"))
    assert (response.status, response.error) == (502, "upstream_reset") and len(door.origin.heads) == 1


# -- clients that go ---------------------------------------------------------------------------------------------------


def holding(release, reply=answer(b"late")):  # noqa: B008 (octets never change)
    """A script that answers when told to."""

    def script(connection):
        connection.request()
        release.wait(3)
        connection.send(reply)

    return script


@table(
    "raw",
    {
        "get": request("GET"),
        "post": request("POST", "~/x", "Content-Length: 5", body=b"hello"),
        "chunked": request("POST", "~/x", "Transfer-Encoding: chunked", body=b"5\r\nhello\r\n0\r\n\r\n"),
    },
)
def test_a_client_that_closed_its_side_gets_its_answer(door, raw):
    release = threading.Event()
    door.origin.script = holding(release)
    client = door.send(raw)
    client.half_close()
    door.origin.until(lambda: door.origin.requests)
    door.mesh.settle()
    release.set()
    assert client.response().body == b"late"
    assert client.rest() == (b"", "fin")


def test_a_client_that_closed_its_side_gets_a_long_answer(door):
    """The grace is for answers that have not begun: one that has begun is sent to its end."""
    door.origin.script = replies(answer(b"x" * 3_000_000))
    client = door.send(request("GET"), receive_buffer=32 << 10)
    client.half_close()
    assert len(client.response().body) == 3_000_000


@pytest.mark.parametrize(
    "raw",
    [
        request("GET"),
        request("POST", "~/x", "Content-Length: 100", body=b"hello"),
        request("POST", "~/x", "Transfer-Encoding: chunked", body=b"5\r\nhello\r\n"),
    ],
    ids=["get", "in_length", "in_chunks"],
)
def test_a_client_that_resets_cancels_the_upstream_call(door, raw):
    before = door.sidecar.errors("client_gone")
    door.origin.script = lambda connection: (connection.head(), connection.rest())
    client = door.send(raw)
    door.origin.until(lambda: door.origin.heads)
    client.reset()
    door.origin.quiet(2)
    eventually(lambda: door.sidecar.errors("client_gone") == before + 1, "client_gone is not counted once")


def test_a_client_that_resets_while_it_is_answered(door):
    """The origin streams without end; the client goes; the stream stops."""

    def script(connection):
        connection.request()
        connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            connection.send(b"3e8\r\n" + b"x" * 1000 + b"\r\n")

    door.origin.script = script
    client = door.send(request())
    client.head(), client.chunk()
    client.reset()
    door.origin.quiet(2)


@table(
    "raw",
    {
        "length": request("POST", "~/x", "Content-Length: 100", body=b"hello"),
        "chunked": request("POST", "~/x", "Transfer-Encoding: chunked", body=b"5\r\nhello\r\n"),
        "length_without_octets": request("POST", "~/x", "Content-Length: 100"),
    },
)
@pytest.mark.parametrize("end", ["half_close", "close", "reset"])
def test_a_request_that_ends_early_is_not_completed(door, raw, end):
    """The origin sees its connection end inside the body, never a shorter body."""
    client = door.send(raw)
    door.origin.until(lambda: door.origin.heads)
    getattr(client, end)()
    door.origin.quiet(2)
    assert door.origin.requests == []


def test_a_client_that_goes_inside_a_head(door):
    client = door.send(b"GET ~/x HTTP/1.1\r\nHost: ca")
    client.half_close()
    data, _ = client.rest()
    assert data == b"" or data.startswith(b"HTTP/1.1 400")
    assert door.origin.octets == b""


def test_a_client_that_says_nothing(door):
    client = door.connect()
    client.half_close()
    assert client.rest() == (b"", "fin")


def test_many_clients_at_once_get_their_own_answers(door):
    clients = [door.connect() for _ in range(100)]
    for number, client in enumerate(clients):
        client.send(door.get(f"/{number}"))
    for number, client in enumerate(clients):
        assert client.response().body == b"GET /%d 0" % number


def test_an_early_answer_to_an_unfinished_upload(door):
    """The origin refuses after the head and closes: the client gets that answer, though it was still sending."""

    def script(connection):
        connection.head()
        connection.send(answer(b"too big", "413 Content Too Large", "Connection: close"))
        connection.half_close()
        connection.rest()

    door.origin.script = script
    client = door.send(request("POST", "~/x", "Content-Length: 1000000", body=b"x" * 1000))
    response = client.response()
    assert (response.status, response.body) == (413, b"too big")
    if response.get("connection") == b"close":
        assert client.rest()[0] == b""
    else:
        client.send(b"x" * 999_000)
        door.origin.script = echo
        client.send(door.get("/after"))
        assert client.response().body == b"GET /after 0"


def test_the_admin_listener_is_not_a_proxy(mesh):
    with Client(("127.0.0.1", mesh.sidecar.admin)) as client:
        client.send(request("GET", "http://cart/x", "Connection: close"))
        client.response()
    assert mesh.origin.octets == b""
