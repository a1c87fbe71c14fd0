# SPDX-License-Identifier: Apache-2.0
"""The page as a browser shows it, and `mesher top`: what is wrong can be seen, and what others say does no harm."""

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
import urllib.parse

import pytest

import harness
from governance import Load, World
from harness import eventually
from observed import Application, call

ROUTER = """
routeRule:
  cart:
    - {precedence: 2, match: {headers: {X-Env: {exact: canary}}}, route: [{tags: {version: 2.0.0}}]}
    - {precedence: 1, route: [{tags: {version: 1.0.0}, weight: 75}, {tags: {version: 2.0.0}, weight: 25}]}
"""
FILES = {
    "router": ROUTER,
    "mesher": "mesher.outlier: {consecutiveErrors: 2, baseEjectionTime: 1h}\n"
    "mesher.retry.failover: 0\ncse.transport.failure.rest: http_500\n",
    "circuit_breaker": "cse.circuitBreaker.Consumer.broken: {enabled: true, requestVolumeThreshold: 3,"
    " sleepWindowInMilliseconds: 300000}\n",
}
HOSTILE = "<img src=x onerror=window.harm=1>"


@pytest.fixture(scope="module")
def world():
    local = Application("local")
    services = {
        "cart": [Application("good", version="1.0.0"), Application("new", version="2.0.0")],
        "stock": [Application("fine"), Application("failing")],
        "broken": [Application("broken")],
    }
    with World(services, local.port, **FILES) as world:
        make_trouble(world)
        yield world
    local.refuse()
    local.fresh()


def make_trouble(world):
    """One of two instances of stock is ejected, the circuit of broken open; cart is well, and a caller is there."""
    fine, failing = world.services["stock"]
    failing.script = harness.replies(harness.answer(b"", "500 Broken"))
    service = lambda name: next(  # noqa: E731
        each for each in call(world.sidecar.admin, "/v1/mesher/services").json["services"] if each["name"] == name
    )
    eventually(
        lambda: world.many(4, "stock") and any(each["ejected"] for each in service("stock")["instances"]), "well"
    )
    world.services["broken"][0].refuse()
    eventually(lambda: world.ask("broken").error == "circuit_open", "the breaker does not open")
    world.many(8)
    failures = lambda: call(world.sidecar.admin, "/v1/mesher/traffic").json["failures"]  # noqa: E731
    eventually(lambda: any(each["reason"] == "circuit_open" for each in failures()), "no failures")
    with world.client("127.0.0.2") as client:
        for _ in range(3):
            client.send(
                harness.request("GET", "/", 'x-cse-context: {"x-cse-src-microservice":"shop"}', host="Host: web")
            )
            assert client.response().status == 200


@pytest.fixture
def page(world, browser):
    """The page, live."""
    browser.send("Emulation.setDeviceMetricsOverride", width=1280, height=900, deviceScaleFactor=1, mobile=False)
    browser.open(f"http://127.0.0.1:{world.sidecar.admin}/")
    eventually(lambda: browser.text("#link") == "live", lambda: f"not live: {browser.complaints()}", seconds=10)
    eventually(lambda: "cart" in browser.text("#service-rows"), "no services")
    return browser


def row(page, service):
    """The cells of a service in the table."""
    rows = "[...document.querySelectorAll('#service-rows tr')]"
    cells = f"{rows}.map(row => [...row.cells].map(cell => cell.innerText.trim()))"
    return next((each for each in page.run(cells) if each[0] == service), None)


def chosen(page, service):
    """Selects a service, as a click on its name does."""
    page.click("#service-rows button", service)
    eventually(lambda: page.text("#detail-title") == service, lambda: f"shows {page.text('#detail-title')}")


# -- what it shows ----------------------------------------------------------------------------------------------------


def test_who_it_is(page, world):
    assert page.text("#name") == "web" and page.text("#ready") == "ready"
    assert f"127.0.0.2:{world.sidecar.port}" in page.run("document.querySelector('#listeners').textContent")
    assert page.run("document.title").startswith("web")
    assert re.fullmatch(r"rates over the last \d+(\.\d)? s", page.text("#window")), page.text("#window")


def test_services_and_callers(page):
    """Each in the table and on the map, with what it has of requests; the caller on the other side."""
    assert all(row(page, name) for name in ("cart", "stock", "broken"))
    eventually(lambda: int(row(page, "cart")[-2]) >= 8, lambda: f"{row(page, 'cart')}")
    nodes = page.run("[...document.querySelectorAll('#nodes .node')].map(each => each.getAttribute('aria-label'))")
    for name in ("cart", "stock", "broken", "shop"):
        assert any(name in each for each in nodes), (name, nodes)
    assert "shop" in page.run("document.querySelector('#callers').textContent")


