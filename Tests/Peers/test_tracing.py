# SPDX-License-Identifier: Apache-2.0
"""Traces: headers that are continued and told on, and spans as a collector gets them, in each of the formats."""

import contextlib
import json
import os
import re
import signal
import subprocess
import threading
import time
from pathlib import Path

import grpc
import pytest

import governance
import grpc_world
import harness
from collector import Collector, zipkin2
from governance import World
from harness import eventually
from observed import Application, Metrics, chains

TRACED = chains(["tracing-consumer"], ["tracing-provider"])
TRACE, SPAN, PARENT = "463ac35c9f6413ad48485a3953bb6124", "a2fb4a1d1a96d312", "0020000000000001"
FORMATS = {
    "zipkin1": ("/api/v1/spans", "zipkin"),
    "zipkin2": ("/api/v2/spans", "zipkin"),
    "otlp": ("/v1/traces", "otlp"),
}


def tracing(collector, path="/api/v2/spans", **settings):
    """The text of tracing.yaml."""
    settings = {"URI": f"http://127.0.0.1:{collector.port}{path}", "batchInterval": "50ms", **settings}
    return f"tracing: {{settings: {json.dumps(settings)}}}\n"


class Next:
    """A sidecar as an instance of a service."""

    def __init__(self, sidecar):
        self.entry = f'{{endpoints: ["rest://127.0.0.2:{sidecar.port}"]}}'


class Pair:
    """The sidecar of a caller, web, and that of a service, cart, with its application; one collector for both."""

    def __init__(self, collector, path, **files):
        self.application = Application("cart")
        files = {"chassis.yaml": TRACED, "tracing.yaml": tracing(collector, path), **files}
        self.inner = governance.Sidecar({}, files, self.application.port)
        Path(self.inner.directory.name, "microservice.yaml").write_text(
            "service_description: {name: cart, version: 1.0.0}\n"
        )
        self.inner.start()
        self.outer = governance.Sidecar({"cart": [Next(self.inner)]}, files)
        self.outer.start()

    def ask(self, path="/items?page=2", *fields):
        with harness.Client(("127.0.0.1", self.outer.port)) as client:
            client.send(harness.request("GET", f"http://cart{path}", *fields))
            return client.response()

    def stop(self):
        self.outer.stop()
        self.inner.stop()
        self.application.refuse()
        self.application.fresh()


@pytest.fixture(scope="module")
def collector():
    with Collector() as collector:
        yield collector


@pytest.fixture(scope="module", params=FORMATS)
def pair(request, collector):
    pair = Pair(collector, FORMATS[request.param][0])
    pair.format = request.param
    yield pair
    pair.stop()


@pytest.fixture(scope="module")
def one(collector):
    """One sidecar with Zipkin's second format."""
    with World(
        {"cart": [Application("cart")], "away": [Application("away")]}, chassis=TRACED, tracing=tracing(collector)
    ) as world:
        world.origin = world.services["cart"][0]
        yield world


def received(world, *fields, service="cart", **how):
    """What the origin received of the trace, for a request with these fields."""
    assert world.ask(service, *fields, **how).status == 200
    wanted = re.compile("x-b3-.*|b3|traceparent|tracestate")
    fields = world.origin.requests[-1].fields
    found = {name: value.decode() for name, value in fields if wanted.fullmatch(name)}
    assert len(found) == sum(1 for name, _ in fields if wanted.fullmatch(name)), f"a header twice: {fields}"
    return found


# -- headers ----------------------------------------------------------------------------------------------------------


def b3(trace=TRACE, span=SPAN, parent=None, sampled="1", flags=None):
    found = {"TraceId": trace, "SpanId": span, "ParentSpanId": parent, "Sampled": sampled, "Flags": flags}
    return [f"X-B3-{name}: {value}" for name, value in found.items() if value]


