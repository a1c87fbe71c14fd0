# SPDX-License-Identifier: Apache-2.0
"""Requests through a proxy, and the answers in the form in which they are kept and compared.

A probe of a scenario is a mapping of

* `name`; `host`, as in the URL, with its port; `path` (/), `method` (GET), `headers`, `body`, or its `size`
* `do`: what the backends do with the tries of the request, see `backends`
* `grpc: true`: a unary call of gRPC, in HTTP/2
* `count`: requests one after the other; `together: true` has them all on their way at the same time
* `table`: where Envoy is asked, if that is not the table of the host's port
* `hits`: requests reach backends without being answered (mirrors): how many in all, which are waited for
* `shares`: backends, or statuses, with their share in percent; then each answer is one or the other by chance, and only
  this is compared; `tolerance` in percentage points, `a|b` for one or the other
* `unordered: true`: which backend gives which answer is chance, and not compared; how often each is reached is not
* `steady: true`: one backend answers all requests, but which one is chance, and not compared
* `least`, `most`: bounds for the milliseconds of each request
* `pause`: seconds to wait before the request
* `later`: what the sidecar does not do yet; the probe fails as soon as it does
* `differs`: what the sidecar does on purpose where Envoy does something else, see `compare`
"""

import base64
import json
import re
import threading
import time
import uuid
from collections import Counter

import h2.config
import h2.connection
import h2.events

import harness
import wire

from .backends import PRIVATE, pairs
from .scenario import known

KEYS = {"name", "host", "path", "method", "headers", "body", "size", "do", "grpc", "count", "together", "table", "hits"}
KEYS |= {"shares", "tolerance", "unordered", "steady", "least", "most", "pause", "differs", "later"}
# Fields that say how a message travels, when, or who carried it; each proxy has its own.
TRAVEL = re.compile(
    "connection|keep-alive|proxy-connection|transfer-encoding|content-length|te|date|server|via|x-request-id"
    "|x-forwarded-(?!host).*|x-cse-.*|x-mesher-.*|x-b3-.*|traceparent|tracestate|b3|x-envoy-(?!overloaded|ratelimited|max-retries|retry-on|upstream-rq-timeout-ms).*"
    "|user-agent|x-real-ip|grpc-accept-encoding|accept-encoding"
)


def steps(value):
    """What the backends do, a bare status spelled out."""
    if isinstance(value, dict):
        return {name: steps(each) for name, each in value.items()}
    return [step if isinstance(step, dict) else {"status": step} for step in value]


def kept(fields):
    """What of the fields is compared: by name, values of one name joined, as RFC 9110 5.2 has them mean the same."""
    out = {}
    for name, value in fields:
        if name in PRIVATE or name.startswith(":") or TRAVEL.fullmatch(name):
            continue
        if name == "content-type":
            value = value.partition(";")[0]
        if name == "set-cookie":
            # Sixteen digits that a proxy has made up.
            value = re.sub('="[0-9a-f]{16}"', '="…"', value)
        out[name] = f"{out[name]}, {value}" if name in out else value
    return out


