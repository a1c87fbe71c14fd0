# SPDX-License-Identifier: Apache-2.0
"""The sidecar beside any service-center: what it has to get right there, one check after the other."""

import contextlib
import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from harness import Calls, binary, eventually, free_port, listens
from service_center import Center

CHECKS = []
# Texts that only a programmer reads, and paths of a build.
DUMP = re.compile(r"\w+Error\(|Optional\(|\.swift|Swift\.|NIO\w+\.|\.build/|errno|\b[a-z]\w*\(\\*\"")


class Skipped(Exception):
    """The check needs what this service-center does not have."""


def check(what):
    """Makes a check of a function; its text is what is printed."""

    def add(function):
        CHECKS.append((what, function))
        return function

    return add


class Origin:
    """A service that answers with its name, each request on a connection of its own: when it stops, all of it stops."""

    def __init__(self, name, port=0):
        class Handler(BaseHTTPRequestHandler):
            wbufsize = -1  # head and body in one piece

            def do_GET(self):
                self.send_response(200)
                self.send_header("Content-Length", str(len(name)))
                self.end_headers()
                self.wfile.write(name.encode())

            def log_message(self, *_):
                """Not to the terminal."""

        self.connections = []
        self.server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.server.daemon_threads = True
        accept = self.server.get_request

        def get_request():
            accepted = accept()
            self.connections.append(accepted[0])
            return accepted

        self.server.get_request = get_request
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        """Ends as a process does: its connections too."""
        self.server.shutdown()
        self.server.server_close()
        for connection in self.connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


class World:
    """A service-center, and what a check has started beside it."""

    def __init__(self, address):
        self.address = address
        self.center = Center(address)
        self.stack = contextlib.ExitStack()
        self.directory = Path(self.stack.enter_context(tempfile.TemporaryDirectory(prefix="mesher-beside-")))
        self.made = 0

    @property
    def plain(self):
        """The address without name and password."""
        return f"http://{self.center.host}:{self.center.port}"

    def origin(self, name="one", port=0):
        made = Origin(name, port)
        self.stack.callback(made.stop)
        return made

    def provider(self, name, *origins, **members):
        """Registers a service with an instance for each origin; gives the ids of both."""
        service = self.center.service(name, **members)
        endpoints = [f"rest://127.0.0.1:{origin.port}" for origin in origins]
        return service, [self.center.instance(service, endpoints=[endpoint]) for endpoint in endpoints]

    def sidecar(self, name="caller", **options):
        self.made += 1
        made = Sidecar(self, self.directory / str(self.made), self.center.name(name), **options)
        self.stack.callback(made.stop)
        return made

    def instances(self, name, version, app=None):
        """The instances of one version."""
        found = self.center.exists(name, version=version, **({"appId": app} if app else {}))
        if found.status != 200:
            return []
        path = f"/microservices/{found.body['serviceId']}/instances"
        return self.center.call("GET", path).body.get("instances", [])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stack.close()


class Sidecar(Calls):
    """The binary under test with a configuration of its own."""

    def __init__(self, world, directory, name, app=None, version="1.0.0", files=None, service="", **keys):
        directory.mkdir()
        self.directory, self.log, self.name = directory, directory / "log", name
        self.app = world.center.app if app is None else app
        self.port, self.grpc = free_port("127.0.0.1", "127.0.0.2"), free_port("127.0.0.1", "127.0.0.2")
        self.admin = free_port("127.0.0.1")
        (directory / "microservice.yaml").write_text(
            f"APPLICATION_ID: {self.app}\nservice_description:\n  name: {name}\n  version: {version}\n{service}"
        )
        (directory / "chassis.yaml").write_text(
            f'cse:\n  protocols:\n    http: {{listenAddress: "127.0.0.2:{self.port}"}}\n'
            f'    grpc: {{listenAddress: "127.0.0.2:{self.grpc}"}}\n'
            f'    rest-admin: {{listenAddress: "127.0.0.1:{self.admin}"}}\n'
        )
        for file, text in (files or {}).items():
            (directory / f"{file}.yaml").write_text(text)
        keys = {
            "cse.service.registry.address": world.plain,
            "cse.service.registry.refreshInterval": "1s",
            "cse.service.registry.heartbeat.interval": "10s",
            "mesher.timeouts.farewell": "0s",
            "mesher.stateDirectory": str(directory / "state"),
        } | keys
        if world.center.token:
            user, _, password = world.address.split("://")[1].rpartition("@")[0].partition(":")
            keys |= {"cse.credentials.account.name": user, "cse.credentials.account.password": password}
        self.began = time.monotonic()
        command = [binary(), "--workers", "1", *(f"--{key}={value}" for key, value in keys.items())]
        environment = dict(os.environ, CHASSIS_CONF_DIR=str(directory))
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        eventually(self._stands, lambda: f"the sidecar does not start: {self.tail()}", seconds=15)

    def _stands(self):
        assert self.process.poll() is None, f"the sidecar has ended: {self.tail()}"
        return listens("127.0.0.1", self.port) and listens("127.0.0.1", self.admin)

    def tail(self):
        return self.log.read_text(errors="replace")[-600:]

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(timeout=15)


