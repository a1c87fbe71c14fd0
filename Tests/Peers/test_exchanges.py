# SPDX-License-Identifier: Apache-2.0
"""An exchange judges by its last try, ends once, and touches nothing that has become another's.

Each test holds a kind of mistake: a stale reference, an end inside an end, the state of a try kept for the next one,
blame laid on the wrong side, a policy that cannot be reached.
"""

import threading

import pytest

import governance
import harness
import http2
import wire
from governance import World
from grpc_world import Sidecar
from harness import CLOSE, RESET, answer, eventually, replies, request, table
from observed import Metrics
from test_governance_rules import EGRESS, LOOPBACK

BREAKER = "cse.circuitBreaker.{}: {{enabled: true, requestVolumeThreshold: {}, errorThresholdPercentage: 50}}\n"

# -- a client that leaves between two tries ----------------------------------------------------------------------------

PATIENT = (
    "cse.loadbalance: {retryEnabled: true, retryOnSame: 1, retryOnNext: 0,"
    " backoff: {kind: constant, minMs: 3000, maxMs: 3000}}\n"
)


class Handed:
    """One service whose connection goes from a call that is to be tried again to somebody else's slow call."""

    def __init__(self):
        self.instance = governance.Instance("cart")
        self.instance.script, self.go_on = self.serve, threading.Event()
        chassis = "cse.transport.failure.rest: http_503\n"
        self.world = World({"cart": [self.instance]}, load_balancing=PATIENT, chassis=chassis)

    def serve(self, connection):
        for asked in connection.requests():
            if asked.target == b"/fails":
                connection.send(answer(b"", "503 Service Unavailable"))
            else:
                self.go_on.wait(10)
                connection.send(answer(b"slow"))

    def idle(self):
        return self.world.sidecar.metric('mesher_open_upstream_connections{state="idle"}')

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.go_on.set()
        self.world.__exit__()

    def check(self, leave):
        """In the back-off of one call another takes the connection; then the first one's client leaves."""
        self.instance.until(lambda: self.instance.requests, "the first call did not come")
        eventually(lambda: self.idle() == 1, "the connection was not given back")
        other = self.world.client()
        other.send(request("GET", "http://cart/slow"))
        self.instance.until(lambda: len(self.instance.requests) == 2, "the second call did not come")
        assert len(self.instance.connections) == 1, "it was to use the same connection"
        leave()
        assert self.instance.connections[0].ended is None, "a stranger's call was cancelled"
        self.go_on.set()
        assert other.response().body == b"slow"
        other.close()
        assert self.world.sidecar.alive


def test_a_client_that_resets_between_two_tries():
    with Handed() as handed:
        client = handed.world.client()
        client.send(request("GET", "http://cart/fails"))

        def leave():
            before = handed.world.sidecar.errors("client_gone")
            client.reset()
            eventually(lambda: handed.world.sidecar.errors("client_gone") > before, "nobody noticed")

        handed.check(leave)


def test_a_stream_that_is_reset_between_two_tries():
    with Handed() as handed, http2.Client(("127.0.0.1", handed.world.sidecar.port)) as client:
        stream = client.open(path="/fails")

        def leave():
            client.send(http2.frame(http2.RST, 0, stream, bytes((0, 0, 0, http2.CANCEL))))
            # Frames are read in order: when this is answered the reset has been read.
            client.send(http2.frame(http2.PING, 0, 0, b"12345678"))
            client.until(lambda: any(kind == http2.PING for kind, *_ in client.frames))

        handed.check(leave)


# -- services that die in mid-answer -----------------------------------------------------------------------------------

PART = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello"


