# SPDX-License-Identifier: Apache-2.0
"""The admin API: what each endpoint answers, to whom, and that it does whatever the data plane is at."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import threading
import time

import pytest
from openapi_spec_validator import validate

import harness
from governance import Instance, World
from harness import eventually
from life import living
from observed import Application, call
from test_discovery import Caller
from test_registry import Registry

TOKEN = "open-sesame-31"
ROUTER = """
routeRule:
  inventory:
    - precedence: 2
      match: {headers: {X-Env: {exact: canary}}}
      route: [{tags: {version: 2.0.0}, weight: 100}]
  empty: []
"""
FILES = {
    "router": ROUTER,
    "chassis": "cse.metrics.enable: true\ncse.profile.enable: true\nunknown.client.secret: hush-4\n",
    "mesher": f"mesher.admin: {{token: {TOKEN}, hosts: [mesher.example]}}\nmesher.outlier.consecutiveErrors: 2\n"
    "mesher.retry.failover: 0\ncse.transport.failure.rest: http_500\n",
    "auth": "cse.credentials.account: {name: root, password: hush-1}\n",
    "tracing": "tracing.settings.URI: http://me:hush-2@127.0.0.1:9/api/v2/spans\n",
    "circuit_breaker": "cse.circuitBreaker.Consumer.broken: {enabled: true, requestVolumeThreshold: 3}\n",
}
INVENTORY = [
    {
        "precedence": 2,
        "route": [{"tags": {"version": "2.0.0"}, "weight": 100, "Label": "version:2.0.0"}],
        "match": {
            "refer": "",
            "source": "",
            "sourceTags": None,
            "httpHeaders": None,
            "headers": {"X-Env": {"exact": "canary"}},
        },
    }
]


@pytest.fixture(scope="module")
def world():
    services = {
        "inventory": [Instance("two", version="2.0.0")],
        "cart": [Application("good", version="1.0.0"), Instance("bad", version="1.0.0")],
        "broken": [Application("broken")],
        "away": [Application("away")],
    }
    services["away"][0].refuse()
    services["cart"][1].status = "500 Internal Server Error"
    with World(services, **FILES) as world:
        yield world


@pytest.fixture
def ask(world):
    """Asks the admin API."""
    return lambda path, *arguments, **fields: call(world.sidecar.admin, path, *arguments, **fields)


# -- answers ----------------------------------------------------------------------------------------------------------

TYPES = {
    "/": "text/html",
    "/healthz": "text/plain",
    "/readyz": "text/plain",
    "/v1/mesher/version": "application/json",
    "/v1/mesher/health": "application/json",
    "/v1/mesher/metrics": "text/plain",
    "/v1/mesher/routeRule": "text/vnd.yaml",
    "/v1/mesher/routeRule/inventory": "text/vnd.yaml",
    "/v1/mesher/services": "application/json",
    "/v1/mesher/certificates": "application/json",
    "/v1/mesher/config": "application/json",
    "/v1/mesher/traffic": "application/json",
    "/v1/mesher/log-level": "application/json",
    "/metrics": "text/plain",
    "/profile": "application/json",
    "/profile/route-rule": "application/json",
    "/profile/discovery": "application/json",
}
DOCUMENT = "/openapi.json"
OPERATIONS = "/v1/mesher/operations"


@pytest.mark.parametrize("path", [*TYPES, DOCUMENT])
def test_status_and_type(ask, path):
    """Every endpoint: 200, its type, nothing to keep; HEAD says the same without a body, OPTIONS what is allowed."""
    found = ask(path)
    assert (found.status, found.type) == (200, TYPES.get(path, "application/json"))
    assert found.fields["cache-control"] == "no-store" and found.fields["x-content-type-options"] == "nosniff"
    assert len(found.body) == int(found.fields["content-length"])
    head = ask(path, "HEAD")
    assert (head.status, head.type, head.body) == (200, found.type, b"")
    assert int(head.fields["content-length"]) > 0
    options = ask(path, "OPTIONS")
    assert options.status == 204 and {"GET", "HEAD", "OPTIONS"} <= set(options.fields["allow"].split(", "))


def test_by_curl(world):
    """As the documentation shows it: curl, and a body that ends a line or is a document."""
    url = f"http://127.0.0.1:{world.sidecar.admin}"
    for path in TYPES:
        done = subprocess.run(
            ["curl", "-sS", "--noproxy", "*", "-f", url + path], capture_output=True, text=True, timeout=10
        )
        assert done.returncode == 0 and done.stdout, (path, done.stderr)


def test_version(ask, world):
    """Four members as the original has them, all of them texts."""
    found = ask("/v1/mesher/version").json
    assert set(found) == {"version", "commit", "built", "Go-Chassis"}
    assert all(isinstance(each, str) for each in found.values())
    said = subprocess.run([harness.binary(), "--version"], capture_output=True, text=True, timeout=10).stdout
    assert found["version"] and found["version"] in said


def test_health(ask):
    """The members of the original with their exact names; nothing that is only there when something is wrong."""
    found = ask("/v1/mesher/health").json
    assert found == {
        "serviceName": "web",
        "version": "1.0.0",
        "status": "green",
        "connectedConfigCenterClient": False,
        "connectedMonitoring": False,
        "localHealthCheck": [],
    }


def test_route_rules(ask):
    """2.3: the document of the specification, for one service and for all."""
    assert ask("/v1/mesher/routeRule/inventory").json == INVENTORY
    assert ask("/v1/mesher/routeRule").json == {"routeRule": {"inventory": INVENTORY, "empty": []}}
    nobody = ask("/v1/mesher/routeRule/nobody")
    assert (nobody.status, nobody.type, nobody.body) == (404, "application/json", b'"nobody routeRule not found"')
    empty = ask("/v1/mesher/routeRule/empty")
    assert (empty.status, empty.body) == (200, b"[]")


def test_route_rules_of_hostile_names(ask):
    """What a client puts into the path stays a JSON string."""
    found = ask("/v1/mesher/routeRule/%22%3Cscript%3E%0a")
    assert found.status == 404 and found.json == '"<script>\n routeRule not found'
    assert ask("/v1/mesher/routeRule/a/b").status == 404
    assert ask("/v1/mesher/routeRule/").status == 404


def test_profile(ask, world):
    """Rules and instances with the names of the original's framework."""
    found = ask("/profile").json
    assert set(found) == {"routeRule", "discovery"}
    assert found["routeRule"]["inventory"] == INVENTORY and found["routeRule"] == ask("/profile/route-rule").json
    assert found["discovery"] == ask("/profile/discovery").json and set(found["discovery"]) == set(world.services)
    instance = found["discovery"]["inventory"][0]
    assert instance["EndpointsMap"] == {"rest": f"127.0.0.1:{world.services['inventory'][0].port}"}
    assert (instance["Status"], instance["Version"]) == ("UP", "2.0.0")
    assert {"InstanceID", "ServiceID", "HostName", "Metadata", "App"} <= set(instance)