class Asker:
    """Asks one proxy, in one phase. `port_of` gives the port where it takes requests for a table."""

    def __init__(self, backends, port_of):
        self.backends, self.port_of = backends, port_of

    def ask(self, probe):
        """A probe's record."""
        known(probe, KEYS, probe["name"])
        time.sleep(probe.get("pause", 0))
        hits = Counter(self.backends.hits)
        count, answers = probe.get("count", 1), []
        if probe.get("together"):
            threads = [threading.Thread(target=lambda: answers.append(self.one(probe, 0))) for _ in range(count)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        else:
            answers = [self.one(probe, number) for number in range(count)]
        if wanted := probe.get("hits"):
            deadline = time.monotonic() + 2
            while (self.backends.hits - hits).total() < wanted and time.monotonic() < deadline:
                time.sleep(0.01)
        times = [answer.pop("ms") for answer in answers]
        record = {
            "answers": [],
            "hits": dict(sorted((self.backends.hits - hits).items())),
            "ms": [min(times), max(times)],
        }
        for answer in sorted(answers, key=lambda each: json.dumps(each, sort_keys=True)):
            if record["answers"] and {**record["answers"][-1], "count": 1} == {**answer, "count": 1}:
                record["answers"][-1]["count"] += 1
            else:
                record["answers"].append({"count": 1, **answer})
        if probe.get("hits"):
            record["last"] = {name: seen(self.backends.last[name]) for name in record["hits"]}
        return record

    def one(self, probe, number):
        """The answer to one request, in which `%N%` stands for its number."""
        probe = json.loads(json.dumps(probe).replace("%N%", str(number)))
        host = self.filled(probe["host"])
        table = str(probe.get("table") or host.partition(":")[2] or 80)
        start = time.monotonic()
        try:
            with harness.Client(("127.0.0.1", self.port_of(table))) as client:
                call = self.call if probe.get("grpc") else self.request
                status, fields, body = call(client, probe, host)
        except (OSError, wire.Malformed, wire.Truncated) as error:
            return {"status": 0, "error": repr(error), "ms": round(1000 * (time.monotonic() - start))}
        ms = round(1000 * (time.monotonic() - start))
        named = dict(fields)
        out = {"status": status, "backend": named.get("x-backend"), "headers": kept(fields)}
        out["error"] = named.get("x-mesher-error")
        out["body"] = self.emptied(body.decode("latin-1"))
        if "x-saw" in named:
            out["saw"] = seen(json.loads(base64.b64decode(named["x-saw"])))
        out = {key: value for key, value in out.items() if value not in (None, {}, "")}
        return {**json.loads(self.emptied(json.dumps(out))), "ms": ms}

    def filled(self, text):
        return re.sub(r"<(\w+)>", lambda found: str(self.backends.ports[found[1]]), text)

    def emptied(self, text):
        """Without the ports of this run."""
        for name, port in self.backends.ports.items():
            text = re.sub(rf"(?<=:){port}\b", f"<{name}>", text)
        return text

    @staticmethod
    def fields(probe):
        own = [("x-ask", uuid.uuid4().hex)]
        if "do" in probe:
            own.append(("x-do", json.dumps(steps(probe["do"]))))
        return [*pairs(probe.get("headers")), *own]

    def request(self, client, probe, host):
        method, body = probe.get("method", "GET"), probe.get("body", "x" * probe.get("size", 0)).encode("latin-1")
        fields = [("host", host), ("connection", "close"), *self.fields(probe)]
        if body or method in ("POST", "PUT"):
            fields.append(("content-length", str(len(body))))
        head = f"{method} http://{host}{probe.get('path', '/')} HTTP/1.1\r\n"
        head += "".join(f"{name}: {value}\r\n" for name, value in fields) + "\r\n"
        client.send(head.encode("latin-1") + body)
        answer = client.response(method)
        return answer.status, [(name, value.decode("latin-1")) for name, value in answer.fields], bytes(answer.body)

    def call(self, client, probe, host):
        peer = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="latin-1"))
        peer.initiate_connection()
        head = [(":method", "POST"), (":scheme", "http"), (":authority", host), (":path", probe.get("path", "/a.B/C"))]
        fields = [("content-type", "application/grpc"), ("te", "trailers"), *self.fields(probe)]
        peer.send_headers(1, head + fields)
        peer.send_data(1, b"\x00\x00\x00\x00\x02hi", end_stream=True)
        client.send(peer.data_to_send())
        got, body = [], b""
        while data := client.sock.recv(1 << 16):
            for event in peer.receive_data(data):
                if isinstance(event, (h2.events.ResponseReceived, h2.events.TrailersReceived)):
                    got += event.headers
                elif isinstance(event, h2.events.DataReceived):
                    body += event.data
                elif isinstance(event, h2.events.StreamReset):
                    raise OSError(f"stream reset with {event.error_code}")
                elif isinstance(event, h2.events.StreamEnded):
                    return int(dict(got)[":status"]), got, body
            client.send(peer.data_to_send())
        raise OSError("no answer")


def seen(saw):
    """What a backend has seen, as it is kept."""
    out = {"request": saw["request"], "headers": kept(saw["headers"]), "body": saw["body"]}
    return {key: value for key, value in out.items() if value}
