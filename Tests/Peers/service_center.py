# SPDX-License-Identifier: Apache-2.0
"""A client of any service-center, octet for octet, and a list of what it does otherwise than expected."""

import base64
import contextlib
import hashlib
import http.client
import json
import os
import socket
import struct
import time
import urllib.parse
import uuid

BASE = "/v4/default/registry"
PATIENCE = 6.0
TEXT, CLOSE, PING, PONG = 1, 8, 9, 10


class Answer:
    """Status, fields and body of an answer."""

    def __init__(self, status, headers, body):
        self.status, self.headers, self.text = status, headers, body
        self.body = json.loads(body) if body[:1] in (b"{", b"[") else body

    @property
    def code(self):
        """The code of an error, else the status."""
        return self.body.get("errorCode", self.status) if isinstance(self.body, dict) else self.status

    @property
    def detail(self):
        return self.body.get("detail", "") if isinstance(self.body, dict) else ""


class Center:
    """A service-center at `http://[user:password@]host:port`.

    Everything that this run registers has names of its own.
    """

    def __init__(self, address):
        url = urllib.parse.urlsplit(address)
        self.host, self.port = url.hostname, url.port
        self.run = uuid.uuid4().hex[:8]
        self.app = f"app{self.run}"
        self.token = None
        if url.username:
            login = json.dumps({"name": url.username, "password": url.password})
            self.token = self.send("POST", "/v4/token", login).body["token"]

    def send(self, method, path, body=None, **headers):
        """An answer to a request for the whole of a path; underscores in names of fields are dashes."""
        fields = {name.replace("_", "-"): value for name, value in headers.items() if value is not None}
        if self.token:
            fields["Authorization"] = f"Bearer {self.token}"
        connection = http.client.HTTPConnection(self.host, self.port, timeout=PATIENCE)
        with contextlib.closing(connection):
            connection.request(method, path, body, fields)
            answer = connection.getresponse()
            return Answer(answer.status, answer.headers, answer.read())

    def call(self, method, path, body=None, consumer=None, **headers):
        """The same below the usual path, with a body that becomes JSON."""
        data = None if body is None else json.dumps(body)
        return self.send(method, BASE + path, data, X_ConsumerId=consumer, **headers)

    def name(self, name):
        """A name that no other run has."""
        return f"{name}{self.run}"

    def identity(self, name, **members):
        """What identifies a service of this run."""
        return {"appId": self.app, "serviceName": self.name(name), "version": "1.0.0"} | members

    def service(self, name, **members):
        """The id of a service, which is registered."""
        answer = self.call("POST", "/microservices", {"service": self.identity(name, **members)})
        assert answer.status == 200, answer.text
        return answer.body["serviceId"]

    def instance(self, service, **members):
        """The id of an instance, which is registered."""
        body = {"instance": {"hostName": "h1", "endpoints": ["rest://127.0.0.1:8080"]} | members}
        answer = self.call("POST", f"/microservices/{service}/instances", body)
        assert answer.status == 200, answer.text
        return answer.body["instanceId"]

    def exists(self, name=None, **query):
        """A question for a service of this run; parameters that are `None` are left out."""
        query = {"type": "microservice", "appId": self.app, "version": "1.0.0"} | query
        if name:
            query = {"serviceName": self.name(name)} | query
        query = {key: value for key, value in query.items() if value is not None}
        return self.call("GET", f"/existence?{urllib.parse.urlencode(query)}")

    def find(self, name, consumer=None, **query):
        """The instances of a service of this run."""
        query = {"appId": self.app, "serviceName": self.name(name), "version": "0+"} | query
        return self.call("GET", f"/instances?{urllib.parse.urlencode(query)}", consumer=consumer)

    def batch(self, *lines, consumer=None, **more):
        """The answer to one question for several."""
        return self.call("POST", "/instances/action?type=query", {"services": list(lines)} | more, consumer=consumer)

    def line(self, name, rev=None, **members):
        """One line of it."""
        line = {"service": {"appId": self.app, "serviceName": self.name(name), "version": "0+"} | members}
        return line | ({"rev": rev} if rev else {})

    def socket(self, path, **headers):
        """A WebSocket below the usual path."""
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        return Socket((self.host, self.port), BASE + path, headers)


class Socket:
    """The client's end of a WebSocket that hides nothing."""

    def __init__(self, address, path, headers):
        self.sock = socket.create_connection(address, timeout=PATIENCE)
        key = base64.b64encode(os.urandom(16)).decode()
        fields = {
            "Host": f"{address[0]}:{address[1]}",
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": key,
        } | headers
        head = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
        self.sock.sendall("\r\n".join([*head, "", ""]).encode())
        answer = b""
        while not answer.endswith(b"\r\n\r\n"):
            octet = self.sock.recv(1)
            assert octet, f"the connection ended after {answer!r}"
            answer += octet
        self.status = int(answer.split()[1])
        accept = base64.b64encode(hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest())
        assert self.status != 101 or accept in answer

    def send(self, opcode, payload=b""):
        assert len(payload) < 1 << 16
        length = bytes([0x80 | len(payload)]) if len(payload) < 126 else struct.pack("!BH", 0xFE, len(payload))
        self.sock.sendall(bytes([0x80 | opcode]) + length + bytes(4) + payload)

    def frame(self, seconds=PATIENCE):
        """The next frame as opcode and payload; `(None, b"")` at the end of the connection."""
        self.sock.settimeout(seconds)
        try:
            opcode, length = self._octets(2)
            if length == 126:
                length = struct.unpack("!H", self._octets(2))[0]
            elif length == 127:
                length = struct.unpack("!Q", self._octets(8))[0]
            return opcode & 0x0F, self._octets(length)
        except (EOFError, ConnectionResetError):
            return None, b""

    def _octets(self, count):
        data = b""
        while len(data) < count:
            piece = self.sock.recv(count - len(data))
            if not piece:
                raise EOFError
            data += piece
        return data

    def event(self, seconds=PATIENCE):
        """The next event of a watcher; pings are answered on the way. `None` when none comes."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            try:
                opcode, payload = self.frame(left)
            except TimeoutError:
                return None
            if opcode == PING:
                self.send(PONG, payload)
            else:
                return json.loads(payload) if opcode == TEXT and payload[:1] == b"{" else (opcode, payload)
        return None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()


class Differences:
    """What was other than expected, in the order of asking."""

    def __init__(self):
        self.found = []

    def same(self, what, expected, got):
        """Compares; `got` may be a function that is asked until it is right, for what shows after a while."""
        if callable(got):
            ask, deadline = got, time.monotonic() + PATIENCE
            while (got := ask()) != expected and time.monotonic() < deadline:
                time.sleep(0.05)
        if got != expected:
            self.found.append(f"{what}: expected {expected!r}, got {got!r}")

    def true(self, what, got):
        if not got:
            self.found.append(f"{what}: not so")

    def __str__(self):
        return "\n".join(self.found)
