# SPDX-License-Identifier: Apache-2.0
"""Mutual TLS between workloads of Istio's mesh: two sidecars, and the sidecar with Envoy, in both directions."""

import contextlib
import json
import re
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import pytest

import harness
import istio  # noqa: F401  finds the control plane for tests
from controlplane import scenario
from controlplane.backends import Backends
from controlplane.identity import Authority, SecureControlPlane, pem, token
from controlplane.messages import PREFIX
from controlplane.proxies import Mesher, envoy_binary
from harness import eventually, free_port, listens

HOST = "shop.default.svc.cluster.local"
SOON = 15
TLS = PREFIX + "envoy.extensions.transport_sockets.tls.v3."


def account(name):
    return f"spiffe://cluster.local/ns/default/sa/{name}"


def sockets(server):
    """What Istio writes for automatic mutual TLS with a service whose workloads have this account."""
    names = {"match_typed_subject_alt_names": [{"san_type": "URI", "matcher": {"exact": account(server)}}]}
    common = {
        "alpn_protocols": ["istio-peer-exchange", "istio"],
        "tls_certificate_sds_secret_configs": [{"name": "default"}],
        "combined_validation_context": {
            "default_validation_context": names,
            "validation_context_sds_secret_config": {"name": "ROOTCA"},
        },
    }
    context = {"@type": TLS + "UpstreamTlsContext", "common_tls_context": common, "sni": f"outbound_.8080_._.{HOST}"}
    raw = {"@type": PREFIX + "envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer"}
    return [
        {
            "name": "tlsMode-istio",
            "match": {"tlsMode": "istio"},
            "transport_socket": {"name": "envoy.transport_sockets.tls", "typed_config": context},
        },
        {
            "name": "tlsMode-disabled",
            "match": {},
            "transport_socket": {"name": "envoy.transport_sockets.raw_buffer", "typed_config": raw},
        },
    ]