@check("a second version of a known service is registered")
def _(world):
    world.provider("cart", version="1.0.0")
    world.sidecar("cart", version="2.0.0")
    eventually(lambda: world.instances("cart", "2.0.0"), "version 2.0.0 has no instance", seconds=10)


@check("the consumer's own entry is deleted: its providers stay")
def _(world):
    world.provider("cart", world.origin())
    caller = world.sidecar()
    cart = world.center.name("cart")
    assert caller.get(cart) == (200, None, "one")
    entry = eventually(lambda: world.center.exists("caller").body.get("serviceId"), "the consumer has no entry")
    world.center.call("DELETE", f"/microservices/{entry}?force=true")
    deadline, answers = time.monotonic() + 5, []
    while time.monotonic() < deadline:
        answers.append(caller.get(cart)[0])
        time.sleep(0.02)
    failed = [status for status in answers if status != 200]
    assert not failed, f"{len(failed)} of {len(answers)} calls failed"
    eventually(lambda: world.center.exists("caller").status == 200, "the consumer is not registered again", seconds=10)


@check("with accounts, a provider that calls nobody is ready within two seconds")
def _(world):
    if not world.center.token:
        raise Skipped("no accounts; give http://name:password@host:port")
    member = world.sidecar("cart")
    eventually(lambda: member.ask("/readyz")[0] == 200, lambda: f"not ready: {member.ask('/readyz')[1]}", seconds=10)
    took = time.monotonic() - member.began
    assert took < 2.5, f"ready after {took:.1f} s"


@check("a rule's app finds a service of another application")
def _(world):
    other = f"other{world.center.run}"
    world.provider("cart", world.origin("there"), appId=other, properties={"allowCrossApp": "true"})
    cart = world.center.name("cart")
    rule = f"routeRule: {{{cart}: [{{precedence: 1, route: [{{weight: 100, tags: {{app: {other}}}}}]}}]}}\n"
    caller = world.sidecar(files={"router": rule})
    answer = lambda: caller.get(cart)  # noqa: E731
    eventually(lambda: answer() == (200, None, "there"), lambda: f"answered {answer()}", seconds=5)


@check("scope: full opens the service whatever properties.allowCrossApp says")
def _(world):
    properties = '  properties: {allowCrossApp: "false"}\n'
    world.sidecar("cart", service=properties, **{"cse.service.registry.scope": "full"})
    found = lambda: world.center.exists("cart").body.get("serviceId")  # noqa: E731
    service = eventually(found, "not registered", seconds=10)
    shown = lambda: world.center.call("GET", f"/microservices/{service}").body["service"]["properties"]  # noqa: E731
    eventually(lambda: shown()["allowCrossApp"] == "true", lambda: f"properties {shown()}")


@check("names that no service can have disturb no other call")
def _(world):
    world.provider("cart", world.origin())
    caller = world.sidecar()
    eventually(lambda: caller.ask("/readyz")[0] == 200, "not ready", seconds=10)
    failures, ended = [], threading.Event()

    def odd():
        while not ended.is_set():
            for name in ("bad_", "x-", "cart."):
                with contextlib.suppress(OSError, http.client.HTTPException):
                    caller.get(name)

    thread = threading.Thread(target=odd)
    thread.start()
    try:
        time.sleep(0.3)
        status = caller.get(world.center.name("cart"))
        if status != (200, None, "one"):
            failures.append(f"the first call was answered {status}")
        deadline = time.monotonic() + 3
        while time.monotonic() < deadline and not failures:
            if caller.metric("mesher_registry_up") != 1:
                failures.append("mesher_registry_up is 0")
    finally:
        ended.set()
        thread.join()
    assert not failures, failures[0]


@check("endpoints with the name of a host are called")
def _(world):
    service = world.center.service("cart")
    world.center.instance(service, endpoints=[f"rest://localhost:{world.origin().port}"])
    caller = world.sidecar()
    answer = lambda: caller.get(world.center.name("cart"))  # noqa: E731
    eventually(lambda: answer() == (200, None, "one"), lambda: f"answered {answer()}", seconds=5)


