# SPDX-License-Identifier: Apache-2.0
"""What operators do to the instances and circuits of a running sidecar: by the admin API, and by `mesher operate`."""

import contextlib
import http.client
import json
import os
import subprocess
import threading

import pytest

import harness
import istio  # noqa: F401  finds the control plane for tests
from controlplane import scenario
from controlplane.backends import Backends
from controlplane.server import ControlPlane, Log
from governance import Instance, World
from harness import eventually
from test_istio_beside import NAMES, Sidecar

TOKEN = "t0p"
SETTINGS = f"mesher: {{admin: {{token: {TOKEN}}}}}\n"


def post(sidecar, token=TOKEN, **body):
    """Status and answer of an operation."""
    connection = http.client.HTTPConnection("127.0.0.1", sidecar.admin, timeout=5)
    with contextlib.closing(connection):
        connection.request(
            "POST", "/v1/mesher/operations", json.dumps(body), {"Authorization": f"Bearer {token}"} if token else {}
        )
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())


def get(sidecar, path):
    return json.loads(sidecar.ask(f"/v1/mesher/{path}").body)


def operate(world, *words, environment=None):
    """Output, complaints and status of `mesher operate`, with the files of the sidecar."""
    environment = dict(os.environ, CHASSIS_CONF_DIR=world.sidecar.directory.name, **(environment or {}))
    command = [harness.binary(), "operate", *words]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=20, check=False)
    return done.stdout, done.stderr, done.returncode


def address(instance):
    return f"127.0.0.1:{instance.port}"


def shown(world, path, service="cart"):
    """What a document says of the instances of a service, by port."""
    (found,) = [each for each in get(world.sidecar, path)["services"] if each["name"] == service]
    return {int(each["endpoint"].rpartition(":")[2]): each.get("operator") for each in found["instances"]}


@pytest.fixture
def world():
    carts = [Instance(name) for name in ("one", "two", "three")]
    with World({"cart": carts, "stock": [Instance("stock")]}, mesher=SETTINGS) as world:
        world.carts = carts
        yield world


def test_disable_and_enable(world):
    """No request goes there; one that is on its way ends, and everything that shows instances says why."""
    one, two, _ = world.carts
    assert set(world.many(12)) == {"one", "two", "three"}
    hold = threading.Event()

    def slow(connection):
        for _ in connection.requests():
            hold.wait(10)
            connection.send(harness.answer(b"late"))

    one.fresh()
    one.script = slow
    answers = []
    with contextlib.ExitStack() as stack:
        stack.callback(hold.set)
        # Whoever it meets: one of three.
        for _ in range(3):
            asking = threading.Thread(target=lambda: answers.append(world.ask(path="/slow")))
            asking.start()
            with contextlib.suppress(AssertionError):
                one.until(lambda: one.requests, seconds=1)
                break
            asking.join()
        assert one.requests, "it was never asked"
        answers.clear()
        status, told = post(world.sidecar, action="disable", service="cart", instance=address(one))
        assert status == 200 and told == {
            "action": "disable",
            "service": "cart",
            "instance": address(one),
            "changed": True,
            "endpoints": [f"rest://{address(one)}"],
        }
        assert set(world.many(30)) == {"two", "three"}
        hold.set()
        asking.join()
    assert [each.body for each in answers] == [b"late"]

    expected = {each.port: "disabled" if each is one else None for each in world.carts}
    assert shown(world, "services") == shown(world, "traffic") == expected
    (entry,) = get(world.sidecar, "operations")["operations"]
    assert (entry["service"], entry["instance"], entry["operator"], entry["known"]) == (
        "cart", address(one), "disabled", True)  # fmt: skip
    assert world.sidecar.metric('mesher_operator_instances{operator="disabled"}') == 1
    assert world.sidecar.metric('mesher_operator_actions_total{action="disable"}') == 1
    explained = explain(world)
    assert f"rest://{address(one)} is disabled by an operator" in explained
    assert "roundrobin over 2 of 3 instances" in explained.lower()
    top = subprocess.run(
        [harness.binary(), "top", "--once", "--admin", f"127.0.0.1:{world.sidecar.admin}"],
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
    )
    assert "3 instances, 1 disabled" in top.stdout
    assert "an operator has decided about a service" in world.sidecar.tail()

    one.fresh()
    one.script = one.serve
    assert post(world.sidecar, action="enable", service="cart", instance=address(one))[1]["changed"]
    assert set(world.many(30)) == {"one", "two", "three"}
    assert get(world.sidecar, "operations") == {"operations": []}
    assert post(world.sidecar, action="enable", service="cart", instance=address(two))[1]["changed"] is False


