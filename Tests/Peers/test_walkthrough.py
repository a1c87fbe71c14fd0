# SPDX-License-Identifier: Apache-2.0
"""From a manifest to a request: `mesher inject`, and then processes with exactly what the injected pod says.

A client calls a server through both sidecars. A registry or a control plane on the node takes the place of the cluster.
"""

import contextlib
import json
import os
import subprocess
import time

import pytest
import yaml

import istio  # noqa: F401  finds the control plane for tests
import pods
from controlplane import scenario
from controlplane.server import ControlPlane, Log
from harness import binary, eventually
from test_registry import Registry

WORKLOADS = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: mesher-server}
spec:
  selector: {matchLabels: {app: mesher-server}}
  template:
    metadata:
      labels: {app: mesher-server, version: 1.0.0, topology.kubernetes.io/zone: zone-a}
      annotations:
        sidecar.mesher.io/inject: "yes"
        sidecar.mesher.io/discoveryType: "TYPE"
        sidecar.mesher.io/servicePorts: "rest:9999"
    spec:
      containers:
        - name: server
          image: registry.example.org/server:1.0.0
          ports:
            - containerPort: 9999
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: mesher-client}
spec:
  selector: {matchLabels: {app: mesher-client}}
  template:
    metadata:
      labels: {app: mesher-client, version: 1.0.0}
      annotations:
        sidecar.mesher.io/inject: "yes"
        sidecar.mesher.io/discoveryType: "TYPE"
    spec:
      containers:
        - name: client
          image: registry.example.org/client:1.0.0
          env:
            - name: http_proxy
              value: http://127.0.0.1:30101/
