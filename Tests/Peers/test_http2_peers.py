# SPDX-License-Identifier: Apache-2.0
"""What HTTP/2 peers do in good faith, and what a service may say or leave out: no call is lost for it.

The service behind the sidecar is played frame by frame; promises U1, U15 and limit L7.
"""

import json
import re
import struct
import threading

import pytest

import governance
import harness
import http2
import observed
from grpc_world import Sidecar
from harness import answer, eventually
from http2 import END_STREAM, frame

GRPC = [("content-type", "application/grpc"), ("te", "trailers")]
# More than a peer may do in a second without a reason.
MANY = 150


@pytest.fixture(scope="module")
def shared_mesh():
    service, origin = http2.Service(), harness.Origin()
    services = {"cart": [service.endpoint], "plain": [f"rest://127.0.0.1:{origin.port}"]}
    with Sidecar(services, {"mesher.yaml": "mesher: {timeouts: {connect: 500ms}}\n"}) as sidecar:
        yield sidecar, service, origin
    service.refuse()
    origin.refuse()


@pytest.fixture
def mesh(shared_mesh):
    yield shared_mesh
    sidecar, service, origin = shared_mesh
    violations = service.violations + origin.violations
    service.fresh()
    origin.fresh()
    assert sidecar.alive and not violations


@pytest.fixture
def service(mesh):
    """The service cart."""
    return mesh[1]


@pytest.fixture
def client(mesh):
    """A client of the outgoing listener for gRPC."""
    with http2.Client(("127.0.0.1", mesh[0].grpc)) as client:
        client.until(lambda: client.settings)
        yield client


@pytest.fixture
def plain(mesh):
    """A client of the outgoing listener for HTTP."""
    with http2.Client(("127.0.0.1", mesh[0].port)) as client:
        client.until(lambda: client.settings)
        yield client


def call(client, *fields, end=True):
    """Begins a gRPC call."""
    return client.open(*GRPC, *fields, method="POST", path="/test.Shop/Any", end=end)


def status(client, stream):
    """The gRPC status of a call, once it is over; `None` when it was reset."""
    got = client.answer(stream)
    return None if got.reset else dict(got.trailers or got.heads[-1])["grpc-status"]


def statuses(client, streams):
    return [status(client, each) for each in streams]


def settle(client):
    """Returns when the sidecar has read all that the client sent before."""
    assert status(client, client.open(*GRPC, method="POST", authority="nosuch")) == "14"


def reset(stream, code):
    return frame(http2.RST, 0, stream, struct.pack(">I", code))


# -- what peers do in good faith ---------------------------------------------------------------------------------------


def pieces(count):
    """A script that answers with as many pieces, each too large to be gathered."""

    def script(connection):
        for stream in connection.complete():
            body = [frame(http2.DATA, 0, stream, b"x" * 1100) for _ in range(count)]
            connection.send(connection.begin(stream), *body, connection.head(stream, ("grpc-status", "0"), end=True))

    return script


def test_a_ping_for_each_piece_is_no_flood(service, client):
    """gRPC libraries measure the path like that."""
    service.script = pieces(40)
    for _ in range(4):
        assert status(client, call(client)) == "0"
    pings = sum(kind == http2.DATA for kind, *_ in client.frames)
    assert pings >= MANY
    client.send(*[frame(http2.PING, 0, 0, b"bandwith")] * pings)
    assert status(client, call(client)) == "0"


