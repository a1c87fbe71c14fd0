# SPDX-License-Identifier: Apache-2.0
"""gRPC through sidecars, called by grpcio as its users call: the interoperability cases, and what a mesh adds."""

import contextlib
import json
import queue
import threading
from collections import Counter
from concurrent import futures

import grpc
import pytest

import grpc_world
import harness
from grpc_world import Callers, Service, Sidecar, by_authority, refusal, through_proxy
from harness import eventually

UNICODE = "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n%41"


@pytest.fixture(scope="module")
def service():
    with Service() as service:
        yield service


@pytest.fixture(scope="module")
def one(service):
    with Sidecar({"cart": [service.endpoint]}) as sidecar:
        yield sidecar


@pytest.fixture(scope="module")
def ip(service):
    files = {"mesher.yaml": "plugin: {destinationResolver: {grpc: ip}}\n"}
    with Sidecar({"cart": [service.endpoint]}, files) as sidecar:
        yield sidecar


@pytest.fixture(scope="module")
def two(service):
    """The caller's sidecar, and behind it that of the service."""
    with Sidecar({}, name="cart", local=service.port) as other:
        with Sidecar({"cart": [f"grpc://127.0.0.2:{other.grpc}"]}) as sidecar:
            yield sidecar


WAYS = {
    "proxy": lambda get, service: through_proxy(get("one"), "cart:80"),
    "authority": lambda get, service: by_authority(get("one"), "cart"),
    "address": lambda get, service: through_proxy(get("ip"), f"127.0.0.1:{service.port}"),
    "two": lambda get, service: through_proxy(get("two"), "cart:80"),
}


@pytest.fixture(params=WAYS)
def channel(request, service):
    with WAYS[request.param](request.getfixturevalue, service) as channel:
        yield channel


# -- the interoperability cases of gRPC ---------------------------------------------------------------------------------


def test_empty_unary(channel):
    assert channel.unary("Echo") == b""


def test_large_unary(channel):
    assert channel.unary("Large", b"314159") == bytes(314159)
    assert channel.unary("Echo", b"x" * 271828) == b"x" * 271828


def test_client_streaming(channel):
    assert channel.up("Sum", [bytes(27182), bytes(8), bytes(1828), bytes(45904)]) == b"74922"


def test_server_streaming(channel):
    assert list(channel.down("Count", b"100")) == [str(number).encode() for number in range(100)]


def test_ping_pong(channel):
    requests = queue.Queue()
    answers = channel.both("PingPong", iter(requests.get, None))
    for size in (27182, 8, 1828, 45904, 0):
        requests.put(bytes(size))
        assert next(answers) == bytes(size)
    requests.put(None)
    assert list(answers) == []


def test_empty_stream(channel):
    assert list(channel.both("Nothing", [])) == []


def test_custom_metadata(channel):
    metadata = (("x-initial", "first"), ("x-trailing-bin", b"\x0a\x0b\x00\xff"))
    answer, call = channel.call("Echo", b"x", metadata=metadata)
    assert answer == b"x"
    assert ("x-initial", "first") in [tuple(each) for each in call.initial_metadata()]
    assert ("x-trailing-bin", b"\x0a\x0b\x00\xff") in [tuple(each) for each in call.trailing_metadata()]


def test_status_code_and_message(channel):
    for code in (grpc.StatusCode.UNKNOWN, grpc.StatusCode.NOT_FOUND, grpc.StatusCode.UNAUTHENTICATED):
        with refusal(code) as seen:
            channel.unary("Status", f"{code.value[0]} test status message".encode())
        assert seen.text == "test status message"


def test_special_status_message(channel):
    with refusal(grpc.StatusCode.UNKNOWN) as seen:
        channel.unary("Status", f"2 {UNICODE}".encode())
    assert seen.text == UNICODE


def test_unimplemented_method(channel):
    with refusal(grpc.StatusCode.UNIMPLEMENTED):
        channel.unary("Nowhere")


def test_timeout_on_sleeping_server(channel):
    with refusal(grpc.StatusCode.DEADLINE_EXCEEDED):
        channel.unary("Sleep", timeout=0.1)


def test_cancel_after_begin(channel, service):
    service.cancelled.clear()
    before = service.begun
    call = channel.future("Sleep")
    eventually(lambda: service.begun > before, "not begun")
    call.cancel()
    assert call.code() == grpc.StatusCode.CANCELLED
    assert service.cancelled.wait(harness.PATIENCE), "the service has not heard of it"


def test_cancel_after_first_response(channel, service):
    service.cancelled.clear()
    requests = queue.Queue()
    call = channel.both("PingPong", iter(requests.get, None))
    requests.put(b"one")
    assert next(call) == b"one"
    call.cancel()
    with refusal(grpc.StatusCode.CANCELLED):
        next(call)
    requests.put(None)
    assert service.cancelled.wait(harness.PATIENCE), "the service has not heard of it"


# -- streams ------------------------------------------------------------------------------------------------------------


