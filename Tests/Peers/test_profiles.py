# SPDX-License-Identifier: Apache-2.0
"""Profiles: off unless asked for, on loopback only, and readable by the tools that people have."""

import contextlib
import gzip
import os
import re
import subprocess
import threading
import time
from pathlib import Path

import pytest

import harness
from governance import Instance, World
from harness import eventually
from life import in_parallel
from observed import Application, call

OURS = re.compile("HeadScanner|ExchangeDriver|HTTP1ServerConnection|ConnectionPool|HeaderBlock")


class Profiled(World):
    """A sidecar with profiles at a port of its own, and something to look at."""

    def __init__(self):
        self.port = harness.free_port("127.0.0.1")
        services = {"cart": [Instance("cart")], "broken": [Application("broken")]}
        breaker = "cse.circuitBreaker.Consumer.broken: {enabled: true, requestVolumeThreshold: 3}\n"
        listen = f'pprof: {{enable: true, listen: "127.0.0.1:{self.port}"}}\n'
        super().__init__(services, mesher=listen, circuit_breaker=breaker)
        eventually(lambda: harness.listens("127.0.0.1", self.port), "no profiles")
        self.services["broken"][0].refuse()

    def get(self, path, method="GET", body=None, **fields):
        return call(self.port, path, method, body, **fields)

    @contextlib.contextmanager
    def load(self, seconds):
        """A client that keeps the event loops busy; yields when they are."""
        script = Path(self.sidecar.directory.name, "wrk.lua")
        # A name that nobody has: what is measured is the sidecar, not an origin in Python.
        script.write_text("wrk.path = 'http://nobody/'\nwrk.headers['Host'] = 'nobody'\n")
        url = f"http://127.0.0.1:{self.sidecar.port}/"
        load = subprocess.Popen(["wrk", "-t1", "-c8", f"-d{seconds}s", "-s", script, url], stdout=subprocess.DEVNULL)
        try:
            eventually(lambda: self.sidecar.errors("no_endpoint") > 100, "no load")
            yield
        finally:
            load.terminate()
            load.wait()


@pytest.fixture(scope="module")
def world():
    with Profiled() as world:
        yield world


@pytest.fixture(scope="module")
def profile(world):
    """A profile of two seconds under load, as it came."""
    with world.load(20):
        began = time.monotonic()
        found = world.get("/debug/pprof/profile?seconds=2")
        assert 1.9 < time.monotonic() - began < 6
    assert found.status == 200, found.body
    return found


# -- where and when ---------------------------------------------------------------------------------------------------


def listening(sidecar):
    """The addresses where a process listens, but for the usual one of gRPC, which only one process can have."""
    files = Path(f"/proc/{sidecar.process.pid}/fd").iterdir()
    own = {link[8:-1] for link in map(os.readlink, files) if link.startswith("socket:[")}
    found = set()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        columns = line.split()
        if columns[3] == "0A" and columns[9] in own:
            address, port = columns[1].split(":")
            found.add(f"{'.'.join(str(each) for each in reversed(bytes.fromhex(address)))}:{int(port, 16)}")
    return found - {"127.0.0.1:40101"}


def test_off_by_default(world):
    """Nothing listens, and the admin API has no such path."""
    with World({}) as quiet:
        own = quiet.sidecar
        assert listening(own) == {f"127.0.0.1:{own.admin}", f"127.0.0.1:{own.port}", f"127.0.0.2:{own.port}"}
        assert call(own.admin, "/debug/pprof/").status == 404
        assert call(own.admin, "/debug/pprof/profile?seconds=1").status == 404
    assert f"127.0.0.1:{world.port}" in listening(world.sidecar)
    assert call(world.sidecar.admin, "/debug/pprof/").status == 404


def test_names_of_others_are_refused(world):
    """T6: no web page takes a profile."""
    assert call(world.port, "/debug/pprof/cmdline", host="evil.example").status == 403
    assert call(world.port, "/debug/pprof/cmdline", host=f"localhost:{world.port}").status == 200


ADDRESSES = [
    "127.0.0.0.1:6060",
    "0.0.0.0:6060",
    "10.1.2.3:6060",
    "127.0.0.1",
    "127.0.0.1:70000",
    "localhost:x",
    ":6060",
]


