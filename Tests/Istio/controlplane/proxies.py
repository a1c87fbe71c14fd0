# SPDX-License-Identifier: Apache-2.0
"""The two proxies that are asked, Envoy and the sidecar. Both get their resources from the control plane."""

import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import harness
from harness import eventually, free_port, listens

NODE = {"NAMESPACE": "default", "ISTIO_VERSION": "1.28.0", "CLUSTER_ID": "Kubernetes", "INSTANCE_IPS": "127.0.0.1"}


def envoy_binary():
    """What `scripts/setup oracle` has installed, or `ENVOY_BIN`."""
    own = harness.REPOSITORY / ".venv/peers/bin/envoy"
    found = os.environ.get("ENVOY_BIN") or (str(own) if own.exists() else shutil.which("envoy"))
    if not found:
        raise SystemExit("no envoy: run scripts/setup oracle")
    return found


class Envoy:
    """One Envoy, with a listener for each route table. `tables` are their names, phase by phase."""

    def __init__(self, tables, form):
        self.listeners = {table: free_port("127.0.0.1") for table in {name: 0 for names in tables for name in names}}
        self.first, self.form, self.process = tables[0], form, None
        self.directory = tempfile.TemporaryDirectory(prefix="envoy-")
        self.log = Path(self.directory.name, "log")

    def port_of(self, table):
        return self.listeners[table]

    def start(self, plane):
        source = {"ads": {}, "resource_api_version": "V3"}
        http2 = {
            "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
            "explicit_http_config": {"http2_protocol_options": {}},
        }
        address = {"socket_address": {"address": "127.0.0.1", "port_value": plane.port}}
        cluster = {
            "name": "xds",
            "type": "STATIC",
            "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": http2},
            "load_assignment": {
                "cluster_name": "xds",
                "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}],
            },
        }
        ads = {
            "api_type": "DELTA_GRPC" if self.form == "delta" else "GRPC",
            "transport_api_version": "V3",
            "set_node_on_first_message_only": True,
            "grpc_services": [{"envoy_grpc": {"cluster_name": "xds"}}],
        }
        node = "sidecar~127.0.0.1~web-0.default~default.svc.cluster.local"
        config = {
            "node": {"id": node, "cluster": "web.default", "metadata": NODE},
            "dynamic_resources": {"ads_config": ads, "cds_config": source, "lds_config": source},
            "static_resources": {"clusters": [cluster]},
        }
        path = Path(self.directory.name, "envoy.json")
        path.write_text(json.dumps(config))
        command = [envoy_binary(), "-c", path, "--disable-hot-restart", "--concurrency", "1", "-l", "warning"]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

        def ready():
            assert self.process.poll() is None, f"envoy ended:\n{self.tail()}"
            return all(listens("127.0.0.1", self.listeners[table]) for table in self.first)

        eventually(ready, lambda: f"envoy does not listen:\n{self.tail()}", seconds=20)

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.directory.cleanup()

    def tail(self):
        return self.log.read_text(errors="replace")[-3000:]


class Mesher(harness.Sidecar):
    """One sidecar. It has one port for requests of all tables, and finds the table by the URL's port."""

    listeners = {}
    # What else chassis.yaml says below `mesher`.
    settings = ""

    def __init__(self, form="delta"):
        super().__init__(9, {})
        self.kind = "pilotv2" if form == "v2" else "istio"
        self.grpc = free_port("127.0.0.1", "127.0.0.2")
        self.environment = {
            "POD_NAME": "web-0",
            "POD_NAMESPACE": "default",
            "INSTANCE_IP": "127.0.0.1",
        }

    def port_of(self, table):
        return self.port

    def start(self, plane):
        self.configure(plane)
        super().start()

    def begin(self, plane):
        """Starts it without waiting until it is ready, which it is not without a control plane."""
        self.configure(plane)
        self._launch()

    def configure(self, plane):
        directory = Path(self.directory.name)
        (directory / "services.yaml").unlink(missing_ok=True)
        (directory / "chassis.yaml").write_text(
            "cse:\n  protocols:\n"
            f'    http: {{listenAddress: "127.0.0.2:{self.port}"}}\n'
            f'    grpc: {{listenAddress: "127.0.0.2:{self.grpc}"}}\n'
            f'    rest-admin: {{listenAddress: "127.0.0.1:{self.admin}"}}\n'
            "  service:\n    registry:\n      registrator: {disabled: true}\n"
            f'      serviceDiscovery: {{type: {self.kind}, address: "{plane.url}"}}\n'
            f"mesher:\n  stateDirectory: {directory}\n{self.settings}"
        )
