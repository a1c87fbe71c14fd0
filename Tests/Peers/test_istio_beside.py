# SPDX-License-Identifier: Apache-2.0
"""Istio says only a part: where services are, or what becomes of requests for those of another registry."""

import collections
import json
from pathlib import Path

import pytest

import harness
import istio  # noqa: F401  finds the control plane for tests
from controlplane import scenario
from controlplane.backends import Backends
from controlplane.messages import PREFIX
from controlplane.proxies import Mesher
from controlplane.server import ControlPlane, Log
from harness import eventually

NAMES = ["v1", "v2", "v3", "v3b"]


class Sidecar(Mesher):
    """One whose files are told, with `<plane>` for the port of the control plane."""

    def __init__(self, plane, registry, **files):
        super().__init__()
        self.plane, self.registry, self.files = plane.port, registry, files

    def start(self):
        directory = Path(self.directory.name)
        (directory / "chassis.yaml").write_text(
            "cse:\n  protocols:\n"
            f'    http: {{listenAddress: "127.0.0.2:{self.port}"}}\n'
            f'    rest-admin: {{listenAddress: "127.0.0.1:{self.admin}"}}\n'
            f"  service: {{registry: {self.registry}}}\nmesher: {{stateDirectory: {directory}}}\n"
        )
        for name in ["chassis", *self.files]:
            path = directory / f"{name}.yaml"
            text = self.files[name] if name in self.files else path.read_text()
            path.write_text(text.replace("<plane>", str(self.plane)))
        harness.Sidecar.start(self)

    def get(self, host, **fields):
        with harness.Client(("127.0.0.1", self.port)) as client:
            more = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in fields.items())
            client.send(f"GET http://{host}/ HTTP/1.1\r\nHost: {host}\r\n{more}\r\n".encode())
            return client.response()

    def shares(self, host, count, **fields):
        """How many requests each backend has answered; `none` stands for the sidecar itself."""
        answers = [self.get(host, **fields) for _ in range(count)]
        return collections.Counter(dict(each.fields).get("x-backend", b"none").decode() for each in answers)


@pytest.fixture(scope="module")
def backends():
    with Backends(NAMES) as backends:
        yield backends


@pytest.fixture(params=["delta", "sotw"])
def plane(backends, request):
    steps = list(scenario.phases(scenario.read("split")))
    resources = scenario.Mesh(steps[0][1], backends.ports, {}).resources()
    forms = ["delta", "sotw"] if request.param == "delta" else ["sotw"]
    with ControlPlane(resources, forms, log=Log()) as plane:
        plane.steps = [scenario.Mesh(state, backends.ports, {}).resources() for _, state in steps]
        yield plane
        assert plane.log.violations == []


def services(backends):
    """The services of the scenario, as the file registry has them."""
    versions = {"v1": "v1", "v2": "v2", "v3": "v3", "v3b": "v3"}
    instances = [
        f'{{endpoints: ["rest://127.0.0.1:{backends.ports[name]}"], version: {version}}}'
        for name, version in versions.items()
    ]
    return f"service: [{{name: istioserver, instance: [{', '.join(instances)}]}}]\n"


def test_routes_of_istio_for_services_of_another_registry(backends, plane):
    """Whatever the port: subsets are versions."""
    files = {
        "services": services(backends),
        "router": 'router: {infra: pilot, address: "http://127.0.0.1:<plane>"}\n',
    }
    with Sidecar(plane, "{type: file, address: services.yaml}", **files) as sidecar:
        eventually(lambda: set(sidecar.shares("istioserver", 4, x_user="jason")) == {"v2"}, "no routes")
        found = sidecar.shares("istioserver", 400)
        assert {name: count for name, count in found.items() if abs(count - 100) > 4} == {}
        # What it says later counts too, and holds when it is gone.
        plane.serve(plane.steps[step_of("all to v1")])
        eventually(lambda: set(sidecar.shares("istioserver", 10)) == {"v1"}, "the change is not there")
        plane.leave()
        assert sidecar.shares("istioserver", 50) == {"v1": 50}