def check(folder, text):
    """`mesher check` with this mesher.yaml: the exit status, and the lines about its second line."""
    (folder / "chassis.yaml").write_text("cse.service.registry.type: file\n")
    (folder / "microservice.yaml").write_text("service_description: {name: web}\n")
    (folder / "mesher.yaml").write_text(f"# profiles\n{text}\n")
    environment = {"PATH": os.environ["PATH"], "CHASSIS_CONF_DIR": str(folder)}
    done = subprocess.run([harness.binary(), "check"], env=environment, capture_output=True, text=True, timeout=20)
    return done.returncode, [line for line in done.stdout.splitlines() if "mesher.yaml:2:" in line]


@pytest.mark.parametrize("address", ADDRESSES)
def test_bad_addresses(tmp_path, address):
    """Not loopback, or no address at all: a mistake with its place and a remedy; a word only when not used."""
    status, found = check(tmp_path, f'pprof: {{enable: true, listen: "{address}"}}')
    assert status == 1 and len(found) == 1 and "write 127.0.0.1:6060" in found[0] and "pprof.listen" in found[0], found
    assert address in found[0]
    status, found = check(tmp_path, f'pprof: {{enable: false, listen: "{address}"}}')
    assert status == 0 and len(found) == 1 and "warning" in found[0], found


@pytest.mark.parametrize("address", ["127.0.0.1:6060", "[::1]:6060", "127.8.9.10:1"])
def test_good_addresses(tmp_path, address):
    assert check(tmp_path, f'pprof: {{enable: true, listen: "{address}"}}') == (0, [])


def test_the_default_address(tmp_path):
    assert check(tmp_path, "pprof: {enable: true}") == (0, [])


def test_a_port_that_is_taken():
    """It cannot listen: traffic goes on, and the log says so."""
    taken = Instance("taken")
    listen = f'pprof: {{enable: true, listen: "127.0.0.1:{taken.port}"}}\n'
    with World({"cart": [Instance("cart")]}, mesher=listen) as world:
        assert world.many(3) == {"cart": 3}
        eventually(lambda: "profiling" in world.sidecar.log.read_text(), lambda: world.sidecar.tail())
        assert world.many(3) == {"cart": 3}
    taken.refuse()


# -- a profile --------------------------------------------------------------------------------------------------------


def fields(data):
    """The fields of a protobuf message: number, and an integer or octets."""

    def varint(place):
        value = shift = 0
        while True:
            value |= (data[place] & 0x7F) << shift
            place, shift = place + 1, shift + 7
            if data[place - 1] < 0x80:
                return value, place

    place = 0
    while place < len(data):
        key, place = varint(place)
        if key & 7 == 0:
            value, place = varint(place)
        else:
            assert key & 7 == 2, f"wire type {key & 7}"
            length, place = varint(place)
            value, place = data[place : place + length], place + length
            assert len(value) == length, "cut off"
        yield key >> 3, value


def packed(value):
    """Numbers that may be packed."""
    if isinstance(value, int):
        return [value]
    return [each for _, each in fields(b"".join(b"\0" + part for part in split(value)))]


def split(data):
    start = 0
    for place, octet in enumerate(data):
        if octet < 0x80:
            yield data[start : place + 1]
            start = place + 1


class Profile:
    """A profile of pprof, read by its description: proto/profile.proto of github.com/google/pprof."""

    def __init__(self, data):
        parts = {}
        for number, value in fields(data):
            parts.setdefault(number, []).append(value)
        self.strings = [each.decode() for each in parts[6]]
        assert self.strings[0] == ""
        self.types = [tuple(self.strings[value] for _, value in fields(each)) for each in parts[1]]
        functions = {dict(fields(each))[1]: dict(fields(each)) for each in parts.get(5, [])}
        self.functions = {key: (self.strings[each[2]], self.strings[each[3]]) for key, each in functions.items()}
        self.mappings = [dict(fields(each)) for each in parts.get(3, [])]
        self.locations = {}
        for each in parts.get(4, []):
            has = dict(fields(each))
            self.locations[has[1]] = self.functions[dict(fields(has[4]))[1]]
        self.samples = []
        for each in parts.get(2, []):
            stack, values = [], []
            for number, value in fields(each):
                (stack if number == 1 else values).extend(packed(value))
            self.samples.append(([self.locations[place] for place in stack], values))
        self.duration, self.period = parts[10][0], parts[12][0]


