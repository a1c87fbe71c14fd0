# SPDX-License-Identifier: Apache-2.0
"""An API server for two kinds of objects: TLS, tokens, RBAC, resourceVersion, JSON Patch and watches as the real one has them.

It answers as kube-apiserver 1.36 does: 401, 403 with its words, 404, 409 for a name that is taken and for a version that is
old, 422 for what its validation or a failed `test` of a patch refuses.
"""

import base64
import contextlib
import copy
import http.server
import json
import re
import socket
import ssl
import threading
import urllib.parse
import uuid
from dataclasses import dataclass

import jsonpatch

SECRETS, WEBHOOKS = "secrets", "mutatingwebhookconfigurations"
PATHS = {
    SECRETS: re.compile(r"/api/v1/namespaces/(?P<namespace>[^/]+)/secrets(?:/(?P<name>[^/]+))?"),
    WEBHOOKS: re.compile(r"/apis/admissionregistration\.k8s\.io/v1/mutatingwebhookconfigurations(?:/(?P<name>[^/]+))?"),
}
KINDS = {SECRETS: ("v1", "Secret"), WEBHOOKS: ("admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration")}
GROUPS = {SECRETS: "", WEBHOOKS: "admissionregistration.k8s.io"}
ACCOUNT = "system:serviceaccount:servicecomb:mesher-sidecar-injector-service-account"
NAMESPACE, BASE = "servicecomb", "sidecar-injector-webhook-mesher"
SECRET, CONFIGURATION = (SECRETS, f"{BASE}-certs"), (WEBHOOKS, f"{BASE}-cfg")

# What the injector may do, as rules of roles: those in a Role come first, then those in a ClusterRole.
ROLE = [
    {"apiGroups": [""], "resources": [SECRETS], "resourceNames": [SECRET[1]], "verbs": ["get", "update"]},
    {"apiGroups": [""], "resources": [SECRETS], "verbs": ["create"]},
]
CLUSTER_ROLE = [
    {
        "apiGroups": [GROUPS[WEBHOOKS]],
        "resources": [WEBHOOKS],
        "resourceNames": [CONFIGURATION[1]],
        "verbs": ["get", "patch", "watch"],
    }
]


class Refused(Exception):
    def __init__(self, code, reason, message):
        super().__init__(message)
        self.code, self.reason = code, reason


@dataclass
class Asked:
    """One request, as RBAC sees it."""

    verb: str
    resource: str
    name: str | None
    status: int = 0


