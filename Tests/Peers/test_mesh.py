# SPDX-License-Identifier: Apache-2.0
"""Virtual hosts of mesh.yaml: matches, shares, answers, limits, edits, clusters; checked, and changed while it runs."""

import contextlib
import json
import os
import socket
import subprocess
import threading
import time

import grpc
import pytest

import grpc_world
import http2
from governance import Instance, World
from harness import Origin, answer, binary, eventually


def mesh(routes, clusters="", domains="[shop, '*.shop.example']"):
    """A mesh.yaml with one host."""
    own = "{name: two, service: cart, tags: {version: 2.0.0}}, {name: one, service: cart, tags: {version: 1.0.0}}"
    clusters = f"{own}, {clusters}" if clusters else own
    return f"mesh: {{clusters: [{clusters}], hosts: [{{name: shop, domains: {domains}, routes: [{routes}]}}]}}\n"


def field(response, name):
    """The value of a field; `None` when there is none."""
    value = response.get(name)
    return value and value.decode()


TO_TWO = "targets: [{cluster: two}]"
TO_ONE = "{name: rest, targets: [{cluster: one}]}"


def versions():
    return {"cart": [Instance("one", version="1.0.0"), Instance("two", version="2.0.0")]}


@pytest.fixture(scope="module")
def world():
    with World(versions(), mesh=mesh(TO_ONE)) as world:
        yield world


def install(world, text, sign=None, **question):
    """Writes mesh.yaml anew and waits until it holds: `sign` is a body that the question gets then."""
    world.sidecar.write("mesh.yaml", text)
    if sign is not None:
        eventually(lambda: world.ask("shop", **question).body.decode() == sign, "the new mesh.yaml never held")


@pytest.mark.parametrize(
    "match, question, is_matched",
    [
        ("path: {exact: /a}", "/a", True),
        ("path: {exact: /a}", "/a?x=1", True),
        ("path: {exact: /a}", "/a/", False),
        ("path: {prefix: /a}", "/ab", True),
        ("path: {below: /a}", "/ab", False),
        ("path: {below: /a}", "/a/b", True),
        ("path: {below: /a}", "/a", True),
        ("path: {regex: '/[0-9]+'}", "/12", True),
        ("path: {regex: '/[0-9]+'}", "/12x", False),
        ("queries: {v: {exact: '2'}}", "/?u=1&v=2", True),
        ("queries: {v: {exact: '2'}}", "/?v=1&v=2", False),
        ("queries: {v: {exact: '2'}}", "/?vv=2", False),
        ("methods: [GET]", "/", True),
        ("methods: [POST, PUT]", "/", False),
        ("headers: {x-env: {exact: canary}}", "/", True),
        ("headers: {x-env: {prefix: prod}}", "/", False),
        ("path: {prefix: /a}, headers: {x-env: {exact: canary}}, methods: [GET]", "/a", True),
    ],
)
def test_matches(world, match, question, is_matched):
    """Everything that a match names has to hold; what no route takes goes to the next one."""
    install(world, mesh(f"{{match: [{{{match}}}], {TO_TWO}}}, {TO_ONE}"))
    eventually(
        lambda: world.ask("shop", "X-Env: canary", path=question).body.decode() == ("two" if is_matched else "one"),
        f"{match} for {question}",
    )


def test_a_request_that_no_route_takes_is_answered(world):
    install(world, mesh(f"{{match: [{{path: {{exact: /a}}}}], {TO_TWO}}}"), "two", path="/a")
    response = world.ask("shop", path="/b")
    assert (response.status, field(response, "x-mesher-error")) == (404, "no_rule")


def test_domains(world):
    """A name, the longest wildcard, and a port; what is no domain is a service as ever."""
    install(world, mesh("{reply: {body: star}}", domains="['*.shop.example']").replace(
        "hosts: [", "hosts: [{name: exact, domains: [a.shop.example], routes: [{reply: {body: exact}}]}, "
        "{name: ported, domains: ['*.shop.example'], port: 81, routes: [{reply: {body: port}}]}, "), None)  # fmt: skip
    eventually(lambda: world.ask("b.shop.example").body == b"star", "the domains never held")
    assert world.ask("a.shop.example").body == b"exact"
    assert world.ask("A.Shop.Example.").body == b"exact"
    assert world.ask("b.shop.example:81").body == b"port"
    assert world.ask("cart").status == 200
    assert world.ask("shop.example").status == 502


