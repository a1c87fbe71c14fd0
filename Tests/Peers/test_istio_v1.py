# SPDX-License-Identifier: Apache-2.0
"""Istio up to 0.8 as control plane, which is asked again and again by REST."""

import copy
import json
import os

import pytest

import istio  # noqa: F401  finds the control plane for tests
from controlplane import scenario
from controlplane.backends import Backends
from controlplane.rest import RestPlane
from controlplane.server import ControlPlane, Log
from harness import eventually
from test_istio_beside import NAMES, Sidecar

REGISTRY = (
    "{registrator: {disabled: true}, refreshInterval: 300ms, "
    'serviceDiscovery: {type: pilot, address: "http://127.0.0.1:<plane>"}}'
)


@pytest.fixture(scope="module")
def backends():
    with Backends(NAMES) as backends:
        yield backends


@pytest.fixture
def plane(backends):
    _, state = next(scenario.phases(scenario.read("split")))
    with RestPlane(scenario.Mesh(copy.deepcopy(state), backends.ports, {})) as plane:
        yield plane


def test_routes(plane):
    """Three versions have 25, 25 and 50 percent, and a field goes first."""
    with Sidecar(plane, REGISTRY, router="router: {infra: pilot}\n") as sidecar:
        assert sidecar.shares("istioserver:8080", 20, x_user="jason") == {"v2": 20}
        count, loops = 4_000, len(os.sched_getaffinity(0))
        shares = sidecar.shares("istioserver:8080", count)
        versions = {"v1": shares["v1"], "v2": shares["v2"], "v3": shares["v3"] + shares["v3b"]}
        wanted = {"v1": count // 4, "v2": count // 4, "v3": count // 2}
        assert {name: each for name, each in versions.items() if abs(each - wanted[name]) > loops} == {}, shares


def test_faults_stand_in_listeners(plane):
    name = "out.istioserver.default.svc.cluster.local|http|version=v2"
    plane.faults.append({"abort": {"abort_percent": 100, "http_status": 555}, "upstream_cluster": name})
    with Sidecar(plane, REGISTRY, router="router: {infra: pilot}\n") as sidecar:
        assert sidecar.get("istioserver:8080", x_user="jason").status == 555
        assert set(sidecar.shares("istioserver:8080", 40)) == {"none", "v1", "v3", "v3b"}


def test_services_with_rules_of_files(plane):
    """An empty answer takes endpoints away, one that fails does not."""
    rules = "routeRule: {istioserver: [{precedence: 1, route: [{tags: {version: v3}}]}]}\n"
    with Sidecar(plane, REGISTRY, router=rules) as sidecar:
        assert sidecar.shares("istioserver", 10) == {"v3": 5, "v3b": 5}
        plane.status = 503
        asked = len(plane.asked)
        eventually(lambda: len(plane.asked) > asked + 1, "it asks no more")
        assert sidecar.shares("istioserver", 10) == {"v3": 5, "v3b": 5}
        plane.mesh.services[0]["endpoints"] = [{"backend": "v3b", "labels": {"version": "v3"}}]
        plane.status = 200
        eventually(lambda: sidecar.shares("istioserver", 4) == {"v3b": 4}, "the endpoint is still there", seconds=15)
        plane.mesh.services[0]["endpoints"] = []
        eventually(lambda: sidecar.get("istioserver").error == "no_endpoint", "the endpoints are there", seconds=15)


def test_a_subset_that_goes_with_its_route_fails_no_request(plane):
    """Its cluster is there until the routes have changed, however long the endpoints take."""
    with_it = plane.mesh.services[0]
    without = copy.deepcopy(with_it)
    without["subsets"].pop("v3")
    without["routes"] = [{"match": {"prefix": "/"}, "route": {"cluster": "@v1"}}]
    with Sidecar(plane, REGISTRY, router="router: {infra: pilot}\n") as sidecar:
        assert sidecar.get("istioserver:8080").status == 200
        plane.delay = 0.3
        statuses = set()

        def shares():
            statuses.update(sidecar.get("istioserver:8080").status for _ in range(20))
            return set(sidecar.shares("istioserver:8080", 20))

        for _ in range(2):
            plane.mesh.services[0] = without
            eventually(lambda: shares() == {"v1"}, "the route is still there", seconds=20)
            plane.mesh.services[0] = with_it
            eventually(lambda: {"v3", "v3b"} <= shares(), "the route is not back", seconds=20)
        assert statuses == {200}


STREAMS = {
    "pilot": 'router: {infra: pilot, address: "http://127.0.0.1:<streams>"}\n',
    "pilotv2": 'router: {infra: pilotv2, address: "http://127.0.0.1:<streams>"}\n',
}


@pytest.mark.parametrize("infra", STREAMS)
def test_routes_by_streams(backends, plane, infra):
    """Services by REST and routes by xDS v2, as the Go mesher asked for them: 25, 25 and 50 percent, a field first."""
    _, state = next(scenario.phases(scenario.read("split")))
    resources = scenario.Mesh(copy.deepcopy(state), backends.ports, {}).resources()
    with ControlPlane(resources, ["v2"], log=Log()) as streams:
        router = STREAMS[infra].replace("<streams>", str(streams.port))
        with Sidecar(plane, REGISTRY, router=router) as sidecar:
            eventually(lambda: set(sidecar.shares("istioserver", 4, x_user="jason")) == {"v2"}, "no routes")
            count, loops = 4_000, len(os.sched_getaffinity(0))
            shares = sidecar.shares("istioserver:8080", count)
            versions = {"v1": shares["v1"], "v2": shares["v2"], "v3": shares["v3"] + shares["v3b"]}
            wanted = {"v1": count // 4, "v2": count // 4, "v3": count // 2}
            assert {name: each for name, each in versions.items() if abs(each - wanted[name]) > loops} == {}, shares
            health = json.loads(sidecar.ask("/v1/mesher/health").body)
            assert health["controlPlane"]["protocol"] == "REST v1"
            assert health["controlPlaneOfRoutes"]["protocol"] == "state of the world, xDS v2"
            traffic = json.loads(sidecar.ask("/v1/mesher/traffic").body)
            assert traffic["controlPlaneOfRoutes"]["protocol"] == "state of the world, xDS v2"
            assert traffic["controlPlaneOfRoutes"]["connected"]
            metrics = sidecar.ask("/v1/mesher/metrics").body.decode().splitlines()
            assert {"mesher_control_plane_up 1", 'mesher_control_plane_up{of="routes"} 1'} <= set(metrics)
            assert any(line.startswith('mesher_control_plane_resources{kind="routes",of="routes"}') for line in metrics)
            rules = json.loads(sidecar.ask("/v1/mesher/routeRule/istioserver").body)
            assert [each["precedence"] for each in rules] == sorted((each["precedence"] for each in rules), reverse=True)
            assert [each["tags"]["version"] for each in rules[-1]["route"]] == ["v1", "v2", "v3"]
            # Endpoints are those that REST tells.
            plane.mesh.services[0]["endpoints"] = [{"backend": "v3b", "labels": {"version": "v3"}}]
            eventually(lambda: set(sidecar.shares("istioserver", 4)) <= {"v3b", "none"}, "it has others", seconds=15)
        assert streams.log.violations == []


REGION = "region: {name: north, availableZone: a}\n"


@pytest.mark.parametrize("region", ["", REGION], ids=["nowhere", "placed"])
def test_zones_of_endpoints_where_nobody_says_the_sidecars_own_are_told(plane, region):
    for endpoint in plane.mesh.services[0]["endpoints"]:
        endpoint["locality"] = "north/a"
    with Sidecar(plane, REGISTRY, router="router: {infra: pilot}\n", mesher=region) as sidecar:
        assert sidecar.get("istioserver:8080").status == 200
        told = json.loads(sidecar.ask("/v1/mesher/health").body)["controlPlane"]["notDone"]
        assert [each.startswith("/v1/az is not asked") for each in told] == ([] if region else [True]), told
        assert ("/v1/az is not asked" in sidecar.tail()) == (not region)


def test_addresses_in_turn(plane):
    """One that fails gives way to the next, and nothing is lost meanwhile."""
    registry = REGISTRY.replace('<plane>"', '<plane>,http://127.0.0.1:<other>"')
    with RestPlane(plane.mesh) as other:
        with Sidecar(plane, registry.replace("<other>", str(other.port))) as sidecar:
            assert sidecar.shares("istioserver", 4) == {name: 1 for name in NAMES}
            assert other.asked == []
            plane.status = 503
            eventually(lambda: len(other.asked) > 3, "the other one is not asked")
            plane.mesh.services[0]["endpoints"] = [{"backend": "v3b", "labels": {"version": "v3"}}]
            eventually(lambda: sidecar.shares("istioserver", 4) == {"v3b": 4}, "the endpoint is still there", seconds=15)


def test_many_services_are_asked_for_at_once(plane):
    """To know who is at which address: by one listing of all."""
    services = [{**copy.deepcopy(plane.mesh.services[0]), "host": f"s{k}.default.svc.cluster.local"} for k in range(12)]
    plane.mesh.services += services
    registry = REGISTRY.replace("{registrator", "{autoIPIndex: true, registrator", 1)
    with Sidecar(plane, registry) as sidecar:
        assert sidecar.shares("istioserver", 4) == {name: 1 for name in NAMES}
        eventually(lambda: "/v1/registration" in plane.asked, "it does not list them")
        assert [each for each in plane.asked if each.startswith("/v1/registration/s")] == []
        assert sidecar.shares("s3", 4) == {name: 1 for name in NAMES}