def test_profile_is_off_by_default():
    with World({}) as world:
        for path in ("/profile", "/profile/discovery", "/metrics"):
            assert call(world.sidecar.admin, path).status == 404


def test_openapi(ask):
    """The document is valid, and names exactly what answers."""
    document = ask(DOCUMENT).json
    validate(document)
    listed = {path.replace("{service}", "inventory") for path in document["paths"]}
    others = {"/v1/mesher/traffic/stream", "/v1/mesher/explain", "/v1/mesher/tap", "/v1/mesher/drain"}
    assert listed == {*TYPES, DOCUMENT, *others, OPERATIONS}
    for path, method in (("log-level", "put"), ("drain", "post"), ("operations", "post")):
        assert document["paths"][f"/v1/mesher/{path}"][method]["security"]
    assert not document["paths"][OPERATIONS]["get"].get("security")
    tap = document["paths"]["/v1/mesher/tap"]["get"]
    assert tap["security"] and {each["name"] for each in tap["parameters"]} == {"service", "status", "path", "count"}
    assert set(document["paths"]["/v1/mesher/explain"]) == {"post"}
    assert document["paths"]["/v1/mesher/routeRule/{service}"]["get"]["parameters"][0]["name"] == "service"


def test_openapi_says_what_the_answers_are(ask):
    """The type of each answer is the one that the document says."""
    paths = ask(DOCUMENT).json["paths"]
    kinds = {dict: "object", list: "array", str: "string"}
    for path, kind in TYPES.items():
        operation = paths[path.replace("inventory", "{service}")]["get"]
        content = operation["responses"]["200"]["content"]
        assert list(content) == [kind], path
        if kind == "application/json":
            assert content[kind]["schema"]["type"] == kinds[type(ask(path).json)], path


