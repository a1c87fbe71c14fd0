# SPDX-License-Identifier: Apache-2.0
"""CONNECT to a service, octet by octet: HTTP/1.1 or HTTP/2 inside, refusals before the 200 and endings after it."""

import re
import ssl

import pytest

import grpc_world
import harness
import http2
import life
from harness import eventually, request, table
from observed import Metrics
from test_discovery import Caller, Instance
from test_http1_upgrade import FIELDS, parrot, switching
from test_registry import CART, Registry

GET = request("GET", "/x")


def connect(target="cart:80", *fields):
    return request("CONNECT", target, *fields, host=f"Host: {target}")


@pytest.fixture
def tunnel(mesh):
    """A client whose CONNECT was answered 200."""
    client = mesh.connect("127.0.0.1")
    client.send(connect())
    assert client.head().status == 200
    return client


# -- HTTP/1.1 inside ---------------------------------------------------------------------------------------------------


def test_requests_one_after_the_other(mesh, tunnel):
    """In origin-form, as to the service itself, with and without bodies of either framing; each is counted."""
    metrics = Metrics(mesh.sidecar)
    for number in range(3):
        tunnel.send(request("GET", f"/{number}?a=%2F"))
        assert tunnel.response().body == b"GET /%d?a=%%2F 0" % number
    tunnel.send(request("POST", "/length", "Content-Length: 5", body=b"hello"))
    assert tunnel.response().body == b"POST /length 5"
    tunnel.send(request("POST", "/chunked", "Transfer-Encoding: chunked", body=b"5\r\nhello\r\n0\r\n\r\n"))
    assert tunnel.response().body == b"POST /chunked 5"
    tunnel.send(request("HEAD", "/head"))
    assert tunnel.response("HEAD").status == 200
    assert [each.host for each in mesh.origin.requests] == [b"cart"] * 6
    counted = lambda: metrics.moved("successes_total", service_name="cart")["successes_total"]  # noqa: E731
    eventually(lambda: counted() == 6, lambda: f"counted: {counted()}")


def test_an_absolute_form_inside(mesh, tunnel):
    """A client that takes the tunnel for the proxy is not wrong about where the request goes."""
    tunnel.send(request("GET", "http://cart/x"))
    assert tunnel.response().body == b"GET /x 0"


def test_the_service_is_that_of_connect(mesh, tunnel):
    """Whatever Host says inside: the name was agreed on outside."""
    tunnel.send(request("GET", "/x", host="Host: www.example.com"))
    assert tunnel.response().body == b"GET /x 0"


def test_what_came_with_connect(mesh):
    """A client that does not wait for the 200, and one that asks to close a connection which is none any more."""
    client = mesh.connect("127.0.0.1")
    client.send(connect("cart:80", "Connection: close", "Proxy-Connection: keep-alive") + GET + GET)
    assert client.head().status == 200
    assert [client.response().body, client.response().body] == [b"GET /x 0"] * 2


def test_what_comes_in_pieces(mesh, tunnel):
    """The first octets tell which protocol it is, however few there are at a time."""
    for octet in GET:
        tunnel.send(bytes((octet,)))
    assert tunnel.response().body == b"GET /x 0"


def test_the_end_of_a_tunnel(mesh, tunnel):
    tunnel.send(request("GET", "/x", "Connection: close"))
    response = tunnel.response()
    assert (response.status, response.get("connection")) == (200, b"close")
    assert tunnel.rest() == (b"", "fin")


def test_a_client_that_says_nothing_and_leaves(mesh, tunnel):
    before = failures(mesh.sidecar)
    tunnel.half_close()
    assert tunnel.rest() == (b"", "fin")
    assert failures(mesh.sidecar) == before


def test_an_upgrade_inside(mesh, tunnel):
    mesh.origin.script = switching(parrot)
    tunnel.send(request("GET", "/chat", *FIELDS))
    assert tunnel.response().status == 101
    tunnel.send(b"hello")
    assert tunnel.read(5) == b"HELLO"
    tunnel.half_close()
    assert tunnel.rest() == (b"<end>", "fin")


