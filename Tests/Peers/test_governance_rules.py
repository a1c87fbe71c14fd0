# SPDX-License-Identifier: Apache-2.0
"""Route rules, dark launches, marks, faults and external hosts, from the files that users have."""

import ssl
import statistics
import subprocess
import threading
import time

import pytest

import harness
from governance import Instance, Load, World
from harness import eventually
from test_remote_configuration import Kie


def versions():
    return [Instance("one", version="1.0.0"), Instance("two", version="2.0.0"), Instance("three", version="3.0.0")]


SHARES = "routeRule: {cart: [{route: [%s]}]}\n"


def shares(*weights):
    """A rule with these weights for the versions 1.0.0, 2.0.0 …."""
    route = [f"{{tags: {{version: {index}.0.0}}, weight: {weight}}}" for index, weight in enumerate(weights, 1)]
    return SHARES % ", ".join(route)


def test_weights_are_exact():
    """6.2: 25/25/50 over 4,000 requests, exact within one for the one worker; then 90/10 in every ten."""
    with World({"cart": versions()}, router=shares(25, 25, 50)) as world:
        counts = world.many(4000)
        assert sum(counts.values()) == 4000
        for name, expected in {"one": 1000, "two": 1000, "three": 2000}.items():
            assert abs(counts[name] - expected) <= 1, counts
        world.sidecar.write("router.yaml", shares(90, 10))
        eventually(lambda: world.many(10) == {"one": 9, "two": 1}, "the new weights never held")


@pytest.mark.parametrize(
    "match, fields, is_matched",
    [
        ("exact: canary", ["X-Env: canary"], True),
        ("exact: canary", ["x-env: canary"], True),
        ("exact: canary", ["X-Env: Canary"], False),
        ("exact: canary", [], False),
        ('exact: canary, caseInsensitive: "true"', ["X-Env: CANARY"], True),
        ("noEqu: prod", ["X-Env: canary"], True),
        ("noEqu: prod", [], True),
        ("noEqu: prod", ["X-Env: prod"], False),
        ('regex: "^t-[0-9]+$"', ["X-Env: t-12"], True),
        ('regex: "^t-[0-9]+$"', ["X-Env: at-12"], False),
        ('regex: "^T-\\\\d+$", caseInsensitive: "true"', ["X-Env: t-12"], True),
        ("greater: 10", ["X-Env: 11"], True),
        ("greater: 10", ["X-Env: 10"], False),
        ("greater: 10", ["X-Env: eleven"], False),
        ("noLess: 10, less: 20", ["X-Env: 10"], True),
        ("noLess: 10, less: 20", ["X-Env: 20"], False),
        ("noGreater: 10", ["X-Env: 10"], True),
        ("noGreater: 10", [], False),
        ("contains: nar", ["X-Env: canary"], True),
    ],
)
def test_operators(operators, match, fields, is_matched):
    """6.1: each operator, and several together; header names in any letter case."""
    rules = f"routeRule: {{cart: [{{match: {{headers: {{X-Env: {{{match}}}}}}}, route: [{{tags: {{version: 2.0.0}}}}]}}]}}\n"
    operators.sidecar.write("router.yaml", rules)
    expected = "two" if is_matched else "three"
    # The rule before may hold for a moment longer.
    eventually(lambda: operators.many(1, "cart", *fields) == {expected: 1}, f"never {expected}")
    assert operators.many(5, "cart", *fields) == {expected: 5}


@pytest.fixture(scope="module")
def operators():
    with World({"cart": versions()}, router="") as world:
        yield world


def test_precedence_references_and_absence():
    """6.1, 6.2: higher precedence first, file order among equals, templates, policies, source, tags without instances."""
    rules = """
sourceTemplate: {testers: {httpHeaders: {Cookie: {regex: "user=t-[0-9]+"}}}}
routeRule:
  cart:
    - {precedence: 1, route: [{tags: {version: 1.0.0}}]}
    - {precedence: 5, match: {refer: testers}, route: [{tags: {version: 2.0.0}}]}
    - {precedence: 4, match: {refer: reports}, route: [{tags: {version: 3.0.0}}]}
    - {precedence: 3, match: {source: shop}, route: [{tags: {version: 9.9.9}}]}
    - {precedence: 3, match: {source: web, sourceTags: {version: 9.9.9}}, route: [{tags: {version: 9.9.9}}]}
    - {precedence: 2, match: {source: web, headers: {X-Gone: {exact: "1"}}}, route: [{tags: {version: 9.9.9}}]}
    - {precedence: 2, match: {headers: {X-Gone: {exact: "1"}}}, route: [{tags: {version: 2.0.0}}]}
"""
    policy = "servicecomb.match.reports: |\n  matches:\n    - apiPath: {contains: /reports}\n"
    with World({"cart": versions()}, router=rules, chassis=policy) as world:
        assert world.many(3) == {"one": 3}
        assert world.many(3, "cart", "cookie: a=b; user=t-12") == {"two": 3}
        assert world.many(3, path="/reports?x=1") == {"three": 3}
        response = world.ask("cart", "X-Gone: 1")
        assert (response.status, response.error) == (502, "no_endpoint")
        assert response.body == b"lb: No available instance, key: cart(version:9.9.9|app:default)"


