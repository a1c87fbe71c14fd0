# SPDX-License-Identifier: Apache-2.0
"""Beside a service-center in trouble, and in the cases that only a real one shows: versions, a lost store, logins."""

import http.client
import socket
import time
from threading import Event, Thread

import pytest

from harness import eventually
from test_discovery import Caller, Instance, register, registry, world  # noqa: F401
from test_registration import HEALTHY, Application, Member, instance
from test_registry import Registry

SPLIT = """\
routeRule:
  cart:
    - precedence: 1
      route:
        - {tags: {version: 1.0.0}, weight: 90}
        - {tags: {version: 2.0.0}, weight: 10}
"""
ELSEWHERE = "routeRule: {cart: [{precedence: 1, route: [{tags: {app: other}, weight: 100}]}]}\n"


@pytest.fixture
def faulty(world, tmp_path):  # noqa: F811
    """A registry that fails on demand."""
    with (tmp_path / "registry.log").open("wb") as log:
        yield world(Registry, log, options=["--faults"])


class Load:
    """Requests one after the other, in two threads, with when each ended and how."""

    def __init__(self, caller, service="cart"):
        self.caller, self.service, self.answers, self.end = caller, service, [], Event()
        self.began = time.monotonic()
        self.threads = [Thread(target=self.run) for _ in range(2)]
        for thread in self.threads:
            thread.start()

    def run(self):
        while not self.end.wait(0.005):
            try:
                status, reason, body = self.caller.get(self.service)
            except (OSError, http.client.HTTPException) as failure:
                status, reason, body = 0, str(failure), ""
            self.answers.append((time.monotonic() - self.began, status, reason, body))

    def stop(self):
        self.end.set()
        for thread in self.threads:
            thread.join()

    @property
    def failures(self):
        return [answer for answer in list(self.answers) if answer[1] != 200]

    def since(self, moment):
        """The bodies of the answers after a moment."""
        return [body for when, status, _, body in list(self.answers) if when > moment and status == 200]


def caller_with(world, directory, port, router, **keys):  # noqa: F811
    directory.mkdir()
    (directory / "router.yaml").write_text(router)
    return world(Caller, directory, port, **keys)


def test_two_versions_one_after_the_other_and_one_instance_goes_under_load(world, registry, tmp_path):  # noqa: F811
    members = {}
    for name, version in (("one", "1.0.0"), ("two", "2.0.0"), ("three", "2.0.0")):
        (tmp_path / name).mkdir()
        service = world(Instance, name)
        keys = {"mesher.servicePorts": f"rest:{service.port}", "service_description.version": version}
        members[name] = world(Member, tmp_path / name, registry.port, **keys)
        text = members[name].log.read_text
        eventually(lambda text=text: "instance registered" in text(), f"{name} is not registered")
    caller = caller_with(world, tmp_path / "web", registry.port, SPLIT)
    eventually(lambda: caller.get("cart")[0] == 200, "not found")
    load = Load(caller)
    try:
        # Long enough for the turns of both.
        eventually(lambda: len(load.answers) >= 200, "no answers", seconds=20)
        members["three"].process.terminate()
        members["three"].process.wait(timeout=20)
        gone = time.monotonic() - load.began
        eventually(lambda: len(load.since(gone)) >= 200, "no answers", seconds=20)
    finally:
        load.stop()
    assert load.failures == []
    bodies = [body for _, _, _, body in load.answers]
    share = sum(body != "one" for body in bodies) / len(bodies)
    assert 0.08 < share < 0.12
    assert "three" in bodies and "three" not in load.since(gone)


@pytest.mark.parametrize("watch", [False, True])
def test_a_store_that_is_lost_under_load(world, faulty, tmp_path, watch):  # noqa: F811
    (tmp_path / "cart").mkdir()
    service = world(Instance)
    member = world(Member, tmp_path / "cart", faulty.port, **{"mesher.servicePorts": f"rest:{service.port}"})
    text = member.log.read_text
    eventually(lambda: "instance registered" in text(), "not registered")
    caller = world(Caller, tmp_path / "web", faulty.port, **{"cse.service.registry.watch": watch})
    assert caller.get("cart")[0] == 200
    load = Load(caller)
    try:
        assert faulty.raw("POST", "/faults/wipe")[0] == 200
        began = time.monotonic() - load.began
        # Whatever becomes of it until everybody is there again.
        eventually(lambda: faulty.find("cart", app="shop")[1].get("instances"), "not registered again", seconds=20)
        eventually(lambda: caller.metric("mesher_registry_held_instances") == 0, "still held", seconds=20)
        assert len(load.answers) > 400
    finally:
        load.stop()
    failures = load.failures
    assert len(failures) <= len(load.answers) / 100
    assert [failure for failure in failures if failure[0] > began + 1] == []


def test_who_calls_nobody_is_ready_though_its_account_may_not_look_at_the_health(world, faulty, tmp_path):  # noqa: F811
    faulty.faults(accounts={"web": "p"})
    keys = {"cse.credentials.account.name": "web", "cse.credentials.account.password": "p"}
    began = time.monotonic()
    caller = world(Caller, tmp_path / "web", faulty.port, **keys)
    eventually(lambda: caller.ask("/readyz")[0] == 200, "not ready", seconds=5)
    assert time.monotonic() - began < 2
    assert caller.metric("mesher_registry_up") == 1