# -- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["POST", "DELETE", "PATCH", "PUT", "TRACE"])
def test_other_methods(ask, method):
    found = ask("/v1/mesher/health", method)
    assert (found.status, found.fields["allow"]) == (405, "GET, HEAD, OPTIONS")
    assert method in found.json["error"]


def test_methods_of_other_endpoints(ask):
    assert ask("/v1/mesher/explain").status == 405
    assert ask("/v1/mesher/explain").fields["allow"] == "POST, OPTIONS"
    assert ask("/v1/mesher/log-level", "POST").fields["allow"] == "GET, HEAD, PUT, OPTIONS"


@pytest.mark.parametrize("path", ["/nothing", "/v1/mesher/health/", "/v1/mesher", "/V1/MESHER/HEALTH", "//", "/..%2f"])
def test_unknown_paths(ask, path):
    """404 with the text of the original, as a document that says where to look; for any method."""
    for method in ("GET", "POST", "OPTIONS"):
        found = ask(path, method)
        assert (found.status, found.type) == (404, "application/json"), method
        assert found.json["error"] == "404: Page Not Found" and "/openapi.json" in found.json["remedy"]


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "localhost.evil.example", "127.0.0.1.evil.example"]
)
@pytest.mark.parametrize("path", ["/", "/v1/mesher/config", "/nothing"])
def test_foreign_names_are_refused(ask, host, path):
    """T6: no web page reaches it by a name of its own."""
    found = ask(path, host=host)
    assert found.status == 403 and "mesher.admin.hosts" in found.json["error"]


def test_own_names_pass(ask, world):
    own = [f"127.0.0.1:{world.sidecar.admin}", "10.1.2.3", "[::1]:80", "[fe80::1]", "localhost", "LocalHost:30102"]
    for host in [*own, "web", socket.gethostname(), "mesher.example", "mesher.example:443"]:
        assert ask("/healthz", host=host).status == 200, host


def test_pages_of_others_may_not_read(ask):
    """A browser shows no other page what it has got from here, and asks before it changes anything."""
    for method in ("GET", "OPTIONS"):
        found = ask("/v1/mesher/log-level", method, Origin="http://evil.example", Access_Control_Request_Method="PUT")
        assert not [name for name in found.fields if name.startswith("access-control-")]


ENABLED = {
    "absent": ("", "cse.protocols.rest-admin.listenAddress: 127.0.0.1:{}", True),
    "true": ("admin.enable: true", "cse.protocols.rest-admin.listenAddress: 127.0.0.1:{}", True),
    "false": ("admin.enable: false", "cse.protocols.rest-admin.listenAddress: 127.0.0.1:{}", False),
    "no listener": ("", "", False),
}


@pytest.mark.parametrize("mesher, chassis, is_on", ENABLED.values(), ids=ENABLED)
def test_when_it_is_there(tmp_path, mesher, chassis, is_on):
    """1: as soon as it has a listener, unless it is switched off."""
    port, admin = harness.free_port("127.0.0.1"), harness.free_port("127.0.0.1")
    own = f"cse.protocols.http.listenAddress: 127.0.0.1:{port}\ncse.service.registry.type: file\n"
    (tmp_path / "chassis.yaml").write_text(own + chassis.format(admin) + "\n")
    (tmp_path / "mesher.yaml").write_text(mesher + "\n")
    (tmp_path / "microservice.yaml").write_text("service_description: {name: web}\n")
    (tmp_path / "service.json").write_text('{"service": []}')
    environment = dict(os.environ, CHASSIS_CONF_DIR=str(tmp_path))
    log = (tmp_path / "log").open("wb")
    process = subprocess.Popen([harness.binary(), "--workers", "1"], env=environment, stdout=log, stderr=log)
    try:
        eventually(lambda: harness.listens("127.0.0.1", port), lambda: (tmp_path / "log").read_text(), seconds=10)
        if is_on:
            eventually(lambda: harness.listens("127.0.0.1", admin), "no admin API")
            assert call(admin, "/v1/mesher/version").status == 200
        else:
            said = lambda: "taking outgoing requests" in (tmp_path / "log").read_text()  # noqa: E731
            eventually(said, "not started")
            assert "admin API serves" not in (tmp_path / "log").read_text()
            assert not harness.listens("127.0.0.1", admin)
    finally:
        process.terminate()
        process.wait(10)
        log.close()