def test_errors_inside_are_answers(mesh):
    """A service that is down is a 502 of its request, not of the tunnel; and HTTP/1.1 keeps its rules."""
    client = mesh.connect("127.0.0.1")
    client.send(connect("dead:80"))
    assert client.head().status == 200
    client.send(request("GET", "/x", host="Host: dead"))
    response = client.response()
    assert (response.status, response.error) == (502, "connect_failed")
    client.send(request("GET", "/a/../b", host="Host: dead"))
    assert client.response().status == 400


def test_connect_inside(mesh, tunnel):
    """Refused, or it leads to what it names: never is one service asked in the name of another."""
    tunnel.send(connect("dead:80"))
    response = tunnel.head()
    assert response.status == 200 or response.error
    if response.status == 200:
        tunnel.send(GET)
        assert tunnel.response().error == "connect_failed"
    assert mesh.origin.requests == []


def test_the_200_says_nothing_else(mesh):
    """RFC 9110 9.3.6: no framing; nor does it speak of an upgrade that nobody asked for."""
    client = mesh.connect("127.0.0.1")
    client.send(connect())
    assert client.head().names() <= {"date"}


# -- HTTP/2 inside -----------------------------------------------------------------------------------------------------


def test_grpc_in_a_tunnel_of_the_http_listener():
    """As a user has it who sets http_proxy to the one listener that everything else uses."""
    with grpc_world.Service() as service, grpc_world.Sidecar({"cart": [service.endpoint]}) as sidecar:
        with grpc_world.Channel("cart:80", ("grpc.http_proxy", f"http://127.0.0.1:{sidecar.port}")) as channel:
            assert channel.unary("Echo", b"x") == b"x"
            assert list(channel.down("Count", b"3")) == [b"0", b"1", b"2"]


def test_http2_for_a_service_of_http1(mesh, tunnel):
    """What is inside need not be what the service speaks."""
    with http2.Client(("127.0.0.1", mesh.sidecar.port), greet=False) as client:
        client.sock.close()
        client.sock = tunnel.sock
        client.send(http2.PREFACE + http2.frame(http2.SETTINGS))
        answer = client.get(path="/x")
    assert (answer.status, bytes(answer.body)) == (200, b"GET /x 0")


# -- what is neither ---------------------------------------------------------------------------------------------------


def hello():
    """The first octets of a TLS client."""
    sent = ssl.MemoryBIO()
    handshake = ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), sent, server_hostname="cart")
    with pytest.raises(ssl.SSLWantReadError):
        handshake.do_handshake()
    return sent.read()


def failures(sidecar):
    """All that was counted as an error or met a limit, by reason."""
    families = ("mesher_errors_total{", "mesher_limit_hits_total{")
    text = sidecar.ask("/v1/mesher/metrics").body.decode()
    lines = [line.rpartition(" ") for line in text.splitlines() if line.startswith(families)]
    return {name: float(value) for name, _, value in lines if float(value)}


@table("octets", {"tls": hello(), "garbage": b"\x00\x01\x02\x03" * 10, "smtp": b"EHLO cart\r\n"})
def test_anything_else_ends_the_tunnel(mesh, octets):
    """Closed, counted with a reason, and told once however often it happens; no octet reaches the service."""
    before = failures(mesh.sidecar)
    for _ in range(5):
        client = mesh.connect("127.0.0.1")
        client.send(connect())
        assert client.head().status == 200
        client.send(octets)
        assert client.rest()[1] in ("fin", "rst")
    counted = lambda: sum(failures(mesh.sidecar).values()) - sum(before.values())  # noqa: E731
    eventually(lambda: counted() == 5, lambda: f"counted: {counted()} {failures(mesh.sidecar)}")
    assert mesh.origin.connections == []
    assert sum("CONNECT" in line for line in mesh.sidecar.log.read_text().splitlines()) <= 1


def test_what_was_no_http_is_logged():
    """A sidecar of its own, since the line is written once in a while only."""
    origin = harness.Origin()
    with harness.Sidecar(9, {"cart": origin.port}) as sidecar:
        for _ in range(3):
            with harness.Client(("127.0.0.1", sidecar.port)) as client:
                client.send(connect())
                assert client.head().status == 200
                client.send(hello())
                client.rest()
        told = lambda: [line for line in sidecar.log.read_text().splitlines() if "CONNECT" in line]  # noqa: E731
        eventually(told, "not logged")
        with harness.Client(("127.0.0.1", sidecar.port)) as client:
            client.send(request("GET", "http://cart/"))
            assert client.response().status == 200
        assert len(told()) == 1 and "TLS" in told()[0], told()
    origin.refuse()


