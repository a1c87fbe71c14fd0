# SPDX-License-Identifier: Apache-2.0
"""What the Go mesher's pages on Istio say, word by word: files, addresses, and the variables of their manifest."""

import contextlib
import copy
import http.server
import json
import os
import threading
from concurrent import futures
from pathlib import Path

import grpc
import pytest

import istio  # noqa: F401  finds the control plane for tests
from controlplane import scenario
from controlplane.backends import Backends
from controlplane.rest import RestPlane
from controlplane.server import ControlPlane, Log
from harness import eventually
from test_istio_beside import NAMES, Sidecar
from test_istio_external import outside
from test_istio_subsets import Kubernetes, settings
from test_names import library, names  # noqa: F401  fixtures

HOST = "istio-pilot.istio-system"
PILOT = "127.0.0.15"

CHASSIS = """
cse:
  service:
    registry:
      registrator:
        disabled: true
      serviceDiscovery:
        type: pilotv2
        address: grpc://istio-pilot.istio-system:15010
"""
ROUTER = """
router:
  infra: pilotv2 # pilotv2 or cse
  address: grpc://istio-pilot.istio-system:15010
"""
# Before the second API was there.
FIRST_CHASSIS = CHASSIS.replace("pilotv2", "pilot").replace("grpc://", "http://").replace("15010", "8080")
FIRST_ROUTER = """
router:
  infra: pilot # pilot or cse
  address: http://istio-pilot.istio-system:15010
"""
# Of the manifest; the last three are what Kubernetes fills in.
MANIFEST = {
    "CSE_SERVICE_CENTER": "grpc://istio-pilot.istio-system:15010",
    "POD_NAME": "istioserver-v1-abc",
    "POD_NAMESPACE": "default",
    "INSTANCE_IP": "127.0.0.1",
}
TAGS = """
router:
  infra: cse
routeRule:
  istioserver:
    - precedence: 2
      route:
      - tags:
          version: v1
        weight: 40
      - tags:
          version: v2
          debug: true
        weight: 40
      - tags:
          version: v3
        weight: 20
"""
EGRESS = """
egress:
  infra: pilot  # pilot or cse
  address: http://istio-pilot.istio-system:15010
"""


class GoSidecar(Sidecar):
    """One in that manifest, whose registry is what `chassis.yaml` of a page says."""

    def __init__(self, chassis, **files):
        super().__init__(Nobody, "{}", **files)
        self.chassis = chassis
        self.environment = dict(MANIFEST)

    def start(self):
        listeners = (
            f'cse:\n  protocols:\n    http: {{listenAddress: "127.0.0.2:{self.port}"}}\n'
            f'    grpc: {{listenAddress: "127.0.0.2:{self.grpc}"}}\n'
            f'    rest-admin: {{listenAddress: "127.0.0.1:{self.admin}"}}\n'
        )
        folder = Path(self.directory.name)
        text = self.chassis.replace("\ncse:\n", listeners, 1) + f"\nmesher: {{stateDirectory: {folder}}}\n"
        self.files = {"chassis": text, **self.files}
        super().start()


class Nobody:
    """No page has a place for a port that is made up."""

    port = 0


@pytest.fixture(scope="module")
def backends():
    with Backends(NAMES) as backends:
        yield backends


@pytest.fixture
def pilot(backends, names):  # noqa: F811
    """Both APIs, at the address that the pages have, with the routes of their VirtualService behind one for a field."""
    names.names[HOST] = PILOT
    names.set()
    _, state = next(scenario.phases(scenario.read("split")))
    meshes = [scenario.Mesh(copy.deepcopy(state), backends.ports, {}) for _ in range(2)]
    with contextlib.ExitStack() as stack:
        rest = stack.enter_context(RestPlane(meshes[0], address=(PILOT, 8080)))
        streams = ControlPlane(meshes[1].resources(), ["v2"], f"{PILOT}:15010", Log())
        stack.enter_context(streams)
        streams.rest, streams.state = rest, state
        yield streams
    assert streams.log.violations == []


