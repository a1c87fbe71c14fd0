# SPDX-License-Identifier: Apache-2.0
"""A strict reader of HTTP/1.1 messages, written apart from the sidecar.

It is the second opinion of the suite: whatever the sidecar writes to an origin or to a client has to pass here. It is
never lenient, so that an octet which another parser could read in another way is an error and not a message.
"""

import re
from dataclasses import dataclass, field

TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
REQUEST_LINE = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+) ([!-~\x80-\xff]+) HTTP/1\.1")
STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([1-9][0-9]{2}) ([\t !-~\x80-\xff]*)")
CHUNK_LINE = re.compile(rb"[0-9A-Fa-f]{1,15}")
KNOWN_CODINGS = {b"gzip", b"x-gzip", b"deflate", b"compress", b"x-compress"}
LIMIT = 1 << 20


class Malformed(Exception):
    """The sidecar wrote something that is not exactly one reading of HTTP/1.1."""


class Truncated(Exception):
    """The connection ended inside a message; `message` is what had arrived."""

    def __init__(self, message=None):
        super().__init__(f"connection ended inside a message: {message!r}")
        self.message = message


@dataclass
class Message:
    """One request or response, as read; field names in lower case, values as octets."""

    start: bytes
    fields: list = field(default_factory=list)
    body: bytes = b""
    chunks: list = field(default_factory=list)
    trailers: list = field(default_factory=list)

    def all(self, name):
        """Every value of a field, in order."""
        return [value for key, value in self.fields if key == name]

    def get(self, name):
        """The value of a field that must not be repeated; `None` without it."""
        values = self.all(name)
        if len(values) > 1:
            raise Malformed(f"{name} repeated: {values}")
        return values[0] if values else None

    def names(self):
        """The set of field names."""
        return {name for name, _ in self.fields}

    @property
    def chunked(self):
        return self.get("transfer-encoding") is not None


class Request(Message):
    """A request that the origin received."""

    method = property(lambda self: self.start.split(b" ")[0].decode())
    target = property(lambda self: self.start.split(b" ")[1])
    host = property(lambda self: self.get("host"))

    def same(self):
        """What two requests have to agree in to be the same message; chunk borders carry no meaning."""
        return (self.start, self.fields, bytes(self.body), self.trailers)


class Response(Message):
    """A response that a client received."""

    status = property(lambda self: int(self.start[9:12]))
    error = property(lambda self: (self.get("x-mesher-error") or b"").decode())

    def same(self):
        """What two responses have to agree in to be the same message; a `Date` tells only when it was sent."""
        fields = [(name, value) for name, value in self.fields if name != "date"]
        return (self.start, fields, bytes(self.body), self.trailers)


class Reader:
    """Pulls lines and blocks out of a stream; `receive` gives the next octets and `b""` at the end."""

    def __init__(self, receive):
        self._receive = receive
        self.buffer = bytearray()

    def fill(self):
        """One more read; false at the end of the stream."""
        data = self._receive()
        self.buffer += data
        return bool(data)

    def line(self):
        """A line without its CRLF. A bare CR or LF is an error: other parsers would end the line elsewhere."""
        seen = 0
        while (end := self.buffer.find(b"\n", seen)) < 0:
            seen = len(self.buffer)
            if seen > LIMIT:
                raise Malformed("endless line")
            if not self.fill():
                raise Truncated(bytes(self.buffer))
        line = bytes(self.buffer[: end + 1])
        del self.buffer[: end + 1]
        if not line.endswith(b"\r\n") or b"\r" in line[:-2]:
            raise Malformed(f"bare CR or LF: {line!r}")
        return line[:-2]

    def exactly(self, count, into):
        """Appends the next `count` octets to `into`, also when the stream ends early."""
        while count:
            if not self.buffer and not self.fill():
                raise Truncated()
            piece = self.buffer[:count]
            del self.buffer[: len(piece)]
            into += piece
            count -= len(piece)

    def at_end(self):
        """Whether nothing more comes."""
        return not self.buffer and not self.fill()


def read_fields(reader):
    """Field lines up to the empty line. NUL, CR and LF are refused everywhere, names are tokens."""
    fields = []
    while line := reader.line():
        name, colon, value = line.partition(b":")
        if not colon or not TOKEN.fullmatch(name):
            raise Malformed(f"field name: {line!r}")
        if b"\x00" in value:
            raise Malformed(f"NUL in a value: {line!r}")
        fields.append((name.decode().lower(), value.strip(b" \t")))
    return fields


def check_framing(message):
    """Refuses a message whose length two readers could see differently."""
    codings, lengths = message.all("transfer-encoding"), message.all("content-length")
    if codings and lengths:
        raise Malformed(f"both framings: {message.fields}")
    if len(codings) > 1 or len(lengths) > 1:
        raise Malformed(f"framing repeated: {message.fields}")
    if lengths and not re.fullmatch(rb"[0-9]{1,18}", lengths[0]):
        raise Malformed(f"Content-Length: {lengths}")
    if codings:
        *others, last = [item.strip().lower() for item in codings[0].split(b",")]
        if last != b"chunked" or not set(others) <= KNOWN_CODINGS:
            raise Malformed(f"Transfer-Encoding: {codings}")


def read_chunk(reader, into):
    """One chunk; gives its size. Extensions are hop-by-hop and must be gone."""
    line = reader.line()
    if not CHUNK_LINE.fullmatch(line):
        raise Malformed(f"chunk line: {line!r}")
    size = int(line, 16)
    if size:
        reader.exactly(size, into)
        if reader.line():
            raise Malformed("chunk data longer than its size")
    return size


def read_body(reader, message, until_close=False):
    """The body by the message's own framing. `Truncated` carries the message as far as it came."""
    body = bytearray()
    try:
        if message.chunked:
            while size := read_chunk(reader, body):
                message.chunks.append(size)
            message.trailers = read_fields(reader)
        elif (length := message.get("content-length")) is not None:
            reader.exactly(int(length), body)
        elif until_close:
            while not reader.at_end():
                body += reader.buffer
                reader.buffer.clear()
    except Truncated:
        message.body = bytes(body)
        raise Truncated(message) from None
    message.body = bytes(body)
    return message


def read_request_head(reader):
    """The head of a request; `None` when the stream ends before one begins."""
    if reader.at_end():
        return None
    line = reader.line()
    if not REQUEST_LINE.fullmatch(line):
        raise Malformed(f"request line: {line!r}")
    request = Request(line, read_fields(reader))
    check_framing(request)
    if request.host is None:
        raise Malformed("no Host")
    return request


def read_request(reader):
    """A whole request; `None` when the stream ends before one begins."""
    request = read_request_head(reader)
    return request and read_body(reader, request)


def read_response_head(reader):
    """The head of a response, interim or final."""
    line = reader.line()
    if not STATUS_LINE.fullmatch(line):
        raise Malformed(f"status line: {line!r}")
    response = Response(line, read_fields(reader))
    check_framing(response)
    return response


def read_response(reader, method="GET"):
    """A whole response, interim or final. The method says whether a body follows."""
    response = read_response_head(reader)
    bodiless = response.status < 200 or response.status in (204, 304) or method == "HEAD"
    if response.status < 200 or response.status == 204:
        if {"content-length", "transfer-encoding"} & response.names():
            raise Malformed(f"{response.status} with a body length: {response.fields}")
    return response if bodiless else read_body(reader, response, until_close=True)