def test_a_new_trace(one, collector):
    """Without a header a trace begins: told on in B3 and W3C, and both say the same."""
    found = received(one)
    (span,) = collector.expect(1)
    assert set(found) == {"x-b3-traceid", "x-b3-spanid", "x-b3-sampled", "traceparent"}
    assert re.fullmatch("[0-9a-f]{32}", found["x-b3-traceid"]) and re.fullmatch("[0-9a-f]{16}", found["x-b3-spanid"])
    assert found["x-b3-sampled"] == "1"
    assert found["traceparent"] == f"00-{found['x-b3-traceid']}-{found['x-b3-spanid']}-01"
    assert (span.trace, span.id, span.parent) == (found["x-b3-traceid"], found["x-b3-spanid"], None)
    assert received(one)["x-b3-traceid"] != found["x-b3-traceid"]
    collector.expect(1)


def test_b3_is_continued(one, collector):
    """Several headers: the caller's span is the parent of the call's."""
    found = received(one, *b3(parent=PARENT))
    (span,) = collector.expect(1)
    assert found == {
        "x-b3-traceid": TRACE,
        "x-b3-spanid": span.id,
        "x-b3-parentspanid": SPAN,
        "x-b3-sampled": "1",
    }
    assert (span.trace, span.parent, span.kind) == (TRACE, SPAN, "client") and span.id not in (SPAN, PARENT)


def test_short_trace_ids_stay_short(one, collector):
    found = received(one, *b3(trace=TRACE[16:]))
    (span,) = collector.expect(1)
    assert found["x-b3-traceid"] == span.trace == TRACE[16:]


def test_b3_in_one_header_is_continued(one, collector):
    found = received(one, f"b3: {TRACE}-{SPAN}-1-{PARENT}")
    (span,) = collector.expect(1)
    assert found == {"b3": f"{TRACE}-{span.id}-1-{SPAN}"}
    assert (span.trace, span.parent) == (TRACE, SPAN)


def test_w3c_is_continued(one, collector):
    """With its state, which belongs to others; a later version counts as far as we know it."""
    for value in (f"00-{TRACE}-{SPAN}-01", f"cc-{TRACE}-{SPAN}-01-what-the-future-will-be"):
        found = received(one, f"traceparent: {value}", "tracestate: vendor=x,other=y")
        (span,) = collector.expect(1)
        assert found == {"traceparent": f"00-{TRACE}-{span.id}-01", "tracestate": "vendor=x,other=y"}
        assert (span.trace, span.parent) == (TRACE, SPAN)


def test_all_headers_at_once(one, collector):
    """W3C counts, and each header that came is told on with the same span."""
    other = "1" * 32
    found = received(one, *b3(trace=other), f"b3: {other}-{SPAN}-1", f"traceparent: 00-{TRACE}-{SPAN}-01")
    (span,) = collector.expect(1)
    assert found["traceparent"] == f"00-{TRACE}-{span.id}-01"
    assert (found["x-b3-traceid"], found["x-b3-spanid"]) == (TRACE, span.id)
    assert found["b3"] == f"{TRACE}-{span.id}-1-{SPAN}"


BROKEN = {
    "no hex": b3(trace="x" * 32),
    "zero": b3(trace="0" * 32),
    "zero span": b3(span="0" * 16),
    "too long": b3(trace=TRACE + "ab"),
    "no span": ["X-B3-TraceId: " + TRACE],
    "single": [f"b3: {TRACE}-{SPAN}-9"],
    "single open": [f"b3: {TRACE}-"],
    "w3c version": [f"traceparent: ff-{TRACE}-{SPAN}-01"],
    "w3c longer": [f"traceparent: 00-{TRACE}-{SPAN}-01-x"],
    "w3c zero": [f"traceparent: 00-{'0' * 32}-{SPAN}-01"],
    "w3c upper case": [f"traceparent: 00-{TRACE.upper()}-{SPAN}-01"],
    "empty": ["traceparent:", "b3:", "X-B3-TraceId:"],
    "octets": ["traceparent: \xff\xfe", "b3: \x80"],
}


@pytest.mark.parametrize("fields", BROKEN.values(), ids=BROKEN)
def test_broken_headers(one, collector, fields):
    """What cannot be read counts as not there: a new trace begins, and nothing of the old is told on."""
    with one.client() as client:
        client.send(harness.request("GET", "http://cart/", *fields))
        assert client.response().status == 200
    (span,) = collector.expect(1)
    got = one.origin.requests[-1]
    assert span.parent is None and span.trace != TRACE and re.fullmatch("[0-9a-f]{32}", span.trace)
    assert got.get("x-b3-traceid").decode() == span.trace
    # In the headers in which a decision came, or in all that are configured.
    assert got.get("traceparent") in (None, f"00-{span.trace}-{span.id}-01".encode())
    assert TRACE.encode() not in b" ".join(value for _, value in got.fields)


