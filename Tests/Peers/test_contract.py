# SPDX-License-Identifier: Apache-2.0
"""What service-center 2.2 does. Asks `mesher registry`, or the real one at MESHER_TEST_SERVICE_CENTER=http://host:port.

Each test asks for many things and tells all that were otherwise. Nothing that was registered before disturbs, and what
is registered here stays.
"""

import os
import socket
import time

import pytest

from service_center import BASE, CLOSE, PING, PONG, TEXT, Center, Differences
from test_registry import Registry

INVALID, MISSING, NO_INSTANCE, NO_TAG, NO_VERSION = "400001", "400012", "400017", "400018", "400026"


@pytest.fixture(scope="module")
def center(tmp_path_factory):
    address = os.environ.get("MESHER_TEST_SERVICE_CENTER")
    if address:
        yield Center(address)
        return
    with (tmp_path_factory.mktemp("registry") / "log").open("wb") as log:
        registry = Registry(log)
        yield Center(f"http://127.0.0.1:{registry.port}")
        registry.stop()


@pytest.fixture
def case():
    differences = Differences()
    yield differences
    assert not differences.found, f"\n{differences}"


def test_existence(center, case):
    alias = f"{center.app}:short"
    cart = center.service("cart", alias=alias)
    case.same("known", {"serviceId": cart}, lambda: center.exists("cart").body)
    case.same("unknown name", MISSING, center.exists("nosuch").code)
    case.same("another version of a known name", NO_VERSION, center.exists("cart", version="2.0.0").code)
    case.same("by alias", {"serviceId": cart}, lambda: center.exists(serviceName=alias).body)
    case.same("another version by alias", NO_VERSION, center.exists(serviceName=alias, version="2.0.0").code)
    case.same("another environment", MISSING, center.exists("cart", env="testing").code)
    for what, query in {
        "no type": {"type": None},
        "a wrong type": {"type": "service"},
        "no name": {"serviceName": None},
        "no version": {"version": None},
        "a rule instead of a version": {"version": "0+"},
        "latest instead of a version": {"version": "latest"},
        "an odd name": {"serviceName": "cart."},
    }.items():
        case.same(what, INVALID, center.exists(**({"serviceName": center.name("cart")} | query)).code)


def test_services(center, case):
    shop = center.service("shop", properties={"a": "b"})
    identity = center.identity("shop")
    case.same("the same again", shop, center.service("shop", properties={"c": "d"}))
    entity = center.call("GET", f"/microservices/{shop}").body["service"]
    kept = ({"a": "b"}, "BACK", "UP")
    case.same("the second post changes nothing", kept, (entity["properties"], entity["level"], entity["status"]))
    other = center.call("POST", "/microservices", {"service": identity | {"serviceId": "x"}})
    case.same("the same with another id", "400010", other.code)
    case.same("the same with its own id", shop, center.service("shop", serviceId=shop))
    case.same(
        "another with its id",
        "400010",
        center.call("POST", "/microservices", {"service": center.identity("shop2", serviceId=shop)}).code,
    )
    case.true(
        "it is listed", shop in [each["serviceId"] for each in center.call("GET", "/microservices").body["services"]]
    )
    path = f"/microservices/{shop}/properties"
    case.same("properties are replaced", 200, center.call("PUT", path, {"properties": {"k": "v"}}).status)
    case.same(
        "all of them", {"k": "v"}, lambda: center.call("GET", f"/microservices/{shop}").body["service"]["properties"]
    )
    case.same("unknown", MISSING, center.call("GET", "/microservices/nosuch").code)
    case.same(
        "properties of an unknown one",
        MISSING,
        center.call("PUT", "/microservices/nosuch/properties", {"properties": {}}).code,
    )
    case.same("neither true nor false", INVALID, center.call("DELETE", f"/microservices/{shop}?force=maybe").code)
    deleted = center.call("DELETE", f"/microservices/{shop}")
    case.same("deleted", (200, b""), (deleted.status, deleted.text))
    case.same("deleted again", MISSING, lambda: center.call("DELETE", f"/microservices/{shop}").code)
    case.same("after its deletion it has the same id", shop, center.service("shop"))
    first = center.service("one", alias=f"{center.app}:both")
    case.same("an alias is one service's", first, center.service("two", alias=f"{center.app}:both"))
    case.same("and the other was not made", MISSING, center.exists("two").code)
    case.true(
        "another version of it may have it", center.service("one", alias=f"{center.app}:both", version="2") != first
    )
    empty = {"properties": {}, "schemas": [], "paths": [], "description": ""}
    bare = center.call("GET", f"/microservices/{center.service('bare', **empty)}").body["service"]
    case.same("what is empty is left out", [], [member for member in empty if member in bare])


