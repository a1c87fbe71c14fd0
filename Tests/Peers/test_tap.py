# SPDX-License-Identifier: Apache-2.0
"""`mesher tap` and the stream behind it: requests as they end, and nothing that is a secret."""

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import threading

import pytest

import harness
from governance import Load, World
from harness import eventually
from observed import Application, call

TOKEN = "open-sesame-77"
TAP = "/v1/mesher/tap"


@pytest.fixture(scope="module")
def shared():
    local = Application("local")
    services = {"cart": [Application("cart")], "orders": [Application("orders")], "away": [Application("away")]}
    services["away"][0].refuse()
    with World(services, local.port, mesher="mesher.retry.failover: 0\n") as world:
        world.local = local
        yield world
    local.refuse()
    local.fresh()


@pytest.fixture
def world(shared):
    """With nobody who watches: it takes a moment until a client that has gone is missed."""
    eventually(lambda: gone(shared), "somebody watches for ever", seconds=15)
    return shared


class Watcher:
    """A client of the stream; from its beginning on nothing is missed."""

    def __init__(self, sidecar, query="", **fields):
        self.connection = http.client.HTTPConnection("127.0.0.1", sidecar.admin, timeout=10)
        self.connection.request("GET", f"{TAP}?{query}", headers=fields)
        self.response = self.connection.getresponse()
        self.status = self.response.status
        if self.status == 200:
            assert self.response.getheader("Content-Type") == "application/x-ndjson"
            assert self.response.readline() == b"\n"

    @classmethod
    def placed(cls, sidecar, query=""):
        """One that has a place: that of somebody before may be on its way back still."""

        def attempt():
            watcher = cls(sidecar, query)
            if watcher.status == 200:
                return watcher
            watcher.connection.close()
            return None

        return eventually(attempt, "no place becomes free", seconds=10)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.connection.close()

    def next(self):
        """The next line that is not empty; `None` at the end."""
        while line := self.response.readline():
            if line != b"\n":
                return json.loads(line)
        return None

    def paths(self, count):
        return [self.next()["path"] for _ in range(count)]

    def refused(self):
        return json.loads(self.response.read())["error"]