def test_silence_inside_ends(brief):
    """The time for a head begins with the 200; what does not come is an idle connection."""
    client = brief.connect("127.0.0.1")
    client.send(connect())
    assert client.head().status == 200
    assert client.rest() == (b"", "fin")


# -- refused before the 200 --------------------------------------------------------------------------------------------


def test_https_to_a_service_is_refused_with_a_reason(mesh):
    """A client that wants TLS with the service would only see a broken handshake: it is told before."""
    client = mesh.connect("127.0.0.1")
    client.send(connect("cart:443"))
    response = client.response()
    assert 400 <= response.status < 500 and response.error, response.start
    text = response.body.lower()
    assert b"http://" in text and (b"tls" in text or b"443" in text), response.body


def test_tls_to_a_service_is_counted(mesh):
    """A handshake fails whether the port tells it before or the first octet does after."""
    before = sum(failures(mesh.sidecar).values())
    context = ssl.create_default_context()
    for port in (443, 8443):
        client = mesh.connect("127.0.0.1")
        client.send(connect(f"cart:{port}"))
        if client.head().status == 200:
            with pytest.raises(OSError):
                context.wrap_socket(client.sock, server_hostname="cart")
    eventually(lambda: sum(failures(mesh.sidecar).values()) == before + 2, "not counted")


def test_a_name_that_nobody_has(mesh):
    client = mesh.connect("127.0.0.1")
    client.send(connect("nobody:80"))
    response = client.response()
    assert (response.status, response.error) == (405, "method_refused")


@table("target", {"loopback": "127.0.0.1:80", "localhost": "localhost:80", "metadata": "169.254.169.254:80"})
def test_places_that_nobody_published(mesh, target):
    """CONNECT is no way around what is refused otherwise."""
    client = mesh.connect("127.0.0.1")
    client.send(connect(target))
    response = client.response()
    assert response.status in (403, 405) and response.error


# -- names that a registry is asked for --------------------------------------------------------------------------------


def test_a_service_that_nobody_asked_for_yet(tmp_path):
    """An answer does not depend on earlier traffic: the registry is asked for CONNECT as for anything else."""
    instance, log = Instance(), (tmp_path / "registry.log").open("wb")
    registry = Registry(log)
    cart = registry.service(**{**CART, "appId": "shop"})
    registry.instance(cart, endpoints=[instance.endpoint])
    caller = Caller(tmp_path / "web", registry.port)
    try:

        def ask(_):
            with harness.Client(("127.0.0.1", caller.port)) as client:
                client.send(connect() + request("GET", "/"))
                assert client.head().status == 200
                assert client.response().body == b"hello"

        # At once, so that some wait for the answer that others have asked for.
        life.in_parallel(4, ask)
        with harness.Client(("127.0.0.1", caller.port)) as client:
            client.send(connect("nobody:80"))
            assert client.response().status == 405
    finally:
        caller.stop()
        registry.stop()
        instance.stop()
        log.close()


# -- ws: ---------------------------------------------------------------------------------------------------------------


def test_an_upgrade_of_a_ws_target(mesh):
    """aiohttp, and curl since 8.20, ask a proxy for `ws://host/`."""
    mesh.origin.script = switching(parrot)
    client = mesh.connect("127.0.0.1")
    client.send(request("GET", "ws://cart/chat?a=b", *FIELDS))
    assert client.response().status == 101
    client.send(b"hello")
    assert client.read(5) == b"HELLO"
    received = mesh.origin.requests[0]
    assert (received.target, received.host) == (b"/chat?a=b", b"cart")


@table("scheme, fields", {"ws": ("ws", ()), "wss": ("wss", ()), "secure_upgrade": ("wss", FIELDS)})
def test_a_ws_target_without_an_upgrade(mesh, scheme, fields):
    """The refusal names what it stumbled over; TLS towards a service is the sidecar's business."""
    client = mesh.connect("127.0.0.1")
    client.send(request("GET", f"{scheme}://cart/", *fields))
    response = client.response()
    assert response.status == 400 and re.search(rf"\b{scheme}\b", response.body.decode()), response.body
    assert mesh.origin.connections == []