class Workload(Mesher):
    """A sidecar with the files that Istio would mount for an account."""

    def __init__(self, world, name, app_port=9, mode="permissive"):
        super().__init__()
        self.rest_port, self.account = app_port, account(name)
        folder = Path(self.directory.name)
        (folder / "root.pem").write_text(pem(world.authority.root))
        (folder / "token").write_text(token(name))
        self.settings = (
            f"  istio: {{rootCertificate: {folder}/root.pem, tokenFile: {folder}/token, inboundTLS: {mode}}}\n"
        )

    def identity(self):
        with contextlib.suppress(OSError):
            return json.loads(self.ask("/v1/mesher/health").body)["controlPlane"].get("identity", {})
        return {}

    def series(self, pattern):
        return re.findall(pattern, self.ask("/v1/mesher/metrics").body.decode(), re.M)

    def served(self, caller):
        """How many requests of this caller it has taken."""
        counts = self.series(rf'^mesher_caller_requests_total\{{[^}}]*caller="{re.escape(caller)}"[^}}]*\}} (\d+)$')
        return sum(int(count) for count in counts)

    def call(self, host="shop:8080", at=None):
        with harness.Client(at or ("127.0.0.1", self.port)) as client:
            client.send(f"GET http://{host}/ HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            return client.response()


class World:
    """A control plane with an authority, the application `app`, and workloads."""

    def __init__(self, **options):
        self.authority, self.options, self.stack = Authority(), options, contextlib.ExitStack()

    def __enter__(self):
        self.backends = self.stack.enter_context(Backends(["app"]))
        self.plane = self.stack.enter_context(SecureControlPlane(self.resources([]), self.authority, **self.options))
        return self

    def __exit__(self, *_):
        self.stack.close()

    def resources(self, endpoints, server="shop", per_connection=0, **service):
        cluster = {"transport_socket_matches": sockets(server)}
        if per_connection:
            cluster["max_requests_per_connection"] = per_connection
        service = {"host": HOST, "port": 8080, "cluster": cluster, **service}
        service["endpoints"] = [{"backend": name, "address": host, "tls": tls} for name, host, _, tls in endpoints]
        ports = {**self.backends.ports, **{name: port for name, _, port, _ in endpoints}}
        return scenario.Mesh({"services": [service]}, ports, {}).resources()

    def serve(self, host, port, tls=True, **more):
        self.plane.serve(self.resources([("there", host, port, tls)], **more))

    def workload(self, name, **options):
        workload = Workload(self, name, **options)
        self.stack.callback(workload.stop)
        workload.start(self.plane)
        eventually(
            lambda: workload.identity().get("name") == workload.account,
            lambda: f"no identity:\n{workload.tail()}",
            seconds=SOON,
        )
        return workload

    def pair(self, **options):
        """The application behind its sidecar, and a caller's."""
        shop = self.workload("shop", app_port=self.backends.ports["app"], **options)
        self.serve("127.0.0.2", shop.port)
        return self.workload("web"), shop


def test_two_sidecars_prove_to_each_other_who_they_are():
    with World() as world:
        web, shop = world.pair()
        answers = [web.call() for _ in range(20)]
        assert [answer.status for answer in answers] == [200] * 20, answers[0].body
        assert shop.served(account("web")) == 20
        # Permissive: who has no certificate is served too.
        assert shop.call(at=("127.0.0.2", shop.port)).status == 200
        assert world.plane.log.violations == []


def test_strict_refuses_plain_text():
    with World() as world:
        web, shop = world.pair(mode="strict")
        assert [web.call().status for _ in range(5)] == [200] * 5
        with pytest.raises((OSError, AssertionError, harness.wire.Truncated)):
            shop.call(at=("127.0.0.2", shop.port))
        eventually(lambda: "reason=plain_text" in shop.tail(), "the reason is not told")
        # An endpoint that wants plain text gets it, and is not one of a strict workload.
        world.serve("127.0.0.2", shop.port, tls=False)
        eventually(lambda: web.call().status == 503, "plain text was taken")


def test_another_identity_than_the_services_is_refused_before_any_request():
    with World() as world:
        web, shop = world.pair()
        assert web.call().status == 200
        seen = world.backends.hits["app"]
        world.serve("127.0.0.2", shop.port, server="other")
        eventually(lambda: web.call().status == 503, "the wrong one was believed")
        before = world.backends.hits["app"]
        assert [web.call().status for _ in range(5)] == [503] * 5 and world.backends.hits["app"] == before >= seen
        assert "reason=wrong_name" in web.tail()
        assert web.series(r'^mesher_tls_handshake_failures_total\{[^}]*reason="wrong_name"[^}]*\} [1-9]')


def test_an_endpoint_without_tls_beside_one_with():
    with World() as world:
        web, shop = world.pair()
        both = [("there", "127.0.0.2", shop.port, True), ("app", "127.0.0.1", world.backends.ports["app"], False)]
        world.plane.serve(world.resources(both))
        eventually(lambda: [web.call().status for _ in range(4)] == [200] * 4, "one of them is not served")
        before = shop.served(account("web"))
        assert [web.call().status for _ in range(20)] == [200] * 20
        assert shop.served(account("web")) - before == 10


# A connection serves so many requests, so that there is a handshake with each certificate.
PER_CONNECTION = 20
# Requests while certificates are renewed.
LOAD = 2_000


def renewals(sidecar):
    return float((sidecar.series(r"^mesher_istio_certificate_renewals_total (\S+)$") or ["0"])[0])


def under_load(call, *renewed):
    """Calls without a pause until there were as many requests as are wanted, and each of `renewed` says two renewals."""
    failed, count, over = [], [0], threading.Event()

    def load():
        while not over.is_set():
            try:
                answer = call()
                count[0] += 1
                if answer.status != 200:
                    failed.append((answer.status, answer.body))
            except (OSError, AssertionError, harness.wire.Truncated) as error:
                failed.append(repr(error))

    threads = [threading.Thread(target=load) for _ in range(4)]
    began = time.monotonic()
    for thread in threads:
        thread.start()

    def is_enough():
        return count[0] >= LOAD and min(each() for each in renewed) >= 2

    try:
        eventually(is_enough, lambda: f"{count[0]} requests, renewals {[each() for each in renewed]}", seconds=90)
    finally:
        over.set()
        for thread in threads:
            thread.join()
    told = [round(each()) for each in renewed]
    print(f"{count[0]} requests in {time.monotonic() - began:.1f} s, {len(failed)} failed, renewals {told}")
    assert failed == [], f"{len(failed)} of {count[0]}: {failed[:3]}"


def test_certificates_are_renewed_under_load():
    with World(life=6) as world:
        web, shop = world.pair()
        world.serve("127.0.0.2", shop.port, per_connection=PER_CONNECTION)
        under_load(web.call, lambda: renewals(web), lambda: renewals(shop))
        assert shop.served(account("web")) >= LOAD
        assert web.series(r"^mesher_tls_handshake_failures_total\{[^}]*\} [1-9]") == []


class Envoy:
    """Envoy as a workload with an account: before the application, or before a caller."""

    def __init__(self, world, name, listener, cluster, authority=None):
        self.directory = tempfile.TemporaryDirectory(prefix="envoy-")
        self.authority, self.name, self.version = authority or world.authority, name, 0
        Path(self.directory.name, "root.pem").write_text(pem(world.authority.root))
        self.renew()
        self.port, self.admin = free_port("127.0.0.1"), free_port("127.0.0.1")
        manager = {
            "@type": PREFIX + scenario.MANAGER,
            "stat_prefix": "x",
            "route_config": {
                "virtual_hosts": [
                    {
                        "name": "all",
                        "domains": ["*"],
                        "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "there"}}],
                    }
                ]
            },
            "http_filters": [
                {
                    "name": "envoy.filters.http.router",
                    "typed_config": {"@type": PREFIX + "envoy.extensions.filters.http.router.v3.Router"},
                }
            ],
        }
        chain = {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
        if listener:
            chain["transport_socket"] = self.tls("DownstreamTlsContext", require_client_certificate=True, **listener)
        host, port = cluster.pop("at")
        there = {
            "name": "there",
            "type": "STATIC",
            "load_assignment": {
                "cluster_name": "there",
                "endpoints": [{"lb_endpoints": [{"endpoint": {"address": self.address(host, port)}}]}],
            },
        }
        if per_connection := cluster.pop("per_connection", 0):
            there["typed_extension_protocol_options"] = {
                "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                    "@type": PREFIX + scenario.HTTP,
                    "common_http_protocol_options": {"max_requests_per_connection": per_connection},
                    "explicit_http_config": {"http_protocol_options": {}},
                }
            }
        if cluster:
            there["transport_socket"] = self.tls("UpstreamTlsContext", **cluster)
        config = {
            "node": {"id": name, "cluster": name},
            "admin": {"address": self.address("127.0.0.1", self.admin)},
            "static_resources": {
                "listeners": [{"name": "l", "address": self.address("127.0.0.1", self.port), "filter_chains": [chain]}],
                "clusters": [there],
            },
        }
        path = Path(self.directory.name, "envoy.json")
        path.write_text(json.dumps(config))
        command = [envoy_binary(), "-c", path, "--disable-hot-restart", "--concurrency", "1", "-l", "warning"]
        self.log = Path(self.directory.name, "log")
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        eventually(lambda: listens("127.0.0.1", self.port), lambda: self.log.read_text()[-2000:], seconds=20)

    def renew(self):
        """Has a new certificate from now on, of a new key."""
        self.version += 1
        chain, key = self.authority.pair(account(self.name))
        certificate = {"certificate_chain": {"inline_string": chain}, "private_key": {"inline_string": key}}
        secret = {"@type": TLS + "Secret", "name": "own", "tls_certificate": certificate}
        new = Path(self.directory.name, "new.json")
        new.write_text(json.dumps({"version_info": f"{self.version}", "resources": [secret]}))
        # Envoy looks at what takes the place of a file.
        new.replace(Path(self.directory.name, "own.json"))

    def renewals(self):
        """How often it has taken a new certificate."""
        with harness.Client(("127.0.0.1", self.admin)) as client:
            client.send(b"GET /stats?filter=ssl_context_update_by_sds HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            counts = re.findall(rb": (\d+)", client.response().body)
        return max(int(count) for count in counts) - 1

    @contextlib.contextmanager
    def renewing(self, seconds):
        """Renews again and again until the end of the block."""
        over = threading.Event()

        def renew():
            while not over.wait(seconds):
                self.renew()

        thread = threading.Thread(target=renew)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    @staticmethod
    def address(host, port):
        return {"socket_address": {"address": host, "port_value": port}}

    def tls(self, kind, alpn, names, **more):
        def file(name):
            return {"filename": f"{self.directory.name}/{name}.pem"}

        validation = {
            "trusted_ca": file("root"),
            "match_typed_subject_alt_names": [{"san_type": "URI", "matcher": {"exact": name}} for name in names],
        }
        source = {"path_config_source": {"path": f"{self.directory.name}/own.json"}, "resource_api_version": "V3"}
        common = {
            "tls_certificate_sds_secret_configs": [{"name": "own", "sds_config": source}],
            "validation_context": validation,
            "alpn_protocols": alpn,
        }
        context = {"@type": TLS + kind, "common_tls_context": common, **more}
        return {"name": "envoy.transport_sockets.tls", "typed_config": context}

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.directory.cleanup()


@pytest.fixture
def has_envoy():
    with contextlib.suppress(SystemExit):
        return envoy_binary()
    pytest.skip("no Envoy: make oracle installs it")


def test_the_sidecar_calls_envoy(has_envoy):
    with World() as world:
        envoy = Envoy(
            world,
            "shop",
            {"alpn": ["h2", "http/1.1"], "names": [account("web")]},
            {"at": ("127.0.0.1", world.backends.ports["app"])},
        )
        world.stack.callback(envoy.stop)
        world.serve("127.0.0.1", envoy.port)
        web = world.workload("web")
        answers = [web.call() for _ in range(10)]
        assert [answer.status for answer in answers] == [200] * 10, (answers[0].body, web.tail())
        # HTTP/2 as for gRPC.
        world.serve("127.0.0.1", envoy.port, http2=True)
        eventually(lambda: [web.call().status for _ in range(4)] == [200] * 4, "HTTP/2 does not work")
        # Envoy believes nobody else.
        other = world.workload("other")
        assert other.call().status == 503


@pytest.mark.parametrize("alpn", [["istio-http/1.1", "istio", "http/1.1"], ["istio-peer-exchange", "istio"]])
def test_envoy_calls_the_sidecar(has_envoy, alpn):
    with World() as world:
        shop = world.workload("shop", app_port=world.backends.ports["app"], mode="strict")
        cluster = {"at": ("127.0.0.2", shop.port), "alpn": alpn, "names": [account("shop")], "sni": "outbound_.80_._.x"}
        envoy = Envoy(world, "web", None, cluster)
        world.stack.callback(envoy.stop)
        answers = [shop.call(at=("127.0.0.1", envoy.port)) for _ in range(10)]
        assert [answer.status for answer in answers] == [200] * 10, (answers[0].body, shop.tail())
        assert shop.served(account("web")) == 10


def test_the_sidecar_calls_envoy_while_certificates_are_renewed(has_envoy):
    with World(life=6) as world:
        listener = {"alpn": ["h2", "http/1.1"], "names": [account("web")]}
        envoy = Envoy(world, "shop", listener, {"at": ("127.0.0.1", world.backends.ports["app"])})
        world.stack.callback(envoy.stop)
        world.serve("127.0.0.1", envoy.port, per_connection=PER_CONNECTION)
        web = world.workload("web")
        with envoy.renewing(2):
            under_load(web.call, lambda: renewals(web), envoy.renewals)


def test_envoy_calls_the_sidecar_while_certificates_are_renewed(has_envoy):
    with World(life=6) as world:
        shop = world.workload("shop", app_port=world.backends.ports["app"], mode="strict")
        cluster = {"at": ("127.0.0.2", shop.port), "alpn": ["istio", "http/1.1"], "names": [account("shop")]}
        envoy = Envoy(world, "web", None, {**cluster, "sni": "outbound_.80_._.x", "per_connection": PER_CONNECTION})
        world.stack.callback(envoy.stop)
        with envoy.renewing(2):
            under_load(lambda: shop.call(at=("127.0.0.1", envoy.port)), lambda: renewals(shop), envoy.renewals)
        assert shop.served(account("web")) >= LOAD


def test_envoy_with_another_identity_is_refused_before_any_request(has_envoy):
    """In both directions: the sidecar believes no other server, and takes no caller of another mesh."""
    with World() as world:
        listener = {"alpn": ["http/1.1"], "names": [account("web")]}
        envoy = Envoy(world, "other", listener, {"at": ("127.0.0.1", world.backends.ports["app"])})
        world.stack.callback(envoy.stop)
        world.serve("127.0.0.1", envoy.port)
        web = world.workload("web")
        assert [web.call().status for _ in range(5)] == [503] * 5 and world.backends.hits["app"] == 0
        assert "reason=wrong_name" in web.tail()
        assert web.series(r'^mesher_tls_handshake_failures_total\{[^}]*reason="wrong_name"[^}]*\} [1-9]')
        shop = world.workload("shop", app_port=world.backends.ports["app"], mode="strict")
        cluster = {"at": ("127.0.0.2", shop.port), "alpn": ["istio"], "names": [account("shop")], "sni": "x"}
        stranger = Envoy(world, "web", None, cluster, Authority("another mesh"))
        world.stack.callback(stranger.stop)
        assert [shop.call(at=("127.0.0.1", stranger.port)).status for _ in range(5)] == [503] * 5
        assert world.backends.hits["app"] == 0
        told = shop.series(r'^mesher_tls_handshake_failures_total\{([^}]*side="server"[^}]*)\} [1-9]')
        assert told, "no handshake is counted as failed"
