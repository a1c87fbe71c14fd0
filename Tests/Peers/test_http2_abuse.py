# SPDX-License-Identifier: Apache-2.0
"""What HTTP/2 makes cheap for a client and dear for a server: the connection ends, and nobody else notices.

Each attack runs against the incoming listener while another client keeps asking; promises L6 to L8.
"""

import struct
import threading
import time
from pathlib import Path

import hpack
import pytest

import harness
import http2
from http2 import block, frame

GET = [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "cart")]
# An attack that is not stopped would go on as long as this.
ROUNDS = 20000


class Bystander:
    """A client that asks without pause; `slowest` is what it had to wait for an answer."""

    def __init__(self, address):
        self.address, self.count, self.slowest, self.failure = address, 0, 0.0, None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self):
        try:
            with http2.Client(self.address) as client:
                while not self._stop.is_set():
                    began = time.monotonic()
                    assert client.get().status == 200
                    self.slowest = max(self.slowest, time.monotonic() - began)
                    self.count += 1
        except Exception as error:  # reported by the test
            self.failure = error

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()


def cpu(pid):
    """CPU time of a process so far, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


@pytest.fixture(scope="module")
def mesh():
    origin = harness.Origin()
    sidecar = harness.Sidecar(origin.port, {}, timeouts={"stream": "2s", "requestHead": "1s"})
    sidecar.start()
    yield sidecar, origin
    sidecar.stop()
    origin.refuse()


def rapid_reset(client):
    for _ in range(ROUNDS):
        head = client.encoder.encode(GET)
        stream, client.next = client.next, client.next + 2
        yield frame(http2.HEADERS, 5, stream, head) + frame(http2.RST, 0, stream, struct.pack(">I", 8))


def made_to_reset(client):
    """MadeYouReset: the server resets, since the client breaks a rule on each stream."""
    for _ in range(ROUNDS):
        head = client.encoder.encode([(":method", "POST"), *GET[1:]])
        stream, client.next = client.next, client.next + 2
        yield frame(http2.HEADERS, 4, stream, head) + frame(http2.WINDOW, 0, stream, bytes(4))


def continuations(client):
    yield frame(http2.HEADERS, 0, 1, b"")
    for _ in range(ROUNDS):
        yield frame(http2.CONTINUATION, 0, 1, b"")


def pings(_):
    for _ in range(ROUNDS):
        yield frame(http2.PING, 0, 0, bytes(8))


def many_settings(_):
    for _ in range(ROUNDS):
        yield frame(http2.SETTINGS, 0, 0, struct.pack(">HI", 3, 100))


def empty_frames(client):
    client.open(method="POST", end=False)
    for _ in range(ROUNDS):
        yield frame(http2.DATA, 0, 1, b"")


def priorities(_):
    for number in range(ROUNDS):
        yield frame(http2.PRIORITY, 0, 1001, b"\0\0\0\1" + bytes((number % 256,)))


def window_updates(_):
    for _ in range(ROUNDS):
        yield frame(http2.WINDOW, 0, 0, b"\0\0\0\1")


def unknown_frames(_):
    for _ in range(ROUNDS):
        yield frame(0x77, 0, 0, b"")


ATTACKS = [
    rapid_reset, made_to_reset, continuations, pings, many_settings, empty_frames, priorities, window_updates,
    unknown_frames,
]  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_floods_end_the_connection(mesh, attack):
    sidecar, origin = mesh
    origin.fresh()
    before = sidecar.metric('mesher_http2_connection_errors_total{code="enhanceYourCalm"}')
    memory = sidecar.resident()
    with Bystander(("127.0.0.2", sidecar.port)) as other, http2.Client(("127.0.0.2", sidecar.port)) as client:
        harness.eventually(lambda: other.count > 10, "the other client is not served")
        spent = cpu(sidecar.process.pid)
        # What is still sent after GOAWAY is thrown away.
        for piece in attack(client):
            if not client.try_send(piece):
                break
        assert client.ends() in (http2.CALM, None)
        # Two seconds of one core would be more than half of what the attack took to send.
        assert cpu(sidecar.process.pid) - spent < 2
        count = other.count
        harness.eventually(lambda: other.count > count + 10, "the other client is not served any more")
    assert other.failure is None and other.slowest < 1, other.slowest
    assert sidecar.metric('mesher_http2_connection_errors_total{code="enhanceYourCalm"}') == before + 1
    assert sidecar.resident() - memory < 16 << 20
    # L7 lets a connection take back 500 in its life; how many of these are there in time is a matter of luck.
    assert len(origin.heads) < other.count + 510, "few of the requests that were taken back have reached the service"


def test_a_hpack_bomb_ends_the_connection(mesh):
    """A field of 4 KB in the table, and one octet for each of thousands of uses of it."""
    sidecar, _ = mesh
    memory, spent = sidecar.resident(), cpu(sidecar.process.pid)
    with http2.Client(("127.0.0.2", sidecar.port)) as client:
        value = b"v" * 4000
        first = block(*GET) + b"\x40\x01x" + b"\x7f" + bytes((0x80 | (4000 - 127) & 127, (4000 - 127) >> 7)) + value
        assert client.answer(client.open_raw(first)).status == 200
        # Somewhat too much is answered; what nobody means is not.
        assert client.answer(client.open_raw(block(*GET) + b"\xbe" * 20)).status == 431
        client.open_raw(block(*GET) + b"\xbe" * 16000)
        assert client.ends() == http2.CALM
    assert sidecar.resident() - memory < 8 << 20
    assert cpu(sidecar.process.pid) - spent < 2


def test_thousands_of_settings_in_one_frame_end_the_connection(mesh):
    """Each could move the windows of a hundred streams. There are six; some more may be made up."""
    with http2.Client(("127.0.0.2", mesh[0].port)) as client:
        some = b"".join(struct.pack(">HI", 0x100 + number, 1) for number in range(20))
        client.send(frame(http2.SETTINGS, 0, 0, some))
        assert client.get().status == 200
        client.send(frame(http2.SETTINGS, 0, 0, struct.pack(">HI", 4, 65535) * 2700))
        assert client.ends() == http2.CALM


def test_closed_windows_do_not_hold_answers_for_ever(mesh):
    sidecar, origin = mesh
    origin.fresh()

    def script(connection):
        for _ in connection.requests():
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 1000000)

    origin.script = script
    memory = sidecar.resident()
    with http2.Client(("127.0.0.2", sidecar.port), window=0) as client:
        streams = [client.open() for _ in range(90)]
        # Given up one by one after timeouts.stream.
        for each in streams:
            assert client.answer(each).reset == http2.CANCEL
        assert sidecar.resident() - memory < 24 << 20
    origin.script = harness.echo


def test_half_a_head_is_not_waited_for(mesh):
    with http2.Client(("127.0.0.2", mesh[0].port)) as client:
        client.get()  # the acknowledgement of its settings would come amid the head
        client.send(frame(http2.HEADERS, 0, 3, block(*GET)))
        assert client.ends() == http2.CALM


def test_a_preface_that_does_not_come(mesh):
    with harness.Client(("127.0.0.2", mesh[0].port)) as client:
        client.send(http2.PREFACE[:20])
        assert client.rest()[0] == b""


def test_headers_of_many_streams_stay_small(mesh):
    """The table of the peer never grows beyond what was agreed, whatever is put into it."""
    sidecar, _ = mesh
    memory = sidecar.resident()
    encoder = hpack.Encoder()
    with http2.Client(("127.0.0.2", sidecar.port)) as client:
        for number in range(500):
            fields = [*GET, *[(f"x-{number}-{n}", "v" * 50) for n in range(40)]]
            assert client.answer(client.open_raw(encoder.encode(fields))).status == 200
    assert sidecar.resident() - memory < 8 << 20