UNSAMPLED = {
    "b3": (b3(sampled="0"), {"x-b3-sampled": "0"}),
    "word": (b3(sampled="false"), {"x-b3-sampled": "0"}),
    "decision alone": (["X-B3-Sampled: 0"], {"x-b3-sampled": "0"}),
    "single": ([f"b3: {TRACE}-{SPAN}-0"], {"b3": f"{TRACE}-{SPAN}-0"}),
    "single alone": (["b3: 0"], {"b3": "(TRACE-SPAN-)?0"}),
    "w3c": ([f"traceparent: 00-{TRACE}-{SPAN}-00"], {"traceparent": f"00-{TRACE}-{SPAN}-00"}),
}


@pytest.mark.parametrize("fields, told", UNSAMPLED.values(), ids=UNSAMPLED)
def test_who_is_not_recorded_stays_so(one, collector, fields, told):
    """The decision is told on with the ids that came, and no span is made of it."""
    found = received(one, *fields)
    for name, value in told.items():
        pattern = value.replace("SPAN", "[0-9a-f]{16}").replace("TRACE", "[0-9a-f]{32}")
        assert re.fullmatch(pattern, found[name]), found
    received(one, *b3())
    (span,) = collector.expect(1)
    assert span.parent == SPAN


def test_debugging(one, collector):
    """The flag stands for a decision, and the collector is told of it."""
    found = received(one, *b3(sampled=None, flags="1"))
    (span,) = collector.expect(1)
    assert found["x-b3-flags"] == "1" and "x-b3-sampled" not in found
    assert span.raw["debug"] is True


# -- spans ------------------------------------------------------------------------------------------------------------


def by_kind(spans):
    found = {each.kind: each for each in spans}
    assert set(found) == {"client", "server"} and len(spans) == 2
    return found["client"], found["server"]


def test_a_call_through_two_sidecars(pair, collector):
    """A span of each side, in one trace; shared as Zipkin has it, or a child as OpenTelemetry has it."""
    before = time.time() * 1e6
    assert pair.ask("/items?page=2", *b3()).status == 200
    client, server = by_kind(collector.expect(2))
    assert client.trace == server.trace == TRACE and client.parent == SPAN
    if pair.format == "otlp":
        assert server.parent == client.id and server.id != client.id and not server.shared
    else:
        assert server.id == client.id and server.parent == client.parent and server.shared and not client.shared
    assert (client.service, server.service) == ("web", "cart")
    assert before - 1e6 < client.start <= time.time() * 1e6 and 0 < server.duration < 4e6
    # One machine, one clock: what was called has happened within the call, but for a millisecond of rounding.
    assert client.start - 1000 <= server.start
    assert server.start + server.duration <= client.start + client.duration + 1000
    received = pair.application.requests[-1]
    assert received.get("x-b3-spanid").decode() == server.id and received.get("x-b3-traceid").decode() == TRACE


def test_tags_of_zipkin(pair, collector):
    if pair.format == "otlp":
        pytest.skip("has attributes")
    assert pair.ask("/items?page=2").status == 200
    client, server = by_kind(collector.expect(2))
    for span in (client, server):
        assert span.name == "cart/items"
        assert {key: span.tags[key] for key in ("http.method", "http.path", "http.status_code")} == {
            "http.method": "GET",
            "http.path": "/items",
            "http.status_code": "200",
        }
        assert span.tags["http.host"].partition(":")[0] == "cart" and "error" not in span.tags
    if pair.format == "zipkin2":
        assert client.raw["remoteEndpoint"] == {"serviceName": "cart", "ipv4": "127.0.0.2", "port": pair.inner.port}
        assert server.raw["remoteEndpoint"] == {"serviceName": "web", "ipv4": "127.0.0.1"}