def test_weights_are_relative_and_exact(world):
    install(world, mesh("{targets: [{cluster: one, weight: 1}, {cluster: two, weight: 3}]}, {reply: {body: x}}"), None)
    eventually(lambda: world.many(4, "shop") == {"one": 1, "two": 3}, "the shares never held")
    assert world.many(400, "shop") == {"one": 100, "two": 300}


def test_fixed_answers_and_redirects(world):
    routes = (
        "{match: [{path: {prefix: /gone}}], reply: {status: 410, body: '{}', contentType: application/json},"
        " responseHeaders: {set: {x-why: moved}}},"
        " {match: [{path: {prefix: /old}}], redirect: {prefix: /new, status: 308}},"
        " {match: [{path: {prefix: /far}}], redirect: {scheme: https, host: far.example, path: /x}}, " + TO_ONE
    )
    install(world, mesh(routes), "{}", path="/gone")
    gone = world.ask("shop", path="/gone")
    assert (gone.status, field(gone, "content-type"), field(gone, "x-why")) == (410, "application/json", "moved")
    old = world.ask("shop:8080", path="/old/a?b=c")
    assert (old.status, field(old, "location")) == (308, "http://shop:8080/new/a?b=c")
    far = world.ask("shop", path="/far?q")
    assert (far.status, field(far, "location")) == (301, "https://far.example/x?q")


class Mirror(Origin):
    """Answers with the head of the request as it has arrived."""

    def __init__(self):
        super().__init__()
        self.script, self.status = self.serve, "200 OK"

    def serve(self, connection):
        for request in connection.requests():
            head = b"\n".join([request.start, *(name.encode() + b": " + value for name, value in request.fields)])
            connection.send(answer(head, self.status, "X-Secret: s", "Server: origin"))


def test_edits_and_rewrites():
    """Path and Host, and fields by any name in both directions; the log tells what the client has asked for."""
    origin = Mirror()
    cluster = f"{{name: far, endpoints: [{{address: '127.0.0.1:{origin.port}'}}]}}"
    routes = (
        "{match: [{path: {below: /shop}}], rewrite: {prefix: /v2, host: far.example}, targets: [{cluster: far}],"
        " requestHeaders: {remove: [x-inner, Authorization], set: {X-Env: blue}, add: {x-tag: b}},"
        " responseHeaders: {remove: [x-secret], set: {server: mesh}, add: {x-by: mesher}}}"
    )
    routes = routes + ", {match: [{path: {exact: /a}}], rewrite: {path: /b}, targets: [{cluster: far}]}"
    text = f"mesh: {{clusters: [{cluster}], hosts: [{{name: shop, routes: [{routes}]}}]}}\n"
    with World({}, mesh=text) as world:
        response = world.ask("shop", "X-Inner: 1", "Authorization: a", "X-Env: red", "x-env: green", "X-Tag: a",
                             path="/shop/items?a=/shop")  # fmt: skip
        lines = response.body.decode().lower().splitlines()
        assert lines[0] == "get /v2/items?a=/shop http/1.1"
        assert "host: far.example" in lines
        assert [line for line in lines if line.startswith(("x-env", "x-tag"))] == ["x-tag: a", "x-env: blue", "x-tag: b"]
        assert not [line for line in lines if line.startswith(("x-inner", "authorization"))]
        assert field(response, "server") == "mesh" and field(response, "x-by") == "mesher"
        assert field(response, "x-secret") is None
        assert world.ask("shop", path="/a?q=1").body.startswith(b"GET /b?q=1 ")
    origin.refuse()


