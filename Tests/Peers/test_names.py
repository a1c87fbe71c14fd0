# SPDX-License-Identifier: Apache-2.0
"""Endpoints and external hosts by name: looked up, looked up again, and nobody waits for a name that is not theirs."""

import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from governance import World
from harness import eventually, free_port
from test_discovery import Caller, Center, certificates, registry, tls_of, world  # noqa: F401
from test_discovery import instances as found

FILE = {"cse.service.registry.type": "file", "cse.service.registry.address": "services.yaml"}


class Instance:
    """Answers with the address that it was asked at."""

    def __init__(self, address, port):
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # head and body in one piece

            def do_GET(self):
                self.send_response(200)
                self.send_header("Content-Length", str(len(address)))
                self.end_headers()
                self.wfile.write(address.encode())

            def log_message(self, *_):
                """Not to the terminal."""

        self.server = ThreadingHTTPServer((address, port), Handler)
        self.server.daemon_threads = True
        Thread(target=self.server.serve_forever, args=[0.01], daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


class Names:
    """What the sidecars of a test take for DNS; `-` for a name that is never answered, `~2` for one that takes 2 s."""

    def __init__(self, path):
        self.path, self.names = path, {}
        self.set()

    def set(self, **names):
        self.names |= {name.replace("_", "-"): addresses for name, addresses in names.items()}
        new = self.path.with_suffix(".new")
        new.write_text("".join(f"{name} {addresses}\n" for name, addresses in self.names.items()))
        new.rename(self.path)


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    library = tmp_path_factory.mktemp("names") / "names.so"
    source = Path(__file__).with_name("names.c")
    subprocess.run(["clang", "-shared", "-fPIC", "-O2", "-Wall", "-Werror", "-o", library, source], check=True)
    return library


@pytest.fixture
def names(library, tmp_path, monkeypatch):
    names = Names(tmp_path / "names")
    monkeypatch.setenv("LD_PRELOAD", str(library))
    monkeypatch.setenv("NAMES", str(names.path))
    return names


@pytest.fixture
def instances(world):  # noqa: F811
    """Three instances on one port of three addresses; gives the port."""
    addresses = ["127.0.0.5", "127.0.0.6", "127.0.0.7"]
    port = free_port(*addresses)
    for address in addresses:
        world(Instance, address, port)
    return port


def answers(caller, service, count=12):
    """Who answers; every request has to be answered."""
    found = [caller.get(service) for _ in range(count)]
    assert {status for status, *_ in found} == {200}, found
    return {body for *_, body in found}


def follows(caller, service, names):
    """Traffic goes to the addresses of a name, then to those that it has instead, and on when there is no answer."""
    assert answers(caller, service) == {"127.0.0.5", "127.0.0.6"}
    names.set(cart_host="127.0.0.6 127.0.0.7")
    eventually(
        lambda: answers(caller, service) == {"127.0.0.6", "127.0.0.7"}, "not looked up again", seconds=15
    )
    names.set(cart_host="")
    began = time.monotonic()
    while time.monotonic() - began < 6:
        assert answers(caller, service) == {"127.0.0.6", "127.0.0.7"}


def test_a_file_registry(names, instances, world, tmp_path):  # noqa: F811
    names.set(cart_host="127.0.0.5 127.0.0.6", dead="-")
    folder = tmp_path / "web"
    folder.mkdir()
    entries = {"cart": f"rest://Cart-Host:{instances}", "slow": "rest://dead:1", "plain": f"rest://127.0.0.5:{instances}"}
    services = "".join(f'- {{name: {name}, instance: ["{endpoint}"]}}\n' for name, endpoint in entries.items())
    (folder / "services.yaml").write_text(f"service:\n{services}")
    caller = world(Caller, folder, 1, **FILE)
    with ThreadPoolExecutor() as pool:
        slow = pool.submit(caller.get, "slow")
        began = time.monotonic()
        assert answers(caller, "plain") == {"127.0.0.5"}
        assert answers(caller, "cart") == {"127.0.0.5", "127.0.0.6"}
        assert time.monotonic() - began < 1.5
        assert slow.result()[:2] in [(502, "no_endpoint"), (503, "not_ready")]
    eventually(lambda: caller.get("slow")[:2] == (502, "no_endpoint"), "the wait never ends")
    follows(caller, "cart", names)


def test_service_center(names, instances, registry, world, tmp_path):  # noqa: F811
    names.set(cart_host="127.0.0.5 127.0.0.6", dead="-")
    for name, endpoint in [("cart", f"rest://cart-host:{instances}"), ("slow", "rest://dead:1")]:
        service = registry.service(appId="shop", serviceName=name)
        registry.instance(service, endpoints=[endpoint])
    caller = world(Caller, tmp_path / "web", registry.port)
    with ThreadPoolExecutor() as pool:
        slow = pool.submit(caller.get, "slow")
        began = time.monotonic()
        assert answers(caller, "cart") == {"127.0.0.5", "127.0.0.6"}
        assert time.monotonic() - began < 1.5
        assert slow.result()[0] in (502, 503)
    follows(caller, "cart", names)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_service_center_by_name(names, world, tmp_path, certificates, scheme):  # noqa: F811
    """It is asked at one address of its name after the other, also when its name cannot be looked up any more."""
    names.set(sc_host="127.0.0.0 127.0.0.1")
    port = free_port("127.0.0.1")
    world(Instance, "127.0.0.1", port)
    tls, told = None, set()
    if scheme == "https":
        tls = tls_of(certificates, mutual=False, server="named")
        tls.sni_callback = lambda _socket, name, _context: told.add(name)

    def find(handler, _):
        told.add(handler.headers["Host"].split(":")[0])
        handler.found(*found(1, port))

    center = world(Center, find, tls=tls)
    keys = {"verifyPeer": "true", "caFile": certificates / "ca.crt"} if tls else {}
    caller = world(
        Caller,
        tmp_path / "web",
        center.port,
        **{f"ssl.registry.Consumer.{key}": value for key, value in keys.items()},
        **{"cse.service.registry.address": f"{scheme}://sc-host:{center.port}"},
    )
    assert caller.get("cart")[0] == 200
    names.set(sc_host="-")
    # Every one of its connections ends, and the name is not answered for any more.
    center.is_over = True
    eventually(lambda: caller.metric("mesher_registry_up") == 0, "not noticed", seconds=15)
    center.is_over = False
    eventually(lambda: caller.metric("mesher_registry_up") == 1, "not found again", seconds=15)
    eventually(lambda: caller.get("basket")[0] == 200, "not asked", seconds=5)
    assert told == {"sc-host"}


def test_external_hosts(names, instances):
    """Names whose DNS does not answer hold up those of no other rule."""
    port = instances
    names.set(alive="127.0.0.9 127.0.0.5", **{f"n{number}.dead": "-" for number in range(30)})
    rules = f"egressRule: {{a: [{{hosts: ['*.dead', alive], ports: [{{port: {port}, protocol: HTTP}}]}}]}}\n"
    with World({}, egress=rules, mesher="mesher.egress.allowLoopback: true\n") as mesh, ThreadPoolExecutor(30) as pool:
        dead = [pool.submit(mesh.ask, f"n{number}.dead") for number in range(30)]
        began = time.monotonic()
        # The first address takes no connection; the next request goes to the second one.
        eventually(lambda: mesh.ask("alive").status == 200, "held up", seconds=1)
        assert mesh.many(5, "alive") == {"127.0.0.5": 5}
        assert time.monotonic() - began < 1
        assert {each.result().error for each in dead} == {"no_endpoint"}
        # As long as for a connection, which is a second.
        assert time.monotonic() - began < 4


def test_the_wait_for_dns_is_part_of_the_time_to_connect(names):
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        port = full.getsockname()[1]
        # Its queue is full: nobody connects any more.
        queued = [socket.socket() for _ in range(4)]
        for each in queued:
            each.setblocking(False)
            each.connect_ex(("127.0.0.1", port))
        names.set(slow="~2 127.0.0.1")
        rules = f"egressRule: {{a: [{{hosts: [slow], ports: [{{port: {port}, protocol: HTTP}}]}}]}}\n"
        settings = "mesher.egress.allowLoopback: true\nmesher.timeouts.connect: 3s\n"
        with World({}, egress=rules, mesher=settings) as mesh:
            began = time.monotonic()
            assert mesh.ask("slow").error == "connect_failed"
            assert 2.5 < time.monotonic() - began < 4
        for each in queued:
            each.close()
