# SPDX-License-Identifier: Apache-2.0
"""HTTP/2 at the listeners: what RFC 9113 and 7541 want of a server, and what the HTTP/1.1 service behind it gets."""

import signal
import struct
import subprocess
import threading

import pytest

import harness
import http2
from harness import CLOSE, answer, eventually
from http2 import *  # noqa: F403  the vocabulary of frames
from http2 import block, frame

GET = [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "cart")]


@pytest.fixture(scope="module")
def mesh():
    origin = harness.Origin()
    sidecar = harness.Sidecar(origin.port, {"cart": origin.port})
    sidecar.start()
    yield sidecar, origin
    sidecar.stop()
    origin.refuse()


@pytest.fixture(params=["outgoing", "incoming"])
def door(request, mesh):
    sidecar, origin = mesh
    origin.fresh()
    yield ("127.0.0.1" if request.param == "outgoing" else "127.0.0.2", sidecar.port)
    assert sidecar.alive
    assert not origin.violations


@pytest.fixture
def client(mesh):
    mesh[1].fresh()
    with http2.Client(("127.0.0.2", mesh[0].port)) as client:
        yield client
    assert mesh[0].alive
    assert not mesh[1].violations


# -- requests and answers ----------------------------------------------------------------------------------------------


def test_settings_are_told_and_acknowledged(client):
    client.until(lambda: any(kind == http2.SETTINGS and flags & http2.ACK for kind, flags, *_ in client.frames))
    assert client.settings == {3: 100, 4: 65536, 6: 60 << 10}
    assert client.frames[0][0] == http2.SETTINGS


def test_a_request_reaches_the_service(door, mesh):
    with http2.Client(door) as client:
        got = client.get(("x-a", "b"), ("cookie", "a=1"), ("cookie", "b=2"), path="/items?id=1", authority="cart:8080")
    assert (got.status, bytes(got.body), got.ended) == (200, b"GET /items?id=1 0", True)
    received = mesh[1].requests[-1]
    fields = dict(received.fields)
    assert fields["host"] == b"cart:8080" and fields["cookie"] == b"a=1; b=2" and fields["x-a"] == b"b"
    assert not {b":method", "te", "connection"} & set(fields)


def test_a_body_of_unknown_length_and_one_of_known_length(door, mesh):
    with http2.Client(door) as client:
        stream = client.open(method="POST", path="/p", end=False)
        client.data(stream, b"one ")
        client.data(stream, b"two", padding=9)
        client.data(stream, end=True)
        assert bytes(client.answer(stream).body) == b"POST /p 7"
        assert dict(mesh[1].requests[-1].fields)["transfer-encoding"] == b"chunked"
        stream = client.open(("content-length", "3"), method="POST", path="/p", end=False)
        client.data(stream, b"abc", end=True)
        assert bytes(client.answer(stream).body) == b"POST /p 3"
        assert dict(mesh[1].requests[-1].fields)["content-length"] == b"3"


def test_a_body_that_there_is_not(door, mesh):
    """RFC 9110 §8.6: a method that usually has one says so; others say nothing."""
    with http2.Client(door) as client:
        for method, length in (("POST", b"0"), ("GET", None)):
            assert client.get(method=method).status == 200
            fields = dict(mesh[1].requests[-1].fields)
            assert fields.get("content-length") == length and "transfer-encoding" not in fields


def test_trailers_go_along_in_both_directions(client, mesh):
    def script(connection):
        for _ in connection.requests():
            connection.send(
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 1\r\nHost: no\r\n\r\n"
            )

    mesh[1].script = script
    stream = client.open(method="POST", end=False)
    client.data(stream, b"body")
    trailers = client.encoder.encode([("x-check", "2"), ("content-length", "9")])
    client.send(frame(http2.HEADERS, http2.END_STREAM | http2.END_HEADERS, stream, trailers))
    got = client.answer(stream)
    assert bytes(got.body) == b"ok" and got.trailers == [("x-sum", "1")]
    assert mesh[1].requests[-1].trailers == [("x-check", b"2")]