def explain(world):
    environment = dict(os.environ, CHASSIS_CONF_DIR=world.sidecar.directory.name)
    command = [harness.binary(), "explain", "GET", "http://cart/x"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=20, check=False).stdout


def test_nobody_is_left(world):
    """Allowed, with a warning; what is answered says why, and what explains it says the same."""
    for count, each in enumerate(world.carts):
        warning = post(world.sidecar, action="disable", service="cart", instance=address(each))[1].get("warning")
        assert (warning is not None) == (count == 2)
    assert warning == "no instance of cart is left: its requests fail until one is enabled or joins"
    response = world.ask()
    assert (response.status, response.error) == (502, "no_endpoint")
    assert response.body.endswith(b"an operator has disabled or drained them")
    assert "an operator has disabled or drained them" in explain(world)
    assert world.ask("stock").status == 200
    # A failure of all others brings none of them back.
    post(world.sidecar, action="enable", service="cart", instance=address(world.carts[0]))
    world.carts[0].refuse()
    for _ in range(20):
        assert world.ask().status == 502
    assert not [each for cart in world.carts[1:] for each in cart.requests]


def test_they_outlive_a_change_of_the_registry(world):
    one, two, three = world.carts

    def services(*instances):
        lines = [f"  - {{name: cart, instance: [{', '.join(each.entry for each in instances)}]}}\n"]
        world.sidecar.write("services.yaml", "service:\n" + "".join(lines))

    assert post(world.sidecar, action="drain", service="cart", instance=address(one))[0] == 200
    services(two, three)
    eventually(lambda: set(shown(world, "services")) == {two.port, three.port}, "still there")
    (entry,) = get(world.sidecar, "operations")["operations"]
    assert entry["known"] is False
    services(one, two, three)
    eventually(lambda: len(shown(world, "services")) == 3, "not back")
    assert shown(world, "services") == {one.port: "draining", two.port: None, three.port: None}
    assert set(world.many(30)) == {"two", "three"}


def test_sessions_stay_with_a_drained_instance():
    settings = "cse.loadbalance.strategy.name: SessionStickiness\n"
    carts = [Instance("one"), Instance("two")]
    with World({"cart": carts}, mesher=SETTINGS, load_balancing=settings) as world:
        first = world.ask()
        cookie = f"Cookie: {first.get('set-cookie').decode()}"
        (mine,) = [each for each in carts if each.name == first.body.decode()]
        assert post(world.sidecar, action="drain", service="cart", instance=address(mine))[0] == 200
        assert world.many(6, "cart", cookie) == {mine.name: 6}
        assert set(world.many(12)) == {each.name for each in carts} - {mine.name}
        assert post(world.sidecar, action="disable", service="cart", instance=address(mine))[0] == 200
        assert set(world.many(6, "cart", cookie)) == {each.name for each in carts} - {mine.name}


def test_an_open_circuit_closes():
    breaker = (
        "cse.circuitBreaker.Consumer: {enabled: true, requestVolumeThreshold: 3, sleepWindowInMilliseconds: 60000}\n"
    )
    cart = Instance("one")
    with World({"cart": [cart]}, mesher=SETTINGS, circuit_breaker=breaker) as world:
        cart.refuse()
        eventually(lambda: world.ask().error == "circuit_open", "never opens")
        cart.listen()
        assert world.ask().error == "circuit_open"
        status, told = post(world.sidecar, action="reset-circuit", service="cart")
        assert status == 200 and (told["circuit"], told["changed"]) == ("open", True)
        assert world.ask().status == 200
        (found,) = get(world.sidecar, "services")["services"]
        assert (found["breaker"]["state"], found["breaker"]["errorPercentage"]) == ("closed", 0)


def test_an_ejected_instance_is_back():
    carts = [Instance("one"), Instance("two")]
    settings = f"mesher: {{admin: {{token: {TOKEN}}}, outlier: {{baseEjectionTime: 10m}}}}\n"
    with World({"cart": carts}, mesher=settings) as world:
        carts[0].refuse()
        is_ejected = lambda: [each["ejected"] for each in instances(world)] == [True, False]  # noqa: E731
        eventually(lambda: world.ask() and is_ejected(), "never ejected")
        carts[0].listen()
        assert world.many(10) == {"two": 10}
        status, told = post(world.sidecar, action="reset-ejection", service="cart")
        assert status == 200 and told["endpoints"] == [f"rest://{address(carts[0])}"]
        assert set(world.many(10)) == {"one", "two"}


