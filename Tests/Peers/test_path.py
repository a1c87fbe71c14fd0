# SPDX-License-Identifier: Apache-2.0
"""T4, T5, T7, U14 and the modes: where requests may go, how they are ended, and what memory pressure does."""

import contextlib
import signal
import subprocess
from pathlib import Path

import pytest

import harness
from harness import Client, answer, eventually, table


class Sidecar(harness.Sidecar):
    """A sidecar with a `mesher.yaml` of its own."""

    def __init__(self, *args, settings="", **options):
        self.settings = settings
        super().__init__(*args, **options)

    def _write(self, services, timeouts, limits):
        super()._write(services, timeouts, limits)
        Path(self.directory.name, "mesher.yaml").write_text(self.settings)


@pytest.fixture
def start():
    """Starts origins and sidecars, and ends them."""
    running = []

    def start(settings="", services=None, **options):
        origin = harness.Origin()
        running.append(origin.refuse)
        sidecar = Sidecar(origin.port, {"cart": origin.port, **(services or {})}, settings=settings, **options)
        running.append(sidecar.stop)
        sidecar.start()
        return sidecar, origin

    yield start
    for stop in reversed(running):
        stop()


def ask(sidecar, target, *fields, address="127.0.0.1", host="a"):
    """One GET on a connection of its own."""
    with Client((address, sidecar.port)) as client:
        client.send(harness.request("GET", target, *fields, host=f"Host: {host}"))
        return client.response()


# -- T4 ----------------------------------------------------------------------------------------------------------------


@table(
    "host",
    {
        "loopback": "127.0.0.1",
        "short": "127.1",
        "hexadecimal": "0x7f.1",
        "number": "2130706433",
        "octal": "0177.0.0.1",
        "zero": "0",
        "trailing_dot": "127.0.0.1.",
        "mapped": "[::ffff:127.0.0.1]",
        "six": "[::1]",
        "unspecified": "[::]",
        "link_local": "[fe80::1]",
        "metadata": "169.254.169.254",
        "localhost": "localhost",
        "localhost_dot": "LOCALHOST.",
    },
)
def test_places_that_nobody_published_are_refused(outgoing, host):
    before = outgoing.sidecar.errors("destination_refused")
    for port in ("", f":{outgoing.origin.port}", f":{outgoing.sidecar.admin}"):
        response = ask(outgoing.sidecar, f"http://{host}{port}/v1/mesher/version")
        assert (response.status, response.error) == (403, "destination_refused"), port
    assert outgoing.sidecar.errors("destination_refused") == before + 3
    assert outgoing.origin.connections == []


@table("host", {"loopback": "127.0.0.1", "localhost": "localhost", "short": "127.1", "zero": "0.0.0.0"})
def test_the_outgoing_listener_is_no_service(outgoing, host):
    response = ask(outgoing.sidecar, f"http://{host}:{outgoing.sidecar.port}/x")
    assert (response.status, response.body) == (400, b"uri format must be: http://serviceName/api")


def test_a_registry_cannot_aim_the_sidecar_at_itself(start):
    sidecar, _ = start()
    registry = Path(sidecar.directory.name, "services.yaml")
    places = {"out": f"127.0.0.1:{sidecar.port}", "admin": f"127.0.0.1:{sidecar.admin}"}
    entries = [f'{{name: {name}, instance: ["rest://{place}"]}}' for name, place in places.items()]
    registry.write_text(f"service: [{', '.join(entries)}]\n")
    for name in places:
        eventually(lambda: ask(sidecar, f"http://{name}/healthz").status == 403, f"{name} was not refused")


# -- T5 ----------------------------------------------------------------------------------------------------------------


def test_a_request_that_another_proxy_sends_back_is_ended_at_one_hop(start):
    sidecar, origin = start()

    def back(connection):
        for request in connection.requests():
            fields = [f"{name}: {value}" for name, value in decoded(request) if name != "host"]
            response = ask(sidecar, "http://cart" + request.target.decode(), *fields, host="cart")
            connection.send(answer(response.body, f"{response.status} x", f"x-mesher-error: {response.error}"))

    origin.script = back
    response = ask(sidecar, "http://cart/x")
    assert (response.status, response.get("x-mesher-error")) == (508, b"loop")
    assert len(origin.requests) == 1 and sidecar.errors("loop") == 1


def decoded(message):
    """The fields of a message as texts, names in lower case."""
    return [(name, value.decode()) for name, value in message.fields]


# -- T7 ----------------------------------------------------------------------------------------------------------------

CLAIMS = {
    "x-forwarded-for": "6.6.6.6",
    "x-forwarded-proto": "https",
    "x-forwarded-host": "evil.example",
    "forwarded": "for=6.6.6.6",
    "x-real-ip": "6.6.6.6",
}


