# SPDX-License-Identifier: Apache-2.0
"""`mesher explain`: against the running sidecar and against files alone, and that it uses nothing up."""

import json
import os
import subprocess

import pytest

import harness
from governance import Instance, World

ROUTER = """
routeRule:
  cart:
    - {precedence: 5, match: {source: shop}, route: [{tags: {version: 9.9.9}}]}
    - {precedence: 3, match: {headers: {X-Env: {exact: canary}}}, route: [{tags: {version: 2.0.0}}]}
    - {precedence: 1, route: [{tags: {version: 1.0.0}, weight: 75}, {tags: {version: 2.0.0}, weight: 25}]}
    - {precedence: 0, route: [{tags: {version: 1.0.0}}]}
"""
FILES = {
    "router": ROUTER,
    "rate_limiting": "cse.flowcontrol.Consumer.qps.limit.cart: 2000\n",
    "circuit_breaker": "cse.circuitBreaker.Consumer.bad: {enabled: true, requestVolumeThreshold: 3}\n",
    "egress": "egressRule: {a: [{hosts: [api.example.org], ports: [{port: 8000, protocol: http}]}]}\n",
}


@pytest.fixture(scope="module")
def world():
    cart = [Instance("one", version="1.0.0"), Instance("two", version="2.0.0")]
    with World({"cart": cart, "bad": []}, **FILES) as world:
        yield world


def explain(world, *arguments, exit_code=None, text=False):
    environment = dict(os.environ, CHASSIS_CONF_DIR=world.sidecar.directory.name)
    command = [harness.binary(), "explain", *arguments, *([] if text else ["--json"])]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=20)
    if exit_code is not None:
        assert done.returncode == exit_code, done.stderr
    return done if text else json.loads(done.stdout)


@pytest.mark.parametrize("way", [[], ["--files"]])
def test_rules_and_instances(world, way):
    """Which rule matched, why the others did not, how requests are split, and which instances remain."""
    found = explain(world, "GET", "http://cart/x", "-H", "X-Env: prod", *way, exit_code=0)
    assert found["destination"] == "cart"
    assert [(each["precedence"], each.get("isMatch")) for each in found["rules"]] == [
        (5, False), (3, False), (1, True), (0, None)]  # fmt: skip
    assert [each["reason"] for each in found["rules"]] == [
        "only for calls of shop, not web", 'X-Env = "canary": is "prod"', "takes every request", "not tried"]  # fmt: skip
    assert "router.yaml:5:" in found["rules"][1]["location"]
    assert [(each["percent"], each["tags"]) for each in found["shares"]] == [
        (75, "version:1.0.0|app:default"), (25, "version:2.0.0|app:default")]  # fmt: skip
    assert all(each["remains"] for each in found["candidates"]) and len(found["answer"]["endpoints"]) == 2
    assert found["limits"] == [{"handler": "ratelimiter-consumer", "rate": 2000, "available": 400}]
    canary = explain(world, "GET", "cart", "-H", "x-env: canary", *way, exit_code=0)
    assert [each["reason"] for each in canary["candidates"]] == ["other version", ""]
    shop = explain(world, "GET", "http://cart/", "--from", "shop", *way, exit_code=1)
    assert (shop["answer"]["status"], shop["answer"]["reason"]) == (502, "no_endpoint")