"""
SERVER = "mesher-server.default.svc.cluster.local"
# What Istio tells is the application's port; that of its sidecar is chosen instead.
CHAIN = "router, ratelimiter-consumer, bizkeeper-consumer, loadbalance, port-selector, transport"
PILOT = {"chassis.yaml": f"cse: {{handler: {{chain: {{Consumer: {{outgoing: '{CHAIN}'}}}}}}}}\n"}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return pods.image_root(tmp_path_factory.mktemp("image"))


@pytest.fixture
def node(root, tmp_path):
    with pods.network(), pods.Node(tmp_path, root) as node:
        yield node


def injected(discovery_type, *options, text=WORKLOADS):
    """The templates of pods, by name of their workload, as the command prints them."""
    text = text.replace("TYPE", discovery_type)
    done = subprocess.run([binary(), "inject", *options], input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return {each["metadata"]["name"]: each["spec"]["template"] for each in yaml.safe_load_all(done.stdout)}


@contextlib.contextmanager
def registry(node, address=pods.GATEWAY):
    """A service-center under its usual name."""
    node.hosts["service-center.servicecomb.svc.cluster.local"] = address
    with node.folder.joinpath("registry").open("wb") as log:
        running = Registry(log, port=30100, options=("--listen", "[::]:30100"))
        try:
            yield running
        finally:
            running.stop()


@contextlib.contextmanager
def control_plane(node, address):
    """An istiod under its usual name, which knows the server at an address of its application."""
    node.hosts["istiod.istio-system.svc.cluster.local"] = pods.GATEWAY
    node.maps["mesher-configmap-pilot"] = PILOT
    endpoint = {"backend": "server", "address": address, "labels": {"version": "1.0.0"}}
    state = {"services": [{"host": SERVER, "port": 9999, "endpoints": [endpoint]}]}
    resources = scenario.Mesh(state, {"server": 9999}, {}).resources()
    with ControlPlane(resources, address=f"{pods.GATEWAY}:15010", log=Log()) as plane:
        yield plane
        assert plane.log.violations == []


def both(node, discovery_type, placement, *addresses):
    """The server and the client, of which all is running."""
    templates = injected(discovery_type, "--native", placement)
    server = node.pod(templates["mesher-server"], *addresses)
    client = node.pod(templates["mesher-client"])
    native = [each["name"] for each in server.template["spec"].get("initContainers", [])]
    assert native == (["sidecar-mesher"] if placement == "yes" else [])
    server.serve("server", 9999)
    server.start()
    client.start()
    return server, client


def check_walk(server, client, url):
    answered = lambda: client.curl("client", url)  # noqa: E731
    _, said = eventually(
        lambda: (found := answered())[0] == 200 and found, lambda: f"{answered()}\n{client.tail()}", 15
    )
    # It came from the sidecar of the server's own pod, and not from another one.
    assert said["from"] == "127.0.0.1" and said["path"] == "/hello", said
    labels = 'app="default",service_name="mesher-server"'
    for pod in (server, client):
        metrics = pod.ask("/v1/mesher/metrics")[1]
        assert f"requests_total{{{labels}" in metrics, metrics[:2000]


def check_process(pod):
    """It runs as the manifest says, and says nothing that somebody would have to look at."""
    status = pod.status()
    if pods.is_mapped(65532):
        assert status["Uid"].split() == status["Gid"].split() == ["65532"] * 4
    else:
        mapped = (f"/proc/{pod.process.pid}/{kind}_map" for kind in ("uid", "gid"))
        assert [open(path).read().split() for path in mapped] == [["65532", "0", "1"]] * 2
    assert status["NoNewPrivs"] == "1" and int(status["CapEff"], 16) == 0
    with open(f"/proc/{pod.process.pid}/mountinfo") as mounts:
        modes = {words[4]: words[5].split(",") for words in map(str.split, mounts)}
    assert "ro" in modes["/"] and "ro" in modes["/etc/mesher/conf"]
    lines = pod.tail().splitlines()
    assert [line for line in lines if "ERROR" in line] == []
    return [line for line in lines if "WARN" in line]


def test_service_center(node):
    """No ConfigMap is there: the environment is enough."""
    with registry(node) as center:
        server, client = both(node, "sc", "yes")
        check_walk(server, client, "http://mesher-server/hello")
        [found] = eventually(lambda: center.find("mesher-server")[1].get("instances"), "the server is not registered")
        assert found["endpoints"] == ["rest://10.244.0.11:30101", "rest-admin://10.244.0.11:30102"]
        assert found["properties"]["nodeIP"] == pods.GATEWAY and found["hostName"] == server.name
        for pod in (server, client):
            # Its state is kept nowhere, for want of a place.
            assert all("cannot be saved" in line for line in check_process(pod)), pod.tail()


def test_a_native_sidecar_leaves_before_its_application_ends(node):
    """The hook of the manifest, in the container: others learn of it, and the sidecar goes on until TERM."""
    with registry(node) as center:
        server, client = both(node, "sc", "yes")
        check_walk(server, client, "http://mesher-server/hello")
        eventually(lambda: center.find("mesher-server")[1].get("instances"), "the server is not registered")
        said, status = server.hook()
        assert (said, status) == (f"process {server.process.pid} is being taken out of service\n", 0), server.tail()
        eventually(lambda: server.ask("/readyz") == (503, "not ready: draining\n"), server.tail)
        eventually(lambda: not center.find("mesher-server")[1].get("instances"), "still registered")
        assert client.ask("/readyz")[0] == 200
        # Whoever has not heard of it is served, at the address of the pod, and by its own application too.
        assert server.ask("/hello", 30101, host="mesher-server")[0] == 200
        since = time.monotonic()
        time.sleep(5)
        assert server.process.poll() is None
        server.end()
        assert server.process.wait(3) == 0 and time.monotonic() - since < 8, "it waited for five seconds more"


def test_a_sidecar_that_ends_with_its_application_has_no_hook():
    for discovery_type in ("sc", "pilot"):
        for placement in ("yes", "no"):
            template = injected(discovery_type, "--native", placement)["mesher-server"]
            found = template["spec"].get("initContainers", []) + template["spec"]["containers"]
            (sidecar,) = [each for each in found if each["name"] == "sidecar-mesher"]
            hook = {"preStop": {"exec": {"command": [f"/{pods.HOME}/mesher", "drain"]}}}
            assert sidecar.get("lifecycle") == (hook if placement == "yes" else None)


def test_pilot(node):
    """Endpoints are those of the application, and the ConfigMap of the seed has a handler that chooses the sidecar's port."""
    with control_plane(node, "10.244.0.11") as plane:
        server, client = both(node, "pilot", "no")
        check_walk(server, client, "http://mesher-server:9999/hello")
        for pod in (server, client):
            check_process(pod)
        told = {event["node"]["id"]: event["node"]["metadata"] for event in plane.log.events if event.get("node")}
        wanted = {f"sidecar~{pod.addresses[0]}~{pod.name}.default~default.svc.cluster.local" for pod in (server, client)}
        assert set(told) == wanted
        assert {each["NODE_NAME"] for each in told.values()} == {"node-1"}
        # Nobody calls the client, so nobody has to learn that it goes.
        client.end()
        assert client.process.wait(3) == 0, client.tail()


def test_both_families(node):
    """A pod with two addresses takes the same at each; the application reaches its sidecar on either loopback."""
    with registry(node):
        addresses = ("10.244.0.11", "fd00:10:244::11")
        server, client = both(node, "sc", "yes", *addresses)
        assert "address=10.244.0.11:30101 also=[fd00:10:244::11]:30101" in server.tail()
        for address in addresses:
            assert server.ask("/readyz", address=address)[0] == 200
            status, body = server.ask("/x", port=30101, address=address)
            assert status == 200 and json.loads(body)["from"] == "127.0.0.1"
        for loopback in ("127.0.0.1", "[::1]"):
            proxied = client.curl("client", "-x", f"http://{loopback}:30101", "http://mesher-server/hello")
            assert proxied[0] == 200, (loopback, proxied)
        check_walk(server, client, "http://mesher-server/hello")


