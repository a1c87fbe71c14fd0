# SPDX-License-Identifier: Apache-2.0
"""Metrics: each request is counted once, names and formats are what scrapers take, and no client makes them grow."""

import contextlib
import json
import re
import statistics
import subprocess
import time
import urllib.parse

import grpc
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from prometheus_client.parser import text_string_to_metric_families as text_families

import grpc_world
import harness
import http2
from governance import Instance, World
from harness import eventually
from life import in_parallel, living
from observed import Application, Metrics, call, chains, samples, settle

MONITORED = chains(["monitoring"], ["monitoring"])
TRAFFIC = ("requests_total", "successes_total", "failures_total", "status_4xx", "status_5xx")
COUNTS = ("request_latency_seconds_count", "mesher_request_duration_seconds_count")
SCB = ("scb_request_count", "scb_request_process_duration_count", "scb_error_response_count")


@contextlib.contextmanager
def mesh(services=None, **files):
    """A sidecar with an application behind it, and a service that tells when all before is counted."""
    local = Application("local")
    services = {"cart": [Application("cart", version="1.0.0")], "ping": [Instance("ping")], **(services or {})}
    with World(services, local.port, **files) as world:
        yield world
    local.refuse()
    local.fresh()


@pytest.fixture(scope="module")
def world():
    limits = "mesher.limits: {http2Streams: 3}\nmesher.timeouts: {requestHead: 300ms, linger: 100ms}\n"
    with mesh({"away": [Application("away")]}, chassis=MONITORED, mesher=limits) as world:
        world.services["away"][0].refuse()
        yield world


@pytest.fixture
def metrics(world):
    return Metrics(world.sidecar)


def incoming(world, path="/", *fields, client=None):
    """One answer of the application, as another host gets it."""
    with contextlib.nullcontext(client) if client else world.client("127.0.0.2") as used:
        used.send(harness.request("GET", path, *fields, host="Host: web"))
        return used.response()


def caller(name):
    return f'x-cse-context: {{"x-cse-src-microservice":{json.dumps(name)}}}'


def expected(total, good, mistakes, errors):
    return dict(zip(TRAFFIC, (total, good, mistakes + errors, mistakes, errors), strict=True))


# -- counting ---------------------------------------------------------------------------------------------------------

# 500 of each kind would tell no more.
STATUSES = {200: 7, 204: 2, 226: 1, 301: 2, 404: 3, 429: 1, 451: 1, 452: 2, 499: 2, 500: 1, 503: 4, 511: 1, 512: 1}
TOTALS = expected(28, 10, 5, 6)


def test_outgoing_requests(world, metrics):
    """4.1: each status in the families that it belongs to, once, with its time in summary and histogram."""
    with world.client() as client:
        for status, count in STATUSES.items():
            for _ in range(count):
                assert world.ask(path=f"/{status}", client=client).status == status
    settle(world, metrics)
    labels = {"service_name": "cart", "app": "default", "version": "1.0.0"}
    assert metrics.moved(*TRAFFIC, **labels) == TOTALS == metrics.moved(*TRAFFIC, service_name="cart")
    assert metrics.moved(*COUNTS, **labels) == dict.fromkeys(COUNTS, 28)
    assert metrics.moved("mesher_request_duration_seconds_bucket", le="+Inf", **labels).popitem()[1] == 28
    assert metrics.moved("mesher_request_errors_total", "mesher_errors_total") == dict.fromkeys(
        ("mesher_request_errors_total", "mesher_errors_total"), 0
    )


def test_incoming_requests(world, metrics):
    """The same for the own service; its time is in the histogram alone, as the summary is of outgoing calls."""
    with world.client("127.0.0.2") as client:
        for status, count in STATUSES.items():
            for _ in range(count):
                assert incoming(world, f"/{status}", client=client).status == status
    settle(world, metrics)
    labels = {"service_name": "web", "app": "default", "version": "1.0.0"}
    assert metrics.moved(*TRAFFIC, **labels) == TOTALS
    assert metrics.moved(*COUNTS, **labels) == dict(zip(COUNTS, (0, 28), strict=True))


