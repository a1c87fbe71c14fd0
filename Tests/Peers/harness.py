# SPDX-License-Identifier: Apache-2.0
"""The world around one sidecar: the process, a scripted origin, raw clients.

Nothing here waits a fixed time for something to happen: every wait is for a fact (an octet, an end of connection, an
answer) and ends in a failure when the fact does not come.
"""

import contextlib
import fcntl
import http.client
import os
import signal
import socket
import struct
import subprocess
import tempfile
import termios
import threading
import time
from pathlib import Path

import pytest

import wire

PATIENCE = 4.0
REPOSITORY = Path(__file__).resolve().parents[2]
CLOSE, RESET = object(), object()


def binary():
    """The sidecar under test."""
    return os.environ.get("MESHER_BIN", str(REPOSITORY / ".build/release/mesher"))


def end_with_reset(sock):
    """Closes with RST instead of FIN, as a crashed peer does."""
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


GIVEN = set()


def free_port(*addresses):
    """A port that is free on all of the addresses at this moment, and that nobody else in this process was given."""
    for _ in range(200):
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
            port = 0
            for address in addresses:
                sock = stack.enter_context(socket.socket())
                sock.bind((address, port))
                port = sock.getsockname()[1]
            if port not in GIVEN:
                GIVEN.add(port)
                return port
    raise RuntimeError("no free port")


def listens(address, port):
    """Whether somebody takes connections there."""
    with socket.socket() as sock:
        return sock.connect_ex((address, port)) == 0


class Calls:
    """What a test asks a sidecar, whose outgoing and admin ports are `port` and `admin`."""

    def get(self, service, path="/"):
        """Status, reason of an error, and body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        with contextlib.closing(connection):
            connection.request("GET", f"http://{service}{path}", headers={"Host": service})
            answer = connection.getresponse()
            return answer.status, answer.headers.get("x-mesher-error"), answer.read().decode()

    def ask(self, path):
        """Status and body of an answer of the admin API."""
        connection = http.client.HTTPConnection("127.0.0.1", self.admin, timeout=5)
        with contextlib.closing(connection):
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()

    def metric(self, name):
        """The value of the first series of a metric, which has to be there."""
        for line in self.ask("/v1/mesher/metrics")[1].splitlines():
            if line.startswith(name) and line[len(name)] in " {":
                return float(line.rsplit(" ", 1)[1])
        raise AssertionError(f"no metric {name}")


class Sidecar:
    """One mesher process in a directory of its own."""

    # Further variables of the process's environment.
    environment = {}

    def __init__(self, rest_port, services, timeouts=None, limits=None):
        self.port = free_port("127.0.0.1", "127.0.0.2")
        self.admin = self.port
        while self.admin == self.port:
            self.admin = free_port("127.0.0.1")
        self.rest_port = rest_port
        self.directory = tempfile.TemporaryDirectory(prefix="mesher-peers-")
        self.log = Path(self.directory.name, "log")
        self._write(services, timeouts or {}, limits or {})
        self.process = None

    def _write(self, services, timeouts, limits):
        def flow(values):
            return "{" + ", ".join(f"{key}: {value}" for key, value in values.items()) + "}"

        directory = Path(self.directory.name)
        (directory / "chassis.yaml").write_text(
            "cse:\n  protocols:\n"
            f'    http: {{listenAddress: "127.0.0.2:{self.port}"}}\n'
            f'    rest-admin: {{listenAddress: "127.0.0.1:{self.admin}"}}\n'
            "  service:\n    registry: {type: file, address: services.yaml}\n"
            f"mesher:\n  timeouts: {flow(timeouts)}\n  limits: {flow(limits)}\n"
        )
        (directory / "microservice.yaml").write_text("service_description: {name: web}\n")
        instances = [f'{{name: {name}, instance: ["rest://127.0.0.1:{port}"]}}' for name, port in services.items()]
        (directory / "services.yaml").write_text(f"service: [{', '.join(instances)}]\n")

    def start(self):
        """Starts the process and returns when /readyz says 200; leaves none behind that does not."""
        self._launch()
        try:
            eventually(self._ready, "sidecar not ready", seconds=15)
        except BaseException:
            self.stop_process()
            raise

    def _launch(self):
        environment = dict(os.environ, **self.environment, CHASSIS_CONF_DIR=self.directory.name)
        command = [binary(), "--workers", "1", "--service-ports", f"rest:{self.rest_port}"]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command, env=environment, cwd=self.directory.name, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def _ready(self):
        if not self.alive:
            raise AssertionError(f"sidecar ended while starting:\n{self.tail()}")
        with contextlib.suppress(OSError, wire.Malformed, wire.Truncated):
            return self.ask("/readyz").status == 200
        return False

    @property
    def alive(self):
        return self.process is not None and self.process.poll() is None

    def stop(self):
        """Ends this process and removes its directory."""
        self.stop_process()
        self.directory.cleanup()

    def stop_process(self):
        """Ends this process, by its pid, first politely."""
        if self.alive:
            self.process.send_signal(signal.SIGTERM)
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def tail(self):
        """The end of the log, for the report of a failure."""
        return self.log.read_text(errors="replace")[-3000:]

    def ask(self, path):
        """One answer of the admin API."""
        with Client(("127.0.0.1", self.admin)) as client:
            client.send(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
            return client.response()

    def metric(self, series):
        """The value of one series; 0 while it does not exist."""
        for line in self.ask("/v1/mesher/metrics").body.decode().splitlines():
            name, _, value = line.rpartition(" ")
            if name == series:
                return float(value)
        return 0.0

    def errors(self, reason):
        """How often the sidecar failed a request for this reason."""
        return self.metric(f'mesher_errors_total{{reason="{reason}"}}')

    def resident(self):
        """Resident memory, in octets."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) << 10
        raise AssertionError("no VmRSS")