@table("end", {"reset": RESET, "closed": CLOSE})
@pytest.mark.parametrize("protocol", ["http1", "http2"])
def test_an_answer_that_breaks_off_is_a_failure_of_the_service(end, protocol):
    """Eight in a row open a breaker of three and a half; a client that stays is not counted as one that left."""
    instance = governance.Instance("cart")
    instance.script = replies([PART, end])
    with World({"cart": [instance]}, circuit_breaker=BREAKER.format("Consumer", 3)) as world:
        metrics = Metrics(world.sidecar)

        def ask():
            if protocol == "http1":
                with pytest.raises(wire.Truncated):
                    return world.ask()
                return None
            with http2.Client(("127.0.0.1", world.sidecar.port)) as client:
                answered = client.get()
                assert answered.reset is not None or answered.status == 503
                return answered

        for _ in range(3):
            ask()
        assert world.ask().error == "circuit_open"
        assert metrics.moved("mesher_errors_total", reason="client_gone") == {"mesher_errors_total": 0}
        assert metrics.moved("mesher_errors_total", reason="upstream_reset") == {"mesher_errors_total": 3}


def test_an_answer_that_breaks_off_ejects():
    """Outliers are left out whether they die before or within an answer."""
    good, bad = governance.Instance("good"), governance.Instance("bad")
    bad.script = replies([PART, RESET])
    with World({"cart": [good, bad]}, mesher="mesher.outlier.consecutiveErrors: 3\n") as world:
        broken = 0
        for _ in range(40):
            try:
                assert world.ask().body == b"good"
            except wire.Truncated:
                broken += 1
        assert broken == 3


# -- what a try leaves for the next ------------------------------------------------------------------------------------


def grpc_script(*statuses):
    """A service that gives these statuses to the calls, in this order; then 0."""
    left = list(statuses)

    def script(connection):
        for stream in connection.complete():
            status = left.pop(0) if left else "0"
            if status == "0":
                connection.send(connection.good(stream, b"\0\0\0\0\2ok"))
            else:
                head = (":status", "200"), ("content-type", "application/grpc"), ("grpc-status", status)
                connection.send(connection.head(stream, *head, end=True))

    return script


@table("statuses, calls", {"one_failed": (["14"], 2), "two_failed": (["14", "14"], 3), "none": ([], 1)})
def test_the_status_of_a_try_judges_that_try(statuses, calls):
    """A call that succeeded the second time is made no third time: what it does was done."""
    service = http2.Service()
    service.script = grpc_script(*statuses)
    files = {
        "load_balancing.yaml": "cse.loadbalance: {retryEnabled: true, retryOnSame: 3, retryOnNext: 0}\n",
        "chassis.yaml": "cse.transport.failure.rest: http_503\n",
        "mesher.yaml": "mesher.retry.nonIdempotent: true\n",
    }
    with Sidecar({"cart": [service.endpoint]}, files) as sidecar, http2.Client(("127.0.0.1", sidecar.grpc)) as client:
        head = [("content-type", "application/grpc"), ("te", "trailers")]
        stream = client.open(*head, method="POST", path="/a/b", end=False)
        client.data(stream, bytes(5), end=True)
        answered = client.answer(stream)
        assert len(service.heads) == calls and service.resets == []
        assert answered.reset is None and dict(answered.trailers)["grpc-status"] == "0"
        assert bytes(answered.body) == b"\0\0\0\0\2ok"
        assert Metrics(sidecar).value("mesher_grpc_responses_total", grpc_status="0") == 1
    service.refuse()


# -- whose mistake it was ----------------------------------------------------------------------------------------------

CHUNKED = request("POST", "~/x", "Transfer-Encoding: chunked", body=b"5\r\nhello\r\n")
LONG = request("POST", "~/x", "Content-Length: 100", body=b"hello")


@pytest.fixture
def guarded():
    """Both directions with a breaker that opens soon."""
    application = governance.Instance("cart")
    chassis = (
        "cse.handler.chain: {Provider: {incoming: 'bizkeeper-provider,transport'},"
        " Consumer: {outgoing: 'router,bizkeeper-consumer,loadbalance,transport'}}\n"
    )
    breaker = BREAKER.format("Provider", 3) + BREAKER.format("Consumer", 3)
    with World({"cart": [application]}, application.port, chassis=chassis, circuit_breaker=breaker) as world:
        yield world, application


