# SPDX-License-Identifier: Apache-2.0
"""The aggregated discovery service of xDS v3, in its delta and its state-of-the-world form, and of v2, within the test's
process.

It writes down every request, what it meant, and every rule that the client has broken.
"""

import json
import queue
import threading
import time
from concurrent import futures

import grpc
from envoy.service.discovery.v3 import discovery_pb2
from google.protobuf import any_pb2, json_format

from . import version2
from .messages import CLUSTER, ENDPOINT, LISTENER, MESSAGES, ROUTE, SHORT, WILDCARD

SERVICE = "envoy.service.discovery.v3.AggregatedDiscoveryService"
# How long nothing may happen before a push counts as done with: a client may ask for more after it has accepted.
QUIET = 0.12


class Log:
    """What happened, in order; each line goes to `file` too."""

    def __init__(self, file=None):
        self.events, self.file, self.changed = [], file, threading.Condition()

    def write(self, event, **fields):
        fields = {key: value for key, value in fields.items() if value not in (None, "", [], {})}
        with self.changed:
            self.events.append({"at": time.time(), "event": event, **fields})
            self.changed.notify_all()
        if self.file:
            self.file.write(json.dumps(self.events[-1]) + "\n")
            self.file.flush()

    @property
    def violations(self):
        return [each for each in self.events if each["event"] == "violation"]

    def refusals(self, since=0):
        """The messages of refused responses by type, from an index on."""
        out = {}
        for each in self.events[since:]:
            if each.get("verdict") == "nack":
                out.setdefault(each["type"], []).append(each.get("error", ""))
        return out


class Snapshot:
    """Resources with a version for each, and one for each type."""

    def __init__(self, resources, before=None):
        self.items, self.versions, self.counts = resources, {}, {}
        for url, items in resources.items():
            old = before.items[url] if before else {}
            count = before.counts[url] if before else 0
            self.counts[url] = count + 1 if items != old or not before else count
            self.versions[url] = {
                name: before.versions[url][name] if old.get(name) == octets else f"{self.counts[url]}"
                for name, octets in items.items()
            }


class Subscription:
    """What one stream has asked for, and was sent, of one type."""

    def __init__(self):
        self.names, self.is_wildcard, self.is_asked = set(), False, False
        # Names that were sent, with the version.
        self.sent = {}
        # Which state of the type was sent; `None` when something has to be sent in any case.
        self.count = None
        # State of the world: the last response, what became of it, and the version that was accepted last.
        self.nonce, self.version, self.accepted, self.is_answered = "", "", "", True
        # Delta: responses under way, each with what the client held before.
        self.waiting = {}

    @property
    def is_idle(self):
        return self.is_answered and not self.waiting


class Stream:
    """One stream. All but `read` and `tell` runs on the thread of its call."""

    service = SERVICE

    def __init__(self, plane, number, context):
        self.plane, self.number, self.context = plane, number, context
        self.queue, self.work, self.subscriptions = queue.Queue(), 0, {}
        self.node_id, self.nonces = None, 0
        self.lock = threading.Lock()

    def tell(self, kind, value=None):
        with self.lock:
            self.work += 1
        self.queue.put((kind, value))

    @property
    def is_idle(self):
        return self.work == 0 and all(each.is_idle for each in list(self.subscriptions.values()))

    def read(self, requests):
        try:
            for request in requests:
                self.tell("request", request)
        except grpc.RpcError:
            pass
        self.tell("closed")

    def run(self, requests):
        """The responses, one after the other."""
        self.record("open", agent=dict(self.context.invocation_metadata()).get("user-agent"))
        threading.Thread(target=self.read, args=(requests,), daemon=True).start()
        try:
            while True:
                kind, value = self.queue.get()
                if kind == "closed":
                    return
                if kind == "drop":
                    self.context.abort(grpc.StatusCode.UNAVAILABLE, "dropped on purpose")
                yield from self.pushed() if kind == "push" else self.asked(value)
                with self.lock:
                    self.work -= 1
        finally:
            self.record("close")
            self.plane.left(self)

    def record(self, event, **fields):
        self.plane.log.write(event, stream=self.number, **fields)

    def violation(self, what, **fields):
        self.record("violation", what=what, **fields)

    def asked(self, request):
        node = self.note_node(request)
        url = self.kind(request.type_url)
        if url not in SHORT:
            if not url:
                self.violation("request without type_url")
            self.record("request", type_url=url, node=node)
            return []
        subscription = self.subscriptions.setdefault(url, Subscription())
        return self.answer(url, subscription, request, node)

    def pushed(self):
        out = []
        clusters = self.subscriptions.get(CLUSTER)
        before = dict(clusters.sent) if clusters else {}
        for url in SHORT:
            if (subscription := self.subscriptions.get(url)) and subscription.is_asked:
                if url == ENDPOINT and clusters:
                    self.send_again(subscription, {name for name in before if before[name] != clusters.sent.get(name)})
                out += self.update(url, subscription)
        return out

    @staticmethod
    def send_again(endpoints, clusters):
        """A cluster that has changed waits for its endpoints, so Istio sends them although they are the same."""
        for name in clusters & set(endpoints.sent):
            del endpoints.sent[name]
            endpoints.count = None

    @staticmethod
    def kind(type_url):
        """What v3 calls a type."""
        return type_url

    def note_node(self, request):
        if not request.HasField("node") or not request.node.id:
            if self.node_id is None:
                self.node_id = ""
                self.violation("first request of the stream without node")
            return None
        node = json_format.MessageToDict(request.node, preserving_proto_field_name=True)
        if self.node_id is None:
            self.node_id = node["id"]
            self.plane.admit(self.context, node)
            parts = node["id"].split("~")
            if (
                len(parts) != 4
                or parts[0] != "sidecar"
                or not parts[3].startswith(f"{parts[2].rpartition('.')[2]}.svc.")
            ):
                self.violation("node id is not sidecar~ip~name.namespace~namespace.svc.domain", node_id=node["id"])
        elif node["id"] != self.node_id:
            self.violation("node id changed on a stream", node_id=node["id"])
        return node

    def next_nonce(self, url):
        self.nonces += 1
        return f"{SHORT[url].lower()}-{self.number}-{self.nonces}"