@pytest.mark.parametrize("expected", [200, INVALID])
def test_rules_for_services(center, case, expected):
    good = {
        "no version": {"version": ""},
        "four parts": {"version": "1.2.3.4"},
        "the longest name": {"serviceName": center.name("n" * 120)},
        "a name with dots": {"serviceName": center.name("a_b-c.d")},
        "a framework": {"framework": {"name": "f" * 64, "version": "1 or 2"}},
        "contracts": {"schemas": ["a", "b.c-d"]},
        "paths": {"paths": [{"path": "/a/{b}", "property": {}}]},
        "an alias": {"alias": center.name("a:b-.") + ":"},
    }
    bad = {
        "no name": {"serviceName": ""},
        "a dash in front": {"serviceName": "-cart"},
        "a dot at the end": {"serviceName": "cart."},
        "a blank": {"serviceName": "ca rt"},
        "129 characters": {"serviceName": "c" * 129},
        "an application of 161": {"appId": "a" * 161},
        "a rule as version": {"version": "0+"},
        "latest as version": {"version": "latest"},
        "a large version": {"version": "1.32768"},
        "five parts": {"version": "1.2.3.4.5"},
        "another environment": {"environment": "home"},
        "another level": {"level": "TOP"},
        "another status": {"status": "TESTING"},
        "another registrar": {"registerBy": "HAND"},
        "a framework's name of 65": {"framework": {"name": "f" * 65}},
        "an odd framework's name": {"framework": {"name": "a b"}},
        "a framework's version of 65": {"framework": {"name": "f", "version": "1" * 65}},
        "an odd contract": {"schemas": ["-a"]},
        "a contract of 161": {"schemas": ["a" * 161]},
        "101 contracts": {"schemas": [f"s{index}" for index in range(101)]},
        "an alias of 129": {"alias": "a" * 129},
        "an alias with a blank": {"alias": "a b"},
        "an id with a blank": {"serviceId": "a b"},
        "257 characters of description": {"description": "d" * 257},
        "a list of properties": {"properties": ["a"]},
    }
    rows = good if expected == 200 else bad
    for index, (what, members) in enumerate(rows.items()):
        entity = center.identity(f"rules{index}") | members
        case.same(what, expected, center.call("POST", "/microservices", {"service": entity}).code)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"{}", b'{"service": 1}', b"\xff", b"[" * 100_000], ids=len)
def test_bodies(center, case, body):
    case.same("a bad body", INVALID, center.send("POST", f"{BASE}/microservices", body).code)