def test_sources_of_rules():
    """6.3, 6.5: a text replaces a dark launch, and that the file, each for the whole service."""
    dark = """cse.darklaunch.policy.cart: '{"policyType":"RULE","ruleItems":[{"groupName":"g","groupCondition":"version=2.0.0","policyCondition":"user_id~^9"}]}'\n"""
    with World({"cart": versions()}, router=shares(100)) as world:
        assert world.many(2) == {"one": 2}
        world.sidecar.write("chassis.yaml", dark)
        eventually(lambda: world.many(1, "cart", "user_id: 91") == {"two": 1}, "the dark launch never held")
        assert world.many(2, "cart", "UserId: 91") == {"two": 2}
        assert world.many(2, "cart", "UserId: 81") == {"three": 2}
        text = "servicecomb:\n  routeRule:\n    cart: |\n      - route: [{tags: {version: 1.0.0}, weight: 50}]\n"
        world.sidecar.write("chassis.yaml", dark + text)
        eventually(lambda: world.many(2) == {"one": 1, "three": 1}, "the text never held")


def test_weights_change_under_load():
    """6.2, live: an edit takes effect within a second, and no request fails."""
    with World({"cart": versions()}, router=shares(100)) as world, Load(world) as load:
        times = []
        for turn in range(6):
            expected = "two" if turn % 2 == 0 else "one"
            world.sidecar.write("router.yaml", shares(0, 100) if expected == "two" else shares(100))
            began = time.monotonic()
            eventually(lambda name=expected: world.many(1) == {name: 1}, "the edit never held")
            times.append(time.monotonic() - began)
    assert load.errors == [] and load.good > 100
    assert statistics.median(times) <= 1.0, times


def test_bad_rules_are_refused_whole():
    """6.2: weights over 100 %: the old rules stay, and the log says where the mistake is."""
    with World({"cart": versions()}, router=shares(100)) as world:
        world.sidecar.write("router.yaml", shares(60, 50))
        failed = 'mesher_config_reloads_total{result="failure"}'
        eventually(lambda: world.sidecar.metric(failed) == 1, "the mistake was not seen")
        assert world.many(4) == {"one": 4}
        assert "router.yaml:1:" in world.sidecar.tail() and "total weight is over 100%" in world.sidecar.tail()


def test_marks_and_their_limits():
    """5.3: a marked request is limited, its mark goes along once, and others pass."""
    chassis = """
cse.handler.chain.Consumer.outgoing: traffic-marker,rate-limiter,router,loadbalance,transport
servicecomb:
  match:
    big: |
      matches:
        - {apiPath: {contains: /reports}, method: [GET], headers: {X-Tenant: {exact: acme}}, trafficMarkPolicy: once}
  rateLimiting:
    protect: |
      {match: big, rate: 1, burst: 2}
"""
    cart = Instance("cart")
    with World({"cart": [cart]}, chassis=chassis) as world:
        answers = [world.ask("cart", "X-Tenant: acme", path="/reports") for _ in range(4)]
        assert [each.status for each in answers] == [200, 200, 429, 429]
        assert answers[3].error == "rate_limited" and answers[3].get("retry-after") == b"1"
        assert answers[3].body == b"too many requests"
        assert world.many(5, "cart", "X-Tenant: acme") == {"cart": 5}
        assert world.many(5, path="/reports") == {"cart": 5}
        marks = [each.get("x-mark") for each in cart.requests]
        assert marks == [b"big", b"big"] + [None] * 10


FAULT = "cse.governance.Consumer: {_global: {policy: {fault: {protocols: {rest: {%s}}}}}}\n"


