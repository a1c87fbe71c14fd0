# SPDX-License-Identifier: Apache-2.0
"""What clients and services in the field send, although nobody ought to: taken as it is meant, or told exactly why not.

Most are from public bug reports of other proxies; by curl, or by octets where no client at hand does it.
"""

import contextlib
import os
import subprocess
import threading

import pytest

import grpc_world
import harness
import http2
import life
from harness import CLOSE, eventually, replies, request, table
from http2 import CONTINUATION, END_HEADERS, END_STREAM, HEADERS, frame


def curl(door, *options):
    """Status and body of one answer to curl."""
    host = "127.0.0.1" if door.outgoing else "127.0.0.2"
    there = f"http://{host}:{door.sidecar.port}"
    where = ["-x", there, "http://cart/x"] if door.outgoing else [f"{there}/x"]
    command = ["curl", "-sS", "-m", "5", "-w", "\n%{http_code}", *options, *where]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 0, done.stderr
    body, _, status = done.stdout.rpartition("\n")
    return int(status), body


# -- X-Forwarded-Port as load balancers write it -----------------------------------------------------------------------


@pytest.mark.parametrize("value", ["443, 443", "443,80", "https", "443;443", "99999", "-1", " 443 "])
def test_a_port_that_nobody_needs(door, value):
    """Two load balancers in a row, or one that writes the scheme: nothing depends on it here."""
    assert curl(door, "-H", f"X-Forwarded-Port: {value}") == (200, "GET /x 0")


class Portless(life.Process):
    """A sidecar that was told no port of its service: X-Forwarded-Port has to say which."""

    def spawn(self):
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [harness.binary(), "--workers", "1"],
                env={**os.environ, "CHASSIS_CONF_DIR": self.directory.name},
                cwd=self.directory.name,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )


@pytest.fixture(scope="module")
def portless():
    origin = harness.Origin()
    sidecar = Portless(9, {})
    sidecar.start()
    yield sidecar, origin
    sidecar.stop()
    origin.refuse()


def test_a_port_that_chooses(portless):
    """The first of a list; what is no port cannot choose one, and only then is it refused."""
    sidecar, origin = portless

    def ask(value):
        with harness.Client(("127.0.0.2", sidecar.port)) as client:
            client.send(request("GET", "/x", f"X-Forwarded-Port: {value}"))
            return client.response()

    for value in (str(origin.port), f"{origin.port}, 443", f"{origin.port},{origin.port}"):
        assert ask(value).body == b"GET /x 0", value
    for value in ("https", "", "99999", f"https, {origin.port}"):
        response = ask(value)
        assert (response.status, response.error) in ((400, "bad_request"), (502, "no_local_port")), value


# -- heads of gRPC calls -----------------------------------------------------------------------------------------------

CALL = [("content-type", "application/grpc"), ("te", "trailers")]


@pytest.fixture(scope="module")
def shared_grpc():
    with grpc_world.Service() as service:
        with grpc_world.Sidecar({"cart": [service.endpoint]}, local=service.port) as sidecar:
            yield sidecar


@pytest.fixture(params=["outgoing", "incoming", "http"])
def grpc(request, shared_grpc):
    """A client of either gRPC listener, and one of the HTTP listener, where the content type tells what it is."""
    address = "127.0.0.2" if request.param == "incoming" else "127.0.0.1"
    with http2.Client((address, shared_grpc.port if request.param == "http" else shared_grpc.grpc)) as client:
        client.until(lambda: client.settings)
        yield client
        # The connection is none the worse for it.
        stream = client.open(*CALL, method="POST", path="/test.Shop/Name", authority="cart:80", end=False)
        client.data(stream, bytes(5), end=True)
        assert dict(client.answer(stream).trailers)["grpc-status"] == "0"