def test_instances(center, case):
    stock = center.service("stock")
    one = center.name("stock-1")
    path = f"/microservices/{stock}/instances"
    case.same("its own id", one, center.instance(stock, instanceId=one, properties={"zone": "a"}))
    case.same("once more is a heartbeat", one, center.instance(stock, instanceId=one, endpoints=["rest://127.0.0.1:1"]))
    entity = lambda: center.call("GET", f"{path}/{one}").body["instance"]  # noqa: E731
    known = {
        "instanceId": one,
        "serviceId": stock,
        "endpoints": ["rest://127.0.0.1:8080"],
        "hostName": "h1",
        "status": "UP",
        "properties": {"zone": "a"},
        "healthCheck": {"mode": "push", "interval": 30, "times": 3},
        "version": "1.0.0",
    }
    case.same(
        "as it was registered", known, lambda: {key: value for key, value in entity().items() if "imestamp" not in key}
    )
    case.same(
        "a heartbeat",
        (200, b""),
        (lambda beat: (beat.status, beat.text))(center.call("PUT", f"{path}/{one}/heartbeat")),
    )
    case.same("a status", 200, center.call("PUT", f"{path}/{one}/status?value=DOWN").status)
    case.same("is shown", "DOWN", lambda: entity()["status"])
    case.same("another word", INVALID, center.call("PUT", f"{path}/{one}/status?value=ASLEEP").code)
    case.same("no word", INVALID, center.call("PUT", f"{path}/{one}/status").code)
    case.same("properties", 200, center.call("PUT", f"{path}/{one}/properties", {"properties": {}}).status)
    case.same("none are left out", None, lambda: entity().get("properties"))
    case.same("deletion of its service", "400013", lambda: center.call("DELETE", f"/microservices/{stock}").code)
    answer = center.call("GET", path)
    case.true("a revision of 40 digits", len(answer.headers.get("X-Resource-Revision", "")) == 40)
    again = center.call("GET", f"{path}?rev={answer.headers.get('X-Resource-Revision')}")
    case.same("nothing is new", 304, again.status)
    case.true(
        "one has a revision too", len(center.call("GET", f"{path}/{one}").headers.get("X-Resource-Revision", "")) == 40
    )
    case.same("unknown service", MISSING, center.call("GET", "/microservices/nosuch/instances").code)
    case.same("unknown instance", NO_INSTANCE, center.call("GET", f"{path}/nosuch").code)
    case.same("unknown consumer", MISSING, center.call("GET", path, consumer="nobody").code)
    case.same(
        "no service to register with",
        MISSING,
        center.call("POST", "/microservices/nosuch/instances", {"instance": {"hostName": "h"}}).code,
    )
    case.same(
        "rules come first", INVALID, center.call("POST", "/microservices/nosuch/instances", {"instance": {}}).code
    )
    for method, end in (("DELETE", ""), ("PUT", "/heartbeat"), ("PUT", "/status?value=UP")):
        case.same(f"{method} of an unknown one", NO_INSTANCE, center.call(method, f"{path}/nosuch{end}").code)


def test_a_deletion_is_held_back(center, case):
    web, depot = center.service("web1"), center.service("depot")
    one = center.name("depot-1")
    path = f"/microservices/{depot}/instances/{one}"
    ports = lambda: [each["endpoints"] for each in center.find("depot", web).body.get("instances", [])]  # noqa: E731
    center.instance(depot, instanceId=one)
    case.same("found", [["rest://127.0.0.1:8080"]], ports)
    with center.socket(f"/microservices/{web}/watcher") as watcher:
        case.same("watched", 101, watcher.status)
        # The dependency is recorded a moment after the first question.
        case.same(
            "told of changes",
            "UPDATE",
            lambda: center.call("PUT", f"{path}/status?value=UP") and (watcher.event(1) or {}).get("action"),
        )
        while watcher.event(0.5):
            pass
        case.same("deleted", 200, center.call("DELETE", path).status)
        case.same("no heartbeat", NO_INSTANCE, center.call("PUT", f"{path}/heartbeat").code)
        case.same("no second deletion", NO_INSTANCE, center.call("DELETE", path).code)
        case.same("still shown", [["rest://127.0.0.1:8080"]], ports())
        center.instance(depot, instanceId=one, endpoints=["rest://127.0.0.1:9090"])
        event = watcher.event() or {}
        case.same("back at once, it has changed", "UPDATE", event.get("action"))
        case.same("without a gap", [["rest://127.0.0.1:9090"]], ports)
        case.same("and nothing else is told", None, watcher.event(4))
        began = time.monotonic()
        center.call("DELETE", path)
        event = watcher.event() or {}
        took = time.monotonic() - began
        case.same("gone", "DELETE", event.get("action"))
        case.same("as it was", "UP", event.get("instance", {}).get("status"))
        case.true(f"after 2 to 4 seconds, not {took:.1f}", 1.5 < took < 4.5)
        case.same("and not shown", [], ports)