def test_expressions_and_values_that_are_filled_in():
    """A path gives way to what an expression makes of it, and fields say what each request has."""
    origin = Mirror()
    cluster = f"{{name: far, endpoints: [{{address: '127.0.0.1:{origin.port}'}}]}}"
    route = (
        "{rewrite: {regex: {find: '^/v([0-9])/', replace: '/api/\\1/'}, hostFrom: x-host, keepHost: true},"
        " requestHeaders: {fill: {x-user: '<%REQ(x-name)%> %PROTOCOL%', x-path: '%REQ(:path)%', x-no: '%REQ(x-no)%'}},"
        " responseHeaders: {fill: {x-to: '%UPSTREAM_HOST% %RESPONSE_CODE%'}}, targets: [{cluster: far}]}"
    )
    text = f"mesh: {{clusters: [{cluster}], hosts: [{{name: shop, routes: [{route}]}}]}}\n"
    with World({}, mesh=text) as world:
        response = world.ask("shop", "X-Name: me", "X-Host: far.example", path="/v2/items?a=/v1/")
        lines = response.body.decode().lower().splitlines()
        assert lines[0] == "get /api/2/items?a=/v1/ http/1.1"
        wanted = ["x-user: <me> http/1.1", "x-path: /v2/items?a=/v1/", "host: far.example", "x-forwarded-host: shop"]
        assert [line for line in wanted if line not in lines] == [], lines
        assert not [line for line in lines if line.startswith("x-no")]
        assert field(response, "x-to") == f"127.0.0.1:{origin.port} 200"
    origin.refuse()


def test_pages_of_other_origins(world):
    """Preflights are answered, and answers say the origin of a page that may read them, failures too."""
    cors = "cors: {origins: ['http://good.test'], methods: [PUT], expose: [x-a], passOn: false}"
    install(world, mesh(f"{{match: [{{path: {{exact: /gone}}}}], targets: [{{cluster: gone}}], {cors}}}, "
                        f"{{{TO_TWO}, {cors}}}", "{name: gone, service: nobody}"), "two")  # fmt: skip
    asks = "Access-Control-Request-Method: PUT"
    for origin, allowed in (("http://good.test", "http://good.test"), ("http://bad.test", None)):
        preflight = world.ask("shop", f"Origin: {origin}", asks, method="OPTIONS")
        assert (preflight.status, preflight.body) == (200, b"")
        assert field(preflight, "access-control-allow-methods") == "PUT"
        for answer_ in (preflight, world.ask("shop", f"Origin: {origin}"), world.ask("shop", f"Origin: {origin}", path="/gone")):
            assert field(answer_, "access-control-allow-origin") == allowed
    assert world.ask("shop", f"Origin: {origin}").body == b"two"
    assert "pages may read the answer whose origin" in explain(world, "http://shop/")


def explain(world, url):
    """What `mesher explain` says."""
    return subprocess.run(
        [binary(), "explain", "GET", url, "--admin", f"127.0.0.1:{world.sidecar.admin}"],
        capture_output=True, text=True, timeout=10,
    ).stdout  # fmt: skip


def test_a_share_is_answered(world):
    """The split is exact, and what is answered never goes elsewhere."""
    targets = "[{cluster: one, weight: 1}, {reply: {status: 500, body: gone}, weight: 3, responseHeaders: {set: {x-why: w}}}]"
    install(world, mesh(f"{{targets: {targets}, retry: {{attempts: 3, statuses: [500]}}}}"), None)
    eventually(lambda: world.many(4, "shop") == {"one": 1, 500: 3}, "the shares never held")
    assert world.many(40, "shop") == {"one": 10, 500: 30}
    answers = [world.ask("shop") for _ in range(4)]
    refused = next(each for each in answers if each.status == 500)
    assert refused.body == b"gone" and field(refused, "x-why") == "w"
    told = explain(world, "http://shop/")
    assert "75 % to an answer with 500" in told, told


def test_edits_of_targets_and_hosts_of_endpoints():
    """A repetition has the fields of its target once, and the Host that the next endpoint wants."""
    first, second = Mirror(), Mirror()
    endpoints = ", ".join(
        f"{{address: '127.0.0.1:{origin.port}', host: {name}.example}}"
        for name, origin in (("one", first), ("two", second))
    )
    route = (
        "{match: [{path: {below: /shop}}], rewrite: {prefix: /v2, host: route.example},"
        " requestHeaders: {add: {x-tag: route}, set: {x-env: route}, remove: [x-inner]},"
        " retry: {attempts: 1, statuses: [503]}, targets: [{cluster: both,"
        " requestHeaders: {add: {x-tag: target}, set: {x-env: target}}, responseHeaders: {set: {x-by: target}}}]}"
    )
    text = f"mesh: {{clusters: [{{name: both, endpoints: [{endpoints}]}}], hosts: [{{name: shop, routes: [{route}]}}]}}\n"
    first.status = "503 Service Unavailable"
    with World({}, mesh=text) as world:
        for _ in range(6):
            response = world.ask("shop", "X-Inner: 1", path="/shop/items")
            lines = response.body.decode().lower().splitlines()
            assert lines[0] == "get /v2/items http/1.1"
            assert [line for line in lines if line.startswith(("x-tag", "x-env", "host", "x-inner"))] == [
                "x-tag: route", "x-env: target", "x-tag: target", "host: two.example"
            ]  # fmt: skip
            assert field(response, "x-by") == "target"
    assert first.requests and {request.get("host") for request in first.requests} == {b"one.example"}
    first.refuse()
    second.refuse()


