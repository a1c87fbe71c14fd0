# SPDX-License-Identifier: Apache-2.0
"""gRPC services and clients on grpcio, and the sidecars between them.

Messages are octets as they are: what is tested is the calls, not an encoding.
"""

import contextlib
import threading
import time
from concurrent import futures
from pathlib import Path

import grpc

import harness


class Service(grpc.GenericRpcHandler):
    """One server process's worth of methods, each for one kind of call."""

    def __init__(self, name="cart", port=None):
        self.name, self.calls, self.cancelled = name, [], threading.Event()
        self.remaining, self.release = None, threading.Event()
        # Connections that calls of `Name` have come by.
        self.peers = set()
        # Calls of `Sleep` and `PingPong` that their method has seen: a call may be cancelled before that.
        self.begun = 0
        options = [("grpc.max_receive_message_length", 32 << 20), ("grpc.max_send_message_length", 32 << 20)]
        self.server = grpc.server(futures.ThreadPoolExecutor(130), [self], options=options)
        self.port = self.server.add_insecure_port(f"127.0.0.1:{port or 0}")
        self.server.start()

    def stop(self, grace=0):
        self.release.set()
        return self.server.stop(grace)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    @property
    def endpoint(self):
        return f"grpc://127.0.0.1:{self.port}"

    def service(self, details):
        method = details.method.rpartition("/")[2]
        self.calls.append((details.method, dict(details.invocation_metadata)))
        unary, stream = grpc.unary_unary_rpc_method_handler, grpc.stream_stream_rpc_method_handler
        handlers = {
            "Echo": unary(self.echo),
            "Name": unary(self.tell_name),
            "Large": unary(lambda request, context: bytes(int(request))),
            "Status": unary(self.status),
            "Sleep": unary(self.sleep),
            "Count": grpc.unary_stream_rpc_method_handler(self.count),
            "Sum": grpc.stream_unary_rpc_method_handler(
                lambda requests, context: str(sum(map(len, requests))).encode()
            ),
            "PingPong": stream(self.ping_pong),
            "Nothing": stream(lambda requests, context: iter(list(requests) and ())),
            "Hello": stream(self.hello),
        }
        return handlers.get(method)

    def echo(self, request, context):
        metadata = dict(context.invocation_metadata())
        if "x-initial" in metadata:
            context.send_initial_metadata((("x-initial", metadata["x-initial"]),))
        if "x-trailing-bin" in metadata:
            context.set_trailing_metadata((("x-trailing-bin", metadata["x-trailing-bin"]),))
        self.remaining = context.time_remaining()
        return request

    def tell_name(self, request, context):
        self.peers.add(context.peer())
        return self.name.encode()

    def status(self, request, context):
        code, _, text = request.decode().partition(" ")
        context.abort({each.value[0]: each for each in grpc.StatusCode}[int(code)], text)

    def sleep(self, request, context):
        self._note(context)
        self.release.wait(20)
        return b"late"

    def count(self, request, context):
        for number in range(int(request)):
            yield str(number).encode()

    def ping_pong(self, requests, context):
        self._note(context)
        yield from requests

    def hello(self, requests, context):
        """Speaks first, and again when it is spoken to."""
        yield b"hello"
        yield from requests

    def _note(self, context):
        """Notes the end of a call, also when it has ended before there was somebody to note it."""
        if not context.add_callback(self.cancelled.set):
            self.cancelled.set()
        self.begun += 1