class Delta(Stream):
    """A stream on which changes are told."""

    request, response, method = (
        discovery_pb2.DeltaDiscoveryRequest,
        discovery_pb2.DeltaDiscoveryResponse,
        "DeltaAggregatedResources",
    )

    def answer(self, url, subscription, request, node):
        kind, nonce = SHORT[url], request.response_nonce
        subscribe, unsubscribe = set(request.resource_names_subscribe), set(request.resource_names_unsubscribe)
        initial, is_refused = dict(request.initial_resource_versions), request.HasField("error_detail")
        is_first = not subscription.is_asked
        verdict = "init" if is_first else "resubscribe"
        if is_first and nonce:
            self.violation("first request of a type with a nonce", type=kind, nonce=nonce)
        elif nonce and nonce not in subscription.waiting:
            verdict = "stale"
            self.violation("nonce of no response that waits for an answer", type=kind, nonce=nonce)
        elif nonce:
            verdict = "nack" if is_refused else "ack"
            if subscribe or unsubscribe:
                self.violation("subscription changed inside an acknowledgement, which Istio may drop", type=kind)
        elif not is_first:
            if is_refused:
                self.violation("error_detail without a nonce", type=kind)
            if not subscribe and not unsubscribe:
                self.violation("request that neither acknowledges nor changes anything", type=kind)
        if initial and not is_first:
            self.violation("initial_resource_versions after the first request of a type", type=kind)
        if is_refused and not request.error_detail.message:
            self.violation("refusal without a message", type=kind)
        names = {"subscribe": sorted(subscribe), "unsubscribe": sorted(unsubscribe), "initial": initial}
        error = request.error_detail.message if is_refused else None
        self.record("request", type=kind, verdict=verdict, nonce=nonce, node=node, error=error, **names)
        if verdict in ("ack", "nack"):
            before = subscription.waiting.pop(nonce)
            if verdict == "nack":
                # Nothing of a refused response counts as held: the next change sends it again.
                for name, version in before.items():
                    subscription.sent.pop(name, None)
                    if version is not None:
                        subscription.sent[name] = version
        subscription.is_asked = True
        if is_first:
            subscription.sent = dict(initial)
            subscription.is_wildcard = url in WILDCARD and (not subscribe or "*" in subscribe)
            if not subscription.is_wildcard:
                subscription.names |= set(initial)
        subscription.is_wildcard = (subscription.is_wildcard or "*" in subscribe) and "*" not in unsubscribe
        subscribe.discard("*")
        subscription.names = subscription.names - unsubscribe | subscribe
        if not subscription.is_wildcard:
            for name in unsubscribe:
                subscription.sent.pop(name, None)
        # A name that is asked for is answered, also where the client has it.
        for name in subscribe:
            subscription.sent.pop(name, None)
        if verdict == "nack" and not subscribe:
            return []
        return self.update(url, subscription, subscribe, is_first)

    def update(self, url, subscription, asked=(), is_first=False):
        snapshot = self.plane.snapshot
        items, versions = snapshot.items[url], snapshot.versions[url]
        is_current = subscription.count == snapshot.counts[url]
        if is_current and not asked and not is_first:
            return []
        subscription.count = snapshot.counts[url]
        wanted = set(items) if subscription.is_wildcard else subscription.names & set(items)
        if is_current:
            # What was refused waits for the next change.
            wanted &= asked
        changed = {name for name in wanted if subscription.sent.get(name) != versions[name]}
        gone = {name for name in {*subscription.sent, *asked} if name not in items}
        if not changed and not gone and not (is_first and (wanted or subscription.is_wildcard)):
            return []
        held = {name: subscription.sent.get(name) for name in changed | gone}
        for name in gone:
            subscription.sent.pop(name, None)
        subscription.sent.update({name: versions[name] for name in changed})
        nonce = self.next_nonce(url)
        subscription.waiting[nonce] = held
        self.record("response", type=SHORT[url], nonce=nonce, names=sorted(changed), removed=sorted(gone))
        response = discovery_pb2.DeltaDiscoveryResponse(
            system_version_info=str(snapshot.counts[url]), nonce=nonce, type_url=url, removed_resources=sorted(gone)
        )
        for name in sorted(changed):
            resource = any_pb2.Any(type_url=url, value=items[name])
            response.resources.add(name=name, version=versions[name], resource=resource)
        return [response]


