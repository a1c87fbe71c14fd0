# SPDX-License-Identifier: Apache-2.0
"""One sidecar process whose start and end a test watches: limits, environment, signals, what the kernel says of it."""

import contextlib
import os
import resource
import subprocess
import threading
import time
from pathlib import Path

import harness
import wire

OUTGOING, INCOMING = "127.0.0.1", "127.0.0.2"


class Process(harness.Sidecar):
    """A sidecar that may be started with other limits and variables, and again on the same ports."""

    environment, descriptors, workers = {}, None, 2

    def spawn(self):
        """Starts the process and does not wait."""
        limit = self.descriptors

        def lower_limit():
            if limit:
                resource.setrlimit(resource.RLIMIT_NOFILE, limit)

        arguments = [harness.binary(), "--workers", str(self.workers), "--service-ports", f"rest:{self.rest_port}"]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                arguments,
                env={**os.environ, "CHASSIS_CONF_DIR": self.directory.name, **self.environment},
                cwd=self.directory.name,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=lower_limit,
            )

    def start(self):
        self.spawn()
        harness.eventually(self._ready, lambda: f"sidecar not ready:\n{self.tail()}", seconds=15)

    def open_files(self):
        """How many descriptors the process has open."""
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def cpu(self):
        """Seconds of a core that it has used."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def file_limits(self):
        """The soft and the hard limit of open files."""
        for line in Path(f"/proc/{self.process.pid}/limits").read_text().splitlines():
            if line.startswith("Max open files"):
                return tuple(int(word) for word in line.split()[3:5])
        raise AssertionError("no limit of open files")


class Life(harness.Mesh):
    """A mesh around such a process, for one test."""

    def __init__(self, timeouts=None, limits=None, **process):
        self.process = process
        super().__init__(timeouts, limits)

    def start(self):
        self.sidecar = Process(self.origin.port, self.services, self.timeouts, self.limits)
        for name, value in self.process.items():
            setattr(self.sidecar, name, value)
        self.sidecar.start()

    def stop(self):
        for client in self.clients:
            client.close()
        super().stop()

    def get(self, path="/x", address=OUTGOING, *fields):
        """A GET as octets, for the listener at this address."""
        target = f"http://cart{path}" if address == OUTGOING else path
        return harness.request("GET", target, *fields)

    def ask(self, path="/x", address=OUTGOING):
        """One answer, on a connection of its own that is closed afterwards."""
        with harness.Client((address, self.sidecar.port)) as client:
            client.send(self.get(path, address))
            return client.response()

    def idle(self, address=OUTGOING):
        """A connection that has been used and waits for its next request."""
        client = self.connect(address)
        self.again(client, address)
        return client

    def again(self, client, address=OUTGOING):
        """One more request on a connection, answered 200."""
        client.send(self.get("/again", address))
        assert client.response().status == 200

    def answers(self, path="/x", address=OUTGOING):
        """Whether a request is answered 200 now."""
        with contextlib.suppress(OSError, wire.Truncated):
            return self.ask(path, address).status == 200
        return False

    def settled(self, before, within=20):
        """Waits until as many descriptors are open as before, give or take; gives the time that it took."""
        began = time.monotonic()
        near = lambda: abs(self.sidecar.open_files() - before) <= within  # noqa: E731
        harness.eventually(near, lambda: f"{self.sidecar.open_files()} open files, {before} before", seconds=5)
        return time.monotonic() - began


@contextlib.contextmanager
def living(**settings):
    """A mesh for as long as the block; the origin must have seen nothing but strict HTTP/1.1."""
    mesh = Life(**settings)
    try:
        yield mesh
        assert mesh.origin.violations == []
    finally:
        mesh.stop()


def in_parallel(threads, work):
    """Runs `work(number)` in so many threads at once; the first failure is the caller's."""
    failures = []

    def run(number):
        try:
            work(number)
        except BaseException as failure:
            failures.append(failure)

    running = [threading.Thread(target=run, args=(number,)) for number in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    if failures:
        raise failures[0]


def percentile(values, share):
    """The value below which this share of the values is."""
    return sorted(values)[min(int(len(values) * share), len(values) - 1)]