@pytest.mark.parametrize("expected", [200, INVALID])
def test_rules_for_instances(center, case, expected):
    hall = center.service("hall")
    good = {
        "no endpoints": {"endpoints": []},
        "an id with dashes at the ends": {"instanceId": center.name("-a.") + "_"},
        "a large interval": {"healthCheck": {"mode": "push", "interval": 2147483647, "times": 0}},
        "a place": {"dataCenterInfo": {"name": "dc", "region": "east", "availableZone": "a-1"}},
        "no status": {"status": ""},
    }
    bad = {
        "no host": {"hostName": ""},
        "a blank host": {"hostName": " "},
        "a host of 65": {"hostName": "h" * 65},
        "a blank endpoint": {"endpoints": [" "]},
        "another status": {"status": "SLEEPING"},
        "an id with a blank": {"instanceId": "a b"},
        "an id of 65": {"instanceId": "a" * 65},
        "no interval": {"healthCheck": {"mode": "push", "interval": 0, "times": 3}},
        "another mode": {"healthCheck": {"mode": "ask", "interval": 30, "times": 3}},
        "a huge interval": {"healthCheck": {"mode": "push", "interval": 9223372036854775807, "times": 3}},
        "a place without a zone": {"dataCenterInfo": {"name": "dc", "region": "east"}},
        "a place with an empty zone": {"dataCenterInfo": {"name": "dc", "region": "east", "availableZone": ""}},
        "a place with a blank": {"dataCenterInfo": {"name": "d c", "region": "e", "availableZone": "a"}},
    }
    for what, members in (good if expected == 200 else bad).items():
        body = {"instance": {"hostName": "h1"} | members}
        case.same(what, expected, center.call("POST", f"/microservices/{hall}/instances", body).code)


def test_health_checks(center, case):
    yard = center.service("yard")
    for what, given, stored in (
        ("short ones are raised", ("push", 1, 1), ("push", 5, 3)),
        ("long ones stay", ("push", 40, 5), ("push", 40, 5)),
        ("a pull is not asked for", ("pull", 7, 9), ("pull", 30, 3)),
    ):
        check = dict(zip(("mode", "interval", "times"), given, strict=True))
        path = f"/microservices/{yard}/instances/{center.instance(yard, healthCheck=check)}"
        expected = dict(zip(("mode", "interval", "times"), stored, strict=True))
        case.same(what, expected, center.call("GET", path).body["instance"]["healthCheck"])


def test_heartbeats_of_several(center, case):
    mill = center.service("mill")
    lines = [{"serviceId": mill, "instanceId": center.instance(mill)}, {"serviceId": mill, "instanceId": "nosuch"}]
    answer = center.call("PUT", "/heartbeats", {"instances": lines * 2})
    answers = {each["instanceId"]: each.get("errMessage") for each in answer.body["instances"]}
    reason = "Instance does not exist(leaseId not exist, instance not exist)"
    case.same("each", {lines[0]["instanceId"]: None, "nosuch": reason}, answers)
    case.same("once", 2, len(answer.body["instances"]))
    case.same("all is well although one failed", 200, answer.status)
    case.same("nobody", INVALID, center.call("PUT", "/heartbeats", {"instances": []}).code)


