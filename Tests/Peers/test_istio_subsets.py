# SPDX-License-Identifier: Apache-2.0
"""Subsets of Istio that are no versions: Kubernetes says which labels they have."""

import copy
import http.server
import json
import ssl
import threading

import pytest

import istio  # noqa: F401  finds the control plane for tests
from authority import Authority
from controlplane import scenario
from controlplane.backends import Backends
from controlplane.server import ControlPlane, Log
from harness import eventually
from test_istio_beside import NAMES, Sidecar

PREFIX = "/apis/networking.istio.io/"
DISCOVERY = '{registrator: {disabled: true}, serviceDiscovery: {type: istio, address: "grpc://127.0.0.1:<plane>"}}'


class Kubernetes:
    """An API server that lists the DestinationRules of one namespace, to whoever has its token."""

    def __init__(self, folder, version="v1"):
        self.folder, self.version, self.status, self.asked = folder, version, 200, []
        self.labels = {"v1": {"track": "stable"}, "v2": {"track": "canary"}, "v3": {"track": "old"}}
        authority = Authority(folder)
        pair = authority.issue("api", ips=["127.0.0.1"])
        (folder / "ca.crt").write_text(authority.certificate.read_text())
        (folder / "token").write_text("the-token\n")
        api = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                status, body = api.answer(self.path, self.headers.get("Authorization"))
                api.asked.append((self.path, status))
                text = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pair.certificate, pair.key)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    def answer(self, path, authorization):
        if authorization != "Bearer the-token":
            return 401, {}
        if self.status != 200:
            return self.status, {"kind": "Status"}
        if not path.startswith(f"{PREFIX}{self.version}/namespaces/default/destinationrules"):
            return 404, {"kind": "Status"}
        subsets = [{"name": name, "labels": labels} for name, labels in self.labels.items()]
        rule = {"metadata": {"name": "istioserver"}, "spec": {"host": "istioserver", "subsets": subsets}}
        return 200, {"kind": "DestinationRuleList", "items": [rule]}

    def around(self, sidecar):
        """The same sidecar, in a pod of this cluster."""
        port = self.server.server_port
        sidecar.environment |= {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(port)}
        return sidecar


@pytest.fixture(scope="module")
def backends():
    with Backends(NAMES) as backends:
        yield backends


@pytest.fixture
def plane(backends):
    _, state = next(scenario.phases(scenario.read("split")))
    with ControlPlane(scenario.Mesh(copy.deepcopy(state), backends.ports, {}).resources(), ["delta"], log=Log()) as plane:
        yield plane
        assert plane.log.violations == []


@pytest.fixture(params=["v1", "v1alpha3"])
def kubernetes(tmp_path, request):
    with Kubernetes(tmp_path, request.param) as kubernetes:
        yield kubernetes


def settings(folder):
    return f"mesher.istio.serviceAccountDirectory: {folder}\n"


TRACKS = {"v1": "stable", "v2": "canary", "v3": "old", "v3b": "old"}


def test_routes_for_services_of_another_registry(backends, plane, kubernetes):
    """Instances of a subset are those that have its labels as properties, as long as these are known."""
    instances = ", ".join(
        f'{{endpoints: ["rest://127.0.0.1:{backends.ports[name]}"], version: "1", properties: {{track: {track}}}}}'
        for name, track in TRACKS.items()
    )
    files = {
        "services": f"service: [{{name: istioserver, instance: [{instances}]}}]\n",
        "router": 'router: {infra: istio, address: "http://127.0.0.1:<plane>"}\n',
        "mesher": settings(kubernetes.folder),
    }
    with kubernetes.around(Sidecar(plane, "{type: file, address: services.yaml}", **files)) as sidecar:
        eventually(lambda: sidecar.shares("istioserver", 4, x_user="jason") == {"v2": 4}, "there are no labels")
        found = sidecar.shares("istioserver", 400)
        assert {name: count for name, count in found.items() if abs(count - 100) > 4} == {}
        # Another answer is asked for when there are other subsets, and none takes nothing away.
        kubernetes.labels["v2"] = {"track": "stable"}
        plane.serve(plane_with(backends, 1))
        eventually(lambda: sidecar.shares("istioserver", 4, x_user="jason") == {"v1": 4}, "the labels are the old ones")
        kubernetes.status, before = 500, len(kubernetes.asked)
        plane.serve(plane_with(backends, 2))
        eventually(lambda: len(kubernetes.asked) > before, "it does not ask again")
        assert sidecar.shares("istioserver", 4, x_user="jason") == {"v1": 4}


def plane_with(backends, number):
    """The same mesh with one service more, and a subset of it."""
    _, state = next(scenario.phases(scenario.read("split")))
    state = copy.deepcopy(state)
    more = {"host": f"more-{number}.default.svc.cluster.local", "port": 8080, "subsets": {"v1": {"version": "v1"}}}
    state["services"].append(more)
    return scenario.Mesh(state, backends.ports, {}).resources()


def test_rules_of_files(plane, kubernetes):
    """They may ask for the labels of subsets."""
    rules = "router: {infra: cse}\nrouteRule: {istioserver: [{route: [{tags: {track: canary}}]}]}\n"
    with kubernetes.around(Sidecar(plane, DISCOVERY, router=rules, mesher=settings(kubernetes.folder))) as sidecar:
        eventually(lambda: sidecar.shares("istioserver", 4) == {"v2": 4}, "there are no labels")


def test_nobody_may_list_them(plane, kubernetes):
    """The log says what to do, and subsets are told apart by their names."""
    kubernetes.status = 403
    rules = "router: {infra: cse}\nrouteRule: {istioserver: [{route: [{tags: {subset: v2}}]}]}\n"
    with kubernetes.around(Sidecar(plane, DISCOVERY, router=rules, mesher=settings(kubernetes.folder))) as sidecar:
        assert sidecar.shares("istioserver", 4) == {"v2": 4}
        words = "bind it to a role with the verbs get and list for destinationrules of networking.istio.io"
        eventually(lambda: words in sidecar.tail(), lambda: sidecar.tail())


def test_without_a_token_nobody_is_asked(plane, kubernetes):
    (kubernetes.folder / "token").unlink()
    rules = "router: {infra: cse}\n"
    with kubernetes.around(Sidecar(plane, DISCOVERY, router=rules, mesher=settings(kubernetes.folder))) as sidecar:
        assert sidecar.shares("istioserver", 8) == {name: 2 for name in NAMES}
        assert kubernetes.asked == []
