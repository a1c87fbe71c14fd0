# SPDX-License-Identifier: Apache-2.0
"""Both ends of TLS: sidecars with a tls.yaml, instances that speak it, clients, and what was refused and why."""

import contextlib
import os
import re
import socket
import ssl
import subprocess
import threading
import warnings
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import governance
import harness
from harness import eventually

INCOMING, OUTGOING = "127.0.0.2", "127.0.0.1"
HANDSHAKE = 0x16
# Two looks at the files lie within a second; the rest is for a machine that is busy.
NOTICED = 4.0
FAILURES = "mesher_tls_handshake_failures_total"


def document(tags):
    """The text of tls.yaml for keys by tag; the tag `""` is for all."""
    lines = ["ssl:"]
    for tag, keys in tags.items():
        for key, value in keys.items():
            text = str(value).lower() if isinstance(value, bool) else f'"{value}"'
            lines.append(f"  {tag}.{key}: {text}" if tag else f"  {key}: {text}")
    return "\n".join(lines) + "\n"


class Sidecar(governance.Sidecar):
    """A sidecar called `name`, with TLS by tag, and with a grpc listener when `grpc_port` is where that goes."""

    def __init__(self, name, tags, services=None, rest_port=9, grpc_port=None, **files):
        self.name = name
        files = {f"{file}.yaml": text for file, text in files.items()} | {"tls.yaml": document(tags)}
        self.grpc = harness.free_port(OUTGOING, INCOMING)
        grpc = f'cse.protocols.grpc: {{listenAddress: "{INCOMING}:{self.grpc}"}}\n'
        files["chassis.yaml"] = files.get("chassis.yaml", "") + grpc
        # One list of ports, in the only place where the command line takes them.
        ports = f"{rest_port},grpc:{grpc_port}" if grpc_port else rest_port
        super().__init__(services or {}, files, ports)
        text = f"service_description: {{name: {name}, version: 1.0.0}}\n"
        Path(self.directory.name, "microservice.yaml").write_text(text)

    def tls(self, tags):
        """Replaces tls.yaml."""
        self.write("tls.yaml", document(tags))

    def series(self, family):
        """The values of a family by their labels, which are a frozen set of pairs."""
        found = {}
        for line in self.ask("/v1/mesher/metrics").body.decode().splitlines():
            if matched := re.fullmatch(rf"{family}(?:{{(.*)}})? (\S+)", line):
                found[frozenset(re.findall(r'(\w+)="([^"]*)"', matched[1] or ""))] = float(matched[2])
        return found

    def failures(self):
        """Handshakes that failed, by (side, reason)."""
        values = self.series(FAILURES)
        return Counter({(dict(labels)["side"], dict(labels)["reason"]): value for labels, value in values.items()})

    def of_tag(self, family, tag):
        """The value of a series that has a tag and nothing else; `None` without it."""
        return self.series(family).get(frozenset({("tag", tag)}))

    def lines(self, text):
        """The lines of the log that contain a text."""
        return [line for line in self.log.read_text(errors="replace").splitlines() if text in line]


@contextlib.contextmanager
def running(*arguments, **options):
    """A sidecar for as long as the block."""
    sidecar = Sidecar(*arguments, **options)
    try:
        sidecar.start()
        yield sidecar
    finally:
        sidecar.stop()


@contextlib.contextmanager
def failing(sidecar, side, *reasons):
    """In the block handshakes fail on this side of the sidecar, for one of the reasons, which metric and log name."""
    before = sidecar.failures()
    yield
    new = eventually(lambda: sidecar.failures() - before, lambda: f"no failure counted:\n{sidecar.tail()}")
    assert set(new) <= {(side, reason) for reason in reasons}, f"{dict(new)}, not {side} {reasons}"
    _, reason = next(iter(new))
    logged = lambda: [line for line in sidecar.lines("TLS handshake failed") if f"reason={reason}" in line]  # noqa: E731
    eventually(logged, lambda: f"no line with reason={reason}:\n{sidecar.tail()}")


