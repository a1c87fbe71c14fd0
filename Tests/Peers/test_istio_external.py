# SPDX-License-Identifier: Apache-2.0
"""Istio says which hosts outside the mesh may be called."""

import copy
import subprocess

import pytest

import harness
import istio  # noqa: F401  finds the control plane for tests
from controlplane import scenario
from controlplane.backends import Backends
from controlplane.server import ControlPlane, Log
from harness import eventually
from test_istio_beside import NAMES, Sidecar

EGRESS = 'egress: {infra: %s, address: "http://127.0.0.1:<plane>"}\n'
LOOPBACK = "mesher.egress.allowLoopback: true\n"
FILES = ("{type: file, address: services.yaml}", {"services": "service: []\n"})
ISTIO = ('{registrator: {disabled: true}, serviceDiscovery: {type: istio, address: "grpc://127.0.0.1:<plane>"}}', {})
RULES = (ISTIO[0], {"router": "router: {infra: cse}\n"})


@pytest.fixture(scope="module")
def backends():
    with Backends(NAMES) as backends:
        yield backends


def resources(backends, *clusters):
    _, state = next(scenario.phases(scenario.read("split")))
    state = copy.deepcopy(state)
    state["resources"] = {"CDS": list(clusters)}
    return scenario.Mesh(state, backends.ports, {}).resources()


def outside(host, port):
    """What Istio makes of a ServiceEntry without resolution."""
    return {
        "name": f"outbound|{port}||{host}",
        "type": "ORIGINAL_DST",
        "lb_policy": "CLUSTER_PROVIDED",
        "connect_timeout": "1s",
    }


def tunnel(sidecar, port, host="localhost"):
    """What is said through a tunnel; or the status of the answer, if there is none."""
    with harness.Client(("127.0.0.1", sidecar.port)) as client:
        client.send(f"CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        answer = client.head()
        if answer.status != 200:
            return answer.status
        client.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        return dict(client.response().fields)["x-backend"]


@pytest.mark.parametrize("registry, files", [FILES, ISTIO, RULES], ids=["file", "istio", "rules of files"])
@pytest.mark.parametrize("form", ["delta", "v2"])
def test_external_hosts(backends, registry, files, form):
    """Those of its clusters, and no others; what it said last holds when it is gone."""
    port, infra = backends.ports["v1"], "pilotv2" if form == "v2" else "istio"
    listed, none = resources(backends, outside("localhost", port)), resources(backends)
    rule = "egressRule: {apis: [{hosts: [elsewhere]}]}\n"
    with ControlPlane(none, [form], log=Log()) as plane:
        with Sidecar(plane, registry, **files, egress=EGRESS % infra + rule, mesher=LOOPBACK) as sidecar:
            assert tunnel(sidecar, port) in (403, 405)
            plane.serve(listed)
            eventually(lambda: tunnel(sidecar, port) == b"v1", "there is no tunnel")
            assert sidecar.shares(f"localhost:{port}", 4) == {"v1": 4}
            assert tunnel(sidecar, port + 1) == 403
            assert sidecar.get("elsewhere").status != 200
            plane.serve(none)
            eventually(lambda: tunnel(sidecar, port) in (403, 405), "the tunnel is still there")
            plane.serve(listed)
            eventually(lambda: tunnel(sidecar, port) == b"v1", "there is no tunnel")
            plane.leave()
            assert sidecar.shares(f"localhost:{port}", 4) == {"v1": 4}
        assert plane.log.violations == []


def elsewhere(host, port, *ports):
    """What Istio makes of a ServiceEntry with `resolution: STATIC`: its cluster, and its endpoints."""
    name = f"outbound|{port}||{host}"
    source = {"eds_config": {"ads": {}, "resource_api_version": "V3"}, "service_name": name}
    places = [
        {"endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": each}}}} for each in ports
    ]
    return (
        {"name": name, "type": "EDS", "eds_cluster_config": source, "connect_timeout": "1s"},
        {"cluster_name": name, "endpoints": [{"lb_endpoints": places}]},
    )


def explained(sidecar, url):
    command = [harness.binary(), "explain", "GET", url, "--admin", f"127.0.0.1:{sidecar.admin}"]
    return subprocess.run(command, capture_output=True, text=True, timeout=20).stdout


@pytest.mark.parametrize("registry, files", [FILES, ISTIO, RULES], ids=["file", "istio", "rules of files"])
def test_a_tunnel_leads_to_the_endpoints_of_a_host(backends, registry, files):
    """A name that nobody can look up; its endpoints change while the process runs, and each takes its part."""

    def told(*names):
        _, state = next(scenario.phases(scenario.read("split")))
        state = copy.deepcopy(state)
        cluster, assignment = elsewhere("static.test", 443, *(backends.ports[each] for each in names))
        state["resources"] = {"CDS": [cluster], "EDS": [assignment]}
        return scenario.Mesh(state, backends.ports, {}).resources()

    with ControlPlane(told("v1"), ["delta"], log=Log()) as plane:
        with Sidecar(plane, registry, **files, egress=EGRESS % "istio", mesher=LOOPBACK) as sidecar:
            eventually(lambda: tunnel(sidecar, 443, "static.test") == b"v1", "there is no tunnel")
            assert tunnel(sidecar, 444, "static.test") in (403, 405, 502)
            assert f"it is at 127.0.0.1:{backends.ports['v1']}" in explained(sidecar, "http://static.test:443/")
            plane.serve(told("v2", "v3"))
            found = set()

            def both():
                found.add(tunnel(sidecar, 443, "static.test"))
                return {b"v2", b"v3"} <= found

            eventually(both, lambda: f"it leads to {found}")
            plane.serve(told())
            eventually(lambda: tunnel(sidecar, 443, "static.test") in (502, 503), "the endpoints are still there")
        assert plane.log.violations == []


def test_a_host_with_routes_is_called_by_them_inside_of_connect(backends):
    """It is no tunnel: what is said inside is mesher's business."""
    _, state = next(scenario.phases(scenario.read("split")))
    state = copy.deepcopy(state)
    host = {"host": "entry.test", "port": 8080, "endpoints": [{"backend": "v1"}]}
    host["routes"] = [{"match": {"prefix": "/"}, "direct_response": {"status": 299}}]
    state["services"].append(host)
    with ControlPlane(scenario.Mesh(state, backends.ports, {}).resources(), ["delta"], log=Log()) as plane:
        with Sidecar(plane, ISTIO[0], egress=EGRESS % "istio", mesher=LOOPBACK) as sidecar:
            with harness.Client(("127.0.0.1", sidecar.port)) as client:
                client.send(b"CONNECT entry.test:8080 HTTP/1.1\r\nHost: entry.test\r\n\r\n")
                assert client.head().status == 200
                client.send(b"GET / HTTP/1.1\r\nHost: entry.test:8080\r\n\r\n")
                assert client.response().status == 299
            assert sidecar.get("entry.test:8080").status == 299
