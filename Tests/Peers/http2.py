# SPDX-License-Identifier: Apache-2.0
"""Both ends of HTTP/2, frame by frame, so that they can also say what nobody may."""

import contextlib
import socket
import struct
from dataclasses import dataclass, field

import hpack

import harness

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS, PADDED, WITH_PRIORITY = 1, 1, 4, 8, 32
NO_ERROR, PROTOCOL, INTERNAL, FLOW, _, CLOSED, SIZE, REFUSED, CANCEL, COMPRESSION, _, CALM = range(12)


def frame(kind, flags=0, stream=0, payload=b""):
    """One frame."""
    return struct.pack(">I", len(payload))[1:] + bytes((kind, flags)) + struct.pack(">I", stream) + payload


def literal(name, value):
    """A field of a header block that no table has anything to do with."""
    name, value = (each.encode("latin-1") if isinstance(each, str) else each for each in (name, value))
    assert len(name) < 127 and len(value) < 127
    return bytes((0, len(name))) + name + bytes((len(value),)) + value


def block(*fields):
    """A header block of such fields."""
    return b"".join(literal(*each) for each in fields)


class Answer:
    """What came on one stream."""

    def __init__(self):
        self.heads, self.body, self.trailers, self.ended, self.reset = [], bytearray(), None, False, None

    @property
    def fields(self):
        return dict(self.heads[-1])

    @property
    def status(self):
        return int(self.fields[":status"])

    @property
    def is_over(self):
        return self.ended or self.reset is not None


class Peer:
    """One end of a connection: sends frames as they are, and reads one after the other."""

    def __init__(self, sock):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock, self.buffer, self.frames, self.is_closed = sock, bytearray(), [], False
        self.encoder, self.decoder = hpack.Encoder(), hpack.Decoder()

    def send(self, *frames):
        self.sock.sendall(b"".join(frames))

    def try_send(self, data):
        """Sends what the other side may no longer want."""
        with contextlib.suppress(OSError):
            self.sock.sendall(data)
            return True
        return False

    def receive(self):
        """The next frame as kind, flags, stream, payload; `None` at the end of the connection."""
        while len(self.buffer) < 9 or len(self.buffer) < 9 + int.from_bytes(self.buffer[:3], "big"):
            try:
                data = self.sock.recv(1 << 16)
            except ConnectionError:
                data = b""
            if not data:
                self.is_closed = True
                return None
            self.buffer += data
        length = int.from_bytes(self.buffer[:3], "big")
        stream = int.from_bytes(self.buffer[5:9], "big")
        self.frames.append((self.buffer[3], self.buffer[4], stream, bytes(self.buffer[9 : 9 + length])))
        del self.buffer[: 9 + length]
        return self.frames[-1]


class Client(Peer):
    """One connection; frames are sent as they are, and what comes is sorted by stream."""

    def __init__(self, address, greet=True, window=None, settings=()):
        super().__init__(socket.create_connection(address, timeout=harness.PATIENCE))
        self.answers, self.goaway, self.settings = {}, None, {}
        self.next, self.credits = 1, window is None
        if greet:
            values = dict(settings)
            if window is not None:
                values[4] = window
            payload = b"".join(struct.pack(">HI", *each) for each in values.items())
            self.send(PREFACE + frame(SETTINGS, 0, 0, payload))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def open(self, *fields, method="GET", path="/", authority="cart", end=True, scheme="http"):
        """Opens a stream with a request; gives its identifier."""
        head = [(":method", method), (":scheme", scheme), (":path", path), (":authority", authority), *fields]
        return self.open_raw(self.encoder.encode(head), end)

    def open_raw(self, header_block, end=True):
        stream, self.next = self.next, self.next + 2
        self.send(frame(HEADERS, END_HEADERS | (END_STREAM if end else 0), stream, header_block))
        return stream

    def data(self, stream, data=b"", end=False, padding=None):
        flags = END_STREAM if end else 0
        if padding is not None:
            data, flags = bytes((padding,)) + data + bytes(padding), flags | PADDED
        self.send(frame(DATA, flags, stream, data))

    def get(self, *fields, **how):
        """A whole request and its answer."""
        return self.answer(self.open(*fields, **how))

    def answer(self, stream):
        """The answer on a stream, once it is over."""
        self.until(lambda: self.of(stream).is_over)
        return self.of(stream)

    def of(self, stream):
        return self.answers.setdefault(stream, Answer())

    def until(self, fact):
        """Reads until something is so."""
        while not fact():
            assert self.read(), f"closed before it was so; GOAWAY {self.goaway}"

    def ends(self):
        """Reads to the end of the connection; gives the code of GOAWAY, if there was one."""
        while self.read():
            pass
        return self.goaway

    def read(self):
        """Reads one frame; `False` at the end of the connection."""
        received = self.receive()
        if received:
            self._take(*received)
        return received is not None

    def _take(self, kind, flags, stream, payload):
        answer = self.of(stream)
        if kind == DATA:
            answer.body += payload
            answer.ended |= bool(flags & END_STREAM)
            if self.credits and payload:
                update = struct.pack(">I", len(payload))
                self.try_send(frame(WINDOW, 0, 0, update) + frame(WINDOW, 0, stream, update))
        elif kind == HEADERS:
            assert flags & END_HEADERS, "answers of tests have small heads"
            fields = self.decoder.decode(payload)
            if answer.heads and int(dict(answer.heads[-1])[":status"]) >= 200:
                answer.trailers = fields
            else:
                answer.heads.append(fields)
            answer.ended |= bool(flags & END_STREAM)
        elif kind == RST:
            answer.reset = int.from_bytes(payload, "big")
        elif kind == GOAWAY:
            self.goaway = int.from_bytes(payload[4:8], "big")
        elif kind == SETTINGS and not flags & ACK:
            self.settings.update(struct.iter_unpack(">HI", payload))
            self.try_send(frame(SETTINGS, ACK))
        elif kind == PING and not flags & ACK:
            self.try_send(frame(PING, ACK, 0, payload))