def test_requests_over_http2(world, metrics):
    """Whatever the protocol of the client, in both directions."""
    for address, host, service in (("127.0.0.1", "cart", "cart"), ("127.0.0.2", "web", "web")):
        with http2.Client((address, world.sidecar.port)) as client:
            for path in ("/", "/404", "/404", "/503"):
                client.get(path=path, authority=host)
        settle(world, metrics)
        assert metrics.moved(*TRAFFIC, service_name=service) == expected(4, 1, 2, 1)
        assert metrics.moved(COUNTS[1], service_name=service) == {COUNTS[1]: 4}


@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.2"])
def test_requests_that_are_refused(world, metrics, address):
    """What is refused before it is understood is an answered request like any other: once, as a mistake."""
    with world.client(address) as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n")
        assert client.response().status == 400
    settle(world, metrics)
    moved = metrics.moved(*TRAFFIC)
    assert moved == expected(2, 1, 1, 0)  # and the one of ping
    assert metrics.moved("mesher_errors_total") == {"mesher_errors_total": 1}


def test_several_event_loops():
    """Their counts are added up: nothing is lost and nothing counted twice."""
    with living(workers=2) as mesh:
        metrics = Metrics(mesh.sidecar)

        def ask(_):
            client = mesh.idle()
            for _ in range(24):
                mesh.again(client)

        in_parallel(8, ask)
        counted = lambda: metrics.moved("requests_total", service_name="cart")["requests_total"]  # noqa: E731
        eventually(lambda: counted() >= 200, lambda: f"{counted()} counted")
        mesh.ask()
        eventually(lambda: counted() >= 201, lambda: f"{counted()} counted")
        assert counted() == 201 == metrics.moved(COUNTS[1], service_name="cart")[COUNTS[1]]
        assert len(metrics.labels("mesher_event_loop_lag_seconds", "loop")) == 2


def test_answers_of_the_sidecar(world, metrics):
    """What it answers itself counts once, with the reason, for the service that was asked for."""
    for _ in range(3):
        assert world.ask("away").error == "connect_failed"
    for _ in range(2):
        assert world.ask("nobody").error == "no_endpoint"
    settle(world, metrics)
    assert metrics.moved(*TRAFFIC, service_name="away") == expected(3, 0, 0, 3)
    assert metrics.moved(*TRAFFIC, service_name="unknown") == expected(2, 0, 0, 2)
    for service, reason, count in (("away", "connect_failed", 3), ("unknown", "no_endpoint", 2)):
        moved = metrics.moved("mesher_request_errors_total", service_name=service, reason=reason)
        assert moved == {"mesher_request_errors_total": count}
        assert metrics.moved("mesher_errors_total", reason=reason) == {"mesher_errors_total": count}
        assert metrics.moved("mesher_request_duration_seconds_count", service_name=service).popitem()[1] == count


def test_callers(world, metrics):
    """Incoming requests by what the caller says of itself, and failures beside them."""
    for name, path, count in (("shop", "/", 4), ("shop", "/404", 1), ("depot", "/503", 2)):
        for _ in range(count):
            incoming(world, path, caller(name))
    for _ in range(3):
        incoming(world)
    settle(world, metrics)
    families = ("mesher_caller_requests_total", "mesher_caller_failures_total")
    for name, counts in {"shop": (5, 1), "depot": (2, 2), "unknown": (3, 0)}.items():
        assert metrics.moved(*families, caller=name) == dict(zip(families, counts, strict=True)), name


def test_buckets(world, metrics):
    """Buckets are cumulative; a request of 300 ms is in those above it and in no other."""
    world.services["cart"][0].delay = 0.3
    assert world.ask().status == 200
    world.services["cart"][0].delay = 0
    settle(world, metrics)
    now, buckets = metrics.now(), {}
    for (name, labels), value in now.items():
        labels = dict(labels)
        if name == "mesher_request_duration_seconds_bucket" and labels["service_name"] == "cart":
            before = metrics.before.get((name, frozenset(labels.items())), 0)
            buckets[float(labels["le"])] = value - before
    assert len(buckets) == 16 and sorted(buckets)[-1] == float("inf")
    assert [buckets[each] for each in sorted(buckets)] == sorted(buckets.values())
    assert buckets[0.25] == 0 and buckets[10] == 1
    seconds = metrics.moved("mesher_request_duration_seconds_sum", "request_latency_seconds_sum", service_name="cart")
    assert all(0.25 < each < 4 for each in seconds.values())


