# SPDX-License-Identifier: Apache-2.0
"""Settings that a server has: soon effective, above the files, each for itself, and held while the server is away."""

import base64
import contextlib
import gzip
import hashlib
import http.client
import json
import os
import signal
import socket
import struct
import subprocess
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Condition, Thread
from urllib.parse import parse_qs, urlsplit

import pytest

from harness import binary, eventually, free_port
from test_discovery import Caller, Center, certificates, tls_of, world  # noqa: F401

# From a change at the server to the first request that obeys it: the promise, and what is waited for on a busy machine.
PROMISE = 1.0
LIMIT = 4.0
KEY = "mesher.limits.requestHeaders"
APPLICATION = {"appId": "shop", "environment": ""}
SERVICE = {**APPLICATION, "serviceName": "web", "version": "0.0.1"}


class Server:
    """A threaded HTTP server that can be killed and started again on its port."""

    def __init__(self, tls=None):
        self.calls, self.override, self.tls = [], None, tls
        self.changed = Condition()
        self.port = free_port("127.0.0.1")
        self.start()

    def start(self):
        outer, self.is_over = self, False

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                outer.calls.append((self.path, dict(self.headers)))
                with contextlib.suppress(OSError):
                    if outer.override:
                        outer.override(self)
                    else:
                        outer.respond(self)

            def answer(self, body, status=200, **fields):
                data = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(status)
                for name, value in fields.items():
                    self.send_header(name.replace("_", "-"), value)
                if status != 304:
                    self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                if status != 304:
                    self.wfile.write(data)

            def log_message(self, *_):
                """Not to the terminal."""

        class Listener(ThreadingHTTPServer):
            daemon_threads = True

            def process_request_thread(self, request, address):
                outer.sockets.append(request)
                super().process_request_thread(request, address)

            def handle_error(self, *_):
                """A client that has gone is none."""

        self.sockets = []
        self.server = Listener(("127.0.0.1", self.port), Handler)
        if self.tls:
            # The handshake belongs to a connection's own thread.
            self.server.socket = self.tls.wrap_socket(
                self.server.socket, server_side=True, do_handshake_on_connect=False
            )
        Thread(target=self.server.serve_forever, args=[0.01], daemon=True).start()

    def stop(self):
        """Ends as a killed process does: every connection with it."""
        self.is_over = True
        with self.changed:
            self.changed.notify_all()
        self.server.shutdown()
        self.server.server_close()
        for sock in self.sockets:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    @property
    def address(self):
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"


class Kie(Server):
    """ServiceComb kie, as far as a sidecar sees it: documents with labels, a revision of all, questions that wait."""

    def __init__(self, **options):
        self.documents, self.revision, self.empty_is_404 = {}, 1, False
        self.ignores_wait, self.tokens = False, None
        super().__init__(**options)

    def put(self, key, value, labels=SERVICE, number=0, **members):
        document = {"id": f"d{number}", "key": key, "value": value, "value_type": "text", "labels": labels}
        with self.changed:
            self.revision += 1
            self.documents[key, json.dumps(labels), number] = document | {"status": "enabled"} | members
            self.changed.notify_all()

    def delete(self, key, labels=SERVICE, number=0):
        with self.changed:
            self.revision += 1
            del self.documents[key, json.dumps(labels), number]
            self.changed.notify_all()

    def touch(self):
        """Somebody else's document has changed."""
        with self.changed:
            self.revision += 1
            self.changed.notify_all()

    def respond(self, handler):
        if self.tokens is not None and handler.headers.get("Authorization", "")[len("Bearer ") :] not in self.tokens:
            return handler.answer({"error_code": "401"}, 401)
        url = urlsplit(handler.path)
        query = parse_qs(url.query, keep_blank_values=True)
        assert url.path == "/v1/default/kie/kv" and query["match"] == ["exact"], handler.path
        labels = dict(label.split(":", 1) for label in query["label"])
        known = int(query.get("revision", ["-1"])[0])
        wait = 0 if self.ignores_wait else int(query.get("wait", ["0s"])[0].removesuffix("s"))
        with self.changed:
            self.changed.wait_for(lambda: self.revision != known or self.is_over, wait)
            if self.is_over:
                return None
            found = [each for each in self.documents.values() if each["labels"] == labels]
            revision, is_known = self.revision, self.revision == known
        if is_known:
            return handler.answer(b"", 304)
        if not found and self.empty_is_404:
            return handler.answer({"error_msg": "can not find any key value"}, 404)
        return handler.answer({"total": len(found), "data": found}, X_Kie_Revision=str(revision))


