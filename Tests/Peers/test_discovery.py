# SPDX-License-Identifier: Apache-2.0
"""Services found at a service-center: when traffic asks for them, without flooding it, and without it."""

import base64
import contextlib
import gzip
import hashlib
import json
import os
import signal
import ssl
import subprocess
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread

import pytest

from harness import Calls, binary, eventually, free_port, listens
from test_registration import Member
from test_registry import Registry

CALLER = "APPLICATION_ID: shop\nservice_description: {name: web}\n"


class Caller(Calls):
    """A sidecar called web that finds others at a registry."""

    def __init__(self, directory, registry_port, scheme="http", **keys):
        directory.mkdir(exist_ok=True)
        self.directory, self.port, self.admin = directory, free_port("127.0.0.1"), free_port("127.0.0.1")
        self.registry_port = registry_port
        (directory / "microservice.yaml").write_text(CALLER)
        (directory / "chassis.yaml").write_text(
            f'cse:\n  protocols:\n    http: {{listenAddress: "127.0.0.1:{self.port}"}}\n'
            f'    rest-admin: {{listenAddress: "127.0.0.1:{self.admin}"}}\n'
            f'  service: {{registry: {{address: "{scheme}://127.0.0.1:{registry_port}"}}}}\n'
        )
        self.keys = {
            "cse.service.registry.refreshInterval": "1s",
            "mesher.timeouts.farewell": "0s",
            "mesher.stateDirectory": str(directory / "state"),
        } | keys
        self.log = directory / "log"
        self.start()

    def start(self):
        command = [binary(), "--workers", "2", *(f"--{key}={value}" for key, value in self.keys.items())]
        environment = dict(os.environ, CHASSIS_CONF_DIR=str(self.directory))
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        for port in (self.port, self.admin):
            eventually(lambda port=port: listens("127.0.0.1", port), "the sidecar does not start", seconds=15)

    def kill(self):
        self.process.kill()
        self.process.wait(timeout=10)

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(timeout=10)


class Instance:
    """A service that answers with its name."""

    def __init__(self, name="hello"):
        outer = self
        self.requests = 0

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # head and body in one piece

            def do_GET(self):
                outer.requests += 1
                body = name.encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                """Not to the terminal."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def endpoint(self):
        return f"rest://127.0.0.1:{self.port}"

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


def error(code, message):
    """An error as the registry writes it."""
    return {"errorCode": code, "errorMessage": message}


class Center:
    """A registry that answers as it is told, for what the real one would not do on demand."""

    def __init__(self, find, tls=None, account=None):
        self.calls, self.logins, self.is_over = [], [], False
        self.find = find
        self.account, self.tokens, self.life, self.members = account, set(), 3600, []
        self.ends_watches = False
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self):
                if outer.is_over:
                    self.close_connection = True
                    return
                length = int(self.headers.get("Content-Length") or 0)
                body = self.rfile.read(length)
                outer.calls.append((self.command, self.path, body))
                if self.path == "/v4/token":
                    self.log_in(json.loads(body))
                elif self.path.endswith("/health"):
                    # Open to everybody, and closed to an account without a permission for it.
                    if self.headers.get("Authorization"):
                        self.answer(error("403205", "no permission"), 403)
                    else:
                        self.answer({"instances": outer.members})
                elif outer.account and self.headers.get("Authorization", "")[len("Bearer ") :] not in outer.tokens:
                    # A socket is refused in its own way.
                    refusal = b"" if self.path.endswith("/watcher") else error("401204", "unauthorized")
                    self.answer(refusal, 401 if refusal else 200)
                elif outer.ends_watches and self.path.endswith("/watcher"):
                    self.end_watch()
                elif "action?type=query" in self.path:
                    outer.find(self, json.loads(body))
                elif self.path.endswith("/microservices") and self.command == "GET":
                    self.answer({})
                else:
                    self.answer({"serviceId": "S1", "instanceId": "I1", "service": {"properties": {}}})

            do_GET = do_POST = do_PUT = do_DELETE = handle_any

            def answer(self, body, status=200):
                data = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def end_watch(self):
                """A good handshake, and the end."""
                seal = hashlib.sha1(f"{self.headers['Sec-WebSocket-Key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode())
                self.send_response(101)
                self.send_header("Upgrade", "websocket")
                self.send_header("Connection", "Upgrade")
                self.send_header("Sec-WebSocket-Accept", base64.b64encode(seal.digest()).decode())
                self.end_headers()
                self.close_connection = True

            def log_in(self, account):
                outer.logins.append(account)
                if not outer.account:
                    self.answer(b"404 page not found", 404)
                elif (account["name"], account["password"]) != outer.account:
                    self.answer(error("401202", "wrong username or password"), 401)
                else:
                    claims = json.dumps({"account": account["name"], "exp": int(time.time()) + outer.life}).encode()
                    token = f"e30.{base64.urlsafe_b64encode(claims).decode().rstrip('=')}.{len(outer.logins)}"
                    outer.tokens.add(token)
                    self.answer({"token": token})

            def found(self, *instances, revision="r1"):
                lines = [{"index": 0, "rev": revision, "instances": list(instances)}]
                self.answer({"services": {"updated": lines}})

            def log_message(self, *_):
                """Not to the terminal."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        if tls:
            # The handshake belongs to a connection's own thread.
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        Thread(target=self.server.serve_forever, daemon=True).start()

    def queries(self, name):
        """How often a service was asked for."""
        count = 0
        for _, path, body in list(self.calls):
            if "type=query" in path:
                count += sum(line["service"]["serviceName"] == name for line in json.loads(body)["services"])
        return count

    def stop(self):
        self.is_over = True
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def world(tmp_path):
    """Makes registries, sidecars and services, and ends them."""
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