def test_retries_and_ejections():
    """A request that three instances were tried for is one request; the tries are counted apart."""
    services = {"cart": [Application("a"), Application("b"), Application("c")]}
    files = {
        "load_balancing": "cse.loadbalance: {retryEnabled: true, retryOnSame: 0, retryOnNext: 2}\n",
        "mesher": "cse.transport.failure.rest: http_500\nmesher.outlier.consecutiveErrors: 1\n",
    }
    with mesh(services, **files) as world:
        metrics = Metrics(world.sidecar)
        assert world.ask(path="/500").status == 500
        settle(world, metrics)
        assert metrics.moved(*TRAFFIC, service_name="cart") == expected(1, 0, 0, 1)
        assert metrics.moved("mesher_retries_total", "mesher_upstream_connects_total") == {
            "mesher_retries_total": 2,
            "mesher_upstream_connects_total": 4,  # and one to ping
        }
        assert metrics.value("mesher_endpoint_ejections_total") >= 1


def test_grpc_calls():
    """4.1: gRPC is counted by its own status, not by HTTP's, in both directions."""
    service = grpc_world.Service()
    inner = grpc_world.Sidecar({}, name="cart", local=service.port)
    inner.start()
    outer = grpc_world.Sidecar({"cart": [f"grpc://127.0.0.2:{inner.grpc}"]})
    outer.start()
    both = Metrics(outer), Metrics(inner)
    with grpc_world.through_proxy(outer, "cart:80") as channel:
        for _ in range(3):
            channel.unary("Echo")
        for code in range(1, 17):
            for _ in range(2 if code == 5 else 1):
                with grpc_world.refusal({each.value[0]: each for each in grpc.StatusCode}[code]):
                    channel.unary("Status", f"{code} no".encode())
    for metrics in both:
        # Codes 2, 4, 13, 14 and 15 are failures of the server, all others but 0 of the client.
        done = lambda metrics=metrics: metrics.moved("requests_total", service_name="cart")["requests_total"] >= 20  # noqa: E731
        eventually(done, lambda metrics=metrics: str(metrics.moved(*TRAFFIC, service_name="cart")))
        assert metrics.moved(*TRAFFIC, service_name="cart") == expected(20, 3, 12, 5)
        for code, count in {0: 3, 1: 1, 5: 2, 16: 1}.items():
            moved = metrics.moved("mesher_grpc_responses_total", service_name="cart", grpc_status=str(code))
            assert moved == {"mesher_grpc_responses_total": count}, code
    for each in (outer, inner):
        each.stop()
    service.stop()


def test_the_handler_monitoring(world, metrics):
    """4.3: by path and method, with a summary in milliseconds; answers of 500 and above by their code."""
    for path, count in (("/m/200", 4), ("/m/200?page=2", 1), ("/m/503", 2)):
        for _ in range(count):
            incoming(world, path)
    own = {"service": "web", "version": "1.0.0", "app": "default", "method": "GET"}
    moved = lambda path: tuple(metrics.moved(*SCB, API=path, **own).values())  # noqa: E731
    eventually(lambda: moved("/m/200") == (5, 5, 0), lambda: f"{moved('/m/200')}")
    eventually(lambda: moved("/m/503") == (2, 2, 2), lambda: f"{moved('/m/503')}")
    assert metrics.moved("scb_error_response_count", code="503", API="/m/503").popitem()[1] == 2
    values = [
        metrics.value("scb_request_process_duration", API="/m/200", quantile=each) for each in ("0.5", "0.9", "0.99")
    ]
    assert 0 < values[0] <= values[1] <= values[2] < 4000


# -- limits -----------------------------------------------------------------------------------------------------------

HEADS = {
    "request_line": (f"GET http://cart/{'a' * 20000} HTTP/1.1\r\nHost: cart\r\n\r\n", 414),
    "request_head": ("GET http://cart/ HTTP/1.1\r\nHost: cart\r\n" + "A: b\r\n" * 200 + "\r\n", 431),
    "request_head_time": ("GET http://cart/ HTTP/1.1\r\nHost:", 408),
}


