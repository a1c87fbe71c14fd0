# SPDX-License-Identifier: Apache-2.0
"""What clusters of mesh.yaml say of connections: how many there may be, and who waits for one."""

import re
import subprocess
import threading

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
