# SPDX-License-Identifier: Apache-2.0
"""Two sidecars that have met everything that is counted, for tests of what is made of the numbers."""

import contextlib
import re
import socket
import subprocess
import tempfile
from pathlib import Path

import governance
import harness
import secure
from authority import Authority

CHAINS = """\
cse.handler.chain:
  Consumer: {outgoing: "tracing-consumer,access-log,monitoring,router,bizkeeper-consumer,loadbalance,transport"}
  Provider: {incoming: "tracing-provider,access-log,monitoring,transport"}
cse.circuitBreaker.Consumer: {enabled: true, requestVolumeThreshold: 5}
cse.transport.failure.rest: http_500
cse.config.client: {type: kie, serverUri: "http://127.0.0.1:9"}
"""
TRACING = 'tracing: {settings: {URI: "http://127.0.0.1:9/api/v2/spans", batchInterval: 100ms}}\n'
# A connection preface of HTTP/2, and a frame of data that belongs to no stream.
BROKEN_HTTP2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes.fromhex("000001 00 00 00000000 78")


class Everything:
    """A sidecar with tracing, TLS, every handler that counts, and a configuration server; another with a registry."""

    def __init__(self):
        self.stack = contextlib.ExitStack()
        try:
            self._start()
            self._make_traffic()
        except BaseException:
            self.stack.close()
            raise

    def _start(self):
        directory = self.stack.enter_context(tempfile.TemporaryDirectory(prefix="mesher-everything-"))
        tags = {"web.rest.Provider": Authority(directory).issue(dns=["web"]).keys}
        # A port that is taken: the component that wants it fails, and is started again.
        taken = self.stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        profiling = f'pprof: {{enable: true, listen: "127.0.0.1:{taken.getsockname()[1]}"}}\n'
        good, bad = governance.Instance("good"), governance.Instance("bad")
        bad.status = "500 Internal Server Error"
        for instance in (good, bad):
            self.stack.callback(instance.refuse)
        self.web = self.stack.enter_context(
            secure.running(
                "web",
                tags,
                {"cart": [good], "mail": [bad]},
                rest_port=good.port,
                chassis=CHAINS,
                tracing=TRACING,
                lager=f"logFormatText: true\naccessLogFile: {directory}/access.log\n",
                mesher="admin: {goRuntimeMetrics: true}\n" + profiling,
            )
        )
        self.lost = self.stack.enter_context(lost_sidecar())

    def _make_traffic(self):
        """Answers of every kind, in both directions, and peers that break rules."""
        with harness.Client(("127.0.0.1", self.web.port)) as client:
            assert self._status(client, "http://cart/") == 200
            assert {self._status(client, "http://mail/") for _ in range(20)} == {500, 503}
            assert self._status(client, "http://nobody/") == 502
            assert self._status(client, "/no-proxy") == 400
        # What comes to this listener counts as gRPC, and cart has no endpoint for that.
        with harness.Client(("127.0.0.1", self.web.grpc)) as client:
            client.send(harness.request("POST", "http://cart/shop.Cart/Get", "Content-Length: 0"))
            assert client.response("POST").error == "no_endpoint"
        with harness.Client(("127.0.0.1", self.web.port)) as client:
            client.send(BROKEN_HTTP2)
            client.rest()
        with secure.Client(("127.0.0.2", self.web.port), secure.client_context()) as client:
            assert client.get().status == 200
        with contextlib.suppress(OSError), harness.Client(("127.0.0.2", self.web.port)) as client:
            client.send(harness.request("GET", "/in-clear"))
            client.rest()
        late = {"mesher_component_restarts_total", "scb_error_response_count"}
        harness.eventually(lambda: late <= families(self.text_of(self.web)).keys(), "these do not come")

    @staticmethod
    def _status(client, target):
        client.send(harness.request("GET", target, host="Host: cart"))
        return client.response().status

    def text(self, *fields):
        """What both say to a scraper."""
        return "".join(self.text_of(sidecar, *fields) for sidecar in (self.web, self.lost))

    def text_of(self, sidecar, *fields):
        """What one of them says."""
        with harness.Client(("127.0.0.1", sidecar.admin)) as client:
            client.send(harness.request("GET", "/v1/mesher/metrics", *fields, host="Host: localhost"))
            return client.response().body.decode()

    def stop(self):
        self.stack.close()


class Lost:
    """A sidecar whose registry is not there."""

    def __init__(self, directory):
        self.admin, port = harness.free_port("127.0.0.1"), harness.free_port("127.0.0.1", "127.0.0.2")
        Path(directory, "chassis.yaml").write_text(
            f'cse.protocols: {{http: {{listenAddress: "127.0.0.2:{port}"}},'
            f' rest-admin: {{listenAddress: "127.0.0.1:{self.admin}"}}}}\n'
            'cse.service.registry: {address: "http://127.0.0.1:9"}\n'
            f"mesher: {{stateDirectory: {directory}, timeouts: {{farewell: 0s}}}}\n"
        )
        Path(directory, "microservice.yaml").write_text("service_description: {name: lost}\n")


@contextlib.contextmanager
def lost_sidecar():
    with tempfile.TemporaryDirectory(prefix="mesher-lost-") as directory:
        lost = Lost(directory)
        process = subprocess.Popen(
            [harness.binary(), "--workers", "1"],
            env={"CHASSIS_CONF_DIR": directory},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            harness.eventually(lambda: harness.listens("127.0.0.1", lost.admin), "no admin API", seconds=15)
            yield lost
        finally:
            process.terminate()
            process.terminate()
            process.wait(10)


def families(text):
    """The type of each family."""
    return dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.M))