def register(registry, *instances, name="cart", **members):
    """A service of the caller's application and its instances; gives the ids."""
    service = registry.service(appId="shop", serviceName=name, **members)
    return service, [registry.instance(service, endpoints=[instance.endpoint]) for instance in instances]


def test_the_first_request_waits_for_one_query_and_succeeds(world, registry, tmp_path):
    register(registry, world(Instance))
    caller = world(Caller, tmp_path / "web", registry.port)
    assert caller.get("cart") == (200, None, "hello")
    assert caller.metric("mesher_registry_services") == 1


def test_a_service_between_two_sidecars(world, registry, tmp_path):
    (tmp_path / "cart").mkdir()
    service = world(Instance, "from behind a sidecar")
    world(Member, tmp_path / "cart", registry.port, **{"mesher.servicePorts": f"rest:{service.port}"})
    caller = world(Caller, tmp_path / "web", registry.port)
    eventually(lambda: caller.get("cart")[0] == 200, "not found")
    assert caller.get("cart")[2] == "from behind a sidecar"


def test_requests_share_the_query_and_an_unknown_name_is_asked_for_once_in_a_while(world, tmp_path):
    def find(handler, body):
        names = [line["service"]["serviceName"] for line in body["services"]]
        failed = {"indexes": list(range(len(names))), "error": error("400012", "Micro-service does not exist")}
        handler.answer({"services": {"failed": [failed]}})

    center = world(Center, find)
    caller = world(Caller, tmp_path / "web", center.port)
    answers = []
    threads = [Thread(target=lambda: answers.append(caller.get("nosuch")[:2])) for _ in range(40)]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for _ in range(100):
        answers.append(caller.get("nosuch")[:2])
    assert answers == [(502, "no_endpoint")] * 140
    # One, and one more for every two seconds that this took.
    assert center.queries("nosuch") <= 1 + (time.monotonic() - began) / 2
    # A poll does not ask for what nobody uses.
    assert caller.metric("mesher_registry_services") == 0


def test_a_service_that_starts_late_is_found_soon(world, registry, tmp_path):
    caller = world(Caller, tmp_path / "web", registry.port)
    assert caller.get("cart")[:2] == (502, "no_endpoint")
    register(registry, world(Instance))
    eventually(lambda: caller.get("cart")[0] == 200, "not found", seconds=5)


def test_lower_cased_names(world, registry, tmp_path):
    register(registry, world(Instance), name="RESTServer")
    caller = world(Caller, tmp_path / "web", registry.port)
    assert caller.get("restserver") == (200, None, "hello")
    assert caller.get("RESTServer") == (200, None, "hello")


def test_only_the_own_application(world, registry, tmp_path):
    service = registry.service(appId="other", serviceName="cart")
    registry.instance(service, endpoints=[world(Instance).endpoint])
    caller = world(Caller, tmp_path / "web", registry.port)
    assert caller.get("cart")[:2] == (502, "no_endpoint")


def test_names_that_no_service_can_have_are_not_asked_for(world, tmp_path):
    center = world(Center, lambda handler, body: handler.answer({"services": {}}))
    caller = world(Caller, tmp_path / "web", center.port)
    eventually(lambda: caller.ask("/readyz")[0] == 200, "not ready")
    for name in ("a" * 129, "a%20b", "[2001:db8::1]"):
        assert caller.get(name)[1] in ("no_endpoint", "destination_refused", "bad_request")
    assert not [path for _, path, _ in center.calls if "type=query" in path]


