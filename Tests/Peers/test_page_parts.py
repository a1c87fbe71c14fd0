# SPDX-License-Identifier: Apache-2.0
"""Parts of the page: its address, explanations, certificates, groups of failures, and operations by hand."""

import json
import re
import urllib.parse

import pytest

from authority import DAY, Authority
from governance import World
from harness import eventually
from observed import Application, call

ROUTER = """
routeRule:
  cart:
    - {precedence: 2, match: {headers: {X-Env: {exact: canary}}}, route: [{tags: {version: 2.0.0}}]}
    - {precedence: 1, route: [{tags: {version: 1.0.0}, weight: 75}, {tags: {version: 2.0.0}, weight: 25}]}
"""
LONG = [f"com.example.retail.{name}-service" for name in ("orders", "payments", "warehouse")]
ODD = "ø / 50 % ?#"


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    authority = Authority(tmp_path_factory.mktemp("ca"))
    soon = authority.issue("soon", usage=None, dns=["web"], uris=["spiffe://mesh/web"], ips=["10.0.0.9"], ends=5.5 * DAY)
    late = authority.issue("late", usage=None, common="late client", dns=["client"], ends=60.5 * DAY)
    tags = {"vault.rest.Consumer": soon, "safe.grpc.Consumer": late}
    lines = [f"  {tag}.{key}: {value}\n" for tag, pair in tags.items() for key, value in pair.keys.items()]
    services = {
        "cart": [Application("good", version="1.0.0"), Application("new", version="2.0.0")],
        "stock": [Application("fine"), Application("other")],
        **{name: [Application(name)] for name in LONG},
    }
    with World(services, router=ROUTER, tls="ssl:\n" + "".join(lines)) as world:
        for name in services:
            world.many(2, name)
        world.url = f"http://127.0.0.1:{world.sidecar.admin}/"
        yield world


@pytest.fixture
def page(world, browser):
    """The page, live, with a wide window."""
    show(browser, world.url)
    return browser


def show(browser, url):
    """Opens an address as if it were pasted into a new tab."""
    browser.send("Emulation.setDeviceMetricsOverride", width=1280, height=900, deviceScaleFactor=1, mobile=False)
    browser.open("about:blank")
    eventually(lambda: browser.run("location.href") == "about:blank", "not left")
    browser.open(url)
    eventually(lambda: browser.text("#link") == "live", lambda: f"not live: {browser.complaints()}", seconds=10)
    eventually(lambda: "cart" in browser.text("#service-rows"), "no services")


def titled(page, title):
    eventually(lambda: page.text("#detail-title") == title, lambda: f"shows {page.text('#detail-title')}")


def place(page):
    return page.run("location.hash")


# -- the address ------------------------------------------------------------------------------------------------------


def test_the_address_says_what_is_selected(page):
    """Back and forward go through what was looked at; the document stays."""
    page.run("window.here = 1")
    for service in ("cart", "stock"):
        page.click("#service-rows button", service)
        titled(page, service)
        assert place(page) == f"#/service/{service}" and service in page.run("document.title")
    for step, title in [(-1, "cart"), (-1, "This sidecar"), (2, "stock")]:
        page.run(f"history.go({step})")
        titled(page, title)
    page.click("#close")
    titled(page, "This sidecar")
    assert place(page) == "#/" and page.run("window.here") == 1


@pytest.mark.parametrize(
    ("address", "title", "said"),
    [
        ("#/service/cart", "cart", "Requests to this service."),
        ("#/service/" + urllib.parse.quote(ODD, safe=""), ODD, "No service of this name"),
        ("#/caller/nobody", "nobody", "No caller of this name"),
        ("#/certificates", "Certificates", "shows to others"),
        ("#/explain", "Explain a request", "Nothing is sent"),
        ("#/nonsense", "This sidecar", "Nothing on this page is called #/nonsense"),
        ("#/service/%E0%A4%A", "This sidecar", "Nothing on this page is called"),
    ],
)
def test_an_address_that_is_pasted(world, browser, address, title, said):
    show(browser, world.url + address)
    titled(browser, title)
    assert said in browser.text("#detail-note") and browser.complaints() == []


