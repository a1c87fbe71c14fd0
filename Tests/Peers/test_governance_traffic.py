# SPDX-License-Identifier: Apache-2.0
"""Load balancing, retries, outlier ejection, circuit breakers, bulkheads, limits and time limits."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter

import pytest

import harness
from governance import Instance, Load, World
from harness import answer, eventually


def instances(count, **metadata):
    return [Instance(str(index), **metadata) for index in range(count)]


def balancing(text):
    return {"load_balancing": f"cse.loadbalance: {{{text}}}\n"}


# -- 1. load balancing ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [2, 3, 50])
def test_round_robin(count):
    """1.2: every instance gets its turn, whatever their number."""
    with World({"cart": instances(count)}) as world:
        counts = world.many(count * 4)
        assert counts == {str(index): 4 for index in range(count)}


@pytest.mark.parametrize("strategy", ["Random", "LeastRequest", "PeakEWMA", "WeightedResponse", "RingHash", "Maglev"])
@pytest.mark.parametrize("count", [2, 3, 50])
def test_spread(strategy, count):
    """1.2: every strategy uses every instance, and none more than its share allows."""
    text = f"strategy: {{name: {strategy}}}, RingHash: {{header: X-User}}"
    with World({"cart": instances(count)}, **balancing(text)) as world, world.client() as client:
        asked = 40 * count
        counts = Counter(
            world.ask("cart", f"X-User: {index}", client=client).body for index in range(asked)
        )  # fmt: skip
        assert sum(counts.values()) == asked and len(counts) == count, counts
        if strategy != "PeakEWMA":  # of instances that are equally fast it keeps to the one that it knows to be
            assert max(counts.values()) < 40 * (3.5 if count == 50 else 1.8), counts


@pytest.mark.parametrize("strategy", ["RingHash", "Maglev"])
def test_hash(strategy):
    """RingHash, Maglev: the same value of a header or cookie meets the same instance; others are spread."""
    text = f"strategy: {{name: {strategy}}}, RingHash: {{cookie: user}}"
    with World({"cart": instances(5)}, **balancing(text)) as world:
        owners = {user: world.many(3, "cart", f"Cookie: a=b; user={user}") for user in range(20)}
        assert all(len(counts) == 1 for counts in owners.values())
        assert len({next(iter(counts)) for counts in owners.values()}) > 2


def test_strategy_of_a_service():
    """1.1: what is said of one service holds for it alone; an unknown strategy is a mistake with a remedy."""
    sticky = "strategy: {name: RoundRobin}, other: {strategy: {name: SessionStickiness}}"
    services = {"cart": instances(2), "other": instances(2)}
    with World(services, **balancing(sticky)) as world:
        assert world.ask("cart").get("set-cookie") is None
        assert world.ask("other").get("set-cookie").startswith(b"go-chassisLB=")
        world.sidecar.write("load_balancing.yaml", "cse.loadbalance.strategy.name: RoundRobbin\n")
        told = r'unknown strategy \"RoundRobbin\"; write RoundRobin'
        eventually(lambda: told in world.sidecar.tail(), "not reported")


def test_session_stickiness():
    """1.3: each client has its session, which keeps its instance until that fails too often or is gone."""
    text = "strategy: {name: SessionStickiness}, SessionStickinessRule: {successiveFailedTimes: 2}"
    cart = instances(3)
    failing = "cse.transport.failure.rest: http_500\nmesher.retry.failover: 0\n"
    with World({"cart": cart}, **balancing(text), mesher=failing) as world:
        sessions = {}
        for _ in range(3):
            response = world.ask()
            cookie = re.fullmatch(rb"go-chassisLB=([A-Za-z0-9_-]{43}=)", response.get("set-cookie")).group(1).decode()
            sessions[cookie] = response.body.decode()
        assert len(sessions) == 3 and len(set(sessions.values())) == 3
        for cookie, name in sessions.items():
            assert world.many(5, "cart", f"Cookie: x=y; go-chassisLB={cookie}") == {name: 5}
            assert world.many(5, "cart", f"Cookie: go-chassisLB=go-chassisLB={cookie}") == {name: 5}
            assert world.ask("cart", f"Cookie: go-chassisLB={cookie}").get("set-cookie") is None
        cart[int(name)].status = "500 Internal Server Error"
        assert world.many(2, "cart", f"Cookie: go-chassisLB={cookie}") == {500: 2}
        eventually(lambda: world.ask("cart", f"Cookie: go-chassisLB={cookie}").status == 200, "the session still holds")


def test_zones():
    """1.4: the own zone first, else the own region, else all."""
    places = [("here", "a"), ("here", "b"), ("there", "a")]
    cart = [Instance(f"{region}-{zone}", region=region, zone=zone) for region, zone in places]
    far = [Instance("far", region="there", zone="c"), Instance("near", region="here", zone="b")]
    away = [Instance("x", region="there", zone="a"), Instance("y")]
    files = balancing("serverListFilters: zoneaware")
    region = "region: {name: here, availableZone: a}\n"
    with World({"cart": cart, "far": far, "away": away}, **files, chassis=region) as world:
        assert world.many(4) == {"here-a": 4}
        assert world.many(4, "far") == {"near": 4}
        assert world.many(4, "away") == {"x": 2, "y": 2}


# -- 2. retries -----------------------------------------------------------------------------------------------------

FAILURE = "cse.transport.failure.rest: http_500,http_502\n"


def test_pattern_of_tries():
    """2: A A B B C C, and the last answer is passed on; other statuses are final."""
    cart = instances(3)
    order = []
    for each in cart:
        each.status = "500 Internal Server Error"
        each.serve = None

        def script(connection, each=each):
            for _ in connection.requests():
                order.append(each.name)
                connection.send(answer(each.name.encode(), each.status))

        each.script = script
    text = "retryEnabled: true, retryOnSame: 1, retryOnNext: 2"
    with World({"cart": cart}, **balancing(text), mesher=FAILURE) as world:
        response = world.ask()
        assert response.status == 500 and response.body.decode() == order[-1]
        assert len(order) == 6 and order[0::2] == order[1::2] and len(set(order)) == 3, order
        assert world.sidecar.metric("mesher_retries_total") == 5
        for each in cart:
            each.status = "503 Service Unavailable"
        order.clear()
        assert world.ask().status == 503 and len(order) == 1


def test_waits():
    """2: a constant back-off waits so long each time."""
    cart = instances(1)
    cart[0].status = "500 Internal Server Error"
    text = "retryEnabled: true, retryOnSame: 2, backoff: {kind: constant, minMs: 200}"
    with World({"cart": cart}, **balancing(text), mesher=FAILURE) as world:
        began = time.monotonic()
        assert world.ask().status == 500
        assert 0.4 <= time.monotonic() - began < 2


def test_what_is_repeated():
    """U3: POST is never sent twice once a byte was written; PUT is, with its body, as long as that was kept."""
    cart = instances(2)
    good, bad = cart
    bad.is_resetting = True
    with World({"cart": cart}, mesher="mesher: {retry: {maxBody: 1KiB}, outlier: {consecutiveErrors: 0}}\n") as world:

        def tried(method, body):
            """How many of four were answered, and whether one was sent twice."""
            for each in cart:
                each.requests.clear()
            answers = [world.ask(method=method, body=body) for _ in range(4)]
            return [each.status for each in answers].count(200), len(good.requests) + len(bad.requests) > 4

        assert tried("POST", b"x" * 10) == (2, False)
        assert tried("PUT", b"x" * 10) == (4, True)
        assert {each.body for each in good.requests} == {b"x" * 10}
        assert tried("PUT", b"x" * 2000) == (2, False)
        assert tried("GET", b"") == (4, True)
        world.sidecar.write("mesher.yaml", "mesher: {retry: {nonIdempotent: true}, outlier: {consecutiveErrors: 0}}\n")
        eventually(lambda: tried("POST", b"x" * 10) == (4, True), "POST was never repeated")
        bad.refuse()
        bad.fresh()
        world.sidecar.write("mesher.yaml", "mesher: {outlier: {consecutiveConnectFailures: 0, consecutiveErrors: 0}}\n")
        eventually(lambda: world.sidecar.metric('mesher_config_reloads_total{result="success"}') == 2, "not read")
        assert tried("POST", b"x" * 10)[0] == 4
        world.sidecar.write("load_balancing.yaml", "cse.loadbalance.retryEnabled: false\n")
        eventually(lambda: tried("GET", b"")[0] == 2, "retries were never off")


def test_budget():
    """U3: retries are a fifth of the requests, and ten a second at least."""
    cart = instances(2)
    for each in cart:
        each.is_resetting = True
    # Loops share the ten a second, and the client has one connection.
    settings = "mesher: {workers: 1, outlier: {consecutiveErrors: 0}}\n"
    with World({"cart": cart}, mesher=settings) as world, world.client() as client:
        for _ in range(400):
            world.ask(client=client)
        retries = world.sidecar.metric("mesher_retries_total")
        assert 100 <= retries <= 100 + 400 * 0.2 + 1, retries


def test_outliers_are_left_out():
    """Ejection: an instance that fails again and again is left out, not all of them, and comes back."""
    cart = instances(2)
    good, bad = cart
    bad.is_resetting = True
    settings = "mesher: {retry: {failover: 0}, outlier: {consecutiveErrors: 3, baseEjectionTime: 1s}}\n"
    with World({"cart": cart}, mesher=settings) as world:
        counts = world.many(20)
        assert counts == {"0": 17, 502: 3}
        assert world.sidecar.metric("mesher_endpoint_ejections_total") == 1
        good.is_resetting = True
        assert world.many(5) == {502: 5}, "never all of them"
        good.is_resetting = bad.is_resetting = False
        eventually(lambda: set(world.many(4)) == {"0", "1"}, "the instance never came back")
        where = f"endpoint=rest://127.0.0.1:{bad.port} service=cart"
        eventually(lambda: told(world, f"instance no longer left out: its time is over {where}"), world.sidecar.tail)
        assert told(world, f"instance left out: it has failed again and again {where}") == 1


SERVER = """
import http.server, socketserver, sys
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 1024  # Whole answers: nothing can hide the end of one that has begun.
    def do_GET(self):
        self.send_response(200); self.send_header("Content-Length", "2"); self.end_headers(); self.wfile.write(b"ok")
    def log_message(self, *arguments): pass