def eventually(fact, failure, seconds=PATIENCE):
    """Polls a fact that no event announces (another process's state); gives its value."""
    deadline = time.monotonic() + seconds
    while not (value := fact()):
        if time.monotonic() > deadline:
            raise AssertionError(failure() if callable(failure) else failure)
        time.sleep(0.005)
    return value


class Peer:
    """What both ends of the sidecar share: a socket, the octets it gave, and how it ended."""

    def __init__(self, sock):
        self.sock = sock
        self.received = bytearray()
        self.ended = None
        self.reader = wire.Reader(self._receive)

    def _receive(self):
        try:
            data = self.sock.recv(1 << 16)
        except ConnectionResetError:
            self.ended, data = "rst", b""
        else:
            self.ended = None if data else "fin"
        self.received += data
        return data

    def send(self, *pieces):
        """Sends each piece with a call of its own."""
        for piece in pieces:
            self.sock.sendall(piece)

    def half_close(self):
        """Says that nothing more will be sent, and stays open for reading."""
        self.sock.shutdown(socket.SHUT_WR)

    def rest(self):
        """Everything up to the end of the connection, and how it ended: `fin` or `rst`."""
        while self.reader.fill():
            pass
        data = bytes(self.reader.buffer)
        self.reader.buffer.clear()
        return data, self.ended

    def read(self, count):
        """Exactly so many octets."""
        data = bytearray()
        self.reader.exactly(count, data)
        return bytes(data)

    def close(self):
        self.sock.close()

    def reset(self):
        """Ends the connection with RST."""
        end_with_reset(self.sock)


class Client(Peer):
    """A client that sends what it is told to, octet by octet."""

    def __init__(self, address, receive_buffer=None):
        sock = socket.socket()
        sock.settimeout(PATIENCE)
        if receive_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        sock.connect(address)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super().__init__(sock)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def head(self):
        """The head of the next response, interim or final; the body stays unread."""
        return wire.read_response_head(self.reader)

    def response(self, method="GET"):
        """The next response, whole, read strictly."""
        return wire.read_response(self.reader, method)

    def chunk(self):
        """The next chunk of a body."""
        data = bytearray()
        wire.read_chunk(self.reader, data)
        return bytes(data)


class Connection(Peer):
    """One connection that the sidecar opened to the origin."""

    def __init__(self, origin, sock):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.settimeout(30)
        super().__init__(sock)
        self.origin = origin
        self.closed = False

    @property
    def touched(self):
        """Whether an octet came, read or still in the kernel."""
        try:
            waiting = fcntl.ioctl(self.sock.fileno(), termios.FIONREAD, b"\0\0\0\0")
        except (OSError, ValueError):
            return bool(self.received)
        return bool(self.received) or waiting != b"\0\0\0\0"

    def _receive(self):
        data = super()._receive()
        self.origin.changed()
        return data

    def head(self):
        """The head of the next request, noted in `origin.heads`; `None` at the end."""
        head = wire.read_request_head(self.reader)
        if head:
            self.origin.note(self.origin.heads, head)
        return head

    def request(self):
        """The next request, whole, noted in `origin.requests`; `None` at the end."""
        head = self.head()
        return head and self.body(head)

    def body(self, head):
        """The body that belongs to a head; the request then counts as received."""
        request = wire.read_body(self.reader, head)
        self.origin.note(self.origin.requests, request)
        return request

    def requests(self):
        """Requests until the sidecar closes."""
        return iter(self.request, None)

    def perform(self, answer):
        """Plays one answer: octets, or a list of octets, `CLOSE` and `RESET`."""
        for step in [answer] if isinstance(answer, bytes) else answer:
            if step is CLOSE:
                self.finish(self.close)
            elif step is RESET:
                self.finish(self.reset)
            else:
                self.send(step)

    def finish(self, end):
        """Ends the connection from the origin's side."""
        self.closed = True
        end()