class ConfigCenter(Server):
    """The older config center: dimensions with items, and a socket on another port that tells of changes."""

    def __init__(self, **options):
        self.dimensions, self.members = {}, []
        self.push_port = free_port("127.0.0.1")
        self.watchers, self.handshakes, self.pings = [], [], 0
        super().__init__(**options)

    def start(self):
        super().start()
        self.listener = socket.create_server(("127.0.0.1", self.push_port))
        Thread(target=self.accept, args=[self.listener], daemon=True).start()

    def stop(self):
        super().stop()
        for sock in (self.listener, *self.watchers):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()
        self.watchers = []

    def respond(self, handler):
        path = urlsplit(handler.path).path
        if path.endswith("/items"):
            handler.answer(self.dimensions)
        elif path.endswith("/members"):
            handler.answer({"instances": self.members})
        else:
            handler.answer(b"404 page not found", 404)

    def accept(self, listener):
        with contextlib.suppress(OSError):
            while True:
                sock, _ = listener.accept()
                head = b""
                while b"\r\n\r\n" not in head:
                    head += sock.recv(4096)
                self.handshakes.append(head.decode())
                [key] = [line[19:] for line in head.decode().split("\r\n") if line.startswith("Sec-WebSocket-Key: ")]
                seal = hashlib.sha1(f"{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest()
                fields = b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " + base64.b64encode(seal)
                sock.sendall(b"HTTP/1.1 101 Switching Protocols\r\n" + fields + b"\r\n\r\n")
                self.watchers.append(sock)

    def push(self, data=None):
        """A frame of text to all who watch."""
        if data is None:
            data = json.dumps({"action": "UPDATE", "value": json.dumps(self.dimensions)}).encode()
        length = bytes([len(data)]) if len(data) < 126 else b"\x7e" + struct.pack(">H", len(data))
        for sock in self.watchers:
            with contextlib.suppress(OSError):
                sock.sendall(b"\x81" + length + data)

    def set(self, key, value, dimension="web@shop#0.0.1"):
        self.dimensions.setdefault(dimension, {})[key] = value


def client(server, **keys):
    """The keys that have a sidecar ask a server."""
    kind = "kie" if isinstance(server, Kie) else "config_center"
    keys = {"serverUri": server.address, "type": kind, "refreshMode": 0, "refreshInterval": 10} | keys
    if isinstance(server, ConfigCenter):
        keys = {"refreshPort": server.push_port} | keys
    return {f"cse.config.client.{key}": value for key, value in keys.items()} | {
        "cse.service.registry.disabled": "true"
    }


@pytest.fixture
def sidecar(world, tmp_path):  # noqa: F811
    """Starts a sidecar that asks a server."""

    def start(server, more=None, **keys):
        caller = world(Caller, tmp_path / "web", 1, **client(server, **keys), **(more or {}))
        eventually(lambda: caller.metric("mesher_config_server_up") == 1, lambda: log(caller))
        return caller

    return start


@pytest.fixture
def kie(world):  # noqa: F811
    return world(Kie)


@pytest.fixture
def center(world):  # noqa: F811
    return world(ConfigCenter)


def allowed(caller):
    """How many header fields a request may have, seen from outside: the largest of a few numbers that is taken."""
    best = 0
    for count in (9, 13, 17, 21, 25):
        connection = http.client.HTTPConnection("127.0.0.1", caller.port, timeout=5)
        with contextlib.closing(connection):
            connection.putrequest("GET", "http://cart/", skip_host=True, skip_accept_encoding=True)
            connection.putheader("Host", "cart")
            for number in range(count - 1):
                connection.putheader(f"X-{number}", "v")
            connection.endheaders()
            if connection.getresponse().status != 431:
                best = count
    return best


def becomes(caller, expected, limit=LIMIT):
    """Waits until a request obeys; gives the seconds that took."""
    began = time.monotonic()
    eventually(lambda: allowed(caller) == expected, lambda: f"{allowed(caller)} {log(caller)}", seconds=limit)
    return time.monotonic() - began


def stays(caller, expected, fact):
    """A value holds until something else has happened."""
    eventually(lambda: [allowed(caller) == expected or pytest.fail(f"{allowed(caller)}"), fact()][1], "nothing happens")


def log(caller):
    return caller.log.read_text(errors="replace")


def write(caller, text):
    """mesher.yaml, as editors write it: another file in its place."""
    path = caller.directory / "mesher.yaml"
    path.with_suffix(".new").write_text(text)
    path.with_suffix(".new").rename(path)


def limit(count):
    return f"mesher: {{limits: {{requestHeaders: {count}}}}}\n"


ALL = 25  # the default lets everything of `allowed` pass


# -- kie --------------------------------------------------------------------------------------------------------------


def test_a_change_is_effective_within_a_second(kie, sidecar, record_property):
    caller = sidecar(kie)
    assert allowed(caller) == ALL
    seconds = []
    for value, labels in [("20", APPLICATION), ("12", SERVICE), ("16", SERVICE)]:
        kie.put(KEY, value, labels)
        seconds.append(becomes(caller, {"20": 17, "12": 9, "16": 13}[value]))
    # The service's goes, the application's is uncovered; then that goes too.
    kie.delete(KEY, SERVICE)
    seconds.append(becomes(caller, 17))
    kie.delete(KEY, APPLICATION)
    seconds.append(becomes(caller, ALL))
    record_property("seconds", [round(each, 3) for each in seconds])
    assert max(seconds) < LIMIT and sorted(seconds)[2] < PROMISE, seconds
    assert f"keys={KEY}" in log(caller), "a change is named"
    assert caller.metric("mesher_config_server_settings") == 0


def test_the_questions_are_those_of_the_original(kie, sidecar):
    sidecar(kie, refreshInterval=1)
    both = [
        "match=exact&label=appId:shop&label=environment:",
        "match=exact&label=appId:shop&label=environment:&label=serviceName:web&label=version:0.0.1",
    ]
    # First everything, then what is new since; and again when the time is over.
    eventually(lambda: len(kie.calls) >= 6, "no further questions")
    paths = [path for path, _ in kie.calls]
    for labels in both:
        mine = [path.split("?")[1] for path in paths if path.endswith(f"&{labels}")]
        assert mine[0] == f"revision=-1&{labels}"
        assert set(mine[1:]) == {f"revision=1&wait=1s&{labels}"}


def test_polling(kie, sidecar):
    kie.put(KEY, "12")
    caller = sidecar(kie, refreshMode=1, refreshInterval=1)
    becomes(caller, 9)
    kie.put(KEY, "16")
    assert becomes(caller, 13) < 3
    assert not [path for path, _ in kie.calls if "wait" in path]


def test_what_others_change_is_no_change(kie, sidecar):
    kie.put(KEY, "12")
    caller = sidecar(kie)
    becomes(caller, 9)
    asked = len(kie.calls)
    for count in range(3):
        kie.touch()
        eventually(lambda count=count: len(kie.calls) >= asked + 2 * (count + 1), "not asked again")
    assert log(caller).count("settings of the configuration server have changed") == 1


def test_only_what_is_enabled_and_strongest(kie, sidecar):
    kie.put(KEY, "12", status="disabled")
    kie.put("cse.unknown.key", "x")
    kie.put("spring.application.name", "x")
    kie.put("mesher.limits.responseHeaders", "16", number=1, priority=5)
    kie.put("mesher.limits.responseHeaders", "8", number=2, priority=9)
    caller = sidecar(kie)
    eventually(lambda: caller.metric("mesher_config_server_settings") == 3, "not read")
    assert allowed(caller) == ALL
    eventually(lambda: "cse.unknown.key: warning: unknown key" in log(caller), lambda: log(caller))
    assert "spring" not in log(caller), "the application's own settings are none of our business"
    kie.put(KEY, "12")
    becomes(caller, 9)


def test_the_server_wins_over_everything_else(kie, sidecar):
    caller = sidecar(kie, more={KEY: 20})
    assert allowed(caller) == 17, "the command line"
    write(caller, limit(24))
    kie.put(KEY, "12")
    becomes(caller, 9)
    os.kill(caller.process.pid, signal.SIGHUP)
    reloads = 'mesher_config_reloads_total{result="success"}'
    stays(caller, 9, lambda: reloads in caller.ask("/v1/mesher/metrics")[1] and "read again" in log(caller))
    kie.delete(KEY)
    becomes(caller, 17)


@pytest.mark.parametrize("bad", ["many", "", "1", "[1, 2]", "999999999999999999999999"])
def test_a_bad_value_changes_nothing_but_the_log(kie, sidecar, bad):
    caller = sidecar(kie)
    kie.put(KEY, "12")
    becomes(caller, 9)
    kie.put("mesher.limits.requestLine", "256")
    kie.put(KEY, bad)
    # The one that came with it counts.
    eventually(lambda: long_line_is_refused(caller), "the other key is not effective", seconds=LIMIT)
    eventually(lambda: caller.metric("mesher_config_server_refused_settings") == 1, "not counted")
    assert allowed(caller) == 9
    lines = [line for line in log(caller).splitlines() if "is refused" in line]
    assert len(lines) == 1 and f"key={KEY}" in lines[0] and f"kie {kie.address}" in lines[0]
    # The files are read again: the mistake is no mistake of theirs.
    write(caller, limit(24))
    eventually(lambda: "configuration read again" in log(caller), "not read again")
    assert allowed(caller) == 9 and caller.metric("mesher_config_last_reload_successful") == 1
    kie.delete(KEY)
    becomes(caller, 21)
    assert caller.metric("mesher_config_server_refused_settings") == 0
    assert len([line for line in log(caller).splitlines() if "is refused" in line]) == 1


def long_line_is_refused(caller):
    return caller.get("cart", "/" + "a" * 300)[0] == 414


def test_a_value_that_was_bad_from_the_start_leaves_the_key_to_the_files(kie, sidecar):
    kie.put(KEY, "many")
    caller = sidecar(kie, more={KEY: 20})
    eventually(lambda: caller.metric("mesher_config_server_refused_settings") == 1, "not counted")
    assert allowed(caller) == 17


def test_settings_come_through_while_the_files_are_broken(kie, sidecar):
    caller = sidecar(kie)
    write(caller, limit("many"))
    eventually(lambda: caller.metric("mesher_config_last_reload_successful") == 0, "not refused")
    kie.put(KEY, "12")
    becomes(caller, 9)
    assert caller.metric("mesher_config_last_reload_successful") == 0
    write(caller, limit(24))
    eventually(lambda: caller.metric("mesher_config_last_reload_successful") == 1, "still refused")
    assert allowed(caller) == 9


def test_keys_of_the_start_have_no_effect(kie, sidecar):
    kie.put("cse.protocols.http.listenAddress", "127.0.0.1:1")
    kie.put("cse.service.registry.type", "nonsense")
    caller = sidecar(kie)
    eventually(lambda: "registry.type: note: has no effect here" in log(caller), lambda: log(caller))
    assert allowed(caller) == ALL
    assert "take effect after a restart" not in log(caller)
    assert caller.metric("mesher_config_server_refused_settings") == 0


def test_values_do_not_stand_in_the_log(kie, sidecar):
    kie.put("servicecomb.routeRule.cart", "secret-value-7", SERVICE)
    kie.put(KEY, "12")
    caller = sidecar(kie)
    becomes(caller, 9)
    assert "secret-value-7" not in log(caller)


def test_a_server_that_is_killed_and_comes_back(kie, sidecar):
    kie.put(KEY, "12")
    caller = sidecar(kie)
    becomes(caller, 9)
    kie.stop()
    stays(caller, 9, lambda: caller.metric("mesher_config_server_up") == 0)
    assert "the last settings stand" in log(caller)
    # It has forgotten what it counted, so that the same revision means something else.
    kie.documents, kie.revision = {}, 1
    kie.put(KEY, "16")
    kie.start()
    becomes(caller, 13, limit=15)
    assert caller.metric("mesher_config_server_up") == 1


def test_a_start_without_the_server(kie, world, tmp_path):  # noqa: F811
    kie.put(KEY, "12")
    kie.stop()
    caller = world(Caller, tmp_path / "web", 1, **client(kie))
    eventually(lambda: caller.ask("/readyz")[0] == 200, "not ready")
    assert allowed(caller) == ALL and caller.metric("mesher_config_server_up") == 0
    kie.start()
    becomes(caller, 9, limit=15)
    assert json.loads(caller.ask("/v1/mesher/health")[1])["connectedConfigCenterClient"]


def test_the_next_of_several_addresses(kie, world, sidecar):  # noqa: F811
    other = world(Kie)
    for server in (kie, other):
        server.put(KEY, "12")
    caller = sidecar(kie, serverUri=f"{kie.address}, {other.address}/")
    becomes(caller, 9)
    assert not other.calls
    kie.stop()
    other.put(KEY, "16")
    becomes(caller, 13)
    eventually(lambda: caller.metric("mesher_config_server_up") == 1, "not up")


def test_empty_answers_of_older_servers(kie, sidecar):
    kie.empty_is_404 = True
    caller = sidecar(kie)
    assert allowed(caller) == ALL
    asked, began = len(kie.calls), time.monotonic()
    kie.put(KEY, "12")
    becomes(caller, 9)
    kie.delete(KEY)
    becomes(caller, ALL)
    assert len(kie.calls) - asked < 20 * (1 + time.monotonic() - began), "it is flooded"


@pytest.mark.parametrize(
    "body",
    [
        b"<html>Not Found</html>",
        b"",
        b'{"message": "no route matched"}',
        b'{"error_msg": "404 Route Not Found"}',
    ],
)
def test_a_404_that_is_not_in_the_words_of_kie_takes_nothing_away(kie, sidecar, body):
    kie.put(KEY, "12")
    caller = sidecar(kie)
    becomes(caller, 9)
    kie.override = plain(body, 404)
    kie.touch()
    stays(caller, 9, lambda: caller.metric("mesher_config_server_up") == 0)
    eventually(lambda: "status 404" in log(caller), "the log does not say why")
    kie.override = None
    kie.put(KEY, "16")
    becomes(caller, 13, limit=10)


@pytest.mark.parametrize("status", [200, 404])
def test_what_vanishes_all_at_once_is_asked_for_once_more(kie, sidecar, status):
    for number in range(8):
        kie.put(f"mesher.test.{number}", "x")
    kie.put(KEY, "12")
    caller = sidecar(kie)
    becomes(caller, 9)
    lies = []

    def lie(handler):
        """Nothing is there, for one question about the service."""
        if "serviceName" not in handler.path or lies:
            return kie.respond(handler)
        lies.append(handler.path)
        body = {"error_msg": "key not exists"} if status == 404 else {"total": 0, "data": []}
        return handler.answer(body, status, X_Kie_Revision="999")

    kie.override = lie
    kie.touch()
    eventually(lambda: lies, "not asked")
    asked = len(kie.calls)
    stays(caller, 9, lambda: len(kie.calls) > asked + 1)
    assert log(caller).count("settings of the configuration server have changed") <= 1
    # What is said again is true.
    kie.override = None
    with kie.changed:
        kie.documents.clear()
    kie.touch()
    becomes(caller, ALL)


def test_a_server_that_does_not_wait_is_not_flooded(kie, sidecar):
    kie.ignores_wait = True
    caller = sidecar(kie)
    asked, began = len(kie.calls), time.monotonic()
    kie.put(KEY, "12")
    becomes(caller, 9)
    assert len(kie.calls) - asked < 20 * (1 + time.monotonic() - began), "it is flooded"


def drip(handler):
    """An answer without end, octet by octet."""
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    while True:
        handler.wfile.write(b"1\r\n[\r\n")
        time.sleep(0.01)


def endless(handler):
    handler.send_response(200)
    handler.send_header("Content-Length", str(1 << 40))
    handler.end_headers()
    while True:
        handler.wfile.write(b'{"data":[' + b" " * (1 << 20))


def plain(body, status=200, **fields):
    return lambda handler: handler.answer(body, status, **fields)


def documents(*found):
    return plain({"total": len(found), "data": found}, X_Kie_Revision="5000")


HOSTILE = {
    "broken JSON": plain(b'{"total":1,"data":[{"key":'),
    "nothing": plain(b""),
    "no object": plain(b"[]"),
    "empty object": plain(b"{}"),
    "HTML": plain(b"<html>Sign in</html>"),
    "data of another type": plain({"total": 1, "data": {"key": "x"}}),
    "a key of another type": documents({"key": 7, "value": "x", "status": "enabled"}),
    "a document of another type": documents("x"),
    "deep": plain(b'{"data":' + b"[" * 100_000),
    "endless": endless,
    "compressed": plain(gzip.compress(b" " * (64 << 20)), Content_Encoding="gzip"),
    "too many documents": documents(*({"key": f"k{n}", "value": "", "status": "enabled"} for n in range(20_000))),
    "not UTF-8": plain(b'{"total":1,"data":[{"key":"\xff\xfe","value":"\xff","status":"enabled"}]}'),
    "in trouble": plain(b"{}", 500),
    "moved": plain(b"", 302, Location="/elsewhere"),
    "forbidden": plain(b"{}", 403),
    "no HTTP": lambda handler: handler.wfile.write(b"\0\1\2nonsense\r\n\r\n"),
    "no answer": lambda handler: setattr(handler, "close_connection", True),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_answers(kie, sidecar, name):
    kie.put(KEY, "12")
    caller = sidecar(kie, refreshInterval=2)
    becomes(caller, 9)
    kie.override = HOSTILE[name]
    kie.touch()
    asked = len(kie.calls)
    stays(caller, 9, lambda: caller.metric("mesher_config_server_up") == 0)
    eventually(lambda: len(kie.calls) > asked + 2, "not asked again", seconds=10)
    assert caller.process.poll() is None
    kie.override = None
    kie.put(KEY, "16")
    becomes(caller, 13, limit=10)


def test_an_answer_that_nothing_is_new_when_nothing_is_known(kie, world, tmp_path):  # noqa: F811
    kie.override = plain(b"", 304)
    caller = world(Caller, tmp_path / "web", 1, **client(kie))
    eventually(lambda: "unasked status 304" in log(caller), lambda: log(caller))
    kie.override = None
    kie.put(KEY, "12")
    becomes(caller, 9, limit=10)


def test_a_dripping_answer_ends(kie, sidecar):
    kie.put(KEY, "12")
    caller = sidecar(kie, refreshInterval=1)
    becomes(caller, 9)
    kie.override = drip
    kie.touch()
    eventually(lambda: caller.metric("mesher_config_server_up") == 0, "waited for without end", seconds=20)
    kie.override = None
    kie.put(KEY, "16")
    becomes(caller, 13, limit=20)


def test_hostile_documents(kie, sidecar):
    """Whatever stands in good documents: what makes sense counts."""
    caller = sidecar(kie)
    for number, key in enumerate(["", ".", "..", "cse", "cse.", "mesher.limits", f"{KEY}.x", "ü" * 1000, "a\nb"]):
        kie.put(key, "x" * 1000, number=number)
    kie.put(KEY, 12)
    kie.put("mesher.limits.requestLine", {"a": [1, None, True]})
    kie.put("mesher.limits.connections", None)
    kie.put("mesher.trustedHops", "{[")
    kie.put("servicecomb.routeRule.cart", "{[" * 1000)
    becomes(caller, 9)
    assert caller.process.poll() is None


def test_tls(world, sidecar, tmp_path, certificates):  # noqa: F811
    kie = world(Kie, tls=tls_of(certificates, mutual=True))
    kie.put(KEY, "12")
    tag = "ssl.configServer.Consumer"
    keys = {f"{tag}.verifyPeer": "true", f"{tag}.caFile": certificates / "ca.crt"}
    keys |= {f"{tag}.certFile": certificates / "client.crt", f"{tag}.keyFile": certificates / "client.key"}
    keys |= {f"{tag}.certPwdFile": certificates / "password"}
    becomes(sidecar(kie, more=keys), 9)
    refused = world(
        Caller, tmp_path / "other", 1, **client(kie), **{**keys, f"{tag}.caFile": certificates / "other.crt"}
    )
    eventually(lambda: "cannot be asked" in log(refused), lambda: log(refused), seconds=10)
    assert allowed(refused) == ALL


def test_tls_is_renewed(world, tmp_path, certificates):  # noqa: F811
    kie = world(Kie, tls=tls_of(certificates, mutual=True))
    kie.put(KEY, "12")
    own = {name: tmp_path / name for name in ("ca.crt", "client.crt", "client.key")}
    for name, path in own.items():
        path.write_bytes((certificates / ("other.crt" if name == "ca.crt" else name)).read_bytes())
    tag = "ssl.configServer.Consumer"
    keys = {f"{tag}.verifyPeer": "true", f"{tag}.caFile": own["ca.crt"], f"{tag}.certFile": own["client.crt"]}
    keys |= {f"{tag}.keyFile": own["client.key"], f"{tag}.certPwdFile": certificates / "password"}
    caller = world(Caller, tmp_path / "web", 1, **client(kie), **keys)
    eventually(lambda: "cannot be asked" in log(caller), lambda: log(caller), seconds=10)
    # What is of no use leaves the old one in its place.
    own["ca.crt"].write_text("nonsense")
    eventually(lambda: "TLS of the control plane not renewed" in log(caller), lambda: log(caller), seconds=10)
    own["ca.crt"].write_bytes((certificates / "ca.crt").read_bytes())
    becomes(caller, 9, limit=20)
    assert "TLS of the control plane renewed" in log(caller)


def test_login(kie, world, tmp_path):  # noqa: F811
    registry = world(Center, lambda handler, _: handler.answer({"services": {}}), account=("sidecar", "secret"))
    kie.tokens = registry.tokens
    kie.put(KEY, "12")
    keys = client(kie, refreshInterval=1) | {"cse.service.registry.disabled": "false"}
    keys |= {"cse.credentials.account.name": "sidecar", "cse.credentials.account.password": "secret"}
    caller = world(Caller, tmp_path / "web", registry.port, **keys)
    becomes(caller, 9)
    # A token that does not count any more is renewed.
    registry.tokens.clear()
    kie.put(KEY, "16")
    becomes(caller, 13, limit=15)


# -- config center ----------------------------------------------------------------------------------------------------


def test_config_center_is_asked(center, sidecar):
    center.set(KEY, 24, "shop")
    center.set(KEY, "12", "web@shop#0.0.1")
    center.set(KEY, "16", "web@shop")
    caller = sidecar(center, refreshMode=1, refreshInterval=1, tenantName="t1")
    becomes(caller, 9)
    path, headers = center.calls[0]
    assert path == "/v3/default/configuration/items?dimensionsInfo=web@shop%230.0.1"
    assert headers["X-Tenant-Name"] == "t1" and "X-Environment" not in headers
    for dimension, expected in [("web@shop#0.0.1", 13), ("web@shop", 21), ("shop", ALL)]:
        del center.dimensions[dimension][KEY]
        assert becomes(caller, expected) < 3
    assert not center.handshakes


def test_config_center_in_its_second_version(center, sidecar):
    center.set(KEY, "12")
    more = {"service_description.environment": "production"}
    becomes(sidecar(center, more, **{"refreshMode": 1, "api.version": "v2"}), 9)
    path, headers = center.calls[0]
    assert path == "/configuration/v2/items?dimensionsInfo=web@shop%230.0.1"
    assert headers["X-Environment"] == "production"


def test_config_center_pushes(center, sidecar, record_property):
    caller = sidecar(center, refreshInterval=300)
    eventually(lambda: center.watchers, "nobody watches")
    assert center.handshakes[0].startswith(
        "GET /v3/default/configuration/refresh/items?dimensionsInfo=web@shop%230.0.1 HTTP/1.1\r\n"
    )
    seconds = []
    for value, expected in [("12", 9), ("16", 13), ("20", 17)]:
        center.set(KEY, value)
        center.push()
        seconds.append(becomes(caller, expected))
    record_property("seconds", [round(each, 3) for each in seconds])
    assert sorted(seconds)[1] < PROMISE, seconds
    for frame in (b"", b"{", b"\0" * 1000, b'{"action":7}', b"\xff"):
        center.push(frame)
    for sock in center.watchers:
        sock.sendall(b"\xff" * 64)
    center.set(KEY, "12")
    # What comes next may find the socket closed for its nonsense, and opened again.
    becomes(caller, 9, limit=10)


def test_config_center_is_killed_and_comes_back(center, sidecar):
    center.set(KEY, "12")
    caller = sidecar(center, refreshInterval=300)
    becomes(caller, 9)
    eventually(lambda: center.watchers, "nobody watches")
    center.stop()
    center.set(KEY, "16")
    center.start()
    # The socket comes back, and with it the question.
    becomes(caller, 13, limit=15)
    assert caller.metric("mesher_config_server_up") == 1


def test_members_of_config_center(center, world, sidecar):  # noqa: F811
    other = world(ConfigCenter)
    for server in (center, other):
        server.set(KEY, "12")
    center.members = [
        {"status": "UP", "endpoints": [f"rest://127.0.0.1:{other.port}", "nonsense"], "isHttps": False},
        {"status": "DOWN", "endpoints": ["rest://127.0.0.1:1"], "isHttps": False},
    ]
    caller = sidecar(center, refreshMode=1, refreshInterval=1, autodiscovery="true")
    becomes(caller, 9)
    eventually(lambda: any("/members" in path for path, _ in center.calls), "not asked")
    center.stop()
    other.set(KEY, "16")
    becomes(caller, 13, limit=10)


@pytest.mark.parametrize("body", [b"[]", b"{", b'{"shop": 7}', b'{"shop": {"a": ', b"7", b'{"error": "no"}'])
def test_hostile_answers_of_config_center(center, sidecar, body):
    center.set(KEY, "12")
    caller = sidecar(center, refreshMode=1, refreshInterval=1)
    becomes(caller, 9)
    center.override = plain(body)
    stays(caller, 9, lambda: caller.metric("mesher_config_server_up") == 0)
    center.override = None
    center.set(KEY, "16")
    becomes(caller, 13, limit=10)


# -- the keys of the client -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "client, status, text",
    [
        ("{serverUri: 'http://127.0.0.1:30110', type: kie}", 0, ""),
        ("{serverUri: 127.0.0.1:30110, type: servicecomb-kie}", 0, ""),
        ("{serverUri: 'ftp://127.0.0.1', type: kie}", 1, 'client.serverUri: "ftp://127.0.0.1" is no address'),
        ("{serverUri: 'http://a:1,https://b:1', type: kie}", 1, "http and https stand side by side"),
        ("{serverUri: 'http://127.0.0.1:1', type: apollo}", 0, "Apollo is not supported"),
        ("{type: kie}", 0, "without cse.config.client.serverUri no server is asked"),
        ("{type: kei}", 1, '"kei" is not known here; write kie'),
        ("{enabled: false, type: kie, serverUri: 'http://127.0.0.1:1'}", 0, ""),
        ("{dimension: {a: b}}", 0, "has no effect"),
    ],
)
def test_check(tmp_path, client, status, text):
    (tmp_path / "chassis.yaml").write_text(f"cse: {{config: {{client: {client}}}}}\n")
    environment = {"CHASSIS_CONF_DIR": str(tmp_path), "SERVICE_NAME": "shop"}
    done = subprocess.run([binary(), "check"], env=environment, capture_output=True, text=True, timeout=20)
    assert done.returncode == status, done.stdout
    assert text in done.stdout
    if not text:
        assert done.stdout.startswith("no errors"), done.stdout