def webhook(**client):
    """A configuration as it is installed: one webhook of others, and the injector's."""

    def one(name, **client):
        service = {"namespace": NAMESPACE, "name": f"{BASE}-svc", "path": "/webhookmutation", "port": 443}
        return {
            "name": name,
            "clientConfig": {"service": service} | client,
            "rules": [{"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}],
            "admissionReviewVersions": ["v1", "v1beta1"],
            "sideEffects": "None",
            "failurePolicy": "Fail",
        }

    return {
        "apiVersion": KINDS[WEBHOOKS][0],
        "kind": KINDS[WEBHOOKS][1],
        "metadata": {"name": CONFIGURATION[1], "annotations": {"a/b": "c"}},
        "webhooks": [one("first.example.org"), one("sidecar-injector.mesher.io", **client)],
    }


class Cluster:
    """The API server, at a port of its own until `stop` and after `start`."""

    def __init__(self, folder, authority):
        self.folder, self.authority = folder, authority
        self.rules = copy.deepcopy(ROLE + CLUSTER_ROLE)
        self.tokens = {"token-1"}
        self.namespaces = {NAMESPACE}
        self.objects, self.events, self.asked = {}, [], []
        self.version = 100
        # As vendors write it.
        self.minor = "36+"
        # Called with each request before it is served; what it raises is the answer.
        self.before = lambda asked: None
        self.lock = threading.Condition()
        pair = authority.issue("api-server", ips=["127.0.0.1"])
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.tls.load_cert_chain(pair.certificate, pair.key)
        self.port, self.server, self.sockets = 0, None, set()
        self.token_file = folder / "token"
        self.token_file.write_text("token-1\n")
        self.start()

    # MARK: For tests

    def start(self):
        cluster = self

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads, allow_reuse_address = True, True

            def get_request(self):
                sock, address = super().get_request()
                cluster.sockets.add(sock)
                return sock, address

            def finish_request(self, request, address):
                # In the thread of the connection: a slow handshake holds up nobody.
                with contextlib.suppress(OSError):
                    request.settimeout(30)
                    tls = cluster.tls.wrap_socket(request, server_side=True)
                    cluster.sockets.add(tls)
                    super().finish_request(tls, address)

            def handle_error(self, request, address):
                pass

        self.server = Server(("127.0.0.1", self.port), type("Bound", (Handler,), {"cluster": self}))
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self):
        """Nobody listens any more, and all connections are reset."""
        server, self.server = self.server, None
        if server:
            server.shutdown()
            server.server_close()
        with self.lock:
            self.lock.notify_all()
        for sock in list(self.sockets):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        self.sockets.clear()

    def kubeconfig(self, **user):
        """The path of a file that leads here."""
        path = self.folder / f"config-{uuid.uuid4()}"
        cluster = {"server": f"https://127.0.0.1:{self.port}", "certificate-authority": str(self.authority.certificate)}
        document = {
            "current-context": "here",
            "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u"}}],
            "clusters": [{"name": "c", "cluster": cluster}],
            "users": [{"name": "u", "user": user or {"tokenFile": str(self.token_file)}}],
        }
        path.write_text(json.dumps(document))
        return path

    def get(self, key):
        with self.lock:
            return copy.deepcopy(self.objects.get(key))

    def put(self, key, document):
        """Makes an object, or changes it, as somebody who may do everything."""
        with self.lock:
            if key in self.objects:
                return self._store("MODIFIED", key, self.objects[key] | copy.deepcopy(document))
            return self._create(key, copy.deepcopy(document))

    def delete(self, key):
        with self.lock:
            self._store("DELETED", key, self.objects.pop(key))
            del self.objects[key]

    def bundle(self):
        """`caBundle` of the injector's webhook, decoded."""
        (found,) = (w for w in self.get(CONFIGURATION)["webhooks"] if w["name"] == "sidecar-injector.mesher.io")
        return base64.b64decode(found["clientConfig"].get("caBundle") or "").decode()

    def set_bundle(self, text):
        document = self.get(CONFIGURATION)
        (found,) = (w for w in document["webhooks"] if w["name"] == "sidecar-injector.mesher.io")
        found["clientConfig"]["caBundle"] = text
        self.put(CONFIGURATION, document)

    def deny(self, verb, resource):
        """Takes a right away."""
        for rule in self.rules:
            if resource in rule["resources"] and verb in rule["verbs"]:
                rule["verbs"].remove(verb)

    def count(self, verb, resource, status=None):
        with self.lock:
            return sum(
                (each.verb, each.resource) == (verb, resource) and status in (None, each.status) for each in self.asked
            )

    # MARK: What is stored

    def _store(self, event, key, document):
        self.version += 1
        document["metadata"]["resourceVersion"] = str(self.version)
        self.objects[key] = document
        self.events.append((self.version, key, {"type": event, "object": copy.deepcopy(document)}))
        self.lock.notify_all()
        return document

    def _create(self, key, document):
        if key in self.objects:
            raise Refused(409, "AlreadyExists", f'{key[0]} "{key[1]}" already exists')
        self._validate(key, document)
        document["metadata"] |= {"uid": str(uuid.uuid4()), "creationTimestamp": "2026-01-01T00:00:00Z"}
        return self._store("ADDED", key, document)

    def _update(self, key, document):
        old = self.objects.get(key)
        if old is None:
            raise Refused(404, "NotFound", f'{key[0]} "{key[1]}" not found')
        version = document["metadata"].get("resourceVersion")
        if version and version != old["metadata"]["resourceVersion"]:
            message = "the object has been modified; please apply your changes to the latest version and try again"
            raise Refused(409, "Conflict", f'Operation cannot be fulfilled on {key[0]} "{key[1]}": {message}')
        self._validate(key, document)
        if document.get("type") != old.get("type"):
            raise Refused(422, "Invalid", f'Secret "{key[1]}" is invalid: type: Invalid value: field is immutable')
        document["metadata"] |= {name: old["metadata"][name] for name in ("uid", "creationTimestamp")}
        if document == old:
            return old
        return self._store("MODIFIED", key, document)

    def _patch(self, key, patch):
        old = self.objects.get(key)
        if old is None:
            raise Refused(404, "NotFound", f'{key[0]} "{key[1]}" not found')
        try:
            document = jsonpatch.apply_patch(copy.deepcopy(old), patch)
        except (jsonpatch.JsonPatchException, jsonpatch.JsonPointerException) as error:
            message = "the server rejected our request due to an error in our request"
            raise Refused(422, "Invalid", message) from error
        return self._update(key, document)

    @staticmethod
    def _validate(key, document):
        version, kind = KINDS[key[0]]
        if (document.get("apiVersion"), document.get("kind")) != (version, kind):
            raise Refused(400, "BadRequest", "the API version or kind in the data does not match the expected one")
        if document["metadata"].get("name") != key[1]:
            raise Refused(400, "BadRequest", "the name of the object does not match the name on the URL")
        with_data = document.get("data", {}) if key[0] == SECRETS else {}
        bundles = [each["clientConfig"].get("caBundle") for each in document.get("webhooks", [])]
        for text in [*with_data.values(), *filter(None, bundles)]:
            try:
                base64.b64decode(text, validate=True)
            except ValueError as error:
                raise Refused(400, "BadRequest", "illegal base64 data at input byte 0") from error
        if key[0] == SECRETS:
            document.setdefault("type", "Opaque")

    def _allow(self, asked, namespace):
        for rule in self.rules:
            names = rule.get("resourceNames")
            if asked.resource in rule["resources"] and asked.verb in rule["verbs"]:
                # A name that is only in the body, as that of a new object, is not known here.
                if not names or (asked.verb != "create" and asked.name in names):
                    return
        where = f' in the namespace "{namespace}"' if namespace else " at the cluster scope"
        what = f'resource "{asked.resource}" in API group "{GROUPS[asked.resource]}"{where}'
        name = f' "{asked.name}"' if asked.name and asked.verb != "create" else ""
        group = f".{GROUPS[asked.resource]}" if GROUPS[asked.resource] else ""
        message = f'{asked.resource}{group}{name} is forbidden: User "{ACCOUNT}" cannot {asked.verb} {what}'
        raise Refused(403, "Forbidden", message)