def test_finding(center, case):
    web, bank = center.service("web2"), center.service("bank", alias=f"{center.app}:gold")
    case.same("known, without an instance", {}, lambda: center.find("bank", web).body)
    one = center.instance(bank)
    case.same(
        "found", [one], lambda: [each["instanceId"] for each in center.find("bank", web).body.get("instances", [])]
    )
    first = center.find("bank", web)
    revision = first.headers["X-Resource-Revision"]
    case.true("a revision of 40 digits", len(revision) == 40)
    again = center.find("bank", web, rev=revision)
    case.same("nothing is new", (304, revision), (again.status, again.headers["X-Resource-Revision"]))
    case.same("0 asks for all", 200, center.find("bank", web, rev="0").status)
    case.same("a rule is not heeded", 200, center.find("bank", web, version="7.0.0").status)
    case.same("by alias", first.body, center.find("bank", web, serviceName=f"{center.app}:gold").body)
    center.call("PUT", f"/microservices/{bank}/instances/{one}/status?value=DOWN")
    case.same(
        "a change is",
        "DOWN",
        lambda: (
            center.find("bank", web, rev=revision).body["instances"][0]["status"]
            if center.find("bank", web, rev=revision).status == 200
            else None
        ),
    )
    unknown = center.find("nosuch", web)
    case.same("unknown", MISSING, unknown.code)
    case.true(
        "names the consumer, not as missing",
        unknown.detail.startswith(f"Consumer[{web}][") and "does not exist.)" not in unknown.detail,
    )
    stranger = center.find("bank", "nobody")
    case.same(
        "a consumer that is unknown", (MISSING, "Consumer[nobody] does not exist."), (stranger.code, stranger.detail)
    )
    for what, query in {
        "no application": {"appId": ""},
        "no name": {"serviceName": ""},
        "an odd name": {"serviceName": "bank."},
        "an odd environment": {"env": "home"},
    }.items():
        case.same(what, INVALID, center.find("bank", web, **query).code)
    case.same(
        "its providers",
        [bank],
        lambda: [
            each["serviceId"]
            for each in center.call("GET", f"/microservices/{web}/providers").body.get("providers", [])
        ],
    )
    case.same(
        "its consumers",
        [web],
        lambda: [
            each["serviceId"]
            for each in center.call("GET", f"/microservices/{bank}/consumers").body.get("consumers", [])
        ],
    )
    case.same("of an unknown one", MISSING, center.call("GET", "/microservices/nosuch/consumers").code)
    empty = center.service("vault")
    center.find("vault", web)
    case.same("what has consumers stays", "400023", lambda: center.call("DELETE", f"/microservices/{empty}").code)
    case.same("unless it is forced", 200, center.call("DELETE", f"/microservices/{empty}?force=true").status)


def test_finding_many(center, case):
    web, port = center.service("web3"), center.service("port")
    one = center.instance(port)
    case.same("found", 200, center.find("port", web).status)

    def ask(rev=None):
        lines = [center.line(name, rev) for name in ("port", "no1", "web3", "no2")]
        return center.batch(*lines, consumer=web).body["services"]

    case.same("updated", [0, 2], [each["index"] for each in ask()["updated"]])
    first = ask()
    case.true("none are left out", "instances" not in first["updated"][1])
    failed = first["failed"]
    case.same("failed together", [[1, 3]], [sorted(each["indexes"]) for each in failed])
    error = failed[0]["error"]
    case.same("their error", (MISSING, "Micro-service does not exist"), (error["errorCode"], error["errorMessage"]))
    case.true("the detail is wrapped", error["detail"].startswith(f"Micro-service does not exist(Consumer[{web}]["))
    case.same("nothing is new", [0], ask(first["updated"][0]["rev"]).get("notModified"))
    stranger = center.batch(center.line("port"), consumer="nobody").body["services"]["failed"][0]["error"]
    detail = "Micro-service does not exist(Consumer[nobody] does not exist.)"
    case.same("a consumer that is unknown", (MISSING, detail), (stranger["errorCode"], stranger["detail"]))
    for what, lines in {
        "nothing": [],
        "no name": [center.line("port", serviceName="")],
        "no application": [center.line("port", appId="")],
        "an odd name": [center.line("port"), center.line("port", serviceName="port.")],
        "no service": [{}],
    }.items():
        case.same(what, INVALID, center.batch(*lines, consumer=web).code)
    case.same("no list", INVALID, center.call("POST", "/instances/action?type=query", {}, consumer=web).code)
    case.same("another action", INVALID, center.call("POST", "/instances/action?type=delete", {}).code)
    instances = [{"instance": {"serviceId": port, "instanceId": name}} for name in (one, "nosuch")]
    answer = center.call("POST", "/instances/action?type=query", {"instances": instances}, consumer=web).body
    case.same(
        "single instances", [one], [each["instances"][0]["instanceId"] for each in answer["instances"]["updated"]]
    )
    case.same(
        "that are missing",
        [(NO_INSTANCE, [1])],
        [(each["error"]["errorCode"], each["indexes"]) for each in answer["instances"]["failed"]],
    )