def test_the_newest_version_takes_the_traffic(world, registry, tmp_path):
    register(registry, world(Instance, "one"), version="1.9.0")
    register(registry, world(Instance, "two"), version="1.10.0")
    caller = world(Caller, tmp_path / "web", registry.port)
    assert {caller.get("cart")[2] for _ in range(6)} == {"two"}


@pytest.mark.parametrize("watch", [False, True])
def test_changes_arrive(world, registry, tmp_path, watch):
    first, second = world(Instance, "one"), world(Instance, "two")
    service, [one] = register(registry, first)
    keys = {"cse.service.registry.refreshInterval": "300s" if watch else "500ms", "cse.service.registry.watch": watch}
    caller = world(Caller, tmp_path / "web", registry.port, **keys)
    assert caller.get("cart")[2] == "one"
    if watch:
        eventually(lambda: caller.metric("mesher_registry_watching") == 1, "not watching")
    limit = 1 if watch else 3

    def takes(change, fact, failure, held=0):
        began = time.monotonic()
        change()
        eventually(fact, failure, seconds=limit + held + 4)
        took = time.monotonic() - began
        assert took < limit + held, f"{failure}: {took:.2f} s"

    address = f"/microservices/{service}/instances/{one}"
    takes(
        lambda: registry.call("PUT", f"{address}/status?value=DOWN"),
        lambda: caller.get("cart")[:2] == (502, "no_endpoint"),
        "down",
    )
    takes(
        lambda: registry.instance(service, endpoints=[second.endpoint]),
        lambda: caller.get("cart")[2] == "two",
        "another",
    )
    takes(
        lambda: registry.call("PUT", f"{address}/status?value=UP"),
        lambda: {caller.get("cart")[2] for _ in range(4)} == {"one", "two"},
        "up again",
    )
    takes(
        lambda: registry.call("DELETE", address),
        lambda: {caller.get("cart")[2] for _ in range(4)} == {"two"},
        "gone",
        held=2.5,  # for which the registry still shows what is deleted
    )


def test_the_watch_comes_back_and_catches_up(world, registry, tmp_path):
    first, second = world(Instance, "one"), world(Instance, "two")
    service, _ = register(registry, first)
    keys = {"cse.service.registry.refreshInterval": "300s", "cse.service.registry.watch": True}
    caller = world(Caller, tmp_path / "web", registry.port, **keys)
    assert caller.get("cart")[2] == "one"
    eventually(lambda: caller.metric("mesher_registry_watching") == 1, "not watching")
    registry.process.kill()
    registry.process.wait()
    eventually(lambda: caller.metric("mesher_registry_watching") == 0, "still watching")
    with (tmp_path / "registry.log").open("ab") as log:
        again = world(Registry, log, registry.port)
    register(again, second)
    eventually(lambda: caller.get("cart")[2] == "two", "not caught up", seconds=20)
    eventually(lambda: caller.metric("mesher_registry_watching") == 1, "not watching again")
    # It has registered anew by itself, or the watch would not be there.
    assert again.find("web", app="shop")[0] == 200


def test_a_watch_that_does_not_last_is_opened_later_and_later(world, tmp_path):
    center = world(Center, lambda handler, _: handler.found())
    center.ends_watches = True
    keys = {"cse.service.registry.watch": True, "cse.service.registry.refreshInterval": "300s"}
    world(Caller, tmp_path / "web", center.port, **keys)

    def watches():
        return sum(path.endswith("/watcher") for _, path, _ in list(center.calls))

    eventually(watches, "no watcher")
    began = time.monotonic()
    eventually(lambda: time.monotonic() - began > 6, "the clock stands", seconds=10)
    # After a second, two, four, each half as long at least; and as many questions, since something may have been missed.
    assert 2 <= watches() <= 4
    assert sum("/health" in path for _, path, _ in list(center.calls)) <= 6, center.calls


def test_a_registry_that_has_lost_everything_is_not_believed_at_once(world, registry, tmp_path):
    """Others need a heartbeat's time to come back, as this sidecar itself did."""
    register(registry, world(Instance))
    caller = world(Caller, tmp_path / "web", registry.port)
    assert caller.get("cart")[0] == 200
    eventually(lambda: "instance registered" in caller.log.read_text(), "not registered")
    registry.process.kill()
    registry.process.wait()
    with (tmp_path / "registry.log").open("ab") as log:
        again = world(Registry, log, registry.port)
    eventually(lambda: caller.metric("mesher_registry_held_instances") == 1, "not held", seconds=40)
    assert caller.get("cart")[0] == 200
    register(again, world(Instance, "new"))
    eventually(lambda: caller.get("cart")[2] == "new", "not refreshed", seconds=10)