class StateOfTheWorld(Stream):
    """A stream on which a response holds all of a type, or of EDS and RDS what has changed of it, as Istio has it."""

    request, response, method = (
        discovery_pb2.DiscoveryRequest,
        discovery_pb2.DiscoveryResponse,
        "StreamAggregatedResources",
    )

    def answer(self, url, subscription, request, node):
        kind, nonce, names = SHORT[url], request.response_nonce, set(request.resource_names)
        is_refused, is_first = request.HasField("error_detail"), not subscription.is_asked
        if len(names) != len(request.resource_names):
            self.violation("resource_names repeats a name", type=kind)
        if is_first:
            verdict = "init"
            if nonce:
                self.violation("first request of a type with a nonce", type=kind, nonce=nonce)
        elif not nonce:
            verdict = "resubscribe"
            if subscription.version and subscription.is_answered:
                self.violation("request without nonce after a response", type=kind)
        elif nonce != subscription.nonce:
            verdict = "stale"
        elif is_refused:
            verdict = "nack"
        else:
            verdict = "resubscribe" if subscription.is_answered else "ack"
        version = request.version_info
        if verdict == "ack" and version != subscription.version:
            self.violation(
                "acknowledgement of another version", type=kind, expected=subscription.version, version=version
            )
        if verdict == "nack" and version != subscription.accepted:
            self.violation(
                "refusal whose version is not the last accepted",
                type=kind,
                expected=subscription.accepted,
                version=version,
            )
        if is_refused and not request.error_detail.message:
            self.violation("refusal without a message", type=kind)
        error = request.error_detail.message if is_refused else None
        fields = {"version": version, "nonce": nonce, "names": sorted(names), "node": node, "error": error}
        self.record("request", type=kind, verdict=verdict, **fields)
        if verdict == "stale":
            return []
        if verdict == "ack":
            subscription.accepted = version
        if verdict in ("ack", "nack"):
            subscription.is_answered = True
        before = (subscription.names, subscription.is_wildcard)
        subscription.is_asked = True
        if url in WILDCARD and not names:
            # An empty list asks for everything only as long as no name was ever given.
            subscription.is_wildcard = is_first or subscription.is_wildcard
        else:
            subscription.is_wildcard = "*" in names and url in WILDCARD
        subscription.names = names - {"*"}
        if verdict == "nack" or not (subscription.names or subscription.is_wildcard):
            return []
        if not is_first and before == (subscription.names, subscription.is_wildcard):
            return self.update(url, subscription)
        if is_first or subscription.names - before[0] or subscription.is_wildcard:
            return self.send(url, subscription, self.visible(url, subscription))
        return []

    def visible(self, url, subscription):
        """What the stream asks for. A name that nobody knows is an empty resource, as Istio has it."""
        items = self.plane.snapshot.items[url]
        if subscription.is_wildcard:
            return dict(items)
        out = {name: items[name] for name in subscription.names if name in items}
        if url in (ENDPOINT, ROUTE):
            key = "cluster_name" if url == ENDPOINT else "name"
            for name in subscription.names - set(out):
                out[name] = MESSAGES[url](**{key: name}).SerializeToString()
        return out

    def update(self, url, subscription):
        snapshot = self.plane.snapshot
        if subscription.count == snapshot.counts[url]:
            return []
        visible, versions = self.visible(url, subscription), snapshot.versions[url]
        changed = {name for name in visible if subscription.sent.get(name) != versions.get(name, "")}
        subscription.count = snapshot.counts[url]
        if not changed and set(visible) >= set(subscription.sent):
            return []
        if url not in (CLUSTER, LISTENER):
            visible = {name: visible[name] for name in changed}
            if not visible:
                return []
        return self.send(url, subscription, visible)

    def send(self, url, subscription, items):
        snapshot = self.plane.snapshot
        if url in WILDCARD:
            subscription.sent = {}
        subscription.sent.update({name: snapshot.versions[url].get(name, "") for name in items})
        subscription.count = snapshot.counts[url]
        subscription.version = f"v{snapshot.counts[url]}"
        subscription.nonce, subscription.is_answered = self.next_nonce(url), False
        nonce, version = subscription.nonce, subscription.version
        self.record("response", type=SHORT[url], version=version, nonce=nonce, names=sorted(items))
        return [self.made(version, nonce, url, items)]

    def made(self, version, nonce, url, items):
        """The response with these resources."""
        resources = [any_pb2.Any(type_url=url, value=octets) for _, octets in sorted(items.items())]
        return self.response(version_info=version, nonce=nonce, type_url=url, resources=resources)