def test_who_may_see_whom(center, case):
    web, other = center.service("web4"), f"other{center.run}"
    center.instance(center.service("secret", appId=other))
    center.instance(center.service("open", appId=other, properties={"allowCrossApp": "true"}))
    center.instance(center.service("test", environment="testing"))
    count = lambda *names, **query: len(center.find(*names, **query).body.get("instances", []))  # noqa: E731
    case.same("another application's", {}, center.find("secret", web, appId=other).body)
    case.same("if it allows", 1, lambda: count("open", web, appId=other))
    case.same("nobody asks", 1, lambda: count("secret", appId=other))
    case.same("the consumer's environment decides", MISSING, center.find("test", web, env="testing").code)
    case.same("nobody asks in that environment", 1, lambda: count("test", env="testing"))
    known = lambda **headers: web in str(center.call("GET", "/microservices", **headers).body)  # noqa: E731
    case.same("tenants are worlds apart", False, known(X_Domain_Name=f"tenant{center.run}"))
    case.same("no name is the usual one", True, known(X_Domain_Name=""))
    answer = center.send("GET", f"/v4/project{center.run}/registry/microservices")
    case.same("so are projects", (200, {}), (answer.status, answer.body))


def test_tags(center, case):
    fair = center.service("fair")
    path = f"/microservices/{fair}/tags"
    case.same("none", {}, center.call("GET", path).body)
    case.same("set", 200, center.call("POST", path, {"tags": {"a": "b", "c": "d"}}).status)
    case.same("shown", {"a": "b", "c": "d"}, lambda: center.call("GET", path).body.get("tags"))
    case.same("changed", 200, center.call("PUT", f"{path}/a?value=x").status)
    case.same("shown again", "x", lambda: center.call("GET", path).body["tags"]["a"])
    case.same("an unknown one", NO_TAG, center.call("PUT", f"{path}/z?value=x").code)
    case.same("removed", 200, center.call("DELETE", f"{path}/c").status)
    case.same("removed again", NO_TAG, lambda: center.call("DELETE", f"{path}/c").code)
    case.same("an odd one", INVALID, center.call("POST", path, {"tags": {"1": "b"}}).code)
    case.same("of an unknown service", MISSING, center.call("GET", "/microservices/nosuch/tags").code)
    center.instance(fair)
    count = lambda tags: len(center.find("fair", tags=tags).body.get("instances", []))  # noqa: E731
    case.same("found by its tag", 1, lambda: count("a"))
    case.same("not by another", 0, count("nosuch"))
    body = {
        "service": center.identity("fair2"),
        "tags": {"k": "v"},
        "instances": [{"hostName": "h", "instanceId": center.name("i")}],
    }
    made = center.call("POST", "/microservices", body).body["serviceId"]
    case.same(
        "set with the service", {"k": "v"}, lambda: center.call("GET", f"/microservices/{made}/tags").body.get("tags")
    )
    case.same(
        "as are instances",
        1,
        lambda: len(center.call("GET", f"/microservices/{made}/instances").body.get("instances", [])),
    )