@pytest.mark.parametrize(
    "url, status, reason",
    [("http://nobody/", 502, "no_endpoint"), ("http://127.0.0.1:22/", 403, "destination_refused")],
)
def test_what_is_answered(world, url, status, reason):
    """What mesher would answer itself is what it does answer."""
    found = explain(world, "GET", url, exit_code=1)["answer"]
    with world.client() as client:
        client.send(f"GET {url} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        response = client.response()
    assert (found["status"], found["reason"]) == (status, reason) == (response.status, response.error)
    assert found["body"].encode() == response.body
    host = explain(world, "GET", "http://api.example.org/", exit_code=0)
    assert host["steps"][0]["summary"] == "external host api.example.org, port 8000, allowed by api.example.org"


def test_the_state_of_now(world):
    """Breakers and limits as they stand; asking uses nothing up."""
    for _ in range(3):
        world.ask("bad")
    for _ in range(3):
        found = explain(world, "GET", "http://bad/", exit_code=1)
        assert found["breaker"]["state"] == "open" or found["breaker"]["errors"] == 3
    assert world.ask("bad").status == 503
    found = explain(world, "GET", "http://bad/", exit_code=1)
    assert found["breaker"]["state"] == "open" and 0 < found["breaker"]["untilTrialSeconds"] <= 15
    assert found["answer"]["body"] == "API bad:: is isolated because of error: circuit open"
    for _ in range(20):
        explain(world, "GET", "http://cart/", exit_code=0)
    assert world.many(4) == {"one": 3, "two": 1}


def test_text_and_failures(world):
    """The text names handlers in order; without a sidecar, or with a bad URL, it says what to do, and exits with 2."""
    text = explain(world, "GET", "http://cart/", exit_code=0, text=True).stdout
    names = ["destination", "router", "ratelimiter-consumer", "bizkeeper-consumer", "loadbalance", "transport"]
    assert [line.split()[1] for line in text.splitlines() if line[:2] == "+ "] == names
    assert text.splitlines()[-1] == "answer  forwarded to one of 2 instances"
    assert max(len(line) for line in text.splitlines()) <= 100
    nobody = explain(world, "GET", "http://cart/", "--admin", "127.0.0.1:1", exit_code=2, text=True)
    assert "--files" in nobody.stderr and "127.0.0.1:1" in nobody.stderr
    bad = explain(world, "GET", "ftp://cart/", "--files", exit_code=2, text=True)
    assert "write one such as http://cart/items" in bad.stderr


@pytest.mark.parametrize("way", [[], ["--files"]])
def test_a_share_without_instances(way):
    """It fails whatever the others do: the answer tells of both, and the status is 1."""
    rule = "{route: [{tags: {version: 1.0.0}, weight: 10}, {tags: {version: '1.0'}, weight: 90}]}"
    with World({"cart": [Instance("one", version="1.0.0")]}, router=f"routeRule: {{cart: [{rule}]}}\n") as world:
        found = explain(world, "GET", "http://cart/", *way, exit_code=1)
        answer = found["answer"]
        assert (answer["isForwarded"], len(answer["endpoints"]), answer["failingPercent"]) == (True, 1, 90)
        assert (answer["status"], answer["reason"]) == (502, "no_endpoint")
        assert [len(each["endpoints"]) for each in found["shares"]] == [1, 0]
        text = explain(world, "GET", "http://cart/", *way, exit_code=1, text=True).stdout.splitlines()
        assert text[-2].startswith("answer  10 % forwarded to rest://127.0.0.1:")
        assert text[-1].split(":")[0] == "        90 % 502 (no_endpoint)"
        if not way:
            assert world.many(10) == {"one": 1, 502: 9}


def test_instances_are_counted_once():
    """Whether two shares have one instance, or an instance is ejected."""
    rule = "{route: [{tags: {version: 1.0.0}, weight: 50}, {tags: {version: latest}, weight: 50}]}"
    cart = [Instance("one", version="1.0.0"), Instance("two", version="1.0.0")]
    summary = lambda: next(  # noqa: E731
        each["summary"] for each in explain(world, "GET", "http://cart/", exit_code=0)["steps"] if each["handler"] == "loadbalance"
    )
    with World({"cart": cart}, router=f"routeRule: {{cart: [{rule}]}}\n") as world:
        assert summary() == "RoundRobin over 2 of 2 instances"
        cart[0].refuse()
        harness.eventually(
            lambda: world.many(2) and summary() == "RoundRobin over 1 of 2 instances, 1 ejected", "nothing is ejected")
        answer = explain(world, "GET", "http://cart/", exit_code=0)["answer"]
        assert answer["endpoints"] == [f"rest://127.0.0.1:{cart[1].port}"]