def test_the_address_of_the_failures(world, browser):
    """It leads to the list, also when the page is open already."""
    show(browser, world.url + "#/failures")
    focus = "document.activeElement.id"
    eventually(lambda: browser.run(focus) == "failures-title", lambda: browser.run(focus))
    assert browser.text("#parts [aria-current]") == "Failures"
    browser.click("#parts a", "Traffic")
    assert browser.text("#parts [aria-current]") == "Traffic"
    browser.run("history.back()")
    eventually(lambda: browser.run(focus) == "failures-title", lambda: browser.run(focus))


def test_the_skip_link_leaves_the_address_alone(page):
    page.click("#service-rows button", "cart")
    page.click("#skip")
    assert page.run("document.activeElement.id") == "main" and place(page) == "#/service/cart"


# -- explaining -------------------------------------------------------------------------------------------------------


def explained(page):
    return page.text("#answer") + "\n" + page.text("#steps")


def fill(page, **fields):
    for name, value in fields.items():
        page.run(f"document.querySelector('#ask-{name}').value = {json.dumps(value)}")
    page.click("#ask")


def test_a_request_is_explained(page):
    """The rule with its file and line, the shares, and why instances are passed over."""
    page.click("#parts a", "Explain")
    titled(page, "Explain a request")
    fill(page, url="http://cart/x", headers="X-Env: prod\nAuthorization: Bearer s3cret")
    eventually(lambda: "Forwarded to one of 2 instances" in explained(page), lambda: explained(page))
    said = explained(page)
    assert re.search(r"router\.yaml:4:\d+\s+does not match\s+X-Env = \"canary\": is \"prod\"", said), said
    assert re.search(r"router\.yaml:5:\d+\s+.*matches\s+takes every request", said), said
    assert re.search(r"75 % to version:1\.0\.0\|app:default\s+1 instance", said), said
    # It can be sent to somebody, without what is nobody's business.
    assert "url=http%3A%2F%2Fcart%2Fx" in place(page) and "X-Env" in place(page)
    assert "s3cret" not in place(page) and "s3cret" in page.run("document.querySelector('#ask-headers').value")
    fill(page, headers="X-Env: canary")
    eventually(lambda: "passed over" in explained(page), lambda: explained(page))
    assert "version 1.0.0 · other version" in explained(page)
    page.run("history.back()")
    eventually(lambda: "one of 2 instances" in explained(page), lambda: explained(page))


def test_an_explanation_by_its_address(world, browser):
    show(browser, world.url + "#/explain?method=POST&url=http%3A%2F%2Fnobody%2Fy&from=shop")
    eventually(lambda: "502 no_endpoint" in explained(browser), lambda: explained(browser))
    assert "no service is called nobody" in explained(browser)
    values = "['method', 'url', 'from'].map(name => document.querySelector('#ask-' + name).value)"
    assert browser.run(values) == ["POST", "http://nobody/y", "shop"]


def test_what_is_no_request_is_told_as_it_is(page):
    page.click("#parts a", "Explain")
    fill(page, url="ftp://cart/")
    eventually(lambda: "is no URL of a service" in explained(page), lambda: explained(page))
    assert "write one such as http://cart/items" in explained(page) and page.text("#steps") == ""


def test_a_service_is_explained(page):
    page.click("#service-rows button", "cart")
    page.click("#explain-service")
    eventually(lambda: "Forwarded to" in explained(page), lambda: explained(page))
    assert page.run("document.querySelector('#ask-url').value") == "http://cart/"