@pytest.mark.parametrize("limit", HEADS)
def test_limits_of_heads(world, metrics, limit):
    """Each limit counts those that it has kept away: exactly one, and no other limit."""
    text, status = HEADS[limit]
    with world.client() as client:
        client.send(text.encode())
        assert client.response().status == status
    settle(world, metrics)
    assert metrics.moved("mesher_limit_hits_total", limit=limit) == {"mesher_limit_hits_total": 1}
    assert metrics.moved("mesher_limit_hits_total") == {"mesher_limit_hits_total": 1}


def test_the_limit_of_streams(world, metrics):
    """A client that asks for more than three at a time."""
    world.services["cart"][0].delay = 0.3
    fields = [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "cart")]
    with http2.Client(("127.0.0.1", world.sidecar.port)) as client:
        for stream in (1, 3, 5, 7):
            client.send(http2.frame(http2.HEADERS, 5, stream, http2.block(*fields)))
        hits = lambda: metrics.moved("mesher_limit_hits_total", limit="http2_streams").popitem()[1]  # noqa: E731
        eventually(lambda: hits() == 1, lambda: f"hits: {hits()}")
    world.services["cart"][0].delay = 0


# -- formats ----------------------------------------------------------------------------------------------------------


def test_content_types(world):
    """OpenMetrics for those who name it, the older text for all others."""
    admin = world.sidecar.admin
    new = call(admin, "/v1/mesher/metrics", Accept="application/openmetrics-text;version=1.0.0,text/plain;q=0.5")
    assert new.fields["content-type"] == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    assert new.body.endswith(b"\n# EOF\n")
    for accept in ({}, {"Accept": "*/*"}, {"Accept": "text/plain"}, {"Accept": "application/json"}):
        old = call(admin, "/v1/mesher/metrics", **accept)
        assert old.fields["content-type"] == "text/plain; version=0.0.4; charset=utf-8" and b"# EOF" not in old.body


def test_accept_with_a_refusal(world):
    """A format whose quality is 0 is not wanted."""
    found = call(world.sidecar.admin, "/v1/mesher/metrics", Accept="application/openmetrics-text;q=0, text/plain")
    assert found.type == "text/plain"


def test_openmetrics_is_read_by_others(world):
    """The strict parser of Prometheus' own client takes it, and finds the same numbers as in the older text."""
    world.ask(path="/404")
    incoming(world, "/503", caller("shop"))
    text = call(world.sidecar.admin, "/v1/mesher/metrics", Accept="application/openmetrics-text").body.decode()
    families = {each.name: each for each in text_string_to_metric_families(text)}
    assert families["requests"].type == "counter" and families["mesher_request_duration_seconds"].type == "histogram"
    assert families["request_latency_seconds"].type == "summary" and families["start_time_seconds"].type == "gauge"
    old = call(world.sidecar.admin, "/v1/mesher/metrics").body.decode()
    assert {name for name, _ in samples(old)} == {each.name for family in families.values() for each in family.samples}
    assert {each.name for each in text_families(old)} == set(families)


@pytest.mark.parametrize("name", ["a" * 20_000, "\xff\xfe\x80", "\u00e4" * 3000], ids=["long", "no utf-8", "wide"])
def test_names_of_callers(name):
    """Too long to be a name, or no text: the exposition stays readable, and small."""
    with mesh() as world:
        metrics = Metrics(world.sidecar)
        incoming(world, "/", f'x-cse-context: {{"x-cse-src-microservice":"{name}"}}')
        settle(world, metrics)
        body = call(world.sidecar.admin, "/v1/mesher/metrics").body
        assert max(len(line) for line in body.splitlines()) < 1000
        assert list(text_families(body.decode()))
        assert metrics.moved("mesher_caller_requests_total") == {"mesher_caller_requests_total": 1}