def instances(world):
    """Those of cart, in the order of the registry."""
    return get(world.sidecar, "services")["services"][0]["instances"]


def test_what_is_refused(world):
    one = address(world.carts[0])
    for token in (None, "guessed"):
        assert post(world.sidecar, token, action="disable", service="cart", instance=one)[0] == 401
    cases = [
        ({"action": "disable", "service": "chart", "instance": one}, 404, "these are: cart, stock"),
        ({"action": "disable", "service": "cart", "instance": "127.0.0.1:9"}, 404, one),
        ({"action": "disable", "service": "cart"}, 400, "is for one instance"),
        ({"action": "disable", "service": "cart", "instance": "cart-1"}, 400, "no address"),
        ({"action": "kill", "service": "cart"}, 400, "reset-ejection"),
        ({}, 400, "actions are disable, drain"),
    ]
    for body, status, text in cases:
        found = post(world.sidecar, **body)
        assert found[0] == status and text in found[1]["error"], body
    assert set(world.many(12)) == {"one", "two", "three"}


def test_the_command(world):
    """It finds sidecar and token where the files say; the last of them is told by a warning."""
    one, two, three = (address(each) for each in world.carts)
    assert operate(world, "list") == ("nothing is in force\n", "", 0)
    assert operate(world, "disable", "cart", one) == (f"cart {one} is disabled on this sidecar\n", "", 0)
    assert operate(world, "drain", "cart", two)[0] == f"cart {two} is draining on this sidecar\n"
    text, warning, status = operate(world, "disable", "cart", three)
    assert status == 0 and warning.startswith("warning: no instance of cart is left")
    lines = operate(world, "list")[0].splitlines()
    assert [line.split()[0] for line in lines] == ["OPERATOR", "disabled", "draining", "disabled"] or len(lines) == 4
    found = json.loads(operate(world, "list", "--json")[0])["operations"]
    assert {each["instance"]: each["operator"] for each in found} == {
        one: "disabled", two: "draining", three: "disabled"}  # fmt: skip
    for each in (one, two, three):
        assert operate(world, "enable", "cart", each)[0] == f"cart {each} is enabled\n"
    assert "has no circuit" in operate(world, "reset-circuit", "stock")[0]
    assert operate(world, "reset-ejection", "cart")[0] == "no instance of cart was ejected\n"
    answer = json.loads(operate(world, "reset-ejection", "cart", "--json")[0])
    assert answer["action"] == "reset-ejection" and answer["changed"] is False

    _, complaint, status = operate(world, "disable", "chart", one)
    assert status == 1 and "no service chart is known" in complaint
    guessed = {"mesher_admin_token": "guessed"}
    assert "send the token" in operate(world, "disable", "cart", one, environment=guessed)[1]
    for words, told in {
        ("kill", "cart", one): "kill is no action",
        ("disable", "cart"): "write its ip:port",
        ("disable",): "of which service?",
        ("list", "cart"): "write nothing behind it",
    }.items():
        _, complaint, status = operate(world, *words)
        assert status == 64 and told in complaint
    nobody = operate(world, "list", "--admin", "127.0.0.1:1")
    assert nobody[2] == 1 and "no sidecar answers at 127.0.0.1:1" in nobody[1]


# -- other registries --------------------------------------------------------------------------------------------------


def test_addresses_of_mesh_yaml():
    """They are instances of their cluster, and of the hosts that lead there."""
    carts = [Instance("one"), Instance("two")]
    endpoints = ", ".join(f"'{address(each)}'" for each in carts)
    mesh = (
        f"mesh: {{clusters: [{{name: old, endpoints: [{endpoints}]}}],"
        " hosts: [{name: shop, routes: [{targets: [{cluster: old}]}]}]}\n"
    )
    with World({"cart": carts}, mesher=SETTINGS, mesh=mesh) as world:
        eventually(lambda: set(world.many(6, "shop")) == {"one", "two"}, "not both")
        assert post(world.sidecar, action="disable", service="old", instance=address(carts[0]))[1]["changed"]
        assert world.many(6, "shop") == {"two": 6}
        # What is written down and what a registry says have nothing in common.
        assert set(world.many(6, "cart")) == {"one", "two"}
        assert post(world.sidecar, action="disable", service="shop", instance=address(carts[1]))[1]["warning"]
        assert world.ask("shop").error == "no_endpoint"
        for service, each in zip(("old", "shop"), carts, strict=True):
            assert post(world.sidecar, action="enable", service=service, instance=address(each))[1]["changed"]
        assert set(world.many(6, "shop")) == {"one", "two"}


