# SPDX-License-Identifier: Apache-2.0
"""What the documentation tells readers to type, typed; what it says they will see, seen."""

import contextlib
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

from authority import Authority
from harness import REPOSITORY, binary, eventually, listens

# Pages use the ports of a fresh installation.
PORTS = [6060, 8080, 8081, 8083, 8085, 30100, 30101, 30102, 30110, 30111, 30201, 30202, 40101, 40201, 9000]

# What has to be running when a page's commands are typed. A page with commands is in one of these.
WITH_NOTHING = [
    "docs/command-line.md",
    "docs/configuration.md",
    "docs/editor.md",
    "docs/file-registry.md",
    "docs/inject.md",
    "docs/live-configuration.md",
    "docs/local-registry.md",
    "docs/migration.md",
    "docs/service-center.md",
]
WITH_QUICK_START = [
    "docs/destination-resolver.md",
    "docs/errors.md",
    "docs/explain.md",
    "docs/metrics.md",
    "docs/page.md",
    "docs/protocols.md",
    "docs/tap.md",
    "docs/troubleshooting.md",
]
# Pages whose last section with commands says in `sh` blocks what has to be started.
WITH_WHAT_THEY_START = ["docs/logs.md", "docs/mesh.md", "docs/profile.md", "docs/tracing.md"]
WITH_MORE = [
    "docs/admin-api.md",
    "docs/dev.md",
    "docs/life-cycle.md",
    "docs/quickstart.md",
    "examples/grpc/README.md",
    "examples/two-services/README.md",
]

# A reader's shell: no proxy, no key of mesher's, and `mesher` is found.
ENVIRONMENT = {"HOME": os.environ.get("HOME", "/"), "PATH": f"{Path(binary()).resolve().parent}:{os.environ['PATH']}"}


@pytest.fixture(autouse=True)
def free_ports():
    for port in PORTS:
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(("127.0.0.1", port))


def section(page, title=None):
    """A page of the repository, or the part of it under a heading."""
    text = (REPOSITORY / page).read_text()
    if title:
        text = re.split(r"^## ", text.split(f"## {title}\n", 1)[1], maxsplit=1, flags=re.M)[0]
    return text


def commands(text):
    """The commands of its `console` blocks, each with the output that is printed under it."""
    found = []
    for block in re.findall(r"```console\n(.*?)```", text, re.S):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append([line[2:], ""])
            elif line.startswith("> ") and not found[-1][1]:
                found[-1][0] += "\n" + line[2:]
            else:
                found[-1][1] += line + "\n"
    assert found, "no commands in the text"
    return found


def undated(text):
    """What a terminal shows, whenever it was."""
    return re.sub(r"^Date: .* GMT$", "Date: now", text.rstrip("\n"), flags=re.M)


def type_in(text):
    """Types the commands of a text into one shell, and compares what the terminal shows after each."""
    typed = commands(text)
    mark = "----8<----"
    script = "".join(f"{command}\necho '{mark}'\n" for command, _ in typed)
    done = subprocess.run(
        ["bash"],
        input=script.replace(".build/release/mesher", binary()),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        cwd=REPOSITORY,
        env=ENVIRONMENT,
    )
    printed = done.stdout.split(mark + "\n")
    assert len(printed) == len(typed) + 1, f"the shell has ended: {done.stdout}"
    for (command, expected), actual in zip(typed, printed, strict=False):
        assert undated(actual) == undated(expected), f"$ {command}"


@contextlib.contextmanager
def running(*command, until, cwd=REPOSITORY, **environment):
    """A process for as long as the block, from when the port `until` takes connections."""
    process = subprocess.Popen(command, cwd=cwd, env={**ENVIRONMENT, **environment}, stdout=subprocess.DEVNULL)

    def serving():
        assert process.poll() is None, "the process has ended"
        with socket.socket() as sock:
            return sock.connect_ex(("127.0.0.1", until)) == 0

    try:
        eventually(serving, "nothing listens", seconds=10)
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(35)


