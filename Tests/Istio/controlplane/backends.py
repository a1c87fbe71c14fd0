# SPDX-License-Identifier: Apache-2.0
"""Services that answer with their name and with what they have received.

A request says in `x-do` what happens to it: a list of steps in JSON, of which each try takes the next, and all further
tries the last. Tries of one request have the same `x-ask`, whichever backend they reach. Instead of a list, a mapping
has one for each backend that is not to answer 200. A step is a mapping of

* `status`, `headers` and `body` of the answer, instead of 200 and what was received;
* `wait`: seconds before the answer;
* `end`: `reset`, `close` or `nonsense`, which is no HTTP, instead of an answer;
* `tell: true` has the answer say by which version of HTTP the request came, and as which of its connection;
* `grpc`: a status of gRPC; `late: true` has it in the trailers, after a message, instead of in the only head.
"""

import base64
import contextlib
import json
import socket
import threading
import time
from collections import Counter

import h2.config
import h2.connection
import h2.events

import harness
import wire

PREFACE = b"PRI"
# What the backend and the probe say to each other, which is no part of the scenario.
PRIVATE = ("x-do", "x-ask", "x-backend", "x-saw")


class Backends:
    """Echo servers by name; `dead`, where nobody listens, and `deaf`, where a connection never comes about."""

    def __init__(self, names):
        self.lock, self.tries, self.hits = threading.Lock(), Counter(), Counter()
        self.last, self.sockets, self.ports = {}, [], {}
        for name in [*names, "dead", "deaf"]:
            sock = socket.socket()
            self.sockets.append(sock)
            sock.bind(("127.0.0.1", 0))
            self.ports[name] = sock.getsockname()[1]
            if name == "deaf":
                self._fill(sock)
            elif name != "dead":
                sock.listen(512)
                threading.Thread(target=self._accept, args=(name, sock), daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for sock in self.sockets:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()

    def _fill(self, listener):
        """Lets as many connections wait as the system allows, so that it drops what asks for a further one."""
        listener.listen(0)
        for _ in range(2):
            sock = socket.socket()
            self.sockets.append(sock)
            sock.setblocking(False)
            sock.connect_ex(listener.getsockname())

    def _accept(self, name, listener):
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.settimeout(60)
            threading.Thread(target=self._serve, args=(name, sock), daemon=True).start()

    def _serve(self, name, sock):
        with contextlib.suppress(OSError, wire.Malformed, wire.Truncated, h2.exceptions.ProtocolError):
            if sock.recv(3, socket.MSG_PEEK) == PREFACE:
                self._http2(name, sock)
            else:
                self._http1(name, harness.Peer(sock))
        sock.close()

    def step(self, name, method, path, fields, body):
        """What this try comes to, and what the backend has seen."""
        text = body.decode("latin-1") if len(body) < 1000 else f"{len(body)} octets"
        saw = {"request": f"{method} {path}", "headers": fields, "body": text}
        named = dict(fields)
        steps = json.loads(named.get("x-do", "[{}]"))
        if isinstance(steps, dict):
            steps = steps.get(name, [{}])
        with self.lock:
            number = self.tries[named.get("x-ask")]
            self.tries[named.get("x-ask")] += 1
            self.hits[name] += 1
            self.last[name] = saw
        step = steps[min(number, len(steps) - 1)]
        if wait := step.get("wait"):
            time.sleep(wait)
        return step, saw

    def _http1(self, name, peer):
        count = 0
        while request := wire.read_request(peer.reader):
            count += 1
            fields = [(key, value.decode("latin-1")) for key, value in request.fields]
            step, saw = self.step(name, request.method, request.target.decode("latin-1"), fields, bytes(request.body))
            if step.get("end") == "reset":
                peer.reset()
                return
            if step.get("end") == "close":
                return
            if step.get("end") == "nonsense":
                peer.send(b"nonsense\r\n\r\n")
                return
            payload = step.get("body", "").encode("latin-1")
            told = [("x-backend", name), ("x-saw", encoded(saw)), ("content-length", str(len(payload)))]
            told += tale(step, "HTTP/1.1", count)
            lines = [f"{key}: {value}\r\n" for key, value in [*pairs(step.get("headers")), *told]]
            head = f"HTTP/1.1 {step.get('status', 200)} Echo\r\n{''.join(lines)}\r\n"
            peer.send(head.encode("latin-1") + (b"" if request.method == "HEAD" else payload))

    def _http2(self, name, sock):
        peer = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="latin-1"))
        peer.initiate_connection()
        sock.sendall(peer.data_to_send())
        heads, bodies = {}, {}
        while data := sock.recv(1 << 16):
            for event in peer.receive_data(data):
                if isinstance(event, h2.events.RequestReceived):
                    heads[event.stream_id], bodies[event.stream_id] = event.headers, b""
                elif isinstance(event, h2.events.DataReceived):
                    bodies[event.stream_id] += event.data
                    peer.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                elif isinstance(event, h2.events.StreamEnded):
                    number = event.stream_id
                    self._answer(peer, name, number, heads.pop(number), bodies.pop(number))
            sock.sendall(peer.data_to_send())

    def _answer(self, peer, name, number, head, body):
        named = dict(head)
        fields = [(key, value) for key, value in head if not key.startswith(":")]
        fields.insert(0, ("host", named[":authority"]))
        step, saw = self.step(name, named[":method"], named[":path"], fields, body)
        if step.get("end"):
            peer.reset_stream(number, 2)
            return
        told = [("x-backend", name), ("x-saw", encoded(saw)), *tale(step, "HTTP/2", (number + 1) // 2)]
        told = [(":status", str(step.get("status", 200))), *pairs(step.get("headers")), *told]
        if "grpc" not in step:
            peer.send_headers(number, told)
            peer.send_data(number, step.get("body", "").encode("latin-1"), end_stream=True)
            return
        told.append(("content-type", "application/grpc"))
        status = [("grpc-status", str(step["grpc"])), ("grpc-message", "from the backend")]
        if not step.get("late"):
            peer.send_headers(number, told + status, end_stream=True)
            return
        peer.send_headers(number, told)
        peer.send_data(number, b"\x00\x00\x00\x00\x02ok")
        peer.send_headers(number, status, end_stream=True)


def tale(step, version, number):
    """What a request was to the backend, where the step wants it told."""
    return [("x-version", version), ("x-number", str(number))] if step.get("tell") else []


def pairs(headers):
    """The fields of a mapping whose values may be lists."""
    for name, value in (headers or {}).items():
        for each in value if isinstance(value, list) else [value]:
            yield name, str(each)


def encoded(value):
    return base64.b64encode(json.dumps(value).encode()).decode()