class Load:
    """Requests one after the other until it is stopped."""

    def __init__(self, caller, service):
        self.failures, self.count, self.pause = [], 0, Event()
        self.caller, self.service, self.isOver = caller, service, False
        self.thread = Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while not self.isOver:
            try:
                answer = self.caller.get(self.service)
                if answer[0] != 200:
                    self.failures.append(answer)
            except OSError as error:
                self.failures.append(error)
            self.count += 1

    def stop(self):
        self.isOver = True
        self.thread.join(timeout=10)


def test_without_the_registry_traffic_goes_on_and_survives_a_restart(world, registry, tmp_path):
    register(registry, world(Instance))
    caller = world(Caller, tmp_path / "web", registry.port)
    assert caller.get("cart")[0] == 200
    load = world(Load, caller, "cart")
    registry.process.kill()
    registry.process.wait()
    eventually(lambda: caller.metric("mesher_registry_up") == 0, "still up", seconds=10)
    assert caller.metric("mesher_registry_stale_services") == 1
    status, health = caller.ask("/v1/mesher/health")
    assert json.loads(health)["registry"]["reachable"] is False
    assert json.loads(health)["registry"]["staleServices"] == 1
    seen = load.count
    eventually(lambda: load.count > seen + 500, "no traffic")
    assert load.failures == []
    load.stop()

    caller.kill()
    caller.start()
    # Not even the first may fail: the listener opens when the saved services are there.
    assert [caller.get("cart")[0] for _ in range(20)] == [200] * 20
    assert caller.ask("/readyz")[0] == 200
    assert caller.metric("mesher_registry_stale_services") == 1
    # What it does not know it cannot find now, and says so at once.
    began = time.monotonic()
    assert caller.get("other")[:2] == (503, "not_ready")
    assert time.monotonic() - began < 2
    with (tmp_path / "registry.log").open("ab") as log:
        again = world(Registry, log, registry.port)
    register(again, world(Instance, "new"))
    eventually(lambda: caller.get("cart")[2] == "new", "not refreshed", seconds=40)
    assert caller.metric("mesher_registry_stale_services") == 0


def test_a_cold_start_without_registry_is_not_ready_and_gets_well(world, tmp_path):
    port = free_port("127.0.0.1")
    caller = world(Caller, tmp_path / "web", port)
    assert caller.get("cart")[:2] == (503, "not_ready")
    status, text = caller.ask("/readyz")
    assert (status, text) == (503, "not ready: registry\n")
    with (tmp_path / "registry.log").open("wb") as log:
        registry = world(Registry, log, port)
    register(registry, world(Instance))
    eventually(lambda: caller.get("cart")[0] == 200, "not found", seconds=10)
    assert caller.ask("/readyz")[0] == 200
    assert caller.process.poll() is None


@pytest.mark.parametrize("text", ["", "{", '{"format": 99}', "[]", '{"format":1,"registry":"x","services":{}}'])
def test_a_bad_cache_is_as_good_as_none(world, registry, tmp_path, text):
    register(registry, world(Instance))
    caller = world(Caller, tmp_path / "web", registry.port)
    assert caller.get("cart")[0] == 200
    state = tmp_path / "web" / "state"
    eventually(lambda: state.is_dir() and len(list(state.glob("services-shop-web-*.json"))) == 1, "not saved")
    caller.stop()
    [file] = state.iterdir()
    assert json.loads(file.read_text())["services"]["shop"]["cart"][0]["status"] == "UP"
    file.write_text(text)
    caller.start()
    eventually(lambda: caller.get("cart")[0] == 200, "not found")


def test_a_state_directory_that_cannot_be_written_only_warns(world, registry, tmp_path):
    register(registry, world(Instance))
    caller = world(Caller, tmp_path / "web", registry.port, **{"mesher.stateDirectory": "/proc/nowhere"})
    assert caller.get("cart")[0] == 200
    eventually(lambda: "known services cannot be saved" in caller.log.read_text(), "no warning")
    assert caller.get("cart")[0] == 200


def instances(count, port):
    return [
        {"instanceId": f"i{index}", "endpoints": [f"rest://127.0.0.1:{port}"], "status": "UP", "version": "1.0.0"}
        for index in range(count)
    ]


