# SPDX-License-Identifier: Apache-2.0
"""Two sidecars in a row, as a request meets them in a mesh: its caller's, its callee's, and the application behind."""

import contextlib
import json
from pathlib import Path

import governance
import harness
from harness import eventually
from observed import chains

OUTGOING, INCOMING = "127.0.0.1", "127.0.0.2"
LOGGED = chains(["access-log"], ["access-log", "bizkeeper-provider"])


class Address:
    """An instance that runs elsewhere."""

    def __init__(self, host, port, scheme="rest"):
        self.entry = f'{{endpoints: ["{scheme}://{host}:{port}"]}}'


class Sidecar(governance.Sidecar):
    """A sidecar called `name`, with a grpc listener and an access log."""

    def __init__(self, services=None, rest_port=9, name="web", **files):
        self.grpc = harness.free_port(OUTGOING, INCOMING)
        files = {f"{file}.yaml": text for file, text in files.items()}
        grpc = f'cse.protocols.grpc: {{listenAddress: "{INCOMING}:{self.grpc}"}}\n'
        files["chassis.yaml"] = grpc + files.get("chassis.yaml", LOGGED)
        super().__init__(services or {}, files, rest_port)
        directory = Path(self.directory.name)
        self.accesses = directory / "access.log"
        (directory / "lager.yaml").write_text(
            f"logFormatText: true\naccessLogFormat: json\naccessLogFile: {self.accesses}\n"
        )
        (directory / "microservice.yaml").write_text(f"service_description: {{name: {name}, version: 1.0.0}}\n")

    @property
    def instance(self):
        """Its incoming listener, for the registry of another."""
        return Address(INCOMING, self.port)

    def accessed(self):
        """The access log so far."""
        if not self.accesses.exists():
            return []
        return [json.loads(line) for line in self.accesses.read_text().splitlines()]

    def lines(self, text=""):
        """The lines of the log that contain a text."""
        return [line for line in self.log.read_text(errors="replace").splitlines() if text in line]


class Couple:
    """The caller's sidecar, the callee's, and the application cart behind them."""

    def __init__(self, caller=None, callee=None):
        self.origin = harness.Origin()
        self.stack = contextlib.ExitStack()
        self.stack.callback(self.origin.refuse)
        self.callee = self.running(Sidecar(rest_port=self.origin.port, name="cart", **(callee or {})))
        self.caller = self.running(Sidecar({"cart": [self.callee.instance]}, **(caller or {})))
        self.sidecars = (self.caller, self.callee)

    def running(self, sidecar):
        """Starts a sidecar that ends with the couple."""
        try:
            return self.stack.enter_context(sidecar)
        except BaseException:
            self.stack.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stack.close()

    def connect(self, **options):
        return harness.Client((OUTGOING, self.caller.port), **options)

    def settle(self, marker="/marker"):
        """Returns when both have written what was logged before: a request of its own, made now, is in both logs."""
        with self.connect() as client:
            client.send(harness.request("GET", f"http://cart{marker}"))
            assert client.response().status == 200
        for each in self.sidecars:
            is_there = lambda each=each: any(line.get("path") == marker for line in each.accessed())  # noqa: E731
            eventually(is_there, lambda each=each: f"no access line: {each.accessed()}\n{each.tail()}")
