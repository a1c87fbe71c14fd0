# SPDX-License-Identifier: Apache-2.0
"""The registry for one machine: the calls that clients of service-center make, and its answers."""

import contextlib
import http.client
import json
import os
import signal
import subprocess
import urllib.parse

import pytest
import websockets.sync.client as websocket

from harness import binary, eventually, free_port

BASE = "/v4/default/registry"
CART = {"appId": "default", "serviceName": "cart", "version": "1.0.0"}


class Registry:
    """One `mesher registry` process."""

    def __init__(self, log, port=None):
        self.port = port or free_port("127.0.0.1")
        command = [binary(), "registry", "--listen", f"127.0.0.1:{self.port}"]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        eventually(self._answers, "the registry does not start", seconds=15)

    def _answers(self):
        with contextlib.suppress(OSError):
            return self.call("GET", "/health")[0] == 200
        return False

    def raw(self, method, path, body=None, headers=None):
        """Status, headers and bytes of an answer; `path` is all of it."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        with contextlib.closing(connection):
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()

    def call(self, method, path, body=None, consumer=None, domain=None):
        """Status and decoded body of a call below the usual path."""
        headers = {"X-ConsumerId": consumer, "X-Domain-Name": domain}
        headers = {name: value for name, value in headers.items() if value}
        data = None if body is None else json.dumps(body)
        status, _, text = self.raw(method, BASE + path, data, headers)
        return status, json.loads(text) if text.startswith(b"{") else text

    def service(self, **members):
        status, answer = self.call("POST", "/microservices", {"service": CART | members})
        assert status == 200, answer
        return answer["serviceId"]

    def instance(self, service, **members):
        body = {"instance": {"hostName": "h1", "endpoints": ["rest://127.0.0.1:8080"]} | members}
        status, answer = self.call("POST", f"/microservices/{service}/instances", body)
        assert status == 200, answer
        return answer["instanceId"]

    def find(self, name, consumer=None, app="default", **more):
        query = urllib.parse.urlencode({"appId": app, "serviceName": name, "version": "0+"} | more)
        return self.call("GET", f"/instances?{query}", consumer=consumer)

    def watch(self, consumer):
        return websocket.connect(f"ws://127.0.0.1:{self.port}{BASE}/microservices/{consumer}/watcher", proxy=None)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(timeout=10)


@pytest.fixture
def registry(tmp_path):
    with (tmp_path / "log").open("wb") as log:
        running = Registry(log)
    yield running
    running.stop()
    assert running.process.returncode == 0


def code(answer):
    status, body = answer
    assert body["errorMessage"]
    assert status == int(body["errorCode"][:3])
    return body["errorCode"]


def test_a_service_keeps_its_id(registry):
    assert code(registry.call("GET", "/existence?type=microservice&appId=default&serviceName=cart&version=1.0.0")) == (
        "400012"
    )
    cart = registry.service(properties={"a": "b"})
    assert registry.service(properties={"c": "d"}) == cart, "the same identity is the same service"
    found = registry.call("GET", "/existence?type=microservice&appId=default&serviceName=cart&version=1.0.0")
    assert found == (200, {"serviceId": cart})
    entity = registry.call("GET", f"/microservices/{cart}")[1]["service"]
    assert (entity["properties"], entity["level"]) == ({"a": "b"}, "BACK"), "the second post changes nothing"
    assert code(registry.call("POST", "/microservices", {"service": CART | {"serviceId": "x"}})) == "400010"
    registry.call("PUT", f"/microservices/{cart}/properties", {"properties": {"k": "v"}})
    assert registry.call("GET", f"/microservices/{cart}")[1]["service"]["properties"] == {"k": "v"}


@pytest.mark.parametrize(
    "members",
    [
        {"serviceName": ""},
        {"serviceName": "-cart"},
        {"serviceName": "ca rt"},
        {"serviceName": "c" * 129},
        {"version": "0+"},
        {"version": "latest"},
        {"version": "1.99999"},
        {"environment": "home"},
        {"level": "TOP"},
        {"properties": ["no map"]},
    ],
)
def test_a_bad_service_is_refused(registry, members):
    assert code(registry.call("POST", "/microservices", {"service": CART | members})) == "400001"
    assert registry.call("GET", "/microservices") == (200, {})


@pytest.mark.parametrize(
    "members",
    [
        {"hostName": ""},
        {"hostName": "h" * 65},
        {"endpoints": [" "]},
        {"status": "SLEEPING"},
        {"instanceId": "a b"},
        {"healthCheck": {"mode": "push", "interval": 9223372036854775807, "times": 3}},
        {"healthCheck": {"mode": "push", "interval": 0, "times": 3}},
    ],
)
def test_a_bad_instance_is_refused(registry, members):
    cart = registry.service()
    body = {"instance": {"hostName": "h1"} | members}
    assert code(registry.call("POST", f"/microservices/{cart}/instances", body)) == "400001"
    assert registry.call("GET", f"/microservices/{cart}/instances") == (200, {})


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"{}", b'{"service": 1}', b"\xff", b"[" * 100_000])
def test_a_bad_body_is_refused(registry, body):
    status, _, text = registry.raw("POST", f"{BASE}/microservices", body)
    assert (status, json.loads(text)["errorCode"]) == (400, "400001")


def test_a_large_body_is_refused(registry):
    status, _, text = registry.raw("POST", f"{BASE}/microservices", b" " * (3 << 20))
    assert (status, json.loads(text)["errorMessage"]) == (400, "Invalid parameter(s)")
    assert "too large" in json.loads(text)["detail"]


def test_other_paths_are_unknown(registry):
    for path in ("/", "/v4/default", "/v4/token", f"{BASE}/nosuch"):
        status, headers, text = registry.raw("GET", path)
        assert (status, headers.get_content_type(), text.strip()) == (404, "text/plain", b"404 page not found")


def test_instances_are_found_with_a_revision(registry):
    web, cart = registry.service(serviceName="web"), registry.service()
    assert registry.find("cart", web) == (200, {}), "known, without an instance"
    assert code(registry.find("nosuch", web)) == "400012"
    one = registry.instance(cart)
    path = f"{BASE}/instances?appId=default&serviceName=cart&version=0%2B"
    status, headers, text = registry.raw("GET", path, headers={"X-ConsumerId": web})
    revision = headers["X-Resource-Revision"]
    found = json.loads(text)["instances"][0]
    assert (found["instanceId"], found["version"], found["status"]) == (one, "1.0.0", "UP")
    assert found["healthCheck"] == {"mode": "push", "interval": 30, "times": 3}
    assert registry.raw("GET", f"{path}&rev={revision}", headers={"X-ConsumerId": web})[0] == 304
    registry.call("PUT", f"/microservices/{cart}/instances/{one}/status?value=DOWN")
    status, headers, text = registry.raw("GET", f"{path}&rev={revision}", headers={"X-ConsumerId": web})
    assert (status, json.loads(text)["instances"][0]["status"]) == (200, "DOWN")
    assert headers["X-Resource-Revision"] != revision


def test_many_are_found_in_one_call(registry):
    web, cart = registry.service(serviceName="web"), registry.service()
    registry.instance(cart)

    def ask(revision):
        lines = [
            {"service": {"appId": "default", "serviceName": name, "version": "0+"}, "rev": revision}
            for name in ("cart", "nosuch", "web", "none")
        ]
        body = {"consumerServiceId": web, "services": lines}
        return registry.call("POST", "/instances/action?type=query", body, consumer=web)[1]["services"]

    first = ask("0")
    assert [entry["index"] for entry in first["updated"]] == [0, 2]
    assert "instances" not in first["updated"][1], "an empty list is left out"
    assert [(entry["indexes"], entry["error"]["errorCode"]) for entry in first["failed"]] == [([1, 3], "400012")]
    assert ask(first["updated"][0]["rev"])["notModified"] == [0]


def test_who_may_see_whom(registry):
    web = registry.service(serviceName="web")
    registry.instance(registry.service(serviceName="secret", appId="other"))
    registry.instance(registry.service(serviceName="open", appId="other", properties={"allowCrossApp": "true"}))
    registry.instance(registry.service(serviceName="test", environment="testing"))
    assert registry.find("secret", web, app="other") == (200, {})
    assert len(registry.find("open", web, app="other")[1]["instances"]) == 1
    assert code(registry.find("test", web, env="testing")) == "400012", "the consumer's own environment decides"
    assert len(registry.find("test", env="testing")[1]["instances"]) == 1
    status, body = registry.find("open", "nobody", app="other")
    assert (status, body["errorCode"], body["detail"]) == (400, "400012", "Consumer[nobody] does not exist.")
    assert registry.call("GET", "/microservices", domain="elsewhere") == (200, {}), "tenants are worlds apart"


def test_an_instance_comes_and_goes(registry):
    cart = registry.service()
    one = registry.instance(cart, instanceId="cart-1", properties={"zone": "a"})
    path = f"/microservices/{cart}/instances/{one}"
    assert one == "cart-1"
    assert registry.instance(cart, instanceId="cart-1", endpoints=[]) == one, "for one that lives it is a heartbeat"
    entity = registry.call("GET", path)[1]["instance"]
    assert (entity["endpoints"], entity["properties"]) == (["rest://127.0.0.1:8080"], {"zone": "a"})
    assert registry.call("PUT", f"{path}/heartbeat") == (200, b"")
    assert code(registry.call("PUT", f"{path}/status?value=ASLEEP")) == "400001"
    registry.call("PUT", f"{path}/properties", {"properties": {"k": "v"}})
    assert registry.call("GET", path)[1]["instance"]["properties"] == {"k": "v"}
    assert code(registry.call("DELETE", f"/microservices/{cart}")) == "400013"
    assert registry.call("DELETE", path) == (200, b"")
    for method, end in (("DELETE", ""), ("PUT", "/heartbeat"), ("PUT", "/status?value=UP"), ("GET", "")):
        assert code(registry.call(method, path + end)) == "400017"
    assert code(registry.call("POST", "/microservices/no/instances", {"instance": {"hostName": "h"}})) == "400012"


def test_heartbeats_of_several(registry):
    cart = registry.service()
    one = registry.instance(cart)
    lines = [{"serviceId": cart, "instanceId": one}, {"serviceId": cart, "instanceId": "no"}]
    status, body = registry.call("PUT", "/heartbeats", {"instances": lines})
    assert (status, body["instances"][0]) == (200, lines[0])
    assert "does not exist" in body["instances"][1]["errMessage"]
    assert code(registry.call("PUT", "/heartbeats", {"instances": []})) == "400001"


def test_changes_are_pushed(registry):
    web, cart = registry.service(serviceName="web"), registry.service()
    registry.find("cart", web)
    with registry.watch(web) as socket:
        registry.service(serviceName="other")
        one = registry.instance(cart)
        registry.call("PUT", f"/microservices/{cart}/instances/{one}/status?value=DOWN")
        registry.call("DELETE", f"/microservices/{cart}/instances/{one}")
        events = [json.loads(socket.recv(timeout=5)) for _ in range(3)]
        assert [event["action"] for event in events] == ["CREATE", "UPDATE", "DELETE"]
        assert [event["instance"]["status"] for event in events] == ["UP", "DOWN", "DOWN"]
        assert events[0]["key"] == CART | {"tenant": "default/default"}
        assert socket.ping().wait(5), "pings are answered"
    with registry.watch("nobody") as socket:
        assert socket.recv(timeout=5) == "service does not exist"


def test_a_lease_ends_without_heartbeats(registry):
    """The shortest that the real registry allows, 5 s × 4, so this test takes as long."""
    web, cart = registry.service(serviceName="web"), registry.service()
    registry.instance(cart, healthCheck={"mode": "push", "interval": 1, "times": 1})
    registry.find("cart", web)
    with registry.watch(web) as socket:
        event = json.loads(socket.recv(timeout=25))
    assert event["action"] == "DELETE"
    assert registry.find("cart", web) == (200, {})


def test_contracts(registry):
    cart = registry.service()
    path = f"/microservices/{cart}/schemas"
    assert registry.call("PUT", f"{path}/hello", {"schema": "swagger: '2.0'", "summary": "ab"}) == (200, b"")
    assert registry.call("POST", path, {"schemas": [{"schemaId": "two", "schema": "x"}]}) == (200, b"")
    status, headers, text = registry.raw("GET", f"{BASE}{path}/hello")
    assert (json.loads(text), headers["X-Schema-Summary"]) == ({"schema": "swagger: '2.0'"}, "ab")
    assert code(registry.call("GET", f"{path}/three")) == "400016"
    assert registry.call("GET", f"/microservices/{cart}")[1]["service"]["schemas"] == ["hello", "two"]


def test_views(registry):
    cart = registry.service(properties={"a": "b"})
    registry.instance(cart, properties={"c": "d"})
    path = "/v4/default/govern"
    assert json.loads(registry.raw("GET", f"{path}/apps")[2]) == {"appIds": ["default"]}
    detail = json.loads(registry.raw("GET", f"{path}/microservices?options=instances")[2])["allServicesDetail"][0]
    assert "properties" not in detail["microService"] and "properties" not in detail["instances"][0]
    assert registry.call("GET", "/version")[1]["apiVersion"] == "4.0.0"


def test_a_taken_port_is_named(registry):
    again = subprocess.run(
        [binary(), "registry", "--listen", f"127.0.0.1:{registry.port}"],
        capture_output=True,
        text=True,
        env=os.environ,
    )
    assert again.returncode == 1
    assert f"port {registry.port} is taken; free it, or choose another with --listen" in again.stderr