def test_an_ejected_instance(page, world):
    chosen(page, "stock")
    rows = page.run("[...document.querySelectorAll('#instances tbody tr')].map(each => each.innerText)")
    (bad,) = [each for each in rows if "ejected for" in each]
    assert len(rows) == 2 and f":{world.services['stock'][1].port}" in bad
    assert "eligible" in next(each for each in rows if each != bad)
    assert page.text("#instances caption") == "2 instances, 1 ejected"


def test_an_open_breaker(page, world):
    """Said in the details, in the table, and among what needs attention."""
    assert world.ask("broken").error == "circuit_open"
    assert "broken" in page.text("#attention")
    assert "open" in row(page, "broken") and "open" not in row(page, "cart")
    chosen(page, "broken")
    assert "open" in page.text("#breaker") and "Tries again" in page.text("#breaker")
    eventually(lambda: "circuit_open" in page.text("#reasons"), lambda: page.text("#reasons"))


def test_route_rules(page, world):
    """Rules in words, weights as configured, and what each target really gets."""
    chosen(page, "cart")
    words = page.text("#routes")
    assert 'X-Env = "canary"' in words and "version 1.0.0" in words and "75 %" in words and "25 %" in words

    def live():
        world.many(8)
        return re.search(r"live share\s+7[0-9](\.\d)? %", page.text("#routes"))

    eventually(live, lambda: f"no live share: {page.text('#routes')}", seconds=15)


def test_a_failure_and_its_reason(page, world):
    """The reason as in the header, and in words; nothing of the query, which may hold a secret."""
    world.ask("nobody", path="/lost?secret=1")
    said = lambda: page.text("#failure-list li")  # noqa: E731
    eventually(lambda: "/lost" in said(), lambda: f"not shown: {said()}")
    assert "secret" not in said()
    assert "502 no_endpoint" in said() and "the registry knows no instance that may serve this request" in said()
    world.ask("cart", path="/503")
    eventually(lambda: "503 answered_503" in said(), lambda: f"not shown: {said()}")
    assert "the instance answered with status 503" in said() and "rest://127.0.0.1:" in said()


def test_it_is_live(page, world):
    """Numbers follow the traffic, without a look at the keyboard."""
    chosen(page, "cart")
    requests = lambda: page.run("state.doc.services.find(s => s.name === 'cart').requests")  # noqa: E731
    before = requests()
    with Load(world, clients=1):
        eventually(lambda: requests() > before + 20, "the numbers stand still")
        eventually(lambda: "0 req/s" not in page.text("#stats"), lambda: page.text("#stats"))


def test_filter(page):
    page.run(
        "(() => { const box = document.querySelector('#filter');"
        " box.value = 'sto'; box.dispatchEvent(new Event('input')); })()"
    )
    eventually(
        lambda: "cart" not in page.text("#service-rows") and "stock" in page.text("#service-rows"), "not filtered"
    )


# -- what it does not do ----------------------------------------------------------------------------------------------


def test_no_complaint_and_no_other_host(page, world):
    """All of it is in one document: nothing is asked for elsewhere, nothing is wrong on the console."""
    for service in ("cart", "stock", "broken"):
        chosen(page, service)
    for button in ("#theme", "#theme", "#theme", "#pause", "#pause"):
        page.click(button)
    assert page.complaints() == []
    hosts = {urllib.parse.urlsplit(url).netloc for url in page.requests() if not url.startswith("data:")}
    assert hosts == {f"127.0.0.1:{world.sidecar.admin}"}
    body = call(world.sidecar.admin, "/").body.decode()
    assert not re.search(r"""(?:src|href)=["']?(?:https?:)?//""", body)


def test_what_others_say_is_text(page, world):
    """Names and paths of others are shown as they are: no markup, no script."""
    with world.client("127.0.0.2") as client:
        caller = json.dumps({"x-cse-src-microservice": HOSTILE})
        client.send(
            harness.request("GET", f"/{HOSTILE.replace(' ', '%20')}/503", f"x-cse-context: {caller}", host="Host: web")
        )
        client.response()
        client.send(harness.request("GET", "/<img/src=x/onerror=window.harm=1>/503", host="Host: web"))
        client.response()
    eventually(lambda: "<img/src=x/onerror" in page.text("#failure-list"), lambda: page.text("#failure-list"))
    eventually(lambda: HOSTILE in page.run("document.querySelector('#callers').textContent"), "no such caller")
    assert page.run("window.harm") is None and page.run("document.images.length") == 0
    assert page.complaints() == []


