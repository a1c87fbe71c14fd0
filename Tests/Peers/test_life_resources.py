# SPDX-License-Identifier: Apache-2.0
"""U6, U11, U12: descriptors run out, the clock jumps, connections come by the thousand."""

import resource
import select
import signal
import socket
import struct
import subprocess
import time
from datetime import datetime
from pathlib import Path

import pytest

from harness import answer, eventually
from life import INCOMING, OUTGOING, in_parallel, living

KIB = 1 << 10
PLENTY = 8000


def starved(mesh, existing, record_property, what):
    """Three seconds without a descriptor to give: no busy loop, and those who were there first are served."""
    busy, began, served = mesh.sidecar.cpu(), time.monotonic(), 0
    while time.monotonic() < began + 3:
        for client, address in existing:
            mesh.again(client, address)
            served += 1
        select.select([], [], [], 0.05)
    share = 100 * (mesh.sidecar.cpu() - busy) / (time.monotonic() - began)
    record_property("CPU while starved", f"{share:.1f} % of a core")
    print(f"{what}: {share:.1f} % of a core over 3 s, in which {served} requests were served")
    assert share <= 5
    return served


def recovery(mesh, record_property):
    """When descriptors are there again, the first new requests are answered."""
    began = time.monotonic()
    for address in (INCOMING, OUTGOING):
        assert mesh.ask(address=address).status == 200
    taken = time.monotonic() - began
    record_property("first new answers", f"{taken * 1000:.0f} ms")
    print(f"both listeners answer new clients {taken * 1000:.0f} ms after that")
    assert taken <= 1


def test_400_idle_clients_and_256_descriptors(record_property):
    with living(descriptors=(256, 256)) as mesh:
        existing = [(mesh.idle(address), address) for address in (INCOMING, OUTGOING)]
        before = mesh.sidecar.open_files()
        idle = [mesh.connect((INCOMING, OUTGOING)[number % 2]) for number in range(400)]
        eventually(lambda: mesh.sidecar.open_files() > 100, "the clients were not taken")
        starved(mesh, existing, record_property, f"256 descriptors, {mesh.sidecar.open_files()} in use")
        assert mesh.sidecar.ask("/readyz").status == 200, "the reserve is for the admin API"
        for client in idle:
            client.close()
        recovery(mesh, record_property)
        mesh.settled(before)
        assert mesh.sidecar.alive


def test_not_one_descriptor_left(record_property):
    """The limit is lowered while the sidecar runs, so that every accept fails, which the budget could not foresee."""
    with living() as mesh:
        existing = [(mesh.idle(address), address) for address in (INCOMING, OUTGOING)]
        pid, limits = mesh.sidecar.process.pid, mesh.sidecar.file_limits()
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, limits[1]))
        waiting = [mesh.connect((INCOMING, OUTGOING)[number % 2]) for number in range(50)]
        waiting += [socket.create_connection(("127.0.0.1", mesh.sidecar.admin), 4) for _ in range(5)]
        starved(mesh, existing, record_property, "no descriptor left")
        assert "cannot accept connections" in mesh.sidecar.log.read_text()
        resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
        for client in waiting:
            client.close()
        assert mesh.sidecar.ask("/readyz").status == 200, "probes are answered again as well"
        recovery(mesh, record_property)


def test_10_000_short_connections(record_property):
    with living(timeouts={"upstreamIdle": "1s"}) as mesh:
        files = mesh.sidecar.open_files()
        mesh.origin.script = lambda connection: [connection.send(answer()) for _ in connection.requests()]

        def come_and_go(count):
            def work(number):
                address = (INCOMING, OUTGOING)[number % 2]
                for _ in range(count):
                    assert mesh.ask(address=address).status == 200

            in_parallel(50, work)

        come_and_go(40)
        mesh.origin.requests.clear()
        memory = mesh.sidecar.resident()
        began = time.monotonic()
        come_and_go(200)
        taken = time.monotonic() - began
        assert len(mesh.origin.requests) == 10_000
        mesh.settled(files)
        growth = mesh.sidecar.resident() - memory
        text = (
            f"0 errors, {10_000 / taken:.0f}/s; {files} open files before, {mesh.sidecar.open_files()} after; "
            f"memory {memory / KIB / KIB:.1f} MiB before, {growth / KIB:+.0f} KiB after"
        )
        record_property("10,000 short connections", text)
        print(f"10,000 short connections: {text}")
        assert growth <= 4 * KIB * KIB