@pytest.mark.parametrize(
    "chassis, router",
    [(CHASSIS, ROUTER), (FIRST_CHASSIS, FIRST_ROUTER), (FIRST_CHASSIS, ROUTER)],
    ids=["second API", "first API", "first API, and pilotv2"],
)
def test_routes(pilot, chassis, router):
    """Three versions have 25, 25 and 50 percent of 4,000 requests, and a field goes first."""
    with GoSidecar(chassis, router=router) as sidecar:
        eventually(lambda: sidecar.shares("istioserver:8080", 4, x_user="jason") == {"v2": 4}, lambda: sidecar.tail())
        count, loops = 4_000, len(os.sched_getaffinity(0))
        shares = sidecar.shares("istioserver:8080", count)
        versions = {"v1": shares["v1"], "v2": shares["v2"], "v3": shares["v3"] + shares["v3b"]}
        wanted = {"v1": count // 4, "v2": count // 4, "v3": count // 2}
        assert {name: each for name, each in versions.items() if abs(each - wanted[name]) > loops} == {}, shares
        rules = json.loads(sidecar.ask("/v1/mesher/routeRule/istioserver").body)
        assert {each["tags"]["version"]: each["weight"] for each in rules[-1]["route"]} == {"v1": 25, "v2": 25, "v3": 50}
        node = next(each["node"] for each in pilot.log.events if each.get("node"))
        assert node["id"] == "sidecar~127.0.0.1~istioserver-v1-abc.default~default.svc.cluster.local"


def test_the_manifest_alone(pilot):
    """Its variable is the address where no file has one."""
    chassis = CHASSIS.replace("        address: grpc://istio-pilot.istio-system:15010\n", "")
    with GoSidecar(chassis) as sidecar:
        assert sidecar.shares("istioserver:8080", 4, x_user="jason") == {"v2": 4}


def test_tags(pilot, tmp_path):
    """Rules of files ask for the tags of subsets, of which the DestinationRule has more than a version."""
    with Kubernetes(tmp_path, "v1alpha3") as kubernetes:
        kubernetes.labels = {
            "v1": {"version": "v1"},
            "v2": {"version": "v2", "debug": "true"},
            "v3": {"version": "v3"},
        }
        with kubernetes.around(GoSidecar(CHASSIS, router=TAGS, mesher=settings(tmp_path))) as sidecar:
            # Until the labels are there, nobody has the second tag.
            eventually(lambda: sidecar.shares("istioserver", 10)["v2"] == 4, lambda: sidecar.tail())
            shares = sidecar.shares("istioserver", 1_000)
            versions = {"v1": shares["v1"], "v2": shares["v2"], "v3": shares["v3"] + shares["v3b"]}
            wanted, loops = {"v1": 400, "v2": 400, "v3": 200}, len(os.sched_getaffinity(0))
            assert {name: each for name, each in versions.items() if abs(each - wanted[name]) > loops} == {}, shares


def test_egress(pilot, backends):
    port = backends.ports["v1"]
    pilot.state["resources"] = {"CDS": [outside("localhost", port)]}
    pilot.serve(scenario.Mesh(pilot.state, backends.ports, {}).resources())
    loopback = "mesher.egress.allowLoopback: true\n"
    with GoSidecar(CHASSIS, router="router: {infra: cse}\n", egress=EGRESS, mesher=loopback) as sidecar:
        eventually(lambda: sidecar.shares(f"localhost:{port}", 2) == {"v1": 2}, lambda: sidecar.tail())


HANDLERS = "router,ratelimiter-consumer,bizkeeper-consumer,loadbalance,port-selector,transport"
CHAIN = f"  handler: {{chain: {{Consumer: {{outgoing: '{HANDLERS}'}}}}}}\n"


@pytest.mark.parametrize("router", [ROUTER, "router: {infra: cse}\n"], ids=["routes of Istio", "rules of files"])
def test_from_sidecar_to_sidecar(pilot, router):
    """Istio has the ports of applications: `port-selector` takes that of the sidecar beside each."""
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.headers["Host"])
            self.send_response(200)
            self.send_header("X-Backend", "sidecar")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 30_101), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        with GoSidecar(CHASSIS + CHAIN, router=router) as sidecar:
            assert sidecar.shares("istioserver:8080", 4, x_user="jason") == {"sidecar": 4}
        server.shutdown()
    assert len(asked) == 4


class Echo(grpc.GenericRpcHandler):
    def service(self, call):
        return grpc.unary_unary_rpc_method_handler(lambda request, context: request + b" from a sidecar")


def test_grpc_from_sidecar_to_sidecar(pilot, backends):
    pilot.state["services"][0]["http2"] = True
    pilot.serve(scenario.Mesh(pilot.state, backends.ports, {}).resources())
    server = grpc.server(futures.ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers([Echo()])
    server.add_insecure_port("127.0.0.1:40101")
    server.start()
    options = [("grpc.default_authority", "istioserver:8080")]
    with GoSidecar(CHASSIS + CHAIN, router=ROUTER) as sidecar:
        with grpc.insecure_channel(f"127.0.0.1:{sidecar.grpc}", options) as channel:
            assert channel.unary_unary("/shop.Cart/Get")(b"answer", timeout=10) == b"answer from a sidecar"
    server.stop(0).wait()
