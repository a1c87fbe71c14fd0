# SPDX-License-Identifier: Apache-2.0
"""Istio up to 1.6 as control plane, which speaks xDS v2: the sidecar does what Envoy does by v3."""

import json
import os

import pytest

import istio
from controlplane import scenario
from controlplane.backends import Backends
from controlplane.server import ControlPlane, Log
from harness import eventually
from test_istio_beside import NAMES as BACKENDS
from test_istio_beside import Sidecar

# Those with something in them that v2 says in its own way.
NAMES = {"changes", "clusters", "faults", "grpc", "headers", "hosts", "match", "pushes", "retries", "rewrites", "split"}
SCENARIOS = [case for case in istio.SCENARIOS if case.id in NAMES]


@pytest.fixture(scope="module")
def runs(request):
    yield from istio.runs(request, "v2")


@pytest.mark.parametrize("name", SCENARIOS)
def test_scenario(runs, name):
    istio.check(runs[name])


@pytest.fixture(scope="module")
def plane():
    with Backends(BACKENDS) as backends:
        _, state = next(scenario.phases(scenario.read("split")))
        resources = scenario.Mesh(state, backends.ports, {}).resources()
        with ControlPlane(resources, ["v2"], log=Log()) as plane:
            yield plane
            assert plane.log.violations == []


def test_settings_of_the_go_mesher(plane):
    """Services by `pilotv2` and routes by `pilot`: three versions have 25, 25 and 50 percent, and a field goes first."""
    discovery = 'serviceDiscovery: {type: pilotv2, address: "grpc://127.0.0.1:<plane>"}'
    router = 'router: {infra: pilot, address: "http://127.0.0.1:<plane>"}\n'
    with Sidecar(plane, f"{{registrator: {{disabled: true}}, {discovery}}}", router=router) as sidecar:
        assert sidecar.shares("istioserver:8080", 20, x_user="jason") == {"v2": 20}
        count = 4_000
        shares = sidecar.shares("istioserver:8080", count)
        versions = {"v1": shares["v1"], "v2": shares["v2"], "v3": shares["v3"] + shares["v3b"]}
        loops = len(os.sched_getaffinity(0))
        wanted = {"v1": count // 4, "v2": count // 4, "v3": count // 2}
        assert {name: each for name, each in versions.items() if abs(each - wanted[name]) > loops} == {}, shares
        assert sum(versions.values()) == count
        rules = json.loads(sidecar.ask("/v1/mesher/routeRule").body)["routeRule"]
        assert set(rules) == {"istioserver"}
        assert json.loads(sidecar.ask("/v1/mesher/routeRule/istioserver").body) == rules["istioserver"]
        first, second = rules["istioserver"]
        assert first["match"]["headers"] == {"x-user": {"exact": "jason"}}
        assert first["precedence"] > second["precedence"]
        shown = [[(each["tags"]["version"], each["weight"]) for each in rule["route"]] for rule in (first, second)]
        assert shown[0][0][0] == "v2"
        assert dict(shown[1]) == {"v1": 25, "v2": 25, "v3": 50}


@pytest.mark.parametrize("infra", ["pilot", "pilotv2"])
def test_routes_for_services_of_another_registry(plane, infra):
    """They come by xDS v2 where the control plane knows no other."""
    files = {"services": "service: [{name: istioserver, instance: ['rest://127.0.0.1:9']}]\n"}
    router = f'router: {{infra: {infra}, address: "http://127.0.0.1:<plane>"}}\n'
    with Sidecar(plane, "{type: file, address: services.yaml}", **files, router=router) as sidecar:
        eventually(lambda: b'"state of the world, xDS v2"' in sidecar.ask("/v1/mesher/health").body, "it is not v2")


def test_address_of_the_environment(plane):
    """As the Kubernetes sample of the Go mesher has it."""
    sidecar = Sidecar(plane, "{registrator: {disabled: true}, serviceDiscovery: {type: pilotv2}}")
    sidecar.environment["CSE_SERVICE_CENTER"] = f"http://127.0.0.1:{plane.port}"
    with sidecar:
        assert sidecar.shares("istioserver:8080", 4, x_user="jason") == {"v2": 4}