def test_the_rate_limit_of_a_route(world):
    """All matches of a route share it, other routes do not, and it goes on when something else changes."""
    routes = (
        "{name: few, match: [{path: {exact: /a}}, {path: {exact: /b}}], limit: 5, targets: [{cluster: one}]},"
        " {match: [{path: {exact: /sign}}], reply: {body: SIGN}}, {targets: [{cluster: one}]}"
    )
    install(world, mesh(routes.replace("SIGN", "rate")), "rate", path="/sign")
    answers = [world.ask("shop", path=("/a", "/b")[index % 2]) for index in range(8)]
    refused = [each for each in answers if each.status == 429]
    assert 5 <= len(refused) <= 7 and field(refused[0], "x-mesher-error") == "rate_limited"
    assert {world.ask("shop").status for _ in range(8)} == {200}
    install(world, mesh(routes.replace("SIGN", "more")), "more", path="/sign")
    told = explain(world, "http://shop/a")
    assert "5 a second are let through" in told, told


def test_faults_of_a_route(world):
    """The delay comes first, then the abort; the time of the call has not begun before both."""
    routes = (
        "{match: [{path: {exact: /late}}], fault: {delay: {time: 400ms}}, timeouts: {call: 200ms, head: 200ms},"
        " targets: [{cluster: one}]},"
        " {match: [{path: {exact: /both}}], fault: {delay: {time: 300ms}, abort: {status: 418}}, targets: [{cluster: one}]},"
        " {match: [{path: {exact: /half}}], fault: {abort: {status: 418, percent: 50}}, targets: [{cluster: one}]},"
        " {match: [{path: {exact: /none}}], fault: {abort: {status: 418, percent: 0}}, targets: [{cluster: one}]},"
        " {match: [{path: {exact: /sign}}], reply: {body: faults}}, {targets: [{cluster: one}]}"
    )
    install(world, mesh(routes), "faults", path="/sign")
    before = len(world.services["cart"][0].requests)
    for path, status, least in (("/late", 200, 0.4), ("/both", 418, 0.3)):
        began = time.monotonic()
        response = world.ask("shop", path=path)
        assert (response.status, response.body) == ((200, b"one") if status == 200 else (418, b"injecting abort"))
        assert time.monotonic() - began >= least
    assert len(world.services["cart"][0].requests) == before + 1
    half = world.many(200, "shop", path="/half")
    assert 60 <= half[418] <= 140, half
    assert world.many(20, "shop", path="/none") == {"one": 20}
    assert "50 % answered with 418" in explain(world, "http://shop/half")


@pytest.mark.parametrize(
    "profile, absent, empty, late",
    [
        ("ServiceComb", (404, b"no route"), 502, (504, b"upstream did not answer in time")),
        ("Envoy", (404, b""), 503, (504, b"upstream request timeout")),
        ("Gateway", (404, b"no route"), 503, (504, b"upstream did not answer in time")),
    ],
)
def test_own_answers_are_what_clients_know(world, profile, absent, empty, late):
    """As the host says, while it runs; the reason is always told."""
    routes = (
        f"{{match: [{{path: {{exact: /{profile}}}}}], reply: {{body: {profile}}}}},"
        " {match: [{path: {exact: /nobody}}], targets: [{cluster: nobody}]},"
        " {match: [{path: {exact: /late}}], timeouts: {head: 100ms}, targets: [{cluster: one}]}"
    )
    text = mesh(routes, "{name: nobody, service: nobody}").replace("{name: shop,", f"{{name: shop, profile: {profile},")
    install(world, text, profile, path=f"/{profile}")
    response = world.ask("shop", path="/absent")
    assert (response.status, response.body, field(response, "x-mesher-error")) == (*absent, "no_rule")
    response = world.ask("shop", path="/nobody")
    assert response.status == empty and field(response, "x-mesher-error") == "no_endpoint"
    assert (response.body == b"no healthy upstream") == (profile == "Envoy")
    world.services["cart"][0].delay = 0.5
    try:
        response = world.ask("shop", path="/late")
        assert (response.status, response.body) == late
    finally:
        world.services["cart"][0].delay = 0


