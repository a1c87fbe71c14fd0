# SPDX-License-Identifier: Apache-2.0
"""What the documentation tells readers to type, typed; what it says they will see, seen."""

import contextlib
import os
import re
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from harness import REPOSITORY, binary, eventually

# Pages use the ports of a fresh installation.
PORTS = [8080, 8081, 8083, 8085, 30101, 30102, 30201, 30202]


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


def type_in(text, **environment):
    """Types the commands of a text into one shell, and compares what each prints."""
    typed = commands(text)
    mark = "----8<----"
    script = "".join(f"{command}\necho '{mark}'\n" for command, _ in typed)
    done = subprocess.run(
        ["bash"],
        input=script,
        capture_output=True,
        text=True,
        timeout=60,
        cwd=REPOSITORY,
        env={**os.environ, **environment},
    )
    printed = done.stdout.split(mark + "\n")
    assert len(printed) == len(typed) + 1, f"the shell has ended: {done.stderr}"
    for (command, expected), actual in zip(typed, printed, strict=False):
        assert actual == expected, f"$ {command}\n{done.stderr}"


@contextlib.contextmanager
def running(*command, until, cwd=REPOSITORY, **environment):
    """A process for as long as the block, from when the port `until` takes connections."""
    process = subprocess.Popen(command, cwd=cwd, env={**os.environ, **environment}, stdout=subprocess.DEVNULL)

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


def test_quick_start():
    with running(binary(), "quickstart", until=8083) as process:
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


def ready(admin):
    asked = ["curl", "-s", "--noproxy", "*", f"http://127.0.0.1:{admin}/readyz"]
    return subprocess.run(asked, capture_output=True, text=True, timeout=5).stdout.startswith("ready")


def test_two_services_and_two_sidecars():
    """The example folder: web, its sidecar, the sidecar of cart, cart; and nothing is left running at the end."""
    page = section("examples/two-services/README.md")
    with running(REPOSITORY / "examples/two-services/run", until=8081, MESHER_BIN=binary()) as process:
        eventually(lambda: ready(30102) and ready(30202), "not ready")
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        type_in(page)
    assert len(children) == 4
    assert not any(Path(f"/proc/{child}").exists() for child in children)