def step_of(probe):
    """The step of the scenario that has this probe."""
    steps = list(scenario.phases(scenario.read("split")))
    return next(k for k, (step, _) in enumerate(steps) if any(p["name"] == probe for p in step.get("probes", [])))


RULES = """
routeRule:
  istioserver:
    - precedence: 2
      match: {httpHeaders: {x-user: {exact: jason}}}
      route: [{tags: {version: v2}}]
    - precedence: 1
      match: {httpHeaders: {x-lane: {exact: test}}}
      route: [{tags: {subset: v1}, weight: 50}, {tags: {version: v3}, weight: 50}]
"""


def test_tls_that_rules_of_files_do_not_speak_is_told(backends):
    """Such services are called in plain text, as permissive workloads take it; where nobody wants TLS nothing is said."""
    _, state = next(scenario.phases(scenario.read("split")))
    context = {"@type": PREFIX + "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext"}
    match = {"tlsMode": "istio"}
    sockets = [{"name": "istio", "match": match, "transport_socket": {"name": "tls", "typed_config": context}}]
    state["services"][0]["cluster"] = {"transport_socket_matches": sockets}
    discovery = '{type: istio, address: "grpc://127.0.0.1:<plane>"}'
    registry = f"{{registrator: {{disabled: true}}, serviceDiscovery: {discovery}}}"

    def told(sidecar):
        return json.loads(sidecar.ask("/v1/mesher/health").body)["controlPlane"]["notDone"]

    with ControlPlane(scenario.Mesh(state, backends.ports, {}).resources(), ["delta"], log=Log()) as plane:
        with Sidecar(plane, registry, router="router: {infra: cse}\n") as sidecar:
            assert sidecar.get("istioserver").status == 200
            assert told(sidecar) == []
            for endpoint in state["services"][0]["endpoints"]:
                endpoint["tls"] = True
            plane.serve(scenario.Mesh(state, backends.ports, {}).resources())
            eventually(lambda: told(sidecar) != [], "it is not told")
            assert "TLS to services whose routes are those of files" in told(sidecar)[0] and len(told(sidecar)) == 1
            assert "TLS to services whose routes are those of files" in sidecar.tail()
            assert sidecar.get("istioserver").status == 200


def test_rules_of_files_for_services_of_istio(backends, plane):
    discovery = '{type: istio, address: "grpc://127.0.0.1:<plane>"}'
    registry = f"{{registrator: {{disabled: true}}, serviceDiscovery: {discovery}}}"
    with Sidecar(plane, registry, router="router: {infra: cse}\n" + RULES) as sidecar:
        assert sidecar.shares("istioserver", 8) == {name: 2 for name in NAMES}
        assert sidecar.shares("istioserver:8080", 10, x_user="jason") == {"v2": 10}
        assert sidecar.shares("istioserver", 40, x_lane="test") == {"v1": 20, "v3": 10, "v3b": 10}
        assert sidecar.shares("istioserver.default.svc.cluster.local", 4) == {name: 1 for name in NAMES}
        assert sidecar.get("nobody").status in (502, 503)
        plane.serve(plane.steps[step_of("the endpoint that is left")])
        eventually(lambda: "v3b" not in sidecar.shares("istioserver", 8), "the endpoint is still there")


@pytest.mark.parametrize("region", ["{name: north, availableZone: a}", "{name: dc, region: north, availableZone: a}"])
def test_the_control_plane_is_told_where_the_sidecar_is(plane, region):
    discovery = '{type: istio, address: "grpc://127.0.0.1:<plane>"}'
    registry = f"{{registrator: {{disabled: true}}, serviceDiscovery: {discovery}}}"
    with Sidecar(plane, registry, mesher=f"region: {region}\n"):
        nodes = [each["node"] for each in plane.log.events if each["event"] == "request" and each.get("node")]
        assert {json.dumps(node["locality"]) for node in nodes} == {'{"region": "north", "zone": "a"}'}
