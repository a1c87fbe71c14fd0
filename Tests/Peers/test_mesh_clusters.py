# SPDX-License-Identifier: Apache-2.0
"""What clusters of mesh.yaml say of connections: how many there may be, who waits for one, what is spoken, and which endpoints are near."""

import asyncio
import contextlib
import random
import re
import socket
import struct
import subprocess
import threading
import time

import pytest

import grpc_world
import secure
from authority import Authority
from governance import Instance, World
from harness import binary, eventually


class Counting(Instance):
    """Knows how many connections it has had at a time."""

    def __init__(self, name, **metadata):
        self.open = self.most = 0
        self.lock = threading.Lock()
        super().__init__(name, **metadata)

    def serve(self, connection):
        with self.lock:
            self.open += 1
            self.most = max(self.most, self.open)
        try:
            super().serve(connection)
        finally:
            with self.lock:
                self.open -= 1


def mesh(clusters, targets, more=""):
    """A mesh.yaml with one host; `/sign` tells whether it is read."""
    routes = f"{{match: [{{path: {{exact: /sign}}}}], reply: {{body: sign}}}}, {{targets: [{targets}]{more}}}"
    return f"mesh: {{clusters: [{clusters}], hosts: [{{name: shop, routes: [{routes}]}}]}}\n"


def small(ports, limits, more=""):
    """A cluster of addresses with limits, and a host that leads there."""
    endpoints = ", ".join(f"'127.0.0.1:{port}'" for port in ports)
    return mesh(f"{{name: small, endpoints: [{endpoints}], limits: {limits}{more}}}", "{cluster: small}")


def explain(world, url="http://shop/"):
    """What `mesher explain` says."""
    return subprocess.run(
        [binary(), "explain", "GET", url, "--admin", f"127.0.0.1:{world.sidecar.admin}"],
        capture_output=True, text=True, timeout=10,
    ).stdout  # fmt: skip


def field(response, name):
    """The value of a field; `None` when there is none."""
    value = response.get(name)
    return value and value.decode()


def waiting(world):
    """Requests that wait for a connection of the cluster."""
    told = explain(world)
    found = re.search(r"(\d+) of \d+ requests that wait", told)
    assert found, told
    return int(found[1])


# -- limits of connections ----------------------------------------------------------------------------------------------


def test_most_connections_of_a_cluster():
    """Over all event loops and endpoints; whoever waits is served, on whatever loop, and nobody is lost."""
    origins = [Counting("one"), Counting("two")]
    ports = [origin.port for origin in origins]
    with World({}, mesh=small(ports, "{connections: 2}"), mesher="mesher.workers: 4\n") as world:
        for origin in origins:
            origin.delay = 0.02
        answers = world.together(60, "shop")
        assert {each.status for each in answers} == {200}
        assert max(origin.most for origin in origins) <= 2
        assert {each.body for each in answers} == {b"one", b"two"}
        assert "of 2 connections" in explain(world)


def test_how_long_connections_are_used():
    """So many requests each, and no longer than they may wait; what is under way is not cut."""
    origin = Counting("one")
    text = small([origin.port], "{}", ", connections: {requests: 3, idle: 60s}")
    with World({}, mesh=text, mesher="mesher.workers: 1\n") as world:
        assert [world.ask("shop").status for _ in range(9)] == [200] * 9
        origin.until(lambda: all(each.ended for each in origin.connections))
        assert len(origin.connections) == 3
        assert world.sidecar.metric('mesher_limit_hits_total{limit="connection_life"}') == 3


def test_what_a_cluster_says_of_connections_of_grpc():
    """HTTP/2 for what came by it, HTTP/1.1 for the rest; a connection that has had its calls is not used for more."""
    origin = Counting("one")
    with grpc_world.Service() as service:
        far = f"{{name: far, protocol: client, endpoints: ['127.0.0.1:{service.port}'], connections: {{requests: 2}}}}"
        near = f"{{name: near, protocol: client, endpoints: ['127.0.0.1:{origin.port}']}}"
        routes = "{match: [{path: {exact: /plain}}], targets: [{cluster: near}]}, {targets: [{cluster: far}]}"
        text = f"mesh: {{clusters: [{far}, {near}], hosts: [{{name: shop, routes: [{routes}]}}]}}\n"
        with World({}, mesh=text, mesher="mesher.workers: 1\n") as world:
            target, authority = f"127.0.0.1:{world.sidecar.port}", ("grpc.default_authority", "shop")
            with grpc_world.Channel(target, authority) as channel:
                assert [channel.unary("Name") for _ in range(6)] == [b"cart"] * 6
            assert len(service.peers) == 3
            assert world.ask("shop", path="/plain").body == b"one"