def test_what_vanishes_all_at_once_is_not_believed(world, tmp_path):
    service = world(Instance)
    known = instances(6, service.port)
    center = world(Center, lambda handler, body: handler.found(*known))
    caller = world(Caller, tmp_path / "web", center.port, **{"cse.service.registry.refreshInterval": "200ms"})
    assert caller.get("cart")[0] == 200
    del known[2:]
    eventually(lambda: caller.metric("mesher_registry_held_instances") == 4, "not held")
    known.clear()
    eventually(lambda: caller.metric("mesher_registry_held_instances") == 6, "not held")
    assert caller.get("cart")[0] == 200
    known.extend(instances(4, service.port))
    eventually(lambda: caller.metric("mesher_registry_held_instances") == 0, "still held")
    # A few may go at once.
    known.clear()
    eventually(lambda: caller.get("cart")[:2] == (502, "no_endpoint"), "the last ones are still there")


GOOD = '{"services":{"updated":[{"index":0,"rev":"r2","instances":[%s]}]}}'


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'{"services":{"updated":[{"index":0,"instances":',
        b'{"services":{"updated":[{"index":7,"instances":[]}],"notModified":[-1,99],"failed":[{"indexes":[1000]}]}}',
        b'{"services":{"updated":[{"index":-1,"instances":[]}]}}',
        b'{"services":{"failed":[{"indexes":[0],"error":{"errorCode":"500011","errorMessage":"store"}}]}}',
        (GOOD % ("{}," * 1_000_000 + "{}")).replace(":0", ": 1", 1).encode(),
        b" " * (20 << 20),
    ],
    ids=lambda body: str(body[:40]) + f" {len(body)}",
)
def test_answers_that_make_no_sense_change_nothing(world, tmp_path, body):
    service = world(Instance)
    good = instances(1, service.port)
    center = world(Center, lambda handler, _: handler.found(*good))
    caller = world(Caller, tmp_path / "web", center.port, **{"cse.service.registry.refreshInterval": "200ms"})
    assert caller.get("cart")[0] == 200
    center.find = lambda handler, _: handler.answer(body)
    asked = center.queries("cart")
    eventually(lambda: center.queries("cart") > asked + 1, "not asked", seconds=20)
    assert caller.get("cart")[0] == 200
    assert resident(caller) < 256 << 20
    center.find = lambda handler, _: handler.found(*good, revision="r3")
    eventually(lambda: caller.metric("mesher_registry_stale_services") == 0, "not well again", seconds=40)


