# SPDX-License-Identifier: Apache-2.0
"""A sidecar with the configuration files of a test, and instances that do what the test says."""

import contextlib
import threading
import time
from collections import Counter
from pathlib import Path

import harness
from harness import RESET, answer


class Instance(harness.Origin):
    """An instance of a service: answers with its name, or whatever `answers` has for a request."""

    def __init__(self, name, **metadata):
        self.name, self.metadata = name, metadata
        self.status, self.delay, self.is_resetting = "200 OK", 0.0, False
        super().__init__()
        self.script = self.serve

    def serve(self, connection):
        for _ in connection.requests():
            if self.is_resetting:
                connection.perform([RESET])
                return
            if self.delay:
                time.sleep(self.delay)
            connection.send(answer(self.name.encode(), self.status))

    @property
    def entry(self):
        fields = "".join(f", {key}: {value}" for key, value in self.metadata.items())
        return f'{{endpoints: ["rest://127.0.0.1:{self.port}"]{fields}}}'


class Sidecar(harness.Sidecar):
    """A sidecar with further files; a file may be written again while it runs."""

    def __init__(self, services, files, rest_port=9):
        self.files = {"chassis.yaml": "", "mesher.yaml": "", **files}
        super().__init__(rest_port, services)

    def _write(self, services, timeouts, limits):
        directory = Path(self.directory.name)
        own = (
            f'cse.protocols: {{http: {{listenAddress: "127.0.0.2:{self.port}"}},'
            f' rest-admin: {{listenAddress: "127.0.0.1:{self.admin}"}}}}\n'
            "cse.service.registry: {type: file, address: services.yaml}\n"
        )
        (directory / "microservice.yaml").write_text("service_description: {name: web, version: 1.0.0}\n")
        lines = [f"  - {{name: {name}, instance: [{', '.join(each.entry for each in instances)}]}}\n"
                 for name, instances in services.items()]  # fmt: skip
        (directory / "services.yaml").write_text("service:\n" + "".join(lines) if lines else "service: []\n")
        for name, text in self.files.items():
            (directory / name).write_text((own if name == "chassis.yaml" else "") + text)
        self.own = own

    def write(self, name, text):
        """Replaces a file as editors do."""
        path = Path(self.directory.name, name)
        new = path.with_suffix(".new")
        new.write_text((self.own if name == "chassis.yaml" else "") + text)
        new.rename(path)


class World:
    """Services by name, each with its instances, and a sidecar that knows them."""

    def __init__(self, services, rest_port=9, **files):
        self.services = services
        files = {f"{name}.yaml": text for name, text in files.items()}
        self.sidecar = Sidecar(services, files, rest_port)
        self.sidecar.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sidecar.stop()
        for instance in {each for instances in self.services.values() for each in instances}:
            instance.refuse()
            instance.fresh()

    def client(self, address="127.0.0.1"):
        return harness.Client((address, self.sidecar.port))

    def ask(self, service="cart", *fields, path="/", method="GET", body=b"", client=None):
        """One answer."""
        lines = [f"{method} http://{service}{path} HTTP/1.1", f"Host: {service}", *fields]
        if body or method in ("POST", "PUT", "PATCH"):
            lines.append(f"Content-Length: {len(body)}")
        with contextlib.nullcontext(client) if client else self.client() as used:
            used.send("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
            return used.response(method)

    def many(self, count, service="cart", *fields, path="/"):
        """Who answered how often, one request after the other on one connection."""
        with self.client() as client:
            return Counter(
                each.body.decode() if each.status == 200 else each.status
                for each in (self.ask(service, *fields, path=path, client=client) for _ in range(count))
            )

    def together(self, count, service="cart", *fields):
        """The answers to requests that are all on their way at the same time."""
        answers = []

        def one():
            answers.append(self.ask(service, *fields))

        threads = [threading.Thread(target=one) for _ in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return answers


class Load:
    """Clients that ask without pause until the block ends; `errors` has what was not 200."""

    def __init__(self, world, service="cart", clients=4):
        self.world, self.service = world, service
        self.good, self.errors = 0, []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(clients)]

    def _run(self):
        client = self.world.client()
        while not self._stop.is_set():
            try:
                response = self.world.ask(self.service, client=client)
                if response.status == 200:
                    self.good += 1
                else:
                    self.errors.append(response.start)
            except Exception as error:  # whatever it was, the client did not get its answer
                self.errors.append(repr(error))
                client.close()
                client = self.world.client()
        client.close()

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join()
