# SPDX-License-Identifier: Apache-2.0
"""U4, U5: upstreams that refuse, reset or hang; clients that close half, or vanish."""

import threading
import time

import pytest

from harness import RESET, answer, eventually, request
from life import INCOMING, OUTGOING, in_parallel, living, percentile

BOTH = pytest.mark.parametrize("address", [INCOMING, OUTGOING], ids=["incoming", "outgoing"])


@pytest.fixture(scope="module")
def shared():
    with living(timeouts={"firstByte": "1s"}) as mesh:
        yield mesh


@pytest.fixture
def mesh(shared):
    yield shared
    violations = list(shared.origin.violations)
    shared.fresh()
    assert not violations


@BOTH
def test_an_upstream_that_refuses_and_comes_back(mesh, address, record_property):
    client = mesh.idle(address)
    mesh.origin.refuse()
    mesh.origin.fresh()
    taken = []
    for number in range(200):
        if number % 2:
            client = mesh.connect(address)
        began = time.monotonic()
        client.send(mesh.get("/x", address))
        response = client.response()
        taken.append(time.monotonic() - began)
        assert (response.status, response.error) == (502, "connect_failed")
    mesh.origin.listen()
    began = time.monotonic()
    eventually(lambda: mesh.answers(address=address), "no answer though the upstream is back")
    back = time.monotonic() - began
    mesh.again(client, address)
    text = f"refused: p99 {percentile(taken, 0.99) * 1000:.1f} ms of 200; first good answer after {back * 1000:.0f} ms"
    record_property("answers", text)
    print(text)
    assert percentile(taken, 0.99) <= 0.05
    assert back <= 1


@BOTH
def test_an_upstream_that_resets_and_recovers(mesh, address, record_property):
    def reset_each(connection):
        connection.head()
        connection.perform([RESET])

    mesh.origin.script = reset_each
    taken = []
    for _ in range(200):
        began = time.monotonic()
        response = mesh.ask(address=address)
        taken.append(time.monotonic() - began)
        assert response.status == 502
    mesh.origin.script = lambda connection: [connection.send(answer()) for _ in connection.requests()]
    began = time.monotonic()
    eventually(lambda: mesh.answers(address=address), "no answer though the upstream answers")
    back = time.monotonic() - began
    text = f"reset: p99 {percentile(taken, 0.99) * 1000:.1f} ms of 200; first good answer after {back * 1000:.0f} ms"
    record_property("answers", text)
    print(text)
    assert percentile(taken, 0.99) <= 0.05
    assert back <= 1


@BOTH
def test_an_upstream_that_hangs(mesh, address, record_property):
    """No client hangs with it: 504 at the time limit of one second, for 100 at once; then it answers again."""
    answering = threading.Event()

    def hang(connection):
        for _ in connection.requests():
            if answering.is_set():
                connection.send(answer())

    mesh.origin.script = hang
    clients = [mesh.connect(address) for _ in range(100)]
    began = time.monotonic()
    for client in clients:
        client.send(mesh.get("/x", address))
    assert [client.response().status for client in clients] == [504] * 100
    taken = time.monotonic() - began
    answering.set()
    began = time.monotonic()
    eventually(lambda: mesh.answers(address=address), "no answer though the upstream answers")
    back = time.monotonic() - began
    text = f"hanging: 100 of 100 answered 504 within {taken:.2f} s; first good answer after {back * 1000:.0f} ms"
    record_property("answers", text)
    print(text)
    assert 1 <= taken <= 2, "the limit, and up to half a second until it is noticed"
    assert back <= 1


@BOTH
def test_half_closed_clients_are_answered(mesh, address, record_property):
    mesh.origin.script = lambda connection: [
        (time.sleep(0.2), connection.send(answer(b"x" * 20_000))) for _ in connection.requests()
    ]
    clients = [mesh.connect(address) for _ in range(50)]
    for client in clients:
        client.send(mesh.get("/x", address))
        client.half_close()
    answered = 0
    for client in clients:
        response = client.response()
        assert (response.status, len(response.body)) == (200, 20_000)
        assert client.rest() == (b"", "fin")
        answered += 1
    record_property("half-closed clients answered", f"{answered} of 50")
    print(f"half-closed: {answered} of 50 answered")


def vanish(mesh, address, moment):
    """A client that ends with RST in the middle of its request, while it waits, or in the middle of its response."""
    client = mesh.connect(address)
    if moment == "in the head":
        client.send(mesh.get("/x", address)[:-2])
    elif moment == "in the body":
        target = "http://cart/x" if address == OUTGOING else "/x"
        client.send(request("POST", target, "Content-Length: 1000", body=b"x" * 100))
    else:
        client.send(mesh.get("/long" if moment == "in the answer" else "/never", address))
    if moment == "in the answer":
        assert client.head().status == 200
    return client


@BOTH
def test_vanished_clients_free_everything(mesh, address, record_property):
    """200 clients, gone at four moments; nothing of theirs stays open on either side."""
    gone = threading.Event()

    def serve(connection):
        for each in connection.requests():
            if each.target == b"/never":
                continue
            if each.target == b"/long":
                connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
                while not gone.wait(0.05):
                    connection.send(b"x" * 100)
            connection.send(answer())

    mesh.origin.script = serve
    assert mesh.ask(address=address).status == 200
    before = mesh.sidecar.open_files()
    moments = ["in the head", "in the body", "while waiting", "in the answer"]
    clients = [vanish(mesh, address, moments[number % 4]) for number in range(200)]
    mesh.origin.until(lambda: len(mesh.origin.heads) >= 151, "not all requests reached the origin", seconds=10)
    most = mesh.sidecar.open_files()
    assert most >= before + 200
    for client in clients:
        client.reset()
    taken = mesh.settled(before)
    gone.set()
    mesh.ask(address=address)
    text = f"{before} open files, {most} with 200 clients, {mesh.sidecar.open_files()} {taken:.2f} s after their reset"
    record_property("descriptors", text)
    print(text)


def test_vanished_clients_of_many_at_once(mesh):
    """The same from several threads, without a pause: the sidecar stays in step for those who stay."""

    def come_and_go(number):
        for _ in range(25):
            vanish(mesh, (INCOMING, OUTGOING)[number % 2], "in the head").reset()
            assert mesh.ask(address=(INCOMING, OUTGOING)[number % 2]).status == 200

    in_parallel(8, come_and_go)