def test_limits_of_a_route(world):
    """The head of each try, and the call as a whole with its retries."""
    slow = world.services["cart"][1]
    routes = (
        "{match: [{path: {exact: /head}}], timeouts: {head: 200ms}, targets: [{cluster: two}]},"
        " {match: [{path: {exact: /call}}], timeouts: {call: 300ms, head: 200ms}, retry: {attempts: 5},"
        " targets: [{cluster: two}]}, {match: [{path: {exact: /sign}}], reply: {body: limits}}"
    )
    install(world, mesh(routes), "limits", path="/sign")
    slow.delay = 2
    try:
        for path, limit in [("/head", 0.2), ("/call", 0.3)]:
            began = time.monotonic()
            assert world.ask("shop", path=path).status == 504
            assert limit <= time.monotonic() - began < limit + 1
    finally:
        slow.delay = 0


def test_retries_of_a_route(world):
    """A status that the route lists is tried elsewhere; one that it does not is passed on."""
    first, second = world.services["cart"]
    cluster = (
        f"{{name: both, endpoints: [{{address: '127.0.0.1:{first.port}'}}, {{address: '127.0.0.1:{second.port}'}}]}}"
    )
    routes = (
        "{match: [{path: {exact: /again}}], retry: {attempts: 1, statuses: [503]}, targets: [{cluster: both}]},"
        " {match: [{path: {exact: /sign}}], reply: {body: retries}}, {targets: [{cluster: both}]}"
    )
    install(world, mesh(routes, cluster), "retries", path="/sign")
    first.status = "503 Service Unavailable"
    try:
        assert set(world.many(20, "shop", path="/plain")) == {"two", 503}
        assert world.many(20, "shop", path="/again") == {"two": 20}
        # What a route wants is no failure: nobody was left out for it.
        assert set(world.many(20, "shop", path="/plain")) == {"two", 503}
    finally:
        first.status = "200 OK"


def test_clusters_of_addresses(world):
    """Weights, and a priority that is used when the one before it cannot be."""
    one, two = world.services["cart"]
    cluster = (
        f"{{name: heavy, endpoints: [{{address: '127.0.0.1:{one.port}', weight: 3}}, {{address: '127.0.0.1:{two.port}'}}]}},"
        f" {{name: spare, endpoints: [{{address: '127.0.0.1:{one.port}', priority: 1}}, {{address: '127.0.0.9:{two.port}'}}]}}"
    )
    routes = (
        "{match: [{path: {exact: /heavy}}], targets: [{cluster: heavy}]},"
        " {match: [{path: {exact: /spare}}], targets: [{cluster: spare}], retry: {attempts: 1}},"
        " {match: [{path: {exact: /sign}}], reply: {body: addresses}}"
    )
    install(world, mesh(routes, cluster), "addresses", path="/sign")
    heavy = world.many(400, "shop", path="/heavy")
    assert 260 <= heavy["one"] <= 340, heavy
    # Nobody listens there: it is ejected, and the lower priority takes its place.
    eventually(lambda: world.many(5, "shop", path="/spare") == {"one": 5}, "the lower priority was never used")


def test_most_requests_of_a_cluster(world):
    one = world.services["cart"][0]
    cluster = f"{{name: small, endpoints: [{{address: '127.0.0.1:{one.port}'}}], limits: {{requests: 2}}}}"
    routes = "{targets: [{cluster: small}]}"
    install(world, mesh(routes, cluster), "one")
    one.delay = 0.5
    try:
        answers = world.together(6, "shop")
        assert sorted(each.status for each in answers) == [200, 200, 503, 503, 503, 503]
        refused = next(each for each in answers if each.status == 503)
        assert b"cluster small" in refused.body and field(refused, "x-mesher-error") == "bulkhead_full"
    finally:
        one.delay = 0
    assert world.many(5, "shop") == {"one": 5}


