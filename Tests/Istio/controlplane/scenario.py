# SPDX-License-Identifier: Apache-2.0
"""Scenario files: a mesh in short, expanded into the resources and the names that istiod would give them.

* cluster: `outbound|<port>|<subset>|<host>`
* route table: `<port>`, with the services of that port; `<host>:<port>` for a service whose protocol is sniffed
* virtual host: `<host>:<port>`, whose domains are the names that the service answers to

README.md has the format.
"""

import copy
import re

import yaml

from . import FOLDER
from .messages import BY_SHORT, CLUSTER, ENDPOINT, LISTENER, PREFIX, ROUTE, SHORT, name_of, parse

ADS = {"ads": {}, "resource_api_version": "V3"}
HTTP = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
FAULT = "envoy.extensions.filters.http.fault.v3.HTTPFault"
MANAGER = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
PREVIOUS_HOSTS = {
    "name": "envoy.retry_host_predicates.previous_hosts",
    "typed_config": {"@type": PREFIX + "envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"},
}
HTTP2 = {
    "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
        "@type": PREFIX + HTTP,
        "explicit_http_config": {"http2_protocol_options": {}},
    }
}
SERVICE = {"host", "port", "endpoints", "subsets", "routes", "aliases", "namespace", "sniffed", "http2"}
SERVICE |= {"cluster", "subset_cluster", "virtual_host", "locality_weights", "policy"}
STEP = {"services", "outbound_policy", "route_config", "resources", "remove", "corrupt", "old_domains"}
PHASE = {"name", "set", "control", "refused", "envoy_refused", "probes", "settle"}


class Loader(yaml.SafeLoader):
    """YAML 1.2 booleans: `on`, `off`, `yes` and `no` are words, which routes do match on."""


Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in pairs if tag != "tag:yaml.org,2002:bool"]
    for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("^(?:true|false)$"), list("tf"))


class Wrong(Exception):
    """A scenario file that says what cannot be."""


def known(body, keys, where):
    """Refuses a key that would have no effect."""
    if unknown := set(body) - keys:
        raise Wrong(f"{where}: {', '.join(sorted(unknown))}")


def every():
    """The names of all scenarios."""
    return sorted(path.stem for path in (FOLDER / "scenarios").glob("*.yaml"))


def read(name):
    """A scenario by its name."""
    path = FOLDER / "scenarios" / f"{name}.yaml"
    body = yaml.load(path.read_text(), Loader)
    known(body, STEP | {"backends", "probes", "phases", "anchors", "later"}, path)
    return body


def put(body, dotted, value):
    """Sets one value inside: `services.0.endpoints`; one past the end of a list appends."""
    *keys, last = dotted.split(".")
    for key in keys:
        body = body[int(key)] if isinstance(body, list) else body.setdefault(key, {})
    if isinstance(body, list):
        body[int(last) : int(last) + 1] = [value]
    else:
        body[last] = value


def phases(body):
    """What is served, and asked, one after the other; each phase changes what the one before has served."""
    state = {key: value for key, value in body.items() if key in STEP}
    for phase in [{"name": "base", "probes": body.get("probes", [])}, *body.get("phases", [])]:
        known(phase, PHASE, phase["name"])
        state = copy.deepcopy(state)
        for dotted, value in phase.get("set", {}).items():
            put(state, dotted, copy.deepcopy(value))
        yield phase, state


def cluster_name(service, subset=""):
    return f"outbound|{service['port']}|{subset}|{service['host']}"


def members(service, subset):
    """The endpoints that have all labels of the subset."""
    wanted = service.get("subsets", {}).get(subset, {}).items()
    return [each for each in service.get("endpoints", []) if wanted <= each.get("labels", {}).items()]


def merge(into, extra):
    for key, value in extra.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            merge(into[key], value)
        else:
            into[key] = copy.deepcopy(value)
    return into