def test_attributes_of_opentelemetry(collector):
    """By the conventions for HTTP: names, types, and no attribute that does not belong to a side."""
    pair = Pair(collector, "/v1/traces")
    assert pair.ask("/items?page=2").status == 200
    client, server = by_kind(collector.expect(2))
    common = {"http.request.method": "GET", "url.path": "/items", "url.query": "page=2"}
    for span in (client, server):
        assert common.items() <= span.tags.items() and span.name == "GET" and span.tags["url.scheme"] == "http"
        assert span.tags["http.response.status_code"] == 200
        assert "error.type" not in span.tags and not span.is_error
    assert client.tags["network.peer.address"] == "127.0.0.2" and client.tags["network.peer.port"] == pair.inner.port
    assert client.tags["server.address"] == "cart" and client.tags["peer.service"] == "cart"
    assert server.tags["client.address"] == "127.0.0.1" and "network.peer.port" not in server.tags
    assert server.raw[1] == {"service.name": "cart", "service.version": "1.0.0", "service.namespace": "default"}
    pair.stop()


def test_failures(pair, collector):
    """A status of 500 is an error of both sides, one of 404 of the caller alone."""
    key = "error.type" if pair.format == "otlp" else "error"
    assert pair.ask("/503").status == 503
    client, server = by_kind(collector.expect(2))
    assert client.is_error and server.is_error and client.tags[key] == server.tags[key] == "503"
    assert pair.ask("/404").status == 404
    client, server = by_kind(collector.expect(2))
    assert client.is_error and client.tags[key] == "404" and not server.is_error and key not in server.tags


def test_failures_of_the_sidecar(one, collector):
    """What it answers itself has the reason as the error, and the service that was asked for."""
    one.services["away"][0].refuse()
    assert one.ask("away", *b3()).error == "connect_failed"
    (span,) = collector.expect(1)
    assert span.tags["error"] == "connect_failed" and span.tags["http.status_code"] == "502" and span.is_error
    assert (span.name, span.trace, span.parent) == ("away/", TRACE, SPAN)
    assert span.raw["remoteEndpoint"]["serviceName"] == "away"


def test_services_that_nobody_knows(one, collector):
    """A misspelt name is what traces are looked at for."""
    assert one.ask("nobody", *b3()).error == "no_endpoint"
    (span,) = collector.expect(1)
    assert span.tags["error"] == "no_endpoint" and span.tags["http.host"] == "nobody" and span.parent == SPAN


@pytest.mark.parametrize("format", FORMATS)
def test_retries_are_one_span(collector, format):
    """Tries of one call are told as a number."""
    path, tracer = FORMATS[format]
    files = {
        "chassis": TRACED,
        "tracing": tracing(collector, path),
        "mesher": "cse.transport.failure.rest: http_500\n",
        "load_balancing": "cse.loadbalance: {retryEnabled: true, retryOnSame: 0, retryOnNext: 2}\n",
    }
    services = [Application("a"), Application("b"), Application("c")]
    with World({"cart": services}, **files) as world:
        assert world.ask(path="/500").status == 500
        (span,) = collector.expect(1)
        sent = {each.requests[0].get("x-b3-spanid").decode() for each in services}
    assert sent == {span.id}
    count = span.tags["http.request.resend_count"] if tracer == "otlp" else int(span.tags["mesher.retries"])
    assert count == 2 and span.is_error


def test_hostile_octets_in_spans(pair, collector):
    """What a client sends ends no string of a document."""
    with harness.Client(("127.0.0.1", pair.outer.port)) as client:
        client.send(harness.request("GET", 'http://cart/"}],%80%0a?"=%e2'))
        assert client.response().status == 200
    path = '/"}],%80%0a'
    for span in by_kind(collector.expect(2)):
        assert span.tags["url.path" if pair.format == "otlp" else "http.path"] == path