def test_messages_are_not_held_back(channel):
    """The service speaks first: its head and message come before the client has sent anything but its own head."""
    requests = queue.Queue()
    call = channel.both("Hello", iter(requests.get, None))
    assert next(call) == b"hello"
    requests.put(b"x")
    assert next(call) == b"x"
    requests.put(None)
    assert list(call) == []


def test_large_and_compressed_messages(channel):
    data = bytes(range(256)) * (8 << 12)
    assert channel.unary("Echo", data, timeout=20) == data
    assert channel.unary("Echo", b"a" * 100000, compression=grpc.Compression.Gzip) == b"a" * 100000


def test_a_hundred_calls_at_a_time(channel, service):
    service.release.clear()
    calls = [channel.future("Sleep", timeout=20) for _ in range(100)]
    service.release.set()
    assert [call.result() for call in calls] == [b"late"] * 100
    service.release.clear()


def test_deadlines_travel(channel, service):
    channel.unary("Echo", timeout=3)
    # The library rounds up what it tells.
    assert 2 < service.remaining <= 3.1


# -- what the mesh does with calls --------------------------------------------------------------------------------------


def test_errors_of_mesher_are_statuses(one):
    with through_proxy(one, "nosuch:80") as channel, refusal(grpc.StatusCode.UNAVAILABLE) as seen:
        channel.unary("Echo")
    assert seen.text == "lb: No available instance, key: nosuch()"
    assert ("x-mesher-error", "no_endpoint") in [tuple(each) for each in seen.error.trailing_metadata()]


def test_a_bad_destination_is_an_invalid_argument(ip):
    with through_proxy(ip, "203.0.113.9:80") as channel, refusal(grpc.StatusCode.INVALID_ARGUMENT) as seen:
        channel.unary("Echo")
    assert "no service found for ip" in seen.text


def test_nobody_there():
    with Sidecar({"cart": [f"grpc://127.0.0.1:{harness.free_port('127.0.0.1')}"]}) as sidecar:
        with through_proxy(sidecar, "cart:80") as channel, refusal(grpc.StatusCode.UNAVAILABLE) as seen:
            channel.unary("Echo")
    assert seen.text == "connect to cart failed"


def test_an_instance_that_speaks_no_grpc():
    with Sidecar({"cart": ["rest://127.0.0.1:9"]}) as sidecar:
        with through_proxy(sidecar, "cart:80") as channel, refusal(grpc.StatusCode.UNAVAILABLE) as seen:
            channel.unary("Echo")
    assert "No available instance for protocol server [grpc]" in seen.text


def test_limits_and_timeouts(service):
    files = {
        "rate_limiting.yaml": "cse.flowcontrol.Consumer.qps: {enabled: true, limit: {closed: 0}}\n",
        "circuit_breaker.yaml": "cse.isolation.Consumer.slow.timeoutInMilliseconds: 200\n",
    }
    with Sidecar({"closed": [service.endpoint], "slow": [service.endpoint]}, files) as sidecar:
        with through_proxy(sidecar, "closed:80") as channel:
            with refusal(grpc.StatusCode.RESOURCE_EXHAUSTED) as seen:
                channel.unary("Echo")
            assert seen.text == "too many requests"
        with through_proxy(sidecar, "slow:80") as channel:
            with refusal(grpc.StatusCode.DEADLINE_EXCEEDED):
                channel.unary("Sleep", timeout=10)
            # Streams may take their time once their answer has begun.
            requests = queue.Queue()
            call = channel.both("Hello", iter(requests.get, None))
            assert next(call) == b"hello"
            threading.Timer(0.5, requests.put, (b"x",)).start()
            assert next(call) == b"x"
            requests.put(None)


def test_every_call_is_balanced_and_connections_are_few():
    with Service("a") as a, Service("b") as b, Sidecar({"cart": [a.endpoint, b.endpoint]}) as sidecar:
        with through_proxy(sidecar, "cart:80") as channel:
            assert Counter(channel.unary("Name") for _ in range(40)) == {b"a": 20, b"b": 20}
        assert sidecar.metric("mesher_upstream_connects_total") == 2


def goes_and_comes(callers, service):
    """Stops a service while it is called, and starts it again once the other one has been called."""
    good = callers.good
    eventually(lambda: callers.good > good + 100, "no calls")
    service.stop(5).wait()
    good = callers.good
    eventually(lambda: callers.good > good + 100, "no calls with one instance")
    return Service(service.name, service.port)


def test_an_instance_that_goes_away_loses_no_call():
    """Graceful ends announce themselves with GOAWAY; calls that they have not taken go elsewhere."""
    services = [Service(name) for name in ("a", "b")]
    with contextlib.ExitStack() as stack:
        sidecar = stack.enter_context(Sidecar({"cart": [each.endpoint for each in services]}))
        channels = [stack.enter_context(through_proxy(sidecar, "cart:80")) for _ in range(4)]
        with Callers(channels) as callers:
            for _ in range(3):
                services[0] = goes_and_comes(callers, services[0])
    for each in services:
        each.stop()
    # grpcio itself cancels a call that comes in the very moment of stop(), also one without a sidecar.
    lost = [each for each in callers.errors if each[0] != grpc.StatusCode.CANCELLED]
    assert not lost and len(callers.errors) <= 3 * len(channels), callers.errors[:3]