class Origin:
    """A threaded server that plays one script a connection and keeps what it received.

    A test sets `script`; the default answers every request with what it asked for. `violations` collects whatever the
    strict reader refuses, and failed assertions of a script: the fixtures fail a test that has one, so that every test
    checks promise S1.
    """

    def __init__(self):
        self._condition = threading.Condition()
        self._listener = None
        self.port = free_port("127.0.0.1")
        self._clear()
        self.listen()

    def _clear(self):
        self.script = echo
        self.connections, self.heads, self.requests, self.violations = [], [], [], []

    def listen(self):
        """Takes connections; again on the same port after `refuse`."""
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind(("127.0.0.1", self.port))
        self._listener.listen(1024)
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def refuse(self):
        """Stops listening: connections are refused from here on."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self, listener):
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            connection = Connection(self, sock)
            self.note(self.connections, connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        with contextlib.suppress(OSError, ValueError):
            try:
                self._play(connection)
            except (wire.Malformed, AssertionError) as violation:
                self.note(self.violations, f"{violation!r} in {bytes(connection.received[-300:])!r}")
            except wire.Truncated:
                pass
            if not connection.closed:
                connection.rest()
                connection.close()
        connection.ended = connection.ended or "rst"
        self.changed()

    def _play(self, connection):
        self.script(connection)

    def note(self, where, what):
        """Adds to a list that a test may be waiting for."""
        with self._condition:
            where.append(what)
            self._condition.notify_all()

    def changed(self):
        with self._condition:
            self._condition.notify_all()

    def until(self, fact, failure="the origin waited in vain", seconds=PATIENCE):
        """Waits for a fact about what the origin has seen."""
        with self._condition:
            if not self._condition.wait_for(fact, seconds):
                raise AssertionError(f"{failure}: {self}")

    def quiet(self, seconds=PATIENCE):
        """Waits until the sidecar has ended every connection that carried an octet; an unused one may stay pooled."""
        done = lambda: all(each.ended or not each.touched for each in self.connections)  # noqa: E731
        self.until(done, "the upstream call was not ended", seconds)

    @property
    def octets(self):
        """Everything received, over all connections."""
        return b"".join(bytes(each.received) for each in self.connections)

    def fresh(self):
        """Ends what a test left over, so that the next one starts with no pooled connection."""
        connections = list(self.connections)
        for each in connections:
            with contextlib.suppress(OSError):
                each.half_close()
        with contextlib.suppress(AssertionError):
            self.until(lambda: all(each.ended for each in connections), seconds=0.5)
        for each in connections:
            if not each.ended:
                each.finish(each.reset)
        self._clear()

    def __str__(self):
        return f"connections {[(bytes(c.received[:200]), c.ended) for c in self.connections]}, {self.violations}"


def answer(body=b"ok", status="200 OK", *fields):
    """A response with a Content-Length."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *fields]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def echo(connection):
    """Answers every request with its method, target and body length."""
    for request in connection.requests():
        connection.send(answer(b"%s %s %d" % (request.method.encode(), request.target, len(request.body))))


def replies(*answers):
    """A script that gives these answers to the requests in the order of their arrival; the last one for all further."""
    left = list(answers)
    lock = threading.Lock()

    def play(connection):
        for _ in connection.requests():
            with lock:
                step = left.pop(0) if len(left) > 1 else left[0]
            connection.perform(step)
            if connection.closed:
                return

    return play