def test_the_end_of_a_pod(node):
    """It is told at once that the pod goes; whoever learns of it later is served meanwhile."""
    with registry(node) as center:
        server, client = both(node, "sc", "no")
        check_walk(server, client, "http://mesher-server/hello")
        server.end()
        began = time.monotonic()
        eventually(lambda: not center.find("mesher-server")[1].get("instances"), "it is still registered")
        eventually(lambda: server.ask("/readyz")[0] == 503, "it is still ready")
        while time.monotonic() < began + 4.5:
            assert server.ask("/late", port=30101)[0] == 200
            time.sleep(0.05)
        assert server.process.wait(10) == 0, server.tail()
        assert 4.9 <= time.monotonic() - began <= 8


def test_a_start_without_the_registry(node):
    """An outage of the registry does not keep applications from starting, unless somebody wants to wait."""
    node.hosts["service-center.servicecomb.svc.cluster.local"] = pods.GATEWAY
    node.maps["mesher-configmap"] = {"mesher.yaml": "mesher: {timeouts: {ready: 2s}}\n"}
    client = node.pod(injected("sc")["mesher-client"])
    client.start(wait=False)
    began = time.monotonic()

    def answer():
        with contextlib.suppress(OSError):
            return client.ask("/readyz")

    assert eventually(answer, client.tail, 10)[0] == 503
    eventually(lambda: answer()[0] == 200, client.tail, 10)
    assert time.monotonic() - began >= 1.9
    assert "WARN" in client.tail() and "missing=registry" in client.tail()


EGRESS = "egressRule: {apis: [{hosts: [api.example.org], ports: [{port: 9999, protocol: HTTP}]}]}\n"


def test_names(node):
    """An external host is asked for as it is written, whatever pods are told of a search list, which services need."""
    node.hosts["api.example.org"] = "10.244.0.11"
    node.maps["mesher-configmap"] = {"egress.yaml": EGRESS}
    with registry(node):
        server, client = both(node, "sc", "yes")
        assert client.curl("client", "http://api.example.org:9999/hello")[1]["from"] == client.addresses[0]
        assert {name for name in node.names.asked if "example" in name} == {"api.example.org"}
        assert "service-center.servicecomb.svc.cluster.local" in node.names.asked


def test_limits_of_the_container(node):
    """Memory and processors are those of the container's control group."""
    text = WORKLOADS.replace('servicePorts: "rest:9999"', 'servicePorts: "rest:9999"\n        sidecar.mesher.io/cpuLimit: "1"')
    with registry(node):
        template = injected("sc", text=text)
        for name, loops in {"mesher-server": 1, "mesher-client": min(2, len(os.sched_getaffinity(0)))}.items():
            pod = node.pod(template[name])
            pod.start()
            assert pod.metric("mesher_memory_limit_bytes") == 256 << 20
            found = [line for line in pod.ask("/v1/mesher/metrics")[1].splitlines() if line.startswith("mesher_event_loop_lag_seconds{")]
            assert len(found) == loops, found


MANUAL = """\
cse:
  protocols:
    http: {listenAddress: "${INSTANCE_IP}:30101"}
    rest-admin: {listenAddress: "${INSTANCE_IP}:30102"}
  service: {registry: {address: "http://service-center.servicecomb:30100"}}
"""


def test_a_pod_of_ipv6_by_hand(node):
    """Without the injector: files of the user's own, in which a bare IPv6 address comes to stand."""
    node.maps["mine"] = {"chassis.yaml": MANUAL, "microservice.yaml": "service_description: {name: mesher-server}\n"}
    template = injected("sc", "--native", "no")["mesher-server"]
    container = template["spec"]["containers"][1]
    kept = {"CHASSIS_CONF_DIR", "INSTANCE_IP", "INSTANCE_IPS", "SERVICE_PORTS", "NODE_NAME", "POD_NAME"}
    container["env"] = [each for each in container["env"] if each["name"] in kept]
    container["env"].append({"name": "mesher_listenIP", "value": "$(INSTANCE_IP)"})
    template["spec"]["volumes"] = [{"name": "mesher-conf", "configMap": {"name": "mine"}}]
    with registry(node, pods.GATEWAY6) as center:
        server = node.pod(template, "fd00:10:244::11")
        server.serve("server", 9999)
        server.start()
        client = node.pod(injected("sc")["mesher-client"], "fd00:10:244::12")
        client.start()
        check_walk(server, client, "http://mesher-server/hello")
        [found] = center.find("mesher-server")[1]["instances"]
        assert "rest://[fd00:10:244::11]:30101" in found["endpoints"]