def test_labels_are_escaped(world, metrics):
    """What a caller writes of itself cannot end its label."""
    name = 'a"} 1\nrequests_total{x="\\'
    incoming(world, "/", caller(name))
    settle(world, metrics)
    for accept in ("text/plain", "application/openmetrics-text"):
        text = call(world.sidecar.admin, "/v1/mesher/metrics", Accept=accept).body.decode()
        parse = text_families if accept == "text/plain" else text_string_to_metric_families
        labels = [each.labels for family in parse(text) for each in family.samples]
        assert not [each for each in labels if "x" in each]
        assert name in {each.get("caller") for each in labels}


# Names that users' dashboards know from the original, and that promtool would like to be others.
CIRCUIT = (
    *("attempts", "errors", "successes", "failures", "rejects", "shortCircuits", "timeouts"),
    *("fallbackSuccesses", "fallbackFailures", "totalDuration_mean", "runDuration"),
)
SIDES = ("Consumer", "Provider")
FROZEN = {
    *(
        f"{side}_{name} label names should be written in 'snake_case' not 'camelCase'"
        for side in SIDES
        for name in CIRCUIT
    ),
    *(
        f"{side}_{name} metric names should be written in 'snake_case' not 'camelCase'"
        for side in SIDES
        for name in CIRCUIT
        if not name.islower()
    ),
    *(f'{side}_runDuration non-summary metrics should not have "quantile" label' for side in SIDES),
    'status_4xx counter metrics should have "_total" suffix',
    'status_5xx counter metrics should have "_total" suffix',
    'scb_error_response_count counter metrics should have "_total" suffix',
    'scb_error_response_count non-histogram and non-summary metrics should not have "_count" suffix',
    'scb_request_count counter metrics should have "_total" suffix',
    'scb_request_count non-histogram and non-summary metrics should not have "_count" suffix',
}


def test_promtool():
    """Nothing to complain of but the original's names; with everything switched on, after traffic of all kinds."""
    files = {
        "chassis": chains(["monitoring", "tracing-consumer"], ["monitoring", "tracing-provider"]),
        "mesher": "admin.goRuntimeMetrics: true\nmesher.timeouts.requestHead: 300ms\n",
        "tracing": "tracing: {tracer: otlp, settings: {batchInterval: 100ms}}\n",
        "load_balancing": "cse.loadbalance: {retryEnabled: true}\n",
    }
    service = grpc_world.Service()
    with mesh({"away": [Application("away")]}, **files) as world:
        world.services["away"][0].refuse()
        for name in ("cart", "away", "nobody"):
            world.ask(name, path="/503")
        incoming(world, "/404", caller("shop"))
        with world.client() as client:
            client.send(HEADS["request_line"][0].encode())
            client.response()
        with http2.Client(("127.0.0.1", world.sidecar.port)) as client:
            client.send(http2.frame(http2.DATA, 0, 0, b"x"))
        ask = lambda: call(world.sidecar.admin, "/v1/mesher/metrics").body  # noqa: E731
        eventually(lambda: b"scb_error_response_count" in ask(), "not counted")
        text = ask()
    service.stop()
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, timeout=20)
    complaints = {line for line in (done.stdout + done.stderr).decode().splitlines() if line}
    assert complaints == FROZEN, (sorted(complaints - FROZEN), sorted(FROZEN - complaints))


# -- what there is ----------------------------------------------------------------------------------------------------

PROCESS = {
    "process_cpu_seconds_total",
    "process_resident_memory_bytes",
    "process_virtual_memory_bytes",
    "process_open_fds",
    "process_max_fds",
    "process_start_time_seconds",
}
RUNTIME = {
    "default": ("", "", False),
    "admin": ("admin.goRuntimeMetrics: true\n", "", True),
    "framework": ("", "cse.metrics.enableGoRuntimeMetrics: true\n", True),
    "admin wins": ("admin.goRuntimeMetrics: false\n", "cse.metrics.enableGoRuntimeMetrics: true\n", False),
}


@pytest.mark.parametrize("mesher, chassis, is_on", RUNTIME.values(), ids=RUNTIME)
def test_runtime_metrics(mesher, chassis, is_on):
    """4.4: off unless one of the two keys says otherwise; the numbers are those of the process."""
    with World({}, mesher=mesher, chassis=chassis) as world:
        metrics = Metrics(world.sidecar)
        assert PROCESS & metrics.families() == (PROCESS if is_on else set())
        assert any(each.startswith("swift_") for each in metrics.families()) == is_on
        if is_on:
            assert abs(metrics.value("process_start_time_seconds") - time.time()) < 20
            assert 10e6 < metrics.value("process_resident_memory_bytes") < metrics.value("process_virtual_memory_bytes")
            assert 5 < metrics.value("process_open_fds") < metrics.value("process_max_fds")
            assert 0 < metrics.value("process_cpu_seconds_total") < 20