def test_grpc_calls(collector):
    """Spans of gRPC: the method as the name, gRPC's own status, and errors by it."""
    service = grpc_world.Service()
    files = {"chassis.yaml": TRACED, "tracing.yaml": tracing(collector, "/v1/traces")}
    inner = grpc_world.Sidecar({}, files, name="cart", local=service.port)
    inner.start()
    outer = grpc_world.Sidecar({"cart": [f"grpc://127.0.0.2:{inner.grpc}"]}, files)
    outer.start()
    with grpc_world.through_proxy(outer, "cart:80") as channel:
        channel.unary("Echo", b"x", metadata=(("traceparent", f"00-{TRACE}-{SPAN}-01"),))
        client, server = by_kind(collector.expect(2))
        for span in (client, server):
            wanted = {"rpc.system": "grpc", "rpc.service": "test.Shop", "rpc.method": "Echo", "rpc.grpc.status_code": 0}
            assert wanted.items() <= span.tags.items() and span.name == "test.Shop/Echo" and not span.is_error
        assert (client.trace, client.parent, server.parent) == (TRACE, SPAN, client.id)
        metadata = service.calls[-1][1]
        assert metadata["traceparent"] == f"00-{TRACE}-{server.id}-01"
        with grpc_world.refusal(grpc.StatusCode.NOT_FOUND):
            channel.unary("Status", b"5 no such cart")
        client, server = by_kind(collector.expect(2))
        assert client.tags["rpc.grpc.status_code"] == 5 and client.is_error and client.tags["error.type"] == "grpc 5"
        inner.stop_process()
        with grpc_world.refusal(grpc.StatusCode.UNAVAILABLE):
            channel.unary("Echo")
        (client,) = collector.expect(1)
        assert client.tags["error.type"] == "connect_failed" and client.tags["rpc.grpc.status_code"] == 14
    for each in (outer, inner):
        each.stop()
    service.stop()


# -- sampling ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate, least, most", [("0", 0, 0), ("1", 400, 400), ("25%", 60, 140)])
def test_sampling(collector, rate, least, most):
    """A share of new traces is recorded; origins are told which."""
    with World({"cart": [Application("cart")]}, chassis=TRACED, tracing=tracing(collector, sampleRate=rate)) as world:
        metrics = Metrics(world.sidecar)
        assert world.many(400) == {"cart": 400}
        told = [each.get("x-b3-sampled") for each in world.services["cart"][0].requests]
        sampled = told.count(b"1")
        assert least <= sampled <= most and told.count(b"0") == 400 - sampled
        # A caller that wants it recorded is recorded, whatever the rate.
        assert world.ask("cart", *b3()).status == 200
        assert world.ask("cart", *b3(sampled=None, flags="1")).status == 200
        exported = lambda: metrics.moved("mesher_trace_spans_total", result="exported").popitem()[1]  # noqa: E731
        eventually(lambda: exported() == sampled + 2, lambda: f"{exported()} spans, not {sampled + 2}")
        collector.expect(sampled + 2)


# -- the way to the collector -----------------------------------------------------------------------------------------


def spans_by_result(metrics):
    return {each: metrics.value("mesher_trace_spans_total", result=each) for each in ("exported", "failed", "dropped")}


def test_a_collector_that_is_away():
    """Traffic goes on as if nothing were; what was lost is counted, said once, and later spans arrive."""
    with Collector() as collector:
        collector.away()
        with World({"cart": [Application("cart")]}, chassis=TRACED, tracing=tracing(collector)) as world:
            metrics = Metrics(world.sidecar)
            assert world.many(50) == {"cart": 50}
            eventually(lambda: spans_by_result(metrics)["failed"] == 50, lambda: f"{spans_by_result(metrics)}")
            said = lambda: world.sidecar.log.read_text().count("spans cannot be exported")  # noqa: E731
            eventually(lambda: said() == 1, lambda: f"said {said()} times")
            collector.back()
            world.many(1)
            assert len(collector.expect(1)) == 1
            results = {"exported": 1, "failed": 50, "dropped": 0}
            eventually(lambda: spans_by_result(metrics) == results, lambda: f"{spans_by_result(metrics)}")
            eventually(lambda: "spans can be exported again" in world.sidecar.log.read_text(), "not said")
            collector.status = 500
            world.many(3)
            eventually(lambda: spans_by_result(metrics)["failed"] == 53, lambda: f"{spans_by_result(metrics)}")