def test_contracts(center, case):
    lab = center.service("lab", schemas=["declared"])
    path = f"/microservices/{lab}/schemas"
    case.same(
        "uploaded",
        (200, b""),
        (lambda put: (put.status, put.text))(
            center.call("PUT", f"{path}/hello", {"schema": "swagger: '2.0'", "summary": "ab"})
        ),
    )
    case.same("read", {"schema": "swagger: '2.0'"}, lambda: center.call("GET", f"{path}/hello").body)
    case.same("with its summary", "ab", center.call("GET", f"{path}/hello").headers.get("X-Schema-Summary"))
    exists = center.exists(type="schema", serviceId=lab, schemaId="hello")
    case.same(
        "exists", ({"serviceId": lab, "schemaId": "hello"}, "ab"), (exists.body, exists.headers.get("X-Schema-Summary"))
    )
    case.same("unknown", "400016", center.call("GET", f"{path}/nosuch").code)
    case.same(
        "declared is not uploaded", "400016", center.exists(type="schema", serviceId=lab, schemaId="declared").code
    )
    case.same("of an unknown service", MISSING, center.call("GET", "/microservices/nosuch/schemas/hello").code)

    def ids():
        return sorted(each["schemaId"] for each in center.call("GET", path).body.get("schemas", []))

    case.same("listed", ["declared", "hello"], ids)
    case.same("neither 0 nor 1", INVALID, center.call("GET", f"{path}?withSchema=2").code)
    case.same("no text", INVALID, center.call("PUT", f"{path}/none", {"schema": ""}).code)
    case.same("an odd id", INVALID, center.call("PUT", f"{path}/-a", {"schema": "x"}).code)
    case.same(
        "no summary among several",
        INVALID,
        center.call("POST", path, {"schemas": [{"schemaId": "two", "schema": "x"}]}).code,
    )
    two = {"schemaId": "two", "schema": "x", "summary": "cd"}
    case.same(
        "several", (200, b""), (lambda post: (post.status, post.text))(center.call("POST", path, {"schemas": [two]}))
    )
    case.same("replace all", ["two"], ids)
    case.same("whole", [two], lambda: center.call("GET", f"{path}?withSchema=1").body.get("schemas"))
    case.same("removed", 200, center.call("DELETE", f"{path}/two").status)
    case.same("removed again", "400016", lambda: center.call("DELETE", f"{path}/two").code)


def test_views(center, case):
    fort = center.service("fort", properties={"a": "b"}, schemas=["s"])
    center.instance(fort, properties={"c": "d"})
    govern = "/v4/default/govern"
    case.true("the application", center.app in center.send("GET", f"{govern}/apps").body.get("appIds", []))

    def view(query):
        answer = center.send("GET", f"{govern}/microservices?appId={center.app}&{query}")
        return answer.body.get("allServicesDetail", [])

    name = f"serviceName={center.name('fort')}"
    case.same("one service", [fort], [each["microService"]["serviceId"] for each in view(name)])
    case.same("not in another environment", [], view(f"{name}&env=testing"))
    case.same("with its instances", 1, lambda: len(view(f"{name}&options=instances")[0].get("instances", [])))
    detail = view(f"{name}&options=instances")[0]
    case.true(
        "without their properties",
        "properties" not in detail["instances"][0] and "schemas" not in detail["microService"],
    )
    whole = center.send("GET", f"{govern}/microservices/{fort}").body["service"]
    case.same("one whole", (fort, ["1.0.0"]), (whole["microService"]["serviceId"], whole["microServiceVersions"]))
    case.same("with its properties", {"c": "d"}, whole["instances"][0]["properties"])
    case.same("an unknown one", MISSING, center.send("GET", f"{govern}/microservices/nosuch").code)
    case.same("the version of the API", "4.0.0", center.call("GET", "/version").body["apiVersion"])
    member = center.call("GET", "/health").body["instances"][0]
    case.true("members of the cluster", member["endpoints"][0].startswith("rest://"))


def test_paths_and_methods(center, case):
    for path in ("/v4/default", f"{BASE}/nosuch", f"{BASE}/health/", f"{BASE}/microservices/"):
        answer = center.send("GET", path)
        case.same(f"unknown {path}", (404, b"404 page not found"), (answer.status, answer.text.strip()))
    wrong = center.send("PATCH", f"{BASE}/microservices")
    case.same("a wrong method", 405, wrong.status)
    case.true("names the right ones", {"GET", "POST"} <= set(wrong.headers.get("Allow", "").split(", ")))
    case.same("HEAD is one", 405, center.send("HEAD", f"{BASE}/health").status)
    moved = center.send("GET", "/v4/default//registry/health?a=b")
    case.same("two slashes", (301, f"{BASE}/health?a=b"), (moved.status, moved.headers.get("Location")))
    large = center.send("POST", f"{BASE}/microservices", b" " * (3 << 20))
    case.same("a large body", INVALID, large.code)


