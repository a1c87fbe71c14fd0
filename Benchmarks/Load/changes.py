# SPDX-License-Identifier: Apache-2.0
"""What changes of a large mesh cost a sidecar that serves requests.

Starts `mesher registry` with many services and instances, a sidecar that knows all of them, and one origin behind all of
them; sends requests at a steady rate, first without changes, then while instances come and go. Prints latencies, CPU time
and the lag of the event loops of both.

    .venv/bin/python Benchmarks/Load/changes.py --mesher .build/release/mesher
"""

import argparse
import asyncio
import http.client
import itertools
import json
import os
import socket
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

BASE = "/v4/default/registry"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
TICK = os.sysconf("SC_CLK_TCK")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait(port, seconds=20):
    """Returns when somebody listens there."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise SystemExit(f"nobody listens on port {port}")


class Registry:
    """Calls of one `mesher registry`, on one connection for each thread."""

    def __init__(self, port):
        self.port = port
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)

    def call(self, method, path, body=None):
        self.connection.request(method, BASE + path, None if body is None else json.dumps(body))
        answer = self.connection.getresponse()
        text = answer.read()
        if answer.status != 200:
            raise SystemExit(f"{method} {path}: {answer.status} {text[:200]}")
        return json.loads(text) if text else {}

    def service(self, name):
        body = {"service": {"appId": "shop", "serviceName": name, "version": "1.0.0"}}
        return self.call("POST", "/microservices", body)["serviceId"]

    def instance(self, service, endpoint):
        body = {"instance": {"hostName": "h", "endpoints": [endpoint]}}
        return self.call("POST", f"/microservices/{service}/instances", body)["instanceId"]


def address(service, instance):
    """All of 127/8 is this machine, so each instance has an address of its own."""
    return f"127.{1 + service // 250}.{service % 250}.{1 + instance}"


def fill(port, services, instances, origin):
    """Registers everything; gives the ids of the services."""

    def some(numbers):
        registry, ids = Registry(port), {}
        for number in numbers:
            ids[number] = registry.service(f"s{number}")
            for instance in range(instances):
                registry.instance(ids[number], f"rest://{address(number, instance)}:{origin}")
        return ids

    ids = {}
    with ThreadPoolExecutor(4) as pool:
        for part in pool.map(some, [range(start, services, 4) for start in range(4)]):
            ids |= part
    return ids


class Origin(asyncio.Protocol):
    """Answers whatever ends with an empty line."""

    def connection_made(self, transport):
        self.transport, self.rest = transport, b""

    def data_received(self, data):
        *whole, self.rest = (self.rest + data).split(b"\r\n\r\n")
        self.transport.write(ANSWER * len(whole))


async def ask(reader, writer, name):
    writer.write(f"GET http://{name}/ HTTP/1.1\r\nHost: {name}\r\n\r\n".encode())
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
    await reader.readexactly(length)
    return int(head[9:12])


async def warm(port, services):
    """Has the sidecar find every service."""
    names = iter([f"s{number}" for number in range(services)])

    async def some():
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for name in names:
            status = await ask(reader, writer, name)
            if status != 200:
                raise SystemExit(f"{name}: {status}")
        writer.close()

    await asyncio.gather(*(some() for _ in range(8)))


async def load(port, services, rate, seconds, connections=32):
    """Requests at a steady rate; gives the latencies from the moment at which each was due, and failures."""
    began, latencies, failures = time.perf_counter() + 0.1, [], 0
    numbers = itertools.count()

    async def some():
        nonlocal failures
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while True:
            number = next(numbers)
            due = began + number / rate
            if due > began + seconds:
                break
            await asyncio.sleep(max(0, due - time.perf_counter()))
            failures += await ask(reader, writer, f"s{number * 7919 % services}") != 200
            latencies.append(time.perf_counter() - due)
        writer.close()

    await asyncio.gather(*(some() for _ in range(connections)))
    return sorted(latencies), failures


def change(port, ids, origin, instances, rate, until):
    """Instances come and go: each is there for one period."""
    registry, gone, made = Registry(port), None, 0
    period, due = 1 / rate, time.monotonic()
    for number in itertools.count():
        due += period
        time.sleep(max(0, due - time.monotonic()))
        if time.monotonic() > until:
            return made
        service = ids[number * 31 % len(ids)]
        if gone:
            registry.call("DELETE", f"/microservices/{gone[0]}/instances/{gone[1]}")
            gone = None
        else:
            endpoint = f"rest://{address(number * 31 % len(ids), instances)}:{origin}"
            gone = (service, registry.instance(service, endpoint))
        made += 1


def cpu(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def admin(port, path):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("GET", path)
    return connection.getresponse().read().decode()


def publications(port):
    for line in admin(port, "/v1/mesher/metrics").splitlines():
        if line.startswith('mesher_snapshot_publications_total{snapshot="directory"}'):
            return int(float(line.rsplit(" ", 1)[1]))
    raise SystemExit("no count of publications")


async def measure(arguments, port, admin_port, pid, ids, registry_port, origin, changes):
    """One line of the table."""
    loop = asyncio.get_running_loop()
    before, known, until = cpu(pid), publications(admin_port), time.monotonic() + arguments.seconds
    changing = None
    if changes:
        changing = loop.run_in_executor(
            None, change, registry_port, ids, origin, arguments.instances, changes, until
        )
    lag = 0.0

    async def watch():
        nonlocal lag
        while time.monotonic() < until:
            found = await loop.run_in_executor(None, admin, admin_port, "/v1/mesher/traffic")
            lag = max(lag, *json.loads(found)["process"]["loopLag"])
            await asyncio.sleep(0.5)

    watching = asyncio.create_task(watch())
    latencies, failures = await load(port, arguments.services, arguments.rate, arguments.seconds)
    await watching
    made = await changing if changing else 0
    used = (cpu(pid) - before) / arguments.seconds
    at = [latencies[min(len(latencies) - 1, int(len(latencies) * part))] * 1000 for part in (0.5, 0.99, 0.999, 1)]
    print(
        f"{changes:>6}/s {made:>8} {publications(admin_port) - known:>12} {len(latencies):>9} {failures:>8}"
        f" {at[0]:>8.2f} {at[1]:>8.2f} {at[2]:>8.2f} {at[3]:>8.2f} {used * 100:>6.1f} {lag * 1000:>8.2f}",
        flush=True,
    )


async def main(arguments):
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Origin, "0.0.0.0", 0)
    origin = server.sockets[0].getsockname()[1]
    registry_port, port, admin_port = free_port(), free_port(), free_port()
    with tempfile.TemporaryDirectory(prefix="mesher-changes-") as folder:
        directory = Path(folder)
        (directory / "microservice.yaml").write_text("APPLICATION_ID: shop\nservice_description: {name: web}\n")
        (directory / "chassis.yaml").write_text(
            f'cse:\n  protocols:\n    http: {{listenAddress: "127.0.0.1:{port}"}}\n'
            f'    rest-admin: {{listenAddress: "127.0.0.1:{admin_port}"}}\n'
            f'  service: {{registry: {{address: "http://127.0.0.1:{registry_port}", watch: true}}}}\n'
            f"mesher: {{stateDirectory: {folder}/state, timeouts: {{farewell: 0s}}}}\n"
        )
        processes = []
        with (directory / "log").open("wb") as log:

            def start(*words):
                environment = dict(os.environ, CHASSIS_CONF_DIR=folder)
                process = subprocess.Popen([arguments.mesher, *words], env=environment, stdout=log, stderr=log)
                processes.append(process)
                return process

            try:
                start("registry", "--listen", f"127.0.0.1:{registry_port}")
                wait(registry_port)
                began = time.monotonic()
                ids = await loop.run_in_executor(
                    None, fill, registry_port, arguments.services, arguments.instances, origin
                )
                print(f"registered in {time.monotonic() - began:.1f} s", flush=True)
                sidecar = start("--workers", str(arguments.workers))
                wait(port)
                began = time.monotonic()
                await warm(port, arguments.services)
                print(f"all services found in {time.monotonic() - began:.1f} s", flush=True)
                print("changes     made publications  requests failures  p50 ms   p99 ms p99.9 ms   max ms  CPU %  lag ms")
                for changes in (0, arguments.changes, 0):
                    await measure(arguments, port, admin_port, sidecar.pid, ids, registry_port, origin, changes)
            finally:
                for process in processes:
                    process.kill()
                    process.wait()
                server.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mesher", default=".build/release/mesher")
    parser.add_argument("--services", type=int, default=1000, help="at most 60,000")
    parser.add_argument("--instances", type=int, default=20, help="of each, at most 250")
    parser.add_argument("--changes", type=float, default=10, help="a second")
    parser.add_argument("--rate", type=float, default=2000, help="requests a second")
    parser.add_argument("--seconds", type=float, default=20, help="for each line")
    parser.add_argument("--workers", type=int, default=1)
    asyncio.run(main(parser.parse_args()))