def test_the_form_of_a_profile(profile):
    """gzip, and in it what tools expect of a profile of processor time."""
    assert profile.type == "application/octet-stream" and "profile.pb.gz" in profile.fields["content-disposition"]
    found = Profile(gzip.decompress(profile.body))
    assert found.types == [("samples", "count"), ("cpu", "nanoseconds")]
    assert found.period == 10_000_000 and 1.9e9 < found.duration < 5e9
    count = sum(values[0] for _, values in found.samples)
    assert all(values[1] == values[0] * found.period for _, values in found.samples)
    # Busy loops for two seconds, a hundred samples for each: with two cores and wrk among them at least a third.
    assert 60 < count < 3000, count
    paths = {found.strings[each[5]] for each in found.mappings}
    assert os.path.realpath(harness.binary()) in paths, paths


def test_functions_have_their_names(profile):
    """Ours, demangled as a Swift programmer writes them; with whoever called them."""
    found = Profile(gzip.decompress(profile.body))
    names = {name for name, _ in found.functions.values()}
    assert any(OURS.search(name) for name in names), sorted(names)
    assert not [name for name in names if name.startswith(("$s", "_$s", "_Z"))]
    assert any(name.startswith("$s") for _, name in found.functions.values()), "names of the linker are kept beside"
    deep = [stack for stack, _ in found.samples if len(stack) > 8]
    assert len(deep) > len(found.samples) / 4, "stacks end too early"
    named = sum(values[0] for stack, values in found.samples if not stack[0][0].startswith("["))
    assert named > 0.5 * sum(values[0] for _, values in found.samples)