def test_no_command_is_left_out():
    pages = [*REPOSITORY.glob("*.md"), *REPOSITORY.glob("docs/*.md"), *REPOSITORY.glob("examples/*/*.md")]
    found = {str(page.relative_to(REPOSITORY)) for page in pages if "```console\n" in page.read_text()}
    assert found == {*WITH_NOTHING, *WITH_QUICK_START, *WITH_WHAT_THEY_START, *WITH_MORE}


@pytest.mark.parametrize("page", WITH_NOTHING)
def test_page(page):
    type_in(section(page))


@contextlib.contextmanager
def quick_start():
    """The quick start for as long as the block, ready for a first request."""
    with running(binary(), "quickstart", until=8083) as process:
        eventually(registered, "not registered")
        eventually(lambda: ready(30102), "not ready")
        # Its registry may have begun to listen a moment after the sidecar asked for the first time.
        eventually(lambda: status("http://127.0.0.1:30102/v1/mesher/health") == "200", "not well", seconds=10)
        yield process


@pytest.mark.parametrize("page", WITH_QUICK_START)
def test_page_with_the_quick_start_running(page):
    with quick_start():
        type_in(section(page))


def type_in_with_what_is_started(text):
    """Types what stands before the first `sh` block, starts what those blocks have, and types the rest."""
    before, *others = re.split(r"```sh\n(.*?)```", text, flags=re.S)
    type_in(before)
    with contextlib.ExitStack() as started:
        for command in others[::2]:
            words = shlex.split(command)
            variables = dict(word.split("=", 1) for word in words if re.match(r"[A-Z_]+=", word))
            program, *arguments = words[len(variables) :]
            is_sidecar = program == "mesher"
            until = 30102 if is_sidecar else int(next(word for word in arguments if word.isdigit()))
            path = binary() if is_sidecar else program
            started.enter_context(running(path, *arguments, until=until, **variables))
        eventually(lambda: ready(30102), "not ready")
        type_in("".join(others[1::2]))


@pytest.mark.parametrize("page", WITH_WHAT_THEY_START)
def test_page_with_what_it_starts(page):
    type_in_with_what_is_started(section(page, "Trying it out"))


def test_admin_api():
    text = section("docs/admin-api.md")
    with_the_quick_start, _, others = text.partition("Changing it needs a token")
    with quick_start():
        type_in(with_the_quick_start)
    type_in_with_what_is_started(others)


def test_quick_start():
    with quick_start() as process:
        titles = ["The first request", "When something is wrong", "Looking inside"]
        type_in("".join(section("docs/quickstart.md", title) for title in titles))
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0


def test_quick_start_says_what_the_readme_says():
    """The words on the screen are the two commands of the README, and those answer."""
    readme = re.search(r"```sh\n(export http_proxy.*?)```", section("README.md"), re.S).group(1)
    process = subprocess.Popen([binary(), "quickstart"], stdout=subprocess.PIPE, text=True)
    try:
        screen = ""
        while "curl" not in screen:
            line = process.stdout.readline()
            assert line, f"ended after {screen}"
            screen += line
        assert [line.strip() for line in screen.splitlines() if line.startswith("  ")] == readme.splitlines()
        done = subprocess.run(["bash", "-c", readme], capture_output=True, text=True, timeout=20)
        assert done.stdout == "Hello peter, this is RESTServer.\n"
    finally:
        process.terminate()
        process.wait(10)


def test_quick_start_with_a_service_of_ones_own():
    text = section("docs/quickstart.md", "Your own service")
    files, _, call = text.partition("In a third terminal")
    type_in(files)
    assert "cd /tmp/shop && python3 -m http.server 8080 --bind 127.0.0.1\n" in text
    assert "CHASSIS_CONF_DIR=/tmp/shop .build/release/mesher --service-ports rest:8080\n" in text
    with (
        running("python3", "-m", "http.server", "8080", "--bind", "127.0.0.1", until=8080, cwd="/tmp/shop"),
        running(binary(), "--service-ports", "rest:8080", until=30101, CHASSIS_CONF_DIR="/tmp/shop") as sidecar,
    ):
        eventually(lambda: ready(30102), "not ready")
        type_in(call)
        assert sidecar.poll() is None