def test_faults():
    """4: delay before abort, statuses and percentages; only where the handler is in the chain."""
    chain = "cse.handler.chain.Consumer.outgoing: fault-inject,loadbalance,transport\n"
    with World({"cart": [Instance("cart")]}, chassis=chain, fault=FAULT % "delay: {fixedDelay: 300}") as world:
        began = time.monotonic()
        assert world.many(1) == {"cart": 1} and time.monotonic() - began >= 0.3
        world.sidecar.write("fault.yaml", FAULT % "abort: {httpStatus: 421, percent: 50}")
        eventually(lambda: world.ask().status == 421, "the abort never came")
        counts = world.many(200)
        assert 50 < counts[421] < 150, counts
        world.sidecar.write("fault.yaml", FAULT % "abort: {httpStatus: 503}")
        eventually(lambda: world.ask().status == 503, "the abort never came")
        response = world.ask()
        assert (response.error, response.body) == ("fault_injected", b"injecting abort")
    with World({"cart": [Instance("cart")]}, fault=FAULT % "abort: {httpStatus: 421}") as world:
        assert world.many(3) == {"cart": 3}


EGRESS = "egressRule: {apis: [{hosts: [localhost], ports: [{port: %d, protocol: %s}]}]}\n"
LOOPBACK = "mesher.egress.allowLoopback: true\n"


def test_external_hosts():
    """Egress rules: listed hosts only, the listed port, and no internal address unless that is allowed."""
    host = Instance("host")
    with World({}, egress=EGRESS % (host.port, "Http"), mesher=LOOPBACK) as world:
        assert world.many(2, "localhost") == {"host": 2}
        assert world.many(2, "LOCALHOST:9") == {"host": 2}
        assert world.ask("elsewhere").error == "no_endpoint"
        world.sidecar.write("mesher.yaml", "")
        eventually(lambda: world.ask("localhost").status == 403, "loopback was not refused")
        assert world.ask("localhost").error == "destination_refused"
    host.refuse()


def test_tunnels(tmp_path):
    """CONNECT: 405 without rules; with them, TLS through a tunnel to a listed host and port, and 403 to any other."""
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-addext",
         "subjectAltName=DNS:localhost", "-keyout", tmp_path / "key", "-out", tmp_path / "cert"],
        check=True, capture_output=True,
    )  # fmt: skip
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(tmp_path / "cert", tmp_path / "key")
    listener = harness.socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]

    def serve():
        sock, _ = listener.accept()
        with server.wrap_socket(sock, server_side=True) as secure:
            secure.sendall(b"secret " + secure.recv(100))

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    with World({}, egress=EGRESS % (port, "HTTPS"), mesher=LOOPBACK) as world:
        with world.client() as client:
            client.send(f"CONNECT localhost:{port + 1} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            assert client.response().status == 403
        with world.client() as client:
            client.send(f"CONNECT localhost:{port} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            assert client.head().status == 200
            trust = ssl.create_default_context(cafile=tmp_path / "cert")
            with trust.wrap_socket(client.sock, server_hostname="localhost") as secure:
                secure.sendall(b"hello")
                assert secure.recv(100) == b"secret hello"
    thread.join()
    with World({}) as world, world.client() as client:
        client.send(b"CONNECT localhost:443 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert client.response().status == 405


def test_weights_change_under_load_by_kie():
    """6.3, live: rules from kie replace those of the file within a second, bad ones nothing, and no request fails."""
    labels = {"appId": "default", "environment": "", "serviceName": "web", "version": "1.0.0"}
    key, kie = "servicecomb.routeRule.cart", Kie()
    client = f"cse.config.client: {{serverUri: {kie.address}, type: kie, refreshMode: 0, refreshInterval: 10}}\n"
    try:
        with World({"cart": versions()}, router=shares(100), chassis=client) as world, Load(world) as load:
            times = []
            for turn in range(6):
                name, version = ("two", "2.0.0") if turn % 2 == 0 else ("three", "3.0.0")
                began = time.monotonic()
                kie.put(key, f"- route:\n  - tags: {{version: {version}}}\n    weight: 100\n", labels)
                eventually(lambda name=name: world.many(1) == {name: 1}, "the rules of kie never held")
                times.append(time.monotonic() - began)
            kie.put(key, "- route: [{weight: 60}, {weight: 50}]\n", labels)
            eventually(lambda: "total weight is over 100%" in world.sidecar.tail(), "the mistake was not told")
            assert world.many(5) == {"three": 5}
            kie.delete(key, labels)
            eventually(lambda: world.many(1) == {"one": 1}, "the file's rules never came back")
    finally:
        kie.stop()
    assert load.errors == [] and load.good > 100
    assert statistics.median(times) <= 1.0, times
