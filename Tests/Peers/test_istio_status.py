# SPDX-License-Identifier: Apache-2.0
"""Istio as control plane: what operators see of it."""

import copy
import json
import re
import subprocess
import threading
from pathlib import Path

import pytest

import harness
import istio  # noqa: F401  finds the control plane for tests
from controlplane import scenario
from controlplane.backends import Backends
from controlplane.messages import MESSAGES, ROUTE
from controlplane.proxies import Mesher
from controlplane.server import ControlPlane, Log
from harness import eventually


class World:
    """A control plane that serves a scenario, and a sidecar that asks it."""

    def __init__(self, backends, forms=("delta", "sotw")):
        self.backends = backends
        self.steps = list(scenario.phases(scenario.read("split")))
        self.log = Log()
        self.plane = ControlPlane(self.resources(0), list(forms), log=self.log)
        self.plane.__enter__()
        self.sidecar = Mesher()
        self.sidecar.start(self.plane)

    def resources(self, step):
        return scenario.Mesh(self.steps[step][1], self.backends.ports, {}).resources()

    def explain(self):
        command = [harness.binary(), "explain", "GET", "http://istioserver:8080/"]
        command += ["--admin", f"127.0.0.1:{self.sidecar.admin}"]
        return subprocess.run(command, capture_output=True, text=True, timeout=10).stdout

    def ask(self, host="istioserver:8080"):
        with harness.Client(("127.0.0.1", self.sidecar.port)) as client:
            client.send(f"GET http://{host}/ HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            return client.response()

    def health(self):
        return json.loads(self.sidecar.ask("/v1/mesher/health").body)["controlPlane"]

    def saved(self):
        return b"".join(path.read_bytes() for path in Path(self.sidecar.directory.name).glob("istio-*.pb"))

    def metrics(self):
        return self.sidecar.ask("/v1/mesher/metrics").body.decode()


@pytest.fixture(scope="module")
def world():
    with Backends(["v1", "v2", "v3", "v3b"]) as backends:
        world = World(backends)
        yield world
        world.sidecar.stop()
        world.plane.__exit__(None, None, None)


def test_requests_are_counted_by_service_and_subset(world):
    assert [world.ask().status for _ in range(20)] == [200] * 20
    found = set(re.findall(r'mesher_request_duration_seconds_count\{([^}]*)\}', world.metrics()))
    assert {'app="default",service_name="istioserver",version="%s"' % each for each in ("v1", "v2", "v3")} <= found


def test_health_and_metrics_tell_of_the_control_plane(world):
    assert world.ask().status == 200
    found = world.health()
    assert found["connected"] and found["protocol"] == "delta" and "error" not in found
    held = {kind: each["held"] for kind, each in found["resources"].items()}
    assert held["routes"] == 1 and held["endpoints"] == 3 and held["clusters"] >= 4
    families = dict(re.findall(r"^(mesher_control_plane_\S+) (\d+)$", world.metrics(), re.M))
    assert families["mesher_control_plane_up"] == "1"
    for kind, count in held.items():
        assert families['mesher_control_plane_resources{kind="%s"}' % kind] == str(count)
        assert families['mesher_control_plane_refused_responses_total{kind="%s"}' % kind] == "0"


@pytest.mark.parametrize("name", ["istioserver", "istioserver.default.svc.cluster.local:8080"])
def test_tap_knows_a_service_by_the_name_that_it_is_counted_by(world, name):
    command = [harness.binary(), "tap", name, "--json", "--admin", f"127.0.0.1:{world.sidecar.admin}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as tap:
        lines = []
        reader = threading.Thread(target=lambda: lines.append(tap.stdout.readline()), daemon=True)
        reader.start()
        eventually(lambda: world.ask().status == 200 and lines, "nothing is shown")
        tap.terminate()
    assert json.loads(lines[0])["status"] == 200


def test_explain_names_the_way_of_a_request(world):
    assert world.ask().status == 200
    said = world.explain()
    assert "istioserver.default.svc.cluster.local:8080 of the control plane" in said
    assert "outbound|8080|v1|istioserver.default.svc.cluster.local" in said, said


def test_explain_says_how_the_clusters_are_called(world):
    state = copy.deepcopy(world.steps[0][1])
    state["services"][0] |= {"cluster": {"lb_policy": "LEAST_REQUEST"}, "http2": True}
    world.plane.serve(scenario.Mesh(state, world.backends.ports, {}).resources())
    eventually(lambda: "LeastRequest over 4 of 4 instances" in world.explain(), world.explain)
    assert world.ask().status == 200
    assert "has no endpoint" not in world.explain(), world.explain()
    world.plane.serve(world.resources(0))
    eventually(lambda: "RoundRobin over 4 of 4 instances" in world.explain(), world.explain)


def test_what_is_asked_for_and_not_done_is_told_wherever_somebody_looks(world):
    assert world.health()["notDone"] == []
    state = copy.deepcopy(world.steps[0][1])
    route = state["services"][0]["routes"][-1]["route"]
    route |= {"priority": "HIGH", "hedge_policy": {}, "retry_policy": {"retry_on": "5xx", "per_try_idle_timeout": "1s"}}
    state["services"][0]["policy"] = {"drop_overloads": [{"category": "all", "drop_percentage": {"numerator": 1}}]}
    world.plane.serve(scenario.Mesh(state, world.backends.ports, {}).resources())
    told = ["high priority", "not hedged", "per_try_idle_timeout", "drop_overloads"]
    eventually(lambda: [word for word in told if word not in str(world.health()["notDone"])] == [], world.health)
    said = world.explain()
    assert [word for word in told if word not in said] == [], said
    page = json.loads(world.sidecar.ask("/v1/mesher/traffic").body)["controlPlane"]
    assert page["notDone"] == world.health()["notDone"]
    world.plane.serve(world.resources(0))


def test_explain_says_what_was_refused(world):
    assert world.ask().status == 200
    names = [phase["name"] for phase, _ in world.steps]
    world.plane.serve(world.resources(names.index("route with a wrong pattern")))
    eventually(lambda: world.health()["resources"]["routes"]["refused"], "it is not refused")
    said = world.explain()
    assert "routes 8080 are refused, what was there before holds: virtual host istioserver" in said, said
    assert world.ask().status == 200
    world.plane.serve(world.resources(0))
    eventually(lambda: "refused" not in world.explain(), world.explain)


def test_explain_knows_hosts_that_the_control_plane_has_not(world):
    resources = world.resources(0)
    resources[ROUTE]["8080"] = MESSAGES[ROUTE](name="8080").SerializeToString()
    world.plane.serve(resources)
    eventually(lambda: world.ask().status == 404, "the table without hosts is not there")
    answer = world.ask()
    assert bytes(answer.body) == b"" and answer.get("content-type") is None, answer.fields
    said = world.explain()
    assert "answer  404" in said and "no virtual host of the control plane has [istioserver]" in said, said
    world.plane.serve(world.resources(0))
    eventually(lambda: world.ask().status == 200, "the table is not there again")


def test_a_control_plane_that_has_left_is_named_and_missed_by_nobody(world):
    assert world.ask().status == 200
    world.plane.leave()
    eventually(lambda: not world.health()["connected"], "it is still there")
    assert world.health()["error"] and "mesher_control_plane_up 0\n" in world.metrics()
    assert [world.ask().status for _ in range(50)] == [200] * 50
    world.plane.listen()
    eventually(lambda: world.health()["connected"], "it is not asked again", seconds=20)
    assert world.ask().status == 200
    assert world.log.violations == []


@pytest.mark.parametrize("forms", [["delta", "sotw"], ["sotw"]], ids=["delta", "sotw"])
def test_a_start_without_the_control_plane_goes_on_with_what_it_said_last(forms):
    with Backends(["v1", "v2", "v3", "v3b"]) as backends:
        world = World(backends, forms)
        try:
            assert [world.ask().status for _ in range(4)] == [200] * 4
            eventually(lambda: world.saved().count(b"ClusterLoadAssignment") >= 3, "no endpoints are saved")
            world.plane.leave()
            world.sidecar.stop_process()
            world.sidecar.start(world.plane)
            assert not world.health()["connected"]
            assert [world.ask().status for _ in range(20)] == [200] * 20
            assert "is good until it does" in world.sidecar.tail()

            # What has gone meanwhile is forgotten when the control plane is back.
            world.plane.serve(scenario.Mesh({"services": []}, backends.ports, {}).resources())
            world.plane.listen()
            eventually(lambda: world.health()["connected"], "it is not asked again", seconds=20)
            eventually(lambda: world.ask().status != 200, "a cluster that is gone is still there")
            assert world.log.violations == []
        finally:
            world.sidecar.stop()
            world.plane.__exit__(None, None, None)