def test_the_status_after_a_registration_whose_answer_was_lost(world, faulty, tmp_path):  # noqa: F811
    application = world(Application)
    application.status = 503
    # It is taken with the status of the start, and repeated when the application is known to be ill.
    rule = {"method": "POST", "path": "/instances$"}
    faulty.faults(rules=[rule | {"lose": "after", "count": 1}])
    world(Member, tmp_path, faulty.port, mesher=HEALTHY % application.port)
    eventually(lambda: faulty.hits() == [1], "not registered")
    eventually(lambda: (instance(faulty) or {}).get("status") == "DOWN", "the status is wrong", seconds=10)
    application.status = 200
    eventually(lambda: instance(faulty)["status"] == "UP", "the status is wrong", seconds=10)


def test_a_stop_during_the_registration_leaves_no_ghost(world, faulty, tmp_path):  # noqa: F811
    faulty.faults(rules=[{"method": "POST", "path": "/instances$", "delay": "1s"}], holdDeletions="0s")
    member = world(Member, tmp_path, faulty.port)
    eventually(lambda: faulty.hits() == [1], "not registered")
    member.process.terminate()
    assert member.process.wait(timeout=20) == 0
    assert instance(faulty) is None


def test_a_service_of_another_application(world, registry, tmp_path):  # noqa: F811
    shared = registry.service(appId="other", serviceName="cart", properties={"allowCrossApp": "true"})
    registry.instance(shared, endpoints=[world(Instance, "theirs").endpoint])
    caller = caller_with(world, tmp_path / "web", registry.port, ELSEWHERE)
    # Nobody of the own application has the name.
    assert caller.get("cart") == (200, None, "theirs")
    register(registry, world(Instance, "ours"))
    plain = world(Caller, tmp_path / "plain", registry.port)
    assert plain.get("cart") == (200, None, "ours")
    # A rule that comes later.
    (tmp_path / "plain" / "router.yaml").write_text(ELSEWHERE)
    eventually(lambda: plain.get("cart")[2] == "theirs", "the rule is not obeyed")
    assert {plain.get("cart") for _ in range(4)} == {(200, None, "theirs")}
    # What is known is known after a restart without a registry too.
    eventually(lambda: "other" in next((tmp_path / "web" / "state").iterdir()).read_text(), "not saved")
    caller.kill()
    registry.stop()
    caller.start()
    assert caller.get("cart") == (200, None, "theirs")


def test_a_quick_replacement_is_found_without_a_watch(world, registry, tmp_path):  # noqa: F811
    old, new = world(Instance, "old"), world(Instance, "new")
    service, [first] = register(registry, old)
    caller = world(Caller, tmp_path / "web", registry.port, **{"cse.service.registry.refreshInterval": "300s"})
    assert caller.get("cart")[2] == "old"
    old.stop()
    registry.call("DELETE", f"/microservices/{service}/instances/{first}")
    registry.instance(service, endpoints=[new.endpoint])
    eventually(lambda: caller.get("cart")[2] == "new", "not found", seconds=5)


def test_connect_asks_the_registry_too(world, registry, tmp_path):  # noqa: F811
    register(registry, world(Instance))
    caller = world(Caller, tmp_path / "web", registry.port)
    with socket.create_connection(("127.0.0.1", caller.port), timeout=5) as connection:
        connection.sendall(b"CONNECT cart:80 HTTP/1.1\r\nHost: cart:80\r\n\r\n")
        assert connection.recv(1000).startswith(b"HTTP/1.1 200 ")
        connection.sendall(b"GET / HTTP/1.1\r\nHost: cart\r\n\r\n")
        assert connection.recv(1000).startswith(b"HTTP/1.1 200 ")


def test_errors_are_sentences_without_secrets(world, registry, tmp_path):  # noqa: F811
    registry.stop()
    caller = world(Caller, tmp_path / "web", registry.port)
    address = f"http://127.0.0.1:{registry.port}"
    caller.stop()
    caller.keys["cse.service.registry.address"] = address.replace("://", "://user:hush-5@")
    caller.start()
    eventually(lambda: "connection refused" in caller.ask("/v1/mesher/health")[1], "not told")
    for path in ("/v1/mesher/health", "/v1/mesher/services", "/v1/mesher/config"):
        assert "hush-5" not in caller.ask(path)[1]
    assert f"{address}: connection refused" in caller.ask("/v1/mesher/health")[1]
    log = caller.log.read_text()
    assert f"{address}: connection refused" in log
    assert "hush-5" not in log and "unreachable(" not in log and "errno" not in log


def test_nothing_is_pushed_to_who_does_not_register(world, registry, tmp_path):  # noqa: F811
    register(registry, world(Instance))
    keys = {"cse.service.registry.watch": True, "cse.service.registry.registrator.disabled": True}
    caller = world(Caller, tmp_path / "web", registry.port, **keys)
    assert caller.get("cart")[0] == 200
    assert "nothing is pushed to a sidecar that registers no service" in caller.log.read_text()