def test_a_failure_is_explained(page, world):
    """A click, and the question is there with its answer."""
    world.ask("absent", path="/lost?secret=1", method="DELETE")
    eventually(lambda: "/lost" in page.text("#failure-list"), "not shown")
    page.click("#failure-list button[aria-label='Explain DELETE /lost']")
    eventually(lambda: "no service is called absent" in explained(page), lambda: explained(page))
    values = "['method', 'url'].map(name => document.querySelector('#ask-' + name).value)"
    assert page.run(values) == ["DELETE", "http://absent/lost"]


# -- certificates -----------------------------------------------------------------------------------------------------


def test_certificates(page):
    """Whose they are, for what, from where, and for how long; what ends soon needs attention."""
    attention = lambda: page.text("#attention")  # noqa: E731
    eventually(lambda: re.search(r"Certificate\s.*soon: 5 days left", attention(), re.S), attention)
    page.click("#attention button", "Certificate")
    titled(page, "Certificates")
    assert place(page) == "#/certificates"
    rows = page.run("[...document.querySelectorAll('#certificates > li')].map(each => each.innerText)")
    (soon,) = [each for each in rows if "calls of vault by rest" in each]
    assert "soon" in soon and "5 days left" in soon and "soon.crt" in soon
    assert "web, spiffe://mesh/web, 10.0.0.9" in soon
    (late,) = [each for each in rows if "calls of safe by grpc" in each]
    assert "late client" in late and "60 days left" in late
    tones = page.run(
        "Object.fromEntries([...document.querySelectorAll('#certificates > li')].map(each =>"
        " [each.querySelector('bdi').textContent, each.querySelector('div > span').dataset.tone]))"
    )
    assert tones == {"soon": "bad", "late client": "ok"}


@pytest.mark.parametrize(
    ("life", "left", "renews", "said", "tone"),
    [
        (90, 31, False, "31 days left", "ok"),
        (90, 29, False, "29 days left", "warn"),
        (90, 6.5, False, "6 days left", "bad"),
        (90, 0.5, False, "12 h 00 min left", "bad"),
        (90, -1, False, "expired", "bad"),
        # Those of a mesh live for a day, and are renewed at half of that.
        (1, 0.5, True, "12 h 00 min left", "ok"),
        (1, 0.25, True, "6 h 00 min left", "warn"),
        (1, 0.125, True, "3 h 00 min left", "bad"),
    ],
)
def test_how_soon_a_certificate_ends(page, life, left, renews, said, tone):
    one = {"notBefore": (left - life) * DAY, "notAfter": left * DAY, "renews": renews}
    assert page.run(f"certificateState({json.dumps(one)}, 0)") == [said, tone]


def test_certificates_as_a_document(world):
    """No key is in it, nor where one is."""
    answer = call(world.sidecar.admin, "/v1/mesher/certificates")
    found = {each["tag"]: each for each in answer.json["certificates"]}
    soon = found["vault.rest.Consumer"]
    assert soon["subject"] == "soon" and soon["role"] == "calls of vault by rest" and soon["source"].endswith("soon.crt")
    assert soon["names"] == ["web", "spiffe://mesh/web", "10.0.0.9"] and 0 < soon["notAfter"] - soon["notBefore"] < 6 * DAY
    assert set(found) == {"vault.rest.Consumer", "safe.grpc.Consumer"} and b".key" not in answer.body


# -- failures ---------------------------------------------------------------------------------------------------------


def test_failures_that_are_alike_are_one_row(page, world):
    """With their number and times; opened, each has its path and trace."""
    for number in range(5):
        world.ask("gone", path=f"/many/{number % 2}", method="PUT")
    rows = "[...document.querySelectorAll('#failure-list > li')].map(each => each.innerText)"
    group = lambda: next((each for each in page.run(rows) if "gone" in each), "")  # noqa: E731
    eventually(lambda: "5 ×" in group(), lambda: page.text("#failure-list"))
    assert "502 no_endpoint" in group() and "and 1 other path" in group()
    assert re.search(r"first \d\d:\d\d:\d\d, last \d\d:\d\d:\d\d", group()), group()
    assert re.search(r"\d+ in \d+ groups?, newest first", page.text("#failure-count")), page.text("#failure-count")
    page.click("#failure-list button[aria-label='Explain the last PUT of gone']")
    eventually(lambda: "no service is called gone" in explained(page), lambda: explained(page))
    assert page.run("document.querySelector('#ask-url').value") == "http://gone/many/0"
    page.click("#failure-list summary", "Each of the 5")
    eventually(lambda: group().count("PUT /many/") == 6, group)
    # What was opened stays so when another one comes.
    world.ask("gone", path="/many/9", method="PUT")
    eventually(lambda: "6 ×" in group() and group().count("PUT /many/") == 7, group)


