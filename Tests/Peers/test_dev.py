# SPDX-License-Identifier: Apache-2.0
"""`mesher dev`: from a file to services that call each other by name, in one process; its page, its changes, its end."""

import contextlib
import http.client
import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import urllib.error
import urllib.request

import pytest
import yaml

import harness
from grpc_world import Channel, Service
from harness import REPOSITORY, answer, binary, eventually
from test_proxy_variable import CLIENTS, run


def environment():
    return {"PATH": os.environ["PATH"], "HOME": "/", "TMPDIR": os.environ.get("TMPDIR", "/tmp")}


class Dev:
    """The process with a file of its own, and an origin for each service of it."""

    def __init__(self, folder, services, rules=""):
        self.folder, self.file = folder, folder / "dev.yaml"
        self.origins = {name: harness.Origin() for name in services}
        for name, origin in self.origins.items():
            origin.script = harness.replies(answer(name.encode()))
        self.services = services
        self.write(rules)
        self.errors = (folder / "errors").open("wb")
        self.process = subprocess.Popen(
            [binary(), "dev", "dev.yaml"], cwd=folder, env=environment(), stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=self.errors, text=True,
        )  # fmt: skip
        self.words = ""
        for line in self.process.stdout:
            self.words += line
            if "Ctrl-C" in line:
                break
        assert "mesher dev is running" in self.words, self.said
        self.page = int(re.search(r"a page at http://127.0.0.1:(\d+)/", self.words)[1])
        found = re.findall(r"^  (\S+) +(?:127\.\S+|-) +127.0.0.1:(\d+)$", self.words, re.M)
        self.ports = {name: int(port) for name, port in found}

    def write(self, rules):
        lines = [text.format(port=self.origins[name].port) for name, text in self.services.items()]
        self.file.write_text("services:\n" + "".join(f"  {line}\n" for line in lines) + rules)

    @property
    def said(self):
        return (self.folder / "errors").read_text()

    def ask(self, caller, url, headers=None):
        """Status and body of a call that a service makes through its sidecar."""
        host = re.match(r"http://([^/]+)", url)
        connection = http.client.HTTPConnection("127.0.0.1", self.ports[caller], timeout=10)
        with contextlib.closing(connection):
            connection.request("GET", url, headers={"Host": host[1], **(headers or {})} if host else headers or {})
            done = connection.getresponse()
            return done.status, done.read().decode()

    def get(self, path):
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"http://127.0.0.1:{self.page}{path}", timeout=10) as done:
            return done.read().decode()

    def stop(self):
        """As Ctrl-C does."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        status = self.process.wait(20)
        self.process.stdout.close()
        self.errors.close()
        for origin in self.origins.values():
            origin.refuse()
        return status


SERVICES = {
    "web": "web: {port}",
    "old": "cart: [{{port: {port}, version: 1.0.0}},",
    "new": "       {{port: {port}, version: 2.0.0}}]",
    "job": "job:",
}
SHARES = """
rules:
  routeRule:
    cart: [{precedence: 1, route: [{tags: {version: %s}, weight: 100}]}]