def tap(world, *arguments, **options):
    """`mesher tap` with the sidecar's own files; returns when it is on."""
    environment = {**os.environ, "CHASSIS_CONF_DIR": world.sidecar.directory.name, **options}
    process = subprocess.Popen(
        [harness.binary(), "tap", *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    return process


@contextlib.contextmanager
def watching(world, *arguments):
    """`mesher tap` from when it watches."""
    process = tap(world, *arguments)
    try:
        assert process.stdout.readline().split()[:3] == ["TIME", "STATUS", "MS"]
        yield process
    finally:
        process.kill()
        process.communicate()


def gone(world):
    """Whether all places were free: four could be taken. Each is given back, since its one request comes."""
    with contextlib.ExitStack() as stack:
        watchers = [stack.enter_context(Watcher(world.sidecar, "count=1")) for _ in range(4)]
        world.ask("cart")
        for watcher in watchers:
            watcher.response.read()
        return all(watcher.status == 200 for watcher in watchers)


# -- what is shown ----------------------------------------------------------------------------------------------------


def test_calls_that_go_out(world):
    with Watcher(world.sidecar, "service=cart") as watcher:
        world.ask("cart", path="/items?token=hush-1", method="POST", body=b"hush-2")
        world.ask("orders", path="/other")
        world.ask("cart", path="/503")
        first, second = watcher.next(), watcher.next()
    assert first["time"] > 1.7e9 and first["milliseconds"] > 0
    assert {name: first[name] for name in ("direction", "method", "path", "service", "status", "attempts")} == {
        "direction": "outgoing", "method": "POST", "path": "/items", "service": "cart", "status": 200, "attempts": 1,
    }  # fmt: skip
    assert first["endpoint"] == f"rest://127.0.0.1:{world.services['cart'][0].port}"
    assert (second["path"], second["status"]) == ("/503", 503)


def test_calls_that_come_in(world):
    """Of the own service all of them, of another one those that it makes."""
    fields = ["x-cse-src-microservice: shop"]
    with Watcher(world.sidecar, "service=web") as own, Watcher(world.sidecar, "service=shop") as shop:
        for path, more in (("/one", []), ("/two", fields)):
            with world.client("127.0.0.2") as client:
                client.send(harness.request("GET", path, *more, host="Host: web"))
                assert client.response().status == 200
        assert own.paths(2) == ["/one", "/two"]
        found = shop.next()
    assert (found["path"], found["direction"]) == ("/two", "incoming")
    assert (found["service"], found["caller"]) == ("web", "shop")


def test_what_nobody_answers(world):
    """A refused connection, and a service that there is not: why, and by the name that was asked for."""
    with Watcher(world.sidecar, "status=5xx") as watcher:
        world.ask("away")
        world.ask("crat")
        away, crat = watcher.next(), watcher.next()
    assert (away["service"], away["reason"], away["status"]) == ("away", "connect_failed", 502)
    assert crat["service"] == "crat" and crat["status"] >= 500 and "endpoint" not in crat
    with Watcher(world.sidecar, "service=CRAT") as watcher:
        world.ask("crat")
        assert watcher.next()["service"] == "crat"


@pytest.mark.parametrize(
    "query, shown",
    [
        ("path=/items", ["/items", "/items/1", "/items/404"]),
        ("status=4xx", ["/items/404"]),
        ("status=503,404", ["/503", "/items/404"]),
        ("service=cart&path=/items/&status=2xx", ["/items/1"]),
    ],
)
def test_filters(world, query, shown):
    with Watcher(world.sidecar, f"{query}&count={len(shown)}") as watcher:
        for path in ("/items", "/503", "/items/1", "/items/404?x=/items/9"):
            world.ask("cart", path=path)
        world.ask("orders", path="/last/404" if "status=4xx" in query else "/last")
        assert watcher.paths(len(shown)) == shown
        assert watcher.next() is None, "it goes on after what was asked for"


def test_no_secrets(world):
    """Neither fields nor bodies nor queries, nor what stands before a host."""
    with Watcher(world.sidecar) as watcher:
        secrets = ["Authorization: Bearer hush-3", "Cookie: id=hush-4", "X-Api-Key: hush-5"]
        world.ask("cart", *secrets, path="/a?key=hush-6#hush-7", method="PUT", body=b"hush-8")
        world.ask("cart", *secrets, path="?key=hush-9")
        world.ask("me:hush-10@cart")
        world.ask("cart", path="/last")
        lines = []
        while not lines or lines[-1]["path"] != "/last":
            lines.append(watcher.next())
    assert len(lines) >= 3 and "hush" not in json.dumps(lines)
    named = {"time", "direction", "method", "path", "service", "status", "milliseconds", "attempts"}
    for line in lines:
        assert named <= set(line) <= named | {"endpoint", "reason"}


def test_a_query_cannot_be_guessed(world):
    """Who may ask for the beginning of a path must not find out by it how its query begins."""
    found = call(world.sidecar.admin, f"{TAP}?path=/a%3Fkey=h")
    assert found.status == 400 and "queries" in found.json["error"]


# -- limits -----------------------------------------------------------------------------------------------------------


class Marks:
    """Requests to `/mark/1` and so on, until one of them is shown: before that there may be no room for it."""

    def __init__(self, world, lines):
        self.count, self.found, self.rest = 0, 0, []
        self._lines = lines
        self._seen = threading.Event()
        thread = threading.Thread(target=self._read)
        thread.start()
        while not self._seen.is_set():
            self.count += 1
            world.ask("cart", path=f"/mark/{self.count}")
            self._seen.wait(0.02)
        thread.join()

    def _read(self):
        for line in self._lines:
            self.rest.append(line)
            if mark := re.search(r"/mark/(\d+)", line):
                self.found = int(mark[1])
                break
        self._seen.set()


def test_under_load_it_drops_and_counts(world):
    """What is shown and what is counted as dropped is all that there was; the calls themselves notice nothing."""
    with Watcher(world.sidecar, "service=cart") as all_of_it, Watcher(world.sidecar, "path=/marked") as few:
        # While nobody reads, 256 fit, and what the kernel keeps.
        with Load(world, clients=2) as load:
            eventually(lambda: load.good > 6000, "no load", seconds=60)
            world.ask("cart", path="/marked")
            assert few.paths(1) == ["/marked"], "a filter takes what it is for, whatever else there is"
        marks = Marks(world, (json.dumps(each) for each in iter(all_of_it.next, None)))
    lines = [json.loads(line) for line in marks.rest]
    shown, dropped = sum("path" in line for line in lines), sum(line.get("dropped", 0) for line in lines)
    assert not load.errors and shown >= 256 and dropped > 0
    assert shown + dropped == load.good + 1 + marks.found


def stalled(world):
    """A watcher that has asked and reads nothing; little room, so that it is full soon."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    sock.connect(("127.0.0.1", world.sidecar.admin))
    sock.sendall(f"GET {TAP} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    return sock


def test_a_client_that_does_not_read(world):
    """Costs calls nothing and others nothing, keeps no memory, and loses its place."""
    sock = stalled(world)
    with contextlib.closing(sock), Load(world, clients=2) as load:
        before = world.sidecar.resident()
        # TCP_INFO begins with the state; 1 is ESTABLISHED.
        state = lambda: sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]  # noqa: E731
        with Watcher(world.sidecar, "path=/marked") as watcher:
            world.ask("cart", path="/marked")
            assert watcher.paths(1) == ["/marked"]
        eventually(lambda: state() != 1, "it is still there", seconds=60)
        assert world.sidecar.resident() - before < 30 << 20
    assert not load.errors
    eventually(lambda: gone(world), "its place is not free")


def test_a_client_that_goes(world):
    """Also while nothing happens its place is free soon."""
    for _ in range(3):
        with contextlib.ExitStack() as stack:
            for _ in range(4):
                stack.enter_context(Watcher.placed(world.sidecar))
        eventually(lambda: gone(world), "their places are not free", seconds=10)


def test_four_may_watch(world):
    with contextlib.ExitStack() as stack:
        watchers = [stack.enter_context(Watcher.placed(world.sidecar)) for _ in range(4)]
        with Watcher(world.sidecar) as fifth:
            assert fifth.status == 503 and fifth.refused() == "4 are watching already"
        # HEAD takes no place.
        assert call(world.sidecar.admin, TAP, "HEAD").status == 200
        world.ask("cart", path="/seen")
        assert [watcher.paths(1) for watcher in watchers] == [["/seen"]] * 4
    eventually(lambda: gone(world), "their places are not free", seconds=10)


@pytest.mark.parametrize("query", ["status=oops", "status=5x", "count=0", "count=-1", "path=items"])
def test_bad_questions(world, query):
    found = call(world.sidecar.admin, f"{TAP}?{query}")
    assert found.status == 400 and found.json["error"]


def test_with_a_token(tmp_path):
    """Where there is one it has to be shown; the command takes it from the files, or from the environment."""
    with World({"cart": [Application("cart")]}, mesher=f"mesher.admin.token: {TOKEN}\n") as world:
        for fields in ({}, {"Authorization": f"Bearer {TOKEN}x"}):
            with Watcher(world.sidecar, **fields) as watcher:
                assert watcher.status == 401 and "Authorization: Bearer" in watcher.refused()
        with Watcher(world.sidecar, "count=1", Authorization=f"Bearer {TOKEN}") as watcher:
            world.ask("cart", path="/a")
            assert watcher.paths(1) == ["/a"]
        with watching(world, "cart", "--count", "1") as process:
            world.ask("cart", path="/b")
            assert process.stdout.readline().split()[-1] == "/b"
        admin = f"127.0.0.1:{world.sidecar.admin}"
        strange = {**os.environ, "CHASSIS_CONF_DIR": str(tmp_path)}
        command = [harness.binary(), "tap", "--admin", admin]
        done = subprocess.run(command, env=strange, capture_output=True, text=True, timeout=20)
        assert done.returncode == 1 and "mesher.admin.token" in done.stderr
        strange["mesher_admin_token"] = TOKEN
        with subprocess.Popen(command, env=strange, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            assert process.stdout.readline().startswith(b"TIME")
            process.terminate()
            assert process.communicate(timeout=10)[1] == b"0 requests\n" and process.returncode == 0


# -- the command ------------------------------------------------------------------------------------------------------


def test_command(world):
    """One line for each, in columns; how many there were at the end."""
    with watching(world, "cart", "--status", "2xx,5xx", "--path", "/", "--count", "2") as process:
        world.ask("cart", path="/items?x=1")
        world.ask("cart", path="/404")
        world.ask("cart", path="/503")
        out, err = process.communicate(timeout=10)
    first, second = (line.split() for line in out.splitlines())
    assert re.fullmatch(r"\d\d:\d\d:\d\d\.\d{3}Z", first[0]) and first[1:3] == ["out", "200"]
    assert first[4:6] == ["1", "cart"] and first[6].startswith("rest://127.0.0.1:") and first[7:] == ["GET", "/items"]
    assert second[2] == "503" and second[7:] == ["GET", "/503"]
    assert (process.returncode, err) == (0, "2 requests\n")


def test_command_as_json(world):
    process = tap(world, "--json", "--count", "3")
    asked = threading.Event()

    def ask():
        while not asked.is_set():
            world.ask("cart", path="/a?x=1")

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        out, err = process.communicate(timeout=20)
    finally:
        asked.set()
        thread.join()
    assert [json.loads(line)["path"] for line in out.splitlines()] == ["/a"] * 3
    assert process.returncode == 0 and err.startswith("3 requests")


def test_command_ends_when_it_is_told_to(world):
    for number in (signal.SIGINT, signal.SIGTERM):
        with watching(world) as process:
            world.ask("cart", path="/a")
            assert process.stdout.readline().split()[-1] == "/a"
            process.send_signal(number)
            out, err = process.communicate(timeout=10)
            assert (out, err, process.returncode) == ("", "1 request\n", 0)


def test_command_says_what_was_dropped(world):
    """Whoever takes its output is slow: what was shown and what was dropped is all."""
    with watching(world, "cart") as process:
        with Load(world, clients=2) as load:
            eventually(lambda: load.good > 5000, "no load", seconds=60)
        marks = Marks(world, process.stdout)
        process.terminate()
        # Not by communicate(), which passes over what this file has read ahead.
        out, err = process.stdout.read(), process.stderr.read()
        process.wait(10)
    said = re.fullmatch(r"(\d+) requests; (\d+) more were dropped, since they came faster than .*\n", err)
    assert said and int(said[1]) == len(marks.rest) + out.count("\n")
    # Marks behind the one that was seen may not have been shown any more.
    assert load.good + marks.found <= int(said[1]) + int(said[2]) <= load.good + marks.count


def test_command_whose_reader_goes(world):
    """As in `mesher tap | head -1`."""
    with watching(world) as process:
        process.stdout.close()
        world.ask("cart", path="/a")
        assert process.wait(10) == 0 and process.stderr.read() == "1 request\n"
        process.stdout = None


def test_command_shows_no_control_characters(world):
    with watching(world, "--count", "1") as process:
        caller = json.dumps({"x-cse-src-microservice": "ca\x1b[31mller\u009b31m\u202egnp"})
        with world.client("127.0.0.2") as client:
            client.send(harness.request("GET", "/%1b31m", f"x-cse-context: {caller}", host="Host: web"))
            client.response()
        out, _ = process.communicate(timeout=10)
    assert out.count("\n") == 1 and not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", out)


def test_command_without_a_sidecar():
    nowhere = f"127.0.0.1:{harness.free_port('127.0.0.1')}"
    done = subprocess.run([harness.binary(), "tap", "--admin", nowhere], capture_output=True, text=True, timeout=20)
    assert (done.returncode, done.stdout) == (1, "")
    assert nowhere in done.stderr and "connection refused" in done.stderr and "--admin host:port" in done.stderr


@pytest.mark.parametrize("arguments", [["--status", "oops"], ["--path", "a"], ["--count", "0"], ["--path", "/?a"]])
def test_command_with_bad_options(arguments):
    done = subprocess.run([harness.binary(), "tap", *arguments], capture_output=True, text=True, timeout=20)
    assert done.returncode == 64 and done.stdout == ""


def test_the_sidecar_stops():
    """The stream has an end, and so has the command."""
    with World({"cart": [Application("cart")]}) as world, watching(world) as process:
        world.sidecar.process.terminate()
        process.communicate(timeout=15)
        assert process.returncode in (0, 1)