def test_8000_idle_connections(record_property):
    own, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < PLENTY * 10 // 8 + 500:
        pytest.skip(f"the hard limit of open files is {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        with living() as mesh:
            mesh.origin.script = lambda connection: [connection.send(answer()) for _ in connection.requests()]
            for _ in range(50):
                mesh.ask()
            for _ in range(20):
                mesh.idle()
            files, memory = mesh.sidecar.open_files(), mesh.sidecar.resident()
            idle = [mesh.idle((INCOMING, OUTGOING)[number % 2]) for number in range(PLENTY)]
            each = (mesh.sidecar.resident() - memory) / PLENTY
            assert mesh.sidecar.open_files() >= files + PLENTY
            for number in (0, PLENTY // 2, PLENTY - 1):
                mesh.again(idle[number], (INCOMING, OUTGOING)[number % 2])
            for client in idle:
                client.close()
            mesh.settled(files)
            left = mesh.sidecar.resident() - memory
            text = f"{each / KIB:.1f} KiB each; {left / KIB / KIB:+.1f} MiB when they are gone"
            record_property("8,000 idle connections", text)
            print(f"8,000 idle connections that have been used: {text}")
            assert each <= 16 * KIB
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (own, hard))


# -- U11: the clock ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def clock_library(tmp_path_factory):
    library = tmp_path_factory.mktemp("clock") / "wall_clock.so"
    source = Path(__file__).with_name("wall_clock.c")
    subprocess.run(["clang", "-shared", "-fPIC", "-O2", "-Wall", "-Werror", "-o", library, source], check=True)
    return library


@pytest.mark.parametrize("seconds", [3600, -3600], ids=["forward", "back"])
def test_the_clock_jumps(clock_library, tmp_path, seconds, record_property):
    """Timeouts end when they should, idle connections do not end early, and the drain still works."""
    offset = tmp_path / "offset"
    offset.write_bytes(struct.pack("l", 0))
    environment = {"LD_PRELOAD": str(clock_library), "WALL_CLOCK": str(offset)}
    timeouts = {"keepAlive": "2s", "firstByte": "1s", "requestHead": "1s", "upstreamIdle": "2s"}
    with living(timeouts=timeouts, environment=environment) as mesh:
        mesh.origin.script = lambda connection: [
            each.target == b"/never" or connection.send(answer()) for each in connection.requests()
        ]
        used = mesh.idle()
        slow, silent = mesh.connect(INCOMING), mesh.connect(INCOMING)
        began = time.monotonic()
        idle = [mesh.idle(address) for address in (INCOMING, OUTGOING)]
        slow.send(b"GET /x HTT")
        silent.send(mesh.get("/never", INCOMING))
        mesh.origin.until(lambda: mesh.origin.requests[-1].target == b"/never")
        offset.write_bytes(struct.pack("l", seconds))
        mesh.again(used)
        figures = {}
        assert silent.response().status == 504
        figures["firstByte 1 s"] = time.monotonic() - began
        assert slow.response().status == 408
        figures["requestHead 1 s"] = time.monotonic() - began
        for client in idle:
            assert client.rest() == (b"", "fin")
        figures["keepAlive 2 s"] = time.monotonic() - began

        services = Path(mesh.sidecar.directory.name, "services.yaml")
        services.write_text(services.read_text().replace("name: cart", "name: basket"))
        gone = lambda: mesh.ask().error == "no_endpoint"  # noqa: E731
        eventually(gone, "the registry file is not followed any more")
        mesh.idle(INCOMING)
        mesh.sidecar.process.send_signal(signal.SIGTERM)
        assert mesh.sidecar.process.wait(5) == 0
        told = mesh.sidecar.log.read_text().splitlines()[-1].split()[0]
        off = datetime.fromisoformat(told).timestamp() - time.time()
        assert abs(off - seconds) < 60, f"the log has {told}: the clock has not jumped for the sidecar"
    text = ", ".join(f"{name}: {taken:.2f} s" for name, taken in figures.items())
    record_property("timeouts", text)
    print(f"clock {seconds:+d} s: {text}")
    for name, taken in figures.items():
        limit = int(name.split()[1])
        assert limit <= taken <= limit + 1, text


def test_sockets_do_without_the_file_layer():
    """The kernel counts read(2) and write(2), on whatever they are used, but neither recv(2) nor send(2)."""
    with living() as mesh:
        client = mesh.idle(OUTGOING)
        for _ in range(20):
            mesh.again(client, OUTGOING)

        def calls():
            lines = Path(f"/proc/{mesh.sidecar.process.pid}/io").read_text().splitlines()
            counts = dict(line.split(": ") for line in lines)
            return int(counts["syscr"]) + int(counts["syscw"])

        before = calls()
        for _ in range(300):
            mesh.again(client, OUTGOING)
        # Four each otherwise; timers and the log have some.
        assert calls() - before < 300