def test_policy_of_the_page(world):
    """The browser holds it to asking nobody else."""
    found = call(world.sidecar.admin, "/")
    assert "default-src 'none'" in found.fields.get("content-security-policy", "") + found.body.decode()


# -- for everybody ----------------------------------------------------------------------------------------------------


def test_by_keyboard(page):
    """Tab comes to the map, arrows move in it, Enter selects."""
    for _ in range(12):
        page.press("Tab")
        if page.run("document.activeElement.classList.contains('node')"):
            break
    else:
        raise AssertionError("Tab does not come to the map")
    here = page.run("document.activeElement.getAttribute('aria-label')")
    for key in ("ArrowRight", "ArrowDown", "ArrowRight"):
        page.press(key)
    there = page.run("document.activeElement.getAttribute('aria-label')")
    assert here != there and page.run("document.activeElement.classList.contains('node')")
    page.press("Enter")
    eventually(lambda: page.text("#detail-title") in there, lambda: f"{page.text('#detail-title')}, not {there}")


def test_for_screen_readers(page):
    """Everything that can be used has a name, and the sections have headings."""
    nodes = page.send("Accessibility.getFullAXTree")["nodes"]
    seen = [(each["role"]["value"], each.get("name", {}).get("value", "")) for each in nodes if not each["ignored"]]
    unnamed = [each for each in seen if each[0] in ("button", "link", "searchbox", "textbox") and not each[1]]
    assert not unnamed and sum(role == "button" for role, _ in seen) > 8
    headings = [name for role, name in seen if role == "heading"]
    assert {"Traffic", "Services", "Recent failures"} <= set(headings)
    assert page.run("document.documentElement.lang") == "en"


