# SPDX-License-Identifier: Apache-2.0
"""Istio's first discovery API, as Pilot up to 0.8 serves it: questions by HTTP, answers in JSON, the same scenarios.

Ports have names there, which are all `http`; a subset is known by its labels.
"""

import http.server
import json
import threading
import time
from urllib.parse import unquote

from .scenario import members

CONDITIONS = {"exact": ("{}", False), "prefix": ("{}.*", True)}


def key(service, subset=""):
    """`host|http|version=v1`."""
    labels = service.get("subsets", {}).get(subset, {})
    selector = ",".join(f"{name}={labels[name]}" for name in sorted(labels))
    return "|".join([service["host"], "http", *([selector] if selector else [])])


def milliseconds(duration):
    return int(1000 * float(duration.rstrip("s")))


class RestPlane:
    """Serves a `scenario.Mesh`. `faults` are the filters of its listeners; with `status` every answer is a failure.

    `delay`: seconds that registrations take.
    """

    def __init__(self, mesh, faults=(), address=("127.0.0.1", 0)):
        self.mesh, self.faults, self.status, self.asked, self.delay = mesh, list(faults), 200, [], 0
        plane = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                plane.asked.append(self.path)
                found = plane.answer([unquote(part) for part in self.path.split("/")[1:]])
                status = plane.status if plane.status != 200 else 200 if found is not None else 404
                body = json.dumps(found).encode() if status == 200 else b"no"
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(address, Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_port

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    @property
    def services(self):
        return self.mesh.services

    def answer(self, parts):
        """What a path is answered with; `None` for none of the API."""
        match parts:
            case ["v1", "registration"]:
                return [{"service-key": key(each), "hosts": self.hosts(key(each))} for each in self.services]
            case ["v1", "registration", name]:
                time.sleep(self.delay)
                return {"hosts": self.hosts(name)}
            case ["v1", kind, *names, _, node] if node.count("~") == 3:
                match kind, names:
                    case "clusters", []:
                        return {"clusters": [self.cluster(s, each) for s in self.services for each in self.subsets(s)]}
                    case "routes", [table]:
                        return {"validate_clusters": False, "virtual_hosts": self.virtual_hosts(table)}
                    case "listeners", []:
                        return {"listeners": [self.listener(port) for port in self.mesh.tables()]}
        return None

    @staticmethod
    def subsets(service):
        return ["", *service.get("subsets", {})]

    def hosts(self, name):
        for service in self.services:
            for subset in self.subsets(service):
                if key(service, subset) == name:
                    return [self.endpoint(member) for member in members(service, subset)]
        return []

    def endpoint(self, member):
        host = {"ip_address": "127.0.0.1", "port": self.mesh.backends[member["backend"]]}
        if "locality" in member:
            region, zone, *_ = member["locality"].split("/")
            host["tags"] = {"az": f"{zone}/{region}"}
        return host

    @staticmethod
    def cluster(service, subset):
        name = key(service, subset)
        return {
            "name": f"out.{name}",
            "service_name": name,
            "type": "sds",
            "lb_type": "round_robin",
            "connect_timeout_ms": 1000,
        }

    def virtual_hosts(self, table):
        found = [service for service in self.services if str(service["port"]) == table]
        self.mesh.state["old_domains"] = True
        return [
            {
                "name": key(service),
                "domains": self.mesh.domains(service),
                "routes": [self.route(service, each) for each in service["routes"]],
            }
            for service in found
        ]

    @staticmethod
    def route(service, route):
        action, out = route["route"], {"prefix": route["match"]["prefix"]}
        for header in route["match"].get("headers", []):
            [(kind, text)] = header["string_match"].items()
            form, is_regex = CONDITIONS[kind]
            out.setdefault("headers", []).append(
                {"name": header["name"], "value": form.format(text), "regex": is_regex}
            )

        def named(cluster):
            return f"out.{key(service, cluster[1:])}"

        if "cluster" in action:
            out["cluster"] = named(action["cluster"])
        else:
            targets = action["weighted_clusters"]["clusters"]
            out["weighted_clusters"] = {
                "clusters": [{"name": named(each["name"]), "weight": each["weight"]} for each in targets]
            }
        if "timeout" in action:
            out["timeout_ms"] = milliseconds(action["timeout"])
        return out

    def listener(self, port):
        filters = [{"type": "decoder", "name": "fault", "config": each} for each in self.faults]
        filters.append({"type": "decoder", "name": "router", "config": {}})
        config = {"rds": {"cluster": "rds", "route_config_name": port}, "filters": filters}
        return {
            "name": f"http_0.0.0.0_{port}",
            "address": f"tcp://0.0.0.0:{port}",
            "filters": [{"type": "read", "name": "http_connection_manager", "config": config}],
        }