def test_clients_that_leave_at_the_limit_take_no_place_along():
    """A connection that is made for nobody any more ends like every other: places are free when all have left."""
    origins = [Counting("one"), Counting("two")]
    text = small([origin.port for origin in origins], "{connections: 2, pending: 50}", ", connectTimeout: 1s")
    with World({}, mesh=text, mesher="mesher: {workers: 2, timeouts: {firstByte: 3s}}\n") as world:
        for origin in origins:
            origin.delay = 0.005
        end, chance = time.monotonic() + 3, random.Random(1)

        async def leave():
            while time.monotonic() < end:
                reader, writer = await asyncio.open_connection("127.0.0.1", world.sidecar.port)
                writer.write(b"GET http://shop/ HTTP/1.1\r\nHost: shop\r\n\r\n")
                with contextlib.suppress(TimeoutError, ConnectionError):
                    await asyncio.wait_for(reader.read(100), chance.uniform(0, 0.08))
                reset = struct.pack("ii", 1, 0)
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
                writer.transport.abort()

        async def crowd():
            await asyncio.gather(*[leave() for _ in range(20)])

        asyncio.run(crowd())
        answers = world.together(20, "shop")
        assert {each.status for each in answers} == {200}


def test_most_requests_that_wait_for_a_connection():
    """What comes beyond is refused, a client that leaves makes room, and another limit holds while it runs."""
    origin = Counting("one")
    text = small([origin.port], "{connections: 1, pending: 2}")
    # On one event loop: an idle connection of another one would be in the way of those that may not wait.
    with World({}, mesh=text, mesher="mesher.workers: 1\n") as world:
        origin.delay = 0.5
        answers = world.together(6, "shop")
        assert sorted(each.status for each in answers) == [200, 200, 200, 503, 503, 503]
        refused = next(each for each in answers if each.status == 503)
        assert b"cluster small" in refused.body and field(refused, "x-mesher-error") == "bulkhead_full"
        assert origin.most == 1
        # Two that wait leave; their places are free again.
        origin.delay = 3
        with world.client() as first, world.client() as second, world.client() as third:
            for client in (first, second, third):
                client.send(b"GET http://shop/ HTTP/1.1\r\nHost: shop\r\n\r\n")
            eventually(lambda: waiting(world) == 2, "nobody waited")
            second.reset()
            third.reset()
            eventually(lambda: waiting(world) == 0, "those that have left were waited for", 2)
            assert first.response().status == 200
        origin.delay = 0.5
        world.sidecar.write("mesh.yaml", small([origin.port], "{connections: 3, pending: 0}"))
        eventually(lambda: "of 3 connections" in explain(world), "the new limit never held")
        answers = world.together(5, "shop")
        assert sorted(each.status for each in answers) == [200, 200, 200, 503, 503] and origin.most == 3


# -- TLS ----------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ca(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"))


@contextlib.contextmanager
def speaking(tags, text):
    """A world whose sidecar has this tls.yaml and this mesh.yaml."""
    with World({}, mesh=text, tls=secure.document(tags), mesher="mesher.workers: 1\n") as world:
        yield world