def test_several_services_on_a_laptop():
    """The file's mistake, the words on the screen, and two services in Python that find each other."""
    type_in(section("docs/dev.md", "A file"))
    screen = re.search(r"^```\n(mesher dev is running.*?)^```", section("docs/dev.md"), re.S | re.M)[1]
    process = subprocess.Popen(
        [binary(), "dev", "examples/dev.yaml"], cwd=REPOSITORY, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True
    )
    try:
        assert "".join(process.stdout.readline() for _ in screen.splitlines()) == screen
        type_in(section("docs/dev.md", "Start the services"))
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0


def registered():
    """Whether the quick start's service can be found."""
    base = "http://127.0.0.1:30100/v4/default/registry/instances?appId=default&serviceName=RESTServer"
    return "instanceId" in subprocess.run(["curl", "-s", "--noproxy", "*", base], capture_output=True, text=True).stdout


def ready(admin):
    asked = ["curl", "-s", "--noproxy", "*", f"http://127.0.0.1:{admin}/readyz"]
    return subprocess.run(asked, capture_output=True, text=True, timeout=5).stdout.startswith("ready")


def test_two_services_and_two_sidecars():
    """The example folder: web, its sidecar, the sidecar of cart, cart; and nothing is left running at the end."""
    page = section("examples/two-services/README.md")
    with running(REPOSITORY / "examples/two-services/run", until=8081, MESHER_BIN=binary()) as process:
        eventually(lambda: ready(30102) and ready(30202), "not ready")
        eventually(lambda: listens("127.0.0.1", 8085), "cart is not there")
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        type_in(page)
    assert len(children) == 4
    assert not any(Path(f"/proc/{child}").exists() for child in children)


def test_grpc_with_mutual_tls(monkeypatch):
    """The example folder: a client in Python, two sidecars, cart; with certificates of its own."""
    page = section("examples/grpc/README.md")
    # grpcio is installed beside the Python that runs the tests.
    path = f"{Path(sys.executable).parent}:{ENVIRONMENT['PATH']}"
    monkeypatch.setitem(ENVIRONMENT, "PATH", path)
    with running(REPOSITORY / "examples/grpc/run", until=40101, MESHER_BIN=binary()):
        eventually(lambda: ready(30102) and ready(30202), "not ready")
        eventually(lambda: listens("127.0.0.1", 9000), "cart is not there")
        type_in(page)


def test_a_reload():
    text = section("docs/life-cycle.md", "Reload")
    files, started, changes = text.partition("```sh\nCHASSIS_CONF_DIR=/tmp/reload mesher\n```\n")
    assert started
    type_in(files)
    with running(binary(), until=30102, CHASSIS_CONF_DIR="/tmp/reload"):
        eventually(lambda: ready(30102), "not ready")
        type_in(changes)


def test_reference_of_the_keys():
    """The committed page is what the program prints: mesher reference > docs/configuration-reference.md"""
    printed = subprocess.run([binary(), "reference"], capture_output=True, text=True, timeout=20, check=True).stdout
    assert section("docs/configuration-reference.md") == printed


def test_every_option_is_explained():
    page = section("docs/command-line.md")
    for command in ["run", "check", "config", "explain", "top", "quickstart", "dev", "reference"]:
        printed = subprocess.run([binary(), command, "--help"], capture_output=True, text=True, timeout=20).stdout
        options = set(re.findall(r"^ +(?:-\w, )?(--[a-z-]+)", printed, re.M)) - {"--help", "--version"}
        assert [option for option in sorted(options) if option not in page] == []


def test_links():
    """Those of all pages, also where Sphinx does not look: files exist, and headings."""
    broken = []
    listed = subprocess.run(
        ["git", "ls-files", "*.md"], cwd=REPOSITORY, capture_output=True, text=True, check=True
    ).stdout
    for page in [REPOSITORY / name for name in listed.split()]:
        for path, title in re.findall(r"\]\((?!https?:)([^)#\s]*)#?([^)\s]*)\)", page.read_text()):
            target = (page.parent / path) if path else page
            if not target.exists() or (title and title not in anchors(target)):
                broken.append(f"{page.name}: {path}#{title}")
    assert broken == []