def test_a_ping_of_the_service_for_each_message_is_no_flood(service, client):
    def script(connection):
        for kind, flags, stream, _ in connection.events():
            if kind == http2.DATA:
                connection.send(frame(http2.PING, 0, 0, b"bandwith"))
                if flags & END_STREAM:
                    connection.send(connection.good(stream))

    service.script = script
    for _ in range(2):
        streams = [call(client, end=False) for _ in range(MANY // 2)]
        for each in streams:
            client.data(each, bytes(5), end=True)
        assert set(statuses(client, streams)) == {"0"}
    assert len(service.connections) == 1


def test_a_service_may_answer_early_and_reset(service, client):
    """RFC 9113 §8.1: whoever does not want the rest of a request says so with NO_ERROR."""

    def script(connection):
        for kind, _, stream, _ in connection.events():
            if kind == http2.HEADERS:
                connection.send(connection.good(stream), reset(stream, http2.NO_ERROR))

    service.script = script
    for _ in range(3):
        assert set(statuses(client, [call(client, end=False) for _ in range(MANY // 2)])) == {"0"}
    assert len(service.connections) == 1


def test_window_updates_come_when_the_client_has_read(mesh, service):
    """A burst fits into large windows, and then each piece of it is given back, to the stream and to the connection."""
    service.script = pieces(1100)
    with http2.Client(("127.0.0.1", mesh[0].grpc), window=1 << 21) as client:
        client.send(frame(http2.WINDOW, 0, 0, struct.pack(">I", 1 << 21)))
        assert status(client, call(client)) == "0"
        for kind, _, stream, payload in list(client.frames):
            if kind == http2.DATA and payload:
                size = struct.pack(">I", len(payload))
                client.try_send(frame(http2.WINDOW, 0, 0, size) + frame(http2.WINDOW, 0, stream, size))
        assert status(client, call(client)) == "0"


# -- what a service does not take --------------------------------------------------------------------------------------


def test_a_refused_call_is_repeated(service, client):
    """RFC 9113 §8.7: with its body, as far as that has come."""

    def script(connection):
        for stream in connection.complete():
            is_first = len(service.heads) == 1
            connection.send(reset(stream, http2.REFUSED) if is_first else connection.good(stream))

    service.script = script
    stream = call(client, end=False)
    client.data(stream, b"one ")
    client.data(stream, b"two", end=True)
    assert status(client, stream) == "0"
    assert [bytes(peer.requests[stream].body) for peer, stream in service.heads] == [b"one two"] * 2


def test_refused_amid_its_body(service, client):
    def script(connection):
        for kind, flags, stream, _ in connection.events():
            if kind == http2.DATA and len(service.heads) == 1:
                connection.send(reset(stream, http2.REFUSED))
            elif kind == http2.DATA and flags & END_STREAM:
                connection.send(connection.good(stream))

    service.script = script
    stream = call(client, end=False)
    client.data(stream, b"one ")
    service.until(lambda: len(service.heads) == 2)
    client.data(stream, b"two", end=True)
    assert status(client, stream) == "0"
    peer, stream = service.heads[-1]
    assert peer.requests[stream].body == b"one two"


def test_trailers_of_a_refused_request_are_repeated(service, client):
    def script(connection):
        for stream in connection.complete():
            is_first = len(service.heads) == 1
            connection.send(reset(stream, http2.REFUSED) if is_first else connection.good(stream))

    service.script = script
    stream = call(client, end=False)
    client.data(stream, b"body")
    trailers = client.encoder.encode([("x-check", "2")])
    client.send(frame(http2.HEADERS, http2.END_HEADERS | END_STREAM, stream, trailers))
    assert status(client, stream) == "0"
    assert [peer.requests[stream].trailers for peer, stream in service.heads] == [[("x-check", "2")]] * 2


def test_not_for_ever(service, client):
    def script(connection):
        for stream in connection.complete():
            connection.send(reset(stream, http2.REFUSED))

    service.script = script
    assert status(client, call(client)) == "14"
    assert 2 <= len(service.heads) <= 5


def test_what_a_leaving_service_has_not_taken_goes_elsewhere(service, client):
    """U15: GOAWAY says which calls it has not looked at."""

    def script(connection):
        if len(service.connections) > 1:
            return http2.succeed(connection)
        for stream in connection.complete():
            if len(connection.requests) == 1:
                # The first call has told who the service is; the second is the last one that is taken.
                connection.send(connection.good(stream))
            elif len(connection.requests) == 5:
                connection.send(frame(http2.GOAWAY, 0, 0, struct.pack(">II", 3, 0)), connection.good(3))

    service.script = script
    assert status(client, call(client)) == "0"
    assert statuses(client, [call(client) for _ in range(4)]) == ["0"] * 4
    assert [len(each.requests) for each in {peer: None for peer, _ in service.heads}] == [5, 3]


@pytest.mark.parametrize("is_late", [False, True], ids=["told_at_once", "told_late"])
def test_a_service_that_takes_few_calls_at_a_time(service, client, is_late):
    """MAX_CONCURRENT_STREAMS holds from the first call on: until it is known, one goes ahead and the others wait."""
    told, most = threading.Event(), []

    def script(connection):
        waiting = []
        assert told.wait(harness.PATIENCE)
        connection.configure({3: 2})
        for kind, flags, stream, _ in connection.events():
            if kind == http2.HEADERS:
                waiting.append(stream)
                service.note(most, len(waiting))
                # Once it is answered, everything that was to be sent at once is here.
                connection.send(frame(http2.PING, 0, 0, bytes(8)))
            elif kind == http2.PING and flags & http2.ACK:
                connection.send(*[connection.good(each) for each in waiting])
                waiting.clear()

    service.script, service.settings = script, None
    if not is_late:
        told.set()
    for _ in range(2):
        streams = [call(client) for _ in range(20)]
        settle(client)
        told.set()
        assert statuses(client, streams) == ["0"] * 20
    assert max(most) <= 2 and len(most) == 40


def test_a_burst_before_the_settings_of_the_service(service, mesh):
    """200 calls at once: nothing is lost, and connections stay few."""
    told = threading.Event()

    def script(connection):
        assert told.wait(harness.PATIENCE)
        connection.configure({})
        http2.succeed(connection)

    service.script, service.settings = script, None
    clients = [http2.Client(("127.0.0.1", mesh[0].grpc)) for _ in range(4)]
    calls = [(each, call(each)) for each in clients for _ in range(50)]
    for each in clients:
        settle(each)
    told.set()
    assert {status(*each) for each in calls} == {"0"}
    assert len(service.connections) <= 4
    for each in clients:
        each.sock.close()


def test_a_service_that_never_says_its_settings(service, client):
    """It is waited for as long as for a connection; then the calls are sent, and their deadlines hold."""

    def script(connection):
        for _ in connection.events():
            pass

    service.script, service.settings = script, None
    streams = [call(client, ("grpc-timeout", "1S")) for _ in range(20)]
    service.until(lambda: len(service.heads) == 20)
    assert statuses(client, streams) == ["4"] * 20


def test_a_connection_that_is_lost_before_the_settings(service, client):
    """One call went ahead; those that waited are sent on another connection."""

    def script(connection):
        if len(service.connections) > 1:
            connection.configure({})
            return http2.succeed(connection)
        assert settled.wait(harness.PATIENCE)
        connection.sock.close()

    settled = threading.Event()
    service.script, service.settings = script, None
    streams = [call(client) for _ in range(20)]
    settle(client)
    settled.set()
    assert sorted(statuses(client, streams))[:19] == ["0"] * 19


def test_a_service_that_hangs(service):
    """The kernel takes connections, and nobody says a word: all calls fail together, and not one after the other."""
    service.script = lambda connection: [each for each in connection.events() if not each]
    service.settings = None
    files = {"circuit_breaker.yaml": "cse.isolation.Consumer.cart.timeoutInMilliseconds: 100\n"}
    with Sidecar({"cart": [service.endpoint]}, files) as sidecar, http2.Client(("127.0.0.1", sidecar.grpc)) as client:
        assert statuses(client, [call(client) for _ in range(20)]) == ["4"] * 20
    assert len(service.connections) <= 3


def test_a_service_that_the_network_has_cut_off(service):
    """Its stream of messages would be held for ever: it is asked for a sign of life, and given up."""

    def script(connection):
        while connection.receive():
            pass

    service.script = script
    files = {"mesher.yaml": "mesher: {timeouts: {http2Ping: 200ms}}\n"}
    with Sidecar({"cart": [service.endpoint]}, files) as sidecar, http2.Client(("127.0.0.1", sidecar.grpc)) as client:
        assert status(client, call(client, end=False)) == "14"
        assert sidecar.metric('mesher_limit_hits_total{limit="http2_ping_time"}') == 1
        # One that answers may be silent for as long as it likes.
        service.script = pinged(3)
        assert status(client, call(client, end=False)) == "0"
        assert sidecar.metric('mesher_limit_hits_total{limit="http2_ping_time"}') == 1


def pinged(count):
    """A script that answers its first request when it has answered so many PINGs."""

    def script(connection):
        pings, stream = 0, None
        for kind, flags, number, _ in connection.events():
            stream = number or stream
            pings += kind == http2.PING and not flags & http2.ACK
            if pings == count:
                pings += 1
                connection.send(connection.begin(stream), connection.head(stream, ("grpc-status", "0"), end=True))

    return script


def test_a_service_that_always_loses_its_connections(service, client):
    """Who waits for the settings of a connection fails with it: not one attempt for each of them.

    How many connections there are depends on how the calls arrive: those of a read share one.
    """
    service.script, service.settings = lambda connection: connection.sock.close(), None
    assert statuses(client, [call(client) for _ in range(50)]) == ["14"] * 50
    assert len(service.connections) < 25


# -- the first frame ---------------------------------------------------------------------------------------------------

FIRST = {
    "head": frame(http2.HEADERS, 5, 1, http2.block((":method", "GET"), (":scheme", "http"), (":path", "/"))),
    "ping": frame(http2.PING, 0, 0, bytes(8)),
    "acknowledgement": frame(http2.SETTINGS, http2.ACK),
}


@pytest.mark.parametrize("name", FIRST)
def test_a_client_begins_with_its_settings(mesh, name):
    """RFC 9113 §3.4."""
    with http2.Client(("127.0.0.1", mesh[0].port), greet=False) as client:
        client.try_send(http2.PREFACE + FIRST[name])
        assert client.ends() == http2.PROTOCOL


def test_a_service_begins_with_its_settings(service, client):
    service.settings = None
    assert status(client, call(client)) == "14"


# -- small pieces ------------------------------------------------------------------------------------------------------


def test_pieces_of_an_octet_are_passed_on_together(mesh, plain):
    """Else each would cost a chunk and a write of its own."""
    stream = plain.open(method="POST", authority="plain", end=False)
    plain.send(frame(http2.DATA, 0, stream, b"x") * 2000)
    plain.data(stream, end=True)
    assert bytes(plain.answer(stream).body) == b"POST / 2000"
    assert len(re.findall(rb"[0-9a-f]+\r\nx", mesh[2].octets)) < 200


def test_the_order_of_small_pieces_of_requests(mesh, plain):
    """Two streams in turn, the one ended by a large piece and a small one, the other by trailers."""
    first, second = (plain.open(method="POST", authority="plain", end=False) for _ in range(2))
    parts = [b"%d," % number for number in range(1500)]
    plain.send(*[frame(http2.DATA, 0, first, each) + frame(http2.DATA, 0, second, each[::-1]) for each in parts])
    trailers = frame(http2.HEADERS, 5, second, plain.encoder.encode([("x-check", "1")]))
    plain.send(frame(http2.DATA, 0, first, b"y" * 3000) + frame(http2.DATA, END_STREAM, first, b"end") + trailers)
    assert plain.answer(first).status == plain.answer(second).status == 200
    received = {bytes(each.body): each.trailers for each in mesh[2].requests}
    assert received == {
        b"".join(parts) + b"y" * 3000 + b"end": [],
        b"".join(each[::-1] for each in parts): [("x-check", b"1")],
    }


def test_the_order_of_small_pieces_of_answers(service, client):
    parts = [b"%d," % number * (number % 9) for number in range(3000) if number % 9]

    def script(connection):
        for stream in connection.complete():
            connection.send(
                connection.begin(stream) + b"".join(frame(http2.DATA, 0, stream, each) for each in parts),
                connection.head(stream, ("grpc-status", "0"), end=True),
            )

    service.script = script
    got = client.answer(call(client))
    assert got.body == b"".join(parts) and got.trailers == [("grpc-status", "0")]


def test_a_stream_that_takes_the_place_of_one_that_was_reset(plain):
    """What was gathered of a request that is taken back is no part of the next."""
    head = [(":method", "POST"), (":scheme", "http"), (":path", "/"), (":authority", "plain")]
    gone, kept = (frame(http2.HEADERS, 4, stream, plain.encoder.encode(head)) for stream in (1, 3))
    taken_back = gone + frame(http2.DATA, 0, 1, b"gone") + reset(1, http2.CANCEL)
    parts = [(0, b"kept"), (0, b"!"), (END_STREAM, b"!")]
    plain.send(taken_back + kept, *[frame(http2.DATA, flags, 3, data) for flags, data in parts])
    assert bytes(plain.answer(3).body) == b"POST / 6"


@pytest.mark.parametrize("body", [(b"ab", b"c"), (b"ab", b"cde")], ids=["shorter", "longer"])
def test_the_length_of_small_pieces(plain, body):
    stream = plain.open(("content-length", "4"), method="POST", authority="plain", end=False)
    plain.send(frame(http2.DATA, 0, stream, body[0]) + frame(http2.DATA, END_STREAM, stream, body[1]))
    assert plain.answer(stream).reset == http2.PROTOCOL


def test_what_came_before_a_reset_is_passed_on(service, client):
    """The last message of a call that then fails."""

    def script(connection):
        for stream in connection.complete():
            last = frame(http2.DATA, 0, stream, b"\0\0\0\0\4last")
            connection.send(connection.begin(stream) + last + reset(stream, http2.CANCEL))

    service.script = script
    got = client.answer(call(client))
    assert (got.reset, bytes(got.body)) == (http2.CANCEL, b"\0\0\0\0\4last")


def fill(client, stream, most=32 << 20):
    """Sends pieces of 1000 octets until the windows stay closed; gives the number of octets."""
    sent, closed = 0, 0
    while closed < 3:
        updates = [(which, payload) for kind, _, which, payload in client.frames if kind == http2.WINDOW]
        windows = [
            size + sum(int.from_bytes(payload, "big") for which, payload in updates if which == each)
            for each, size in ((0, 65535), (stream, 65536))
        ]
        count = (min(windows) - sent) // 1000
        client.send(frame(http2.DATA, 0, stream, bytes(1000)) * count)
        sent += 1000 * count
        closed = 0 if count else closed + 1
        assert sent < most, "the windows never close"
        # The sidecar has seen all that by now.
        assert client.get(authority="nosuch").status == 502
    return sent


def test_small_pieces_for_a_service_that_does_not_read(mesh, plain):
    """Windows bound them, and so memory; nothing is lost."""
    sidecar, _, origin = mesh
    go = threading.Event()

    def script(connection):
        head = connection.head()
        assert go.wait(2 * harness.PATIENCE)
        connection.send(answer(b"%d" % len(connection.body(head).body)))

    origin.script = script
    memory = sidecar.resident()
    stream = plain.open(method="POST", authority="plain", end=False)
    sent = fill(plain, stream)
    go.set()
    plain.data(stream, end=True)
    assert bytes(plain.answer(stream).body) == b"%d" % sent
    assert sidecar.resident() - memory < 4 << 20


# -- the access log ----------------------------------------------------------------------------------------------------


def test_a_head_that_is_too_large_shows_nothing_of_another(tmp_path):
    """The line says what is known of it: not the target of the request before, whose memory it uses."""
    path = tmp_path / "access.log"
    files = {"chassis": observed.chains(["access-log"]), "lager": f"accessLogFile: {path}\naccessLogFormat: json\n"}
    with governance.World({"cart": [governance.Instance("cart")]}, **files) as world:
        with http2.Client(("127.0.0.1", world.sidecar.port)) as client:
            assert client.get(("x-secret", "s3cret"), path="/secret/of/another?token=s3cret").status == 200
            large = [(f"x-{number}", "v" * 1000) for number in range(80)]
            block = client.encoder.encode([(":method", "GET"), (":scheme", "http"), (":path", "/"), *large])
            parts = [block[at : at + 16000] for at in range(0, len(block), 16000)]
            stream, client.next = client.next, client.next + 2
            client.send(frame(http2.HEADERS, END_STREAM, stream, parts[0]))
            client.send(*[frame(http2.CONTINUATION, 0, stream, each) for each in parts[1:-1]])
            client.send(frame(http2.CONTINUATION, http2.END_HEADERS, stream, parts[-1]))
            assert client.answer(stream).status == 431
            assert client.get().status == 200
        eventually(lambda: path.exists() and len(path.read_text().splitlines()) >= 3, "no lines")
    lines = path.read_text().splitlines()
    assert "/secret/of/another" in lines[0]
    assert not any("secret" in line or "s3cret" in line for line in lines[1:]), lines
    assert all(json.loads(line) for line in lines)