def test_tls_of_a_cluster(ca):
    """A tag and a name for addresses that are written down; another cluster of the same address, and an entry, without."""
    far = secure.Instance(ca.issue("far", dns=["far.example"]))
    clear = Instance("clear")
    tags = {"outside.rest.Consumer": {"verifyPeer": True, "caFile": ca.certificate}}
    tls = "tls: {tag: outside.rest.Consumer, serverName: far.example}"
    clusters = (
        f"{{name: far, endpoints: ['127.0.0.1:{far.port}'], {tls}}},"
        f" {{name: bare, endpoints: ['127.0.0.1:{far.port}'], tls: off}},"
        f" {{name: mixed, endpoints: [{{address: '127.0.0.1:{clear.port}', tls: off}}], {tls}}},"
        f" {{name: wrong, endpoints: ['127.0.0.1:{far.port}'], tls: {{tag: outside.rest.Consumer, serverName: other}}}}"
    )
    routes = "".join(
        f"{{match: [{{path: {{exact: /{name}}}}}], targets: [{{cluster: {name}}}]}},"
        for name in ("far", "bare", "mixed", "wrong")
    )
    text = f"mesh: {{clusters: [{clusters}], hosts: [{{name: shop, routes: [{routes} {{reply: {{body: x}}}}]}}]}}\n"
    with speaking(tags, text) as world:
        for _ in range(3):
            assert world.ask("shop", path="/far").status == 200
            assert world.ask("shop", path="/mixed").body == b"clear"
            assert world.ask("shop", path="/bare").status == 502
            assert world.ask("shop", path="/wrong").status == 502
        # One connection for three requests, and none that others have used as well.
        assert [each.name for each in far.good].count("far.example") == 1
        assert "TLS as ssl.outside.rest.Consumer says, to far.example" in explain(world, "http://shop/far")


def test_tls_of_a_cluster_changes_while_it_runs(ca):
    """What is under way on the old connection is not cut; the next request has a new one."""
    far = secure.Instance(ca.issue("later", dns=["far.example", "other.example"]))
    began, goes_on = threading.Event(), threading.Event()

    def play(connection):
        for request in connection.requests():
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\na")
            if b"/slow" in request.start:
                began.set()
                goes_on.wait(10)
            connection.send(b"b")

    far.script = play
    tags = {"outside.rest.Consumer": {"verifyPeer": True, "caFile": ca.certificate}}

    def text(name):
        tls = f"tls: {{tag: outside.rest.Consumer, serverName: {name}}}"
        return mesh(f"{{name: far, endpoints: ['127.0.0.1:{far.port}'], {tls}}}", "{cluster: far}")

    with speaking(tags, text("far.example")) as world, world.client() as slow:
        slow.send(b"GET http://shop/slow HTTP/1.1\r\nHost: shop\r\n\r\n")
        assert began.wait(10)
        world.sidecar.write("mesh.yaml", text("other.example"))
        eventually(lambda: "to other.example" in explain(world), "the new mesh.yaml never held")
        assert world.ask("shop").body == b"ab"
        goes_on.set()
        assert slow.response().body == b"ab"
        assert [each.name for each in far.good] == ["far.example", "other.example"]


# -- localities ---------------------------------------------------------------------------------------------------------


def test_near_endpoints_come_first():
    """Others follow when near ones fail; with weights the distance does not count, from one reading to the next."""
    names = ("near", "other", "region", "far")
    origins = {name: Instance(name) for name in names}
    places = {"near": "north, zone: a", "other": "north, zone: a", "region": "north, zone: b", "far": "south, zone: a"}
    endpoints = ", ".join(
        f"{{address: '127.0.0.1:{origins[name].port}', locality: {{region: {places[name]}}}}}" for name in names
    )

    def text(weights=""):
        return mesh(f"{{name: c, endpoints: [{endpoints}]{weights}}}", "{cluster: c}", ", retry: {attempts: 3}")

    own = "region: {name: north, availableZone: a}\n"
    with World({}, mesh=text(), chassis=own, mesher="mesher.workers: 1\n") as world:
        found = world.many(200, "shop")
        assert set(found) == {"near", "other"}, found
        assert "prefers near endpoints: 2 in the own zone, 1 in the own region, 1 elsewhere" in explain(world)
        origins["near"].is_resetting = True
        # It is ejected: half of the zone is trusted with 70 %.
        eventually(lambda: "near" not in world.many(20, "shop"), "the near one was never ejected")
        found = world.many(400, "shop")
        assert set(found) == {"other", "region"} and 80 <= found["region"] <= 160, found
        origins["near"].is_resetting = False
        world.sidecar.write(
            "mesh.yaml", text(", localityWeights: [{region: north, weight: 1}, {region: south, weight: 3}]")
        )
        eventually(lambda: "sends 25 % to north, 75 % to south" in explain(world), "the new mesh.yaml never held")
        found = world.many(400, "shop")
        assert 250 <= found["far"] <= 350, found
