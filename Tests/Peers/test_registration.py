# SPDX-License-Identifier: Apache-2.0
"""A sidecar as a member of a service-center: there with all that it says of itself, and gone before it stops."""

import contextlib
import json
import os
import signal
import subprocess
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from harness import binary, eventually, free_port, listens
from test_registry import Registry

HEALTHY = "localHealthCheck: [{port: %d, protocol: rest, uri: /health, interval: 200ms}]\n"


class Member:
    """A sidecar called cart, registered as its files say."""

    def __init__(self, directory, registry_port, mesher="", **keys):
        self.directory, self.port = directory, free_port("127.0.0.1", "127.0.0.2")
        (directory / "chassis.yaml").write_text(
            f'cse:\n  protocols: {{http: {{listenAddress: "127.0.0.2:{self.port}"}}}}\n'
            f'  service: {{registry: {{address: "http://127.0.0.1:{registry_port}"}}}}\n'
        )
        (directory / "microservice.yaml").write_text(
            "APPLICATION_ID: shop\nservice_description:\n  name: cart\n  version: 1.2.0\n  hostname: h1\n"
            "  properties: {team: a}\n  instance_properties: {zone: east}\n"
        )
        (directory / "mesher.yaml").write_text(mesher)
        keys = {"cse.service.registry.heartbeat.interval": "10s"} | keys
        command = [binary(), "--workers", "1", *(f"--{key}={value}" for key, value in keys.items())]
        environment = dict(os.environ, CHASSIS_CONF_DIR=str(directory), HOSTING_SERVER_IP="10.9.8.7")
        self.log = directory / "log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        eventually(lambda: listens("127.0.0.1", self.port), "the sidecar does not start", seconds=15)

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(timeout=10)