def test_circuit_metrics(world):
    """4.2: what the last ten seconds were, by circuit."""
    for _ in range(3):
        world.ask(path="/503")
    incoming(world)
    metrics = Metrics(world.sidecar)
    labels = {"self": "web", "target": "cart", "appID": "default"}
    eventually(lambda: metrics.value("Consumer_failures", **labels) >= 3, "no failures")
    attempts, errors, good = (
        metrics.value(f"Consumer_{each}", **labels) for each in ("attempts", "errors", "successes")
    )
    assert attempts == errors + good and errors >= 3
    assert metrics.value("Provider_attempts", target="web") >= 1
    assert {"quantile"} <= {key for name, has in metrics.now() if name == "Consumer_runDuration" for key, _ in has}


def test_circuit_metrics_can_be_switched_off():
    with mesh(chassis="cse.metrics.enableCircuitMetrics: false\n") as world:
        world.ask()
        assert not [each for each in Metrics(world.sidecar).families() if each.startswith(("Consumer_", "Provider_"))]


def test_counters_are_there_from_the_start():
    """Alerts need the first failure to be a step from 0."""
    with World({}) as world:
        now = Metrics(world.sidecar).now()
        counters = {name for name, _ in now if name.startswith("mesher_") and name.endswith("_total")}
        assert {"mesher_retries_total", "mesher_limit_hits_total", "mesher_trace_spans_total"} <= counters
        assert all(value == 0 for (name, _), value in now.items() if name == "mesher_limit_hits_total")
        assert not [name for name, _ in now if name in TRAFFIC], "a family appears with its first sample"


# -- bounds -----------------------------------------------------------------------------------------------------------


def pipelined(world, requests, address="127.0.0.1"):
    """The answers to many requests, fifty on their way at a time."""
    statuses = []
    with world.client(address) as client:
        for start in range(0, len(requests), 50):
            portion = requests[start : start + 50]
            client.send(b"".join(portion))
            statuses += [client.response().status for _ in portion]
    return statuses


def test_clients_cannot_make_series(world, metrics):
    """2,000 hosts, callers and paths that nobody has heard of, and 200 methods: bounds hold, and all is counted."""
    get = harness.request
    pipelined(world, [get("GET", f"http://h{index}/", host=f"Host: h{index}") for index in range(2000)])
    callers = [get("GET", f"/p{index}", caller(f"c{index}"), host="Host: web") for index in range(2000)]
    assert set(pipelined(world, callers, "127.0.0.2")) == {200}
    pipelined(world, [get(f"M{index}", "/", host="Host: web") for index in range(200)], "127.0.0.2")
    settle(world, metrics)
    assert metrics.labels("requests_total", "service_name") <= {"cart", "ping", "away", "web", "unknown"}
    assert len(metrics.labels("mesher_caller_requests_total", "caller")) <= 102
    assert metrics.moved("mesher_caller_requests_total") == {"mesher_caller_requests_total": 2200}
    assert metrics.moved("requests_total", service_name="unknown") == {"requests_total": 2000}
    eventually(
        lambda: metrics.moved("scb_request_count")["scb_request_count"] >= 4200, "not all are counted by monitoring"
    )
    assert len(metrics.labels("scb_request_count", "API")) <= 101
    assert metrics.labels("scb_request_count", "method") <= {"GET", "other"}
    grown = len(metrics.now()) - len(metrics.before)
    assert grown < 1500, f"{grown} series more"


# -- a real Prometheus ------------------------------------------------------------------------------------------------


