#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Starts a proxy that has its routes from a control plane as Istio's, which this process is: for scenario g.

usage: with_control_plane.py mesher|envoy FOLDER LISTEN UPSTREAM ADMIN

MESHER_BIN or ENVOY_BIN is the binary, else it is found on PATH.

200 virtual hosts of 50 routes each with a prefix and a header, retries as Istio has them by default, and outlier
detection. The service of the benchmark is the 101st, and its requests match the last route. FOLDER/pid names the proxy.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPOSITORY / "Tests/Istio"), str(REPOSITORY / "Tests/Peers")]

from benchlib.scenarios import SERVICE, SERVICE_PORT  # noqa: E402
from controlplane.scenario import Mesh  # noqa: E402
from controlplane.server import ControlPlane, Log  # noqa: E402

HOSTS, ROUTES = 200, 50
RETRIES = {
    "retry_on": "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes",
    "num_retries": 2,
    "retry_host_predicate": ["previous_hosts"],
    "host_selection_retry_max_attempts": 5,
}
ACTION = {"cluster": "@", "timeout": "0s", "retry_policy": RETRIES}
OUTLIERS = {"consecutive_5xx": 5, "interval": "5s", "base_ejection_time": "30s", "max_ejection_percent": 50}
MANY = 100_000
LIMITS = {"max_connections": MANY, "max_pending_requests": MANY, "max_requests": MANY, "max_retries": MANY}


def service(number):
    routes = [
        {
            "name": f"route{each}",
            "match": {
                "prefix": f"/area{each}/",
                "headers": [{"name": "x-lane", "string_match": {"exact": f"lane{each}"}}],
            },
            "route": ACTION,
        }
        for each in range(ROUTES - 1)
    ]
    return {
        "host": SERVICE if number == HOSTS // 2 else f"service{number}.default.svc.cluster.local",
        "port": SERVICE_PORT,
        "endpoints": [{"backend": "upstream"}],
        "cluster": {
            "lb_policy": "LEAST_REQUEST",
            "outlier_detection": OUTLIERS,
            "circuit_breakers": {"thresholds": [LIMITS]},
        },
        "routes": [*routes, {"name": "rest", "match": {"prefix": "/"}, "route": ACTION}],
    }


def mesher(folder, listen, plane):
    (folder / "microservice.yaml").write_text("service_description: {name: bench, version: 0.0.1}\n")
    registry = {
        "registrator": {"disabled": True},
        "serviceDiscovery": {"type": "istio", "address": f"grpc://127.0.0.1:{plane}"},
    }
    protocols = {"http": {"listenAddress": f"127.0.0.1:{listen}"}}
    (folder / "chassis.yaml").write_text(
        json.dumps({"cse": {"protocols": protocols, "service": {"registry": registry}}, "mesher": {"stateDirectory": str(folder)}})
    )
    return ["--workers", "1"], {"CHASSIS_CONF_DIR": str(folder), "INSTANCE_IP": "127.0.0.1"}


def envoy(folder, admin, plane):
    source = {"ads": {}, "resource_api_version": "V3"}
    options = {
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http2_protocol_options": {}},
    }

    def address(port):
        return {"socket_address": {"address": "127.0.0.1", "port_value": port}}

    endpoints = [{"lb_endpoints": [{"endpoint": {"address": address(plane)}}]}]
    cluster = {
        "name": "xds",
        "type": "STATIC",
        "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": options},
        "load_assignment": {"cluster_name": "xds", "endpoints": endpoints},
    }
    ads = {
        "api_type": "DELTA_GRPC",
        "transport_api_version": "V3",
        "set_node_on_first_message_only": True,
        "grpc_services": [{"envoy_grpc": {"cluster_name": "xds"}}],
    }
    node = {"id": "sidecar~127.0.0.1~bench.default~default.svc.cluster.local", "cluster": "bench"}
    config = {
        "admin": {"address": address(admin)},
        "node": node,
        "dynamic_resources": {"ads_config": ads, "cds_config": source, "lds_config": source},
        "static_resources": {"clusters": [cluster]},
    }
    (folder / "envoy.json").write_text(json.dumps(config))
    return ["-c", str(folder / "envoy.json"), "--disable-hot-restart", "--concurrency", "1", "-l", "warning"], {}


def main():
    kind, folder, listen, upstream, admin = sys.argv[1:]
    folder = Path(folder)
    binary = os.environ.get(f"{kind.upper()}_BIN") or shutil.which(kind) or sys.exit(f"no {kind} on PATH")
    mesh = Mesh(
        {"services": [service(each) for each in range(HOSTS)]},
        {"upstream": int(upstream)},
        {str(SERVICE_PORT): int(listen)},
    )
    with ControlPlane(mesh.resources(), ["delta", "sotw"], log=Log()) as plane:
        arguments, environment = (mesher(folder, listen, plane.port) if kind == "mesher" else
                                  envoy(folder, int(admin), plane.port))
        process = subprocess.Popen([binary, *arguments], env={**os.environ, **environment})
        (folder / "pid").write_text(str(process.pid))
        sys.exit(process.wait())


if __name__ == "__main__":
    main()