class Version2(StateOfTheWorld):
    """The same in xDS v2. Istio 1.0 needs to know in each request who asks."""

    request, response, service = version2.REQUEST, version2.RESPONSE, version2.SERVICE

    @staticmethod
    def kind(type_url):
        return version2.NEW.get(type_url, "")

    def note_node(self, request):
        if self.node_id is not None and not request.node.id:
            self.violation("request without node")
        return super().note_node(request)

    def made(self, version, nonce, url, items):
        resources = [
            any_pb2.Any(type_url=version2.OLD[url], value=version2.octets(url, octets))
            for _, octets in sorted(items.items())
        ]
        return self.response(version_info=version, nonce=nonce, type_url=version2.OLD[url], resources=resources)


FORMS = {"delta": Delta, "sotw": StateOfTheWorld, "v2": Version2}


class ControlPlane:
    """Serves what `serve` was given last. Of the forms only those named are there, as with an older Istio."""

    def __init__(self, resources, forms=("delta", "sotw"), address="127.0.0.1:0", log=None):
        self.log, self.snapshot = log or Log(), Snapshot(resources)
        self.streams, self.lock, self.count = set(), threading.Lock(), 0
        self.forms, self.address = forms, address
        self.listen()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.leave()

    def listen(self):
        """Begins to serve, again at the same address."""
        self.server = grpc.server(futures.ThreadPoolExecutor(8), options=[("grpc.so_reuseport", 0)])
        for form in map(FORMS.get, self.forms):
            handlers = {form.method: self._handler(form)}
            self.server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(form.service, handlers)])
        self.port = self.open(self.server)
        self.address = f"{self.address.rpartition(':')[0]}:{self.port}"
        self.server.start()

    def open(self, server):
        """Has the server take calls; returns its port."""
        return server.add_insecure_port(self.address)

    @property
    def url(self):
        """Where it is, as a sidecar is told."""
        return f"grpc://127.0.0.1:{self.port}"

    def admit(self, context, node):
        """Ends the call of a stream whose first request comes from somebody else than it says."""

    def leave(self):
        """Ends all streams, and takes no more."""
        self.server.stop(0).wait()

    def _handler(self, form):
        def call(requests, context):
            with self.lock:
                self.count += 1
                stream = form(self, self.count, context)
                self.streams.add(stream)
            return stream.run(requests)

        return grpc.stream_stream_rpc_method_handler(
            call, form.request.FromString, lambda message: message.SerializeToString()
        )

    def left(self, stream):
        with self.lock:
            self.streams.discard(stream)

    def _tell(self, kind):
        with self.lock:
            for stream in self.streams:
                stream.tell(kind)

    def serve(self, resources):
        """Pushes what is other than before."""
        self.snapshot = Snapshot(resources, self.snapshot)
        self._tell("push")

    def drop(self):
        """Ends all streams."""
        self._tell("drop")

    def unanswered(self):
        """The types of responses that wait for an answer."""
        with self.lock:
            streams = list(self.streams)
        return [
            SHORT[url] for stream in streams for url, each in list(stream.subscriptions.items()) if not each.is_idle
        ]

    def settle(self, seconds=10):
        """Returns when everything is answered and nothing more is said; `False` when time is up before."""
        deadline = time.monotonic() + seconds
        with self.log.changed:
            while time.monotonic() < deadline:
                count = len(self.log.events)
                self.log.changed.wait(QUIET)
                with self.lock:
                    is_idle = bool(self.streams) and all(stream.is_idle for stream in self.streams)
                if is_idle and len(self.log.events) == count:
                    return True
        return False