@check("gRPC calls name their caller in x-cse-src-microservice")
def _(world):
    import grpc_world

    with grpc_world.Service() as origin:
        service = world.center.service("cart")
        world.center.instance(service, endpoints=[f"grpc://127.0.0.1:{origin.port}"])
        caller = world.sidecar()
        cart = world.center.name("cart")
        with grpc_world.through_proxy(caller, f"{cart}:80") as channel:
            channel.unary("Name")
        seen = origin.calls[-1][1]
        assert seen.get("x-cse-src-microservice") == caller.name, f"it carried {sorted(seen)}"


@check("a name of more than 120 characters is registered")
def _(world):
    name = world.center.name("n" * 117)
    world.sidecar("n" * 117, app="default")
    find = lambda: world.center.exists("n" * 117, appId="default")  # noqa: E731
    eventually(lambda: find().status == 200, lambda: f"{len(name)} characters are not registered", seconds=10)


@check("mesher check warns of a name that the registry refuses")
def _(world):
    directory = world.directory / "odd"
    directory.mkdir()
    (directory / "microservice.yaml").write_text("service_description: {name: cart_, version: 1.0.0}\n")
    (directory / "chassis.yaml").write_text(f"cse: {{service: {{registry: {{address: '{world.plain}'}}}}}}\n")
    environment = dict(os.environ, CHASSIS_CONF_DIR=str(directory))
    done = subprocess.run([binary(), "check"], env=environment, capture_output=True, text=True, timeout=20)
    said = done.stdout + done.stderr
    assert "cart_" in said, f"it says {said.strip()[:200]!r}"


@check("after a quick replacement it asks at once, also without the watch")
def _(world):
    old = world.origin("old")
    service, _ids = world.provider("cart", old)
    caller = world.sidecar(**{"cse.service.registry.refreshInterval": "60s"})
    cart = world.center.name("cart")
    assert caller.get(cart) == (200, None, "old")
    old.stop()
    new = world.origin("new")
    world.center.instance(service, endpoints=[f"rest://127.0.0.1:{new.port}"])
    began = time.monotonic()
    eventually(lambda: caller.get(cart) == (200, None, "new"), "the new instance is not called", seconds=10)
    took = time.monotonic() - began
    assert took < 5, f"called after {took:.1f} s"


@check("addresses without a scheme, and with one in capitals, are taken")
def _(world):
    for address in (f"{world.center.host}:{world.center.port}", f"HTTP://{world.center.host}:{world.center.port}"):
        made = world.sidecar(f"cart{world.made}", **{"cse.service.registry.address": address})
        eventually(lambda made=made: made.ask("/readyz")[0] == 200, f"{address} does not work", seconds=10)


@check("errors are told in sentences")
def _(world):
    with socket.socket() as dead:
        dead.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{dead.getsockname()[1]}"
        member = world.sidecar("cart", **{"cse.service.registry.address": address})
        told = lambda: "refused" in member.log.read_text()  # noqa: E731
        eventually(told, lambda: f"no error is told: {member.tail()}", seconds=10)
        for text in (member.log.read_text(), member.ask("/v1/mesher/health")[1]):
            dump = DUMP.search(text)
            assert not dump, f"… {text[max(0, dump.start() - 60) : dump.end() + 60]!r} …"


@check("OUTOFSERVICE, which an operator has set, outlasts the instance")
def _(world):
    world.sidecar("cart")
    [found] = eventually(lambda: world.instances("cart", "1.0.0"), "not registered", seconds=10)
    path = f"/microservices/{found['serviceId']}/instances/{found['instanceId']}"
    world.center.call("PUT", f"{path}/status?value=OUTOFSERVICE")
    # The sidecar has to see it before the instance is lost.
    deadline = time.monotonic() + 11
    eventually(lambda: time.monotonic() > deadline, "time stands still", seconds=15)
    world.center.call("DELETE", path)
    beat = lambda: world.center.call("PUT", f"{path}/heartbeat").status  # noqa: E731
    eventually(lambda: beat() == 200, "not registered again", seconds=25)
    shown = lambda: world.center.call("GET", path).body["instance"]["status"]  # noqa: E731
    eventually(lambda: shown() == "OUTOFSERVICE", lambda: f"it is {shown()}", seconds=5)


def main(address):
    """Runs all checks; gives the number of those that failed."""
    failed = 0
    for what, function in CHECKS:
        try:
            with World(address) as world:
                function(world)
            verdict = "ok"
        except Skipped as reason:
            verdict = f"skipped: {reason}"
        except Exception as failure:
            failed += 1
            verdict = f"failed: {failure or type(failure).__name__}"
        print(f"{what}: {verdict}", flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(1 if main(sys.argv[1]) else 0)