def resident(caller):
    return int(open(f"/proc/{caller.process.pid}/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_instances_that_make_no_sense_are_left_out(world, tmp_path):
    service = world(Instance)
    odd = [
        {},
        {"instanceId": "a"},
        {"instanceId": "b", "endpoints": []},
        {
            "instanceId": "c",
            "endpoints": ["", "rest://", "rest://127.0.0.1:0", "rest://127.0.0.1:99999", "127.0.0.1:1"],
        },
        {"instanceId": "d", "endpoints": ["rest://name:80", "rest://127.0.0.1:1"], "status": "WHATEVER"},
        {"instanceId": "", "endpoints": [f"rest://127.0.0.1:{service.port}/?weight=3&sslEnabled=false"]},
    ]
    center = world(Center, lambda handler, body: handler.found(*odd))
    caller = world(Caller, tmp_path / "web", center.port)
    assert [caller.get("cart")[0] for _ in range(6)] == [200] * 6
    assert "endpoints ignored, they cannot be read" in caller.log.read_text()


def test_an_endless_or_dripping_answer_holds_nothing_up_for_long(world, tmp_path):
    service = world(Instance)
    good = instances(1, service.port)

    def drip(handler, _):
        handler.send_response(200)
        handler.end_headers()
        handler.close_connection = True
        with contextlib.suppress(OSError):
            while True:
                handler.wfile.write(b" ")
                time.sleep(0.2)

    def flood(handler, _):
        handler.send_response(200)
        handler.end_headers()
        handler.close_connection = True
        with contextlib.suppress(OSError):
            for _ in range(1024):
                handler.wfile.write(b" " * (1 << 20))

    center = world(Center, lambda handler, _: handler.found(*good))
    caller = world(Caller, tmp_path / "web", center.port, **{"cse.service.registry.refreshInterval": "200ms"})
    assert caller.get("cart")[0] == 200
    for hostile in (flood, drip):
        center.find = hostile
        eventually(lambda: caller.metric("mesher_registry_up") == 0, "not noticed", seconds=30)
        assert caller.get("cart")[0] == 200
        began = time.monotonic()
        assert caller.get("other")[:2] == (503, "not_ready")
        assert time.monotonic() - began < 3
        assert resident(caller) < 256 << 20
        center.find = lambda handler, _: handler.found(*good)
        eventually(lambda: caller.metric("mesher_registry_up") == 1, "not well again", seconds=40)


def test_a_consumer_that_the_registry_has_lost_registers_again(world, registry, tmp_path):
    register(registry, world(Instance))
    caller = world(Caller, tmp_path / "web", registry.port)
    assert caller.get("cart")[0] == 200
    found = registry.call("GET", "/existence?type=microservice&appId=shop&serviceName=web&version=0.0.1")[1]
    registry.call("DELETE", f"/microservices/{found['serviceId']}?force=true")
    eventually(lambda: "the registry has lost the service" in caller.log.read_text(), "not noticed", seconds=10)
    eventually(
        lambda: registry.call("GET", "/existence?type=microservice&appId=shop&serviceName=web&version=0.0.1")[0] == 200,
        "not registered again",
        seconds=10,
    )
    assert caller.get("cart")[0] == 200


def test_replacing_instances_one_by_one_loses_no_request(world, registry, tmp_path):
    running = [world(Instance, f"old{index}") for index in range(2)]
    service, ids = register(registry, *running)
    caller = world(Caller, tmp_path / "web", registry.port, **{"cse.service.registry.watch": True})
    assert caller.get("cart")[0] == 200
    eventually(lambda: caller.metric("mesher_registry_watching") == 1, "not watching")
    load = world(Load, caller, "cart")
    for index in range(2):
        new = world(Instance, f"new{index}")
        registry.instance(service, endpoints=[new.endpoint])
        registry.call("DELETE", f"/microservices/{service}/instances/{ids[index]}")
        eventually(lambda: new.requests > 3, "the new one is not called")
        path = f"/microservices/{service}/instances/{ids[index]}"
        eventually(lambda path=path: registry.call("GET", path)[0] == 400, "still shown")
        seen = running[index].requests
        eventually(lambda: new.requests > 20, "the new one is not called")
        assert running[index].requests <= seen + 1
    load.stop()
    assert load.failures == [] and load.count > 100


def test_a_registry_of_thousands_costs_what_is_used(world, registry, tmp_path):
    service = world(Instance)
    for index in range(1_000):
        entity = {"appId": "shop", "serviceName": f"s{index}", "version": "1.0.0"}
        list_of = [{"hostName": "h", "endpoints": [service.endpoint]} for _ in range(20)]
        assert registry.call("POST", "/microservices", {"service": entity, "instances": list_of})[0] == 200
    caller = world(Caller, tmp_path / "web", registry.port, **{"cse.service.registry.refreshInterval": "200ms"})
    assert [caller.get(f"s{index}")[0] for index in range(5)] == [200] * 5
    before = resident(caller)

    def busy():
        fields = open(f"/proc/{caller.process.pid}/stat").read().rsplit(") ", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    began, used = time.monotonic(), busy()
    polls = caller.metric("mesher_registry_services")
    assert polls == 5
    # Ten polls, which are what is measured.
    eventually(lambda: time.monotonic() - began > 2, "time stands still")
    share = (busy() - used) / (time.monotonic() - began)
    print(f"1,000 services x 20, 5 used, 5 polls a second: {share * 100:.1f} % of a core, {before >> 20} MiB")
    assert share < 0.05
    assert resident(caller) - before < 8 << 20


ACCOUNT = {"cse.credentials.account.name": "dev", "cse.credentials.account.password": "Pa$$word1"}


def test_login(world, tmp_path):
    service = world(Instance)
    good = instances(1, service.port)
    center = world(Center, lambda handler, _: handler.found(*good), account=("dev", "Pa$$word1"))
    keys = {"cse.service.registry.refreshInterval": "200ms"} | ACCOUNT
    caller = world(Caller, tmp_path / "web", center.port, **keys)
    assert caller.get("cart")[0] == 200
    assert len(center.logins) == 1
    # The registry forgets its tokens, as after a change of its key: one login, and the call is repeated.
    center.tokens.clear()
    eventually(lambda: len(center.logins) == 2, "not logged in again")
    asked = center.queries("cart")
    eventually(lambda: center.queries("cart") > asked + 4, "not asked any more")
    assert caller.metric("mesher_registry_up") == 1
    assert len(center.logins) == 2
    assert "Pa$$word1" not in caller.log.read_text()
    assert not any(token in caller.log.read_text() for token in center.tokens)


def test_a_token_is_renewed_before_it_ends(world, tmp_path):
    center = world(Center, lambda handler, _: handler.found(), account=("dev", "Pa$$word1"))
    center.life = 2
    keys = {"cse.service.registry.refreshInterval": "200ms"} | ACCOUNT
    # Whoever asks for nothing needs no token.
    world(Caller, tmp_path / "web", center.port, **keys).get("cart")
    eventually(lambda: len(center.logins) >= 3, "not renewed")
    refused = sum("/token" not in path for _, path, _ in center.calls)
    assert refused > 3


def test_a_wrong_password_is_tried_once(world, tmp_path):
    center = world(Center, lambda handler, _: handler.found(), account=("dev", "another"))
    caller = world(
        Caller, tmp_path / "web", center.port, **({"cse.service.registry.refreshInterval": "200ms"} | ACCOUNT)
    )
    eventually(lambda: "the registry refuses the account" in caller.log.read_text(), "not said")
    calls = len(center.calls)
    eventually(lambda: len(center.calls) > calls + 5, "it does not go on trying")
    # Three would block the account.
    assert len(center.logins) == 1
    assert caller.get("cart")[:2] == (503, "not_ready")


def test_a_registry_without_login(world, tmp_path):
    service = world(Instance)
    good = instances(1, service.port)
    center = world(Center, lambda handler, _: handler.found(*good))
    caller = world(Caller, tmp_path / "web", center.port, **ACCOUNT)
    assert caller.get("cart")[0] == 200
    assert len(center.logins) == 1


def test_a_watcher_whose_token_is_refused_logs_in_again(world, tmp_path):
    center = world(Center, lambda handler, _: handler.found(), account=("dev", "Pa$$word1"))
    keys = {"cse.service.registry.watch": True, "cse.service.registry.refreshInterval": "300s"} | ACCOUNT
    world(Caller, tmp_path / "web", center.port, **keys)
    eventually(lambda: any(path.endswith("/watcher") for _, path, _ in center.calls), "no watcher")
    center.tokens.clear()
    eventually(lambda: len(center.logins) >= 2, "not logged in again")


def test_compressed_answers(world, tmp_path):
    service = world(Instance)
    many = instances(400, service.port)

    def find(handler, _):
        assert "gzip" in handler.headers["Accept-Encoding"]
        data = gzip.compress(json.dumps({"services": {"updated": [{"index": 0, "instances": many}]}}).encode())
        handler.send_response(200)
        handler.send_header("Content-Encoding", "gzip")
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)

    center = world(Center, find)
    caller = world(Caller, tmp_path / "web", center.port, **{"cse.service.registry.refreshInterval": "200ms"})
    assert caller.get("cart")[0] == 200
    # A bomb is an answer that makes no sense.
    bomb = gzip.compress(b" " * (256 << 20))

    def burst(handler, _):
        handler.send_response(200)
        handler.send_header("Content-Encoding", "gzip")
        handler.send_header("Content-Length", str(len(bomb)))
        handler.end_headers()
        handler.wfile.write(bomb)

    center.find = burst
    eventually(lambda: caller.metric("mesher_registry_stale_services") == 1, "not noticed", seconds=30)
    assert caller.get("cart")[0] == 200
    assert resident(caller) < 256 << 20


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """An authority, servers of 127.0.0.1 and of sc-host and a client that it vouches for, and another authority."""
    folder = tmp_path_factory.mktemp("certificates")

    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    for name in ("ca", "other"):
        openssl(
            *("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2".split()),
            *("-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.crt"),
        )
    for name, host in (("server", "IP:127.0.0.1"), ("client", "IP:127.0.0.1"), ("named", "DNS:sc-host")):
        (folder / "san").write_text(f"subjectAltName={host}\n")
        openssl(
            *("req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -passout pass:secret".split()),
            *("-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.csr"),
        )
        openssl(
            *("x509 -req -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile san".split()),
            *("-in", f"{name}.csr", "-out", f"{name}.crt"),
        )
    (folder / "password").write_text("secret\n")
    return folder


def tls_of(certificates, mutual, server="server"):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / f"{server}.crt", certificates / f"{server}.key", "secret")
    context.load_verify_locations(certificates / "ca.crt")
    context.verify_mode = ssl.CERT_REQUIRED if mutual else ssl.CERT_NONE
    return context


@pytest.mark.parametrize("mutual", [False, True], ids=["server", "mutual"])
@pytest.mark.parametrize("own", [False, True], ids=["anonymous", "certified"])
@pytest.mark.parametrize("authority", [None, "ca", "other"])
def test_tls(world, tmp_path, certificates, mutual, own, authority):
    service = world(Instance)
    good = instances(1, service.port)
    center = world(Center, lambda handler, _: handler.found(*good), tls=tls_of(certificates, mutual))
    keys = {}
    if authority:
        keys |= {"verifyPeer": "true", "caFile": certificates / f"{authority}.crt"}
    if own:
        keys |= {"certFile": certificates / "client.crt", "keyFile": certificates / "client.key"}
        keys |= {"certPwdFile": certificates / "password"}
    keys = {f"ssl.registry.Consumer.{key}": value for key, value in keys.items()}
    caller = world(Caller, tmp_path / "web", center.port, "https", **keys)
    works = (own or not mutual) and authority != "other"
    assert caller.get("cart")[:2] == ((200, None) if works else (503, "not_ready"))


def test_tls_is_renewed(world, tmp_path, certificates):
    good = instances(1, world(Instance).port)
    center = world(Center, lambda handler, _: handler.found(*good), tls=tls_of(certificates, mutual=False))
    authority = tmp_path / "ca.crt"
    authority.write_bytes((certificates / "other.crt").read_bytes())
    keys = {"ssl.registry.Consumer.verifyPeer": "true", "ssl.registry.Consumer.caFile": authority}
    caller = world(Caller, tmp_path / "web", center.port, "https", **keys)
    assert caller.get("cart")[:2] == (503, "not_ready")
    authority.write_bytes((certificates / "ca.crt").read_bytes())
    eventually(lambda: caller.get("cart")[0] == 200, "not renewed", seconds=15)


def test_services_by_address(world, registry, tmp_path):
    service = world(Instance)
    register(registry, service)
    keys = {"plugin.destinationResolver.http": "ip"}
    unaware = world(Caller, tmp_path / "unaware", registry.port, **keys)
    assert unaware.get(f"127.0.0.1:{service.port}")[0] == 403
    aware = world(Caller, tmp_path / "web", registry.port, **keys, **{"cse.service.registry.autoIPIndex": True})
    eventually(lambda: aware.get(f"127.0.0.1:{service.port}")[0] == 200, "not found")
    # What is found so is used like any other; and a service that has gone is gone.
    assert aware.get(f"127.0.0.1:{service.port}")[2] == "hello"
    for found in registry.call("GET", "/microservices")[1]["services"]:
        if found["serviceName"] == "cart":
            registry.call("DELETE", f"/microservices/{found['serviceId']}?force=true")
    eventually(lambda: aware.get(f"127.0.0.1:{service.port}")[0] == 403, "still there")


def test_finding_without_registering(world, registry, tmp_path):
    register(registry, world(Instance))
    keys = {"cse.service.registry.registrator.disabled": True}
    caller = world(Caller, tmp_path / "web", registry.port, **keys)
    assert caller.get("cart")[0] == 200
    names = [service["serviceName"] for service in registry.call("GET", "/microservices")[1]["services"]]
    assert names == ["cart"]


def test_the_last_instances_are_tried_before_they_go(world, tmp_path):
    service = world(Instance)
    known = instances(1, service.port)
    center = world(Center, lambda handler, _: handler.found(*known))
    keys = {"cse.service.registry.refreshInterval": "200ms", "cse.service.registry.healthCheck": True}
    caller = world(Caller, tmp_path / "web", center.port, **keys)
    assert caller.get("cart")[0] == 200
    known.clear()
    eventually(lambda: caller.metric("mesher_registry_held_instances") == 1, "not held")
    asked = center.queries("cart")
    eventually(lambda: center.queries("cart") > asked + 3, "not asked any more")
    assert caller.get("cart")[0] == 200
    service.stop()
    eventually(lambda: caller.get("cart")[:2] == (502, "no_endpoint"), "kept although it is gone")
    assert caller.metric("mesher_registry_held_instances") == 0


def test_members_of_the_registry_are_asked_when_the_configured_one_is_gone(world, tmp_path):
    service = world(Instance)
    good = instances(1, service.port)
    second = world(Center, lambda handler, _: handler.found(*good))
    first = world(Center, lambda handler, _: handler.found(*good))
    first.members = [{"endpoints": [f"rest://127.0.0.1:{second.port}/", "grpc://127.0.0.1:1", "rest://nonsense"]}]
    keys = {"cse.service.registry.refreshInterval": "200ms", "cse.service.registry.autodiscovery": True}
    caller = world(Caller, tmp_path / "web", first.port, **keys)
    assert caller.get("cart")[0] == 200
    # The second answer of this kind is the latest that names the members: the first one may only have been a ping.
    eventually(lambda: sum(path.endswith("/health") for _, path, _ in first.calls) > 2, "members not asked for")
    first.stop()
    eventually(lambda: second.queries("cart") > 2, "the other one is not asked")
    assert caller.metric("mesher_registry_up") == 1