def test_go_reads_it(profile, tmp_path):
    """`go tool pprof -top` shows our hot functions."""
    path = tmp_path / "profile.pb.gz"
    path.write_bytes(profile.body)
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PPROF_TMPDIR": str(tmp_path)}
    command = ["go", "tool", "pprof", "-top", "-cum", "-nodecount=400", str(path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "Type: cpu" in done.stdout and re.search(r"Duration: [2-5]", done.stdout)
    assert OURS.search(done.stdout), done.stdout


def test_only_one_at_a_time(world):
    """Of three at a time one gets its profile, the others are told to come again; traffic goes on meanwhile."""
    found = []
    take = lambda _: found.append(world.get("/debug/pprof/profile?seconds=1"))  # noqa: E731
    taking = threading.Thread(target=in_parallel, args=(3, take))
    taking.start()
    assert world.many(20) == {"cart": 20}
    taking.join()
    assert sorted(each.status for each in found) == [200, 409, 409]
    for each in found:
        if each.status == 200:
            assert Profile(gzip.decompress(each.body)).duration > 0.9e9
        else:
            assert "already" in each.json["error"]
    # It is free again at once.
    assert world.get("/debug/pprof/profile?seconds=1").status == 200


@pytest.mark.parametrize("seconds", ["0", "-1", "301", "1.5", "x", "", "99999999999999999999"])
def test_seconds_out_of_range(world, seconds):
    began = time.monotonic()
    found = world.get(f"/debug/pprof/profile?seconds={seconds}")
    assert found.status == 400 and "1 to 300" in found.json["error"] and time.monotonic() - began < 1


def test_who_leaves_ends_the_profile(world):
    """A client that hangs up frees the place long before its time is over."""
    with contextlib.ExitStack() as clients:

        def is_busy():
            # Again, should the question have come first and this one have been refused for it.
            client = clients.enter_context(harness.Client(("127.0.0.1", world.port)))
            client.send(b"GET /debug/pprof/profile?seconds=10 HTTP/1.1\r\nHost: localhost\r\n\r\n")
            return world.get("/debug/pprof/profile?seconds=1").status == 409

        eventually(is_busy, "it has not begun")
    eventually(lambda: world.get("/debug/pprof/profile?seconds=1").status == 200, "it goes on for nobody", seconds=5)


@pytest.mark.parametrize("seconds, status", [("1", 200), ("0", 400)])
def test_connections_with_a_profile(world, seconds, status):
    """To see whether its client leaves, the server reads on; so nothing else is served there, which it says."""
    with harness.Client(("127.0.0.1", world.port)) as client:
        client.send(b"GET /debug/pprof/profile?seconds=%s HTTP/1.1\r\nHost: localhost\r\n\r\n" % seconds.encode())
        found = client.response()
        assert found.status == status
        if status == 200:
            assert found.get("connection") == b"close" and client.rest()[0] == b""
        else:
            client.send(b"GET /debug/pprof/ HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert client.response().status == 200


# -- pages ------------------------------------------------------------------------------------------------------------


def test_the_index(world):
    """Each page that it lists is there."""
    found = world.get("/debug/pprof/")
    assert (found.status, found.type) == (200, "text/plain")
    paths = re.findall(r"^(/debug/pprof/\w*)", found.body.decode(), re.MULTILINE)
    assert len(paths) >= 8 and "/debug/pprof/profile" in paths
    for path in set(paths) - {"/debug/pprof/profile"}:
        assert world.get(path).status == 200, path


def test_the_command_line(world):
    """Arguments with a zero between them."""
    arguments = world.get("/debug/pprof/cmdline").body.split(b"\0")
    assert arguments[0].decode() == harness.binary() and b"--workers" in arguments


def test_symbols(world, profile):
    """Names of addresses, by GET and by POST, as the tools of Go ask for them."""
    data = gzip.decompress(profile.body)
    locations = [dict(fields(value)) for number, value in fields(data) if number == 4]
    names = Profile(data).locations
    chosen = [each for each in locations if OURS.search(names[each[1]][0])][:3]
    assert chosen
    text = "+".join(f"{each[3]:#x}" for each in chosen)
    for found in (world.get(f"/debug/pprof/symbol?{text}"), world.get("/debug/pprof/symbol", "POST", text.encode())):
        assert found.status == 200
        first, *rest = found.body.decode().splitlines()
        assert first == "num_symbols: 1"
        assert rest == [f"{each[3]:#x} {names[each[1]][0]}" for each in chosen]


@pytest.mark.parametrize("text", ["", "0x0", "x", "0x" + "f" * 40, "0x1+" * 5000, "%00"])
def test_symbols_of_nonsense(world, text):
    for found in (
        world.get(f"/debug/pprof/symbol?{text[:6000]}"),
        world.get("/debug/pprof/symbol", "POST", text.encode()),
    ):
        assert found.body == b"num_symbols: 1\n"


def test_methods(world):
    """POST where tools need it, and nowhere else."""
    for path in ("profile", "heap", "cmdline", "loops", ""):
        found = world.get(f"/debug/pprof/{path}", "POST", b"")
        assert (found.status, found.fields["allow"]) == (405, "GET, HEAD, OPTIONS"), path
    assert world.get("/debug/pprof/symbol", "DELETE").fields["allow"] == "GET, HEAD, POST, OPTIONS"


@pytest.mark.parametrize("name", ["goroutine", "threadcreate", "block", "mutex", "allocs", "trace", "nonsense"])
def test_profiles_of_other_runtimes(world, name):
    """404 with a word on what there is instead."""
    found = world.get(f"/debug/pprof/{name}")
    assert (
        found.status == 404 and found.json["error"].startswith(f"{name}: ") and "/debug/pprof/" in found.json["remedy"]
    )


def test_the_heap(world):
    """An honest picture: what the system says agrees with what the page says, and it does not claim more."""
    text = world.get("/debug/pprof/heap").body.decode()
    assert "This is no heap profile" in text
    resident = int(re.search(r"VmRSS\s+(\d+)", text)[1]) << 10
    assert abs(resident - world.sidecar.resident()) < 8 << 20
    used, arenas = (int(re.search(rf"^  {name}\s+(\d+)", text, re.MULTILINE)[1]) for name in ("used", "arenas"))
    assert 0 < used <= arenas < resident >> 10
    assert "Free blocks by size" in text


def test_pages_of_traffic(world):
    """Event loops, mailboxes, connections and circuits, as they stand."""
    assert world.many(3) == {"cart": 3}
    eventually(lambda: world.ask("broken").error == "circuit_open", "the breaker does not open")

    def row(page, start):
        lines = world.get(f"/debug/pprof/{page}").body.decode().splitlines()
        return next((re.split(r" {2,}", line) for line in lines if line.startswith(start)), None)

    assert row("loops", "loop")[1:] == ["lag", "clients", "of HTTP/2", "upstreams", "idle", "waiting for registry"]
    assert re.fullmatch(r"\d+\.\d{3} ms", row("loops", "0")[1])
    assert row("mailboxes", "telemetry")[2] == "64"
    cart = eventually(lambda: row("connections", "cart"), "no connection")
    assert cart[1].startswith("rest://127.0.0.1:") and cart[2] == "UP" and int(cart[-2]) >= 3
    opened = lambda: (found := row("circuits", "broken")) and found[1] == "open"  # noqa: E731
    eventually(opened, lambda: f"{row('circuits', 'broken')}")