def anchors(page):
    """What links to the headings of a page end in, as most renderers of Markdown have it."""
    titles = re.findall(r"^#+ (.*)$", page.read_text(), re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def configurations():
    """The YAML of the pages that is configuration: not a registry file, a Compose file or a manifest."""
    for page in sorted(REPOSITORY.glob("docs/*.md")):
        blocks = re.findall(r"^```yaml\n(.*?)^```", page.read_text(), re.S | re.M)
        for number, block in enumerate(blocks, 1):
            if not block.startswith(("service:", "services:", "apiVersion:")):
                yield pytest.param(block, id=f"{page.stem}-{number}")


@pytest.mark.parametrize("block", list(configurations()))
def test_example_of_a_configuration(block, tmp_path):
    if "/etc/mesh/" in block:
        authority = Authority(tmp_path)
        for name in set(re.findall(r"/etc/mesh/(\w+)\.key", block)):
            authority.issue(name, dns=[name])
        block = block.replace("/etc/mesh/", f"{tmp_path}/")
    (tmp_path / "chassis.yaml").write_text(block)
    environment = {"CHASSIS_CONF_DIR": str(tmp_path), "SERVICE_NAME": "shop"}
    done = subprocess.run([binary(), "check", "--strict"], env=environment, capture_output=True, text=True, timeout=20)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout


def test_compose_names():
    """The registry file for a Compose project names hosts that the project has."""
    text = section("docs/file-registry.md", "Host names")
    project, registry = (yaml.safe_load(block) for block in re.findall(r"^```yaml\n(.*?)^```", text, re.S | re.M))
    hosts = {urlsplit(endpoint).hostname for service in registry["service"] for endpoint in service["instance"]}
    assert hosts and hosts <= set(project["services"])
    assert project["services"]["mesher"]["network_mode"].removeprefix("service:") in project["services"]


def test_kubernetes_manifest(tmp_path):
    """The files and variables of the manifest make a sidecar that its probes find ready at the pod's address."""
    manifest = re.search(r"```yaml\n(apiVersion.*?)```", section("docs/infrastructure.md"), re.S)[1]
    config_map, deployment = yaml.safe_load_all(manifest)
    pod = deployment["spec"]["template"]["spec"]
    sidecar = pod["initContainers"][0]
    for name, text in config_map["data"].items():
        (tmp_path / name).write_text(text)
    variables = {each["name"]: each["value"] for each in sidecar["env"]}
    assert variables["CHASSIS_CONF_DIR"] == sidecar["volumeMounts"][0]["mountPath"]
    variables["CHASSIS_CONF_DIR"] = str(tmp_path)
    checked = subprocess.run(
        [binary(), "check", "--strict", "--json"], env=variables, capture_output=True, text=True, timeout=20
    )
    report = json.loads(checked.stdout)
    assert report["problems"] == []
    advertised = dict(endpoint.split("://") for endpoint in report["endpoints"])
    with running(binary(), until=30101, **variables):
        for kind in ["startupProbe", "readinessProbe", "livenessProbe"]:
            probe = sidecar[kind]["httpGet"]
            port = next(each["containerPort"] for each in sidecar["ports"] if each["name"] == probe["port"])
            # A machine without a network has no address but loopback.
            address = advertised.get("rest-admin", f"127.0.0.1:{port}")
            assert address.endswith(f":{port}")
            eventually(lambda url=f"http://{address}{probe['path']}": status(url) == "200", "the probe fails")
    assert pod["terminationGracePeriodSeconds"] > 30


def status(url):
    asked = ["curl", "-s", "--noproxy", "*", "-o", "/dev/null", "-w", "%{http_code}", url]
    return subprocess.run(asked, capture_output=True, text=True, timeout=5).stdout