def test_the_time_to_connect_to_a_cluster(world):
    """A listener whose queue is full lets nobody connect; the cluster's own limit holds, not that of all."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, contextlib.ExitStack() as stack:
        for _ in range(4):
            queued = stack.enter_context(socket.socket())
            queued.setblocking(False)
            queued.connect_ex(full.getsockname())
        cluster = (
            f"{{name: full, endpoints: [{{address: '127.0.0.1:{full.getsockname()[1]}'}}], connectTimeout: 300ms}}"
        )
        routes = "{match: [{path: {exact: /full}}], targets: [{cluster: full}]}, {reply: {body: connect}}"
        install(world, mesh(routes, cluster), "connect")
        began = time.monotonic()
        response = world.ask("shop", path="/full")
        assert (response.status, field(response, "x-mesher-error")) == (502, "connect_failed")
        assert 0.3 <= time.monotonic() - began < 2


def test_the_instances_own_tls_settings_hold(world):
    """A host leads to a service that is to be called by TLS: nothing goes out in clear text."""
    first = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve():
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    with connection:
                        first.append(connection.recv(1))

        threading.Thread(target=serve, daemon=True).start()
        secure = Instance("secure", version="1.0.0")
        port, secure.port = secure.port, listener.getsockname()[1]
        tls = "ssl: {cart.rest.Consumer.verifyPeer: false}\n"
        with World({"cart": [secure]}, mesh=mesh(TO_ONE), tls=tls) as world:
            assert world.ask("shop").status == 502
        secure.port = port
    assert first and set(first) == {b"\x16"}


def test_a_target_without_a_path_asks_for_the_root(world):
    routes = "{match: [{path: {exact: /}}], reply: {status: 403, body: root}}, " + TO_ONE
    install(world, mesh(routes), "root")
    for target in ("http://shop", "http://shop?x=1", "http://shop/"):
        with world.client() as client:
            client.send(f"GET {target} HTTP/1.1\r\nHost: shop\r\n\r\n".encode())
            assert client.response().status == 403, target


def test_a_host_takes_the_names_that_it_lists_and_no_others(world):
    """A service that has the host's name by chance is called as ever."""
    text = mesh("{reply: {body: host}}", domains="[shop]").replace("{name: shop,", "{name: cart,")
    install(world, text, "host")
    assert world.ask("cart").body in (b"one", b"two")


def test_retries_of_a_cluster_are_limited_while_they_wait(world):
    """Of twenty calls that all fail, one at a time is repeated, however long the retry waits."""
    one, two = world.services["cart"]
    cluster = (
        f"{{name: both, endpoints: [{{address: '127.0.0.1:{one.port}'}}, {{address: '127.0.0.1:{two.port}'}}],"
        " limits: {retries: 1}}"
    )
    routes = (
        "{match: [{path: {exact: /sign}}], reply: {body: waiting}},"
        " {retry: {attempts: 1, statuses: [503], budgetPercent: 1000}, targets: [{cluster: both}]}"
    )
    backoff = "cse: {loadbalance: {retryEnabled: true, backoff: {kind: constant, minMs: 300, maxMs: 300}}}\n"
    world.sidecar.write("load_balancing.yaml", backoff)
    install(world, mesh(routes, cluster), "waiting", path="/sign")
    before = len(one.requests) + len(two.requests)
    one.status = two.status = "503 Service Unavailable"
    try:
        assert {each.status for each in world.together(20, "shop")} == {503}
        assert len(one.requests) + len(two.requests) - before <= 22
    finally:
        one.status = two.status = "200 OK"
        world.sidecar.write("load_balancing.yaml", "")