class Mesh:
    """A sidecar, the origin behind both of its listeners, and a second origin that tells when the loop has turned."""

    def __init__(self, timeouts=None, limits=None, extra=None):
        self.origin = Origin()
        self._pings = Origin()
        self._dead = socket.socket()
        self._dead.bind(("127.0.0.1", 0))
        services = {
            "cart": self.origin.port,
            "ping": self._pings.port,
            "dead": self._dead.getsockname()[1],
            **(extra or {}),
        }
        self.timeouts, self.limits, self.services = timeouts, limits, services
        self._ping = None
        self.clients = []
        self.start()

    def start(self):
        self.sidecar = Sidecar(self.origin.port, self.services, self.timeouts, self.limits)
        self.sidecar.start()

    def stop(self):
        self.sidecar.stop()
        self.origin.refuse()
        self._pings.refuse()
        self._dead.close()

    def connect(self, address, **options):
        """A client that the fixture closes."""
        client = Client((address, self.sidecar.port), **options)
        self.clients.append(client)
        return client

    def settle(self):
        """Returns when the sidecar has read all that was sent before: its one event loop answered a later request."""
        if self._ping is None:
            self._ping = Client(("127.0.0.1", self.sidecar.port))
        self._ping.send(b"GET http://ping/ HTTP/1.1\r\nHost: ping\r\n\r\n")
        assert self._ping.response().status == 200

    def fresh(self):
        """Ends what a test left over. A sidecar that has died is replaced, for the sake of the other tests."""
        for client in self.clients:
            client.close()
        self.clients.clear()
        if self._ping:
            self._ping.close()
            self._ping = None
        self.origin.fresh()
        if not self.sidecar.alive:
            log = self.sidecar.tail()
            self.sidecar.stop()
            self.start()
            raise AssertionError(f"the sidecar died:\n{log}")


class Door:
    """One listener of a sidecar. In raw requests `~/x` stands for its form of target: `/x` or `http://cart/x`."""

    def __init__(self, mesh, name):
        self.mesh, self.name, self.origin, self.sidecar = mesh, name, mesh.origin, mesh.sidecar
        self.outgoing = name == "outgoing"
        self.prefix = b"http://cart" if self.outgoing else b""

    def fill(self, raw):
        """Puts this door's form of target in."""
        return raw.replace(b"~/", self.prefix + b"/")

    def connect(self, **options):
        return self.mesh.connect("127.0.0.1" if self.outgoing else "127.0.0.2", **options)

    def send(self, raw, **options):
        """A new client that has sent these octets."""
        client = self.connect(**options)
        client.send(self.fill(raw))
        return client

    def get(self, path="/x", *fields):
        """A GET as octets."""
        return self.fill(request("GET", "~" + path, *fields))

    def ask(self, raw, method="GET"):
        """The response to these octets, on a connection of its own."""
        return self.send(raw).response(method)


def request(method="GET", target="~/x", *fields, body=b"", host="Host: cart"):
    """A request as octets."""
    return "\r\n".join([f"{method} {target} HTTP/1.1", host, *fields]).encode("latin-1") + b"\r\n\r\n" + body


def table(names, rows):
    """A parametrised test from a table: the keys are the ids, the values the row."""
    return pytest.mark.parametrize(names, list(rows.values()), ids=list(rows))


SMUGGLED = request("GET", "~/smuggled")


def refused(door, raw, statuses=(400,), untouched=True, method="GET"):
    """The sidecar answers with one of the statuses and closes; no origin sees a whole request, nor what follows it."""
    client = door.send(raw + SMUGGLED)
    response = client.response(method)
    assert response.status in statuses, f"{response.start} {response.body[:100]}; {door.origin}"
    assert response.error, "an answer of the sidecar names its reason"
    assert client.rest()[0] == b"", "nothing follows the refusal"
    door.origin.quiet()
    assert door.origin.requests == []
    if untouched:
        assert door.origin.octets == b""
    return response


def forwarded(door, raw, method="GET", status=200):
    """The sidecar forwards exactly one request and keeps the connection in step; gives what the origin received."""
    client = door.send(raw)
    response = client.response(method)
    assert response.status == status, f"{response.start} {response.body[:100]}"
    assert len(door.origin.requests) == 1
    received = door.origin.requests[0]
    if response.get("connection") != b"close":
        client.send(door.get("/next"))
        follow = client.response()
        assert follow.status == 200 and b"/next" in follow.body, "the connection is out of step"
    return received


def refused_or_forwarded(door, raw, statuses=(400,), untouched=True):
    """Where RFC and promise leave the choice. Gives what the origin received, `None` after a refusal.

    Either way nothing may be left over: after a forwarded request the next one on the connection is its own.
    """
    client = door.send(raw + SMUGGLED)
    response = client.response()
    if response.status == 200:
        assert b"smuggled" not in response.body
        assert client.response().body.endswith(b"/smuggled 0"), "the connection is out of step"
        assert len(door.origin.requests) == 2
        return door.origin.requests[0]
    assert response.status in statuses, f"{response.start} {response.body[:100]}"
    assert client.rest()[0] == b""
    door.origin.quiet()
    assert door.origin.requests == []
    if untouched:
        assert door.origin.octets == b""
    return None
