# SPDX-License-Identifier: Apache-2.0
"""A client that speaks HTTP/2 frame by frame, so that it can also say what no client may."""

import contextlib
import socket
import struct

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


class Client:
    """One connection; frames are sent as they are, and what comes is sorted by stream."""

    def __init__(self, address, greet=True, window=None, settings=()):
        self.sock = socket.create_connection(address, timeout=harness.PATIENCE)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer, self.answers, self.frames = bytearray(), {}, []
        self.goaway, self.is_closed, self.settings = None, False, {}
        self.encoder, self.decoder = hpack.Encoder(), hpack.Decoder()
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

    def send(self, data):
        self.sock.sendall(data)

    def try_send(self, data):
        """Sends what the other side may no longer want."""
        with contextlib.suppress(OSError):
            self.sock.sendall(data)
            return True
        return False

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
        while len(self.buffer) < 9 or len(self.buffer) < 9 + int.from_bytes(self.buffer[:3], "big"):
            try:
                data = self.sock.recv(1 << 16)
            except ConnectionError:
                data = b""
            if not data:
                self.is_closed = True
                return False
            self.buffer += data
        length = int.from_bytes(self.buffer[:3], "big")
        kind, flags = self.buffer[3], self.buffer[4]
        stream = int.from_bytes(self.buffer[5:9], "big")
        payload = bytes(self.buffer[9 : 9 + length])
        del self.buffer[: 9 + length]
        self.frames.append((kind, flags, stream, payload))
        self._take(kind, flags, stream, payload)
        return True

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