@table(
    "begin, mistake",
    {
        "chunk_line": (CHUNKED, lambda client: (client.send(b"xyz\r\n"), client.rest())),
        "trailers": (CHUNKED, lambda client: (client.send(b"0\r\nno field\r\n\r\n"), client.rest())),
        "cut_short": (LONG, lambda client: (client.half_close(), client.rest())),
        "gone": (LONG, lambda client: client.reset()),
    },
)
@pytest.mark.parametrize("address", ["127.0.0.2", "127.0.0.1"], ids=["incoming", "outgoing"])
def test_a_client_does_not_open_the_circuit_of_others(guarded, address, begin, mistake):
    """What one client does wrong in a call that is on its way is nothing that a service did, however often."""
    world, application = guarded
    prefix = b"" if address == "127.0.0.2" else b"http://cart"
    for _ in range(5):
        seen = len(application.heads)
        with world.client(address) as client:
            client.send(begin.replace(b"~", prefix))
            application.until(lambda seen=seen: len(application.heads) > seen, "not forwarded, the circuit is open")
            mistake(client)
    # The last of them has been noticed, whether or not it was told so.
    eventually(lambda: all(each.ended for each in application.connections), "a call is still on its way")
    with world.client(address) as client:
        client.send(request("GET", "~/x").replace(b"~", prefix))
        response = client.response()
        assert response.status == 200, f"{response.start} {response.body}"


# -- circuits of single instances --------------------------------------------------------------------------------------

INSTANCES = (
    "cse.handler.chain.Consumer.outgoing: router,loadbalance,bizkeeper-consumer,transport\n"
    "cse.transport.failure.rest: http_500\n"
)


@pytest.mark.parametrize("strategy", ["RoundRobin", "Random", "LeastRequest"])
def test_an_open_circuit_of_one_instance_costs_no_call(strategy):
    """The other one takes them: nobody is told of a circuit that is only one instance's."""
    good, bad = governance.Instance("good"), governance.Instance("bad")
    bad.status = "500 Internal Server Error"
    with World(
        {"cart": [good, bad]},
        chassis=INSTANCES,
        circuit_breaker="cse.circuitBreaker.scope: instance\n" + BREAKER.format("Consumer", 3),
        load_balancing=f"cse.loadbalance.strategy.name: {strategy}\n",
        mesher="mesher.outlier.consecutiveErrors: 0\n",
    ) as world:
        met = world.many(40)
        assert 503 not in met, met
        asked = len(bad.requests)
        assert asked >= 3 and world.many(40) == {"good": 40}
        # Nothing was sent, so that it is the same for what may not be sent twice.
        posted = [world.ask(method="POST", body=b"hello") for _ in range(20)]
        assert {each.body for each in posted} == {b"good"} and len(bad.requests) == asked


# -- what comes before the answer to CONNECT ---------------------------------------------------------------------------


@table("ends", {"and_the_end": True, "data_only": False})
def test_data_before_the_200_of_a_tunnel(ends):
    """Over HTTP/2 a client may send at once: the octets, and that there are no more, arrive after the connect."""
    origin = harness.Origin()

    def script(connection):
        if ends:
            data, _ = connection.rest()
        else:
            data = connection.read(10000)
        connection.perform([b"%d " % len(data) + data[:5], CLOSE])

    origin.script = script
    with World({}, egress=EGRESS % (origin.port, "HTTPS"), mesher=LOOPBACK) as world:
        with http2.Client(("127.0.0.1", world.sidecar.port)) as client:
            client.until(lambda: client.settings)
            head = [(":method", "CONNECT"), (":authority", f"localhost:{origin.port}")]
            stream = client.next
            client.next += 2
            block = client.encoder.encode(head)
            client.send(
                http2.frame(http2.HEADERS, http2.END_HEADERS, stream, block),
                http2.frame(http2.DATA, 0, stream, b"hello" + bytes(5000)),
                http2.frame(http2.DATA, http2.END_STREAM if ends else 0, stream, bytes(4995)),
            )
            answered = client.of(stream)
            client.until(lambda: answered.body or answered.is_over)
            assert answered.status == 200 and bytes(answered.body) == b"10000 hello"
    origin.refuse()