@pytest.mark.parametrize("width", [320, 390, 768])
def test_on_a_phone(page, width):
    """Nothing needs to be pushed sideways to be read."""
    page.send("Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=2, mobile=True)
    eventually(lambda: page.run("innerWidth") == width, lambda: f"{page.run('innerWidth')} wide")
    assert page.run("document.documentElement.scrollWidth") <= width


def test_light_and_dark(page):
    """As the system has it; text keeps its contrast."""
    colors = {}
    for scheme in ("light", "dark"):
        page.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        colors[scheme] = [
            sum(map(int, re.findall(r"\d+", page.run(f"getComputedStyle(document.body).{what}"))[:3]))
            for what in ("backgroundColor", "color")
        ]
    page.send("Emulation.setEmulatedMedia", features=[])
    assert colors["light"][0] > 600 > 300 > colors["light"][1]
    assert colors["dark"][0] < 200 < 500 < colors["dark"][1]


def test_it_survives_a_restart(page, world):
    """Without a sidecar it says that numbers are old; with the next one it goes on by itself."""
    page.run("window.before = 1")
    world.sidecar.stop_process()
    eventually(lambda: page.text("#link") == "disconnected", lambda: page.text("#link"), seconds=10)
    assert "trying again" in page.text("#banner") and not page.run("document.querySelector('#banner').hidden")
    # Nothing looks well any more.
    eventually(lambda: re.fullmatch(r"last seen \d+ s ago", page.text("#ready")), lambda: page.text("#ready"))
    tones = "[...document.querySelectorAll('header [data-tone]')].map(each => each.dataset.tone)"
    green = "[...document.querySelectorAll('body *')].filter(each => each.checkVisibility() &&"
    green += " getComputedStyle(each).color === 'rgb(19, 112, 77)').map(each => each.outerHTML)"
    assert "ok" not in page.run(tones)[:2] and page.run(green) == []
    world.sidecar.start()
    world.many(3)
    eventually(lambda: page.text("#link") == "live", lambda: page.text("#link"), seconds=20)
    eventually(lambda: page.run("state.doc.services.find(s => s.name === 'cart')?.requests") == 3, "old numbers")
    assert page.run("window.before") == 1, "the page was loaded anew"
    assert page.text("#ready") == "ready"
    assert page.run("document.querySelector('#banner').hidden")


def test_what_fails_comes_first(browser):
    """However many others are busier: on the map, in the table and in the list of what needs attention."""
    well, ill = Application("well"), Application("ill")
    names = [f"busy-{number}" for number in range(20)]
    with World({**{name: [well] for name in names}, "zebra": [ill]}) as world:
        for name in names:
            world.many(5, name)
        assert world.ask("zebra", path="/500").status == 500
        browser.send("Emulation.setDeviceMetricsOverride", width=1280, height=900, deviceScaleFactor=1, mobile=False)
        browser.open(f"http://127.0.0.1:{world.sidecar.admin}/")
        eventually(lambda: "zebra" in browser.text("#service-rows"), "no services", seconds=10)
        labels = "[...document.querySelectorAll('#nodes .node')].map(each => each.getAttribute('aria-label') || '')"
        services = [each for each in browser.run(labels) if "busy-" in each or "zebra" in each]
        assert len(services) == 12 and "zebra" in services[0]
        rows = "[...document.querySelectorAll('#service-rows tr')].map(row => row.cells[0].innerText.trim())"
        assert browser.run(rows)[0] == "zebra"
        assert re.search("zebra.*100 % errors", browser.text("#attention"), re.S)


def test_long_names_are_cut_in_the_middle(browser):
    """Names of one company begin alike: what tells them apart can be read; the whole is in the label."""
    well = Application("well")
    names = [f"com.example.retail.{name}" for name in ("orders", "payments", "warehouse")]
    with World({name: [well] for name in names}) as world:
        for name in names:
            world.many(2, name)
        browser.send("Emulation.setDeviceMetricsOverride", width=1280, height=900, deviceScaleFactor=1, mobile=False)
        browser.open(f"http://127.0.0.1:{world.sidecar.admin}/")
        row = f"!!document.querySelector('#service-rows [title=\"{names[0]}\"]')"
        eventually(lambda: browser.run(row), "no services", seconds=10)
        assert names[0] in browser.run("[...document.querySelectorAll('#service-rows button')].map(b => b.ariaLabel)")
        part = "part => [part.textContent, part.scrollWidth > part.clientWidth]"
        names_shown = "[...document.querySelectorAll('#nodes .node.service bdi')]"
        found = browser.run(f"{names_shown}.map(name => [...name.children].map({part}))")
        assert ["".join(text for text, _ in each) for each in found] == names
        assert [[is_cut for _, is_cut in each] for each in found] == [[True, False]] * 3
        assert [each[1][0] for each in found] == ["orders", "payments", "warehouse"]


# -- mesher top -------------------------------------------------------------------------------------------------------


def top(*arguments, admin):
    return subprocess.run(
        [harness.binary(), "top", "--admin", admin, *arguments], capture_output=True, text=True, timeout=20
    )


@pytest.fixture(scope="module")
def troubled():
    """A sidecar with the same trouble, which no test restarts."""
    local = Application("local")
    services = {
        "cart": [Application("good", version="1.0.0"), Application("new", version="2.0.0")],
        "stock": [Application("fine"), Application("failing")],
        "broken": [Application("broken")],
    }
    with World(services, local.port, **FILES) as world:
        make_trouble(world)
        world.admin = f"127.0.0.1:{world.sidecar.admin}"
        yield world
    local.refuse()
    local.fresh()


def test_top_once(troubled):
    """Services with rates and notes, callers, and the last failures; plain text when nobody looks at a terminal."""
    done = top("--once", admin=troubled.admin)
    assert (done.returncode, done.stderr) == (0, "") and "\x1b" not in done.stdout
    lines = done.stdout.splitlines()
    assert lines[0].startswith("web 1.0.0  ready  up ") and troubled.admin in lines[0]
    line = lambda name: next(each for each in lines if each.startswith(name + " "))  # noqa: E731
    assert "2 instances, 1 ejected" in line("stock") and "breaker open" in line("broken") and line("shop")
    assert re.search(r"CALLED SERVICE +REQ/S +ERR/S +ERR % +P50 ms +P90 ms +P99 ms", done.stdout)
    numbers = line("cart").split()[1:7]
    assert float(numbers[0]) > 0 and numbers[2] == "0.0" and 0 < float(numbers[3]) <= float(numbers[5])
    failures = lines[lines.index("LAST FAILURES") + 1 :]
    assert any("circuit_open" in each for each in failures) and len(failures) <= 5


def test_top_as_json(troubled):
    """The document of the admin API, to be read by scripts."""
    done = top("--once", "--json", admin=troubled.admin)
    assert (done.returncode, done.stderr) == (0, "")
    found, asked = json.loads(done.stdout), call(troubled.sidecar.admin, "/v1/mesher/traffic").json
    assert set(found) == set(asked)
    flat = lambda services: {each["name"]: (each["requests"], each["failures"]) for each in services}  # noqa: E731
    assert flat(found["services"]) == flat(asked["services"])
    broken = next(each for each in found["services"] if each["name"] == "broken")
    assert broken["breaker"]["state"] == "open" and set(broken) >= {"requestRate", "instances", "routes"}


def test_top_goes_on(troubled):
    """A document a line, until it is told to end."""
    command = [harness.binary(), "top", "--admin", troubled.admin, "--json", "--interval", "0.1"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    times = [json.loads(process.stdout.readline())["time"] for _ in range(3)]
    assert times == sorted(set(times))
    process.send_signal(signal.SIGTERM)
    process.wait(10)
    process.stdout.close()


def test_top_in_a_terminal(troubled):
    """It takes the whole screen, and gives it back as it was when it is ended."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(harness.binary(), [harness.binary(), "top", "--admin", troubled.admin, "--interval", "0.1"])
    seen = b""

    def read():
        nonlocal seen
        while select.select([terminal], [], [], 0)[0]:
            try:
                seen += os.read(terminal, 1 << 16)
            except OSError:  # its end
                return True
        return False

    try:
        eventually(lambda: read() or seen.count(b"CALLED SERVICE") > 1, lambda: f"not drawn: {seen}")
        assert seen.startswith(b"\x1b[?1049h") and b"\x1b[1mCALLED SERVICE" in seen
        os.kill(pid, signal.SIGINT)
        eventually(read, "it does not end")
        assert seen.endswith(b"\x1b[?25h\x1b[?1049l")
    finally:
        os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        os.close(terminal)
    assert os.waitstatus_to_exitcode(status) in (0, -signal.SIGKILL)


def test_top_keeps_to_its_window(troubled):
    """What does not fit is neither wrapped nor scrolled away."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(harness.binary(), [harness.binary(), "top", "--admin", troubled.admin, "--interval", "0.1"])
    seen = b""

    def drawn():
        nonlocal seen
        while select.select([terminal], [], [], 0)[0]:
            seen += os.read(terminal, 1 << 16)
        return b"more lines" in seen

    try:
        # Eight rows of eighty columns, from the next picture on.
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 8, 80, 0, 0))
        eventually(drawn, lambda: f"more than fits: {seen}")
        assert seen.startswith(b"\x1b[?1049h\x1b[?25l\x1b[?7l"), "long lines are wrapped"
        picture = seen[seen.rindex(b"\x1b[H", 0, seen.index(b"more lines")) :].partition(b"\x1b[J")[0]
        assert picture.count(b"\n") == 7
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(terminal)


