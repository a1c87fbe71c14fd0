# SPDX-License-Identifier: Apache-2.0
"""A collector of traces: takes posts, reads them strictly, and gives spans in one form whatever format they came in."""

import base64
import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span as OTLPSpan

import harness

KINDS = {"CLIENT": "client", "SERVER": "server", "cs": "client", "sr": "server"}
ENDS = {"cs": "cr", "sr": "ss"}


@dataclass
class Span:
    """A span as all formats have it; times in microseconds."""

    trace: str
    id: str
    parent: str | None
    kind: str
    name: str
    service: str
    start: int
    duration: int
    tags: dict = field(default_factory=dict)
    shared: bool = False
    is_error: bool = False
    raw: object = None


def zipkin2(each):
    """Zipkin's second format: https://zipkin.io/zipkin-api/zipkin2-api.yaml."""
    assert set(each) <= {
        *("traceId", "id", "parentId", "name", "kind", "timestamp", "duration", "shared", "debug"),
        *("localEndpoint", "remoteEndpoint", "tags", "annotations"),
    }, each
    assert all(isinstance(value, str) for value in each["tags"].values()), each
    assert set(each.get("remoteEndpoint", {})) <= {"serviceName", "ipv4", "ipv6", "port"}, each
    return Span(
        each["traceId"], each["id"], each.get("parentId"), KINDS[each["kind"]], each["name"],
        each["localEndpoint"]["serviceName"], each["timestamp"], each["duration"], each["tags"],
        each.get("shared", False), "error" in each["tags"], each,
    )  # fmt: skip


def zipkin1(each):
    """Zipkin's first format: times are annotations, tags binary annotations."""
    assert set(each) <= {
        *("traceId", "id", "parentId", "name", "timestamp", "duration", "debug", "annotations", "binaryAnnotations"),
    }, each
    first, second = each["annotations"]
    assert second["value"] == ENDS[first["value"]]
    tags = {tag["key"]: tag["value"] for tag in each["binaryAnnotations"]}
    assert all(isinstance(value, str) for value in tags.values()), each
    assert first["endpoint"]["serviceName"] == second["endpoint"]["serviceName"]
    # Who shares a span leaves its times to the one who has begun it.
    assert ("timestamp" in each) == ("duration" in each)
    return Span(
        each["traceId"], each["id"], each.get("parentId"), KINDS[first["value"]], each["name"],
        first["endpoint"]["serviceName"], first["timestamp"], second["timestamp"] - first["timestamp"], tags,
        "timestamp" not in each, "error" in tags, each,
    )  # fmt: skip


def otlp(body):
    """OTLP in JSON, whose ids are hexadecimal where JSON of protobuf has base64; unknown members are refused."""

    def rewritten(value):
        if isinstance(value, list):
            return [rewritten(each) for each in value]
        if not isinstance(value, dict):
            return value
        ids = ("traceId", "spanId", "parentSpanId")
        return {
            key: base64.b64encode(bytes.fromhex(each)).decode() if key in ids else rewritten(each)
            for key, each in value.items()
        }

    request = json_format.ParseDict(rewritten(json.loads(body)), ExportTraceServiceRequest())
    for resource in request.resource_spans:
        own = attributes(resource.resource.attributes)
        for scope in resource.scope_spans:
            for each in scope.spans:
                assert (len(each.trace_id), len(each.span_id), len(each.parent_span_id)) in ((16, 8, 0), (16, 8, 8))
                kind = {OTLPSpan.SPAN_KIND_CLIENT: "client", OTLPSpan.SPAN_KIND_SERVER: "server"}[each.kind]
                start, end = each.start_time_unix_nano // 1000, each.end_time_unix_nano // 1000
                yield Span(
                    each.trace_id.hex(), each.span_id.hex(), each.parent_span_id.hex() or None, kind, each.name,
                    own["service.name"], start, end - start, attributes(each.attributes), False,
                    each.status.code == 2, (each, own),
                )  # fmt: skip


def attributes(pairs):
    found = {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in pairs}
    assert len(found) == len(pairs), f"an attribute twice: {pairs}"
    return found


class Server(ThreadingHTTPServer):
    """Says nothing of clients that leave."""

    daemon_threads = True

    def handle_error(self, *_):
        """Not to the terminal."""


class Collector:
    """Takes spans over HTTP; `status` is its answer, and `away` closes the port for a while."""

    paths = {"/api/v1/spans": zipkin1, "/api/v2/spans": zipkin2, "/v1/traces": None}

    def __init__(self):
        self.status, self.spans, self.posts, self.mistakes = 202, [], [], []
        self._condition = threading.Condition()
        self.port = harness.free_port("127.0.0.1")
        self.back()

    def back(self):
        """Listens."""
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer._take(self.path, dict(self.headers), body)
                self.send_response(outer.status)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_):
                """Not to the terminal."""

        self._server = Server(("127.0.0.1", self.port), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def away(self):
        """Listens no more."""
        self._server.shutdown()
        self._server.server_close()

    def _take(self, path, fields, body):
        with self._condition:
            try:
                assert fields["Content-Type"] == "application/json"
                read = self.paths[path]
                found = list(otlp(body)) if read is None else [read(each) for each in json.loads(body)]
                self.posts.append((path, len(found)))
                if self.status < 300:
                    self.spans += found
            except Exception as mistake:  # reported by whoever waits
                self.mistakes.append(f"{mistake!r} in {body[:2000]}")
            self._condition.notify_all()

    def expect(self, count, seconds=harness.PATIENCE):
        """Exactly so many spans, and no mistake in any; they are then forgotten."""
        with self._condition:
            self._condition.wait_for(lambda: self.mistakes or len(self.spans) >= count, seconds)
            assert not self.mistakes, self.mistakes[0]
            assert len(self.spans) == count, f"{len(self.spans)} spans, not {count}: {self.spans}"
            found, self.spans = self.spans, []
        return found

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.away()