def test_long_heads(center, case):
    with socket.create_connection((center.host, center.port), timeout=6) as sock:
        answer = b""
        try:
            sock.sendall(
                f"GET {BASE}/health HTTP/1.1\r\nHost: x\r\n".encode() + b"X-Long: " + b"a" * (64 << 10) + b"\r\n\r\n"
            )
            answer = sock.recv(1 << 16)
        except ConnectionError:
            pass
    case.true(f"refused or cut off, not {answer[:40]!r}", not answer.startswith(b"HTTP/1.1 200"))


def test_compression(center, case):
    small = center.call("GET", "/version", Accept_Encoding="gzip")
    case.same("Vary", "Accept-Encoding", small.headers.get("Vary"))
    case.same("a small answer", None, small.headers.get("Content-Encoding"))
    big = center.service("big", properties={f"key{index}": "value" * 10 for index in range(50)})
    case.same(
        "a large one",
        "gzip",
        center.call("GET", f"/microservices/{big}", Accept_Encoding="gzip").headers.get("Content-Encoding"),
    )
    case.same(
        "unless it is not wanted", None, center.call("GET", f"/microservices/{big}").headers.get("Content-Encoding")
    )


def test_watchers(center, case):
    web, dock = center.service("web5"), center.service("dock", alias=f"{center.app}:pier")
    path = f"/microservices/{web}/watcher"
    one = center.instance(dock)
    center.find("dock", web)
    with center.socket(path) as watcher:
        case.same(
            "told of changes",
            "UPDATE",
            lambda: (
                center.call("PUT", f"/microservices/{dock}/instances/{one}/status?value=DOWN")
                and (watcher.event(1) or {}).get("action")
            ),
        )
        while watcher.event(0.5):
            pass
        two = center.instance(dock)
        event = watcher.event() or {}
        case.same("of new ones", ("CREATE", two), (event.get("action"), event.get("instance", {}).get("instanceId")))
        key = center.identity("dock", alias=f"{center.app}:pier") | {"tenant": "default/default"}
        case.same("by name", key, event.get("key"))
        watcher.send(PING, b"payload")
        case.same("a pong carries nothing", (PONG, b""), watcher.frame())
        watcher.send(TEXT, b"x" * 200)
        code, payload = watcher.frame()
        case.same("too much is said", (CLOSE, 1009), (code, int.from_bytes(payload[:2], "big")))
    with center.socket("/microservices/nosuch/watcher") as watcher:
        case.same("nobody's watcher", (101, (TEXT, b"service does not exist")), (watcher.status, watcher.frame()))
        case.same("ends", (None, b""), watcher.frame())
    plain = center.call("GET", path)
    case.same("no upgrade", (400, "13"), (plain.status, plain.headers.get("Sec-WebSocket-Version")))


def test_leases(center, case):
    """The shortest lease is 20 seconds, so this test takes a little longer."""
    barn = center.service("barn")
    names = [center.name(name) for name in ("silent", "beating")]
    for name in names:
        center.instance(barn, instanceId=name, healthCheck={"mode": "push", "interval": 5, "times": 3})
    path = f"/microservices/{barn}/instances"
    reason = b"heartbeat reporting failed because the instance does not exist"
    with center.socket(f"{path}/nosuch/heartbeat") as socket_:
        case.same("nobody's heart", (101, (CLOSE, b"\x0f\xa1" + reason)), (socket_.status, socket_.frame()))

    def shown():
        return sorted(each["instanceId"] for each in center.call("GET", path).body.get("instances", []))

    with center.socket(f"{path}/{names[1]}/heartbeat") as heart:
        began = time.monotonic()
        while shown() != [names[1]] and time.monotonic() - began < 26:
            heart.send(PONG)
            time.sleep(1)
        took = time.monotonic() - began
        case.same("only the one that beats stays", [names[1]], shown())
        case.true(f"after 20 to 25 seconds, not {took:.1f}", 19 < took < 25.5)
        center.call("DELETE", f"{path}/{names[1]}")
        heart.send(PONG)
        frame = heart.frame()
        while frame[0] == PING:
            frame = heart.frame()
        case.same("until it is deleted", (CLOSE, b"\x0f\xa1" + reason), frame)