def test_the_time_of_a_call_holds_when_the_answer_comes_early(world):
    """It runs from the last byte of the request, also when the answer has begun before that."""

    def play(connection):
        connection.head()
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n")
        for _ in range(40):
            time.sleep(0.1)
            connection.send(b"x")

    origin = Origin()
    origin.script = play
    cluster = f"{{name: drip, endpoints: [{{address: '127.0.0.1:{origin.port}'}}]}}"
    routes = (
        "{match: [{path: {exact: /drip}}], timeouts: {call: 500ms}, targets: [{cluster: drip}]},"
        " {match: [{path: {exact: /sign}}], reply: {body: drip}}"
    )
    install(world, mesh(routes, cluster), "drip", path="/sign")
    with world.client() as client:
        client.send(b"POST http://shop/drip HTTP/1.1\r\nHost: shop\r\nContent-Length: 2\r\n\r\na")
        client.head()
        began = time.monotonic()
        client.send(b"b")
        client.rest()
        assert time.monotonic() - began < 2
    origin.refuse()


def test_instances_come_and_go(world):
    """A cluster follows its service; one whose service is not there answers 502."""
    install(world, mesh("{targets: [{cluster: two}]}"), "two")
    directory = world.sidecar.directory.name
    services = f"{directory}/services.yaml"
    text = open(services).read()
    entry = world.services["cart"][1].entry
    try:
        world.sidecar.write("services.yaml", text.replace(f", {entry}", ""))
        eventually(lambda: world.ask("shop").status == 502, "the version was never gone")
    finally:
        world.sidecar.write("services.yaml", text)
    eventually(lambda: world.ask("shop").body == b"two", "the version never came back")


@pytest.mark.parametrize(
    "text, words",
    [
        ("mesh: {hosts: [{name: a, routes: [{target: [{cluster: b}]}]}]}", "unknown key target"),
        ("mesh: {hosts: [{name: a, routes: [{targets: [{cluster: b}]}]}]}", 'no cluster is called "b"'),
        ("mesh: {clusters: [{name: b, services: c}]}", "did you mean service?"),
        ("mesh: {clusters: [{name: b}]}", "nothing says where the cluster b is"),
        ("mesh: {clusters: [{name: b, endpoints: [{address: here}]}]}", '"here" is no address'),
        ("mesh: {hosts: [{name: a, routes: []}]}", "the host has no routes"),
        ("mesh: {hosts: [{name: a, domains: ['a b'], routes: [{reply: {}}]}]}", '"a b" is no domain'),
        ("mesh: {hosts: [{name: a, routes: [{reply: {}, redirect: {host: x}}]}]}", "keep one of them"),
        ("mesh: {hosts: [{name: a, routes: [{match: [{path: {exact: a}}], reply: {}}]}]}", "begin it with a slash"),
        ("mesh: {hosts: [{name: a, routes: [{reply: {}, timeouts: {call: 1s}}]}]}", "timeouts has no effect"),
        ("mesh: {hosts: [{name: a, routes: [{reply: {}, responseHeaders: {set: {Connection: x}}}]}]}", "cannot be changed"),
        ("mesh: {host: [{name: a}]}", "did you mean mesh.hosts?"),
        ("mesh: {hosts: {name: a}}", "a list belongs below mesh.hosts"),
    ],
)  # fmt: skip
def test_what_a_typo_changes_is_refused(world, tmp_path, text, words):
    """`mesher check` says the place and the remedy, and the exit code is 1."""
    (tmp_path / "chassis.yaml").write_text("")
    (tmp_path / "microservice.yaml").write_text("service_description: {name: web}\n")
    (tmp_path / "mesh.yaml").write_text(text + "\n")
    result = subprocess.run(
        [binary(), "check"], env={"CHASSIS_CONF_DIR": str(tmp_path)}, capture_output=True, text=True
    )
    assert words in result.stdout + result.stderr
    assert "mesh.yaml:1" in result.stdout + result.stderr


def test_a_mesh_that_is_wrong_changes_nothing(world):
    install(world, mesh(TO_ONE), "one")
    world.sidecar.write("mesh.yaml", mesh("{targets: [{cluster: three}]}"))
    eventually(lambda: "no cluster is called" in world.sidecar.tail(), "nothing was said of the mistake")
    assert world.ask("shop").body == b"one"