def client_context(authority=None, pair=None, versions=None, ciphers=None, alpn=None):
    """How a client speaks; without an authority it believes everybody."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if authority:
        context.load_verify_locations(authority.certificate)
    else:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if pair:
        context.load_cert_chain(pair.certificate, pair.key)
    loosen(context, versions, ciphers)
    if alpn:
        context.set_alpn_protocols(alpn)
    return context


def loosen(context, versions, ciphers):
    """Allows exactly these versions and suites, also those that nobody should use any more."""
    if ciphers or versions and min(versions) < ssl.TLSVersion.TLSv1_2:
        context.set_ciphers(f"{ciphers or 'ALL'}:@SECLEVEL=0")
    if versions:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            context.minimum_version, context.maximum_version = min(versions), max(versions)


class Client(harness.Client):
    """A client that has done its handshake, and is as strict as the others thereafter."""

    def __init__(self, address, context, name="web", session=None):
        super().__init__(address)
        try:
            self.sock = context.wrap_socket(self.sock, server_hostname=name, session=session)
        except BaseException:
            self.close()
            raise

    def get(self, path="/x", host="web", *fields):
        """One answer on this connection."""
        self.send(harness.request("GET", path, *fields, host=f"Host: {host}"))
        return self.response()

    @property
    def serial(self):
        """The serial number of the other side's certificate, which has to be verified for that."""
        return int(self.sock.getpeercert()["serialNumber"], 16)


def refused(address, context, name="web", octets=None):
    """Tries a handshake and, where it seems to have worked, a request: not one octet of HTTP may come back."""
    octets = octets or harness.request("GET", "/refused", host=f"Host: {name}")
    client = None
    with contextlib.suppress(ssl.SSLError, ConnectionError):
        client = Client(address, context, name)
        client.send(octets)
        client.rest()
    if client:
        client.close()
        assert client.received == b"", "an answer although the handshake had to fail"


def refused_in_clear(address, octets):
    """Sends octets that are no TLS; whatever comes back before the end must not be an answer."""
    with harness.Client(address) as client:
        with contextlib.suppress(ConnectionError):
            client.send(octets)
        received, ended = client.rest()
    assert ended in ("fin", "rst")
    assert b"HTTP/" not in received, received
    assert received[:1] in (b"", b"\x15"), "only an alert could follow"


@dataclass
class Handshake:
    """What a server saw of one."""

    first: int | None = None
    name: str | None = None
    version: str | None = None
    cipher: str | None = None
    peer: dict | None = None
    error: str | None = None

    @property
    def peer_serial(self):
        return int(self.peer["serialNumber"], 16)


class Instance(harness.Origin):
    """An instance that speaks TLS. `octets` are those of HTTP: what came through the handshake."""

    scheme, host = "rest", "127.0.0.1"

    def __init__(self, pair, client_authority=None, versions=None, ciphers=None, alpn=("http/1.1",), query=""):
        self.query, self.handshakes = query, []
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(pair.certificate, pair.key)
        if client_authority:
            self.context.load_verify_locations(client_authority.certificate)
            self.context.verify_mode = ssl.CERT_REQUIRED
        if alpn:
            self.context.set_alpn_protocols(list(alpn))
        loosen(self.context, versions, ciphers)
        self.context.sni_callback = lambda sock, name, _: setattr(sock, "asked_name", name)
        super().__init__()

    @property
    def entry(self):
        return f'{{endpoints: ["{self.scheme}://{self.host}:{self.port}{self.query}"]}}'

    def _serve(self, connection):
        seen = Handshake()
        try:
            seen.first = (connection.sock.recv(1, socket.MSG_PEEK) or b"\0")[0]
            connection.sock = self.context.wrap_socket(
                connection.sock, server_side=True, do_handshake_on_connect=False
            )
            try:
                connection.sock.do_handshake()
            finally:
                seen.name = getattr(connection.sock, "asked_name", None)
            seen.version, seen.cipher = connection.sock.version(), connection.sock.cipher()[0]
            seen.peer = connection.sock.getpeercert()
        except OSError as error:
            seen.error, connection.ended = str(error), "rst"
            connection.finish(connection.close)
        self.note(self.handshakes, seen)
        if not seen.error:
            super()._serve(connection)

    @property
    def good(self):
        """The handshakes that worked."""
        return [each for each in self.handshakes if not each.error]