def test_enabled_without_a_listener(tmp_path):
    """Whoever asks for it has to say where."""
    (tmp_path / "chassis.yaml").write_text("cse.service.registry.type: file\n")
    (tmp_path / "mesher.yaml").write_text("# admin\nadmin.enable: true\n")
    (tmp_path / "microservice.yaml").write_text("service_description: {name: web}\n")
    environment = dict(os.environ, CHASSIS_CONF_DIR=str(tmp_path))
    done = subprocess.run([harness.binary(), "check"], env=environment, capture_output=True, text=True, timeout=20)
    assert done.returncode == 1 and "mesher.yaml:2:" in done.stdout and "rest-admin" in done.stdout, done.stdout


def test_limits_of_traffic_are_none_of_its_own():
    """Nobody who limits callers shuts operators out."""
    limits = "cse.flowcontrol.Provider.qps: {enabled: true, global: {limit: 0}}\n"
    local = Application("local")
    with World({}, local.port, rate_limiting=limits) as world:
        with world.client("127.0.0.2") as client:
            client.send(harness.request("GET", "/", host="Host: web"))
            assert client.response().status == 429
        assert {call(world.sidecar.admin, "/healthz").status for _ in range(50)} == {200}
    local.refuse()
    local.fresh()


def test_no_name_at_all(world):
    """HTTP/1.0 has none: what asks so is no web page."""
    with harness.Client(("127.0.0.1", world.sidecar.admin)) as client:
        client.send(b"GET /healthz HTTP/1.0\r\n\r\n")
        assert client.response().status == 200


def test_bodies_that_are_too_large(ask):
    """They are refused, not kept."""
    assert ask("/v1/mesher/explain", "POST", b"x" * (1 << 20)).status in (400, 413)
    assert ask("/v1/mesher/explain", "POST", b"{}").status == 400


# -- the level of the log ---------------------------------------------------------------------------------------------


def test_nothing_changes_without_a_token():
    with World({}) as world:
        found = call(world.sidecar.admin, "/v1/mesher/log-level", "PUT", b"DEBUG", Authorization="Bearer ")
        assert found.status == 403 and "mesher.admin.token" in found.json["error"]
        assert call(world.sidecar.admin, "/v1/mesher/log-level").json == {"level": "INFO"}