class Mesh:
    """The resources of one phase. `backends` and `listeners` are ports by the name of a backend, and of a table."""

    def __init__(self, state, backends, listeners):
        self.state, self.backends, self.listeners = state, backends, listeners
        self.services = state.get("services", [])
        for service in self.services:
            known(service, SERVICE, service.get("host"))

    def tables(self):
        """The names of the route tables."""
        return list(dict.fromkeys(self.table(service) for service in self.services))

    @staticmethod
    def table(service):
        return f"{service['host']}:{service['port']}" if service.get("sniffed") else str(service["port"])

    def resources(self):
        """Octets by type and name."""
        bodies = {url: [] for url in SHORT}
        for service in self.services:
            for subset in ["", *service.get("subsets", {})]:
                cluster = self.cluster(service, subset)
                bodies[CLUSTER].append(cluster)
                if cluster["type"] == "EDS":
                    bodies[ENDPOINT].append(self.assignment(service, subset))
        bodies[CLUSTER] += [
            {"name": "BlackHoleCluster", "type": "STATIC", "connect_timeout": "1s"},
            {
                "name": "PassthroughCluster",
                "type": "ORIGINAL_DST",
                "lb_policy": "CLUSTER_PROVIDED",
                "connect_timeout": "1s",
            },
        ]
        bodies[ROUTE] = [self.route_table(name) for name in self.tables()]
        bodies[LISTENER] = [
            self.listener(each, self.listeners[each]) for each in self.tables() if each in self.listeners
        ]
        for short, extra in self.state.get("resources", {}).items():
            bodies[BY_SHORT[short]] += copy.deepcopy(extra)
        out = {url: {} for url in SHORT}
        for url, items in bodies.items():
            for item in items:
                message = parse(url, self.filled(item))
                out[url][name_of(message)] = message.SerializeToString(deterministic=True)
        for short, names in self.state.get("remove", {}).items():
            for name in names:
                del out[BY_SHORT[short]][name]
        for entry in self.state.get("corrupt", []):
            out[BY_SHORT[entry["type"]]][entry["name"]] = bytes.fromhex(entry["hex"])
        return out

    def filled(self, value):
        """With the ports of backends: `{backend: a}` as the address of an endpoint, and `<a>` within a text."""
        if isinstance(value, dict):
            return {key: self.filled(each) for key, each in value.items()}
        if isinstance(value, list):
            return [self.filled(each) for each in value]
        if isinstance(value, str):
            return re.sub(r"<(\w+)>", lambda found: str(self.backends.get(found[1], found[0])), value)
        return value

    def assignment(self, service, subset):
        groups = {}
        for endpoint in members(service, subset):
            groups.setdefault((endpoint.get("locality", ""), endpoint.get("priority", 0)), []).append(endpoint)
        out, weights = [], service.get("locality_weights", {})
        for (locality, priority), endpoints in groups.items():
            entry = {"lb_endpoints": [self.endpoint(service, each) for each in endpoints], "priority": priority}
            weight = weights.get(f"{locality} {priority}", weights.get(locality))
            entry["load_balancing_weight"] = weight or sum(each.get("weight", 1) for each in endpoints)
            if locality:
                entry["locality"] = dict(zip(("region", "zone", "sub_zone"), locality.split("/"), strict=False))
            out.append(entry)
        policy = {"policy": service["policy"]} if "policy" in service else {}
        return {"cluster_name": cluster_name(service, subset), "endpoints": out, **policy}

    def endpoint(self, service, endpoint):
        name, namespace = service["host"].split(".")[0], service.get("namespace", "default")
        revision = endpoint.get("labels", {}).get("version", "")
        workload = f"{name}-{revision};{namespace};{name};{revision};Kubernetes"
        address = {"address": endpoint.get("address", "127.0.0.1"), "port_value": self.backends[endpoint["backend"]]}
        metadata = {"istio": {"workload": workload}}
        if endpoint.get("tls"):
            metadata["envoy.transport_socket_match"] = {"tlsMode": "istio"}
        return {
            "endpoint": {"address": {"socket_address": address}},
            "health_status": endpoint.get("health", "UNKNOWN"),
            "load_balancing_weight": endpoint.get("weight", 1),
            "metadata": {"filter_metadata": metadata},
        }

    def cluster(self, service, subset):
        host, name = service["host"], cluster_name(service, subset)
        namespace = service.get("namespace", "default")
        istio = {"services": [{"host": host, "name": host.split(".")[0], "namespace": namespace}]}
        out = {
            "name": name,
            "type": "EDS",
            "eds_cluster_config": {"eds_config": ADS, "service_name": name},
            "connect_timeout": "1s",
            "lb_policy": "ROUND_ROBIN",
            "metadata": {"filter_metadata": {"istio": {**istio, **({"subset": subset} if subset else {})}}},
            # Envoy gathers changes of weights and health for a second unless told not to.
            "common_lb_config": {"update_merge_window": "0s"},
        }
        if service.get("http2"):
            out["typed_extension_protocol_options"] = copy.deepcopy(HTTP2)
        merge(out, service.get("cluster", {}))
        merge(out, service.get("subset_cluster", {}).get(subset, {}))
        if out["type"] != "EDS":
            del out["eds_cluster_config"]
            if out["type"] != "ORIGINAL_DST":
                out.setdefault("load_assignment", self.assignment(service, subset))
        return out

    def domains(self, service):
        """Since 1.15 without the port, which is passed over; before that in both forms."""
        host, *parts = service["host"].split(".")
        names = [service["host"]]
        if parts[1:2] == ["svc"]:
            short = [host] if parts[0] == self.state.get("namespace", "default") else []
            names += [*short, f"{host}.{parts[0]}", f"{host}.{parts[0]}.svc"]
        names += service.get("aliases", [])
        if not self.state.get("old_domains"):
            return names
        return [form for name in names for form in (name, f"{name}:{service['port']}")]

    def virtual_host(self, service):
        routes = service.get("routes")
        if routes is None:
            routes = [{"name": "default", "match": {"prefix": "/"}, "route": {"cluster": "@", "timeout": "0s"}}]
        out = {
            "name": f"{service['host']}:{service['port']}",
            "domains": ["*"] if service.get("sniffed") else self.domains(service),
            "routes": [self.route(each, service) for each in routes],
        }
        return merge(out, self.expanded(service.get("virtual_host", {}), service))

    def route(self, route, service):
        out = self.expanded(route, service)
        if fault := out.pop("fault", None):
            config = out.setdefault("typed_per_filter_config", {})
            config["envoy.filters.http.fault"] = {"@type": PREFIX + FAULT, **fault}
        return out

    def expanded(self, value, service):
        """`@` and `@v1` are the service's own clusters, `previous_hosts` is the predicate."""
        if isinstance(value, dict):
            return {key: self.expanded(each, service) for key, each in value.items()}
        if isinstance(value, list):
            return [self.expanded(each, service) for each in value]
        if value == "previous_hosts":
            return copy.deepcopy(PREVIOUS_HOSTS)
        if isinstance(value, str) and value.startswith("@"):
            return cluster_name(service, value[1:])
        return value

    def route_table(self, table):
        hosts = [self.virtual_host(service) for service in self.services if self.table(service) == table]
        out = {"name": table, "validate_clusters": False, "virtual_hosts": hosts}
        out["ignore_port_in_host_matching"] = not self.state.get("old_domains")
        if ":" not in table:
            hosts.append(self.catch_all())
        return merge(out, self.state.get("route_config", {}))

    def catch_all(self):
        if self.state.get("outbound_policy") == "ALLOW_ANY":
            name, action = "allow_any", {"route": {"cluster": "PassthroughCluster", "timeout": "0s"}}
        else:
            name, action = "block_all", {"direct_response": {"status": 502}}
        return {"name": name, "domains": ["*"], "routes": [{"name": name, "match": {"prefix": "/"}, **action}]}

    def listener(self, table, port):
        """Where Envoy takes the requests of a table."""

        def named(name, message):
            return {"name": name, "typed_config": {"@type": PREFIX + "envoy.extensions.filters.http." + message}}

        manager = {
            "@type": PREFIX + MANAGER,
            "stat_prefix": table,
            "rds": {"config_source": {**ADS, "initial_fetch_timeout": "0s"}, "route_config_name": table},
            "http_filters": [
                named("envoy.filters.http.fault", "fault.v3.HTTPFault"),
                named("envoy.filters.http.cors", "cors.v3.Cors"),
                named("envoy.filters.http.router", "router.v3.Router"),
            ],
            "upgrade_configs": [{"upgrade_type": "websocket"}],
        }
        filters = [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]
        address = {"address": "127.0.0.1", "port_value": port}
        return {
            "name": f"outbound_{table}",
            "address": {"socket_address": address},
            "filter_chains": [{"filters": filters}],
        }