def test_top_of_nothing():
    """No sidecar: exit status 1, the address, and what to do."""
    nowhere = f"127.0.0.1:{harness.free_port('127.0.0.1')}"
    for arguments in (["--once"], ["--once", "--json"]):
        began = time.monotonic()
        done = top(*arguments, admin=nowhere)
        assert time.monotonic() - began < 2, "a port that refuses is known at once"
        assert (done.returncode, done.stdout) == (1, "")
        assert nowhere in done.stderr and "--admin host:port" in done.stderr and "rest-admin" in done.stderr


def test_top_of_something_else(troubled):
    """What answers is no sidecar."""
    other = Application("other")
    done = top("--once", admin=f"127.0.0.1:{other.port}")
    assert done.returncode == 1 and "no sidecar of this version" in done.stderr
    other.refuse()
    other.fresh()


@pytest.mark.parametrize("interval", ["0", "-1", "never", "4000"])
def test_top_with_a_bad_interval(interval):
    done = top("--interval", interval, admin="127.0.0.1:1")
    assert done.returncode not in (0, 1) and "interval" in done.stderr


def test_top_shows_no_control_characters(troubled):
    """What clients send does not drive the operator's terminal."""
    with troubled.client("127.0.0.2") as client:
        caller = json.dumps({"x-cse-src-microservice": "ca\x1b[31mller\u009b31m\u202egnp"})
        client.send(
            harness.request("GET", "/%1b31m/503", f"x-cse-context: {caller}", host="Host: web")
        )
        client.response()
    failed = lambda: "/503" in str(call(troubled.sidecar.admin, "/v1/mesher/traffic").json["failures"][0])  # noqa: E731
    eventually(failed, "the failure is not shown")
    done = top("--once", admin=troubled.admin)
    assert "/503" in done.stdout and not re.search(
        "[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", done.stdout
    )