def call(client, *fields, path="/test.Shop/Echo"):
    """A call whose head may be larger than a frame."""
    head = [(":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "cart:80"), *CALL, *fields]
    block, stream = client.encoder.encode(head), client.next
    client.next += 2
    pieces = [block[at : at + 16000] for at in range(0, len(block), 16000)]
    for at, piece in enumerate(pieces):
        flags = (END_STREAM if at == 0 else 0) | (END_HEADERS if at == len(pieces) - 1 else 0)
        client.send(frame(CONTINUATION if at else HEADERS, flags, stream, piece))
    return client.answer(stream)


@table(
    "fields, path",
    {
        "large_field": ([("x-large", "v" * 40000)], "/test.Shop/Echo"),
        "many_fields": ([(f"x-{number}", "v") for number in range(120)], "/test.Shop/Echo"),
        "dots": ([], "/a/../b"),
    },
)
def test_errors_of_a_head_are_a_status(grpc, fields, path):
    """INVALID_ARGUMENT without a message, and why: libraries show the text of a 400 to nobody."""
    answered = call(grpc, *fields, path=path)
    fields = answered.fields
    assert answered.ended and answered.reset is None and not answered.body, answered
    assert (fields[":status"], fields["content-type"]) == ("200", "application/grpc")
    assert fields["grpc-status"] == "3" and fields["grpc-message"], fields
    assert fields["x-mesher-error"] in ("bad_request", "header_too_large")


# -- cookies of browsers over HTTP/2 -----------------------------------------------------------------------------------


def test_many_cookie_fields(door):
    """RFC 9113 8.2.3: a client may split its cookies, and they are one field again for HTTP/1.1."""
    cookies = [f"name{number}=value{number}" for number in range(110)]
    address = "127.0.0.1" if door.outgoing else "127.0.0.2"
    with http2.Client((address, door.sidecar.port)) as client:
        assert client.get(*(("cookie", each) for each in cookies), path="/x").status == 200
        received = door.origin.requests[0]
        assert received.all("cookie") == ["; ".join(cookies).encode()]
        # The number of other fields is limited as before, and so is the size of them all.
        assert client.get(*((f"x-{number}", "v") for number in range(110)), path="/x").status == 431
        assert client.get(*[("cookie", "c" * 1000)] * 70, path="/x").status == 431


# -- what services send ------------------------------------------------------------------------------------------------

LARGE = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Large: " + b"v" * 40000 + b"\r\n\r\n"
ODD = {
    "large": (LARGE, ("mesher.limits.headerField", "32")),
    "many": (b"HTTP/1.1 200 OK\r\n" + b"X: v\r\n" * 250 + b"\r\n", ("mesher.limits.responseHeaders", "200")),
    "line": (b"HTTP/1.1 200 " + b"O" * 20000 + b"\r\n\r\n", ("mesher.limits.requestLine",)),
    "name": (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX Odd: v\r\n\r\n", ("X Odd",)),
}


@table("raw, words", ODD)
def test_a_head_that_cannot_be_passed_on_is_told(door, raw, words):
    """The limit and its key, or the field: in the answer for whoever asks, and in the log for the operator."""
    door.origin.script = replies([raw, CLOSE])
    response = door.ask(request())
    assert (response.status, response.error) == (502, "bad_upstream_response")
    assert all(word.encode() in response.body for word in words), response.body


def test_a_head_that_cannot_be_passed_on_is_logged():
    """One line, however many requests it ends: a service that is wrong is wrong each time."""
    origin = harness.Origin()
    origin.script = replies([LARGE, CLOSE])
    with harness.Sidecar(9, {"cart": origin.port}) as sidecar:
        for _ in range(5):
            with harness.Client(("127.0.0.1", sidecar.port)) as client:
                client.send(request("GET", "http://cart/x"))
                assert client.response().status == 502
        told = lambda: [line for line in sidecar.log.read_text().splitlines() if "headerField" in line]  # noqa: E731
        (line,) = eventually(told, lambda: f"not logged: {sidecar.tail()}")
        assert " INFO " in line and "mesher.limits.headerField" in line and str(origin.port) in line
    origin.refuse()


CHUNKS = {
    "blank": b"5 \r\nhello\r\n0 \r\n\r\n",
    "blanks": b"5\t \r\nhello\r\n0\r\n\r\n",
    "zeros": b"0000000000000000000005\r\nhello\r\n0000\r\n\r\n",
    "both": b"0005  \r\nhello\r\n000 \r\n\r\n",
    "extension": b"5 ; a=b\r\nhello\r\n0\r\n\r\n",
}


@table("body", {name: (body,) for name, body in CHUNKS.items()})
def test_sloppy_chunks_of_a_service(door, body):
    """Blanks after a size, and zeros before it: most peers take them. A client gets them tidy."""
    (body,) = body
    door.origin.script = replies(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body)
    assert curl(door) == (200, "hello")
    response = door.ask(request())
    assert response.body == b"hello"
    # The connection to the service is in step: the next answer is its own.
    door.origin.fresh()
    assert door.ask(request()).body == b"GET /x 0"


@table("body", {name: (body,) for name, body in CHUNKS.items() if name != "extension"})
def test_sloppy_chunks_of_a_client(door, body):
    """Towards a service there is one reading only."""
    (body,) = body
    harness.refused(door, request("POST", "~/x", "Transfer-Encoding: chunked", body=body), untouched=False)


# -- the end of a sidecar ----------------------------------------------------------------------------------------------


DRAINED = {"mesher.yaml": "mesher.timeouts: {drain: 500ms, farewell: 0s}\n"}


@pytest.mark.parametrize("drained", ["outgoing", "incoming", "callee"])
def test_streams_that_a_drain_cuts_are_unavailable(drained):
    """A client may try again elsewhere: UNAVAILABLE says so, INTERNAL would not. Its own sidecar passes it on."""
    with contextlib.ExitStack() as stack:
        service = stack.enter_context(grpc_world.Service())
        services = {"cart": [service.endpoint]}
        sidecar = ended = stack.enter_context(grpc_world.Sidecar(services, DRAINED, local=service.port))
        if drained == "callee":
            services = {"cart": [f"grpc://127.0.0.2:{ended.grpc}"]}
            sidecar = stack.enter_context(grpc_world.Sidecar(services))
        target = f"127.0.0.2:{sidecar.grpc}" if drained == "incoming" else f"127.0.0.1:{sidecar.grpc}"
        options = ("grpc.default_authority", "cart"), ("grpc.enable_http_proxy", 0)
        channel = stack.enter_context(grpc_world.Channel(target, *options))
        calls = [channel.both("Hello", iter(threading.Event().wait, None), 20) for _ in range(3)]
        assert [next(each) for each in calls] == [b"hello"] * 3
        ended.process.terminate()
        for each in calls:
            with grpc_world.refusal(grpc_world.grpc.StatusCode.UNAVAILABLE):
                next(each)