def test_a_collector_that_closes_its_connections_is_left_alone():
    """It is tried again after a second, two, four; meanwhile spans wait."""
    listener = harness.socket.create_server(("127.0.0.1", 0))
    connections = []

    def accept():
        with contextlib.suppress(OSError):
            while True:
                listener.accept()[0].close()
                connections.append(time.monotonic())

    threading.Thread(target=accept, daemon=True).start()
    uri = f"http://127.0.0.1:{listener.getsockname()[1]}/api/v2/spans"
    text = f"tracing.settings: {{URI: '{uri}', batchInterval: 50ms}}\n"
    with World({"cart": [Application("cart")]}, chassis=TRACED, tracing=text) as world:
        began = time.monotonic()
        while time.monotonic() - began < 4:
            assert world.ask().status == 200
    listener.shutdown(harness.socket.SHUT_RDWR)
    listener.close()
    # The last one is that of the end.
    assert 3 <= len(connections) <= 5, [each - began for each in connections]


def test_secrets_of_the_collector_stay_secret():
    """Why spans cannot be posted is said without the password in the URL."""
    uri = f"http://me:hush-1@127.0.0.1:{harness.free_port('127.0.0.1')}/api/v2/spans"
    text = f"tracing.settings: {{URI: '{uri}', batchInterval: 50ms}}\n"
    with World({"cart": [Application("cart")]}, chassis=TRACED, tracing=text) as world:
        world.many(1)
        said = lambda: "spans cannot be exported" in world.sidecar.log.read_text()  # noqa: E731
        eventually(said, "not said", seconds=8)
        assert "hush-1" not in world.sidecar.log.read_text()


def test_a_collector_that_does_not_answer():
    """It holds nobody up; what does not fit into the queue is dropped and counted."""
    stuck = harness.Origin()
    stuck.script = lambda connection: connection.rest()
    target = "http://cart/" + "a" * 2000
    # Longest targets fill the queue of 8 MiB soonest.
    with World({"cart": [Application("cart")]}, chassis=TRACED, tracing=tracing(stuck, batchSize=1)) as world:
        metrics = Metrics(world.sidecar)
        request = harness.request("GET", target)
        slowest = 0
        with world.client() as client:
            for _ in range(60):
                began = time.monotonic()
                client.send(request * 100)
                assert all(client.response().status == 200 for _ in range(100))
                slowest = max(slowest, time.monotonic() - began)
        eventually(lambda: spans_by_result(metrics)["dropped"] > 0, lambda: f"{spans_by_result(metrics)}")
        print(f"slowest hundred: {slowest * 1000:.0f} ms, {spans_by_result(metrics)}")
        assert slowest < 2
        lost = metrics.value("mesher_telemetry_dropped_total")
        assert spans_by_result(metrics)["dropped"] + lost < 6000
    stuck.refuse()
    stuck.fresh()


def test_batches(collector):
    """A post has so many spans at most; what is left waits for the interval."""
    collector.posts.clear()
    text = tracing(collector, batchSize=10, batchInterval="300ms")
    with World({"cart": [Application("cart")]}, chassis=TRACED, tracing=text) as world:
        assert world.many(95) == {"cart": 95}
        collector.expect(95)
    assert max(count for _, count in collector.posts) <= 10, collector.posts


def test_the_last_spans_arrive():
    """What waits when the process stops is posted before."""
    with Collector() as collector:
        text = tracing(collector, batchInterval="1h")
        with World({"cart": [Application("cart")]}, chassis=TRACED, tracing=text) as world:
            assert world.many(5) == {"cart": 5}
            assert collector.spans == []
            world.sidecar.process.send_signal(signal.SIGTERM)
            assert world.sidecar.process.wait(10) == 0
        assert len(collector.expect(5)) == 5


def test_a_stop_does_not_wait_for_a_collector_that_is_away():
    """Spans that nobody takes are not worth the patience of whoever stops the process."""
    text = "tracing.settings: {URI: 'http://127.0.0.1:9/api/v2/spans', batchInterval: 1h}\n"
    with World({"cart": [Application("cart")]}, chassis=TRACED, tracing=text) as world:
        assert world.many(300) == {"cart": 300}  # more than event loops keep to themselves
        began = time.monotonic()
        world.sidecar.process.send_signal(signal.SIGTERM)
        assert world.sidecar.process.wait(10) == 0
        assert time.monotonic() - began < 3


