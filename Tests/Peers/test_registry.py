# SPDX-License-Identifier: Apache-2.0
"""The registry for one machine, as a process. What it answers is in test_contract.py."""

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import urllib.parse

import pytest
import websockets.sync.client as websocket

from harness import binary, eventually, free_port

BASE = "/v4/default/registry"
CART = {"appId": "default", "serviceName": "cart", "version": "1.0.0"}


class Registry:
    """One `mesher registry` process."""

    def __init__(self, log, port=None, options=(), program=None):
        self.port = port or free_port("127.0.0.1")
        command = [program or binary(), "registry", "--listen", f"127.0.0.1:{self.port}", *options]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        eventually(self._answers, "the registry does not start", seconds=15)

    def _answers(self):
        with contextlib.suppress(OSError):
            return self.call("GET", "/health")[0] == 200
        return False

    def raw(self, method, path, body=None, headers=None):
        """Status, headers and bytes of an answer; `path` is all of it."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        with contextlib.closing(connection):
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()

    def call(self, method, path, body=None, consumer=None, domain=None):
        """Status and decoded body of a call below the usual path."""
        headers = {"X-ConsumerId": consumer, "X-Domain-Name": domain}
        headers = {name: value for name, value in headers.items() if value}
        data = None if body is None else json.dumps(body)
        status, _, text = self.raw(method, BASE + path, data, headers)
        return status, json.loads(text) if text.startswith(b"{") else text

    def service(self, **members):
        status, answer = self.call("POST", "/microservices", {"service": CART | members})
        assert status == 200, answer
        return answer["serviceId"]

    def instance(self, service, **members):
        body = {"instance": {"hostName": "h1", "endpoints": ["rest://127.0.0.1:8080"]} | members}
        status, answer = self.call("POST", f"/microservices/{service}/instances", body)
        assert status == 200, answer
        return answer["instanceId"]

    def find(self, name, consumer=None, app="default", **more):
        query = urllib.parse.urlencode({"appId": app, "serviceName": name, "version": "0+"} | more)
        return self.call("GET", f"/instances?{query}", consumer=consumer)

    def watch(self, consumer):
        return websocket.connect(f"ws://127.0.0.1:{self.port}{BASE}/microservices/{consumer}/watcher", proxy=None)

    def faults(self, **plan):
        """Asks for faults instead of those before; needs the option `--faults`."""
        assert self.raw("PUT", "/faults", json.dumps(plan))[0] == 200

    def hits(self):
        """How many requests each rule has met."""
        return [rule.get("hits", 0) for rule in json.loads(self.raw("GET", "/faults")[2])["rules"]]

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(timeout=10)


@pytest.fixture
def registry(tmp_path):
    with (tmp_path / "log").open("wb") as log:
        running = Registry(log)
    yield running
    running.stop()
    assert running.process.returncode == 0


def test_a_service_has_the_same_id_in_every_registry(registry):
    assert registry.service(appId="default", serviceName="helloprov", version="0.0.1") == (
        "2c2803948f5b2a2ec7b269cda3127f9b0e2549c5"
    ), "as the real one computes it"


def test_who_comes_early_does_not_wait_in_vain():
    """Every connection that is made while it starts is answered or ended."""
    for _ in range(20):
        port = free_port("127.0.0.1")
        command = [binary(), "registry", "--listen", f"127.0.0.1:{port}"]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            answer = b""
            while not answer:
                with contextlib.suppress(ConnectionError), socket.create_connection(("127.0.0.1", port)) as early:
                    early.settimeout(4)
                    early.sendall(f"GET {BASE}/health HTTP/1.1\r\nHost: x\r\n\r\n".encode())
                    answer = early.recv(12)
        finally:
            process.kill()
            process.wait()
        assert answer == b"HTTP/1.1 200"


def test_a_client_that_reads_nothing_is_let_go(registry):
    """It asks again and again, and takes no answer."""
    service = registry.service(properties={f"key{index}": "value" * 100 for index in range(400)})
    with socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.connect(("127.0.0.1", registry.port))
        request = f"GET {BASE}/microservices/{service} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
        deaf.settimeout(30)
        with pytest.raises(ConnectionError):
            while True:
                deaf.sendall(request * 100)
    assert registry.call("GET", "/health")[0] == 200


def test_a_taken_port_is_named(registry):
    again = subprocess.run(
        [binary(), "registry", "--listen", f"127.0.0.1:{registry.port}"],
        capture_output=True,
        text=True,
        env=os.environ,
    )
    assert again.returncode == 1
    assert f"port {registry.port} is taken; free it, or choose another with --listen" in again.stderr