class Sidecar(harness.Sidecar):
    """A sidecar that takes gRPC at a port of its own."""

    def __init__(self, services, files=None, name="web", local=None):
        self.grpc = harness.free_port("127.0.0.1", "127.0.0.2")
        self.files, self.name = files or {}, name
        super().__init__(9, services)
        self.local = local

    def _write(self, services, timeouts, limits):
        directory = Path(self.directory.name)
        chassis = (
            f'cse.protocols: {{http: {{listenAddress: "127.0.0.2:{self.port}"}},'
            f' grpc: {{listenAddress: "127.0.0.2:{self.grpc}"}},'
            f' rest-admin: {{listenAddress: "127.0.0.1:{self.admin}"}}}}\n'
            "cse.service.registry: {type: file, address: services.yaml}\n"
        )
        (directory / "microservice.yaml").write_text(f"service_description: {{name: {self.name}, version: 1.0.0}}\n")
        self.publish(services)
        for name, text in {"chassis.yaml": "", **self.files}.items():
            (directory / name).write_text((chassis if name == "chassis.yaml" else "") + text)

    def publish(self, services):
        """Writes the registry file anew, as an editor would."""
        lines = [f"  - {{name: {name}, instance: {endpoints}}}\n" for name, endpoints in services.items()]
        path = Path(self.directory.name, "services.yaml")
        path.with_suffix(".new").write_text("service:\n" + "".join(lines) if lines else "service: []\n")
        path.with_suffix(".new").rename(path)

    def start(self):
        if self.local:
            self.rest_port = f"9,grpc:{self.local}"
        super().start()


OPTIONS = [
    ("grpc.max_receive_message_length", 32 << 20),
    ("grpc.max_send_message_length", 32 << 20),
    ("grpc.enable_retries", 0),
    ("grpc.use_local_subchannel_pool", 1),
]


class Channel:
    """A channel with what calls need."""

    def __init__(self, target, *options):
        self.channel = grpc.insecure_channel(target, options=[*OPTIONS, *options])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.channel.close()

    def unary(self, method, request=b"", timeout=harness.PATIENCE, **how):
        return self.channel.unary_unary(f"/test.Shop/{method}")(request, timeout=timeout, **how)

    def call(self, method, request=b"", timeout=harness.PATIENCE, **how):
        return self.channel.unary_unary(f"/test.Shop/{method}").with_call(request, timeout=timeout, **how)

    def future(self, method, request=b"", timeout=harness.PATIENCE, **how):
        return self.channel.unary_unary(f"/test.Shop/{method}").future(request, timeout=timeout, **how)

    def down(self, method, request=b"", timeout=harness.PATIENCE):
        return self.channel.unary_stream(f"/test.Shop/{method}")(request, timeout=timeout)

    def up(self, method, requests, timeout=harness.PATIENCE):
        return self.channel.stream_unary(f"/test.Shop/{method}")(iter(requests), timeout=timeout)

    def both(self, method, requests, timeout=harness.PATIENCE):
        return self.channel.stream_stream(f"/test.Shop/{method}")(iter(requests), timeout=timeout)


@contextlib.contextmanager
def refusal(code):
    """Expects a call to fail with this status; `text` and `error` are filled in."""

    class Seen:
        text, error = None, None

    seen = Seen()
    try:
        yield seen
    except grpc.RpcError as error:
        assert error.code() == code, (error.code(), error.details())
        seen.text, seen.error = error.details(), error
        return
    raise AssertionError(f"no failure with {code}")


def through_proxy(sidecar, target, *options):
    """As a user's environment has it: http_proxy, and the service's name as the target."""
    return Channel(target, ("grpc.http_proxy", f"http://127.0.0.1:{sidecar.grpc}"), *options)


def by_authority(sidecar, service, *options):
    """The sidecar as the target, and the service as the authority."""
    return Channel(
        f"127.0.0.1:{sidecar.grpc}", ("grpc.default_authority", service), ("grpc.enable_http_proxy", 0), *options
    )


class Callers:
    """Clients that call without pause; `errors` has what did not succeed."""

    def __init__(self, channels, method="Name", request=b""):
        self.good, self.errors, self.method, self.request = 0, [], method, request
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(each,)) for each in channels]

    def _run(self, channel):
        while not self._stop.is_set():
            try:
                channel.unary(self.method, self.request)
                self.good += 1
            except grpc.RpcError as error:
                self.errors.append((error.code(), error.details(), time.monotonic()))

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join()