@pytest.mark.parametrize(
    "given", [None, "Bearer", "Bearer ", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", TOKEN, f"Basic {TOKEN}"]
)
def test_wrong_tokens(ask, given):
    found = ask("/v1/mesher/log-level", "PUT", b"DEBUG", **({"Authorization": given} if given else {}))
    assert found.status == 401 and TOKEN not in found.body.decode()
    assert ask("/v1/mesher/log-level").json == {"level": "INFO"}


def test_the_level_changes_at_once(ask, world):
    """What is logged for a failed connection changes with the level; the change itself is told."""

    def lines():
        assert world.ask("away").error == "connect_failed"
        return world.sidecar.log.read_text().count("upstream connect failed")

    def change(body):
        return ask("/v1/mesher/log-level", "PUT", body, Authorization=f"Bearer {TOKEN}")

    assert lines() == 0
    found = change(b'{"level":"DEBUG"}')
    assert (found.status, found.json) == (200, {"level": "DEBUG"}) and ask("/v1/mesher/log-level").json == found.json
    eventually(lambda: lines() > 0, "nothing is logged with DEBUG")
    assert change(b"error").json == {"level": "ERROR"}
    eventually(lambda: "level of the log was changed" in world.sidecar.log.read_text(), "the change is not told")
    for body in (b"", b"LOUD", b'{"level":3}', b"x" * 3000):
        assert change(body).status == 400, body
    assert change(b" Info \n").json == {"level": "INFO"}


# -- what is configured -----------------------------------------------------------------------------------------------


def settings(ask):
    return {each["key"]: each for each in ask("/v1/mesher/config").json["settings"]}


def test_sources_of_settings(ask, world):
    """Each value says where it is from: a line of a file, the environment, or nowhere."""
    found = settings(ask)
    directory = world.sidecar.directory.name
    assert found["cse.metrics.enable"]["source"] == f"{directory}/chassis.yaml:3:21"
    assert found["mesher.outlier.consecutiveErrors"]["value"] == "2"
    assert found["mesher.outlier.consecutiveErrors"]["source"].startswith(f"{directory}/mesher.yaml:2:")
    assert (found["cse.metrics.apiPath"]["value"], found["cse.metrics.apiPath"]["source"]) == ("/metrics", "default")
    assert found["logLevel"]["reload"] == "live" and found["admin.enable"]["reload"] == "restart"
    assert found["unknown.client.secret"]["active"] is False


def test_settings_of_the_environment(monkeypatch):
    monkeypatch.setenv("cse_metrics_apiPath", "/numbers")
    monkeypatch.setenv("SOME_PASSWORD", "hush-5")
    with World({}, chassis="cse.metrics.enable: true\n") as world:
        found = call(world.sidecar.admin, "/v1/mesher/config")
        path = next(each for each in found.json["settings"] if each["key"] == "cse.metrics.apiPath")
        assert path["value"] == "/numbers" and "environment" in path["source"]
        assert b"hush-5" not in found.body and b"SOME_PASSWORD" not in found.body
        assert call(world.sidecar.admin, "/numbers").status == 200


def test_secrets_are_masked(ask):
    """Passwords, tokens and what stands before an @ in a URL are nowhere; that they are set can be seen."""
    found = settings(ask)
    for key in ("mesher.admin.token", "cse.credentials.account.password", "unknown.client.secret"):
        assert found[key]["value"] == "******", key
    assert found["tracing.settings.URI"]["value"] == "http://******@127.0.0.1:9/api/v2/spans"
    for path in TYPES:
        body = ask(path).body
        assert b"hush-" not in body and TOKEN.encode() not in body, path


def test_every_url_of_a_list_is_masked():
    text = "tracing.settings.URI: 'http://a:hush-6@127.0.0.1:9/x,http://b:hush-7@127.0.0.1:9/y'\n"
    with World({}, tracing=text) as world:
        assert b"hush-" not in call(world.sidecar.admin, "/v1/mesher/config").body


def test_problems_are_shown():
    """What `mesher check` says of the files is in the document too, and follows them."""
    with World({}, mesher="mesher.limitz.x: 1\n") as world:
        found = call(world.sidecar.admin, "/v1/mesher/config").json
        problem = next(each for each in found["problems"] if each["key"] == "mesher.limitz.x")
        assert problem["location"].partition(":")[0].endswith("mesher.yaml") and problem["severity"] == "warning"
        assert found["lastReloadSuccessful"] is True
        world.sidecar.write("mesher.yaml", "mesher.timeouts.connect: never\n")
        refused = lambda: call(world.sidecar.admin, "/v1/mesher/config").json  # noqa: E731
        eventually(lambda: refused()["lastReloadSuccessful"] is False, "the bad file is not told of")


# -- services ---------------------------------------------------------------------------------------------------------


def service(ask, name):
    return next(each for each in ask("/v1/mesher/services").json["services"] if each["name"] == name)


def test_ejections_are_shown(ask, world):
    """One of two instances fails: it is ejected, for how long is said, and the other one takes the traffic."""
    eventually(
        lambda: world.many(4) and any(each["ejected"] for each in service(ask, "cart")["instances"]), "not ejected"
    )
    found = {each["endpoint"].rpartition(":")[2]: each for each in service(ask, "cart")["instances"]}
    good, bad = (found[str(each.port)] for each in world.services["cart"])
    assert bad["ejected"] and 0 < bad["ejectedFor"] <= 30 and bad["failures"] >= 2 and bad["eligible"]
    assert not good["ejected"] and "ejectedFor" not in good and good["failures"] == 0
    before = good["attempts"]
    assert world.many(5) == {"good": 5}
    eventually(
        lambda: (
            {each["endpoint"]: each for each in service(ask, "cart")["instances"]}[good["endpoint"]]["attempts"]
            == before + 5
        ),
        "attempts do not tell how often",
    )


def test_breakers_are_shown(ask, world):
    assert world.ask("broken").status == 200
    eventually(lambda: service(ask, "broken")["breaker"]["state"] == "closed", "no breaker")
    world.services["broken"][0].refuse()
    world.services["broken"][0].fresh()
    eventually(lambda: world.ask("broken").error == "circuit_open", "the breaker does not open")
    found = eventually(lambda: service(ask, "broken"), "the service is gone")
    assert found["breaker"]["state"] == "open" and found["breaker"]["enabled"]
    assert found["breaker"]["errorPercentage"] >= 50 and 0 < found["breaker"]["retryAfter"] <= 15
    assert found["reasons"]["circuit_open"] >= 1 and found["failures"] >= 3


def test_connections_are_shown(ask, world):
    """A connection in use is there and not idle; afterwards it is idle."""
    instance = world.services["inventory"][0]
    instance.delay = 0.6
    asking = threading.Thread(target=world.ask, args=("inventory",))
    asking.start()
    state = lambda: service(ask, "inventory")["instances"][0]  # noqa: E731
    eventually(lambda: state()["connections"] - state()["idle"] == 1, lambda: f"not busy: {state()}")
    instance.delay = 0
    asking.join()
    eventually(lambda: state()["idle"] == state()["connections"] > 0, lambda: f"not idle: {state()}")
    (route,) = service(ask, "inventory")["routes"]
    assert route["precedence"] == 2 and route["match"] == 'X-Env = "canary"'


def test_the_live_split_is_shown(ask, world):
    """What a rule's targets get, from the first request on."""
    target = lambda: service(ask, "inventory")["routes"][0]["targets"][0]  # noqa: E731
    assert target()["tags"] == {"version": "2.0.0"} and target()["weight"] == 100

    def shared():
        world.ask("inventory", "X-Env: canary")
        return target().get("share") == 1

    eventually(shared, lambda: f"no share: {target()}")


# -- health -----------------------------------------------------------------------------------------------------------


def test_health_turns_red_and_green_again(tmp_path):
    """Red, with status 500 and the reason, as long as the registry does not take the instance; then green."""
    with contextlib.ExitStack() as stack:
        log = stack.enter_context((tmp_path / "registry.log").open("wb"))
        port = harness.free_port("127.0.0.1")
        sidecar = Caller(tmp_path / "web", port)
        stack.callback(sidecar.stop)
        status = lambda: call(sidecar.admin, "/v1/mesher/health")  # noqa: E731
        found = eventually(lambda: (answer := status()).status == 500 and answer, lambda: f"{status()}", seconds=10)
        assert found.json["status"] == "red" and found.json["error"] and found.json["registry"]["reachable"] is False
        assert call(sidecar.admin, "/healthz").status == 200, "the process lives"
        registry = Registry(log, port=port)
        stack.callback(registry.stop)
        found = eventually(lambda: (answer := status()).status == 200 and answer, lambda: f"{status()}", seconds=15)
        assert found.json["status"] == "green" and "error" not in found.json


# -- the stream -------------------------------------------------------------------------------------------------------


class Watcher(harness.Client):
    """A client of the stream."""

    def __init__(self, admin):
        super().__init__(("127.0.0.1", admin))
        self.send(b"GET /v1/mesher/traffic/stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
        self.first = self.head()

    @property
    def status(self):
        return self.first.status

    def event(self):
        """The next event, as a document."""
        text = b""
        while not text.endswith(b"\n\n"):
            text += self.chunk()
        (line,) = text.rstrip(b"\n").splitlines()
        assert line.startswith(b"data: ")
        return json.loads(line[6:])


def test_the_stream_is_live(world):
    """An event at once, then one a second, each the whole document; traffic is in the next one."""
    with Watcher(world.sidecar.admin) as watcher:
        assert watcher.status == 200 and watcher.first.get("content-type") == b"text/event-stream"
        began, first = time.monotonic(), watcher.event()
        assert first["self"]["name"] == "web" and first["self"]["ready"]
        world.ask("inventory")
        second = watcher.event()
        assert 0.5 < time.monotonic() - began < 3 and second["time"] > first["time"]
        count = lambda document: next(each["requests"] for each in document["services"] if each["name"] == "inventory")  # noqa: E731
        assert count(second) > count(first)


def test_head_of_the_stream(ask):
    """What is only looked at takes nobody's place, and ends."""
    for _ in range(30):
        found = ask("/v1/mesher/traffic/stream", "HEAD")
        assert (found.status, found.type, found.body) == (200, "text/event-stream", b"")


def test_no_more_than_twenty_watch(world):
    """The twenty-first is refused with a word, and taken when another one has left."""
    watchers = []

    def watch():
        watchers.append(Watcher(world.sidecar.admin))
        if watchers[-1].status != 200:
            watchers.pop().close()
        return len(watchers) == 20

    eventually(watch, lambda: f"{len(watchers)} may watch")  # those of other tests leave within a second
    with Watcher(world.sidecar.admin) as late:
        assert late.status == 503
    watchers.pop().close()

    def taken():
        with Watcher(world.sidecar.admin) as again:
            return again.status == 200

    eventually(taken, "no place is free although one has left")
    for each in watchers:
        each.close()


def test_no_more_than_twenty_begin_to_watch_at_once():
    """Neither do more get in when all of them come at the same moment."""
    with World({}) as world, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(harness.Client(("127.0.0.1", world.sidecar.admin))) for _ in range(50)]
        for each in clients:
            each.send(b"GET /v1/mesher/traffic/stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert [each.head().status for each in clients].count(200) == 20


def test_the_stream_ends_when_the_process_stops():
    with World({}) as world, Watcher(world.sidecar.admin) as watcher:
        watcher.event()
        world.sidecar.process.send_signal(signal.SIGTERM)
        began = time.monotonic()
        watcher.sock.settimeout(10)
        watcher.rest()
        assert time.monotonic() - began < 5
        assert world.sidecar.process.wait(10) == 0


# -- under load -------------------------------------------------------------------------------------------------------


def test_answers_while_the_data_plane_is_saturated(world):
    """T6: within a second, whatever the event loops have to do."""
    url = f"http://127.0.0.1:{world.sidecar.port}/"
    script = os.path.join(world.sidecar.directory.name, "wrk.lua")
    with open(script, "w") as file:
        file.write("wrk.path = 'http://nobody/'\nwrk.headers['Host'] = 'nobody'\n")
    load = subprocess.Popen(["wrk", "-t1", "-c64", "-d8s", "-s", script, url], stdout=subprocess.PIPE)
    try:
        services = lambda: call(world.sidecar.admin, "/v1/mesher/traffic").json["services"]  # noqa: E731
        busy = lambda: any(each["requestRate"] > 1000 for each in services())  # noqa: E731
        eventually(busy, "no load")
        slowest = 0
        for path in [*TYPES] * 10:
            began = time.monotonic()
            assert call(world.sidecar.admin, path).status == 200
            slowest = max(slowest, time.monotonic() - began)
        assert load.poll() is None, "the load was over too early"
        print(f"slowest of {len(TYPES) * 10} answers: {slowest * 1000:.0f} ms")
        assert slowest < 1
    finally:
        load.terminate()
        load.wait()


def test_its_clients_do_not_starve_traffic():
    """Connections to it that are opened and left alone do not use up the descriptors that traffic needs."""
    with living(descriptors=(256, 256)) as mesh, contextlib.ExitStack() as stack:
        for _ in range(300):
            with contextlib.suppress(OSError):
                stack.enter_context(socket.create_connection(("127.0.0.1", mesh.sidecar.admin), 1))
        assert mesh.ask().status == 200