@table(
    "settings, expected",
    {
        "nobody": ("", {"x-forwarded-host": b"a", "x-forwarded-proto": b"http"}),
        "listed": ("mesher: {trustedHops: [10.0.0.0/8, 127.0.0.1]}\n", {k: v.encode() for k, v in CLAIMS.items()}),
    },
)
def test_claims_of_a_caller(start, settings, expected):
    sidecar, origin = start(settings)
    fields = [f"{name}: {value}" for name, value in CLAIMS.items()]
    assert ask(sidecar, "/x", *fields, address="127.0.0.2").status == 200
    seen = {name: origin.requests[0].get(name) for name in CLAIMS if origin.requests[0].get(name)}
    assert seen == expected


# -- modes and resolvers -----------------------------------------------------------------------------------------------


def test_per_host_serves_the_configured_address_and_nothing_else(start):
    sidecar, origin = start("mesher: {mode: per-host}\n")
    url = ["curl", "-sS", "--noproxy", "", "-x", f"http://127.0.0.2:{sidecar.port}", "http://cart/x"]
    done = subprocess.run(url, capture_output=True, text=True, timeout=10)
    assert done.stdout == "GET /x 0" and done.returncode == 0, done.stderr
    assert ask(sidecar, f"http://127.0.0.2:{sidecar.port}/", address="127.0.0.2").status == 400
    assert ask(sidecar, "/x", address="127.0.0.2").status == 400
    with pytest.raises(ConnectionRefusedError):
        Client(("127.0.0.1", sidecar.port))


def test_the_resolver_ip_finds_the_service_of_an_instance(start):
    sidecar, origin = start("plugin: {destinationResolver: {http: ip}}\n")
    assert ask(sidecar, f"http://127.0.0.1:{origin.port}/x").status == 200
    assert ask(sidecar, "http://cart/x").status == 200
    response = ask(sidecar, "http://10.255.255.1/x")
    assert (response.status, response.body) == (400, b"no service found for ip [10.255.255.1]")
    assert ask(sidecar, "http://169.254.169.254/x").status == 403


# -- U14 ---------------------------------------------------------------------------------------------------------------


def test_out_of_memory_nothing_is_accepted_and_operators_still_see_why(start):
    sidecar, origin = start(limits={"memory": "8MiB"})
    eventually(lambda: sidecar.metric("mesher_overload_level") == 2, "the level did not rise")
    assert sidecar.metric("mesher_memory_limit_bytes") == 8 << 20
    assert sidecar.resident() > 8 << 20
    with Client(("127.0.0.1", sidecar.port)) as client:
        client.send(harness.request("GET", "http://cart/x"))
        # The gate has looked several times since the kernel took the connection.
        before = sidecar.metric("mesher_accept_pauses_total")
        eventually(lambda: sidecar.metric("mesher_accept_pauses_total") > before + 4, "the gate does not look")
        client.sock.setblocking(False)
        with pytest.raises(BlockingIOError):
            client.sock.recv(1)
    assert origin.connections == [] and sidecar.ask("/readyz").status == 200


def test_near_the_memory_limit_connections_end_with_their_answer(start):
    settled = start()[0].resident()
    for _ in range(5):
        sidecar, _ = start(limits={"memory": int(settled / 0.9)})
        with contextlib.suppress(AssertionError):
            eventually(lambda: sidecar.metric("mesher_overload_level") == 1, "another level", seconds=3)
            break
        settled = sidecar.resident()
    with Client(("127.0.0.1", sidecar.port)) as client:
        client.send(harness.request("GET", "http://cart/x"))
        response = client.response()
        assert sidecar.metric("mesher_overload_level") == 1, "never between 85 and 95 %"
        assert (response.status, response.get("connection")) == (200, b"close")
        assert client.rest() == (b"", "fin")


# -- U1 ----------------------------------------------------------------------------------------------------------------


def test_what_a_stop_cuts_is_logged(start):
    sidecar, origin = start(timeouts={"drain": "300ms"})
    origin.script = lambda connection: connection.head() and connection.rest()
    with Client(("127.0.0.1", sidecar.port)) as client:
        client.send(harness.request("GET", "http://cart/x"))
        origin.until(lambda: origin.heads)
        sidecar.process.send_signal(signal.SIGTERM)
        assert sidecar.process.wait(5) == 0
    log = sidecar.tail()
    assert "connections cut" in log and "connections=1" in log


def test_a_port_in_use_is_told_in_plain_words(start):
    sidecar, _ = start()
    second = Sidecar(1, {}, settings="mesher: {mode: per-host}\n")
    chassis = Path(second.directory.name, "chassis.yaml")
    chassis.write_text(chassis.read_text().replace(f"127.0.0.2:{second.port}", f"127.0.0.1:{sidecar.port}"))
    done = subprocess.run(
        [harness.binary()],
        env={"CHASSIS_CONF_DIR": second.directory.name},
        capture_output=True,
        text=True,
        timeout=10,
    )
    assert done.returncode == 1
    assert f"cannot listen on 127.0.0.1:{sidecar.port}: Address already in use; free the port" in done.stderr
    second.directory.cleanup()