def test_explained(world):
    """What becomes of a request, with the names of route and cluster."""
    install(world, mesh(f"{{name: pay, match: [{{path: {{prefix: /pay}}}}], {TO_TWO}}}, {TO_ONE}"), "two", path="/pay")
    environment = dict(os.environ, CHASSIS_CONF_DIR=world.sidecar.directory.name)
    command = [binary(), "explain", "GET", "http://shop/pay/1", "--json"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    document = json.loads(done.stdout)
    steps = {step["handler"]: step["summary"] for step in document["steps"]}
    assert "virtual host shop" in steps["destination"]
    assert steps["router"].startswith("route pay at ")
    assert [share["tags"] for share in document["shares"]] == ["two"]
    assert document["answer"]["endpoints"] == [f"rest://127.0.0.1:{world.services['cart'][1].port}"]


def test_other_ways_to_ask(world):
    """Origin form with Host alone, HEAD, a tunnel, and HTTP/2: the routes are the same."""
    routes = "{match: [{path: {exact: /r}}], reply: {body: here}}, {match: [{path: {exact: /n}}], reply: {status: 204}}"
    install(world, mesh(f"{routes}, {TO_ONE}"), "here", path="/r")
    with world.client() as client:
        client.send(b"GET /x HTTP/1.1\r\nHost: www.shop.example\r\n\r\n")
        assert client.response().body == b"one"
        client.send(b"HEAD http://shop/r HTTP/1.1\r\nHost: shop\r\n\r\n")
        head = client.response("HEAD")
        assert (head.status, head.get("content-length")) == (200, b"4")
        nothing = world.ask("shop", path="/n", client=client)
        assert (nothing.status, nothing.get("content-length"), nothing.body) == (204, None, b"")
        assert world.ask("shop", path="/r", client=client).body == b"here"
    with world.client() as client:
        client.send(b"CONNECT shop:80 HTTP/1.1\r\nHost: shop:80\r\n\r\n")
        assert client.head().status == 200
        for path, body in [("/r", b"here"), ("/x", b"one")]:
            client.send(f"GET {path} HTTP/1.1\r\nHost: shop\r\n\r\n".encode())
            assert client.response().body == body
    with world.client() as client:
        client.send(b"CONNECT shop:443 HTTP/1.1\r\nHost: shop:443\r\n\r\n")
        assert (client.response().status) == 403
    with http2.Client(("127.0.0.1", world.sidecar.port)) as client:
        for path, body in [("/r", b"here"), ("/x", b"one")]:
            assert client.get(path=path, authority="shop").body == body
        nothing = client.get(path="/n", authority="shop")
        assert (nothing.status, nothing.body) == (204, b"")


def test_calls_of_grpc():
    """A cluster that speaks HTTP/2, and an answer of a route, or of none, as a status."""
    with grpc_world.Service() as service:
        cluster = f"{{name: far, protocol: http2, endpoints: ['127.0.0.1:{service.port}']}}"
        routes = (
            "{match: [{path: {exact: /test.Shop/Gone}}], reply: {status: 503}},"
            " {match: [{path: {prefix: /test.Shop/Old}}], rewrite: {prefix: /test.Shop/}, targets: [{cluster: far}]}"
        )
        text = f"mesh: {{clusters: [{cluster}], hosts: [{{name: shop, routes: [{routes}]}}]}}\n"
        with World({}, mesh=text) as world:
            target, authority = f"127.0.0.1:{world.sidecar.port}", ("grpc.default_authority", "shop")
            with grpc_world.Channel(target, authority) as channel:
                assert channel.unary("OldName") == b"cart"
                assert service.calls[-1][0] == "/test.Shop/Name"
                with grpc_world.refusal(grpc.StatusCode.UNAVAILABLE):
                    channel.unary("Gone")
                with grpc_world.refusal(grpc.StatusCode.UNIMPLEMENTED):
                    channel.unary("Name")


def test_a_host_without_router_is_warned_of(tmp_path):
    (tmp_path / "chassis.yaml").write_text("cse.handler.chain.Consumer.outgoing: loadbalance,transport\n")
    (tmp_path / "microservice.yaml").write_text("service_description: {name: web}\n")
    (tmp_path / "mesh.yaml").write_text("mesh: {hosts: [{name: shop, routes: [{reply: {}}]}]}\n")
    environment = {"CHASSIS_CONF_DIR": str(tmp_path)}
    done = subprocess.run([binary(), "check", "--strict"], env=environment, capture_output=True, text=True)
    assert "chassis.yaml:1:38: warning: " in done.stdout
    assert "requests to the host shop of mesh.yaml lead nowhere" in done.stdout