@pytest.mark.parametrize(
    ("method", "raw", "status", "body"),
    [
        ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n", 200, b""),
        ("GET", b"HTTP/1.1 204 No Content\r\n\r\n", 204, b""),
        ("GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", 304, b""),
        ("GET", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200, b""),
        ("GET", [b"HTTP/1.1 200 OK\r\n\r\nuntil the end", CLOSE], 200, b"until the end"),
        ("GET", b"HTTP/1.1 200 OK\r\nConnection: x-gone\r\nX-Gone: 1\r\nContent-Length: 2\r\n\r\nok", 200, b"ok"),
    ],
)
def test_answers(client, mesh, method, raw, status, body):
    def script(connection):
        for _ in connection.requests():
            connection.perform(raw)

    mesh[1].script = script
    got = client.get(method=method)
    assert (got.status, bytes(got.body), got.ended) == (status, body, True)
    assert not {"connection", "x-gone", "transfer-encoding"} & set(got.fields)


def test_interim_answers(client, mesh):
    def script(connection):
        for _ in connection.requests():
            connection.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + answer(b"late"))

    mesh[1].script = script
    got = client.get()
    assert [dict(head)[":status"] for head in got.heads] == ["103", "200"] and bytes(got.body) == b"late"


def test_a_cut_answer_is_seen_to_be_cut(client, mesh):
    mesh[1].script = lambda connection: (
        connection.request() and connection.perform([b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", CLOSE])
    )
    got = client.get()
    assert not got.ended and got.reset == http2.INTERNAL


def test_an_early_answer_ends_the_request(client, mesh):
    mesh[1].script = lambda connection: (
        connection.head() and connection.perform([answer(b"no", "413 Too Large"), CLOSE])
    )
    stream = client.open(("content-length", "100000"), method="POST", end=False)
    client.data(stream, b"x" * 1000)
    client.until(lambda: client.of(stream).reset is not None)
    assert client.of(stream).status == 413 and client.of(stream).ended and client.of(stream).reset == http2.NO_ERROR
    mesh[1].script = harness.echo
    assert client.get().status == 200


def test_errors_of_mesher(mesh):
    with http2.Client(("127.0.0.1", mesh[0].port)) as client:
        got = client.get(authority="nosuch")
        assert (got.status, got.fields["x-mesher-error"]) == (502, "no_endpoint")
        assert bytes(got.body) == b"lb: No available instance, key: nosuch()"
        assert client.get(path="/../x").status == 400
        assert client.get(authority="user@cart").status == 400
        got = client.answer(client.open_raw(block((":method", "CONNECT"), (":authority", "cart:80")), end=False))
        assert got.status == 405
        assert client.get().status == 200


def test_large_heads_are_refused_and_the_connection_goes_on(client):
    assert client.get(*[(f"x-{n}", "v") for n in range(101)]).status == 431
    assert client.get().status == 200


def test_many_requests_at_a_time(client, mesh):
    streams = [client.open(path=f"/{n}") for n in range(90)]
    assert [bytes(client.answer(each).body) for each in streams] == [b"GET /%d 0" % n for n in range(90)]


def test_more_than_allowed_at_a_time_are_refused_and_may_be_repeated(client, mesh):
    go = threading.Event()

    def script(connection):
        for request in connection.requests():
            go.wait(harness.PATIENCE)
            connection.send(answer(request.method.encode()))

    mesh[1].script = script
    streams = [client.open() for _ in range(101)]
    assert client.answer(streams[-1]).reset == http2.REFUSED
    go.set()
    assert {client.answer(each).status for each in streams[:-1]} == {200}
    assert client.get().status == 200


# -- windows ------------------------------------------------------------------------------------------------------------


def big(mesh, size):
    def script(connection):
        for _ in connection.requests():
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size)

    mesh[1].fresh()
    mesh[1].script = script


def test_nothing_is_sent_beyond_the_windows(mesh):
    big(mesh, 50000)
    with http2.Client(("127.0.0.2", mesh[0].port), window=10) as client:
        stream = client.open()
        client.until(lambda: len(client.of(stream).body) == 10)
        client.send(frame(http2.WINDOW, 0, stream, struct.pack(">I", 5)))
        client.until(lambda: len(client.of(stream).body) == 15)
        # A larger initial window holds for streams that are open, too.
        client.send(frame(http2.SETTINGS, 0, 0, struct.pack(">HI", 4, 30000)))
        client.until(lambda: len(client.of(stream).body) == 30005)
        client.send(frame(http2.WINDOW, 0, stream, struct.pack(">I", 50000)))
        assert len(client.answer(stream).body) == 50000
        assert all(len(payload) <= 16384 for kind, _, _, payload in client.frames if kind == http2.DATA)


def test_the_window_of_the_connection_is_shared(mesh):
    big(mesh, 60000)
    with http2.Client(("127.0.0.2", mesh[0].port), window=60000) as client:
        first, second = client.open(), client.open()
        client.until(lambda: len(client.of(first).body) + len(client.of(second).body) == 65535)
        client.send(frame(http2.WINDOW, 0, 0, struct.pack(">I", 100000)))
        assert len(client.answer(first).body) == len(client.answer(second).body) == 60000


def test_a_large_upload_gets_window_as_it_is_taken(client, mesh):
    size, sent, windows = 1 << 20, 0, {0: 65535}
    stream = client.open(("content-length", str(size)), method="POST", end=False)
    windows[stream] = 65536
    seen = 0
    while sent < size:
        for kind, _, which, payload in client.frames[seen:]:
            if kind == http2.WINDOW:
                windows[which] = windows.get(which, 65536) + int.from_bytes(payload, "big")
        seen = len(client.frames)
        count = min(16384, windows[0], windows[stream], size - sent)
        if count == 0:
            assert client.read()
            continue
        client.data(stream, b"y" * count, end=sent + count == size)
        sent += count
        windows[0] -= count
        windows[stream] -= count
    assert bytes(client.answer(stream).body) == b"POST / %d" % size


# -- what ends a connection ---------------------------------------------------------------------------------------------

OPEN = frame(http2.HEADERS, http2.END_HEADERS, 1, block((":method", "POST"), *GET[1:]))
DONE = frame(http2.HEADERS, http2.END_HEADERS | http2.END_STREAM, 1, block(*GET))


@pytest.mark.parametrize(
    ("data", "code"),
    {
        "frame_too_large": (frame(http2.DATA, 0, 1, b"x" * 16385), http2.SIZE),
        "data_on_stream_0": (frame(http2.DATA, 0, 0, b"x"), http2.PROTOCOL),
        "data_on_an_idle_stream": (frame(http2.DATA, 0, 5, b"x"), http2.PROTOCOL),
        "reset_of_an_idle_stream": (frame(http2.RST, 0, 5, bytes(4)), http2.PROTOCOL),
        "window_of_an_idle_stream": (frame(http2.WINDOW, 0, 5, b"\0\0\0\1"), http2.PROTOCOL),
        "even_stream": (frame(http2.HEADERS, 5, 2, block(*GET)), http2.PROTOCOL),
        "lower_stream": (
            DONE.replace(b"\0\0\0\1", b"\0\0\0\5", 1) + frame(http2.HEADERS, 5, 3, block(*GET)),
            http2.CLOSED,
        ),
        "headers_on_stream_0": (frame(http2.HEADERS, 5, 0, block(*GET)), http2.PROTOCOL),
        "padding_longer_than_the_frame": (OPEN + frame(http2.DATA, http2.PADDED, 1, b"\5abc"), http2.PROTOCOL),
        "interrupted_block": (frame(http2.HEADERS, 0, 1, b"") + frame(http2.PING, 0, 0, bytes(8)), http2.PROTOCOL),
        "continuation_of_nothing": (frame(http2.CONTINUATION, 4, 1, b""), http2.PROTOCOL),
        "continuation_elsewhere": (
            frame(http2.HEADERS, 0, 1, b"") + frame(http2.CONTINUATION, 4, 3, b""),
            http2.PROTOCOL,
        ),
        "too_many_continuations": (
            frame(http2.HEADERS, 0, 1) + frame(http2.CONTINUATION, 0, 1, b"\x82") * 9,
            http2.CALM,
        ),
        "settings_ack_with_payload": (frame(http2.SETTINGS, http2.ACK, 0, bytes(6)), http2.SIZE),
        "settings_on_a_stream": (frame(http2.SETTINGS, 0, 1, b""), http2.PROTOCOL),
        "settings_of_five_bytes": (frame(http2.SETTINGS, 0, 0, bytes(5)), http2.SIZE),
        "settings_push_2": (frame(http2.SETTINGS, 0, 0, struct.pack(">HI", 2, 2)), http2.PROTOCOL),
        "settings_window": (frame(http2.SETTINGS, 0, 0, struct.pack(">HI", 4, 1 << 31)), http2.FLOW),
        "settings_frame_small": (frame(http2.SETTINGS, 0, 0, struct.pack(">HI", 5, 16383)), http2.PROTOCOL),
        "settings_frame_big": (frame(http2.SETTINGS, 0, 0, struct.pack(">HI", 5, 1 << 24)), http2.PROTOCOL),
        "ping_of_seven_bytes": (frame(http2.PING, 0, 0, bytes(7)), http2.SIZE),
        "ping_on_a_stream": (frame(http2.PING, 0, 1, bytes(8)), http2.PROTOCOL),
        "goaway_on_a_stream": (frame(http2.GOAWAY, 0, 1, bytes(8)), http2.PROTOCOL),
        "window_0": (frame(http2.WINDOW, 0, 0, bytes(4)), http2.PROTOCOL),
        "window_overflow": (frame(http2.WINDOW, 0, 0, b"\x7f\xff\xff\xff"), http2.FLOW),
        "window_of_three_bytes": (frame(http2.WINDOW, 0, 0, bytes(3)), http2.SIZE),
        "push_promise": (frame(http2.PUSH, 4, 1, b"\0\0\0\2" + block(*GET)), http2.PROTOCOL),
        "index_0": (frame(http2.HEADERS, 5, 1, b"\x80"), http2.COMPRESSION),
        "index_beyond_the_table": (frame(http2.HEADERS, 5, 1, b"\xbe"), http2.COMPRESSION),
        "table_too_large": (frame(http2.HEADERS, 5, 1, b"\x3f\xe2\x1f"), http2.COMPRESSION),
        "late_table_size": (frame(http2.HEADERS, 5, 1, b"\x82\x20"), http2.COMPRESSION),
        "huffman_eos": (frame(http2.HEADERS, 5, 1, b"\x00\x84\xff\xff\xff\xff\x00"), http2.COMPRESSION),
        "headers_on_a_closed_stream": (DONE + frame(http2.HEADERS, 5, 1, block(*GET)), None),
    }.values(),
    ids=str,
)
def test_broken_frames_end_the_connection(mesh, data, code):
    mesh[1].fresh()
    with http2.Client(("127.0.0.2", mesh[0].port)) as client:
        client.try_send(data)
        if code is None:
            client.until(lambda: client.goaway is not None or client.of(1).reset is not None)
            assert http2.CLOSED in (client.goaway, client.of(1).reset)
        else:
            assert client.ends() == code
    with http2.Client(("127.0.0.2", mesh[0].port)) as client:
        assert client.get().status == 200


@pytest.mark.parametrize(
    "fields",
    {
        "upper_case": [*GET, ("X-A", "b")],
        "connection": [*GET, ("connection", "close")],
        "keep_alive": [*GET, ("keep-alive", "1")],
        "proxy_connection": [*GET, ("proxy-connection", "1")],
        "transfer_encoding": [*GET, ("transfer-encoding", "chunked")],
        "upgrade": [*GET, ("upgrade", "websocket")],
        "te": [*GET, ("te", "gzip")],
        "second_te": [*GET, ("te", "trailers"), ("te", "gzip")],
        "no_method": GET[1:],
        "no_scheme": [GET[0], *GET[2:]],
        "no_path": [*GET[:2], GET[3]],
        "empty_path": [*GET[:2], (":path", ""), GET[3]],
        "two_paths": [*GET, (":path", "/")],
        "unknown_pseudo": [*GET, (":x", "y")],
        "pseudo_of_an_answer": [*GET, (":status", "200")],
        "pseudo_behind": [*GET[:3], ("x", "y"), GET[3]],
        "other_host": [*GET, ("host", "other")],
        "nul": [*GET, ("x", "a\0b")],
        "line_feed": [*GET, ("x", "a\nb: c")],
        "carriage_return": [*GET, ("x", "a\r")],
        "blank_in_front": [*GET, ("x", " a")],
        "blank_behind": [*GET, ("x", "a\t")],
        "name_with_a_blank": [*GET, ("x y", "a")],
        "no_name": [*GET, ("", "a")],
        "two_lengths": [*GET, ("content-length", "0"), ("content-length", "0")],
        "length_without_body": [*GET, ("content-length", "1")],
        "length_with_a_sign": [*GET, ("content-length", "+0")],
    }.values(),
    ids=lambda fields: str(fields[-1]),
)
def test_malformed_requests_end_their_stream_only(client, mesh, fields):
    assert client.answer(client.open_raw(block(*fields))).reset == http2.PROTOCOL
    assert client.get(path="/next").status == 200
    assert [each.target for each in mesh[1].requests] == [b"/next"]


@pytest.mark.parametrize("body", [b"four", b""], ids=["longer", "shorter"])
def test_a_body_that_is_not_as_long_as_said(client, mesh, body):
    stream = client.open(("content-length", "3"), method="POST", end=False)
    client.data(stream, body, end=True)
    got = client.answer(stream)
    assert got.reset == http2.PROTOCOL
    assert not mesh[1].requests


@pytest.mark.parametrize(
    ("after", "code"),
    [
        (frame(http2.WINDOW, 0, 1, bytes(4)), http2.PROTOCOL),
        (frame(http2.WINDOW, 0, 1, b"\x7f\xff\xff\xff"), http2.FLOW),
        (frame(http2.PRIORITY, 0, 1, bytes(4)), http2.SIZE),
        (frame(http2.PRIORITY, 0, 1, b"\0\0\0\1\0"), http2.PROTOCOL),
        (frame(http2.HEADERS, 4, 1, block(("x", "y"))), http2.PROTOCOL),  # trailers that do not end the stream
        (frame(http2.HEADERS, 5, 1, block((":path", "/"))), http2.PROTOCOL),
    ],
    ids=str,
)
def test_mistakes_on_a_stream_end_that_stream(client, after, code):
    client.send(OPEN + after)
    client.next = 3
    assert client.answer(1).reset == code
    assert client.get().status == 200


def test_what_is_unknown_or_harmless_is_ignored(client):
    client.send(frame(0x55, 0xFF, 7, b"what") + frame(http2.PRIORITY, 0, 9, b"\0\0\0\3\1"))
    client.send(frame(http2.SETTINGS, 0, 0, struct.pack(">HI", 0x99, 1)) + frame(http2.PING, 0, 0, b"12345678"))
    client.until(lambda: (http2.PING, http2.ACK, 0, b"12345678") in client.frames)
    flags = http2.END_HEADERS | http2.END_STREAM | http2.PADDED | http2.WITH_PRIORITY
    client.send(frame(http2.HEADERS, flags, 1, b"\2" + b"\0\0\0\3\1" + block(*GET) + b"\0\0"))
    assert client.answer(1).status == 200


def test_a_head_in_several_frames(client):
    whole = block(*GET, ("x-a", "b"))
    client.send(frame(http2.HEADERS, http2.END_STREAM, 1, whole[:10]) + frame(http2.CONTINUATION, 0, 1, whole[10:11]))
    client.send(frame(http2.CONTINUATION, http2.END_HEADERS, 1, whole[11:]))
    assert client.answer(1).status == 200


def test_octet_by_octet(client):
    for octet in OPEN + frame(http2.DATA, http2.END_STREAM, 1, b"body"):
        client.send(bytes((octet,)))
    assert bytes(client.answer(1).body) == b"POST / 4"


def test_the_preface_must_be_right(mesh):
    with harness.Client(("127.0.0.2", mesh[0].port)) as client:
        client.send(b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n" + frame(http2.SETTINGS))
        assert b"HTTP/1." not in client.rest()[0]


# -- cancelling, stopping -----------------------------------------------------------------------------------------------


def test_a_cancelled_request_is_taken_back(client, mesh):
    gone = threading.Event()

    def script(connection):
        connection.request()
        connection.rest()
        gone.set()

    mesh[1].script = script
    stream = client.open()
    eventually(lambda: mesh[1].requests, "no request")
    client.send(frame(http2.RST, 0, stream, struct.pack(">I", http2.CANCEL)))
    assert gone.wait(harness.PATIENCE)
    mesh[1].script = harness.echo
    assert client.get().status == 200


def test_a_client_that_says_goodbye(client, mesh):
    """The connection closes once nothing is open any more."""
    go = threading.Event()

    def script(connection):
        for _ in connection.requests():
            go.wait(harness.PATIENCE)
            connection.send(answer())

    mesh[1].script = script
    stream = client.open()
    client.send(frame(http2.GOAWAY, 0, 0, bytes(8)))
    go.set()
    assert client.answer(stream).status == 200
    client.ends()


def test_a_client_that_says_goodbye_with_nothing_open(client):
    assert client.get().status == 200
    client.send(frame(http2.GOAWAY, 0, 0, bytes(8)))
    client.ends()


def test_a_graceful_stop_loses_nothing():
    origin, go = harness.Origin(), threading.Event()

    def script(connection):
        for request in connection.requests():
            go.wait(harness.PATIENCE)
            connection.send(answer(request.target))

    origin.script = script
    with harness.Sidecar(origin.port, {}) as sidecar, http2.Client(("127.0.0.2", sidecar.port)) as client:
        streams = [client.open(path=f"/{n}") for n in range(20)]
        eventually(lambda: len(origin.requests) == 20, "not all requests have arrived")
        sidecar.process.send_signal(signal.SIGTERM)
        client.until(lambda: client.goaway is not None)
        assert client.goaway == http2.NO_ERROR
        # Sent before the client could know: served as well.
        go.set()
        assert [bytes(client.answer(each).body) for each in streams] == [b"/%d" % n for n in range(20)]
        client.ends()
        assert sidecar.process.wait(harness.PATIENCE) == 0
    origin.refuse()


# -- clients that others wrote ------------------------------------------------------------------------------------------


def test_curl(mesh):
    mesh[1].fresh()
    command = ["curl", "-sS", "--http2-prior-knowledge", "-w", " %{http_version} %{http_code}"]
    url = f"http://127.0.0.2:{mesh[0].port}/items"
    done = subprocess.run([*command, url], capture_output=True, text=True, timeout=20)
    assert done.stdout == "GET /items 0 2 200", done.stderr
    done = subprocess.run([*command, "-d", "body", url], capture_output=True, text=True, timeout=20)
    assert done.stdout == "POST /items 4 2 200", done.stderr


def test_nghttp(mesh):
    mesh[1].fresh()
    url = f"http://127.0.0.2:{mesh[0].port}/items"
    done = subprocess.run(["nghttp", "-nv", url], capture_output=True, text=True, timeout=20)
    assert ":status: 200" in done.stdout and "RST_STREAM" not in done.stdout


def test_h2load(mesh):
    mesh[1].fresh()
    url = f"http://127.0.0.2:{mesh[0].port}/items"
    done = subprocess.run(["h2load", "-n2000", "-c4", "-m20", url], capture_output=True, text=True, timeout=60)
    assert "2000 succeeded, 0 failed, 0 errored" in done.stdout


# -- HTTP/1.1 clients and HTTP/2 services --------------------------------------------------------------------------------


class H2Origin:
    """A service that speaks HTTP/2, written on the h2 package."""

    def __init__(self, serve):
        import socketserver

        from h2.config import H2Configuration
        from h2.connection import H2Connection

        class Handler(socketserver.BaseRequestHandler):
            def handle(self):
                connection = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
                connection.initiate_connection()
                self.request.sendall(connection.data_to_send())
                while data := self.request.recv(1 << 16):
                    for event in connection.receive_data(data):
                        serve(connection, event)
                    self.request.sendall(connection.data_to_send())

        socketserver.ThreadingTCPServer.allow_reuse_address = True
        self.server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


def test_an_http1_client_of_an_http2_service():
    from h2.events import RequestReceived, StreamEnded

    heads = {}

    def serve(connection, event):
        if isinstance(event, RequestReceived):
            heads[event.stream_id] = dict(event.headers)
        elif isinstance(event, StreamEnded):
            path = heads[event.stream_id][":path"]
            if path == "/empty":
                connection.send_headers(event.stream_id, [(":status", "200")], end_stream=True)
                return
            connection.send_headers(event.stream_id, [(":status", "200"), ("x-a", "b")])
            connection.send_data(event.stream_id, path.encode())
            connection.send_headers(event.stream_id, [("x-sum", "7")], end_stream=True)

    service = H2Origin(serve)
    sidecar = harness.Sidecar(9, {})
    chassis = sidecar.directory.name + "/chassis.yaml"
    port = harness.free_port("127.0.0.1", "127.0.0.2")
    with open(chassis, "a") as file:
        file.write(f'cse.protocols.grpc.listenAddress: "127.0.0.1:{port}"\n')
    with open(sidecar.directory.name + "/services.yaml", "w") as file:
        file.write(f"service: [{{name: cart, instance: ['grpc://127.0.0.1:{service.port}']}}]\n")
    with sidecar, harness.Client(("127.0.0.1", port)) as client:
        for path in ("/x", "/y"):
            client.send(f"POST http://cart{path} HTTP/1.1\r\nHost: cart\r\nContent-Length: 2\r\n\r\nhi".encode())
            got = client.response("POST")
            assert (got.status, got.body, got.trailers) == (200, path.encode(), [("x-sum", b"7")])
        client.send(b"GET http://cart/empty HTTP/1.1\r\nHost: cart\r\n\r\n")
        assert client.response().body == b""
    assert heads[1][":authority"] == "cart" and heads[1]["content-length"] == "2" and "host" not in heads[1]
    # One connection for all of them.
    assert sorted(heads) == [1, 3, 5]
    service.close()