class Tap:
    """A wire to an address that keeps what goes over it."""

    def __init__(self, target):
        self.target, self.carried = target, bytearray()
        self._listener = socket.create_server((OUTGOING, 0))
        self.port = self._listener.getsockname()[1]
        self.entry = f'{{endpoints: ["rest://127.0.0.1:{self.port}"]}}'
        self.firsts = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(self.target)
                for source, sink, is_first in ((near, far, True), (far, near, False)):
                    threading.Thread(target=self._carry, args=(source, sink, is_first), daemon=True).start()

    def _carry(self, source, sink, is_first):
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                if is_first:
                    self.firsts.append(data[0])
                    is_first = False
                self.carried += data
                sink.sendall(data)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)

    def close(self):
        self._listener.close()


class Files:
    """Where a sidecar finds a pair; another one can be put there while it runs, in any of the usual ways."""

    def __init__(self, folder, pair):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._versions = 0
        self.rename(pair)

    @property
    def keys(self):
        return {"certFile": self.folder / "tls.crt", "keyFile": self.folder / "tls.key"}

    def write(self, name, content):
        """Replaces one file as a whole."""
        new = self.folder / f"{name}.new"
        new.write_bytes(content)
        new.rename(self.folder / name)

    def rename(self, pair):
        """Replaces the files one after the other: for a moment they do not belong together."""
        self.write("tls.crt", pair.certificate.read_bytes())
        self.write("tls.key", pair.key.read_bytes())

    def overwrite(self, pair):
        """Writes into the files that are there, as `cp` does: for a moment they are half empty."""
        (self.folder / "tls.crt").write_bytes(pair.certificate.read_bytes())
        (self.folder / "tls.key").write_bytes(pair.key.read_bytes())

    def swap(self, pair):
        """Puts another directory behind a symbolic link, as Kubernetes does."""
        self._versions += 1
        version = self.folder / f"..version{self._versions}"
        version.mkdir()
        (version / "tls.crt").write_bytes(pair.certificate.read_bytes())
        (version / "tls.key").write_bytes(pair.key.read_bytes())
        (self.folder / "..new").symlink_to(version.name)
        (self.folder / "..new").rename(self.folder / "..data")
        for name in ("tls.crt", "tls.key"):
            if not (self.folder / name).is_symlink():
                (self.folder / name).unlink(missing_ok=True)
                (self.folder / name).symlink_to(f"..data/{name}")


class Load:
    """TLS clients that ask without pause: some keep their connection, one takes a new one for each request."""

    def __init__(self, address, context, name="web", kept=2):
        self.address, self.context, self.name = address, context, name
        self.good, self.errors, self.serials, self.opened = 0, [], [], 0
        self._stop = threading.Event()
        work = [*[self._kept] * kept, self._fresh]
        self._threads = [threading.Thread(target=self._run, args=(each,), daemon=True) for each in work]

    def _run(self, work):
        while not self._stop.is_set():
            try:
                work()
            except Exception as error:  # whatever it was, the client did not get its answer
                self.errors.append(repr(error))

    def _ask(self, client):
        response = client.get("/load", self.name)
        if response.status == 200:
            self.good += 1
        else:
            self.errors.append(response.start)

    def _kept(self):
        """One connection for the whole time: to need another one is an error by itself."""
        with Client(self.address, self.context, self.name) as client:
            self.opened += 1
            while not self._stop.is_set():
                self._ask(client)

    def _fresh(self):
        with Client(self.address, self.context, self.name) as client:
            self._ask(client)
            self.serials.append(client.serial)

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join()


def check(folder, tags, name="web"):
    """`mesher check` with this tls.yaml: the exit status and the lines."""
    folder = Path(folder)
    (folder / "chassis.yaml").write_text("cse: {service: {registry: {type: file}}}\n")
    (folder / "service.json").write_text('{"service": []}\n')
    (folder / "microservice.yaml").write_text(f"service_description: {{name: {name}}}\n")
    (folder / "tls.yaml").write_text(document(tags))
    environment = {"PATH": os.environ["PATH"], "CHASSIS_CONF_DIR": "."}
    done = subprocess.run(
        [harness.binary(), "check"], cwd=folder, env=environment, capture_output=True, text=True, timeout=20
    )
    assert done.stderr == ""
    return done.returncode, done.stdout.splitlines()