def test_routes_see_the_metadata():
    services = {"1.0.0": Service("old"), "2.0.0": Service("new")}
    entries = [f"{{endpoints: ['{each.endpoint}'], version: {version}}}" for version, each in services.items()]
    router = """routeRule:
  cart: |
    - precedence: 2
      match: {headers: {x-env: {exact: canary}}}
      route: [{tags: {version: 2.0.0}, weight: 100}]
    - precedence: 1
      route: [{tags: {version: 1.0.0}, weight: 100}]
"""
    with Sidecar({"cart": f"[{', '.join(entries)}]"}, {"router.yaml": router}) as sidecar:
        with through_proxy(sidecar, "cart:80") as channel:
            assert channel.unary("Name") == b"old"
            assert channel.unary("Name", metadata=(("x-env", "canary"),)) == b"new"
    for each in services.values():
        each.stop()


def counted(sidecar, status):
    return sidecar.metric(f'mesher_grpc_responses_total{{grpc_status="{status}",service_name="cart"}}')


def test_statuses_are_counted(two):
    before = counted(two, 0), counted(two, 5)
    with through_proxy(two, "cart:80") as channel:
        channel.unary("Echo")
        with refusal(grpc.StatusCode.NOT_FOUND):
            channel.unary("Status", b"5 no")
    after = (before[0] + 1, before[1] + 1)
    eventually(lambda: (counted(two, 0), counted(two, 5)) == after, "not counted")


def test_cancelled_calls_are_counted(two, service):
    """Nobody was told a status; what the client makes of it is CANCELLED."""
    before = counted(two, 1)
    requests = queue.Queue()
    with through_proxy(two, "cart:80") as channel:
        call = channel.both("Hello", iter(requests.get, None))
        assert next(call) == b"hello"
        call.cancel()
        eventually(lambda: counted(two, 1) == before + 1, "not counted")
        # And before anything has come back.
        begun = service.begun
        call = channel.future("Sleep")
        eventually(lambda: service.begun > begun, "not begun")
        call.cancel()
        eventually(lambda: counted(two, 1) == before + 2, "not counted")
    requests.put(None)


def test_connect_is_followed_by_http2_only(one):
    with harness.Client(("127.0.0.1", one.grpc)) as client:
        client.send(b"CONNECT cart:80 HTTP/1.1\r\nHost: cart:80\r\n\r\nGET / HTTP/1.1\r\nHost: cart\r\n\r\n")
        data, _ = client.rest()
    assert data == b"HTTP/1.1 200 Connection established\r\n\r\n"


def test_the_http_listener_takes_grpc_too(one):
    with grpc_world.Channel("cart:80", ("grpc.http_proxy", f"http://127.0.0.1:{one.port}")) as channel:
        assert channel.unary("Echo", b"x") == b"x"


# -- the health check ----------------------------------------------------------------------------------------------------


class Health(grpc.GenericRpcHandler):
    """The standard health service, of which only the status matters: 1 is SERVING, 2 is not."""

    def __init__(self):
        self.status, self.asked = 1, []

    def service(self, details):
        if details.method != "/grpc.health.v1.Health/Check":
            return None

        def check(request, context):
            self.asked.append(request)
            return bytes((0x08, self.status))

        return grpc.unary_unary_rpc_method_handler(check)


@pytest.fixture
def checked():
    """The health service, the gRPC server that has it, and a sidecar that asks it."""
    health = Health()
    server = grpc.server(futures.ThreadPoolExecutor(4), [health])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    check = f"localHealthCheck: [{{port: {port}, protocol: grpc, uri: shop.Cart, interval: 500ms}}]\n"
    with Sidecar({}, {"mesher.yaml": check}) as sidecar:
        yield health, server, sidecar
    server.stop(0)


def state(sidecar):
    """What the sidecar says of the check; nothing before there is something to say."""
    found = json.loads(sidecar.ask("/v1/mesher/health").body)["localHealthCheck"]
    return found[0] if found else {}


def test_the_grpc_health_check(checked):
    health, server, sidecar = checked
    eventually(lambda: state(sidecar).get("healthy") is True, lambda: f"not healthy: {state(sidecar)}")
    assert health.asked[-1] == b"\x0a\x09shop.Cart"
    health.status = 2
    eventually(lambda: "not serving" in str(state(sidecar)), lambda: f"{state(sidecar)}")
    assert state(sidecar)["healthy"] is False
    server.stop(0).wait()
    eventually(lambda: "cannot connect" in str(state(sidecar)), lambda: f"{state(sidecar)}")


def test_the_grpc_health_check_does_not_waver(checked):
    health, _, sidecar = checked

    def is_asked_often():
        assert state(sidecar).get("healthy") is not False, state(sidecar)
        return len(health.asked) >= 5

    eventually(is_asked_often, lambda: f"asked {len(health.asked)} times")