"""


@pytest.fixture(scope="module")
def dev(tmp_path_factory):
    dev = Dev(tmp_path_factory.mktemp("dev"), SERVICES, SHARES % "1.0.0")
    yield dev
    dev.stop()


def test_each_service_has_a_sidecar(dev):
    assert list(dev.ports) == ["web", "cart", "cart-2", "job"]
    assert dev.ports["web"] >= 30110 and len(set(dev.ports.values())) == 4
    for caller in dev.ports:
        assert dev.ask(caller, "http://cart/x") == (200, "old"), caller
    assert dev.ask("cart", "http://web/x") == (200, "web")
    # Who only calls is not called.
    assert dev.ask("web", "http://job/x")[0] == 502


def test_a_client_without_a_proxy_setting(dev):
    assert dev.ask("job", "/x", {"Host": "cart"}) == (200, "old")
    # The registry was asked, and does not know it.
    assert dev.ask("job", "/x", {"Host": "crat"})[0] == 400


def test_what_to_export(dev):
    port = dev.ports["cart-2"]
    printed = dev.words.split("  cart-2  ")[2].split("  job ")[0]
    for text in [
        f"export http_proxy=http://127.0.0.1:{port} no_proxy=127.0.0.1,localhost",
        f"export NODE_USE_ENV_PROXY=1 http_proxy=http://127.0.0.1:{port} ",
        f'export JAVA_TOOL_OPTIONS="-Dhttp.proxyHost=127.0.0.1 -Dhttp.proxyPort={port}"',
    ]:
        assert text in printed
    script = f"eval \"$(curl -s --noproxy '*' http://127.0.0.1:{dev.page}/env/cart-2)\"; env; curl -s http://web/x"
    shell = subprocess.run(["sh", "-c", script], capture_output=True, text=True, env=environment(), timeout=20)
    assert f"http_proxy=http://127.0.0.1:{port}\n" in shell.stdout and "NODE_USE_ENV_PROXY=1\n" in shell.stdout
    assert f"JAVA_TOOL_OPTIONS=-Dhttp.proxyHost=127.0.0.1 -Dhttp.proxyPort={port}\n" in shell.stdout
    assert shell.stdout.endswith("web")
    with pytest.raises(urllib.error.HTTPError) as refused:
        dev.get("/env/crat")
    assert refused.value.code == 404 and b"write one of web, cart, cart-2, job" in refused.value.read()


LANGUAGES = [name for name in CLIENTS if not re.search("aiohttp|undici|Apache|file_get", name)]


@pytest.mark.parametrize("language", LANGUAGES)
def test_one_line_is_enough_for_each_language(dev, tmp_path, language):
    """What the page gives a shell; clients that need another word in their program are left out."""
    variables = dict(word.split("=", 1) for word in shlex.split(dev.get("/env/web"))[1:])
    for client in CLIENTS[language]:
        if not shutil.which(client.command[0]):
            pytest.skip(f"{client.command[0]} is not installed")
        for origin in dev.origins.values():
            origin.requests.clear()
        assert run(tmp_path, client.ready(tmp_path, ""), **variables)
        assert len(dev.origins["old"].requests) == 1


def test_rules_change_while_it_runs(dev):
    dev.write(SHARES % "2.0.0")
    eventually(lambda: dev.ask("web", "http://cart/x") == (200, "new"), lambda: dev.said, seconds=10)
    # One line, whoever has read the file.
    eventually(lambda: "configuration read again" in dev.said, lambda: dev.said)
    # A file with a mistake changes nothing, and is told with its line.
    dev.write("rules:\n  routeRule: {cart: [{precedence: x}]}\n")
    mistake = f'dev.yaml:{len(SERVICES) + 3}:35: routeRule.cart: "x" is no precedence'
    eventually(lambda: mistake in dev.said, lambda: dev.said, seconds=10)
    # Said once, not by each sidecar.
    assert dev.said.count(mistake) == 1 and dev.said.count("the old one stays") == 1
    assert dev.ask("web", "http://cart/x") == (200, "new")
    dev.write("  more: 1\n" + SHARES % "1.0.0")
    eventually(lambda: dev.ask("web", "http://cart/x") == (200, "old"), lambda: dev.said, seconds=10)
    eventually(lambda: "services.more: a service that is new; start mesher dev again" in dev.said, lambda: dev.said)
    dev.write(SHARES % "1.0.0")


def test_the_page_shows_all_of_them(dev, browser):
    dev.ask("web", "http://cart/x")
    dev.ask("cart", "http://web/x")
    dev.ask("job", "http://nosuch/x")
    document = json.loads(dev.get("/v1/dev/services"))
    assert document["file"] == "dev.yaml"
    assert [each["name"] for each in document["services"]] == ["web", "cart", "cart-2", "job"]
    browser.open(f"http://127.0.0.1:{dev.page}/")
    calls = lambda: [line.split()[:2] for line in browser.text("#call-rows").splitlines()]  # noqa: E731
    both = [["web", "cart"], ["cart", "web"]]
    eventually(lambda: all(pair in calls() for pair in both), lambda: browser.text("body"), seconds=10)
    eventually(lambda: "nosuch/x" in browser.text("#failures"), lambda: browser.text("#failures"))
    assert "ready" in browser.text("#services")
    assert browser.text("#state").endswith("live")
    link = browser.run("document.querySelector('#services a').href")
    assert browser.complaints() == []
    # On a phone no table has to be pushed sideways.
    send = browser.send
    send("Emulation.setDeviceMetricsOverride", width=390, height=800, deviceScaleFactor=2, mobile=True)
    wide = "[...document.querySelectorAll('section')].filter(each => each.scrollWidth > each.clientWidth).length"
    eventually(lambda: browser.run("innerWidth") == 390 and browser.run(wide) == 0, lambda: browser.run(wide))
    assert "ready" in browser.text("#services")
    # The page of the sidecar itself.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(link + "v1/mesher/traffic", timeout=10) as done:
        assert json.load(done)["self"]["name"] == "web"


def test_no_other_name_may_ask_for_the_page(dev):
    connection = http.client.HTTPConnection("127.0.0.1", dev.page, timeout=10)
    with contextlib.closing(connection):
        connection.request("GET", "/env/web", headers={"Host": "evil.example"})
        assert connection.getresponse().status == 403


def test_a_second_one_takes_other_ports(dev, tmp_path):
    other = Dev(tmp_path, {"web": "web: {port}", "cart": "cart: {port}"})
    try:
        assert not {other.page, *other.ports.values()} & {dev.page, *dev.ports.values()}
        # Each has its own registry.
        assert other.ask("web", "http://cart/x") == (200, "cart")
        assert dev.ask("web", "http://cart/x") == (200, "old")
    finally:
        other.stop()


def test_ctrl_c_ends_everything(tmp_path):
    dev = Dev(tmp_path, {"web": "web: {port}", "job": "job:"})
    ports = [dev.page, *dev.ports.values()]
    state = [path for path in os.listdir(environment()["TMPDIR"]) if path == f"mesher-dev-{dev.process.pid}"]
    assert state
    assert dev.stop() == 0
    # Nothing is said of the good-byes.
    assert dev.said == "mesher: stopping signal=SIGINT\n"
    assert not [path for path in os.listdir(environment()["TMPDIR"]) if path == f"mesher-dev-{dev.process.pid}"]
    for port in ports:
        with socket.socket() as sock:
            assert sock.connect_ex(("127.0.0.1", port)) != 0


def test_a_service_that_is_not_well_gets_no_calls(tmp_path):
    dev = Dev(tmp_path, {"web": "web: {port}", "cart": "cart: {{port: {port}, health: /health}}"})
    try:
        eventually(lambda: dev.ask("web", "http://cart/x") == (200, "cart"), lambda: dev.said, seconds=10)
        dev.origins["cart"].script = harness.replies(answer(b"ill", "500 Ill"))
        eventually(lambda: dev.ask("web", "http://cart/x")[0] == 502, lambda: dev.said, seconds=20)
    finally:
        dev.stop()


def test_grpc(tmp_path):
    """A call by the proxy that the page tells of, to a service that listens for gRPC."""
    with Service() as service:
        dev = Dev(tmp_path, {"web": f"web: {{{{ports: {{{{grpc: {service.port}}}}}}}}}", "job": "job:"})
        try:
            options = [("grpc.http_proxy", f"http://127.0.0.1:{dev.ports['job']}"), ("grpc.enable_http_proxy", 1)]
            with Channel("web:9000", *options) as channel:
                assert channel.unary("Echo", b"hello", timeout=10) == b"hello"
        finally:
            dev.stop()
    assert len(service.calls) == 1


def test_variables_stand_in_for_values(tmp_path):
    (tmp_path / "dev.yaml").write_text("services: {web: '${WEB_PORT||8080}'}\n")
    for port, status in [("8081", 0), ("x", 1)]:
        done = subprocess.run(
            [binary(), "check", "dev.yaml"], cwd=tmp_path, env={**environment(), "WEB_PORT": port}, timeout=20
        )
        assert done.returncode == status


# -- Mistakes ----------------------------------------------------------------------------------------------------------

MISTAKES = {
    "prot": (
        "services:\n  web: {prot: 8080}\n",
        ["2:9: services.web.prot: unknown key; did you mean port?"],
    ),
    "nothing": ("services: {}\n", ["1:1: services: there is no service; write services: {web: 8080}"]),
    "key": ("services: {web: 80}\nrule: {}\n", ["2:1: rule: unknown key; did you mean rules?"]),
    "place": ("services: {web: 80}\nrouteRule: {}\n", ["2:1: routeRule: unknown key; write it below rules"]),
    "port": (
        "services:\n  web: 808O\n  cart: {port: 99999}\n",
        [
            '2:8: services.web: "808O" is no port; write a number, 1 to 65535',
            '3:16: services.cart.port: "99999" is no port; write a number, 1 to 65535',
        ],
    ),
    "twice": (
        "services:\n  web: 8080\n  cart: {port: 8080}\n",
        ["3:16: services.cart.port: port 8080 is that of web; write another one"],
    ),
    "ports": (
        "services:\n  web: {ports: {rest: 8080, grpc: x}}\n",
        ["2:16: services.web.ports: [grpc:x] is invalid; write protocol:port, such as rest:8080 or rest:8080,grpc:9000"],
    ),
    "own": (
        "services: {web: 8080}\nrules:\n  mesher: {servicePorts: 'rest:1'}\n",
        ["3:26: mesher.servicePorts: mesher dev sets this by itself; write port or ports for the service"],
    ),
    "health": (
        "services:\n  web: {health: /h}\n",
        ["2:17: services.web.health: there is no port to ask; write port: 8080 as well"],
    ),
    "rules": (
        "services: {web: 8080, cart: 8081}\nrules:\n  mesher: {timeouts: {connect: soon}}\n",
        ['3:32: mesher.timeouts.connect: "soon" is not a duration; write one such as 500ms, 30s or 1h30m'],
    ),
    "name": (
        "services:\n  web_: 8080\n",
        ['2:3: service_description.name: service-center takes no service "web_"; write letters, digits, _ - and .,'
         " with a letter or a digit at both ends, 128 at most"],
    ),
    "yaml": ("services:\n\tweb: 80\n", ["2:1: a tab indents this line; use spaces"]),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_told_where_it_is(tmp_path, mistake):
    """The check and the start say the same."""
    text, expected = MISTAKES[mistake]
    (tmp_path / "dev.yaml").write_text(text)
    expected = [f"dev.yaml:{line}" for line in expected]
    for command in ("check", "dev"):
        done = subprocess.run(
            [binary(), command, "dev.yaml"], cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=20
        )
        assert done.returncode == 1
        *said, last = (done.stdout if command == "check" else done.stderr).splitlines()
        assert said == expected, command
    assert last == f"mesher: not started: {'one error' if len(expected) == 1 else f'{len(expected)} errors'}"


def test_names_that_no_service_has(tmp_path):
    """Warned of by the check, as where a registry file says what there is."""
    (tmp_path / "dev.yaml").write_text(
        "services: {web: 8080, cart: {port: 8081, version: 1.0.0}}\nrules:\n  routeRule:\n"
        "    crat: [{precedence: 1, route: [{tags: {version: 1.0.0}, weight: 100}]}]\n"
        "    cart: [{precedence: 1, route: [{tags: {version: 2.0.0}, weight: 100}]}]\n"
    )
    done = subprocess.run(
        [binary(), "check", "dev.yaml"], cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=20
    )
    assert done.returncode == 0
    assert "dev.yaml has no service crat; did you mean cart?" in done.stdout
    assert "no instance of cart has the version 2.0.0" in done.stdout
    assert len(done.stdout.splitlines()) == 3


def test_a_port_that_is_taken(tmp_path):
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        port = sock.getsockname()[1]
        (tmp_path / "dev.yaml").write_text(f"page: {port}\nservices: {{web: 8080}}\n")
        done = subprocess.run(
            [binary(), "dev"], cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=20
        )
    assert done.returncode == 1
    assert (
        f"dev.yaml:1:7: page: port {port} of 127.0.0.1 is taken; free it, write another, or leave it out" in done.stderr
    )


def test_a_file_that_is_not_there(tmp_path):
    done = subprocess.run(
        [binary(), "dev", "nosuch.yaml"], cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=20
    )
    assert done.returncode == 1 and "nosuch.yaml: the file does not exist" in done.stderr


# -- Examples ----------------------------------------------------------------------------------------------------------


def test_the_example(tmp_path):
    """Without a word, and with the ports that the page of documentation prints."""
    done = subprocess.run(
        [binary(), "check", "--strict", "examples/dev.yaml"], cwd=REPOSITORY, env=environment(), capture_output=True,
        text=True, timeout=20,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "no errors in 1 file (examples/dev.yaml)\n")


def test_compose():
    """Each service has a sidecar in its network, and the registry file names the containers."""
    folder = REPOSITORY / "examples/compose"
    services = yaml.safe_load((folder / "compose.yaml").read_text())["services"]
    sidecars = {name: each for name, each in services.items() if each["image"] == "mesher"}
    assert {each["network_mode"] for each in sidecars.values()} == {
        f"service:{name}" for name in services if name not in sidecars
    }
    registry = yaml.safe_load((folder / "conf/services.yaml").read_text())["service"]
    for each in registry:
        assert each["name"] in services and each["instance"] == [f"rest://{each['name']}:30101"]
    for each in services.values():
        for source in [volume.split(":")[0] for volume in each["volumes"]]:
            assert (folder / source).exists()
    for each in sidecars.values():
        variables = {**environment(), **each["environment"], "CHASSIS_CONF_DIR": "conf", "mesher_listenIP": "127.0.0.2"}
        done = subprocess.run(
            [binary(), "check", "--strict"], cwd=folder, env=variables, capture_output=True, text=True, timeout=20
        )
        assert (done.returncode, done.stdout[:9]) == (0, "no errors"), done.stdout