class Handler(http.server.BaseHTTPRequestHandler):
    cluster: Cluster
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, code, document, fields=()):
        body = json.dumps(document).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        for name, value in fields:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def serve(self):
        cluster = self.cluster
        url = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(url.query))
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        asked = None
        if url.path == "/version":
            return self.answer(200, {"major": "1", "minor": f"{cluster.minor}", "gitVersion": f"v1.{cluster.minor}.2"})
        try:
            asked, namespace = self.asked(url, query, body)
            self.authenticate()
            cluster.before(asked)
            with cluster.lock:
                cluster._allow(asked, namespace)
                if namespace and namespace not in cluster.namespaces:
                    raise Refused(404, "NotFound", f'namespaces "{namespace}" not found')
                key = (asked.resource, asked.name)
                if asked.verb != "watch":
                    code, document = self.serve_one(asked, key, body)
                    document = copy.deepcopy(document)
            if asked.verb == "watch":
                asked.status = 200
                return self.watch(key, int(query.get("resourceVersion") or 0), float(query["timeoutSeconds"]))
            asked.status = code
            self.answer(code, document)
        except Refused as refused:
            if asked:
                asked.status = refused.code
            fields = [("Retry-After", "1")] if refused.code == 429 else []
            status = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
            status |= {"message": str(refused), "reason": refused.reason, "code": refused.code}
            self.answer(refused.code, status, fields)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = serve

    def asked(self, url, query, body):
        for resource, pattern in PATHS.items():
            if found := pattern.fullmatch(url.path):
                parts = found.groupdict()
                name, namespace = parts["name"], parts.get("namespace")
                verb = {"GET": "get", "POST": "create", "PUT": "update", "PATCH": "patch"}[self.command]
                if not name and self.command == "GET":
                    verb = "watch" if query.get("watch") in ("true", "1") else "list"
                    # As the real one has it: a selector of one name is a name.
                    name = query.get("fieldSelector", "").removeprefix("metadata.name=") or None
                if verb == "create":
                    name = json.loads(body)["metadata"]["name"]
                asked = Asked(verb, resource, name)
                with self.cluster.lock:
                    self.cluster.asked.append(asked)
                return asked, namespace
        raise Refused(404, "NotFound", "the server could not find the requested resource")

    def authenticate(self):
        kind, _, token = (self.headers.get("Authorization") or "").partition(" ")
        if kind != "Bearer" or token not in self.cluster.tokens:
            raise Refused(401, "Unauthorized", "Unauthorized")

    def serve_one(self, asked, key, body):
        cluster = self.cluster
        match asked.verb:
            case "get":
                if key not in cluster.objects:
                    raise Refused(404, "NotFound", f'{key[0]} "{key[1]}" not found')
                return 200, cluster.objects[key]
            case "create":
                return 201, cluster._create(key, json.loads(body))
            case "update":
                return 200, cluster._update(key, json.loads(body))
            case "patch":
                if self.headers["Content-Type"] != "application/json-patch+json":
                    raise Refused(415, "UnsupportedMediaType", "the body of the request was in an unknown format")
                return 200, cluster._patch(key, json.loads(body))
        raise Refused(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")

    def watch(self, key, version, seconds):
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.flush()
        server, cluster, shown = self.cluster.server, self.cluster, version
        with contextlib.suppress(OSError):
            while cluster.server is server:
                with cluster.lock:
                    events = [(v, e) for v, k, e in cluster.events if k == key and v > shown]
                    if not events and not cluster.lock.wait(min(seconds, 1)):
                        # Whoever has gone is noticed by nothing else.
                        self.connection.settimeout(30)
                for number, event in events:
                    line = json.dumps(event).encode() + b"\n"
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
                    shown = number
        self.close_connection = True