class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads, request_queue_size = True, 128
Server(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


class RealInstance:
    """An instance that is a process of its own, to be killed."""

    def __init__(self):
        self.port = harness.free_port("127.0.0.1")
        self.process = subprocess.Popen([sys.executable, "-c", SERVER, str(self.port)])
        eventually(lambda: harness.listens("127.0.0.1", self.port), "the server does not listen")

    @property
    def entry(self):
        return f'{{endpoints: ["rest://127.0.0.1:{self.port}"]}}'

    def kill(self):
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def refuse(self):
        with contextlib.suppress(ProcessLookupError):
            self.kill()

    def fresh(self):
        pass


def test_one_of_two_is_killed_under_load():
    """U3: with the defaults, clients of GET notice nothing when one of two instances dies."""
    cart = [RealInstance(), RealInstance()]
    with World({"cart": cart}) as world, Load(world, clients=8) as load:
        eventually(lambda: load.good > 300, "there was no load", seconds=20)
        cart[1].kill()
        seen = load.good
        eventually(lambda: load.good > seen + 600, "the load has stopped", seconds=20)
    assert load.errors == []


# -- 3. breaker, bulkhead, fallback ---------------------------------------------------------------------------------

def told(world, text):
    """How often the log says so."""
    return world.sidecar.log.read_text().count(text)


BREAKER = "enabled: true, requestVolumeThreshold: 10, errorThresholdPercentage: 40, sleepWindowInMilliseconds: 700"


def breaker(text, *more):
    return {"circuit_breaker": f"cse.circuitBreaker: {{Consumer: {{cart: {{{text}}}}}}}\n" + "".join(more)}


def test_worked_example():
    """3.5: ten requests, four failures: the eleventh is refused; one trial after the sleep window decides."""
    cart = Instance("cart")
    with World({"cart": [cart]}, **breaker(BREAKER), mesher=FAILURE + "mesher.retry.failover: 0\n") as world:
        assert world.many(6) == {"cart": 6}
        cart.status = "500 Internal Server Error"
        assert world.many(4) == {500: 4}
        refused = world.ask()
        assert (refused.status, refused.error, refused.get("retry-after")) == (503, "circuit_open", b"1")
        assert refused.body == b"API cart:: is isolated because of error: circuit open"
        for is_well in (False, True):
            cart.status = "200 OK" if is_well else "500 Internal Server Error"
            cart.requests.clear()
            cart.delay = 0.3
            eventually(lambda: world.together(20) and cart.requests, "there was never a trial")
            assert len(cart.requests) == 1, "one trial at a time"
            cart.delay = 0.0
        eventually(lambda: world.many(5) == {"cart": 5}, "the circuit never closed")
        # Both ways, and no line for the trial that changed nothing.
        eventually(lambda: told(world, "circuit closed: calls succeed again of=cart") == 1, world.sidecar.tail)
        assert told(world, "circuit open: too many calls fail of=cart") == 1


def test_what_opens_a_circuit():
    """3.3, 3.4: statuses that are not listed never do; forceOpen only where enabled, and before forceClosed."""
    cart = Instance("cart")
    cart.status = "500 Internal Server Error"
    with World({"cart": [cart]}, **breaker(BREAKER)) as world:
        assert world.many(30) == {500: 30}
        for text, expected in [("forceOpen: true", 500), ("forceOpen: true, enabled: true", 503),
                               ("forceOpen: true, forceClosed: true, enabled: true", 503)]:  # fmt: skip
            world.sidecar.write("circuit_breaker.yaml", breaker(text)["circuit_breaker"])
            eventually(lambda status=expected: world.ask().status == status, f"{text}: not {expected}")
    with World({"cart": []}, **breaker(BREAKER)) as world:
        assert world.many(10) == {502: 10}
        assert world.ask().status == 503, "no instance is a failure too"


@pytest.mark.parametrize(
    "fallback, status, body",
    [
        ("{}", 503, b"API cart:: is isolated because of error: circuit open"),
        ("{enabled: false}", 503, b"circuit open"),
        ("{policy: returnnull}", 200, b""),
        ("{force: true}", 503, b"API cart:: is isolated because of error: force fallback"),
    ],
)
def test_fallbacks(fallback, status, body):
    """3.5: what refused callers get."""
    more = f"cse.fallback: {{Consumer: {fallback}}}\ncse.fallbackpolicy: {{Consumer: {fallback}}}\n"
    more = "".join(line for line in more.splitlines(True) if ("policy" in fallback) == ("policy" in line.split(":")[0]))
    with World({"cart": instances(1)}, **breaker("enabled: true, forceOpen: true", more)) as world:
        response = world.ask()
        assert (response.status, response.body) == (status, body)


def test_bulkhead():
    """3.3: no more at a time, nobody queues, and the tickets come back."""
    cart = Instance("cart")
    cart.delay = 0.4
    files = {"circuit_breaker": "cse.isolation.Consumer.cart.maxConcurrentRequests: 2\n"}
    with World({"cart": [cart]}, **files) as world:
        for _ in range(2):
            answers = world.together(5)
            assert sorted(each.status for each in answers) == [200, 200, 503, 503, 503]
            refused = next(each for each in answers if each.status == 503)
            assert refused.error == "bulkhead_full"
            assert refused.body == b"API cart:: is reject because of error: max concurrency"


def test_circuits_of_instances():
    """3.2: with a scope of instances only the bad one's circuit opens."""
    cart = instances(2)
    cart[1].status = "500 Internal Server Error"
    chain = "cse.handler.chain.Consumer.outgoing: loadbalance,bizkeeper-consumer,transport\n"
    settings = "mesher: {retry: {failover: 0}, outlier: {consecutiveErrors: 0}}\n"
    files = breaker(BREAKER, "cse.circuitBreaker.scope: instance\n")
    with World({"cart": cart}, **files, chassis=chain, mesher=FAILURE + settings) as world:
        assert world.many(20) == {"0": 10, 500: 10}
        # Whom its circuit refuses goes to another instance, retries or not: nothing was sent.
        assert world.many(20) == {"0": 20}
        line = f"circuit open: too many calls fail endpoint=rest://127.0.0.1:{cart[1].port} of=cart"
        eventually(lambda: told(world, line) == 1 == told(world, "circuit open"), world.sidecar.tail)


def test_breaker_of_the_provider():
    """3.5: in front of the local application there is no fallback."""
    app = Instance("app")
    app.status = "500 Internal Server Error"
    chain = "cse.handler.chain.Provider.incoming: bizkeeper-provider,transport\n"
    files = {"circuit_breaker": f"cse.circuitBreaker: {{Provider: {{{BREAKER}}}}}\n"}
    with World({"web": [app]}, app.port, **files, chassis=chain, mesher=FAILURE) as world:
        with world.client("127.0.0.2") as client:
            statuses = []
            for _ in range(12):
                client.send(b"GET / HTTP/1.1\r\nHost: web\r\n\r\n")
                statuses.append(client.response())
        assert [each.status for each in statuses] == [500] * 10 + [503] * 2
        assert statuses[-1].body == b"circuit open"
        line = 'circuit open: too many calls fail of="the local application"'
        eventually(lambda: told(world, line) == 1, world.sidecar.tail)


# -- 5. rate limits -------------------------------------------------------------------------------------------------


def limits(text):
    return {"rate_limiting": f"cse.flowcontrol: {{{text}}}\n"}


@pytest.mark.parametrize(
    "text, allowed",
    [
        ("Consumer: {qps: {limit: {cart: 20}}}", 4),
        ("Consumer: {qps: {limit: {cart: 3}}}", 10),
        ("Consumer: {qps: {limit: {cart: 0}}}", 0),
        ("Consumer: {qps: {global: {limit: 25}}}", 5),
        ("Consumer: {qps: {limit: {cart: 100}}}, web: {Consumer: {qps: {limit: {cart: 20}}}}", 4),
        ("Consumer: {qps: {limit: {cart: 20}}}, shop: {Consumer: {qps: {limit: {cart: 0}}}}", 4),
        ("Consumer: {qps: {enabled: false, limit: {cart: 0}}}", 60),
    ],
)
def test_limits_of_a_consumer(text, allowed):
    """5.1, 5.4: the most specific key, a burst of a fifth of the rate or ten, 429 with a time to come back."""
    with World({"cart": instances(1)}, **limits(text)) as world, world.client() as client:
        began = time.monotonic()
        answers = [world.ask(client=client) for _ in range(60)]
        refilled = 25 * (time.monotonic() - began) + 1
        good = sum(each.status == 200 for each in answers)
        assert allowed <= good <= allowed + (refilled if 0 < allowed < 60 else 0), good
        if allowed < 60:
            refused = [each for each in answers if each.status != 200][0]
            assert (refused.status, refused.error, refused.body) == (429, "rate_limited", b"too many requests")
            assert refused.get("retry-after") == b"1"


def test_rate():
    """5.4: over three seconds no more and no less than the limit, and a new limit holds at once."""
    with World({"cart": instances(1)}, **limits("Consumer: {qps: {limit: {cart: 100}}}")) as world:
        began, good = time.monotonic(), 0
        with world.client() as client:
            while time.monotonic() - began < 3:
                good += world.ask(client=client).status == 200
        assert 300 * 0.85 <= good <= 320 * 1.15, good
        world.sidecar.write("rate_limiting.yaml", limits("Consumer: {qps: {limit: {cart: 0}}}")["rate_limiting"])
        eventually(lambda: world.many(20) == {429: 20}, "the new limit never held")


def test_limits_of_a_provider():
    """5.2: a limit for each caller by name, and one that all others share."""
    app = Instance("app")
    text = "Provider: {qps: {limit: {shop: 0, free: 2147483647}, global: {limit: 20}}}"
    with World({}, app.port, **limits(text)) as world:

        def good(*fields):
            with world.client("127.0.0.2") as client:
                statuses = []
                for _ in range(40):
                    client.send("\r\n".join(["GET / HTTP/1.1", "Host: web", *fields, "", ""]).encode())
                    statuses.append(client.response().status)
            return statuses.count(200)

        assert good("x-cse-src-microservice: shop") == 0
        assert good('x-cse-context: {"x-cse-src-microservice":"free"}') == 40
        assert 4 <= good("x-cse-src-microservice: a") < 20
        assert good() < 20, "callers without a name share it"


# -- time limits ----------------------------------------------------------------------------------------------------


def test_time_limits():
    """Timeouts: the service's, then the one of all; incoming calls obey the consumer's key of the own name."""
    cart, other, app = Instance("cart"), Instance("other"), Instance("app")
    cart.delay = other.delay = app.delay = 1.5
    text = "cse.isolation.Consumer: {timeoutInMilliseconds: 900, cart: {timeoutInMilliseconds: 300}, web: {timeoutInMilliseconds: 600}}\n"
    with World({"cart": [cart], "other": [other]}, app.port, circuit_breaker=text) as world:
        for ask, expected in [
            (lambda: world.ask("cart"), 0.3),
            (lambda: world.ask("other"), 0.9),
            (lambda: incoming(world), 0.6),
        ]:
            began = time.monotonic()
            response = ask()
            took = time.monotonic() - began
            assert (response.status, response.error) == (504, "upstream_timeout")
            assert expected <= took < expected + 0.6, took


def incoming(world):
    with world.client("127.0.0.2") as client:
        client.send(b"GET / HTTP/1.1\r\nHost: web\r\n\r\n")
        return client.response()