@pytest.mark.parametrize("form", ["delta", "sotw"])
def test_clusters_of_istio(form):
    """A host means all of its subsets; what is decided outlives what the control plane says next."""
    with Backends(NAMES) as backends:
        steps = [state for _, state in scenario.phases(scenario.read("split"))]
        resources = [scenario.Mesh(state, backends.ports, {}).resources() for state in steps]
        with ControlPlane(resources[0], ["delta", "sotw"] if form == "delta" else ["sotw"], log=Log()) as plane:
            discovery = '{type: istio, address: "grpc://127.0.0.1:<plane>"}'
            registry = f"{{registrator: {{disabled: true}}, serviceDiscovery: {discovery}}}"
            with Sidecar(plane, registry, mesher=SETTINGS) as sidecar:
                there = {name: f"127.0.0.1:{backends.ports[name]}" for name in NAMES}
                eventually(lambda: set(sidecar.shares("istioserver:8080", 40)) == set(NAMES), "not all are there")
                status, told = post(sidecar, action="disable", service="istioserver", instance=there["v3b"])
                assert status == 200 and told["changed"] and "warning" not in told, told
                assert set(sidecar.shares("istioserver:8080", 60)) == set(NAMES) - {"v3b"}
                status, told = post(sidecar, action="drain", service="istioserver", instance=there["v2"])
                assert told["warning"].startswith("no instance of istioserver is left"), told
                assert set(sidecar.shares("istioserver:8080", 60)) == {"v1", "v3", "none"}
                found = get(sidecar, "operations")["operations"]
                assert {each["instance"]: each["operator"] for each in found} == {
                    there["v3b"]: "disabled", there["v2"]: "draining"}  # fmt: skip
                plane.serve(resources[1])
                plane.serve(resources[0])
                for name in ("v2", "v3b"):
                    post(sidecar, action="enable", service="istioserver", instance=there[name])
                eventually(lambda: set(sidecar.shares("istioserver:8080", 40)) == set(NAMES), "not all are back")
            assert plane.log.violations == []


# -- on the page -------------------------------------------------------------------------------------------------------


@pytest.fixture
def page(world, browser):
    """The panel of cart with its operations."""
    world.many(6)
    browser.open(f"http://127.0.0.1:{world.sidecar.admin}/#/service/cart")
    eventually(lambda: browser.text("#detail-title") == "cart", lambda: browser.text("body"), seconds=10)
    browser.click("#operations summary")
    eventually(lambda: browser.text("#operate-instances").count("Disable") == 3, lambda: browser.text("#operations"))
    return browser


def press(page, instance, words):
    page.click(f"#operate-instances button[aria-label='{words} rest://{address(instance)}']")


def said(page, words):
    eventually(lambda: words in page.text("#operation-said"), lambda: page.text("#operations"))


def test_by_the_page(world, page):
    """With the token alone, which is kept nowhere; what the sidecar says is shown as it is."""
    one, two, three = world.carts
    press(page, one, "Drain")
    said(page, "send the token: Authorization: Bearer <mesher.admin.token>")
    page.run(
        "(() => { const box = document.querySelector('#token'); box.value = 't0p';"
        " box.dispatchEvent(new Event('input')); })()"
    )
    press(page, one, "Drain")
    said(page, "done")
    assert set(world.many(20)) == {"two", "three"}
    eventually(lambda: "draining by hand" in page.text("#instances"), lambda: page.text("#instances"))
    assert page.text("#instances caption") == "3 instances, 0 ejected, 1 held back by hand"
    assert "2 of 3" in page.text("#nodes")
    press(page, two, "Disable")
    eventually(lambda: "disabled by hand" in page.text("#instances"), lambda: page.text("#instances"))
    press(page, three, "Disable")
    said(page, "no instance of cart is left")
    # Only who is held back can be enabled: the page has to have heard of it.
    eventually(lambda: page.text("#instances").count("disabled by hand") == 2, lambda: page.text("#instances"))
    press(page, three, "Enable")
    eventually(lambda: set(world.many(6)) == {"three"}, "not enabled")
    page.click("#operate-service button")
    said(page, "Reset the circuit: done")
    # What was said is said of one service.
    page.run("location.hash = '#/service/stock'")
    eventually(lambda: page.text("#operation-said") == "", lambda: page.text("#operation-said"))
    # In memory, and nowhere else.
    everywhere = "[location.href, document.cookie, JSON.stringify(localStorage), JSON.stringify(sessionStorage)].join()"
    assert "t0p" not in page.run(everywhere)