@dataclass
class Request:
    """What came on one stream of a service."""

    fields: dict
    body: bytearray = field(default_factory=bytearray)
    trailers: list | None = None


class Connection(Peer):
    """One that the sidecar opened to a service; `requests` has what came, by stream."""

    def __init__(self, service, sock):
        super().__init__(sock)
        self.service, self.requests = service, {}

    def greet(self):
        """Reads the preface and sends the settings of the service, unless those are `None`."""
        while len(self.buffer) < len(PREFACE):
            data = self.sock.recv(len(PREFACE) - len(self.buffer))
            if not data:
                raise ConnectionError
            self.buffer += data
        assert self.buffer == PREFACE
        self.buffer.clear()
        if self.service.settings is not None:
            self.configure(self.service.settings)

    def configure(self, settings):
        """Says what holds for this side."""
        self.send(frame(SETTINGS, 0, 0, b"".join(struct.pack(">HI", *each) for each in settings.items())))

    def events(self):
        """The frames that come, each once it is part of `requests`."""
        while received := self.receive():
            kind, flags, stream, payload = received
            if kind == HEADERS:
                fields = self.decoder.decode(payload)
                if stream in self.requests:
                    self.requests[stream].trailers = fields
                else:
                    self.requests[stream] = Request(dict(fields))
                    self.service.note(self.service.heads, (self, stream))
            elif kind == DATA:
                self.requests[stream].body += payload
            elif kind == RST:
                self.service.note(self.service.resets, int.from_bytes(payload, "big"))
            elif kind == PING and not flags & ACK:
                self.send(frame(PING, ACK, 0, payload))
            yield received

    def complete(self):
        """Streams whose request is complete."""
        for kind, flags, stream, _ in self.events():
            if kind in (DATA, HEADERS) and flags & END_STREAM:
                yield stream

    def head(self, stream, *fields, end=False):
        """A head or trailers, as a frame."""
        return frame(HEADERS, END_HEADERS | (END_STREAM if end else 0), stream, self.encoder.encode(fields))

    def begin(self, stream):
        """The head of an answer to a gRPC call, as a frame."""
        return self.head(stream, (":status", "200"), ("content-type", "application/grpc"))

    def good(self, stream, data=b""):
        """The whole answer to a gRPC call, as frames."""
        middle = frame(DATA, 0, stream, data) if data else b""
        return self.begin(stream) + middle + self.head(stream, ("grpc-status", "0"), end=True)


def succeed(connection):
    """A script that answers every gRPC call."""
    for stream in connection.complete():
        connection.send(connection.good(stream))


class Service(harness.Origin):
    """A service that speaks HTTP/2 as its script says; without one all calls succeed."""

    def _clear(self):
        super()._clear()
        self.script, self.settings = succeed, {}
        self.heads, self.resets = [], []

    @property
    def endpoint(self):
        return f"grpc://127.0.0.1:{self.port}"

    def _play(self, connection):
        peer = Connection(self, connection.sock)
        peer.greet()
        self.script(peer)