class Application:
    """The local service: its answer to the health check can be changed."""

    def __init__(self):
        self.status = 200
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(outer.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                """Not to the terminal."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def world(tmp_path):
    """Makes registries, members and applications, and ends them."""
    with contextlib.ExitStack() as stack:

        def make(kind, *arguments, **keys):
            made = kind(*arguments, **keys)
            stack.callback(made.stop)
            return made

        yield make


@pytest.fixture
def registry(world, tmp_path):
    with (tmp_path / "registry.log").open("wb") as log:
        yield world(Registry, log)


def service(registry):
    """The id of the service and what is known of it; nothing when it is not there."""
    query = urllib.parse.urlencode({"type": "microservice", "appId": "shop", "serviceName": "cart", "version": "1.2.0"})
    status, answer = registry.call("GET", f"/existence?{query}")
    return registry.call("GET", f"/microservices/{answer['serviceId']}")[1]["service"] if status == 200 else None


def instance(registry):
    """The one instance, or nothing."""
    found = service(registry)
    if not found:
        return None
    instances = registry.call("GET", f"/microservices/{found['serviceId']}/instances")[1].get("instances", [])
    assert len(instances) <= 1, "one sidecar is one instance"
    return instances[0] if instances else None


def test_what_it_says_of_itself(world, registry, tmp_path):
    member = world(Member, tmp_path, registry.port)
    found = eventually(lambda: instance(registry), "not registered")
    assert found["endpoints"] == [f"rest://127.0.0.2:{member.port}"]
    assert (found["status"], found["hostName"], found["version"]) == ("UP", "h1", "1.2.0")
    assert found["properties"] == {"zone": "east", "nodeIP": "10.9.8.7"}
    assert found["healthCheck"] == {"mode": "push", "interval": 10, "times": 3}
    entity = service(registry)
    assert entity["properties"] == {"team": "a", "allowCrossApp": "false"}
    assert entity["framework"]["name"] == "Mesher"
    assert (entity["registerBy"], entity["alias"], entity["level"]) == ("SIDECAR", "shop:cart", "BACK")


def test_properties_of_a_known_service_are_brought_up_to_date(world, registry, tmp_path):
    old = {"appId": "shop", "serviceName": "cart", "version": "1.2.0", "properties": {"allowCrossApp": "false"}}
    registry.call("POST", "/microservices", {"service": old})
    world(Member, tmp_path, registry.port, **{"cse.service.registry.scope": "full"})
    eventually(lambda: instance(registry), "not registered")
    assert service(registry)["properties"] == {"team": "a", "allowCrossApp": "true"}


def test_only_the_service_when_registered_by_hand(world, registry, tmp_path):
    member = world(Member, tmp_path, registry.port, **{"cse.service.registry.register": "manual"})
    eventually(lambda: service(registry), "not registered")
    assert instance(registry) is None
    assert member.process.poll() is None


def test_the_registry_comes_late_and_loses_everything(world, tmp_path):
    """Not there at the start, then there, then a new one that knows nothing: the same instance each time."""
    with (tmp_path / "registry.log").open("wb") as log:
        first = Registry(log)
        port = first.port
        first.stop()
        member = world(Member, tmp_path, port)
        eventually(lambda: "cannot be told" in member.log.read_text(), "the log does not say so")
        first = Registry(log, port)
        before = eventually(lambda: instance(first), "not registered", seconds=10)
        first.stop()
        second = world(Registry, log, port)
        after = eventually(lambda: instance(second), "not registered again", seconds=20)
    assert after["instanceId"] == before["instanceId"]
    assert after["properties"] == before["properties"]


def test_it_is_back_within_a_beat_with_its_status(world, registry, tmp_path):
    application = world(Application)
    world(Member, tmp_path, registry.port, mesher=HEALTHY % application.port)
    found = eventually(lambda: instance(registry), "not registered")
    application.status = 503
    eventually(lambda: instance(registry)["status"] == "DOWN", "not told")
    path = f"/microservices/{found['serviceId']}/instances/{found['instanceId']}"
    registry.call("DELETE", path)
    # It is shown for a while longer; a lease is there only when it has registered again.
    beat = lambda: registry.call("PUT", f"{path}/heartbeat")[0]  # noqa: E731
    assert beat() == 400
    eventually(lambda: beat() == 200, "not back", seconds=15)
    back = instance(registry)
    assert (back["instanceId"], back["status"]) == (found["instanceId"], "DOWN")
    assert back["properties"] == found["properties"]


def test_health_is_told(world, registry, tmp_path):
    application = world(Application)
    world(Member, tmp_path, registry.port, mesher=HEALTHY % application.port)
    found = eventually(lambda: instance(registry), "not registered")
    path = f"/microservices/{found['serviceId']}/instances/{found['instanceId']}/status?value="
    for status, expected in ((500, "DOWN"), (200, "UP")):
        application.status = status
        eventually(lambda expected=expected: instance(registry)["status"] == expected, "not told")
    # What an operator has decided stands.
    registry.call("PUT", f"{path}OUTOFSERVICE")
    application.status = 500
    eventually(lambda: "healthy=false" in (tmp_path / "log").read_text().rpartition("healthy=true")[2], "not seen")
    application.status = 200
    eventually(lambda: "healthy=true" in (tmp_path / "log").read_text().rpartition("healthy=false")[2], "not seen")
    assert instance(registry)["status"] == "OUTOFSERVICE"


def test_gone_before_it_stops(world, registry, tmp_path):
    # Consumers are told of a deletion only after two seconds, and call for as long.
    member = world(Member, tmp_path, registry.port, **{"mesher.timeouts.farewell": "4s"})
    eventually(lambda: instance(registry), "not registered")
    began = time.monotonic()
    member.process.send_signal(signal.SIGTERM)
    eventually(lambda: instance(registry) is None, "still registered")
    assert listens("127.0.0.2", member.port), "others still come"
    member.process.wait(timeout=10)
    assert (member.process.returncode, time.monotonic() - began >= 4) == (0, True)
    assert service(registry), "the service stays"


def test_a_stop_without_a_registry_does_not_wait(world, tmp_path):
    member = world(Member, tmp_path, free_port("127.0.0.1"))
    eventually(lambda: "cannot be told" in member.log.read_text(), "the log does not say so")
    began = time.monotonic()
    member.process.send_signal(signal.SIGTERM)
    assert member.process.wait(timeout=10) == 0
    assert time.monotonic() - began < 3


@pytest.mark.parametrize(
    "answer",
    [b"{", b"[]", b"", b'{"serviceId": 5}', b'{"errorCode": "400012"', b"\x00" * 100_000],
)
@pytest.mark.parametrize("status", [200, 400, 500, 302])
def test_nonsense_is_survived(world, tmp_path, status, answer):
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        do_POST = do_PUT = do_DELETE = do_GET

        def log_message(self, *_):
            """Not to the terminal."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    with server:
        member = world(Member, tmp_path, server.server_address[1])
        eventually(lambda: "cannot be told" in member.log.read_text(), "the log does not say so")
        assert member.process.poll() is None
        server.shutdown()


def test_a_wrong_address_is_refused(tmp_path):
    (tmp_path / "chassis.yaml").write_text('cse: {service: {registry: {address: "ftp://127.0.0.1:30100"}}}\n')
    (tmp_path / "microservice.yaml").write_text("service_description: {name: cart}\n")
    done = subprocess.run(
        [binary(), "check", "--json"],
        capture_output=True,
        text=True,
        env=dict(os.environ, CHASSIS_CONF_DIR=str(tmp_path)),
    )
    assert done.returncode == 1
    assert "is no address of a server" in json.dumps(json.loads(done.stdout))