class Prometheus:
    """One `prometheus` that scrapes a sidecar once a second."""

    def __init__(self, directory, target):
        self.port = harness.free_port("127.0.0.1")
        config = directory / "prometheus.yml"
        config.write_text(
            "global: {scrape_interval: 1s}\n"
            f"scrape_configs: [{{job_name: mesher, metrics_path: /v1/mesher/metrics,"
            f' static_configs: [{{targets: ["127.0.0.1:{target}"]}}]}}]\n'
        )
        command = [
            "prometheus",
            f"--config.file={config}",
            f"--storage.tsdb.path={directory / 'data'}",
            f"--web.listen-address=127.0.0.1:{self.port}",
            "--log.level=warn",
        ]
        self.log = directory / "log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(10)

    def ask(self, query):
        """The values of a query, by their labels."""
        assert self.process.poll() is None, self.log.read_text()
        with contextlib.suppress(OSError):
            answer = call(self.port, "/api/v1/query?" + urllib.parse.urlencode({"query": query}))
            if answer.status == 200:  # else it is still starting
                return [(each["metric"], float(each["value"][1])) for each in answer.json["data"]["result"]]
        return []

    def value(self, query):
        found = self.ask(query)
        assert len(found) <= 1, found
        return found[0][1] if found else None


def test_a_real_prometheus(world, tmp_path):
    """A minute: the target is up, and what it says agrees with what a client has sent, to the request and as a rate."""
    cart = 'requests_total{service_name="cart"}'
    portions, size = 60, 20
    world.ask()  # the series has to be there for an increase to be seen
    with Prometheus(tmp_path, world.sidecar.admin) as prometheus:
        eventually(lambda: prometheus.value("up") == 1, lambda: f"not up: {prometheus.log.read_text()}", seconds=20)
        eventually(lambda: (prometheus.value(f"count_over_time({cart}[1m])") or 0) >= 3, "not scraped", seconds=10)
        before, began = prometheus.value(cart), time.monotonic()
        with world.client() as client:
            # Each portion waits for the scrape that shows it, which is one a second.
            for portion in range(portions):
                for _ in range(size):
                    assert world.ask(path="/404" if portion == 0 else "/", client=client).status in (200, 404)
                seen = before + size * (portion + 1)
                eventually(lambda seen=seen: prometheus.value(cart) == seen, lambda: f"{prometheus.ask(cart)}")
        took = time.monotonic() - began
        time_range = f"[{int(took) + 30}s]"
        sent = portions * size
        assert prometheus.value(f"max_over_time({cart}{time_range}) - min_over_time({cart}{time_range})") == sent
        assert prometheus.value(f"min_over_time(up[{int(took)}s])") == 1
        assert prometheus.value('status_4xx{service_name="cart"}') >= size
        rate = prometheus.value(f"rate({cart}[{int(took) - 5}s])")
        print(f"in {took:.0f} s {sent / took:.2f} requests/s sent, {rate:.2f} seen")
        assert took > portions * 0.9 and 0.9 * sent / took < rate < 1.1 * sent / took
        # It may ask in OpenMetrics: nothing of what it was given has been thrown away.
        assert prometheus.value("scrape_samples_scraped") == prometheus.value("scrape_samples_post_metric_relabeling")
        assert (
            prometheus.value('histogram_quantile(0.5, mesher_request_duration_seconds_bucket{service_name="cart"})') > 0
        )


def test_a_thousand_services():
    """A scrape costs little and holds up no event loop, however many services there are."""
    instance = Instance("all")
    services = {f"service-{index}": [instance] for index in range(1000)}
    with World(services) as world:
        asked = [
            harness.request("GET", f"http://service-{index}/", host=f"Host: service-{index}") for index in range(1000)
        ]
        assert pipelined(world, asked) == [200] * 1000
        scrape = lambda: call(world.sidecar.admin, "/v1/mesher/metrics").body  # noqa: E731
        eventually(lambda: scrape().count(b"\nrequests_total{") == 1000, "not all are counted")
        took, lag = [], []
        for _ in range(5):
            began = time.monotonic()
            body = scrape()
            took.append(time.monotonic() - began)
            lag.append(float(re.search(rb"loop_lag_seconds{.*} (.*)", body)[1]))
        middle = statistics.median(took)
        print(f"scrape of {len(body) >> 10} KiB: {middle * 1000:.1f} ms, lag {max(lag) * 1000:.1f} ms")
        assert middle < 0.05 * 4
        assert max(lag) < 0.25