# -- names, registries, and a sidecar that is away ----------------------------------------------------------------------


def test_long_names_stay_apart(page):
    """Also in the table and in the list of a narrow window: what is cut is what they have in common."""
    for width in (1280, 390):
        page.send("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 640)
        names = "[...document.querySelectorAll('#service-rows .cut')].filter(each => each.title.startsWith('com.'))"
        parts = "part => [part.textContent, part.scrollWidth > part.clientWidth]"
        found = sorted(page.run(f"{names}.map(name => [...name.children].map({parts}))"))
        assert [first[0] + last[0] for first, last in found] == sorted(LONG)
        assert [last[0] for _, last in found] == ["orders-service", "payments-service", "warehouse-service"]


def test_the_registry_is_a_file(page):
    assert re.search(r"Registry\s+file", page.text("#facts")), page.text("#facts")


def test_an_endpoint_is_told_once(page, world):
    page.click("#service-rows button", "stock")
    titled(page, "stock")
    cells = "[...document.querySelectorAll('#instances tbody th')].map(each => each.innerText)"
    eventually(lambda: len(page.run(cells)) == 2, lambda: page.run(cells))
    ports = {each.port for each in world.services["stock"]}
    assert all(sum(each.count(f":{port}") for port in ports) == 1 for each in page.run(cells)), page.run(cells)


# -- operations: with a token, test_operations has them ----------------------------------------------------------------


def test_without_a_token_in_the_configuration_nothing_is_offered(page):
    page.click("#service-rows button", "cart")
    titled(page, "cart")
    page.click("#operations summary")
    eventually(lambda: page.text("#operate-service"), "no buttons")
    page.click("#operate-service button")
    said = "nothing can be changed here: mesher.admin.token is not set"
    eventually(lambda: said in page.text("#operation-said"), lambda: page.text("#operations"))
    assert page.run("document.querySelector('#operate').checkVisibility()") is False


def test_nothing_is_asked_elsewhere(page, world):
    """Whatever is opened: the page asks its own sidecar, and the console has nothing to say."""
    for part in ("Failures", "Explain", "Certificates", "Traffic"):
        page.click("#parts a", part)
    assert page.complaints() == []
    hosts = {urllib.parse.urlsplit(url).netloc for url in page.requests() if not url.startswith(("data:", "about:"))}
    assert hosts == {f"127.0.0.1:{world.sidecar.admin}"}


@pytest.mark.parametrize("width", [320, 390])
def test_parts_on_a_phone(page, width):
    """Nothing needs to be pushed sideways."""
    page.send("Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=2, mobile=True)
    for part in ("Explain", "Certificates", "Failures"):
        page.click("#parts a", part)
        assert page.run("document.documentElement.scrollWidth") <= width, part


def test_parts_for_screen_readers(page):
    """Every field and button has a name."""
    page.click("#parts a", "Explain")
    nodes = page.send("Accessibility.getFullAXTree")["nodes"]
    seen = [(each["role"]["value"], each.get("name", {}).get("value", "")) for each in nodes if not each["ignored"]]
    assert {"Method", "URL", "Header fields, one a line", "Calling service"} <= {name for role, name in seen}
    assert not [each for each in seen if each[0] in ("button", "link", "textbox") and not each[1]]
    assert ("navigation", "Parts of the page") in seen