@pytest.mark.parametrize("kind", ["file", "namedPipe"])
def test_files(tmp_path, kind):
    """A span a line, in the second format of Zipkin."""
    path = tmp_path / "spans"
    if kind == "namedPipe":
        os.mkfifo(path)
        reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    settings = {"URI": str(path), "collector": kind, "batchInterval": "50ms"}
    text = f"tracing: {{settings: {json.dumps(settings)}}}\n"
    with World({"cart": [Application("cart")]}, chassis=TRACED, tracing=text) as world:
        assert world.many(3) == {"cart": 3}
        metrics = Metrics(world.sidecar)
        eventually(lambda: spans_by_result(metrics)["exported"] == 3, lambda: f"{spans_by_result(metrics)}")
        if kind == "namedPipe":
            written = os.read(reader, 1 << 16).decode()
            os.close(reader)
        else:
            written = path.read_text()
    spans = [zipkin2(json.loads(line)) for line in written.splitlines()]
    assert len(spans) == 3 and {each.name for each in spans} == {"cart/"}


OLD = {
    "old": "tracing: {{enabled: true, collectorType: zipkin, collectorTarget: '{url}', batchSize: 5,"
    " batchInterval: 50ms}}\n",
    "apm": "servicecomb.apm.tracing: {{tracer: zipkin, settings: {{URI: '{url}', batchInterval: 50ms}}}}\n",
    "flat": "tracing.settings.URI: '{url}'\ntracing.settings.batchInterval: 50ms\n",
    "seconds": "tracing.settings: {{URI: '{url}', batchSize: '100', batchInterval: '1s'}}\n",
}


@pytest.mark.parametrize("text", OLD.values(), ids=OLD)
@pytest.mark.parametrize("file", ["tracing", "monitoring"])
def test_old_spellings(collector, text, file):
    """All generations of the keys, in either file."""
    text = text.format(url=f"http://127.0.0.1:{collector.port}/api/v1/spans")
    with World({"cart": [Application("cart")]}, chassis=TRACED, **{file: text}) as world:
        assert world.ask().status == 200
        (span,) = collector.expect(1)
        assert span.name == "cart/"


def test_switched_off(collector):
    """`tracing.enabled: false`, or no word about tracing: handlers in a chain do nothing, and say so once."""
    uri = f"http://127.0.0.1:{collector.port}/api/v1/spans"
    for text in (f"tracing: {{enabled: false, collectorTarget: '{uri}'}}\n", ""):
        with World({"cart": [Application("cart")]}, chassis=TRACED, tracing=text) as world:
            assert world.ask("cart", *b3()).status == 200
            fields = world.services["cart"][0].requests[-1]
            assert fields.get("x-b3-spanid").decode() == SPAN and fields.get("traceparent") is None
            if not text:
                assert "tracing" in world.sidecar.log.read_text(), "handlers without a tracer deserve a word"


MISTAKES = {
    "url": ("tracing.settings.URI: collector", "no URL"),
    "rate": ("tracing.settings.sampleRate: 2", "write 0 to 1"),
    "file": ("tracing.settings.collector: file", "write its path"),
    "propagation": ("tracing.settings.propagation: [b4]", 'unknown format "b4"; write b3'),
    "tracer": ("tracing.tracer: jaeger", "zipkin"),
}


@pytest.mark.parametrize("text, remedy", MISTAKES.values(), ids=MISTAKES)
def test_mistakes(tmp_path, text, remedy):
    """Where it is, what is wrong, and what to write."""
    (tmp_path / "tracing.yaml").write_text(f"# spans\n{text}\n")
    (tmp_path / "chassis.yaml").write_text("cse.service.registry.type: file\n")
    (tmp_path / "microservice.yaml").write_text("service_description: {name: web}\n")
    environment = {"PATH": os.environ["PATH"], "CHASSIS_CONF_DIR": str(tmp_path)}
    done = subprocess.run([harness.binary(), "check"], env=environment, capture_output=True, text=True, timeout=20)
    lines = [line for line in done.stdout.splitlines() if "tracing.yaml:2:" in line]
    assert done.returncode == 1 and len(lines) == 1 and remedy in lines[0], done.stdout


def test_told_on_as_configured(collector):
    text = tracing(collector, propagation=["b3Single"])
    with World({"cart": [Application("cart")]}, chassis=TRACED, tracing=text) as world:
        world.origin = world.services["cart"][0]
        found = received(world)
        (span,) = collector.expect(1)
        assert found == {"b3": f"{span.trace}-{span.id}-1"}
